package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

const hookLogHelp = `Print the last hooks that the daemon has run, 500 at most, the oldest first: when and why, how long they took and how they
ended, what they did in the kernel by in-process commands, and what they printed. What a hook that failed did was undone. Lines that are
too long for a terminal are broken there.

NODE is a peer's subnet, an address of it, its public address or its identity, or node for this node's own hooks.`

func newHookLogCommand() *cobra.Command {
	var runDir, peer, output string
	var failed bool
	c := &cobra.Command{
		Use: "log", Short: "Print the last hooks that ran, with what they did and printed", Long: hookLogHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			socket := control.SocketPath(runDir)
			ctx, cancel := context.WithTimeout(c.Context(), statusPatience)
			defer cancel()
			entries, err := control.FetchHookLog(ctx, socket)
			if err != nil {
				return refuse(exitUnreachable, err)
			}
			if peer != "" {
				if entries, err = logOf(ctx, socket, peer, entries); err != nil {
					return err
				}
			}
			entries = slices.DeleteFunc(entries, func(e control.HookEntry) bool { return failed && e.Error == "" })
			if output == "json" {
				return json.NewEncoder(c.OutOrStdout()).Encode(entries)
			}
			show := control.HookEntry.WriteText
			if isTerminal(c.OutOrStdout()) {
				show = control.HookEntry.WriteScreen
			}
			for _, e := range entries {
				if err := show(e, c.OutOrStdout()); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := c.Flags()
	pathVar(f, &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	f.StringVar(&peer, "peer", "", "only those for this `NODE`")
	f.BoolVar(&failed, "failed", false, "only those that failed")
	_ = c.RegisterFlagCompletionFunc("peer", completeNodes(true)) // the flag is there
	outputVar(c, &output, "text", "json")
	return c
}

// logOf are the entries for the node that is asked for. A subnet may be that of a peer that has gone, if a hook ran for it.
func logOf(ctx context.Context, socket, asked string, entries []control.HookEntry) ([]control.HookEntry, error) {
	status, err := control.Fetch(ctx, socket)
	if err != nil {
		return nil, refuse(exitUnreachable, err)
	}
	scope := asked
	x, err := find(status, asked)
	switch {
	case err == nil && x.Own:
		scope = hooks.NodeScope
	case err == nil:
		scope = control.Lease(x.Paths).String()
	}
	entries = slices.DeleteFunc(entries, func(e control.HookEntry) bool { return e.Scope != scope })
	if err != nil && scope != hooks.NodeScope && len(entries) == 0 {
		return nil, refuse(exitUsage, fmt.Errorf("hook log of %s: no node has this address, subnet or identity, and no hook that is remembered ran for it",
			printable(asked)), "see overlayd status for those that there are")
	}
	return entries, nil
}
