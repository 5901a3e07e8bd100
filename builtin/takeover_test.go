package builtin

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// foresee is what a vxlan backend would make of the host.
func (h *host) foresee(keys string, peers ...lease.Lease) (Takeover, []string) {
	h.t.Helper()
	state, err := kernel.Rehearse(h.t.Context(), h.kernel)
	h.must(err)
	r := &Rehearsal{kernel: state}
	log := slog.New(slog.DiscardHandler)
	scopes, err := kernel.NewScopes(state, "", log)
	h.must(err)
	r.Set = &Set{kernel: state, scopes: scopes, log: log, rehearsal: r}
	b, err := r.Set.Backend(lease.Backend{Type: "vxlan", Raw: []byte(`{"Type": "vxlan"` + keys + `}`)}, BackendOptions{NodeID: "own", Dir: h.dir, Logger: log})
	h.must(err)
	t, err := r.TakeOver(h.t.Context(), b, hooks.Call{Reason: hooks.Start, Node: h.call.Node}, peers)
	h.must(err)
	return t, r.Changes()
}

func TestATakeoverIsForeseen(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.asFlannel()
	h.do(kernel.Add, kernel.Route{
		Dst:  netip.MustParsePrefix("10.50.9.0/24"),
		Hops: []kernel.Hop{{Via: netip.MustParseAddr("10.50.9.0"), Dev: "flannel.1", Onlink: true}},
	})
	before := h.state()
	other := peerOf("vxlan", 8, 0)
	other.BackendType = "host-gw"
	got, changes := h.foresee("", peerOf("vxlan", 7, 0), other)
	same(t, "the host", before, h.state())
	same(t, "told", `{"VNI":1,"VtepMAC":"02:00:00:00:00:ff"}`, string(got.Data.V4))
	if diff := cmp.Diff([]LinkFate{{Name: "flannel.1", Address: "02:00:00:00:00:ff", Index: h.link("flannel.1").Index}}, got.Links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if p := got.Peers[0]; p.Err != nil || p.There != 2 || !slices.Equal(p.Missing, []string{"bridge fdb replace 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7 self permanent"}) {
		t.Errorf("a peer without a forwarding entry: %+v", p)
	}
	if p := got.Peers[1]; p.Err == nil || !strings.Contains(p.Err.Error(), `its backend is "host-gw"`) {
		t.Errorf("a peer of another type: %+v", p)
	}
	if want := []string{"ip route del 10.50.9.0/24 via 10.50.9.0 dev flannel.1 onlink"}; !slices.Equal(got.Strays, want) {
		t.Errorf("strays are %q, want %q", got.Strays, want)
	}
	same(t, "changes", `ip link set dev flannel.1 alias overlayd
bridge fdb add 02:00:00:00:00:07 dev flannel.1 dst 192.0.2.7 self permanent
ip route add 10.50.7.0/24 via 10.50.7.0 dev flannel.1 onlink metric 12808 proto 111
ip route del 10.50.7.0/24 via 10.50.7.0 dev flannel.1 onlink`, strings.Join(changes, "\n"))

	got, _ = h.foresee(`, "Port": 4789, "MTU": 1400`)
	if want := []string{"port 8472, not 4789"}; !slices.Equal(got.Links[0].Unfit, want) {
		t.Errorf("a link with another port is unfit since %q, want %q", got.Links[0].Unfit, want)
	}
	got, _ = h.foresee(`, "MTU": 1400`)
	if want := []string{"MTU 1450, not 1350"}; len(got.Links[0].Unfit) > 0 || !slices.Equal(got.Links[0].Changes, want) {
		t.Errorf("a link with another MTU: %+v, want %q", got.Links[0], want)
	}
}
