package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/lease/etcd"
)

const configHistoryHelp = `List the network configs of before, the one in use first: those that overlayd config put, edit and rollback have replaced,
50 at most, and all that etcd has not forgotten by compaction. WRITTEN and BY are known only of those that these commands wrote. -o json has
the configs themselves too.`

func newConfigHistoryCommand() *cobra.Command {
	var s settings
	var output string
	c := &cobra.Command{
		Use: "history", Short: "List the network configs of before", Long: configHistoryHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				versions, err := store.History(ctx)
				if errors.Is(err, fs.ErrNotExist) {
					return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config, and none is remembered", store.ConfigKey()))
				}
				if err != nil {
					return err
				}
				list := newConfigHistory(versions)
				if output == "json" {
					return json.NewEncoder(c.OutOrStdout()).Encode(list)
				}
				return list.table(c.OutOrStdout())
			})
		},
	}
	outputVar(c, &output, "text", "json")
	s.etcdFlags(c.Flags())
	return c
}

// A configHistory is what configs there have been, the newest first. Its JSON keys are stable.
type configHistory struct {
	Version int             `json:"version"` // of this structure: 1
	Configs []configVersion `json:"configs"`
}

type configVersion struct {
	Revision int64     `json:"revision"`
	Written  time.Time `json:"written,omitzero"`
	By       string    `json:"by,omitzero"`
	Changed  []string  `json:"changed"` // keys in which it differs from the one before it
	Config   string    `json:"config"`  // as text: it need not be JSON
}

func newConfigHistory(versions []etcd.Version) configHistory {
	h := configHistory{1, []configVersion{}}
	for i, v := range versions {
		entry := configVersion{Revision: v.Revision, Written: v.At, By: v.By, Changed: []string{}, Config: string(v.Value)}
		if i+1 < len(versions) {
			for _, change := range configChanges(versions[i+1].Value, v.Value) {
				entry.Changed = append(entry.Changed, change.Key)
			}
		}
		h.Configs = append(h.Configs, entry)
	}
	return h
}

func (h configHistory) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tWRITTEN\tBY\tCHANGED")
	for _, c := range h.Configs {
		written, by := "-", "-"
		if !c.Written.IsZero() {
			written, by = c.Written.Format(time.RFC3339), printable(c.By)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", c.Revision, written, by, cmp.Or(printable(strings.Join(c.Changed, ", ")), "-"))
	}
	return w.Flush()
}

func newConfigRollbackCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "rollback REVISION",
		Short: "Put the network config of an earlier revision in force again",
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: s.completeRevisions(),
		RunE: func(c *cobra.Command, args []string) error {
			revision, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || revision < 1 {
				return refuse(exitUsage, fmt.Errorf("revision %q: not a number", args[0]), "see overlayd config history")
			}
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error { return rollBack(ctx, c, store, revision) })
		},
	}
	s.etcdFlags(c.Flags())
	return c
}

func rollBack(ctx context.Context, c *cobra.Command, store *etcd.Store, revision int64) error {
	old, err := store.Configs(ctx)
	if err != nil {
		return err
	}
	versions, err := store.History(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	i := slices.IndexFunc(versions, func(v etcd.Version) bool { return v.Revision == revision })
	if i < 0 {
		return refuse(exitConfig, fmt.Errorf("etcd %s: revision %d is not remembered", store.ConfigKey(), revision), "see overlayd config history")
	}
	if err := checkNetwork(versions[i].Value); err != nil {
		return refuse(exitConfig, fmt.Errorf("etcd %s@%d: %w", store.ConfigKey(), revision, err))
	}
	return proposal{store: store, old: old, value: versions[i].Value}.put(ctx, c)
}
