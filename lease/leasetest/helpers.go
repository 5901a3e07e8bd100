package leasetest

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overlayd/overlayd/lease"
)

// sample is a lease of the given subnets, "" for none.
func sample(v4, v6 string) lease.Lease {
	l := lease.Lease{BackendType: "vxlan", NodeID: "node-" + v4 + v6}
	if v4 != "" {
		l.V4 = lease.Path{Subnet: netip.MustParsePrefix(v4), PublicIP: netip.MustParseAddr("192.0.2.1"), Data: []byte(`{"VNI":1}`)}
	}
	if v6 != "" {
		l.V6 = lease.Path{Subnet: netip.MustParsePrefix(v6), PublicIP: netip.MustParseAddr("2001:db8::1"), Data: []byte(`{"VNI":1}`)}
	}
	return l
}

func create(t *testing.T, h Harness, l lease.Lease) lease.Record {
	t.Helper()
	r, err := h.Store.Create(t.Context(), load(t, h), ttl, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func load(t *testing.T, h Harness) lease.Snapshot {
	t.Helper()
	s, err := h.Store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func leases(s lease.Snapshot) (all []lease.Lease) {
	for _, r := range s.List() {
		all = append(all, r.Lease)
	}
	return all
}

var options = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Transformer("List", func(s lease.Set[*lease.Record]) []lease.Record { return lease.List(s) }),
	cmp.Transformer("List", func(s lease.Set[*lease.Unreadable]) []lease.Unreadable { return lease.List(s) }),
	cmpopts.EquateEmpty(),
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(got, want, options...); d != "" {
		t.Errorf("%s (-got +want)\n%s", what, d)
	}
}
