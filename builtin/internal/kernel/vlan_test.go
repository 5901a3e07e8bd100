package kernel

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// requireVLANs skips the test where the kernel's bridges know no VLANs. Debian's do: make test-kernel.
func requireVLANs(t *testing.T) {
	t.Helper()
	k, done := opened(t)
	defer done()
	do(t, k, Op{Add, Link{Name: "br", Kind: "bridge"}})
	if len(list(t, k, VLAN{})) == 0 {
		t.Skip("the kernel's bridges know no VLANs (CONFIG_BRIDGE_VLAN_FILTERING)")
	}
}

// bridged is a bridge with a port.
var bridged = []Op{
	{Add, Link{Name: "br", Kind: "bridge"}}, {Add, Link{Name: "p", Kind: "veth", Peer: "q"}}, {Set, Link{Name: "p", Master: "br"}},
}

func vlan(id int, what string) VLAN {
	return VLAN{
		Dev: "p", ID: id, PVID: strings.Contains(what, "pvid"), Untagged: strings.Contains(what, "untagged"),
	}
}

func bridgeVLAN(id int, what string) VLAN {
	v := vlan(id, what)
	v.Dev, v.Self = "br", true
	return v
}

var vlanSteps = []step{
	{bridged[0], ""}, {bridged[1], ""}, {bridged[2], ""},
	{Op{Add, vlan(5, "")}, ""},
	{Op{Add, vlan(5, "untagged")}, ""}, // no two of them, but another
	{Op{Replace, vlan(6, "")}, ""},
	{Op{Replace, vlan(7, "pvid untagged")}, ""},
	{Op{Replace, vlan(8, "pvid")}, ""}, // 7 has lost it
	{Op{Replace, vlan(4094, "")}, ""},
	{Op{Del, vlan(6, "")}, ""},
	{Op{Del, vlan(6, "")}, ""},
	{Op{Replace, vlan(0, "")}, "invalid argument: bridge: Vlan id is invalid"},
	{Op{Replace, vlan(4095, "")}, "invalid argument: bridge: Vlan id is invalid"},
	{Op{Del, vlan(4095, "")}, "invalid argument"},
	{Op{Replace, bridgeVLAN(9, "")}, ""},
	{Op{Replace, bridgeVLAN(10, "pvid untagged")}, ""},
	{Op{Del, bridgeVLAN(9, "")}, ""},
	{Op{Replace, VLAN{Dev: "br", ID: 5}}, "operation not supported"},
	{Op{Replace, VLAN{Dev: "p", ID: 5, Self: true}}, "operation not supported"},
	{Op{Replace, VLAN{Dev: "q", ID: 5}}, "operation not supported"},
	{Op{Del, VLAN{Dev: "q", ID: 5}}, "operation not supported"},
	{Op{Replace, VLAN{Dev: "nope", ID: 5}}, `Cannot find device "nope"`},
}

func TestFakeAndLinuxAnswerAlikeOfVLANs(t *testing.T) {
	requireVLANs(t)
	for name, more := range map[string][]step{
		"as they are":            nil,
		"a port that leaves":     {{Op{Set, Link{Name: "p", NoMaster: true}}, ""}, {Op{Set, Link{Name: "p", Master: "br"}}, ""}},
		"a bridge that goes":     {{Op{Del, Link{Name: "br"}}, ""}},
		"a port that goes":       {{Op{Del, Link{Name: "p"}}, ""}},
		"a port of another name": {{Op{Set, Link{Name: "p", Rename: "x"}}, ""}, {Op{Replace, VLAN{Dev: "x", ID: 3}}, ""}},
	} {
		t.Run(name, func(t *testing.T) { answerAlike(t, append(vlanSteps[:len(vlanSteps):len(vlanSteps)], more...)) })
	}
}

func TestTheFakesTextRebuildsItsVLANs(t *testing.T) {
	requireVLANs(t)
	if _, err := exec.LookPath("bridge"); err != nil {
		t.Skip("bridge is not installed")
	}
	rebuild(t, vlanSteps)
}

