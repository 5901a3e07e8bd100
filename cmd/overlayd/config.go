package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// etcdPatience is how long a command at a terminal waits for etcd.
const etcdPatience = 5 * time.Second

func newConfigCommand() *cobra.Command {
	return newGroup("config", "Look at the network config and change it",
		newConfigGetCommand(), newConfigPutCommand(), newConfigCheckCommand())
}

func newConfigGetCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "get",
		Short: "Print the network config that etcd holds",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				value, revision, err := store.Config(ctx)
				if errors.Is(err, fs.ErrNotExist) {
					return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config", store.ConfigKey()), "write one with "+s.putCommand("FILE"))
				}
				if err != nil {
					return err
				}
				var text bytes.Buffer
				if json.Indent(&text, value, "", "  ") != nil {
					text.Reset()
					text.Write(value)
				}
				fmt.Fprintf(c.ErrOrStderr(), "etcd %s@%d\n", store.ConfigKey(), revision)
				_, err = fmt.Fprintln(c.OutOrStdout(), text.String())
				return err
			})
		},
	}
	s.etcdFlags(c.Flags())
	return c
}

func newConfigPutCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "put FILE",
		Short: "Check a network config and write it to etcd, where running daemons take it up",
		Args:  oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			value, err := readNetworkFile(args[0])
			if err != nil {
				return refuse(exitConfig, err)
			}
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				old, revision, err := store.Config(ctx)
				switch {
				case errors.Is(err, fs.ErrNotExist):
				case err != nil:
					return err
				case lease.SameJSON(old, value):
					_, err = fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d says the same already\n", store.ConfigKey(), revision)
					return err
				}
				if revision, err = store.ReplaceConfig(ctx, value, revision); err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d written\n", store.ConfigKey(), revision)
				return err
			})
		},
	}
	s.etcdFlags(c.Flags())
	return c
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read a network config as the daemon would, and touch nothing",
		Args:  oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := readNetworkFile(args[0]); err != nil {
				return refuse(exitConfig, err)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: valid\n", args[0])
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

// withStore calls f with the store that the command's etcd flags name; without any, with the member of a daemon on this
// machine.
func (s *settings) withStore(c *cobra.Command, f func(context.Context, *etcd.Store) error) error {
	if err := fillFromEnvironment(c.Flags()); err != nil {
		return err
	}
	if len(s.etcd.Endpoints) == 0 {
		s.etcd.Endpoints = []string{defaultListen}
	}
	cluster, err := newEtcdCluster(s.etcd, s.etcdPrefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cluster.close()
	if err := cluster.await(c.Context(), etcdPatience, func(error) {}); err != nil {
		return err
	}
	return f(c.Context(), cluster.Store)
}

// readNetworkFile reads and checks the network config of a file, which may be a daemon config that holds one, and returns
// it as etcd is to hold it.
func readNetworkFile(path string) ([]byte, error) {
	var s settings
	file, err := readConfigFile(path, newFlagSet(&s))
	if err != nil {
		return nil, err
	}
	if file.network == nil {
		return nil, fmt.Errorf("%s: no network config in it", path)
	}
	if _, _, err := new(daemon).readNetwork(file.network); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return compact(file.network), nil
}

// newFlagSet returns the daemon's flags for those who need to know their names.
func newFlagSet(s *settings) *pflag.FlagSet {
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.flags(f)
	return f
}
