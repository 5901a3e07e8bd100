package builtin

import (
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// opsOf counts what is done to a kernel.
type opsOf struct {
	kernel.Kernel
	lines []string
}

func (o *opsOf) Do(ctx context.Context, ops ...kernel.Op) error {
	for _, op := range ops {
		o.lines = append(o.lines, op.String())
	}
	return o.Kernel.Do(ctx, ops...)
}

func (o *opsOf) Batch(ctx context.Context, ops iter.Seq[kernel.Op]) []error {
	return o.Kernel.Batch(ctx, func(yield func(kernel.Op) bool) {
		for op := range ops {
			o.lines = append(o.lines, op.String())
			if !yield(op) {
				return
			}
		}
	})
}

// A peer that has IPv6 too from now on, or no more, keeps each object of its IPv4 subnet as it is.
func TestAPeerThatGetsAnotherFamilyKeepsWhatItHas(t *testing.T) {
	for _, tt := range []struct{ kind, keys string }{{"vxlan", ""}, {"host-gw", ""}, {"wireguard", ""}, {"wireguard", `, "Mode": "auto"`}} {
		t.Run(tt.kind+tt.keys, func(t *testing.T) {
			h := newHost(t, nativetest.Dual)
			fake := h.kernel.(*kernel.Fake)
			seen := &opsOf{Kernel: fake}
			h.kernel = seen
			h.must(h.start(tt.kind, tt.keys))
			both := peerOf(tt.kind, 7, 1)
			v4 := both
			v4.V6 = lease.Path{}
			h.must(h.add(v4))
			one := fake.String()
			seen.lines = nil
			h.must(h.backend.Move(v4.String(), both.String()))
			h.must(h.add(both))
			if len(seen.lines) == 0 {
				t.Error("nothing is seen of what it does")
			}
			for _, line := range seen.lines {
				if strings.Contains(line, " del") || strings.Contains(line, " 10.50.7.0/24 via") {
					t.Errorf("on the way to both families it did %s", line)
				}
			}
			two := fake.String()
			h.must(h.backend.Move(both.String(), v4.String()))
			h.must(h.add(v4))
			same(t, "without IPv6 again", one, fake.String())
			h.must(h.backend.Move(v4.String(), both.String()))
			h.must(h.add(both))
			same(t, "with it again", two, fake.String())
			h.must(h.remove(both))
			if text := fake.String(); strings.Contains(text, "10.50.7.") || strings.Contains(text, "fd50:0:0:7:") {
				t.Errorf("removed, it leaves\n%s", text)
			}
		})
	}
}

// What was set aside of a peer goes with it, though it has subnets of other families by then, as when an edit changes the type and turns
// IPv6 on or off.
func TestWhatWasSetAsideOfAPeerGoesWithAnyOfItsSubnets(t *testing.T) {
	one := func(l lease.Lease) lease.Lease { l.V6 = lease.Path{}; return l }
	both := func(l lease.Lease) lease.Lease { return l }
	for name, tt := range map[string]struct {
		before, after func(lease.Lease) lease.Lease
		families      nativetest.Families
	}{
		"IPv6 is turned on":  {one, both, nativetest.Dual},
		"IPv6 is turned off": {both, one, nativetest.OnlyV4},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, nativetest.Dual)
			h.must(h.start("vxlan", ""))
			h.must(h.add(tt.before(peerOf("vxlan", 7, 1))))
			stays := tt.before(peerOf("vxlan", 8, 1))
			h.must(h.add(stays))
			h.must(h.set.SetAside())
			h.call = hooks.Call{Reason: hooks.Config, Node: tt.families.Node("", 1).Node}
			h.must(h.start("wireguard", ""))
			follows := tt.after(peerOf("wireguard", 7, 1))
			h.must(h.add(follows))
			h.must(h.remove(follows))
			if text := h.state(); strings.Contains(text, "10.50.7.") || strings.Contains(text, "fd50:0:0:7:") {
				t.Errorf("it leaves\n%s", text)
			}
			if text := h.state(); !strings.Contains(text, "10.50.8.0/24 via 10.50.8.0 dev flannel.1") {
				t.Errorf("it takes along what leads to a peer that has not followed yet:\n%s", text)
			}
		})
	}
}

// What was set aside of a peer goes with it, though the backend has never added it.
func TestWhatWasSetAsideOfAPeerGoesWithIt(t *testing.T) {
	h := newHost(t, nativetest.OnlyV4)
	h.must(h.start("vxlan", ""))
	started := h.state()
	h.must(h.add(peerOf("vxlan", 7, 1)))
	h.must(h.set.SetAside())
	h.must(h.backend.Clear(t.Context(), peerOf("vxlan", 7, 1).String()))
	same(t, "left", started, h.state())
}
