package hookrunner

import (
	"fmt"

	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/hookrunner/lint"
	"github.com/overlayd/overlayd/hooks"
)

// A Finding is what is probably a mistake in a command.
type Finding struct {
	Key string // of the config, such as SubnetAddCommand
	lint.Finding
}

// String is "key:line:column: what".
func (f Finding) String() string { return fmt.Sprintf("%s:%s: %s", f.Key, f.At, f.What) }

// Lint looks for probable mistakes in the commands, in the order of hooks, by their text and the programs that are installed.
// The network has addresses of the families v4 and v6. inProcess reports whether a command is answered without a program, where
// Shell is not given.
func (c Config) Lint(v4, v6 bool, inProcess func(name string) bool) (all []Finding) {
	for _, h := range hookOrder {
		if c.commands[h] == nil {
			continue
		}
		facts := lint.Facts{Hook: h, V4: v4, V6: v6, HasRemove: c.commands[hooks.SubnetRemove] != nil, InProcess: func(name string) bool {
			return c.Shell == "" && (inProcess(name) || helper.IsUtility(name))
		}}
		for _, f := range lint.File(c.commands[h].File, facts) {
			all = append(all, Finding{commandKey(h), f})
		}
	}
	return all
}
