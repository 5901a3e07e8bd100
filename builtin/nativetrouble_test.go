package builtin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/lease"
)

func TestTwoPeersThatClaimOneThingDoNotTakeItFromEachOther(t *testing.T) {
	for _, kind := range []string{"vxlan", "wireguard"} {
		t.Run(kind, func(t *testing.T) {
			h := newHost(t, nativetest.Dual)
			h.must(h.start(kind, ""))
			honest, clone := peerOf(kind, 7, 0), peerOf(kind, 8, 0)
			clone.V4.Data, clone.V6.Data = honest.V4.Data, honest.V6.Data
			h.must(h.add(honest))
			before := h.state()
			err := h.add(clone)
			if err == nil || !strings.Contains(err.Error(), "this is 10.50.7.0/24,fd50:0:0:7::/64's already, which is up") {
				t.Errorf("got %v", err)
			}
			same(t, "after the refusal", before, h.state())
			h.must(h.remove(honest))
			h.must(h.add(clone))

			h.must(h.start(kind, "")) // the new life has not heard of the clone, whose entries are still there
			h.must(h.add(honest))
		})
	}
}

func TestAPeerThatCannotBeReachedHarmsNobody(t *testing.T) {
	h := newHost(t, nativetest.Dual)
	h.must(h.start("host-gw", ""))
	h.must(h.add(peerOf("host-gw", 8, 0)))
	before := h.state()
	for name, tt := range map[string]struct {
		change func(*lease.Lease)
		want   string
	}{
		"of another type": {func(l *lease.Lease) { l.BackendType = "vxlan" }, `peer 10.50.7.0/24,fd50:0:0:7::/64: its backend is "vxlan", and this node's is "host-gw"`},
		"without subnets": {func(l *lease.Lease) { l.V4, l.V6 = lease.Path{}, lease.Path{} }, "peer : it has no subnet in an address family that this node uses"},
		"behind a router": {
			func(l *lease.Lease) { l.V4.PublicIP = netip.MustParseAddr("198.51.100.7") },
			"peer 10.50.7.0/24,fd50:0:0:7::/64: ip route add 10.50.7.0/24 via 198.51.100.7 dev eth0 metric 12808 proto 111: network is unreachable: " +
				"Nexthop has invalid gateway: 198.51.100.7 is not on the link of eth0, and host-gw needs one layer-2 network (type vxlan does not)",
		},
		"behind a router, by the other family": {
			func(l *lease.Lease) {
				l.V4.PublicIP, l.V6.PublicIP = netip.Addr{}, netip.MustParseAddr("2001:db8:1::7")
			},
			"peer 10.50.7.0/24,fd50:0:0:7::/64: ip route add 10.50.7.0/24 via inet6 2001:db8:1::7 dev eth0 metric 12808 proto 111: network is unreachable: " +
				"Nexthop has invalid gateway: 2001:db8:1::7 is not on the link of eth0, and host-gw needs one layer-2 network (type vxlan does not)",
		},
		"behind a router in its second half": {
			func(l *lease.Lease) { l.V6.PublicIP = netip.MustParseAddr("2001:db8:1::7") },
			"peer 10.50.7.0/24,fd50:0:0:7::/64: ip route add fd50:0:0:7::/64 via 2001:db8:1::7 dev eth0 proto 111: no route to host: " +
				"2001:db8:1::7 is not on the link of eth0, and host-gw needs one layer-2 network (type vxlan does not)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			peer := peerOf("host-gw", 7, 0)
			tt.change(&peer)
			err := h.add(peer)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			same(t, "left", before, h.state())
		})
	}
}

func TestOnlyPeersThatCameToBeAreLive(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("host-gw", ""))
	peers := []*lease.Lease{new(peerOf("host-gw", 7, 0)), new(peerOf("host-gw", 8, 0)), new(peerOf("vxlan", 9, 0))}
	peers[1].V4.PublicIP = netip.MustParseAddr("198.51.100.7") // behind a router
	want := map[string]bool{peers[0].String(): true}
	for range 2 { // at first, and while there are others
		if errs := h.backend.Sync(t.Context(), h.call, peers); errs[0] != nil || errs[1] == nil || errs[2] == nil {
			t.Errorf("got %v, want the second and the third refused", errs)
		}
		got := map[string]bool{}
		for scope := range h.backend.(*planned).live {
			got[scope] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("live (-want +got):\n%s", diff)
		}
	}
}

func TestAStartThatFailsLeavesWhatIsThere(t *testing.T) {
	h := newHost(t, nativetest.Dual)
	h.must(h.start("vxlan", ""))
	h.must(h.add(peerOf("vxlan", 7, 0)))
	h.do(kernel.Del, kernel.Link{Name: "flannel-v6.1"})
	h.do(kernel.Add, kernel.Link{
		Name: "theirs", Kind: "vxlan", VXLAN: &kernel.VXLAN{ID: 1, Port: 8472, Local: netip.MustParseAddr("2001:db8::1")},
	})
	before := h.state()
	err := h.start("vxlan", "")
	if err == nil || !strings.Contains(err.Error(), "link theirs has VNI 1 (choose another one, or delete the link)") {
		t.Errorf("got %v", err)
	}
	h.must(h.backend.Shutdown(t.Context(), h.call))
	same(t, "left", before, h.state())
}

func TestALinkOfAnotherNameOrTypeGivesWay(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	before := h.state()
	for _, config := range [][2]string{{"vxlan", ""}, {"vxlan", `, "Name": "ov"`}, {"wireguard", ""}, {"host-gw", ""}} {
		h.must(h.start(config[0], config[1]))
	}
	same(t, "left", before, h.state())
}

func TestALinkNameThatIsTooLongIsRefusedWhereItIsNeeded(t *testing.T) {
	for families, want := range map[nativetest.Families]string{
		nativetest.OnlyV4: "",
		nativetest.Dual:   `link name "flannel-v6.123456" is longer than 15 bytes, the kernel's limit: choose a shorter one by the key Name`,
	} {
		err := newHost(t, families).start("vxlan", `, "VNI": 123456`)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: got %v, want %q", families, err, want)
		}
	}
}

func TestACancelledHookIsUndone(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("vxlan", ""))
	before := h.state()
	ctx, cancel := context.WithCancel(t.Context())
	h.set.kernel = &tired{Kernel: h.kernel, after: 2, end: cancel}
	scopes, err := kernel.NewScopes(h.set.kernel, "", h.set.log)
	h.must(err)
	h.set.scopes = scopes
	if err := h.backend.SubnetAdd(ctx, h.call, peerOf("vxlan", 7, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	same(t, "left", before, h.state())
}

// tired is a Kernel that ends a context after some operations.
type tired struct {
	kernel.Kernel
	after int
	end   func()
}

func (k *tired) Do(ctx context.Context, ops ...kernel.Op) error {
	if k.after--; k.after == 0 {
		k.end()
	}
	return k.Kernel.Do(ctx, ops...)
}

func (k *tired) Batch(ctx context.Context, ops iter.Seq[kernel.Op]) (errs []error) {
	for op := range ops {
		errs = append(errs, k.Do(ctx, op))
	}
	return errs
}
