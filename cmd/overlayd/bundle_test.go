package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Also where the config came to be there only after the archive's secrets were looked for, and however it is written.
func TestAConfigIsBundledWithoutItsOwnSecrets(t *testing.T) {
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, written := range []string{key, `\u0041` + key[1:]} {
		text := configPart("/config", 7, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "wireguard", "PSK": "`+written+`"}}`))
		if bytes.Contains(text, []byte(key[1:])) || !bytes.Contains(text, []byte(`"PSK": "***"`)) {
			t.Errorf("it says %s", text)
		}
	}
}

func TestABundledConfigIsJSONWhateverIsInEtcd(t *testing.T) {
	for _, value := range []string{`{"Network": "10.50.0.0/16"}`, `{"Backend": {"Type": "wireguard", "PSK": ""}}`, `{"Network":`, "", "\xff\x00", "null"} {
		text := configPart("/config", 7, []byte(value))
		if !json.Valid(text) || bytes.Contains(text, []byte(`"config"`)) != json.Valid([]byte(value)) {
			t.Errorf("of %q it makes %s", value, text)
		}
	}
}
