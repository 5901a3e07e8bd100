package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

const hookLogHelp = `Print the last hooks that the daemon has run, 500 at most, the oldest first: when and why, how long they took and how they
ended, what they did in the kernel by in-process commands, and what they printed. What a hook that failed did was undone.

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
			scope := peer
			if peer != "" && peer != hooks.NodeScope {
				if scope, err = scopeOf(ctx, socket, peer); err != nil {
					return err
				}
			}
			entries = slices.DeleteFunc(entries, func(e control.HookEntry) bool {
				return failed && e.Error == "" || scope != "" && e.Scope != scope
			})
			if output == "json" {
				return json.NewEncoder(c.OutOrStdout()).Encode(entries)
			}
			for _, e := range entries {
				if err := e.WriteText(c.OutOrStdout()); err != nil {
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
	outputVar(c, &output, "text", "json")
	return c
}

// scopeOf is the scope of the peer that is asked for, and what was asked for where it is none: one that has gone may be in the log.
func scopeOf(ctx context.Context, socket, asked string) (string, error) {
	status, err := control.Fetch(ctx, socket)
	if err != nil {
		return "", refuse(exitUnreachable, err)
	}
	x, err := find(status, asked)
	if err != nil || x.Own {
		return asked, nil
	}
	return control.Lease(x.Paths).String(), nil
}
