package main

import (
	"context"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// run is the program: it carries out args and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "overlayd",
		Short:         "Give every machine a subnet and connect the subnets into one overlay network",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("overlayd {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return refuse(exitUsage, err, "see "+c.CommandPath()+" --help")
	})
	root.AddCommand(newRunCommand(), newStatusCommand(), newConfigCommand(), newLeaseCommand(), newEtcdCommand(), newDemoCommand(), newHookCommand())
	root.AddCommand(newToolCommands()...)
	return report(stderr, usageStatus(root.ExecuteContext(ctx)))
}

// usageStatus gives cobra's own complaints about the command line, which have no type, the exit status of a usage error.
func usageStatus(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, prefix := range []string{"unknown command", "accepts ", "requires at least", "required flag"} {
		if strings.HasPrefix(text, prefix) {
			return refuse(exitUsage, err, "see overlayd --help")
		}
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
