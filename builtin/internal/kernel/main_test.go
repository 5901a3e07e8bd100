package kernel

import (
	"os"
	"testing"

	"github.com/overlayd/overlayd/internal/netns"
)

// The tests run in namespaces of their own, so that nothing they do reaches the machine.
func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }
