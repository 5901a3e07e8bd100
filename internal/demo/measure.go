package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/overlayd/overlayd/internal/cluster"
)

// measure prints the ping matrix and the path's MTU.
func (s *stage) measure(ctx context.Context) error {
	nodes := s.cluster.Nodes()
	if err := s.pingAll(ctx, nodes); err != nil {
		return err
	}
	for _, p := range cluster.Pairs(nodes[:1], nodes[1:2]) {
		s.say.progress("measuring the path's MTU")
		mtu, err := p.PathMTU(ctx)
		if err != nil {
			return err
		}
		promise := p.From.SubnetFile().MTU
		s.say.line("path MTU over %s, %s to %s: %d bytes; FLANNEL_MTU says %d", p.Family(), p.From, p.To, mtu, promise)
		if mtu < promise {
			return fmt.Errorf("path MTU is %d, less than the FLANNEL_MTU=%d that subnet.env promises", mtu, promise)
		}
	}
	s.say.line("")
	return nil
}

// pingAll prints a matrix for each family. It fails unless every ping came back.
func (s *stage) pingAll(ctx context.Context, nodes []*cluster.Node) error {
	var numbers []int
	for _, n := range nodes {
		numbers = append(numbers, n.Number())
	}
	all := cluster.Pairs(nodes, nodes)
	s.say.progress("pinging")
	times := cluster.RoundTrips(ctx, all)
	for _, first := range cluster.Pairs(nodes[:1], nodes[1:2]) {
		family := map[[2]int]time.Duration{}
		for p, rtt := range times {
			if p.Family() == first.Family() {
				family[[2]int{p.From.Number(), p.To.Number()}] = rtt
			}
		}
		s.say.line("ping over %s, round-trip time in ms\n%s\n", first.Family(), matrix(numbers, family))
	}
	if lost := len(all) - len(times); lost > 0 {
		return fmt.Errorf("%d of %d pings lost an answer", lost, len(all))
	}
	return nil
}
