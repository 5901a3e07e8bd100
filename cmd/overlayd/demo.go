package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/examples"
	"github.com/overlayd/overlayd/internal/demo"
)

const demoHelp = `Show a working overlay network on this machine: real daemons, each in a network namespace as if on a machine of its own.

It waits until every node has pinged every other node's overlay address, prints the round-trip times, lets one more node
join and another leave, and removes all of it. The machine's own interfaces, routes and files are not touched.`

func newDemoCommand() *cobra.Command {
	var config string
	o := demo.Options{Logger: slog.New(slog.DiscardHandler)}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show a working overlay network on this machine",
		Long:  demoHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if o.Config, err = demoConfig(config); err != nil {
				return refuse(exitConfig, err)
			}
			if _, err := o.Check(); err != nil {
				return refuse(exitUsage, err)
			}
			if o.Binary, err = os.Executable(); err != nil {
				return err
			}
			o.Out, o.Terminal = c.OutOrStdout(), isTerminal(c.OutOrStdout())
			err = demo.Run(c.Context(), o)
			if status, said := errors.AsType[demo.ExitStatus](err); said {
				return &refusal{err: err, status: int(status), said: true}
			}
			return err
		},
	}
	c.Flags().StringVar(&config, "config", "", "`FILE` with the network config (default: the vxlan example)")
	c.Flags().IntVar(&o.Nodes, "nodes", 3, "`NUMBER` of nodes to start with; one more joins later")
	c.Flags().BoolVar(&o.Keep, "keep", false, "stay until Ctrl-C, and say how to look around")
	return c
}

// demoConfig is the network config of the file, or the vxlan example.
func demoConfig(path string) ([]byte, error) {
	if path == "" {
		return examples.VXLAN, nil
	}
	return readNetworkFile(os.Stdin, path)
}
