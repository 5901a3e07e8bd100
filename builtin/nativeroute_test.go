package builtin

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// Not parallel: it is in this process's namespace.
func TestARouteWithoutAMetricGivesWay(t *testing.T) {
	requireIP(t)
	s := inProcess(t)
	underlay(t, s.inside)
	b, err := s.set.Backend(lease.Backend{Type: "host-gw", Raw: []byte(`{"Type": "host-gw"}`)},
		BackendOptions{NodeID: "node 1", Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := hostOn(t, s.set.kernel, nativetest.OnlyV4, 1)
	_, err = b.PreStartup(t.Context(), h.call)
	h.must(err)
	h.must(b.PostStartup(t.Context(), h.call))
	const (
		subnet = "10.50.7.0/24"
		ours   = "10.50.7.0/24 via 192.0.2.7 dev eth0 proto 111 metric 12808"
	)
	routes := func() string { return strings.TrimSpace(output(t, s.inside, "ip route show "+subnet)) }

	output(t, s.inside, "ip route add "+subnet+" via 192.0.2.7") // flannel's
	peer := nativetest.OnlyV4.Lease("host-gw", 7, "", "")
	h.must(b.SubnetAdd(t.Context(), h.call, peer))
	if got := routes(); got != ours {
		t.Errorf("of a node that was flannel's there are %q, want %q alone", got, ours)
	}

	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() {
		watched <- s.set.Watch(ctx, func(scopes []string) {
			if slices.Contains(scopes, subnet) {
				repair := h.call
				repair.Reason = hooks.Repair
				if err := b.SubnetAdd(ctx, repair, peer); err != nil {
					t.Error(err)
				}
			}
		})
	}()
	for _, line := range []string{
		"ip route replace " + subnet + " via 192.0.2.8", // adds one, having no metric
		"ip route del " + subnet + " via 192.0.2.7",
		"ip route replace blackhole " + subnet,
	} {
		output(t, s.inside, line)
		for deadline := time.Now().Add(10 * time.Second); routes() != ours; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s there are %q, want %q alone", line, routes(), ours)
			}
		}
	}
	output(t, s.inside, "ip route add "+subnet+" via 192.0.2.8 metric 20000")
	h.must(b.SubnetAdd(t.Context(), h.call, peer))
	if got := routes(); !strings.HasPrefix(got, ours) || !strings.HasSuffix(got, "via 192.0.2.8 dev eth0 metric 20000") {
		t.Errorf("beside one that is worse there are %q, want both", got)
	}
	cancel()
	if err := <-watched; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
