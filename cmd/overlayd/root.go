package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/screen"
)

// run is the program: it carries out args and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	understood := false
	root := newRoot(stdout, stderr)
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if !understood {
		err = refuse(exitUsage, err, "see "+command.CommandPath()+" --help")
	}
	return report(stderr, err)
}

// newRoot returns all commands.
func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := newGroup("overlayd", "Give every machine a subnet and connect the subnets into one overlay network",
		newRunCommand(), newStatusCommand(), newEventsCommand(), newConfigCommand(), newLeaseCommand(), newEtcdCommand(), newHookCommand(),
		newDockerOptsCommand(), newCleanupCommand(), newMigrateCommand(), newBundleCommand(), newDoctorCommand(), newExplainCommand(), newPingCommand(), newGraphCommand(), newSchemaCommand(), newReferenceCommand(), newDemoCommand())
	root.AddCommand(newToolCommands()...)
	root.AddCommand(newHelperCommand())
	root.Version = version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetVersionTemplate("overlayd {{.Version}}\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", screen.Columns)))
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.InitDefaultCompletionCmd() // which keeps the output of now
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			c.Args, c.RunE = noSuchCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
		case "help":
			c.Args = helpedCommand
		}
	}
	addCompletions(root)
	fill(root)
	return root
}

// fill lays out the help of a command and of those below it.
func fill(c *cobra.Command) {
	c.Long = screen.Text(c.Long)
	for _, sub := range c.Commands() {
		fill(sub)
	}
}

// newGroup returns a command that only has others below it, and without one of them prints its help.
func newGroup(name, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },

		SuggestionsMinimumDistance: 2,
	}
	group.AddCommand(commands...)
	return group
}

// noSuchCommand refuses the word that is none of a group's commands, and names the one that is like it.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(like, " or "))
	}
	return err
}

// helpedCommand refuses words that are no command, of which there is no help.
func helpedCommand(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = noSuchCommand(found, rest)
	}
	return err
}

// version is what the build recorded about itself: the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if revision == "" {
		return "devel"
	}
	return revision[:min(12, len(revision))] + modified
}
