package wireguard

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// KeyName is the name of the file with a node's private key.
const KeyName = "wireguard-key"

// A Key is a node's.
type Key struct {
	Private kernel.Secret
	Public  kernel.PublicKey
}

// pending is the name of the file with the key that is to take the place of the one in the file.
func pending(path string) string { return path + "-next" }

// Rotate makes a key that is to take the place of the one in the file, which has to be there, and returns its public key. It is
// fs.ErrExist when there is one already. TakeUp puts it there.
func Rotate(path string) (kernel.PublicKey, error) {
	if _, err := os.Lstat(path); err != nil {
		return kernel.PublicKey{}, fmt.Errorf("rotate WireGuard key: %w", err)
	}
	if err := makeKey(pending(path), os.Link); err != nil {
		return kernel.PublicKey{}, fmt.Errorf("rotate WireGuard key: %w", err)
	}
	private, err := readKey(pending(path))
	if err != nil {
		return kernel.PublicKey{}, err
	}
	key, err := keyOf(private)
	return key.Public, err
}

// Pending returns the key that is to take the place of the one in the file; fs.ErrNotExist when there is none.
func Pending(path string) (kernel.Secret, error) { return readKey(pending(path)) }

// TakeUp puts the key that is Pending in the place of the one in the file. A crash leaves either.
func TakeUp(path string) error {
	if err := os.Rename(pending(path), path); err != nil {
		return fmt.Errorf("take up WireGuard key: %w", err)
	}
	return nil
}

// KeyFile returns what reads this node's private key from a file, in base64, and makes both when there is no file yet. What is returned
// may be called concurrently.
func KeyFile(path string) func() (Key, error) {
	return func() (Key, error) {
		private, err := readKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = makeKey(path, os.Rename); err != nil {
				return Key{}, fmt.Errorf("make WireGuard key: %w", err)
			}
			private, err = readKey(path)
		}
		if err != nil {
			return Key{}, err
		}
		return keyOf(private)
	}
}

func readKey(path string) (kernel.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return kernel.Secret{}, fmt.Errorf("read WireGuard key: %w", err)
	}
	key, err := parseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return kernel.Secret{}, fmt.Errorf("read WireGuard key: %s: %w (delete the file to have a new key made)", path, err)
	}
	return kernel.Secret(key), nil
}

// makeKey puts a new key into a file that its owner alone can read, by the function. A crash leaves the whole file or none.
func makeKey(path string, put func(from, to string) error) error {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key.Bytes()))
	if err := cmp.Or(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return put(f.Name(), path)
}

func parseKey(text string) ([32]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 32 {
		return [32]byte{}, errors.New("not 32 bytes in base64")
	}
	return [32]byte(b), nil
}

// keyOf is the key with the private half given.
func keyOf(private kernel.Secret) (Key, error) {
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return Key{}, fmt.Errorf("derive public key: %w", err)
	}
	return Key{private, kernel.PublicKey(key.PublicKey().Bytes())}, nil
}
