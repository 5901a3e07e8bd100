package cluster

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/netns"
	nodepkg "github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/internal/ping"
)

func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }

// must stops the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestPairsThatNeverAnsweredAreNamed(t *testing.T) {
	t.Parallel()
	addr := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	var ns [2]*netns.Namespace
	for i := range ns {
		var err error
		ns[i], err = netns.New()
		must(t, err)
		t.Cleanup(func() { ns[i].Close() })
	}
	must(t, netns.Connect(ns[0], "eth0", ns[1], "eth0", 1500))
	var nodes []*Node
	for i, n := range ns {
		must(t, n.Addr("eth0", netip.PrefixFrom(addr[i], 24)))
		p, err := listen(t.Context(), n, addr[i])
		must(t, err)
		defer p.Close()
		nodes = append(nodes, &Node{number: i + 1, pingers: []*ping.Pinger{p}})
	}
	all := Pairs(nodes, nodes)
	if len(all) != 2 {
		t.Fatalf("%d pairs between two nodes: %v", len(all), all)
	}
	told := make(chan *Node, len(all))
	must(t, answered(t.Context(), all, func(from *Node) { told <- from }))
	if len(told) != 2 {
		t.Errorf("%d nodes reached the other", len(told))
	}

	nobody := all[0]
	nobody.addr = addr[1].Next()
	cause := errors.New("no time left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	err := answered(ctx, []Pair{nobody, all[1]}, func(*Node) { t.Error("a node reached nobody") })
	const want = "no time left: no answer to ping from node 1 to node 2 (192.0.2.3)"
	if err == nil || err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestAPeerThatIsNotUpIsNamed(t *testing.T) {
	t.Parallel()
	subnets := []netip.Prefix{netip.MustParsePrefix("10.50.7.0/24")}
	node := &Node{number: 7, file: nodepkg.SubnetFile{Subnets: subnets}}
	peer := control.Peer{Paths: []control.Path{{Subnet: subnets[0]}}, State: hooks.PeerUp}
	retrying := peer
	retrying.State, retrying.Error = hooks.PeerRetrying, "exit status 2"
	for _, tt := range []struct {
		name  string
		peers []control.Peer
		want  string
	}{
		{"a peer that is up", []control.Peer{peer}, ""},
		{"a peer whose hook failed", []control.Peer{retrying}, "node 7 is retrying: exit status 2"},
		{"a peer that is not listed", nil, "it has not heard of node 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := hasUp(control.Status{Peers: tt.peers}, []*Node{node}); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
