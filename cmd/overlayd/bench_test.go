package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/hookrunner"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
)

// BenchmarkHooks is what the SubnetAdd of an example costs for each of a thousand peers: as the daemon runs it, with its effects
// owned; by sh with the real tools; and by their batch modes, which know nothing of hooks. Each way makes the same objects, in a
// network namespace of its own and in turn. sh/hook is how many times faster than sh the daemon is, hook/batch how many times
// slower than batches.
func BenchmarkHooks(b *testing.B) {
	for _, name := range []string{"vxlan", "host-gw"} {
		b.Run(name, func(b *testing.B) {
			const peers, rounds, shellPeers = 1000, 5, 100
			h := newHookBench(b, name)
			var perHook, perHookCPU, sh, shCPU, batch, batchCPU []float64
			for b.Loop() {
				for range rounds {
					own, forked, tools := h.hooks(b, peers), h.shell(b, shellPeers), h.batch(b, peers)
					perHook, perHookCPU = append(perHook, own.wall*1e6), append(perHookCPU, own.cpu*1e6)
					sh, shCPU = append(sh, forked.wall/own.wall), append(shCPU, forked.cpu/own.cpu)
					batch, batchCPU = append(batch, own.wall/tools.wall), append(batchCPU, own.cpu/tools.cpu)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(perHook), "µs/peer")
			b.ReportMetric(median(perHookCPU), "cpu-µs/peer")
			b.ReportMetric(median(sh), "sh/hook")
			b.ReportMetric(median(shCPU), "cpu-sh/hook")
			b.ReportMetric(median(batch), "hook/batch")
			b.ReportMetric(median(batchCPU), "cpu-hook/batch")
		})
	}
}

// A cost is seconds a peer, and of them those that processors worked, which depend less on what else the machine does.
type cost struct{ wall, cpu float64 }

// measured returns the cost a peer of f, which waits for the processes that it starts.
func measured(b *testing.B, peers int, f func()) cost {
	b.Helper()
	runtime.GC() // what others left is not to be cleared away now
	began, used := time.Now(), processorTime(b)
	f()
	return cost{time.Since(began).Seconds() / float64(peers), (processorTime(b) - used) / float64(peers)}
}

// processorTime is what this process and those that it waited for have used so far, in seconds.
func processorTime(b *testing.B) (total float64) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	return total
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// A hookBench is an example and a way to run it.
type hookBench struct {
	name    string
	raw     json.RawMessage
	command string
}

func newHookBench(b *testing.B, name string) *hookBench {
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", name+".json"))
	if err != nil {
		b.Fatal(err)
	}
	var network struct{ Backend json.RawMessage }
	var backend struct{ SubnetAddCommand string }
	if err := json.Unmarshal(text, &network); err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(network.Backend, &backend); err != nil {
		b.Fatal(err)
	}
	return &hookBench{name: name, raw: network.Backend, command: backend.SubnetAddCommand}
}

// node makes a network namespace with what SubnetAdd builds upon.
func (h *hookBench) node(b *testing.B) (n *netns.Namespace, end func()) {
	b.Helper()
	n, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	other, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	if err := netns.Connect(n, "eth0", other, "eth0", 1500); err != nil {
		b.Fatal(err)
	}
	if err := n.Addr("eth0", netip.MustParsePrefix("172.31.255.1/12")); err != nil {
		b.Fatal(err)
	}
	if h.name == "vxlan" {
		h.tool(b, n, "ip link add flannel-vxlan type vxlan id 1 dstport 8472 nolearning && ip addr add 10.255.0.0/32 dev flannel-vxlan && ip link set flannel-vxlan up")
	}
	return n, func() { n.Close(); other.Close() }
}

func (h *hookBench) tool(b *testing.B, n *netns.Namespace, command string) {
	b.Helper()
	c := exec.Command("sh", "-c", command)
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := n.Run(c); err != nil {
		b.Fatal(err, said.String())
	}
}

// others are peers, each with its data.
func (h *hookBench) others(n int) (all []lease.Lease) {
	for i := range n {
		at := [2]byte{byte(i >> 8), byte(i)}
		l := lease.Lease{V4: lease.Path{
			Subnet:   netip.PrefixFrom(netip.AddrFrom4([4]byte{10, at[0], at[1], 0}), 24),
			PublicIP: netip.AddrFrom4([4]byte{172, 16, at[0], at[1]}),
		}}
		if h.name == "vxlan" {
			l.V4.Data = fmt.Appendf(nil, `"02:00:00:00:%02x:%02x"`, at[0], at[1])
		}
		all = append(all, l)
	}
	return all
}

// hooks returns what a peer costs that the daemon takes.
func (h *hookBench) hooks(b *testing.B, count int) cost {
	b.Helper()
	n, end := h.node(b)
	defer end()
	var set *builtin.Set
	if err := n.Do(func() (err error) {
		set, err = builtin.Open(builtin.Options{Ledger: filepath.Join(b.TempDir(), "ledger"), Logger: slog.New(slog.DiscardHandler)})
		return err
	}); err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	config, err := hookrunner.Parse(h.raw)
	if err != nil {
		b.Fatal(err)
	}
	helpers := newHelpers()
	runner := hookrunner.New(config, hookrunner.Options{
		Dir: b.TempDir(), Helpers: helpers, Logger: slog.New(slog.DiscardHandler),
		Begin: func(scope string) hookrunner.Run { return set.Begin(scope) },
	})
	call := hooks.Call{Reason: hooks.Start, Node: hooks.Node{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Interface: "eth0", MTU: 1500,
		Lease: lease.Lease{V4: lease.Path{Subnet: netip.MustParsePrefix("10.255.0.0/24"), PublicIP: netip.MustParseAddr("172.31.255.1")}},
	}}
	peers := h.others(count + 1)
	add := func(p lease.Lease) {
		if err := runner.SubnetAdd(b.Context(), call, p); err != nil {
			b.Fatal(err)
		}
	}
	add(peers[count]) // does what is done once, such as to start a helper for a hook that takes one
	var wall float64
	took := measured(b, count, func() {
		began := time.Now()
		for _, p := range peers[:count] {
			add(p)
		}
		wall = time.Since(began).Seconds() / float64(count)
		helpers.Close() // its processor time is known when it has ended
	})
	took.wall = wall
	return took
}

// shell returns what a peer costs that sh takes.
func (h *hookBench) shell(b *testing.B, count int) cost {
	b.Helper()
	n, end := h.node(b)
	defer end()
	peers := h.others(count)
	return measured(b, count, func() {
		for _, p := range peers {
			c := exec.CommandContext(context.Background(), "sh", "-c", h.command)
			c.Env = []string{"PATH=" + os.Getenv("PATH"), "SUBNET=" + p.V4.Subnet.String(), "PUBLIC_IP=" + p.V4.PublicIP.String()}
			c.Stdin = strings.NewReader(strings.Trim(string(p.V4.Data), `"`) + "\n")
			if err := n.Run(c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// batch returns what a peer costs that the tools take for all at once.
func (h *hookBench) batch(b *testing.B, count int) cost {
	b.Helper()
	n, end := h.node(b)
	defer end()
	var ip, bridge strings.Builder
	for _, p := range h.others(count) {
		base, mac := p.V4.Subnet.Addr(), strings.Trim(string(p.V4.Data), `"`)
		if h.name == "host-gw" {
			fmt.Fprintf(&ip, "route add %s via %s\n", p.V4.Subnet, p.V4.PublicIP)
			continue
		}
		fmt.Fprintf(&ip, "route add %s nexthop via %s dev flannel-vxlan onlink\nneigh replace %s lladdr %s dev flannel-vxlan nud permanent\n", p.V4.Subnet, base, base, mac)
		fmt.Fprintf(&bridge, "fdb add %s dev flannel-vxlan dst %s self permanent\n", mac, p.V4.PublicIP)
	}
	dir := b.TempDir()
	for name, lines := range map[string]string{"ip": ip.String(), "bridge": bridge.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(lines), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	command := "ip -batch " + filepath.Join(dir, "ip")
	if h.name == "vxlan" {
		command += " && bridge -batch " + filepath.Join(dir, "bridge")
	}
	return measured(b, count, func() { h.tool(b, n, command) })
}
