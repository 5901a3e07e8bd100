package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

const leaseListHelp = `List all leases and reservations of the network: the subnets, the public addresses of their node, whether it is a lease or a
reservation, the backend, and the node's identity, which flannel's nodes have none of. On a terminal, where a lease of both families
takes two lines, only the beginning of the identity is shown, which overlayd explain takes for it.

-o wide adds the age of each lease, which is the time since its node wrote or renewed it, the time that is left until it ends
unless renewed, and etcd's revision of the last write, at one request to etcd for each lease. A node renews its lease every third
of its time to live. -o tsv has the same columns for other programs, times in seconds and without a head line, and -o json the
nodes' data too.`

func newLeaseListCommand() *cobra.Command {
	var s settings
	show := map[string]func(leaseList, io.Writer) error{
		"text": leaseList.table, "wide": leaseList.wide, "json": leaseList.json, "tsv": leaseList.tsv,
	}
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List all leases and reservations of the network",
		Long:  leaseListHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.withStore(c, func(ctx context.Context, store *etcd.Store) error {
				list, err := listLeases(ctx, store, output != "text")
				if err != nil {
					return err
				}
				if n := len(list.Unreadable); n > 0 {
					fmt.Fprintf(c.ErrOrStderr(), "overlayd: %d keys are no leases, see overlayd lease check\n", n)
				}
				if output == "text" && isTerminal(c.OutOrStdout()) {
					return list.screen(c.OutOrStdout())
				}
				return show[output](list, c.OutOrStdout())
			})
		},
	}
	outputVar(c, &output, "text", "wide", "json", "tsv")
	s.etcdFlags(c.Flags())
	return c
}

// A leaseList is what the store holds. Its JSON keys are stable.
type leaseList struct {
	Version    int                     `json:"version"` // of this structure: 1
	Revision   int64                   `json:"revision"`
	Leases     []leaseEntry            `json:"leases"`
	Unreadable []control.UnreadableKey `json:"unreadable"`
}

type leaseEntry struct {
	Paths    []leasePath  `json:"paths"`            // one a family
	AlsoAt   []netip.Addr `json:"alsoAt,omitempty"` // for nodes that have no address of the family above
	Backend  string       `json:"backend,omitzero"`
	NodeID   string       `json:"nodeID,omitzero"`
	Reserved bool         `json:"reserved"`             // it never expires
	Revision int64        `json:"revision"`             // of the last write
	Age      int64        `json:"ageSeconds,omitzero"`  // since it was written or renewed
	Left     int64        `json:"leftSeconds,omitzero"` // until it expires unless renewed
}

