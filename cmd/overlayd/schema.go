package main

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/nearest"
)

// schemas are what commands print with -o json, in the words of JSON Schema 2020-12, each in a file of the command's name. A test
// makes them of the types that are printed.
//
//go:embed schemas/*.json
var schemas embed.FS

const schemaHelp = `Print the JSON Schema of what a command prints with --output json, or the names of the commands that have one.

    overlayd schema hook log >hook-log.schema.json

The version of a schema is in its $id. Within a version keys may be added, so that readers had better pass over those that they do
not know; none goes, or changes its meaning. overlayd config get prints the network config, of which overlayd config schema has
the schema. That of overlayd events is the schema of each line.`

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema [COMMAND]", Short: "Print the JSON Schema of what a command prints with -o json", Long: schemaHelp,
		ValidArgsFunction: completeSchema,
		RunE: func(c *cobra.Command, args []string) error {
			text := []byte(strings.Join(schemaNames(), "\n") + "\n")
			if len(args) > 0 {
				var err error
				if text, err = schemaOf(strings.Join(args, " ")); err != nil {
					return refuse(exitUsage, err, "see overlayd schema for those that do")
				}
			}
			_, err := c.OutOrStdout().Write(text)
			return err
		},
	}
}

// schemaNames are the commands whose output has a schema.
func schemaNames() (names []string) {
	files, _ := fs.ReadDir(schemas, "schemas") // they are in the program
	for _, f := range files {
		names = append(names, strings.ReplaceAll(strings.TrimSuffix(f.Name(), ".json"), "-", " "))
	}
	return names
}

func schemaOf(command string) ([]byte, error) {
	names := schemaNames()
	if slices.Contains(names, command) {
		return schemas.ReadFile("schemas/" + strings.ReplaceAll(command, " ", "-") + ".json")
	}
	err := fmt.Errorf("schema %q: no command of this name has one", command)
	if like := nearest.Of(command, names); like != "" {
		err = fmt.Errorf("%w: did you mean %s?", err, like)
	}
	return nil, err
}

// completeSchema are the words that can follow those of a command's name.
func completeSchema(_ *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
	for _, name := range schemaNames() {
		name := strings.Split(name, " ")
		if len(name) > len(args) && slices.Equal(name[:len(args)], args) {
			words = append(words, name[len(args)])
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
