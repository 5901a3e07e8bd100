package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/node"
)

const hookPlanHelp = `Run one hook of a network config against a copy of this machine's present state, and print what would change as
ip, bridge and wg command lines. Nothing of the machine's network is touched.

Programs other than the commands that overlayd has in-process are not run. They are listed, and taken to succeed in silence.
Files below the working directory of hooks are copies; all others can be read, and what would be written to them goes nowhere.
A hook that another shell runs ("Shell" in the config) cannot be foreseen.

The exit status is 1 when the hook would fail.`

func newHookPlanCommand() *cobra.Command {
	var o occasion
	return o.command("plan", "Show what a hook would change", hookPlanHelp, func(c *cobra.Command) error {
		return o.rehearse(c, c.OutOrStdout())
	})
}

func (o *occasion) rehearse(c *cobra.Command, out io.Writer) error {
	log := newLogger(c.ErrOrStderr(), o.logLevel, o.logFormat)
	rehearsal, err := builtin.Rehearse(c.Context(), builtin.Options{Ledger: filepath.Join(o.runDir, "ledger"), Logger: log})
	if err != nil {
		return err
	}
	dir, err := copyFiles(o.stateDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.stateDir = dir
	d := &daemon{settings: o.settings, log: log, commands: rehearsal.Set, helpers: newHelpers(), rehearsal: true}
	defer d.helpers.Close()
	if d.nodeID, err = node.Identity(dir); err != nil {
		return err
	}
	p, err := d.plan(o.config, o.network)
	if err != nil {
		return err
	}
	data, err := o.perform(c.Context(), p)
	for _, line := range rehearsal.Changes() {
		fmt.Fprintln(out, line)
	}
	for _, line := range rehearsal.NotRun() {
		fmt.Fprintln(out, "# not run:", line)
	}
	if text := string(data.V4) + string(data.V6); text != "" {
		fmt.Fprintln(out, "# tells the other nodes:", text)
	}
	return refuse(exitFailed, err)
}

// copyFiles copies the files of a directory to a new one, without what is in directories.
func copyFiles(from string) (to string, err error) {
	if to, err = os.MkdirTemp("", "overlayd-"); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, os.ErrNotExist) {
		return to, nil
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		text, readErr := os.ReadFile(filepath.Join(from, e.Name()))
		err = errors.Join(err, readErr)
		if readErr == nil {
			err = errors.Join(err, os.WriteFile(filepath.Join(to, e.Name()), text, 0o600))
		}
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(to))
	}
	return to, nil
}
