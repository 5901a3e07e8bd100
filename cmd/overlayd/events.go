package main

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
)

const eventsHelp = `Print what has happened to the daemon since it started, the last thousand events at most: what this node and its peers do,
hooks that ran, network configs taken up or refused, and whether etcd answers.

Each event is a line, which a terminal gets broken where it is too long. With --output json each is a line of JSON. Its keys are
stable.`

func newEventsCommand() *cobra.Command {
	var runDir, output string
	var follow bool
	c := &cobra.Command{
		Use: "events", Short: "Print what has happened to the daemon", Long: eventsHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			out := c.OutOrStdout()
			show := func(e control.Event) error { return e.WriteText(out) }
			switch {
			case output == "text" && isTerminal(out):
				show = func(e control.Event) error { return e.WriteScreen(out) }
			case output == "json":
				encoder := json.NewEncoder(out)
				show = func(e control.Event) error { return encoder.Encode(e) }
			}
			err := control.Follow(c.Context(), control.SocketPath(runDir), follow, show)
			if errors.Is(err, io.EOF) {
				err = errors.New("the daemon has ended")
			}
			return refuse(exitUnreachable, err)
		},
	}
	f := c.Flags()
	pathVar(f, &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	outputVar(c, &output, "text", "json")
	return c
}
