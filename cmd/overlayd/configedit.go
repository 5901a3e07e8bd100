package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const configEditHelp = `Open the network config that etcd holds in $VISUAL, $EDITOR or vi, as YAML, and put what was saved there: it is checked,
what it changes is shown, and it is written unless somebody else has written one meanwhile. What is not valid is opened again
with the reason in its first lines. To save it unchanged, or empty, writes nothing.`

func newConfigEditCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "edit", Short: "Edit the network config that etcd holds", Long: configEditHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				old, err := store.Configs(ctx)
				if err != nil {
					return err
				}
				if old.Value == nil {
					return s.noConfig(store)
				}
				return edit(ctx, c, store, old)
			})
		},
	}
	s.etcdFlags(c.Flags())
	return c
}

// edit has the config edited until it is valid, and puts it. What could not be put stays in a file.
func edit(ctx context.Context, c *cobra.Command, store *etcd.Store, old etcd.Configs) (err error) {
	dir, err := os.MkdirTemp("", "overlayd-config-") // of mode 0700: there may be a key in the config
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "network.yaml")
	defer func() {
		if err == nil {
			err = os.RemoveAll(dir)
			return
		}
		err = hint(err, "your text is in "+file)
	}()
	head := fmt.Sprintf("# etcd %s@%d. Saving it unchanged, or empty, writes nothing.\n", store.ConfigKey(), old.Revision)
	text := asYAML(old.Value)
	var invalid error
	for {
		saved, err := editedOnce(c, file, head, text)
		if err != nil {
			return err
		}
		if bytes.Equal(saved, text) || len(bytes.TrimSpace(saved)) == 0 {
			if invalid != nil {
				return refuse(exitConfig, invalid)
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "nothing is changed, and nothing written")
			return err
		}
		text = saved
		value, err := readNetworkFile(nil, file)
		if err == nil {
			return proposal{store: store, old: old, value: value}.put(ctx, c)
		}
		invalid = err
		head = "# " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
}

// editedOnce lets the person edit the text below a line of comment, and returns what was saved. The file then has the one
// line above it that it had in the editor, so that places in it are as the person saw them.
func editedOnce(c *cobra.Command, file, head string, text []byte) ([]byte, error) {
	if err := os.WriteFile(file, append([]byte(head), text...), 0o600); err != nil {
		return nil, err
	}
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	// An editor may come with arguments, as in EDITOR="code --wait". Only the shell knows where its words end.
	cmd := exec.Command("/bin/sh", "-c", editor+` "$1"`, "overlayd", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, c.OutOrStdout(), c.ErrOrStderr()
	if err := cmd.Run(); err != nil {
		return nil, refuse(exitFailed, fmt.Errorf("edit with %s: %w", editor, err), "choose an editor by the environment variable EDITOR")
	}
	saved, err := os.ReadFile(file)
	return bytes.TrimPrefix(saved, []byte(head)), err
}

// asYAML is a config as people like to edit it: a command of several lines as a block. What is no JSON stays as it is.
func asYAML(config []byte) []byte {
	var document yaml.Node
	if lease.SameJSON(config, config) && yaml.Unmarshal(config, &document) == nil {
		plain(&document)
		var text bytes.Buffer
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2)
		if encoder.Encode(&document) == nil && encoder.Close() == nil {
			return text.Bytes()
		}
	}
	return append(bytes.TrimSuffix(config, []byte("\n")), '\n')
}

// plain takes JSON's brackets and quotes away.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, inner := range n.Content {
		plain(inner)
	}
}