// What bridges and ports begin with is theirs too: it comes back, and what somebody has taken away does not.
func TestVLANsComeBackAsTheyWere(t *testing.T) {
	requireVLANs(t)
	for name, ops := range map[string][]Op{
		"another PVID":          {{Replace, vlan(7, "pvid untagged")}, {Replace, vlan(8, "pvid")}},
		"the first one changes": {{Replace, vlan(1, "")}, {Del, vlan(1, "")}},
		"the bridge's":          {{Replace, bridgeVLAN(7, "pvid")}, {Del, bridgeVLAN(1, "")}},
		"the port leaves":       {{Set, Link{Name: "p", NoMaster: true}}, {Set, Link{Name: "p", Master: "br"}}},
		"the bridge goes":       {{Del, Link{Name: "br"}}},
		"the port goes":         {{Del, Link{Name: "p"}}},
	} {
		for first, before := range map[string][]Op{
			" from the beginning":    nil,
			" without the first one": {{Replace, vlan(3, "pvid untagged")}, {Replace, vlan(4, "")}, {Del, vlan(1, "")}, {Replace, bridgeVLAN(5, "")}},
			" without any":           {{Del, vlan(1, "")}, {Del, bridgeVLAN(1, "")}},
		} {
			t.Run(name+first, func(t *testing.T) {
				k := openIn(t)
				do(t, k, append(bridged[:3:3], before...)...)
				want := describe(list(t, k, VLAN{}))
				run := scopesOn(t, k, "").Begin("s")
				do(t, run, ops...)
				if err := run.Undo(t.Context()); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, describe(list(t, k, VLAN{}))); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
			})
		}
	}
}

// eachWithVLANs is eachKernel where the machine's has VLANs, and the Fake alone elsewhere.
func eachWithVLANs(t *testing.T, test func(*testing.T, Kernel)) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		if _, fake := k.(*Fake); !fake {
			requireVLANs(t)
		}
		test(t, k)
	})
}

func TestVLANsOfAScopeAreItsOwn(t *testing.T) {
	eachWithVLANs(t, func(t *testing.T, k Kernel) {
		do(t, k, append(bridged[:3:3], Op{Replace, vlan(20, "")})...)
		before := state(t, k)
		scopes := scopesOn(t, k, "")
		run := scopes.Begin("s")
		do(t, run, Op{Replace, vlan(5, "pvid untagged")}, Op{Replace, vlan(6, "pvid")}, Op{Replace, vlan(7, "")}, Op{Del, vlan(7, "")}, Op{Replace, vlan(8, "")})
		run.Keep()
		want := "bridge vlan add dev p vid 5 untagged master\nbridge vlan add dev p vid 6 pvid master\nbridge vlan add dev p vid 8 master\n"
		if diff := cmp.Diff("s\n"+want, owned(scopes)); diff != "" {
			t.Errorf("owned (-want +got):\n%s", diff)
		}
		if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
			t.Errorf("the audit tells of %v, %v", names, err)
		}
		next := scopes.Begin("s")
		do(t, next, Op{Replace, vlan(6, "pvid")})
		if err := next.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("s\nbridge vlan add dev p vid 6 pvid master\n", owned(scopes)); diff != "" {
			t.Errorf("owned after the sweep (-want +got):\n%s", diff)
		}
		if err := scopes.Begin("s").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, state(t, k)); diff != "" {
			t.Errorf("after all is cleared (-before +after):\n%s", diff)
		}
	})
}

func TestVLANsOfAPortThatIsNoneAreGone(t *testing.T) {
	eachWithVLANs(t, func(t *testing.T, k Kernel) {
		do(t, k, bridged...)
		scopes := scopesOn(t, k, "")
		run := scopes.Begin("s")
		do(t, run, Op{Replace, vlan(5, "")}, Op{Replace, vlan(6, "")})
		run.Keep()
		do(t, k, Op{Del, Link{Name: "br"}})
		next := scopes.Begin("s")
		do(t, next, Op{Del, vlan(5, "")})
		next.Keep()
		if err := scopes.Begin("s").Clear(t.Context()); err != nil || owned(scopes) != "" {
			t.Errorf("%v, owned: %s", err, owned(scopes))
		}
	})
}

func TestLostVLANsArePutBack(t *testing.T) {
	eachWithVLANs(t, func(t *testing.T, k Kernel) {
		do(t, k, bridged...)
		scopes, told := watched(t, k, time.Hour)
		run := scopes.Begin("vlans")
		do(t, run, Op{Replace, vlan(5, "pvid untagged")}, Op{Replace, vlan(6, "")}, Op{Replace, bridgeVLAN(5, "")})
		run.Keep()
		want := state(t, k)
		for _, op := range []Op{{Del, vlan(6, "")}, {Replace, vlan(9, "pvid")}, {Del, bridgeVLAN(5, "")}} {
			do(t, k, op)
			select {
			case names := <-told:
				if diff := cmp.Diff([]string{"vlans"}, names); diff != "" {
					t.Errorf("%s: told of (-want +got):\n%s", op, diff)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s was not noticed", op)
			}
			do(t, k, Op{Del, vlan(9, "")})
			if diff := cmp.Diff(want, state(t, k)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", op, diff)
			}
			again := scopes.Begin("vlans")
			do(t, again, Op{Replace, vlan(5, "pvid untagged")}, Op{Replace, vlan(6, "")}, Op{Replace, bridgeVLAN(5, "")})
			again.Keep()
		}
	})
}
