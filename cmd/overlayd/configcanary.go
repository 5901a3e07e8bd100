package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/screen"
	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const configCanaryHelp = `Show the network config that overlayd config put --canary has staged, and what the nodes that try it say: running once their
hooks have succeeded, went back when they failed, refused when a node could not use it at all, and waiting as long as a node says
nothing. Of the other nodes, those are listed for which it did not do after --continue.

The exit status is 7 unless all of them say running, and 1 when nothing is staged. --wait waits for that long at most until all
that are to try it have said something.`

func newConfigCanaryCommand() *cobra.Command {
	var s settings
	var output string
	var wait time.Duration
	c := &cobra.Command{
		Use: "canary", Short: "Show how a staged network config does", Long: configCanaryHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				v, err := awaitCanaries(ctx, store, wait)
				if err != nil {
					return err
				}
				text := func(w io.Writer) error { return v.text(w, time.Now()) }
				return printJudged(c.OutOrStdout(), output, v, text, v.good())
			})
		},
	}
	outputVar(c, &output, "text", "json")
	s.etcdFlags(c.Flags())
	c.Flags().DurationVar(&wait, "wait", 0, "`TIME` to wait for what the nodes say")
	return c
}

// A stage is how far a roll-out has come.
type stage string

// The stages of a roll-out.
const (
	staged    stage = "staged"    // some nodes try the config
	continued stage = "continued" // it is that of all nodes
	overtaken stage = "overtaken" // another network config has been written since, which counts
)

// A canaryView is how a staged roll-out stands. Its JSON keys are stable.
type canaryView struct {
	Version  int          `json:"version"` // of this structure: 1
	Key      string       `json:"key"`
	Revision int64        `json:"revision"` // etcd's
	Stage    stage        `json:"stage"`
	Base     int64        `json:"base"` // the revision of the network config that it is to replace
	Written  time.Time    `json:"written,omitzero"`
	By       string       `json:"by,omitzero"`
	Nodes    []canaryNode `json:"nodes"`
	Config   string       `json:"config"`
}

// A canaryNode is a node that tries the config, or one for which it did not do.
type canaryNode struct {
	NodeID  string              `json:"nodeID"`
	Subnets []netip.Prefix      `json:"subnets"`        // none where the node has no lease
	Canary  bool                `json:"canary"`         // it is to try the config before others
	State   control.CanaryState `json:"state,omitzero"` // absent while it says nothing
	Since   time.Time           `json:"since,omitzero"`
	Error   string              `json:"error,omitzero"`
}

// awaitCanaries waits until all canaries have said something, or the time is over. Of a config that is not to be tried any more they say
// nothing.
func awaitCanaries(ctx context.Context, store *etcd.Store, wait time.Duration) (canaryView, error) {
	for deadline := time.Now().Add(wait); ; _ = sleep.For(ctx, 200*time.Millisecond) {
		configs, err := store.Configs(ctx)
		if err != nil {
			return canaryView{}, err
		}
		switch {
		case configs.Staged == nil && configs.StagedRevision != 0:
			return canaryView{}, refuse(exitFailed, fmt.Errorf("etcd %s@%d: this is no staged network config", store.StagedKey(), configs.StagedRevision),
				"delete it with overlayd config put --abandon")
		case configs.Staged == nil:
			return canaryView{}, refuse(exitFailed, fmt.Errorf("etcd %s: nothing is staged", store.StagedKey()),
				"stage a network config with overlayd config put --canary NODE FILE")
		}
		reports, err := store.Reports(ctx, *configs.Staged)
		silent := func(id string) bool { _, said := reports[id]; return !said }
		if err != nil || ctx.Err() != nil {
			return canaryView{}, errors.Join(err, ctx.Err())
		}
		if configs.InForce() == nil || !slices.ContainsFunc(configs.Staged.Nodes, silent) || time.Now().After(deadline) {
			return viewCanaries(ctx, store, configs, reports)
		}
	}
}

func viewCanaries(ctx context.Context, store *etcd.Store, configs etcd.Configs, reports map[string]etcd.Report) (canaryView, error) {
	of := *configs.Staged
	v := canaryView{
		Version: 1, Key: store.StagedKey(), Revision: of.Revision, Stage: overtaken,
		Base: of.Base, Written: of.At, By: of.By, Config: string(of.Value),
	}
	switch {
	case configs.InForce() != nil:
		v.Stage = staged
	case lease.SameJSON(configs.Value, of.Value):
		v.Stage = continued
	}
	leases, err := store.Load(ctx)
	if err != nil {
		return v, err
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(reports)), func(id string) bool { return slices.Contains(of.Nodes, id) })
	for i, id := range append(slices.Clone(of.Nodes), others...) {
		r := reports[id]
		n := canaryNode{
			NodeID: id, Subnets: []netip.Prefix{}, Canary: i < len(of.Nodes),
			State: control.CanaryState(r.State), Since: r.At, Error: r.Error,
		}
		for record := range leases.Records.All() {
			if record.NodeID == id {
				for p := range record.Paths() {
					n.Subnets = append(n.Subnets, p.Subnet)
				}
			}
		}
		v.Nodes = append(v.Nodes, n)
	}
	return v, nil
}

// good reports whether all nodes run the config.
func (v canaryView) good() bool {
	return !slices.ContainsFunc(v.Nodes, func(n canaryNode) bool { return n.State != control.CanaryRunning })
}