type leasePath struct {
	Subnet   netip.Prefix    `json:"subnet"`
	PublicIP netip.Addr      `json:"publicIP,omitzero"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// listLeases reads all leases, and when they expire if asked to.
func listLeases(ctx context.Context, store *etcd.Store, expiries bool) (leaseList, error) {
	snapshot, err := store.Load(ctx)
	if err != nil {
		return leaseList{}, err
	}
	known := make([]lease.Expiry, snapshot.Records.Len())
	if expiries {
		if known, err = store.Expiries(ctx, snapshot.List()...); err != nil {
			return leaseList{}, err
		}
	}
	list := leaseList{Version: 1, Revision: snapshot.Revision, Leases: []leaseEntry{}, Unreadable: []control.UnreadableKey{}}
	for i, r := range snapshot.List() {
		list.Leases = append(list.Leases, newLeaseEntry(r, known[i]))
	}
	for u := range snapshot.Unreadable.All() {
		list.Unreadable = append(list.Unreadable, control.UnreadableKey{Key: u.Key, Error: u.Err.Error()})
	}
	return list, nil
}

func newLeaseEntry(r lease.Record, known lease.Expiry) leaseEntry {
	e := leaseEntry{
		Backend: r.BackendType, NodeID: r.NodeID, Reserved: r.Reserved(), Revision: r.Revision,
		Age: int64(known.Age.Seconds()), Left: int64(known.Left.Seconds()),
	}
	for _, p := range r.Reached(lease.Lease{}) {
		if p.Data == nil && p.PublicIP.Is4() != p.Subnet.Addr().Is4() { // it is in the half that has the address
			p.Data = json.RawMessage(cmp.Or(string(r.V4.Data), string(r.V6.Data)))
		}
		e.Paths = append(e.Paths, leasePath(p))
	}
	for _, p := range [...]lease.Path{r.V4, r.V6} {
		if p.PublicIP.IsValid() && !slices.ContainsFunc(e.Paths, func(o leasePath) bool { return o.PublicIP == p.PublicIP }) {
			e.AlsoAt = append(e.AlsoAt, p.PublicIP)
		}
	}
	return e
}

// leaseHead names the cells.
var leaseHead = []string{"SUBNET", "PUBLIC IP", "KIND", "BACKEND", "NODE"}

// Columns for which a terminal has room, whoever wrote what is in them.
const mostBackend, mostNode = 12, 8

// cells are what all texts show of a lease.
func (e leaseEntry) cells() []string {
	var subnets, addresses []string
	for _, p := range e.Paths {
		subnets = append(subnets, p.Subnet.String())
		if at := p.PublicIP; at.IsValid() && !slices.Contains(addresses, at.String()) {
			addresses = append(addresses, at.String())
		}
	}
	for _, at := range e.AlsoAt {
		addresses = append(addresses, at.String())
	}
	kind := "lease"
	if e.Reserved {
		kind = "reservation"
	}
	cells := []string{strings.Join(subnets, ","), strings.Join(addresses, ","), kind, printable(e.Backend), printable(e.NodeID)}
	for i, cell := range cells {
		cells[i] = cmp.Or(cell, "-")
	}
	return cells
}

func (l leaseList) table(w io.Writer) error {
	return l.write(w, leaseHead, leaseEntry.cells)
}

// screen is the table for a terminal: a line for each subnet and address, and of identities what tells them apart.
func (l leaseList) screen(w io.Writer) error {
	return l.write(w, leaseHead, func(e leaseEntry) []string {
		cells := e.cells()
		subnets, addresses := strings.Split(cells[0], ","), strings.Split(cells[1], ",")
		cells = []string{subnets[0], addresses[0], cells[2], clipped(cells[3], mostBackend), clipped(cells[4], mostNode)}
		at := func(texts []string, i int) string {
			if i < len(texts) {
				return texts[i]
			}
			return ""
		}
		for i := 1; i < max(len(subnets), len(addresses)); i++ {
			// Cells without text keep the columns below each other.
			cells[4] += fmt.Sprintf("\n%s\t%s\t\t\t", at(subnets, i), at(addresses, i))
		}
		return cells
	})
}

func clipped(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

func (l leaseList) wide(w io.Writer) error {
	return l.write(w, append(slices.Clip(leaseHead), "AGE", "TTL LEFT", "REVISION"), func(e leaseEntry) []string {
		age, left := "-", "never ends"
		if !e.Reserved {
			age, left = (time.Duration(e.Age) * time.Second).String(), (time.Duration(e.Left) * time.Second).String()
		}
		return append(e.cells(), age, left, fmt.Sprint(e.Revision))
	})
}

func (l leaseList) write(w io.Writer, head []string, cells func(leaseEntry) []string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, e := range l.Leases {
		fmt.Fprintln(table, strings.Join(cells(e), "\t"))
	}
	return table.Flush()
}

// tsv has a line a lease for other programs: subnets, public addresses, kind, backend, node, seconds since it was renewed, seconds
// that are left, revision.
func (l leaseList) tsv(w io.Writer) error {
	for _, e := range l.Leases {
		cells := append(e.cells(), fmt.Sprint(e.Age), fmt.Sprint(e.Left), fmt.Sprint(e.Revision))
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return nil
}

func (l leaseList) json(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(l)
}
