package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

func (f *Fake) doRoute(verb Verb, r Route) error {
	r, err := f.complete(verb, r)
	if err != nil {
		return err
	}
	if verb == Del {
		return f.delRoute(r)
	}
	i := f.find(r)
	switch {
	case verb == Append && i >= 0:
		if f.hasAnother(r, i) {
			return syscall.EEXIST
		}
		f.objects = append(f.objects, r)
		return nil
	case verb == Replace && i >= 0 && r.Dst.Addr().Is4() && f.hasAnother(r, i+1):
		return syscall.EEXIST
	}
	return f.put(verb, r, syscall.ENOENT)
}

// hasAnother reports whether the route is there already, at the index or after it.
func (f *Fake) hasAnother(r Route, from int) bool {
	return slices.ContainsFunc(f.objects[from:], func(o Object) bool {
		return o.Key() == r.Key() && r.covers(o.(Route)) && o.(Route).covers(r)
	})
}

// delRoute removes the route with the lowest metric that has all that is said.
func (f *Fake) delRoute(r Route) error {
	inTable, first, at := false, 0, -1
	for i, o := range f.objects {
		have, ok := o.(Route)
		if !ok || have.table() != r.table() {
			continue
		}
		inTable = true
		if have.Dst == r.Dst && unsaidOr(r.Metric, have.Metric) && unsaidOr(r.Scope, have.Scope) && r.covers(have) {
			if at < 0 || have.Metric < first {
				first, at = have.Metric, i
			}
		}
	}
	if at >= 0 {
		f.objects = slices.Delete(f.objects, at, at+1)
		return nil
	}
	if r.Table != 0 && !inTable && r.Dst.Addr().Is4() {
		return fmt.Errorf("%w: FIB table does not exist", syscall.ESRCH)
	}
	return syscall.ESRCH
}

// covers reports whether what r says of type, protocol and hops is true of the other.
func (r Route) covers(have Route) bool {
	if r.Type != "" && r.Type != have.Type || r.Protocol != 0 && r.Protocol != have.Protocol {
		return false
	}
	return r.Hops == nil || slices.EqualFunc(r.Hops, have.Hops, func(want, got Hop) bool {
		return (!want.Via.IsValid() || want.Via == got.Via) && (want.Dev == "" || want.Dev == got.Dev)
	})
}

// complete checks a route and puts in what the kernel does.
func (f *Fake) complete(verb Verb, r Route) (Route, error) {
	six := r.Dst.Addr().Is6()
	r.Hops = slices.Clone(r.Hops)
	for _, h := range r.Hops {
		if h.Dev == "" {
			continue
		}
		if _, err := f.link(h.Dev); err != nil {
			return r, err
		}
	}
	if verb == Del {
		return r, nil
	}
	if r.Dst != r.Dst.Masked() && !six {
		return r, fmt.Errorf("%w: Invalid prefix for given prefix length", syscall.EINVAL)
	}
	r.Dst = r.Dst.Masked()
	if r.Type == "unicast" {
		r.Type = ""
	}
	if r.Type == "" && len(r.Hops) == 0 {
		return r, syscall.ENODEV
	}
	for i := range r.Hops {
		if err := f.checkHop(&r.Hops[i], six); err != nil {
			return r, err
		}
		if len(r.Hops) > 1 {
			r.Hops[i].Weight = max(r.Hops[i].Weight, 1)
		}
	}
	if r.Src.IsValid() && !f.local(r.Src) {
		return r, fmt.Errorf("%w: %s", syscall.EINVAL, map[bool]string{false: "Invalid prefsrc address", true: "Invalid source address"}[six])
	}
	switch {
	case six && r.Metric == 0:
		r.Metric = defaultMetric6
	case !six && r.Type == "" && r.Scope == "" && len(r.Hops) == 1 && !r.Hops[0].Via.IsValid():
		r.Scope = "link"
	}
	if six && r.Type != "" && len(r.Hops) == 0 {
		r.Hops = []Hop{{Dev: "lo"}}
	}
	return r, nil
}

