package hookrunner

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

// flannel v0.28 waited for ever for a command that did not read 64 KiB of input or did not end, panicked on a blank command,
// published stderr with stdout, and told hooks the interface's address in the public one's place.
func TestDefect16HooksAreBounded(t *testing.T) {
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRunner(t, backend(
				"Shell", shell, "Timeout", "2s",
				"PreStartupCommand", `echo "$PUBLIC_IP"; echo noise >&2`,
				"PostStartupCommand", " ",
				"SubnetAddCommand", "true",
				"ShutdownCommand", "sleep 60",
			), Options{})
			began := time.Now()
			if out, err := r.output(t.Context(), "true", strings.Repeat("x", maxData)); err != nil || out != "" {
				t.Errorf("a hook that does not read: %q, %v", out, err)
			}
			loud := peer
			loud.V4.Data = json.RawMessage(`"` + strings.Repeat("x", 1<<17) + `"`)
			if err := r.SubnetAdd(t.Context(), call(hooks.Join), loud); err == nil {
				t.Error("128 KiB of data were taken")
			}
			c := call(hooks.Start)
			c.Node.Lease.V4.PublicIP = netip.MustParseAddr("203.0.113.7")
			if data, err := r.PreStartup(t.Context(), c); err != nil || string(data.V4) != `"203.0.113.7"` {
				t.Errorf("published %s, %v", data.V4, err)
			}
			if err := r.PostStartup(t.Context(), c); err != nil {
				t.Errorf("a blank command: %v", err)
			}
			if err := r.Shutdown(t.Context(), call(hooks.Stop)); err == nil {
				t.Error("a hook that does not end succeeded")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("all took %s", took)
			}
		})
	}
}
