package main

import (
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
)

const graphHelp = `Print the overlay as this node sees it, as a picture: the node, and each peer with its state. --ping measures the round-trip
times to them first, as overlayd ping does.

    overlayd graph -o html >overlay.html     # with all that the status says
    overlayd graph -o svg >overlay.svg
    overlayd graph -o dot | neato -Tpng >overlay.png

The daemon has the same page, and it lives, where --listen says.`

func newGraphCommand() *cobra.Command {
	var runDir, output string
	var pings bool
	c := &cobra.Command{
		Use: "graph", Short: "Print the overlay as a picture", Long: graphHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			status, err := statusView{socket: control.SocketPath(runDir)}.fetch(c.Context())
			if err != nil {
				return err
			}
			g := control.Graph{Status: status, Trips: map[netip.Prefix]time.Duration{}}
			if pings {
				said := newProgress(c.ErrOrStderr(), "pinged")
				results, err := pingPeers(c.Context(), status, nil, said)
				said.end()
				if err != nil {
					return err
				}
				for _, r := range results {
					for _, l := range r.Layers {
						if l.Name != "underlay" && l.Trip > 0 {
							g.Trips[r.Peer] = time.Duration(l.Trip * float64(time.Second))
						}
					}
				}
			}
			switch output {
			case "svg":
				return g.SVG(c.OutOrStdout())
			case "html":
				return g.HTML(c.OutOrStdout(), time.Now())
			}
			return g.DOT(c.OutOrStdout())
		},
	}
	f := c.Flags()
	pathVar(f, &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	outputVar(c, &output, "dot", "svg", "html")
	f.BoolVar(&pings, "ping", false, "measure round-trip times first")
	return c
}
