// Package signature says whether a network config is by somebody who is trusted to run commands on all nodes.
//
// A signed config has a member Signature: a signature in the format of minisign (https://jedisct1.github.io/minisign), of
// Ed25519, over Payload. flannel does not look at it.
package signature

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"aead.dev/minisign"
)

// Member is the name of the config's member that holds the signature.
const Member = "Signature"

// The reasons for which Verify refuses a config.
var (
	ErrUnsigned  = errors.New("it has no Signature")
	ErrUntrusted = errors.New("its Signature is not by a trusted key, or of another config")
)

// Payload is what is signed of a config: its JSON without the member Signature, in one form whatever its layout. The members
// of each object are in the order of their names, there is no space between them, and a newline ends it.
func Payload(config []byte) ([]byte, error) {
	members, err := read(config)
	if err != nil {
		return nil, err
	}
	delete(members, Member)
	return write(members)
}

func read(config []byte) (members map[string]any, err error) {
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.UseNumber()
	if err := dec.Decode(&members); err != nil {
		return nil, fmt.Errorf("read network config: %w", err)
	}
	for name := range members {
		if strings.EqualFold(name, Member) && name != Member {
			return nil, fmt.Errorf("read network config: %q has to be spelled %s", name, Member)
		}
	}
	return members, nil
}

func write(members map[string]any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(members)
	return text.Bytes(), err
}

// Sign returns the config with a signature by the key, in place of any that it had.
func Sign(config []byte, key minisign.PrivateKey) ([]byte, error) {
	payload, err := Payload(config)
	if err != nil {
		return nil, err
	}
	return Attach(config, string(minisign.SignWithComments(key, payload, "overlayd network config", "overlayd network config")))
}

// Attach returns the config with a signature that was made elsewhere, which need not be by a key that anybody trusts.
func Attach(config []byte, signature string) ([]byte, error) {
	if err := new(minisign.Signature).UnmarshalText([]byte(signature)); err != nil {
		return nil, errors.New("not a signature as minisign writes it")
	}
	members, err := read(config)
	if err != nil {
		return nil, err
	}
	members[Member] = signature
	return write(members)
}

// Verify answers ErrUnsigned or ErrUntrusted unless the config has a signature by one of the keys.
func Verify(config []byte, trusted []minisign.PublicKey) error {
	members, err := read(config)
	if err != nil {
		return err
	}
	signature, ok := members[Member].(string)
	if !ok || signature == "" {
		return ErrUnsigned
	}
	payload, err := Payload(config)
	if err != nil {
		return err
	}
	for _, key := range trusted {
		if minisign.Verify(key, payload, []byte(signature)) {
			return nil
		}
	}
	return ErrUntrusted
}

// Same reports whether two configs have the same signature. It is right for one of them at most if they differ.
func Same(a, b []byte) bool {
	one, err := read(a)
	other, otherErr := read(b)
	return err == nil && otherErr == nil && one[Member] != nil && one[Member] == other[Member]
}

// ReadKeys reads a file of public keys as minisign writes them, one or more. Blank lines, and lines of comment, which begin with #
// or "untrusted comment:", are passed over.
func ReadKeys(path string) (keys []minisign.PublicKey, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read public keys: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(line)); err != nil {
			return nil, fmt.Errorf("%s:%d: not a public key as minisign writes it", path, number)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key in it", path)
	}
	return keys, nil
}
