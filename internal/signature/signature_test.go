package signature

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
)

func newKey(t *testing.T) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

const config = `{"Network": "10.50.0.0/16", "SubnetLen": 24, "Backend": {"Type": "extension", "SubnetAddCommand": "a < b && c"}}`

func TestWhatASignatureIsGoodFor(t *testing.T) {
	ours, private := newKey(t)
	theirs, foreign := newKey(t)
	sign := func(config string, key minisign.PrivateKey) string {
		t.Helper()
		signed, err := Sign([]byte(config), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	signed := sign(config, private)
	for _, tt := range []struct {
		name, config string
		trusted      []minisign.PublicKey
		want         error
	}{
		{"signed", signed, []minisign.PublicKey{ours}, nil},
		{"one of several keys", signed, []minisign.PublicKey{theirs, ours}, nil},
		{"laid out otherwise", strings.ReplaceAll(signed, `,"`, ",\n\t\""), []minisign.PublicKey{ours}, nil},
		{"signed once more", sign(signed, private), []minisign.PublicKey{ours}, nil},
		{"no key", signed, nil, ErrUntrusted},
		{"another's", sign(config, foreign), []minisign.PublicKey{ours}, ErrUntrusted},
		{"no signature", config, []minisign.PublicKey{ours}, ErrUnsigned},
		{"an empty one", sign(config, private)[:1] + `"Signature":"",` + config[1:], []minisign.PublicKey{ours}, ErrUnsigned},
		{"no text", `{"Signature": 7}`, []minisign.PublicKey{ours}, ErrUnsigned},
		{"nonsense", `{"Signature": "nonsense"}`, []minisign.PublicKey{ours}, ErrUntrusted},
		{"a command changed", strings.Replace(signed, "a < b", "a > b", 1), []minisign.PublicKey{ours}, ErrUntrusted},
		{"a key added", `{"EnableIPv6": false,` + signed[1:], []minisign.PublicKey{ours}, ErrUntrusted},
		{"a number written otherwise", strings.Replace(signed, "24", "24.0", 1), []minisign.PublicKey{ours}, ErrUntrusted},
	} {
		if err := Verify([]byte(tt.config), tt.trusted); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := Verify([]byte(`{"signature": "`+"x"+`"}`), []minisign.PublicKey{ours}); err == nil {
		t.Error("another spelling of Signature is accepted")
	}
}

func TestReadKeys(t *testing.T) {
	public, _ := newKey(t)
	other, _ := newKey(t)
	text, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		keys       int
		wrong      string
	}{
		{"as minisign writes it", string(text), 1, ""},
		{"several", "# ours\n" + string(text) + "\n\n" + other.String() + "\n", 2, ""},
		{"none", "# nothing\n", 0, "no public key in it"},
		{"nonsense", "# first\nnonsense\n", 0, ":2: not a public key"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := ReadKeys(path)
		if len(keys) != tt.keys || (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: got %d keys, %v, want %d and %q", tt.name, len(keys), err, tt.keys, tt.wrong)
		}
	}
}

// minisign's own program and this package take each other's keys and signatures.
func TestMinisignAgrees(t *testing.T) {
	if _, err := exec.LookPath("minisign"); err != nil {
		t.Skip("minisign is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("minisign", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	run("-G", "-W", "-p", "key.pub", "-s", "key")
	payload, err := Payload([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "payload"), payload, 0o600); err != nil {
		t.Fatal(err)
	}
	run("-S", "-s", "key", "-m", "payload")
	theirs, err := os.ReadFile(filepath.Join(dir, "payload.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Attach([]byte(config), string(theirs))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeys(filepath.Join(dir, "key.pub"))
	if err == nil {
		err = Verify(signed, keys)
	}
	if err != nil {
		t.Errorf("what minisign signed: %v", err)
	}
}
