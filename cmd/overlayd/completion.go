package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease/etcd"
)

// completionPatience is how long somebody who presses Tab waits for the daemon, or for etcd.
const completionPatience = 2 * time.Second

// addCompletions has shells offer no files where none is meant: what a flag or an argument takes is known from its type and from its
// name in the help. Commands add to that what only they know.
func addCompletions(c *cobra.Command) {
	for _, sub := range c.Commands() {
		addCompletions(sub)
	}
	if c.ValidArgsFunction == nil && !strings.Contains(c.Use, " ") {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		_, known := c.GetFlagCompletionFunc(f.Name)
		placeholder, _ := pflag.UnquoteUsage(f)
		choice, chosen := f.Value.(interface{ choices() []string })
		offer := cobra.NoFileCompletions
		switch {
		case known || placeholder == "FILE" || f.NoOptDefVal != "":
			return
		case placeholder == "DIR":
			offer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
		case f.Name == "log-level":
			offer = cobra.FixedCompletions([]cobra.Completion{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp)
		case chosen && choice.choices() != nil:
			offer = cobra.FixedCompletions(choice.choices(), cobra.ShellCompDirectiveNoFileComp)
		}
		_ = c.RegisterFlagCompletionFunc(f.Name, offer) // the flag is there, and has none
	})
}

// completed offers what the function finds in time, but for the words that are there already. What goes wrong is no news for
// somebody who presses Tab.
func completed(find func(c *cobra.Command) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
		defer cancel()
		c.SetContext(ctx)
		if fillFromEnvironment(c.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offers, _ := find(c)
		offers = slices.DeleteFunc(offers, func(offer cobra.Completion) bool {
			word, _, _ := strings.Cut(offer, "\t")
			return slices.Contains(args, word) || !strings.HasPrefix(word, typed)
		})
		return offers, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeNodes offers the nodes that the daemon knows, by their subnets: the peers, and where it makes sense this one.
func completeNodes(own bool) cobra.CompletionFunc {
	return completed(func(c *cobra.Command) (offers []cobra.Completion, err error) {
		runDir, err := c.Flags().GetString("run-dir")
		if err != nil {
			return nil, err
		}
		status, err := control.Fetch(c.Context(), control.SocketPath(runDir))
		if err != nil {
			return nil, err
		}
		add := func(paths []control.Path, what string) {
			for _, p := range paths {
				if p.Subnet.IsValid() {
					offers = append(offers, cobra.CompletionWithDesc(p.Subnet.String(), fmt.Sprintf("%s, at %s", what, p.PublicIP)))
					return
				}
			}
		}
		if own {
			add(status.Node.Paths, "this node")
		}
		for _, p := range status.Peers {
			add(p.Paths, string(p.State))
		}
		return offers, nil
	})
}

// completeRevisions offers the network configs of before.
func (s *settings) completeRevisions() cobra.CompletionFunc {
	return oneWord(completed(func(c *cobra.Command) (offers []cobra.Completion, err error) {
		return offers, s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
			versions, err := store.History(ctx)
			if err != nil {
				return err
			}
			for _, v := range newConfigHistory(versions).Configs[1:] {
				what := "another way than by overlayd"
				if !v.Written.IsZero() {
					what = v.Written.Format(time.DateTime) + " by " + printable(v.By)
				}
				offers = append(offers, cobra.CompletionWithDesc(strconv.FormatInt(v.Revision, 10), "written "+what))
			}
			return nil
		})
	}))
}

// completeLeases offers the subnets that somebody holds.
func (s *settings) completeLeases() cobra.CompletionFunc {
	return oneWord(completed(func(c *cobra.Command) (offers []cobra.Completion, err error) {
		return offers, s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
			list, err := listLeases(ctx, store, false)
			for _, l := range list.Leases {
				cells := l.cells()
				offers = append(offers, cobra.CompletionWithDesc(cells[0], fmt.Sprintf("%s of %s", cells[2], cells[1])))
			}
			return err
		})
	}))
}

// completeEvents offers the hooks.
func completeEvents() cobra.CompletionFunc {
	return oneWord(cobra.FixedCompletions([]cobra.Completion{
		string(hooks.PreStartup), string(hooks.PostStartup), string(hooks.SubnetAdd), string(hooks.SubnetRemove), string(hooks.Shutdown),
	}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
}

// oneWord offers something for the first argument alone.
func oneWord(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(c, args, typed)
	}
}
