package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

func lookAtRights(context.Context, *patient) []finding {
	if err := node.CheckNetAdmin(); err != nil {
		return []finding{{severe, "", err.Error(), "run the daemon as root, or grant it CAP_NET_ADMIN and CAP_NET_RAW"}}
	}
	return nil
}

func lookAtKernel(_ context.Context, p *patient) (all []finding) {
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		all = append(all, finding{note, "", "there is no /dev/net/tun: WireGuard needs it where the kernel has none of its own", "modprobe tun"})
	}
	if err := firewall.New(firewall.Options{Name: p.table}).Check(); err != nil {
		all = append(all, finding{note, "", "--ip-masq and --forward-rules would not work: " + err.Error(), ""})
	}
	return all
}

// slowEtcd is a round trip to etcd that is worth a warning. A lease is kept all the same.
const slowEtcd = 500 * time.Millisecond

func lookAtEtcd(ctx context.Context, p *patient) []finding {
	if p.unfound != nil {
		return []finding{{severe, "", p.unfound.Error(), "or name the cluster with --etcd-endpoints"}}
	}
	cluster, err := newEtcdCluster(p.etcd, p.etcdPrefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return []finding{{severe, "", err.Error(), "correct the --etcd-… flags, or the OVERLAYD_ETCD_… variables"}}
	}
	began := time.Now()
	if _, err := cluster.Check(ctx); err != nil {
		_ = cluster.close() // nothing was written
		return []finding{{severe, "", err.Error(), "start etcd, or name another cluster with --etcd-endpoints"}}
	}
	p.cluster = cluster
	var all []finding
	if took := time.Since(began); took > slowEtcd {
		all = append(all, finding{warning, "", fmt.Sprintf("it took %s to answer", took.Round(time.Millisecond)), "look at its disk and at the way to it"})
	}
	if err := cluster.CheckWrite(ctx); err != nil {
		all = append(all, finding{severe, "", err.Error(), "see overlayd etcd role"})
	}
	for _, e := range p.etcd.Endpoints {
		if isPlainBeyondLoopback(e) {
			all = append(all, finding{warning, "", e + " is reached without encryption", "use https:// and --etcd-cafile, see docs/security.md"})
		}
	}
	return all
}

func lookAtConfig(ctx context.Context, p *patient) []finding {
	if p.cluster == nil {
		return nil
	}
	value, revision, err := p.cluster.Config(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return []finding{{severe, "", "etcd " + p.cluster.ConfigKey() + " holds no network config", "overlayd config put FILE"}}
	}
	if err != nil {
		return []finding{{severe, "", err.Error(), ""}}
	}
	at := fmt.Sprintf("etcd %s@%d: ", p.cluster.ConfigKey(), revision)
	if err := checkNetwork(value); err != nil {
		return []finding{{severe, "", at + err.Error(), "overlayd config edit, or overlayd config rollback REVISION"}}
	}
	if p.network, err = lease.ParseNetwork(value); err != nil {
		return []finding{{severe, "", at + err.Error(), ""}}
	}
	if len(p.networks) == 0 {
		p.networks = networks(p.network)
	}
	if p.status != nil && p.status.Config.Canary != nil {
		return examineCanary(*p.status.Config.Canary)
	}
	if p.status != nil && p.status.Config.Revision != revision {
		return []finding{{warning, "", fmt.Sprintf("the daemon uses revision %d, and etcd has %d", p.status.Config.Revision, revision), "see overlayd status"}}
	}
	return nil
}

// examineCanary says whether the node is left behind by a staged roll-out.
func examineCanary(c control.Canary) []finding {
	if c.Error == "" {
		return nil
	}
	return []finding{{warning, "", "this node " + c.String(), "overlayd hook log --failed; a restart of the daemon tries it again"}}
}

