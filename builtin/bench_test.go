package builtin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease"
)

// crowd are n peers on one network with this node, 172.31.255.1.
func crowd(kind string, n int) (peers []lease.Lease) {
	for i := 1; i <= n; i++ {
		at := [3]byte{byte(i >> 16), byte(i >> 8), byte(i)}
		l := lease.Lease{BackendType: kind, V4: lease.Path{
			Subnet:   netip.PrefixFrom(netip.AddrFrom4([4]byte{10, at[0]<<7 | at[1]>>1, at[1]<<7 | at[2]>>1, at[2] << 7}), 25),
			PublicIP: netip.AddrFrom4([4]byte{172, 16 | at[0], at[1], at[2]}),
		}}
		if kind == "vxlan" {
			l.V4.Data = fmt.Appendf(nil, `{"VNI":1,"VtepMAC":"02:00:00:%02x:%02x:%02x"}`, at[0], at[1], at[2])
		}
		if kind == "wireguard" {
			key := sha256.Sum256(at[:])
			l.V4.Data = fmt.Appendf(nil, `{"PublicKey":%q,"Port":51820}`, base64.StdEncoding.EncodeToString(key[:]))
		}
		peers = append(peers, l)
	}
	return peers
}

// A bench is a node in a namespace of its own.
type bench struct {
	ns      [2]*netns.Namespace // its own, and of the one it is connected with
	set     *Set
	backend Backend
	call    hooks.Call
}

func newBench(b *testing.B, kind string) *bench {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	n := &bench{}
	b.Cleanup(func() { n.close(b) })
	for i := range n.ns {
		ns, err := netns.New()
		if i == 0 && kind == "wireguard" { // which runs in this process
			ns, err = netns.Current()
		}
		must(err)
		n.ns[i] = ns
	}
	ns := n.ns[0]
	must(errors.Join(netns.Connect(ns, "eth0", n.ns[1], "eth0", 1500), ns.Addr("eth0", netip.MustParsePrefix("172.31.255.1/12"))))
	ledger := filepath.Join(runDir(b), "ledger")
	must(ns.Do(func() (err error) {
		n.set, err = Open(Options{Ledger: ledger, Logger: slog.New(slog.DiscardHandler)})
		return err
	}))
	var err error
	n.backend, err = n.set.Backend(lease.Backend{Type: kind, Raw: []byte(`{"Type": "` + kind + `"}`)},
		BackendOptions{NodeID: "one", Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	n.call = hooks.Call{Reason: hooks.Start, Node: hooks.Node{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Interface: "eth0", MTU: 1500,
		Lease: lease.Lease{BackendType: kind, V4: lease.Path{Subnet: netip.MustParsePrefix("10.255.0.0/25"), PublicIP: netip.MustParseAddr("172.31.255.1")}},
	}}
	_, err = n.backend.PreStartup(b.Context(), n.call)
	must(err)
	must(n.backend.PostStartup(b.Context(), n.call))
	return n
}

// runDir is a directory in memory, as the daemon's is.
func runDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "overlayd-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	return dir
}

// close takes the node away, so that the next one is not measured with it: all namespaces share one table of neighbours, which the
// kernel walks for each list of them, and what this process remembers of a node would be marked in the next one's garbage
// collections. The links go first: what is left in a namespace that is closed the kernel clears away some time later, and holds the
// lock that all changes need while it does.
func (n *bench) close(b *testing.B) {
	b.Helper()
	if n.set != nil {
		if err := n.set.Close(); err != nil {
			b.Error(err)
		}
	}
	for _, ns := range n.ns {
		if ns != nil {
			if err := errors.Join(deleteLinks(ns), ns.Close()); err != nil {
				b.Error(err)
			}
		}
	}
	*n = bench{}
}

// deleteLinks deletes what links of the namespace were made here.
func deleteLinks(ns *netns.Namespace) error {
	handle, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Type() == "veth" || l.Type() == "vxlan" {
			if err := handle.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) { // gone with the link below it
				return err
			}
		}
	}
	return nil
}

// A cost is how long something took, in seconds, and how long processors worked for it, which depends less on what else the
// machine does.
type cost struct{ wall, cpu float64 }

// sync has the backend reach the peers.
func (n *bench) sync(b *testing.B, peers []lease.Lease) cost {
	b.Helper()
	leases := make([]*lease.Lease, len(peers))
	for i := range peers {
		leases[i] = &peers[i]
	}
	runtime.GC() // what others left is not to be cleared away now
	began, used := time.Now(), processorTime(b)
	if errs := n.backend.Sync(b.Context(), n.call, leases); errs != nil {
		b.Fatal(errors.Join(errs...))
	}
	return cost{time.Since(began).Seconds(), processorTime(b) - used}
}

