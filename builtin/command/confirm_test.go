package command

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

// A reference runs lines with the real tools, inside a namespace when it has one.
type reference struct {
	inside *netns.Namespace
	dir    string
}

func (r *reference) run(t *testing.T, line string) result {
	t.Helper()
	cmd := exec.Command("bash", "-c", line)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, r.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	run := cmd.Run
	if r.inside != nil {
		run = func() error { return r.inside.Run(cmd) }
	}
	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](run()); ok {
		status = exit.ExitCode()
	}
	return result{stdout.String(), stderr.String(), status}
}

// requireTools skips the test when a tool is missing.
func requireTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

func newNamespace(t *testing.T) *netns.Namespace {
	t.Helper()
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// openKernel opens the kernel layer in a namespace.
func openKernel(t *testing.T, n *netns.Namespace) kernel.Kernel {
	t.Helper()
	var k kernel.Kernel
	err := n.Do(func() (err error) {
		k, err = kernel.Open(slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// Addresses that the kernel chooses differ from run to run, and so do the states that it is about to leave.
var (
	chosenMAC = regexp.MustCompile(`\b(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}\b`)
	permanent = regexp.MustCompile(`permaddr"?:? *"?[0-9a-f:]+`) // of a tunnel between IPv6 addresses
	linkLocal = regexp.MustCompile(`fe80::[0-9a-f:]*[0-9a-f]{4}:[0-9a-f:]+`)
	passing   = regexp.MustCompile(` tentative|,?LOWER_UP|,?NO-CARRIER|,?M-DOWN| linkdown|state [A-Z]+|(?m)^3[0-9a-f]:33:.*\n|^ff02:.*\n`)
)

func normal(text string) string {
	text = permanent.ReplaceAllString(text, "permaddr (chosen)")
	text = chosenMAC.ReplaceAllStringFunc(text, func(mac string) string {
		if strings.HasPrefix(mac, "02:00:00:00:") || strings.HasPrefix(mac, "00:00") || strings.HasPrefix(mac, "ff:ff") {
			return mac
		}
		if strings.HasPrefix(mac, "33:33") || strings.HasPrefix(mac, "01:00:5e") {
			return "33:33:00:00:00:00"
		}
		return "(chosen)"
	})
	return passing.ReplaceAllString(linkLocal.ReplaceAllString(text, "(link-local)"), "")
}

func (r result) normal() result { return result{normal(r.Stdout), normal(r.Stderr), r.Status} }

// confirm runs the lines with the real tools in one fresh namespace and in this process in another, and compares what they
// say, and what they leave.
func confirm(t *testing.T, lines string) {
	t.Helper()
	requireTools(t, "ip", "bridge", "arp")
	theirs, ours := newNamespace(t), newNamespace(t)
	dir := t.TempDir()
	compare(t, &reference{theirs, dir}, &shell{kernel: openKernel(t, ours), dir: dir}, lines)
	if diff := cmp.Diff(state(t, theirs), state(t, ours)); diff != "" {
		t.Errorf("what is left (-real +ours):\n%s", diff)
	}
}

func compare(t *testing.T, real *reference, own *shell, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		line = strings.TrimSpace(line)
		own.passed = nil
		want := real.run(t, line).normal()
		got, _ := own.run(t, line)
		if len(own.passed) > 0 {
			t.Errorf("%s: %q was handed on", line, own.passed)
		}
		got = got.normal()
		if hashed.MatchString(line) {
			want.Stdout, got.Stdout = sorted(want.Stdout), sorted(got.Stdout)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-real +ours):\n%s", line, diff)
		}
	}
}

// The kernel lists neighbours and FDB entries in an order that differs from table to table.
var hashed = regexp.MustCompile(`ip (-6 )?n|bridge`)

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// state is all that the lines may have changed, as the real tools tell it.
func state(t *testing.T, n *netns.Namespace) string {
	t.Helper()
	var text strings.Builder
	for _, line := range []string{"ip -d link", "ip addr", "ip route show table all", "ip neigh show nud all", "bridge fdb", "bridge vlan"} {
		out := normal((&reference{inside: n}).run(t, line).Stdout)
		if hashed.MatchString(line) {
			out = sorted(out)
		}
		text.WriteString("# " + line + "\n" + out)
	}
	return text.String()
}

func TestLinesOfTheExamplesAreAnsweredAsByTheRealTools(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link del flannel-vxlan 2>/dev/null; ip link add flannel-vxlan type vxlan id 1 dstport 8472 nolearning
		ip link del flannel-vxlan 2>/dev/null; ip link add flannel-vxlan type vxlan id 1 dstport 8472 nolearning
		ip link set mtu 1450 dev flannel-vxlan && cat /sys/class/net/flannel-vxlan/mtu
		echo 10.50.1.0/24 | cut -d'/' -f 1
		ip addr add 10.50.1.0/32 dev flannel-vxlan && ip link set flannel-vxlan up
		ip addr add 10.50.1.0/32 dev flannel-vxlan && ip link set flannel-vxlan up
		ip route add 10.50.7.0/24 nexthop via 10.50.7.0 dev flannel-vxlan onlink
		ip route add 10.50.7.0/24 nexthop via 10.50.7.0 dev flannel-vxlan onlink
		arp -s 10.50.7.0 02:00:00:00:00:07 dev flannel-vxlan
		arp -s 10.50.7.0 02:00:00:00:00:07 dev flannel-vxlan
		arp -s 10.50.7.0  dev flannel-vxlan
		bridge fdb add 02:00:00:00:00:07 dev flannel-vxlan self dst 192.0.2.7
		bridge fdb add 02:00:00:00:00:07 dev flannel-vxlan self dst 192.0.2.7
		bridge fdb add  dev flannel-vxlan self dst 192.0.2.7
		ip addr add 192.0.2.1/24 dev flannel-vxlan
		ip route add 10.50.8.0/24 via 192.0.2.8
		ip route add 10.50.8.0/24 via 192.0.2.8
		ip route del 10.50.8.0/24 via 192.0.2.9
		ip route del 10.50.8.0/24 via 192.0.2.8
		ip route del 10.50.8.0/24 via 192.0.2.8
		ip route add 10.50.9.0/24 via 198.51.100.9
		ip route
		ip neigh
		bridge fdb show dev flannel-vxlan
		ip link del flannel-vxlan
		ip link del flannel-vxlan
	`)
}

func TestLinksAreAnsweredAsByTheRealIP(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add
		ip link add b1
		ip link add vx0 mtu 1400 address 02:00:00:00:00:01 type vxlan id 7 dstport 4789 local 192.0.2.1 ttl 9 learning udpcsum gbp
		ip link add vx0 type vxlan id 7
		ip link add vx1 type vxlan id 8 remote 192.0.2.2 dstport 0
		ip link add vx2 type vxlan id 9 dstport 1 local fd00::1
		ip link add vx3 type vxlan id x
		ip link add vx3 type vxlan id 16777216
		ip link add vx3 type nosuch
		ip link add br0 mtu x type bridge
		ip link add br0 address zz type bridge
		ip link add br0 address 02:00:00:00:00:zz type bridge
		ip link add br0 type bridge
		ip link add ve0 type veth peer name ve1
		ip link add ve0 type veth peer name ve2
		ip link set ve0 master br0
		ip link set ve0 master nope
		ip link set nope up
		ip link set
		ip link set vx0 mtu
		ip link set vx0 mtu x
		ip link set vx0 mtu 70000
		ip link set vx0 mtu 10
		ip link set vx0 up mtu 1300 txqueuelen 500 alias hello
		ip link set mtu 1450 dev vx0
		ip link set vx0 txqueuelen x
		ip link set vx0 name ve0
		ip link set vx0 down
		ip link set name foo vx0
		ip link set foo down name vx0 address 02:00:00:00:00:02
		ip link set vx0 name ve0
		ip link set ve0 nomaster
		ip link show nope
		ip link show dev nope
		ip link show vx0
		ip link
		ip l
		ip -o link
		ip -br link
		ip -br l sh vx0
		ip -o link show dev vx0
		cat /sys/class/net/vx0/address /sys/class/net/vx0/ifindex /sys/class/net/vx0/mtu
		ip link del
		ip link del nope
		ip link del dev nope
		ip link del ve1
		ip l d vx1 type vxlan
	`)
}

func TestAddressesAreAnsweredAsByTheRealIP(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add vx0 type vxlan id 7 dstport 4789
		ip addr add bogus dev vx0
		ip addr add 10.0.0.1/32
		ip addr add 10.0.0.1/33 dev vx0
		ip addr add 10.0.0.1 dev nope
		ip -6 addr add 10.0.0.1 dev vx0
		ip addr add 10.0.0.1/32 dev vx0
		ip addr add 10.0.0.1/32 dev vx0
		ip addr add 10.0.0.2 dev vx0
		ip addr add 10.0.0.3/24 dev vx0 broadcast +
		ip addr add 10.0.0.4/24 brd 10.0.0.255 dev vx0 label vx0:a
		ip addr add 10.0.0.5/24 dev vx0 broadcast x
		ip addr add 10.1.0.4/24 dev vx0 scope link noprefixroute
		ip addr add 10.0.0.9 dev vx0 peer 10.0.0.10
		ip addr add 10.0.0.9 dev vx0 peer bogus
		ip addr del 10.9.9.9/32 dev vx0
		ip addr replace 10.0.0.1/32 dev vx0
		ip addr change 10.0.0.1/32 dev vx0
		ip addr del 10.0.0.2 dev vx0
		ip addr add fd00::1/64 dev vx0
		ip addr add fd00::1/64 dev vx0
		ip addr add fd00::2 dev vx0
		ip addr del fd00::9/64 dev vx0
		ip addr show nope
		ip addr
		ip a s vx0
		ip -4 a
		ip -6 addr show dev vx0
		ip -o addr
		ip -br addr
		ip -br -4 a
		ip link set vx0 up
		ip addr del fd00::2/128 dev vx0
		ip addr flush dev nope
		ip -4 addr flush dev vx0
		ip addr flush
		ip -4 addr show dev vx0
	`)
}

func TestRoutesAreAnsweredAsByTheRealIP(t *testing.T) {
	t.Parallel()
	confirm(t, `
		ip link add vx0 type vxlan id 7 dstport 4789
		ip link set vx0 up
		ip addr add 192.0.2.1/24 dev vx0
		ip addr add fd00::1/64 dev vx0
		ip route add default
		ip route add 10.1.0.0/16
		ip route add bogus via 192.0.2.2
		ip route add 10.1.0.0/16 via
		ip route add 10.1.0.0/16 via bogus
		ip route add default via bogus
		ip -6 route add default via bogus
		ip route add 10.1.0.0/16 via fd00::1
		ip route add fd01::/64 via 192.0.2.2
		ip route add 10.1.0.0/16 via 192.0.2.2 dev nope
		ip route add 10.1.0.0/16 via 198.51.100.1
		ip route add 10.1.0.0/16 via 198.51.100.1 dev vx0
		ip route add 10.1.0.0/16 via 198.51.100.1 onlink
		ip route add 10.1.0.1/16 via 192.0.2.2
		ip route add 10.1.0.0/16 via 192.0.2.2
		ip route add 10.1.0.0/16 via 192.0.2.2
		ip route add 10.1.0.0/16 via 192.0.2.9 metric 7
		ip route replace 10.1.0.0/16 via 192.0.2.3
		ip route change 10.44.0.0/16 via 192.0.2.3
		ip route append 10.1.0.0/16 via 192.0.2.4
		ip route del 10.1.0.0/16 via 192.0.2.77
		ip route del 10.44.0.0/16
		ip route del 10.1.0.0/16
		ip route add 10.3.0.0/16 dev vx0 metric x
		ip route add 10.3.0.0/16 dev vx0 metric 4294967296
		ip route add 10.3.0.0/16 dev vx0 mtu x
		ip route add 10.3.0.0/16 dev vx0 src 10.99.0.1
		ip route add 10.3.0.0/16 dev vx0 src bogus
		ip route add 10.3.0.0/16 nexthop
		ip route add 10.3.0.0/16 nexthop via bogus dev vx0
		ip route add 10.3.0.0/16 nexthop via 192.0.2.2 dev nope
		ip route add 10.3.0.0/16 nexthop via 192.0.2.2 dev vx0 weight x
		ip route add 10.3.0.0/16 via 192.0.2.2 via 192.0.2.3
		ip route add 10.3.0.0/16 via 192.0.2.2 table 100 metric 0x10 proto static mtu 1400 advmss 1360
		ip route add 10.4.0.0/16 nexthop via 192.0.2.2 dev vx0 weight 2 nexthop via 10.4.0.1 dev vx0 onlink
		ip route add 10.5.0.0/16 via 10.5.0.1 dev vx0 onlink mtu 1400 proto 12
		ip route add blackhole 10.6.0.0/16
		ip route add unreachable 10.7.0.0/16 proto 77
		ip route add prohibit 10.8.0.0/16 metric 9
		ip route add throw 10.9.0.0/16 table 77
		ip route add 10.66.0.0/16 via inet6 fe80::1 dev vx0
		ip route add 10.67.0.0/16 proto static via 192.0.2.2 src 192.0.2.1
		ip route add 10.68.0.0/16 dev vx0 scope host
		ip route add fd05::/64 dev vx0
		ip route add unreachable fd06::/64
		ip route add default via fd00::2
		ip -6 route add default via fd00::2
		ip route add fd07::/64 via fd00::7 metric 5 mtu 1400
		ip -6 route add fd08::/64 via fd08::1 dev vx0 onlink
		ip route add fd08::/64 nexthop via fd00::1 dev vx0 nexthop via fe80::2 dev vx0 weight 3
		ip route
		ip r s
		ip -6 route
		ip -4 route show default
		ip -6 route show default
		ip route show dev nope
		ip route show dev vx0
		ip route show 10.0.0.0/8
		ip route show 10.6.0.0/16
		ip route show exact 10.6.0.0/16
		ip -6 route show fd05::/64
		ip route show bogus
		ip route list proto static table all
		ip route show proto boot
		ip route show table all
		ip route show table local
		ip route flush
		ip route flush dev nope
		ip route flush 10.6.0.0/16
		ip route flush proto static
		ip route flush dev vx0
		ip -6 route flush proto boot
	`)
}
