package builtin

import (
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/native/nativetest"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

func requireIP(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// What the native twin of an example leaves and the example does not: our marks; the metrics of routes to peers, without which
// the kernel adds thousands of them slowly (see kernel.Spread); and that its vxlan names its underlay, which bounds its segments.
var (
	marks    = regexp.MustCompile(` proto 111|(?m)^\s+alias overlayd\n| local 192\.0\.2\.1 dev eth0| metric 128(07|08|09)\b`)
	segments = regexp.MustCompile(`tso_max_size \d+|link-netnsid \d+`)
)

// stateBegins is where in the text of a step its state begins.
const stateBegins = "# ip -d link"

// Not parallel: the native side of each is this process's namespace.
func TestEachExampleAndItsNativeTwinLeaveTheSame(t *testing.T) {
	for name, keys := range map[string]string{"host-gw": "", "vxlan": `, "Name": "flannel-vxlan"`, "wireguard": ""} {
		t.Run(name, func(t *testing.T) {
			real, here := realTools(t), inProcess(t)
			underlay(t, real.inside)
			underlay(t, here.inside)
			example := life(t, readExample(t, name), real, name)
			native := nativeLife(t, here, name, keys)
			for i, step := range []string{"PreStartup", "PostStartup", "SubnetAdd", "SubnetAdd", "SubnetRemove", "Shutdown"} {
				if step == "PreStartup" || step == "SubnetRemove" && name == "vxlan" {
					continue // the example makes its link earlier, or has no such command
				}
				_, want, _ := strings.Cut(example[i], stateBegins)
				_, got, _ := strings.Cut(native[i], stateBegins)
				same(t, step, segments.ReplaceAllString(want, ""), segments.ReplaceAllString(marks.ReplaceAllString(got, ""), ""))
			}
		})
	}
}

// nativeLife does by a native backend what life does by an example's hooks.
func nativeLife(t *testing.T, s side, kind, keys string) (steps []string) {
	t.Helper()
	b, err := s.set.Backend(lease.Backend{Type: kind, Raw: []byte(`{"Type": "` + kind + `"` + keys + `}`)},
		BackendOptions{NodeID: "node 1", Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := hostOn(t, s.set.kernel, nativetest.OnlyV4, 1)
	h.call.Reason = hooks.Repair // to others WireGuard would send a packet, and look for them
	step := func(err error) {
		h.must(err)
		steps = append(steps, s.state(t))
	}
	_, err = b.PreStartup(t.Context(), h.call)
	step(err)
	step(b.PostStartup(t.Context(), h.call))
	of := func(i int) lease.Lease {
		data := map[string]string{"vxlan": `{"VtepMAC":"` + peers[i].mac + `"}`, "wireguard": `{"PublicKey":"` + peers[i].key + `"}`}[kind]
		return nativetest.OnlyV4.Lease(kind, 7+i, data, "")
	}
	step(b.SubnetAdd(t.Context(), h.call, of(0)))
	step(b.SubnetAdd(t.Context(), h.call, of(1)))
	step(b.SubnetRemove(t.Context(), h.call, of(0)))
	step(b.Shutdown(t.Context(), h.call))
	return steps
}