// processorTime is what this process has used so far, in seconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// batch does the same with ip and bridge, from files written before.
func (n *bench) batch(b *testing.B, peers []lease.Lease) (took cost) {
	b.Helper()
	files := map[string]*strings.Builder{"ip": {}, "bridge": {}}
	for _, p := range peers {
		subnet, base, at := p.V4.Subnet, p.V4.Subnet.Addr(), p.V4.PublicIP
		if p.BackendType == "host-gw" {
			fmt.Fprintf(files["ip"], "route add %s via %s dev eth0\n", subnet, at)
			continue
		}
		mac := strings.Split(string(p.V4.Data), `"`)[5]
		fmt.Fprintf(files["ip"], "neighbour add %s lladdr %s dev flannel.1 nud permanent\nroute add %s via %s dev flannel.1 onlink\n", base, mac, subnet, base)
		fmt.Fprintf(files["bridge"], "fdb add %s dev flannel.1 dst %s self permanent\n", mac, at)
	}
	for _, tool := range []string{"ip", "bridge"} {
		if files[tool].Len() == 0 {
			continue
		}
		file := filepath.Join(b.TempDir(), tool)
		if err := os.WriteFile(file, []byte(files[tool].String()), 0o600); err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(tool, "-batch", file)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		began := time.Now()
		if err := n.ns[0].Run(cmd); err != nil {
			b.Fatal(err, out.String())
		}
		took.wall += time.Since(began).Seconds()
		took.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	return took
}

// BenchmarkSync is how long a native backend takes to reach peers it did not know, with all that belongs to it but etcd, as a part
// of the time that ip -batch and bridge -batch take to make the same routes, neighbours and FDB entries; cpu is the same of
// processor time. floor is what the kernel alone takes of that time for the same requests. growth is the processor time for each of
// ten thousand peers as a multiple of that for each of a thousand.
func BenchmarkSync(b *testing.B) {
	needsTools(b)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the daemon has it while it starts
	for _, kind := range []string{"vxlan", "host-gw"} {
		b.Run(kind, func(b *testing.B) {
			rounds := map[int]int{1000: 15, 10000: 5} // what takes a few milliseconds varies more
			ways := map[string]func(*bench, *testing.B, []lease.Lease) cost{"sync": (*bench).sync, "batch": (*bench).batch, "floor": (*bench).floor}
			costs := map[int]map[string][]cost{1000: {}, 10000: {}}
			for b.Loop() {
				for n, of := range costs {
					peers := crowd(kind, n)
					for range rounds[n] {
						for way, reach := range ways {
							node := newBench(b, kind)
							of[way] = append(of[way], reach(node, b, peers))
							node.close(b)
						}
					}
				}
			}
			wall, cpu := func(c cost) float64 { return c.wall }, func(c cost) float64 { return c.cpu }
			for n, of := range costs {
				for way, prefix := range map[string]string{"sync": "", "floor": "floor-"} {
					b.ReportMetric(median(of[way], wall)/median(of["batch"], wall), fmt.Sprintf("%sof-batch/%d", prefix, n))
					b.ReportMetric(median(of[way], cpu)/median(of["batch"], cpu), fmt.Sprintf("%scpu-of-batch/%d", prefix, n))
					b.ReportMetric(median(of[way], cpu)*1e6/float64(n), fmt.Sprintf("%scpu-µs/peer/%d", prefix, n))
				}
			}
			b.ReportMetric(median(costs[10000]["sync"], cpu)/median(costs[1000]["sync"], cpu)/10, "growth")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFiftyThousandPeers is how long vxlan takes to reach as many from nothing, and to find all of them in place.
func BenchmarkFiftyThousandPeers(b *testing.B) {
	peers := crowd("vxlan", 50000)
	for b.Loop() {
		n := newBench(b, "vxlan")
		for _, what := range []string{"start", "again"} {
			c := n.sync(b, peers)
			b.ReportMetric(c.wall, "s/"+what)
			b.ReportMetric(c.cpu, "cpu-s/"+what)
		}
		n.close(b)
		b.ReportMetric(0, "ns/op")
	}
}

func needsTools(b *testing.B) {
	b.Helper()
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skipf("%s is not installed", tool)
		}
	}
}

func median(list []cost, of func(cost) float64) float64 {
	var figures []float64
	for _, c := range list {
		figures = append(figures, of(c))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