// leadsElsewhere reports whether the narrowest route to the gateway, but for the default route, is over another link.
func (f *Fake) leadsElsewhere(h Hop) bool {
	var narrowest Route
	for _, o := range f.objects {
		r, ok := o.(Route)
		if ok && r.Table == 0 && r.Dst.Contains(h.Via) && r.Dst.Bits() > narrowest.Dst.Bits() && r.Dst.Bits() > 0 {
			narrowest = r
		}
	}
	return len(narrowest.Hops) > 0 && (narrowest.Type != "" || narrowest.Hops[0].Dev != h.Dev)
}

// checkHop refuses hops that lead nowhere, and finds the device of one that does not say it.
func (f *Fake) checkHop(h *Hop, six bool) error {
	switch {
	case h.Onlink && h.Dev == "":
		return fmt.Errorf("%w: Nexthop device required for onlink", syscall.ENODEV)
	case h.Dev != "":
		if l, _ := f.link(h.Dev); l.State != Up {
			if six || h.Via.IsValid() {
				return fmt.Errorf("%w: Nexthop device is not up", syscall.ENETDOWN)
			}
			return fmt.Errorf("%w: Device for nexthop is not up", syscall.ENETDOWN)
		}
	}
	if !h.Via.IsValid() {
		return nil
	}
	if f.local(h.Via) {
		return fmt.Errorf("%w: Nexthop has invalid gateway", syscall.EINVAL)
	}
	if h.Onlink {
		if six && f.leadsElsewhere(*h) {
			return fmt.Errorf("%w: Nexthop has invalid gateway or device mismatch", syscall.EINVAL)
		}
		return nil
	}
	dev, ok := f.neighbouring(h.Via, h.Dev)
	switch {
	case ok:
		h.Dev = dev
		return nil
	case six:
		return syscall.EHOSTUNREACH
	}
	return fmt.Errorf("%w: Nexthop has invalid gateway", syscall.ENETUNREACH)
}

func (f *Fake) local(ip netip.Addr) bool {
	return slices.ContainsFunc(f.objects, func(o Object) bool {
		a, ok := o.(Addr)
		return ok && a.Prefix.Addr() == ip
	})
}

// neighbouring finds the link on which the address is reached without a gateway, over the device if one is given: by a
// connected route, which the Fake does not keep, or by one that was made.
func (f *Fake) neighbouring(ip netip.Addr, dev string) (string, bool) {
	for _, o := range f.objects {
		var link string
		switch o := o.(type) {
		case Addr:
			if l, _ := f.link(o.Dev); l.State == Up && !o.NoPrefix && o.connected().Contains(ip) {
				link = o.Dev
			}
		case Route:
			if o.Type == "" && !o.hop().Via.IsValid() && o.Dst.Contains(ip) {
				link = o.hop().Dev
			}
		}
		if link != "" && (dev == "" || dev == link) {
			return link, true
		}
	}
	return "", false
}

// connected is the prefix that the address makes reachable.
func (a Addr) connected() netip.Prefix {
	if a.Peer.IsValid() {
		return a.Peer.Masked()
	}
	return a.Prefix.Masked()
}

// Lookup is part of Kernel.
func (f *Fake) Lookup(ctx context.Context, q Query) (Route, error) {
	to := q.To
	if err := ctx.Err(); err != nil {
		return Route{}, context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	found := Route{Dst: netip.PrefixFrom(to, to.BitLen())}
	if f.local(to) {
		found.Type, found.Hops = "local", []Hop{{Dev: "lo"}}
		return found, nil
	}
	longest := -1
	for _, o := range f.objects {
		dst, hop := netip.Prefix{}, Hop{}
		switch o := o.(type) {
		case Addr:
			dst, hop.Dev = o.connected(), o.Dev
		case Route:
			dst, hop = o.Dst, o.hop()
		}
		if dst.Contains(to) && dst.Bits() > longest {
			longest, found.Hops = dst.Bits(), []Hop{hop}
		}
	}
	if longest < 0 {
		return Route{}, &LookupError{To: to, Errno: syscall.ENETUNREACH}
	}
	return found, nil
}
