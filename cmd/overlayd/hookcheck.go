package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner"
	"github.com/overlayd/overlayd/lease"
)

const hookCheckHelp = `Look for mistakes in the hooks of a network config, by their text alone: commands that nobody answers, variables that the
event does not set, a peer's data where it could be taken for code or for more than one word, effects that nobody takes back,
and private keys that others could read. Each finding has its place: KEY:LINE:COLUMN in the command.

The exit status is 1 when there are findings, and 3 when the config is not valid.`

func newHookCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Look for mistakes in hooks", Long: hookCheckHelp, Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			value, err := readNetworkFile(c.InOrStdin(), args[0])
			if err != nil {
				return refuse(exitConfig, err)
			}
			findings, err := lintNetwork(value)
			if err != nil {
				return refuse(exitConfig, fmt.Errorf("%s: %w", args[0], err))
			}
			for _, f := range findings {
				fmt.Fprintln(c.OutOrStdout(), f)
			}
			if len(findings) > 0 {
				return &refusal{status: exitFailed, said: true, err: fmt.Errorf("%d findings", len(findings))}
			}
			return nil
		},
	}
}

// lintNetwork is what the linter finds in the hooks of a valid network config.
func lintNetwork(value []byte) ([]hookrunner.Finding, error) {
	network, err := lease.ParseNetwork(value)
	if err != nil || network.Backend.Type != "extension" {
		return nil, err
	}
	config, err := hookrunner.Parse(network.Backend.Raw)
	if err != nil {
		return nil, err
	}
	return config.Lint(network.V4.Network.IsValid(), network.V6.Network.IsValid(), builtin.Answers), nil
}
