package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

const referenceHead = `# Commands

All commands and their flags, as ` + "`overlayd reference`" + ` prints them. Every flag can also come from the environment:
` + "`--etcd-prefix` as `OVERLAYD_ETCD_PREFIX`" + `.

| exit status | meaning |
|---|---|
| 0 | it is done, or an asked-for stop |
| 1 | it failed, or there are findings |
| 2 | the command line or the environment does not parse |
| 3 | the network config, the daemon's config, or a file that one of them names, is invalid, cannot be written, or is another daemon's |
| 6 | no daemon answers |
| 7 | a daemon answers, and is not as was asked for; or there are warnings |

` + "`overlayd ip`, `bridge`, `wg`, `arp` and `sysctl`" + ` end as the tools of these names do.
`

// newReferenceCommand returns the command that the project's own documentation is made with.
func newReferenceCommand() *cobra.Command {
	var man string
	c := &cobra.Command{
		Use: "reference", Short: "Print the reference of all commands, or write man pages", Args: cobra.NoArgs, Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			root := c.Root()
			if man == "" {
				return writeReference(c.OutOrStdout(), root)
			}
			if err := os.MkdirAll(man, 0o755); err != nil {
				return err
			}
			root.DisableAutoGenTag = true
			epoch := time.Unix(0, 0).UTC() // the same pages whenever they are made
			return doc.GenManTree(root, &doc.GenManHeader{Title: "OVERLAYD", Section: "8", Source: "overlayd", Manual: "overlayd", Date: &epoch}, man)
		},
	}
	pathVar(c.Flags(), &man, "man", "", "`DIR` for man pages of section 8")
	return c
}

// writeReference writes all that is not hidden below the command, and it, as Markdown.
func writeReference(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	var write func(*cobra.Command)
	write = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		if c.Runnable() && c != root && !c.HasAvailableSubCommands() {
			referenceEntry(&b, c)
		}
		for _, sub := range c.Commands() {
			write(sub)
		}
	}
	write(root)
	_, err := io.WriteString(w, b.String())
	return err
}

func referenceEntry(b *strings.Builder, c *cobra.Command) {
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n    %s\n\n%s\n", c.CommandPath(), c.UseLine(), strings.TrimSpace(text))
	flags := c.NonInheritedFlags()
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString("\n| flag | default | |\n|---|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "`--" + strings.TrimSpace(f.Name+" "+value) + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		byDefault := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" && f.DefValue != "0s" {
			byDefault = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, byDefault, strings.ReplaceAll(usage, "|", `\|`))
	})
}
