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

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// etcdPatience is how long a command at a terminal waits for etcd.
const etcdPatience = 5 * time.Second

func newConfigCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at the network config and change it",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigGetCommand(), newConfigPutCommand(), newConfigCheckCommand())
	return c
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
					return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config", store.ConfigKey()), "write one with overlayd config put FILE")
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
		Args:  cobra.ExactArgs(1),
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
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := readNetworkFile(args[0]); err != nil {
				return refuse(exitConfig, err)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: valid\n", args[0])
			return err
		},
	}
}

// withStore calls f with the store that the command's etcd flags name; without any, with the member of a daemon on this machine.
func (s *settings) withStore(c *cobra.Command, f func(context.Context, *etcd.Store) error) error {
	if err := fillFromEnvironment(c.Flags()); err != nil {
		return refuse(exitUsage, err)
	}
	if len(s.etcd.Endpoints) == 0 {
		s.etcd.Endpoints = []string{defaultListen}
	}
	store, closeStore, err := dial(c.Context(), s.etcd, s.etcdPrefix, etcdPatience, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer closeStore()
	return f(c.Context(), store)
}

// readNetworkFile reads and checks the network config of a file, which may be a daemon config that holds one.
func readNetworkFile(path string) ([]byte, error) {
	var s settings
	file, err := readConfigFile(path, newFlagSet(&s))
	if err != nil {
		return nil, err
	}
	if file.network == nil {
		return nil, fmt.Errorf("%s: no network config in it", path)
	}
	network, err := lease.ParseNetwork(file.network)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := new(daemon).newBackend(network.Backend); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file.network, nil
}
