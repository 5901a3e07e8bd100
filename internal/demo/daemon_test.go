package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	nodepkg "github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

// fault is the environment variable that tells a stand-in what to do wrong.
const fault = "DEMO_TEST_FAULT"

// standIn is a daemon just good enough for the demo: node n of the underlay takes 10.50.n.0/24, and fd00:50:0:n::/64 where
// the underlay has IPv6, and routes the others' subnets through their public addresses.
func standIn() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	own, err := ownLease()
	if err != nil {
		return err
	}
	if os.Getenv(fault) == "ends by itself" && own.V4.PublicIP.As4()[3] == 2 {
		return errors.New("no reason at all")
	}
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{os.Args[3]}})
	if err != nil {
		return err
	}
	defer client.Close()
	store := etcd.New(client, "/coreos.com/network", quiet())
	if err := take(ctx, store, own); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop meanwhile
		}
		return err
	}
	if os.Getenv(fault) == "never gets a subnet" {
		<-ctx.Done()
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	state := control.NewState(control.Facts{})
	group.Go(func() error { return serveStatus(ctx, state) })
	group.Go(func() error {
		return store.Watch(ctx, lease.Snapshot{}, func(s lease.Snapshot) error { return route(own, s, state) }, nil)
	})
	if err := writeSubnetFile(own); err != nil {
		return err
	}
	state.ObserveNode(hooks.NodeStatus{Phase: hooks.NodeUp})
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

const runDir = "/run/overlayd"

// serveStatus says that three hooks have run.
func serveStatus(ctx context.Context, state *control.State) error {
	if err := os.Mkdir(runDir, 0o750); err != nil {
		return err
	}
	state.ObserveHook(hooks.HookRun{Hook: hooks.PostStartup, Took: time.Millisecond})
	state.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Took: 3 * time.Millisecond})
	state.ObserveHook(hooks.HookRun{Hook: hooks.SubnetAdd, Took: 2 * time.Millisecond})
	return control.Serve(ctx, control.SocketPath(runDir), state)
}

// ownLease is what the node takes by the addresses of its eth0.
func ownLease() (own lease.Lease, err error) {
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return own, err
	}
	addrs, err := eth0.Addrs()
	if err != nil {
		return own, err
	}
	for _, a := range addrs {
		addr := netip.MustParsePrefix(a.String()).Addr()
		switch n := addr.AsSlice(); {
		case addr.Is4():
			own.V4 = lease.Path{PublicIP: addr, Subnet: netip.MustParsePrefix(fmt.Sprintf("10.50.%d.0/24", n[3]))}
		case underlay6.Contains(addr):
			own.V6 = lease.Path{PublicIP: addr, Subnet: netip.MustParsePrefix(fmt.Sprintf("fd00:50:0:%x::/64", n[15]))}
		}
	}
	return own, nil
}

func take(ctx context.Context, store *etcd.Store, own lease.Lease) error {
	for {
		snapshot, err := store.Load(ctx)
		if err != nil {
			return err
		}
		if _, err = store.Create(ctx, snapshot, time.Hour, own); !errors.Is(err, lease.ErrTaken) {
			return err
		}
	}
}

func writeSubnetFile(own lease.Lease) error {
	file := nodepkg.SubnetFile{MTU: 1500}
	if os.Getenv(fault) == "promises too large an MTU" {
		file.MTU++
	}
	for p := range own.Paths() {
		file.Subnets = append(file.Subnets, p.Subnet)
	}
	return file.At("/run/flannel/subnet.env").Write()
}

// route makes the machine's routes those to the snapshot's leases, but for its own, and says so.
func route(own lease.Lease, s lease.Snapshot, state *control.State) error {
	present := map[string]bool{}
	for family, overlay := range map[string]string{"-4": "10.50.0.0/16", "-6": "fd00:50::/48"} {
		text, err := exec.Command("ip", family, "route", "show", "root", overlay, "dev", "eth0").Output()
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			present[strings.Fields(line)[0]] = true
		}
	}
	var errs []error
	for _, r := range s.List() {
		for p := range r.Paths() {
			to := p.Subnet.String()
			if p.Subnet != own.V4.Subnet && p.Subnet != own.V6.Subnet && !present[to] {
				errs = append(errs, exec.Command("ip", "route", "add", to, "via", p.PublicIP.String()).Run())
			}
			delete(present, to)
		}
		state.ObservePeer(hooks.PeerStatus{Lease: &r.Lease, State: hooks.PeerUp})
	}
	for to := range present {
		if os.Getenv(fault) != "keeps routes" {
			errs = append(errs, exec.Command("ip", "route", "del", to).Run())
		}
	}
	return errors.Join(errs...)
}
