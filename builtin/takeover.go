package builtin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// A Takeover is what becomes of what another program has made for the network, such as flannel, when a native backend takes its
// place.
type Takeover struct {
	Data   hooks.Data // what the node would tell the others
	Links  []LinkFate
	Peers  []PeerFate
	Strays []string // commands that delete what leads to no peer: nobody else will
}

// A LinkFate is what becomes of a link of the backend's.
type LinkFate struct {
	Name, Address string   // the address is that of the link that is there
	Index         int      // likewise; 0 when none is there
	Unfit         []string // why it is made anew, which loses packets
	Changes       []string // what is changed while packets pass
}

// A PeerFate is how a peer is reached before the takeover, and whether it can be afterwards.
type PeerFate struct {
	Lease   lease.Lease
	Err     error    // why the backend cannot reach it
	There   int      // how many routes, neighbours and forwarding entries stay or are replaced by their like
	Missing []string // commands that make what is not there
}

// TakeOver foresees what the backend, which is one of the Rehearsal's Set, would do at the start of a node with that lease and
// those peers.
func (r *Rehearsal) TakeOver(ctx context.Context, b Backend, call hooks.Call, peers []lease.Lease) (t Takeover, err error) {
	p, ok := b.(*planned)
	if !ok {
		return t, fmt.Errorf("foresee a takeover: %T is not a native backend of this package", b)
	}
	if t.Data, err = p.PreStartup(ctx, call); err != nil {
		return t, err
	}
	node := p.node(ctx, call)
	links, err := p.plan.Links(node)
	if err != nil {
		return t, err
	}
	for _, l := range links {
		if want, ok := l.(kernel.Link); ok {
			t.Links = append(t.Links, fateOf(node.Links[want.Name], want))
		}
	}
	if err := p.PostStartup(ctx, call); err != nil {
		return t, err
	}
	if t.Peers, err = r.compare(ctx, p, node, peers); err != nil {
		return t, err
	}
	leases := make([]*lease.Lease, len(peers))
	for i := range peers {
		leases[i] = &peers[i]
	}
	for i, err := range p.Sync(ctx, call, leases) {
		if t.Peers[i].Err == nil {
			t.Peers[i].Err = err
		}
	}
	t.Strays, err = r.strays(ctx, links, call.Node)
	return t, err
}

func fateOf(have, want kernel.Link) LinkFate {
	f := LinkFate{Name: want.Name, Address: string(have.Address), Index: have.Index}
	if have.Name == "" {
		return f
	}
	if f.Unfit = unfit(have, want); len(f.Unfit) == 0 {
		have.Alias = want.Alias // a mark
		_, f.Changes = changes(have, want)
	}
	return f
}

// compare looks which of the peers' objects are there already, a route of another metric among them.
func (r *Rehearsal) compare(ctx context.Context, b *planned, n *native.Node, peers []lease.Lease) ([]PeerFate, error) {
	fates := make([]PeerFate, len(peers))
	var all []kernel.Object
	var of []int // which peers' they are
	for i := range peers {
		objects, err := b.peer(n, &peers[i])
		fates[i].Lease, fates[i].Err = peers[i], err
		for _, o := range objects {
			all, of = append(all, o), append(of, i)
		}
	}
	differences, err := r.kernel.Compare(ctx, all)
	if err != nil {
		return nil, err
	}
	there := make([]bool, len(all))
	for i := range all {
		there[i] = true
	}
	for _, d := range differences {
		there[d.Index] = false
	}
	for _, d := range differences {
		there[d.Index] = there[d.Index] || leadsAs(d.Have, all[d.Index])
	}
	for i, o := range all {
		if f := &fates[of[i]]; there[i] {
			f.There++
		} else {
			f.Missing = append(f.Missing, kernel.Op{Verb: kernel.Replace, Object: o}.String())
		}
	}
	return fates, nil
}

// leadsAs reports whether both are routes of one subnet that packets leave by in the same way.
func leadsAs(have, want kernel.Object) bool {
	h, ok := have.(kernel.Route)
	w, ok2 := want.(kernel.Route)
	return ok && ok2 && h.Dst == w.Dst && len(h.Hops) == 1 && len(w.Hops) == 1 &&
		h.Hops[0].Via == w.Hops[0].Via && h.Hops[0].Dev == w.Hops[0].Dev
}

// strays are the commands that delete routes through a gateway into the overlay, and neighbours and forwarding entries on its
// links, that belong to no scope.
func (r *Rehearsal) strays(ctx context.Context, links []kernel.Object, n hooks.Node) (lines []string, err error) {
	owned := map[string]bool{}
	for _, name := range r.Set.scopes.Names() {
		for _, o := range r.Set.scopes.Owned(name) {
			owned[o.Key()] = true
		}
	}
	likes := []kernel.Object{kernel.Route{}}
	for _, l := range links {
		if l, ok := l.(kernel.Link); ok && l.VXLAN != nil {
			likes = append(likes, kernel.Neigh{Dev: l.Name}, kernel.FDB{Dev: l.Name})
		}
	}
	for _, like := range likes {
		list, err := r.kernel.List(ctx, like)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			if !owned[o.Key()] && leadsInto(o, n.Networks) {
				lines = append(lines, strings.TrimSpace(kernel.Op{Verb: kernel.Del, Object: o}.String()))
			}
		}
	}
	return lines, nil
}

// leadsInto reports whether the object leads to other nodes of the networks. Neighbours and forwarding entries were listed on
// links that lead nowhere else.
func leadsInto(o kernel.Object, networks []netip.Prefix) bool {
	route, ok := o.(kernel.Route)
	if !ok {
		return true
	}
	return len(route.Hops) == 1 && route.Hops[0].Via.IsValid() && slices.ContainsFunc(networks, func(n netip.Prefix) bool {
		return n.Contains(route.Dst.Addr()) && n.Bits() < route.Dst.Bits()
	})
}
