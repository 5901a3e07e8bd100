package main

import (
	"bytes"
	"testing"
)

// Also where the config came to be there only after the archive's secrets were looked for.
func TestAConfigIsBundledWithoutItsOwnSecrets(t *testing.T) {
	const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	text := configPart("/config", 7, []byte(`{"Network": "10.50.0.0/16", "Backend": {"Type": "wireguard", "PSK": "`+key+`"}}`))
	if bytes.Contains(text, []byte(key)) || !bytes.Contains(text, []byte(`"PSK": "***"`)) {
		t.Errorf("it says %s", text)
	}
}
