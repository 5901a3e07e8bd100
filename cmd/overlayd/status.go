package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
)

func newStatusCommand() *cobra.Command {
	var runDir, output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show this node and every peer, as its daemon sees them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return refuse(exitUsage, err)
			}
			if output != "" && output != "json" {
				return refuse(exitUsage, fmt.Errorf("output %q: only json", output))
			}
			status, err := control.Fetch(c.Context(), control.SocketPath(runDir))
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
	c.Flags().StringVar(&runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	c.Flags().StringVarP(&output, "output", "o", "", "`FORMAT`: json, or a page of text when not given")
	return c
}
