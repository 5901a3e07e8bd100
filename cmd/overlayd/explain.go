package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/screen"
	"github.com/overlayd/overlayd/lease"
)

const explainHelp = `Say whose an address or a subnet is, or what is known of a node, by its identity or its public address: the lease in etcd
that says so, with the revision of its last write, how the daemon of this machine stands with it, what is in the kernel for it,
which hook made that and whether it is still there, and by which way packets go.

A hook that ran before the daemon started, or before the 500 last, is not known any more.

The exit status is 7 when it is known, and something is amiss with it.`

// An explanation is what there is to say of a node, or of a part of its subnet. Its JSON keys are stable.
type explanation struct {
	Asked   string           `json:"asked"`
	Own     bool             `json:"own"` // it is this machine
	Paths   []control.Path   `json:"paths"`
	NodeID  string           `json:"nodeID,omitzero"`
	Lease   string           `json:"lease,omitzero"`   // the key in etcd
	Record  *control.Record  `json:"record,omitempty"` // what is there now
	Unknown string           `json:"unknown,omitzero"` // why there is no record
	State   string           `json:"state"`
	Since   time.Time        `json:"since,omitzero"`
	Error   string           `json:"error,omitzero"`
	Last    *control.HookRun `json:"lastHook,omitempty"`
	Effects []control.Effect `json:"effects"`
	Way     string           `json:"way,omitzero"` // to the address, or to the first of the subnet
}

// explainLabel is the width of what stands at the left.
const explainLabel = 12

func newExplainCommand() *cobra.Command {
	var runDir, output string
	c := &cobra.Command{
		Use: "explain ADDRESS|SUBNET|NODE", Short: "Say whose an address is, and what serves it", Long: explainHelp, Args: cobra.ExactArgs(1),
		ValidArgsFunction: oneWord(completeNodes(true)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			x, err := explain(c.Context(), control.SocketPath(runDir), args[0])
			if err != nil {
				return err
			}
			text := func(w io.Writer) error { return x.text(w, time.Now()) }
			return printJudged(c.OutOrStdout(), output, x, text, x.good())
		},
	}
	pathVar(c.Flags(), &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	outputVar(c, &output, "text", "json")
	return c
}

func explain(ctx context.Context, socket, asked string) (explanation, error) {
	limited, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	status, err := control.Fetch(limited, socket)
	if err != nil {
		return explanation{}, refuse(exitUnreachable, err)
	}
	x, err := find(status, asked)
	if err != nil {
		return x, err
	}
	scope, l := hooks.NodeScope, control.Lease(x.Paths)
	if !x.Own {
		scope = l.String()
	}
	if x.Effects, err = control.FetchEffects(limited, socket, scope); err != nil {
		return x, err
	}
	if l.String() != "" {
		x.Lease = path.Join(status.Etcd.Prefix, "subnets", l.Key())
		x.readRecord(ctx, socket, l, status.Etcd.Problem)
	}
	x.Way = way(ctx, x, asked)
	return x, nil
}

// readRecord fills in what etcd holds of the lease, or why that is not known, such as the problem that the daemon has with etcd.
func (x *explanation) readRecord(ctx context.Context, socket string, l lease.Lease, problem string) {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	if problem != "" {
		x.Unknown = problem
		return
	}
	for p := range l.Paths() {
		record, err := control.FetchLease(ctx, socket, p.Subnet)
		if err != nil {
			x.Unknown = err.Error()
			return
		}
		x.Record, x.Lease = &record, cmp.Or(record.Key, x.Lease)
		return
	}
}

// find picks from the status the node that is asked for.
func find(s control.Status, asked string) (explanation, error) {
	own := explanation{
		Asked: asked, Own: true, Paths: s.Node.Paths, NodeID: s.Daemon.NodeID,
		State: string(s.Node.State), Since: s.Node.Since, Error: s.Node.Error,
	}
	if isMeant(asked, own.Paths, own.NodeID) {
		return own, nil
	}
	for _, p := range s.Peers {
		if isMeant(asked, p.Names(), p.NodeID) {
			return explanation{
				Asked: asked, Paths: p.Names(), NodeID: p.NodeID, State: string(p.State), Since: p.Since, Error: p.Error, Last: p.LastHook,
			}, nil
		}
	}
	addr, err := netip.ParseAddr(asked)
	if err != nil {
		return own, refuse(exitUsage, fmt.Errorf("explain %s: no node has this subnet or identity", printable(asked)), "see overlayd status for those that there are")
	}
	for _, n := range s.Node.Networks {
		if n.Contains(addr) {
			return own, refuse(exitFailed, fmt.Errorf("explain %s: it is in the overlay's network %s, and in no node's subnet", addr, n))
		}
	}
	return own, refuse(exitFailed, fmt.Errorf("explain %s: it is no node's public address, and not in the overlay", addr))
}

// isMeant reports whether a node with these paths and this identity has what is asked for. The beginning of an identity will do.
func isMeant(asked string, paths []control.Path, nodeID string) bool {
	const leastID = 6
	addr, addrErr := netip.ParseAddr(asked)
	subnet, subnetErr := netip.ParsePrefix(asked)
	return len(asked) >= leastID && addrErr != nil && strings.HasPrefix(nodeID, asked) ||
		slices.ContainsFunc(paths, func(p control.Path) bool {
			return addrErr == nil && (p.PublicIP == addr || p.Subnet.IsValid() && p.Subnet.Contains(addr)) ||
				subnetErr == nil && p.Subnet == subnet.Masked()
		})
}

// way is where the kernel sends packets to what is asked for, "" where it cannot be asked.
func way(ctx context.Context, x explanation, asked string) string {
	to, err := netip.ParseAddr(asked)
	if err != nil && len(x.Paths) > 0 && x.Paths[0].Subnet.IsValid() {
		to = x.Paths[0].Subnet.Addr().Next()
	}
	set, err := builtin.Open(builtin.Options{})
	if err != nil || !to.IsValid() {
		return ""
	}
	defer set.Close()
	var text bytes.Buffer
	terminal := builtin.Terminal{Env: os.Environ(), Stdin: strings.NewReader(""), Stdout: &text, Stderr: io.Discard}
	if _, err := set.Command(ctx, terminal, "ip", "route", "get", to.String()); err != nil {
		return ""
	}
	line, _, _ := strings.Cut(text.String(), "\n")
	return strings.Join(strings.Fields(line), " ")
}

// good reports whether nothing is amiss.
func (x explanation) good() bool {
	up := x.State == string(hooks.PeerUp) || x.State == string(hooks.NodeUp)
	gone := x.Record != nil && x.Record.Revision == 0
	return up && !gone && x.missing() == 0
}

// missing is how many objects the kernel lacks.
func (x explanation) missing() (n int) {
	for _, e := range x.Effects {
		if e.Missing {
			n++
		}
	}
	return n
}

func (x explanation) text(w io.Writer, now time.Time) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		b.WriteString(screen.Field(explainLabel, label, fmt.Sprintf(format, args...)))
	}
	who := "another node"
	if x.Own {
		who = "this node"
	}
	if x.NodeID != "" {
		who += ", " + visible(x.NodeID)
	}
	line("node", "%s", who)
	for _, p := range x.Paths {
		if p.Subnet.IsValid() {
			line("subnet", "%s", p.Subnet)
		}
		if p.PublicIP.IsValid() {
			line("public IP", "%s", p.PublicIP)
		}
	}
	if x.Lease != "" {
		line("lease", "etcd %s%s", x.Lease, x.leaseText())
	}
	line("state", "%s for %s", x.State, control.Span(now.Sub(x.Since)))
	line("", "%s", visible(x.Error))
	line("last hook", "%s", runText(x.Last, now))
	x.effectsText(&b, now)
	line("way", "%s", visible(x.Way))
	_, err := io.WriteString(w, b.String())
	return err
}

