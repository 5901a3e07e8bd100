package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// lookAtKernel foresees what a native backend makes of what is there.
func (s *survey) lookAtKernel(ctx context.Context) {
	b, native := s.plan.backend.Backend.(builtin.Backend)
	if !native {
		return
	}
	self := selfOf(s.plan.network, s.plan.external, s.plan.both)
	self.Lease = s.own.Lease.At(self.Lease)
	t, err := s.rehearsal.TakeOver(ctx, b, hooks.Call{Reason: hooks.Start, Node: self}, s.peers)
	if err != nil {
		s.say(severe, "kernel", "", "overlayd run would fail: %v", err)
		return
	}
	for _, l := range t.Links {
		s.lookAtLink(l)
	}
	made := func(l builtin.LinkFate) bool { return l.Index == 0 } // with another address, which is said
	if s.plan.network.Backend.Type == "vxlan" && !slices.ContainsFunc(t.Links, made) {
		s.compareData(s.own.V4.Data, t.Data.V4)
		s.compareData(s.own.V6.Data, t.Data.V6)
	}
	s.lookAtPeers(t.Peers)
	if len(t.Strays) > 0 {
		s.say(note, "peers", strings.Join(t.Strays, "\n"), "some of what is there leads to no node that has a lease, and stays unless it is removed")
	}
}

// compareData compares what the lease tells the other nodes with what overlayd run would tell.
func (s *survey) compareData(had, has json.RawMessage) {
	if had != nil && has != nil && !lease.SameJSON(had, has) {
		s.say(warning, "device", "", "the lease says %s, and overlayd run will say %s: the other nodes follow", had, has)
	}
}

func (s *survey) lookAtLink(l builtin.LinkFate) {
	switch {
	case l.Index == 0:
		s.say(warning, "device", "", "%s is not there: overlayd run makes it, and the other nodes find its address in the lease", l.Name)
	case len(l.Unfit) > 0:
		s.say(severe, "device", "put into the config what it has; or let packets be lost: overlayd run makes it anew without this command",
			"%s does not fit and would be made anew: %s", l.Name, strings.Join(l.Unfit, "; "))
	case len(l.Changes) > 0:
		s.say(note, "device", "", "%s stays, number %d, with its address %s; changed in place: %s", l.Name, l.Index, l.Address, strings.Join(l.Changes, "; "))
	default:
		s.fine("device", "%s stays as it is, number %d, with its address %s", l.Name, l.Index, l.Address)
	}
}

func (s *survey) lookAtPeers(all []builtin.PeerFate) {
	there, whole := 0, 0
	for _, p := range all {
		there += p.There
		switch {
		case p.Err != nil:
			s.say(warning, "peers", "", "%s is not to be reached: %v", p.Lease, p.Err)
		case len(p.Missing) > 0:
			s.say(note, "peers", strings.Join(p.Missing, "\n"), "%s is not wholly reached now; overlayd run adds what is missing", p.Lease)
		default:
			whole++
		}
	}
	if len(all) == 0 {
		s.fine("peers", "there is no other node")
		return
	}
	s.fine("peers", "%d of %d are reached by %d routes, neighbours and forwarding entries, which overlayd run takes over", whole, len(all), there)
}
