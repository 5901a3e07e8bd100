package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"aead.dev/minisign"
	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/overlayd/overlayd/internal/signature"
)

const configSignHelp = `Check a network config, sign it, and print it with its signature, for overlayd config put. Daemons with --hooks signed run
only the shell commands of a config that is signed by a key they know. FILE is - for standard input.

    overlayd config sign net.yaml --key overlayd.key | overlayd config put -

The key is one of minisign's, as overlayd config keygen makes it, and may be protected by a password, which is asked for at
the terminal. A key that cannot be read here, as on a hardware token, signs in two steps:

    overlayd config sign net.yaml --payload >payload    # what has to be signed
    minisign -S -m payload       # or another program of that format
    overlayd config sign net.yaml --signature payload.minisig >signed.json
    overlayd config put signed.json

A signature does not expire: whoever can write to etcd can bring back any config that was ever signed. A new key is the way
to end that.`

func newConfigSignCommand() *cobra.Command {
	var key, made string
	var payload bool
	c := &cobra.Command{
		Use: "sign FILE", Short: "Sign a network config, so that its hooks may run", Long: configSignHelp, Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().NFlag() != 1 {
				return refuse(exitUsage, errors.New("one of --key, --signature and --payload is needed"), "see overlayd config sign --help")
			}
			config, err := readNetworkFile(c.InOrStdin(), args[0])
			if err != nil {
				return refuse(exitConfig, err)
			}
			signed, err := signConfig(config, key, made, payload)
			if err != nil {
				return refuse(exitConfig, err)
			}
			_, err = c.OutOrStdout().Write(signed)
			return err
		},
	}
	pathVar(c.Flags(), &key, "key", "", "`FILE` with the private key")
	pathVar(c.Flags(), &made, "signature", "", "`FILE` with a signature of the payload")
	c.Flags().BoolVar(&payload, "payload", false, "print what has to be signed")
	return c
}

func signConfig(config []byte, keyFile, signatureFile string, payload bool) ([]byte, error) {
	switch {
	case payload:
		return signature.Payload(config)
	case signatureFile != "":
		made, err := os.ReadFile(signatureFile)
		if err != nil {
			return nil, readError(err)
		}
		signed, err := signature.Attach(config, string(made))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", signatureFile, err)
		}
		return signed, nil
	}
	key, err := readPrivateKey(keyFile)
	if err != nil {
		return nil, err
	}
	return signature.Sign(config, key)
}

// readPrivateKey asks for a password where the key has one. The file must be its owner's alone.
func readPrivateKey(path string) (key minisign.PrivateKey, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return key, readError(err)
	}
	if info.Mode()&0o077 != 0 {
		return key, refuse(exitConfig, fmt.Errorf("read %s: a private key that others may read", path), "chmod 600 "+quote(path))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key, readError(err)
	}
	if minisign.IsEncrypted(text) {
		password, err := askPassword("Password of " + path + ": ")
		if err != nil {
			return key, err
		}
		if key, err = minisign.DecryptKey(password, text); err != nil {
			return key, fmt.Errorf("read %s: wrong password", path)
		}
		return key, nil
	}
	if err := key.UnmarshalText(text); err != nil {
		return key, fmt.Errorf("read %s: not a private key as minisign writes it", path)
	}
	return key, nil
}

// askPassword asks at the terminal, wherever stdin comes from.
func askPassword(prompt string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", errors.New("ask for a password: there is no terminal")
	}
	defer tty.Close()
	fmt.Fprint(tty, prompt)
	password, err := xterm.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	return string(password), err
}

func newConfigKeygenCommand() *cobra.Command {
	var noPassword bool
	c := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key pair to sign network configs with",
		Long:  "Make a key pair to sign network configs with: the private key in FILE, and in FILE.pub the public one, for the nodes' --hook-keys.",
		Args:  oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			password := ""
			if !noPassword {
				var err error
				if password, err = newPassword(); err != nil {
					return refuse(exitFailed, err, "--no-password leaves the key unprotected")
				}
			}
			public, err := generateKey(args[0], password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s and %s.pub written, public key %s\n", args[0], args[0], public)
			return err
		},
	}
	c.Flags().BoolVar(&noPassword, "no-password", false, "do not protect the key by a password")
	return c
}

func newPassword() (string, error) {
	password, err := askPassword("Password of the new key: ")
	if err != nil {
		return "", err
	}
	again, err := askPassword("Once more: ")
	if err == nil && again != password {
		err = errors.New("the two passwords differ")
	}
	if err == nil && password == "" {
		err = errors.New("an empty password")
	}
	return password, err
}

// generateKey writes a new pair of keys to files that do not exist yet.
func generateKey(path, password string) (public minisign.PublicKey, err error) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return public, err
	}
	secret, err := private.MarshalText()
	if password != "" {
		secret, err = minisign.EncryptKey(password, private)
	}
	if err != nil {
		return public, err
	}
	text, err := public.MarshalText()
	if err != nil {
		return public, err
	}
	if err := writeNew(path, secret, 0o600); err != nil {
		return public, err
	}
	if err := writeNew(path+".pub", text, 0o644); err != nil {
		return public, errors.Join(err, os.Remove(path))
	}
	return public, nil
}

// writeNew writes a line to a file that must not exist.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Unwrap(err))
	}
	_, err = file.Write(append(bytes.TrimSuffix(text, []byte("\n")), '\n'))
	return errors.Join(err, file.Close())
}