// leaseText is what stands behind the key.
func (x explanation) leaseText() string {
	switch r := x.Record; {
	case r == nil && x.Unknown == "":
		return ""
	case r == nil:
		return ": " + visible(x.Unknown)
	case r.Revision == 0:
		return ": it is not there any more"
	case r.Reserved:
		return fmt.Sprintf("@%d, a reservation", r.Revision)
	default:
		span := func(seconds int64) string { return control.Span(time.Duration(seconds) * time.Second) }
		return fmt.Sprintf("@%d, renewed %s ago, ends in %s unless renewed", r.Revision, span(r.Age), span(r.Left))
	}
}

// runText is a hook's run in words.
func runText(r *control.HookRun, now time.Time) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s, for reason %s, %s ago, in %s", r.Hook, r.Reason, control.Span(now.Sub(r.Started)), control.Duration(r.Took))
}

// effectsText writes what was made, with the run that made it behind what it made, and whether the kernel has it.
func (x explanation) effectsText(b *strings.Builder, now time.Time) {
	for i, e := range x.Effects {
		label := "made"
		if e.Missing {
			label = "missing"
		}
		b.WriteString(screen.Command(explainLabel, label, visible(e.Command)))
		by := runText(e.MadeBy, now)
		if i+1 == len(x.Effects) || runText(x.Effects[i+1].MadeBy, now) != by {
			b.WriteString(screen.Field(explainLabel, "by", cmp.Or(by, "a run that the hook log has no more")))
		}
	}
	kernel := fmt.Sprintf("as the ledger says, %d of %d", len(x.Effects), len(x.Effects))
	switch missing := x.missing(); {
	case len(x.Effects) == 0:
		kernel = "nothing was made for it"
	case missing > 0:
		kernel = fmt.Sprintf("not as the ledger says: %d of %d are missing or otherwise", missing, len(x.Effects))
	}
	b.WriteString(screen.Field(explainLabel, "kernel", kernel))
}
