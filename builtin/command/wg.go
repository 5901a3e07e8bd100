package command

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

func parseWG(l *line) action {
	switch {
	case l.take("genkey"):
		return parseGenerate(l, "genkey", func(key *kernel.Secret) {
			// What RFC 7748 has every user of the key do, done once.
			key[0] &= 248
			key[31] = key[31]&127 | 64
		})
	case l.take("genpsk"):
		return parseGenerate(l, "genpsk", func(*kernel.Secret) {})
	case l.take("pubkey"):
		return parsePubkey(l)
	case l.take("set"):
		return parseWGSet(l)
	case l.peek() == "setconf" || l.peek() == "addconf" || l.peek() == "syncconf":
		return parseWGConf(l, l.next())
	case l.take("show"):
		return parseWGShow(l)
	case l.take("showconf"):
		return parseWGShowconf(l)
	case !l.more():
		return parseWGShow(l)
	}
	l.unknown()
	return action{}
}

func parseGenerate(l *line, name string, finish func(*kernel.Secret)) action {
	if l.more() {
		l.fail(1, "Usage: wg %s", name)
	}
	return action{run: func(ctx context.Context, c *call) error {
		var key kernel.Secret
		rand.Read(key[:]) // never fails
		finish(&key)
		if f, ok := c.Stdout.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
				io.WriteString(c.Stderr, "Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again.\n")
			}
		}
		return printKey(c, key)
	}}
}

func printKey(c *call, key [32]byte) error {
	_, err := fmt.Fprintln(c.Stdout, base64.StdEncoding.EncodeToString(key[:]))
	return err
}

func parsePubkey(l *line) action {
	if l.more() {
		l.fail(1, "Usage: wg pubkey")
	}
	return action{run: func(ctx context.Context, c *call) error {
		text, err := io.ReadAll(io.LimitReader(c.Stdin, maxKeyFile))
		if err != nil {
			return err
		}
		key, ok := parseKey(strings.TrimSpace(string(text)))
		if !ok {
			return &failure{text: "wg: Key is not the correct length or format", status: 1}
		}
		return printKey(c, public(key))
	}}
}

// maxKeyFile is more than a key and the space around it take.
const maxKeyFile = 4096

func parseKey(text string) (key [32]byte, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(key) || strings.ContainsAny(text, "\r\n") {
		return key, false
	}
	return [32]byte(b), true
}

func public(private [32]byte) [32]byte {
	key, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		panic(err) // it is of the right length
	}
	return [32]byte(key.PublicKey().Bytes())
}
