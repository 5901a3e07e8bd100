package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
)

// newToolCommands returns the network tools that hooks have in-process, for a terminal: to compare them with the real ones,
// and for machines that have none.
func newToolCommands() (tools []*cobra.Command) {
	for _, t := range [...]struct{ name, short string }{
		{"ip", "Show and change links, addresses, routes, rules and neighbours, as ip does"},
		{"bridge", "Show and change forwarding entries, as bridge does"},
		{"wg", "Show and change WireGuard devices, as wg does"},
		{"arp", "Change neighbours, as arp does"},
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
	return tools
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
