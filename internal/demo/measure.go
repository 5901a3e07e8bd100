package demo

import (
	"context"
	"fmt"
	"time"
)

// measure prints the ping matrix and the path's MTU.
func (s *stage) measure(ctx context.Context) error {
	if err := s.pingAll(ctx, s.nodes); err != nil {
		return err
	}
	first, second := s.nodes[0], s.nodes[1]
	for i, p := range first.pingers {
		s.say.progress("measuring the path's MTU")
		mtu, err := p.pathMTU(ctx, second.pingers[i].from)
		if err != nil {
			return err
		}
		promise := first.file.MTU
		s.say.line("path MTU over %s, %s to %s: %d bytes; FLANNEL_MTU says %d", p.family, first, second, mtu, promise)
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
		numbers = append(numbers, n.number)
	}
	all := pairs(nodes, nodes)
	s.say.progress("pinging")
	times := roundTrips(ctx, all)
	for _, p := range nodes[0].pingers {
		family := map[[2]int]time.Duration{}
		for pair, rtt := range times {
			if pair.addr.Is4() == p.from.Is4() {
				family[[2]int{pair.from.number, pair.to.number}] = rtt
			}
		}
		s.say.line("ping over %s, round-trip time in ms\n%s\n", p.family, matrix(numbers, family))
	}
	if lost := len(all) - len(times); lost > 0 {
		return fmt.Errorf("%d of %d pings lost an answer", lost, len(all))
	}
	return nil
}