// stages say what each stage means to people, and what can be done next.
var stages = map[stage]string{
	staged:    "to replace revision %d: overlayd config put --continue or --abandon ends that",
	continued: "all nodes use it, in the place of revision %d",
	overtaken: "it was to replace revision %d, which is replaced by another, and counts no more",
}

func (v canaryView) text(w io.Writer, now time.Time) error {
	const width = 12
	var b strings.Builder
	b.WriteString(screen.Field(width, "config", fmt.Sprintf("etcd %s@%d", v.Key, v.Revision)))
	b.WriteString(screen.Field(width, "stage", fmt.Sprintf("%s, "+stages[v.Stage], v.Stage, v.Base)))
	if !v.Written.IsZero() {
		b.WriteString(screen.Field(width, "written", fmt.Sprintf("%s ago by %s", control.Span(now.Sub(v.Written)), printable(v.By))))
	}
	b.WriteByte('\n')
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSUBNET\tSTATE\tAGE")
	for _, n := range v.Nodes {
		subnet, since := "no lease", "-"
		if len(n.Subnets) > 0 {
			subnet = n.Subnets[0].String()
		}
		if !n.Since.IsZero() {
			since = control.Span(now.Sub(n.Since))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable(n.NodeID), subnet, cmp.Or(printable(string(n.State)), "waiting"), since)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i, line := range strings.SplitAfter(table.String(), "\n") {
		b.WriteString(line)
		if i > 0 && i <= len(v.Nodes) {
			b.WriteString(screen.Field(4, "", printable(v.Nodes[i-1].Error)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// stage writes the proposal for the nodes that are named to try.
func (p proposal) stage(ctx context.Context, c *cobra.Command, named []string) error {
	if p.old.Value == nil {
		return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config to replace", p.store.ConfigKey()), "put this one for all nodes")
	}
	if lease.SameJSON(p.old.Value, p.value) {
		return p.same(c)
	}
	leases, err := p.store.Load(ctx)
	if err != nil {
		return err
	}
	nodes, err := identitiesOf(named, leases)
	if err != nil {
		return err
	}
	if err := p.show(c); err != nil {
		return err
	}
	if err := checkCanary(p.old.Value, p.value); err != nil {
		return refuse(exitConfig, err, "put it for all nodes")
	}
	if p.dryRun {
		return nil
	}
	revision, err := p.store.Stage(ctx, p.old, p.value, nodes, author())
	if err := p.written(c, p.store.StagedKey(), revision, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d of %d nodes try it: see overlayd config canary\n", len(nodes), leases.Records.Len())
	return err
}

// identitiesOf are the nodes that are named, each once.
func identitiesOf(named []string, leases lease.Snapshot) (ids []string, err error) {
	for _, name := range named {
		found := map[string]bool{}
		for r := range leases.Records.All() {
			var paths []control.Path
			for _, p := range [...]lease.Path{r.V4, r.V6} {
				paths = append(paths, control.Path{Subnet: p.Subnet, PublicIP: p.PublicIP})
			}
			if isMeant(name, paths, r.NodeID) {
				found[r.NodeID] = true
			}
		}
		switch {
		case len(found) == 0:
			return nil, refuse(exitUsage, fmt.Errorf("canary %s: no node has this subnet, address or identity", printable(name)), "see overlayd lease list")
		case len(found) > 1:
			return nil, refuse(exitUsage, fmt.Errorf("canary %s: %d nodes have it", printable(name), len(found)), "see overlayd lease list")
		case found[""]:
			return nil, refuse(exitUsage, fmt.Errorf("canary %s: it is flannel's, which tries nothing", printable(name)))
		}
		for id := range found {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// end continues or abandons what is staged.
func (o *putOptions) end(ctx context.Context, c *cobra.Command, store *etcd.Store) error {
	configs, err := store.Configs(ctx)
	if err != nil {
		return err
	}
	of := configs.Staged
	if o.abandon && configs.StagedRevision == 0 || o.goOn && configs.InForce() == nil {
		return refuse(exitFailed, fmt.Errorf("etcd %s: nothing is staged that could replace the network config", store.StagedKey()), "see overlayd config canary")
	}
	if o.abandon {
		if o.dryRun {
			return nil
		}
		p := proposal{store: store}
		if err := store.Abandon(ctx, configs); err != nil {
			return p.written(c, store.StagedKey(), 0, err)
		}
		effect := "it did not count any more"
		if configs.InForce() != nil {
			effect = fmt.Sprintf("nodes that run it go back to revision %d", configs.Revision)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "etcd %s@%d deleted: %s\n", store.StagedKey(), configs.StagedRevision, effect)
		return err
	}
	p := proposal{store: store, old: configs, value: of.Value, dryRun: o.dryRun}
	if err := p.show(c); err != nil {
		return err
	}
	reports, err := store.Reports(ctx, *of)
	if err != nil {
		return err
	}
	failing := func(id string) bool { return reports[id].State != string(control.CanaryRunning) }
	if slices.ContainsFunc(of.Nodes, failing) && !o.force {
		return refuse(exitDegraded, fmt.Errorf("etcd %s@%d: not all nodes that are to try it run it", store.StagedKey(), of.Revision),
			"see overlayd config canary; --force continues nevertheless")
	}
	if o.dryRun {
		return nil
	}
	revision, err := store.Continue(ctx, configs, author())
	return p.written(c, store.ConfigKey(), revision, err)
}
