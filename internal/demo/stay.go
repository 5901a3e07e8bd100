package demo

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/internal/netns"
)

// stay says how to look around, and waits until the context ends.
func (s *stage) stay(ctx context.Context) error {
	s.say.line("\nThe network stays until Ctrl-C. To look around, put one of these before a")
	s.say.line("command such as ip route, bridge fdb or ping, as the same user:")
	var enter string
	for _, n := range s.cluster.Nodes()[1:] {
		pid, err := netns.MachinePID(n.PID())
		if err != nil {
			return err
		}
		enter = fmt.Sprintf(nsenter(), pid)
		s.say.line("  %-30s # %s, %s", enter, n, n.Subnets())
	}
	demo, err := netns.MachinePID(os.Getpid())
	if err != nil {
		return err
	}
	s.say.line("What the last daemon says of itself, and where the logs are:")
	s.say.line("  %s %s status\n  /proc/%d/root%s\n", enter, s.Binary, demo, files)
	<-ctx.Done()
	return nil
}

// nsenter is the command that enters a node by its process ID. Without root it must enter the user namespace first.
func nsenter() string {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || slices.Equal(strings.Fields(string(ids)), []string{"0", "0", "4294967295"}) {
		return "nsenter -t %d -n -m -p"
	}
	return "nsenter -t %d -U --preserve-credentials -n -m -p"
}
