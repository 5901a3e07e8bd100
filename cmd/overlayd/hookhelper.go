package main

import (
	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner/helper"
)

// helperCommand is the word by which this program runs hooks for a daemon. It is not for people.
const helperCommand = "hook-helper"

// newHelpers returns a pool of processes of this very program, whatever has become of its file meanwhile.
func newHelpers() *helper.Pool { return helper.NewPool("/proc/self/exe", "overlayd", helperCommand) }

func newHelperCommand() *cobra.Command {
	return &cobra.Command{
		Use: helperCommand, Short: "Run hooks for a daemon", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return helper.Main(builtin.TextTools) },
	}
}
