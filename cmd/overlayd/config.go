package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/lease/etcd"
)

// etcdPatience is how long a command at a terminal waits for etcd.
const etcdPatience = 5 * time.Second

func newConfigCommand() *cobra.Command {
	return newGroup("config", "Look at the network config and change it",
		newConfigGetCommand(), newConfigCheckCommand(), newConfigDiffCommand(), newConfigPutCommand(), newConfigCanaryCommand(), newConfigEditCommand(),
		newConfigHistoryCommand(), newConfigRollbackCommand(), newConfigSchemaCommand(),
		newConfigSignCommand(), newConfigKeygenCommand())
}

func newConfigGetCommand() *cobra.Command {
	var s settings
	show := map[string]func([]byte) []byte{"json": indented, "yaml": asYAML}
	var output string
	c := &cobra.Command{
		Use:   "get",
		Short: "Print the network config that etcd holds",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				value, revision, err := store.Config(ctx)
				if errors.Is(err, fs.ErrNotExist) {
					return s.noConfig(store)
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(c.ErrOrStderr(), "etcd %s@%d\n", store.ConfigKey(), revision)
				_, err = c.OutOrStdout().Write(show[output](value))
				return err
			})
		},
	}
	outputVar(c, &output, "json", "yaml")
	s.etcdFlags(c.Flags())
	return c
}

// noConfig says that etcd holds no network config.
func (s *settings) noConfig(store *etcd.Store) error {
	return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config", store.ConfigKey()), "write one with "+s.putCommand("FILE"))
}

// indented is JSON laid out for people. What is no JSON stays as it is.
func indented(value []byte) []byte {
	var text bytes.Buffer
	if json.Indent(&text, value, "", "  ") != nil {
		text.Reset()
		text.Write(value)
	}
	text.WriteByte('\n')
	return text.Bytes()
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read a network config as the daemon would, and touch nothing",
		Args:  oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			value, err := readNetworkFile(c.InOrStdin(), args[0])
			if err != nil {
				return refuse(exitConfig, err)
			}
			if err := showFindings(c.ErrOrStderr(), value); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: valid\n", args[0])
			return err
		},
	}
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one FILE wanted, not %d", len(args))
	}
	return nil
}

// withStore calls f with the store that the command's etcd flags name; without any, with that of the daemon on this machine.
func (s *settings) withStore(c *cobra.Command, f func(context.Context, *etcd.Store) error) error {
	if err := fillFromEnvironment(c.Flags()); err != nil {
		return err
	}
	if err := s.findEtcd(c.Context(), c.Flags()); err != nil {
		return err
	}
	cluster, err := newEtcdCluster(s.etcd, s.etcdPrefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return s.naming(err)
	}
	defer cluster.close()
	if _, err := cluster.await(c.Context(), waiting{etcdPatience, etcdPatience}, func(error) {}); err != nil {
		return s.naming(err)
	}
	return s.naming(f(c.Context(), cluster.Store))
}

// readNetworkFile reads and checks the network config of a file, which may be a daemon config that holds one, and returns
// it as etcd is to hold it. The path - stands for stdin.
func readNetworkFile(stdin io.Reader, path string) ([]byte, error) {
	var s settings
	read := func() ([]byte, error) { return os.ReadFile(path) }
	if path == "-" {
		read = func() ([]byte, error) { return io.ReadAll(stdin) }
	}
	text, err := read()
	if err != nil {
		return nil, readError(err)
	}
	file, err := parseConfigFile(path, text, newFlagSet(&s))
	if err != nil {
		return nil, err
	}
	if file.network == nil {
		return nil, fmt.Errorf("%s: no network config in it", path)
	}
	if err := checkNetwork(file.network); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return compact(file.network), nil
}

// checkNetwork refuses what no daemon can use.
func checkNetwork(value []byte) error {
	_, _, err := new(daemon).readNetwork(value)
	return err
}

// newFlagSet returns the daemon's flags for those who need to know their names.
func newFlagSet(s *settings) *pflag.FlagSet {
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.flags(f)
	return f
}