func lookAtLeases(ctx context.Context, p *patient) (all []finding) {
	if p.cluster == nil || p.network.Backend.Type == "" {
		return nil
	}
	snapshot, err := p.cluster.Load(ctx)
	if err != nil {
		return []finding{{severe, "", err.Error(), ""}}
	}
	expiries, err := p.cluster.Expiries(ctx, snapshot.List()...)
	if err != nil {
		return []finding{{severe, "", err.Error(), ""}}
	}
	for _, f := range lease.Audit(p.network, snapshot, expiries) {
		all = append(all, finding{warning, "", fmt.Sprintf("%s: %s: %s", f.Kind, quoteKeys(f.Keys), f.Text), "see overlayd lease check and overlayd lease release"})
	}
	return all
}

func lookAtDaemon(_ context.Context, p *patient) (all []finding) {
	if p.status == nil {
		return []finding{{note, "", "none answers at " + control.SocketPath(p.runDir), "overlayd run"}}
	}
	h := p.status.Health
	grade := warning
	if !h.Live || !h.Ready {
		grade = severe
	}
	for _, reason := range h.Reasons {
		all = append(all, finding{grade, "", reason, "see overlayd status and overlayd events"})
	}
	if h.State == control.Stuck {
		all = append(all, finding{severe, "", "its main loop does not come round", "restart it, and send the log and overlayd bundle to its authors"})
	}
	return all
}

// external is the interface to the other nodes: the daemon's, else the one of the default route.
func (p *patient) external() (node.External, error) {
	var r node.Request
	for _, n := range p.networks {
		r.V4, r.V6 = r.V4 || n.Addr().Is4(), r.V6 || n.Addr().Is6()
	}
	if p.status != nil && p.status.Node.Interface != "" {
		r.Interfaces = []string{p.status.Node.Interface}
	}
	return p.facts.External(r)
}

func lookAtOverlap(_ context.Context, p *patient) []finding {
	if len(p.networks) == 0 {
		return nil
	}
	external, err := p.external()
	if err != nil {
		return []finding{{severe, "", err.Error(), "name the interface to the other nodes with --iface"}}
	}
	if err := p.facts.CheckOverlap(p.networks, external); err != nil {
		return []finding{{severe, "", err.Error(), ""}}
	}
	why := external.Why
	if p.status != nil && p.status.Node.InterfaceBy != "" {
		why = p.status.Node.InterfaceBy
	}
	var told []string
	for _, a := range []netip.Addr{external.PublicV4, external.PublicV6} {
		if a.IsValid() {
			told = append(told, a.String())
		}
	}
	return []finding{{note, "", fmt.Sprintf("other nodes reach this one by %s at %s, chosen by %s", external.Name, strings.Join(told, " and "), why), ""}}
}

// overheads are how many bytes a tunnel adds to a packet at least, by the kind of link: over IPv6 it is 20 more.
var overheads = map[string]int{"vxlan": 50, "wireguard": 60, "geneve": 50}

func lookAtMTU(_ context.Context, p *patient) (all []finding) {
	external, err := p.external()
	if err != nil || len(p.networks) == 0 {
		return nil
	}
	for _, i := range p.overlayLinks() {
		overhead := overheads[node.LinkKind(i.Name)]
		if i.MTU+overhead > external.MTU {
			all = append(all, finding{severe, "", fmt.Sprintf("%s has MTU %d, of which %s carries %d", i.Name, i.MTU, external.Name, external.MTU-overhead),
				fmt.Sprintf("ip link set %s mtu %d, or the key MTU of the network config", i.Name, external.MTU-overhead)})
		}
	}
	if p.status != nil && p.status.Node.MTU > external.MTU {
		all = append(all, finding{severe, "", fmt.Sprintf("containers are promised MTU %d, and %s carries %d", p.status.Node.MTU, external.Name, external.MTU),
			"the key MTU of the network config"})
	}
	return all
}

// overlayLinks are the tunnels with an address in the overlay.
func (p *patient) overlayLinks() (links []node.Interface) {
	for _, i := range p.facts.Interfaces {
		inside := slices.ContainsFunc(i.Addresses, func(a node.Address) bool {
			return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(a.Addr()) })
		})
		if _, tunnel := overheads[node.LinkKind(i.Name)]; tunnel && inside {
			links = append(links, i)
		}
	}
	return links
}

