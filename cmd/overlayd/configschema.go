package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// networkSchema is the network config in the words of JSON Schema 2020-12. It knows keys and types in their usual spelling alone,
// where the daemon takes them in any case of letters.
//
//go:embed network.schema.json
var networkSchema []byte

const configSchemaHelp = `Print the JSON Schema of the network config, by which editors complete and check it. It knows what each value may be; how
values fit together, and whether commands parse, only overlayd config check knows.

An editor with the YAML language server finds it by this first line of a file:

    # yaml-language-server: $schema=network.schema.json`

func newConfigSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the network config", Long: configSchemaHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(networkSchema)
			return err
		},
	}
}
