package demo

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestReachNamesThePairsThatNeverAnswered(t *testing.T) {
	t.Parallel()
	ns, addr := cabled(t, 1500, "192.0.2.", 24)
	var nodes []*node
	for i := range ns {
		p, err := listen(t.Context(), ns[i], addr[i])
		must(t, err)
		defer p.conn.Close()
		nodes = append(nodes, &node{number: i + 1, pingers: []*pinger{p}})
	}
	all := pairs(nodes, nodes)
	if len(all) != 2 {
		t.Fatalf("%d pairs between two nodes: %v", len(all), all)
	}
	told := make(chan *node, len(all))
	must(t, reach(t.Context(), time.Minute, all, func(from *node) { told <- from }))
	if len(told) != 2 {
		t.Errorf("%d nodes reached the other", len(told))
	}

	nobody := all[0]
	nobody.addr = addr[1].Next()
	err := reach(t.Context(), 300*time.Millisecond, []pair{nobody, all[1]}, func(*node) {})
	if want := "no answer to ping within 300ms from node 1 to node 2 (192.0.2.3)"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}

	cause := errors.New("a cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := reach(ctx, time.Minute, []pair{nobody}, func(*node) {}); err != cause {
		t.Errorf("when the context had ended: %v", err)
	}
}
