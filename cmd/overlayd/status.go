package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
)

// statusPatience is how long a daemon may take to say how it stands. It takes milliseconds.
const statusPatience = 5 * time.Second

func newStatusCommand() *cobra.Command {
	output := "text"
	var runDir string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show this node and every peer, as its daemon sees them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), statusPatience)
			defer cancel()
			status, err := control.Fetch(ctx, control.SocketPath(runDir))
			if err != nil {
				return refuse(exitUnreachable, err)
			}
			if output == "json" {
				encoder := json.NewEncoder(c.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			}
			return status.Text(c.OutOrStdout(), time.Now())
		},
	}
	pathVar(c.Flags(), &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	c.Flags().VarP(checked[string]{&output, oneOf("text", "json")}, "output", "o", "`FORMAT`: text or json")
	return c
}