func lookAtForwarding(_ context.Context, p *patient) (all []finding) {
	for _, n := range p.networks {
		f := firewall.Forwarding{V6: n.Addr().Is6()}
		on, err := f.On()
		switch {
		case err != nil:
			all = append(all, finding{warning, "", err.Error(), ""})
		case !on:
			all = append(all, finding{warning, "", "the kernel does not forward packets, so that those of containers go nowhere", "sysctl -w " + f.String() + ", or overlayd run --sysctl"})
		}
	}
	return all
}

// lookAtReversePath finds tunnels whose packets the kernel drops when the way back is another: the larger of two settings counts.
func lookAtReversePath(_ context.Context, p *patient) (all []finding) {
	filter := func(name string) string {
		text, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", name, "rp_filter"))
		if err != nil {
			return "" // a link of another network namespace, or none any more
		}
		return strings.TrimSpace(string(text))
	}
	for _, i := range p.overlayLinks() {
		if max(filter("all"), filter(i.Name)) == "1" {
			all = append(all, finding{warning, "", "packets from " + i.Name + " are dropped where the way back is another (rp_filter is strict)",
				"sysctl -w net.ipv4.conf." + i.Name + ".rp_filter=2"})
		}
	}
	return all
}

func lookAtFirewall(_ context.Context, p *patient) (all []finding) {
	table := firewall.New(firewall.Options{Name: p.table, Logger: slog.New(slog.DiscardHandler)})
	drops, err := table.Drops()
	if err != nil {
		return nil // a kernel without nftables, which lookAtKernel has told of
	}
	if len(drops) > 0 {
		all = append(all, finding{warning, "", "forwarded packets are dropped unless another rule accepts them, by " + strings.Join(drops, ", "),
			"iptables -I FORWARD -s NETWORK -j ACCEPT, and the same with -d, or that program's own setting"})
	}
	for _, tunnel := range p.tunnelProbes() {
		if refusal, err := table.Refuses(tunnel.Probe); err == nil && refusal != nil {
			all = append(all, finding{severe, "", fmt.Sprintf("UDP port %d, at which %s receives what other nodes send, is dropped by %s", tunnel.Port, tunnel.link, refusal),
				fmt.Sprintf("nft insert rule %s %s %s udp dport %d accept", refusal.Family, refusal.Table, refusal.Chain, tunnel.Port)})
		}
	}
	if left, err := findLeftovers(table); err == nil && len(left.commands()) > 0 {
		all = append(all, finding{warning, "", "flannel has left tables, chains or rules in the firewall, the first to go by " + left.commands()[0], "overlayd migrate --finish"})
	}
	return all
}

// A tunnelProbe is a packet as another node sends it to a tunnel of this one.
type tunnelProbe struct {
	firewall.Probe
	link string
}

// tunnelProbes are the packets that the tunnels with an address in the overlay are to receive.
func (p *patient) tunnelProbes() (probes []tunnelProbe) {
	external, err := p.external()
	if err != nil {
		return nil
	}
	for _, i := range p.overlayLinks() {
		t, err := builtin.ReadTunnelEnd(i.Name)
		if err != nil {
			continue // it has gone since
		}
		for _, from := range []netip.Addr{external.PublicV4, external.PublicV6, external.Spare} {
			if from == external.Spare && !t.Local.IsValid() {
				continue // it may be that no peer sends there
			}
			if from.IsValid() && (!t.Local.IsValid() || t.Local.Is6() == from.Is6()) {
				probes = append(probes, tunnelProbe{firewall.Probe{Interface: external.Name, Index: external.Index, Port: t.Port, V6: from.Is6()}, i.Name})
			}
		}
	}
	return probes
}

func lookAtClock(context.Context, *patient) []finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err == nil && state == unix.TIME_ERROR {
		return []finding{{note, "", "the clock is not kept right: certificates and the times in logs depend on it", "run chrony, systemd-timesyncd or another that sets it"}}
	}
	return nil
}
