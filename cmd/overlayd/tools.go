package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
)

// newToolCommands returns the network tools that hooks have in-process, for a terminal: to compare them with the real ones,
// and for machines that have none.
func newToolCommands() (tools []*cobra.Command) {
	for _, t := range [...]struct{ name, short string }{
		{"ip", "Show and change links, addresses, routes and more, as ip does"},
		{"bridge", "Show and change forwarding entries and ports, as bridge does"},
		{"wg", "Show and change WireGuard devices, as wg does"},
		{"arp", "Show and change neighbours, as arp does"},
		{"sysctl", "Show and change settings of the network, as sysctl does"},
	} {
		tools = append(tools, &cobra.Command{
			Use:                t.name + " ARGUMENTS",
			Short:              t.short,
			DisableFlagParsing: true, // all words are the tool's
			RunE: func(c *cobra.Command, args []string) error {
				return runTool(c, append([]string{t.name}, args...))
			},
		})
	}
	for _, t := range tools {
		if t.Name() == "wg" {
			t.AddCommand(newRotateCommand())
		}
	}
	return tools
}

const rotateHelp = `Replace this node's WireGuard key. The daemon makes a second link with the new key, beside the one there is, and has the other
nodes come there; packets pass by it while the key of the first is replaced. That takes two seconds, and up to twenty where
some nodes cannot come there. Without a running daemon the next one does it.`

// newRotateCommand is the one word of wg that is overlayd's own.
func newRotateCommand() *cobra.Command {
	var stateDir string
	const patience = time.Minute
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace this node's WireGuard key",
		Long:  rotateHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), patience)
			defer cancel()
			public, inUse, err := builtin.RotateWireGuardKey(ctx, stateDir)
			if errors.Is(err, fs.ErrNotExist) {
				return refuse(exitFailed, err, "name the daemon's directory with --state-dir, if this node has been one of a network of type wireguard")
			}
			if errors.Is(err, fs.ErrExist) {
				return refuse(exitFailed, err, "wait until the daemon has taken up the key before; it does when it runs")
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), public)
			if !inUse {
				fmt.Fprintln(c.ErrOrStderr(), "no WireGuard device has the new key yet: the daemon takes it up when it runs, and it is its turn")
			}
			return nil
		},
	}
	pathVar(c.Flags(), &stateDir, "state-dir", defaultStateDir, "the daemon's `DIR` for what survives a reboot")
	return c
}

// runTool ends with the tool's own exit status; what the tool had to say it has said.
func runTool(c *cobra.Command, argv []string) error {
	set, err := builtin.Open(builtin.Options{})
	if err != nil {
		return err
	}
	defer set.Close()
	terminal := builtin.Terminal{Env: os.Environ(), Stdin: c.InOrStdin(), Stdout: c.OutOrStdout(), Stderr: c.ErrOrStderr()}
	status, err := set.Command(c.Context(), terminal, argv...)
	if err == nil && status != 0 {
		return &refusal{status: status, said: true}
	}
	return err
}
