package firewall_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/netns"
)

var counted = regexp.MustCompile(`counter packets \d+ bytes \d+`)

// listing is the namespace's ruleset as nft lists it, without what was counted.
func listing(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	return counted.ReplaceAllString(run(t, ns, "", "nft", "list", "ruleset"), "counter")
}

func TestNftListsTheTableAsWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*firewall.Rules){
		"masquerade-and-forward": func(*firewall.Rules) {},
		"masquerade-alone":       func(r *firewall.Rules) { r.Forward, r.Keep, r.KeepPorts = false, nil, true },
		"forward-alone":          func(r *firewall.Rules) { r.Masquerade = false },
		"one-family":             func(r *firewall.Rules) { r.Paths = r.Paths[:1] },
		"nothing":                func(r *firewall.Rules) { *r = firewall.Rules{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			r := rules()
			change(&r)
			must(t, table(ns).Apply(r))
			got := listing(t, ns)
			path := filepath.Join("testdata", name+".nft")
			if os.Getenv("UPDATE") != "" {
				must(t, os.WriteFile(path, []byte(got), 0o600))
			}
			want, err := os.ReadFile(path)
			must(t, err)
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("ruleset (-want +got):\n%s", diff)
			}
		})
	}
}

// handles is the ruleset with the handles of its rules, which a rule that is written again does not keep.
func handles(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	return counted.ReplaceAllString(run(t, ns, "", "nft", "-a", "list", "ruleset"), "counter")
}

func TestATableThatIsAsWantedIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	must(t, table(ns).Apply(rules()))
	before := handles(t, ns)
	must(t, table(ns).Apply(rules()))
	if diff := cmp.Diff(before, handles(t, ns)); diff != "" {
		t.Errorf("ruleset (-before +after):\n%s", diff)
	}
	other := rules()
	other.Paths[0].Subnet = prefixes("10.50.9.0/24")[0]
	must(t, table(ns).Apply(other))
	if got := listing(t, ns); strings.Contains(got, subnet4) || !strings.Contains(got, "10.50.9.0/24") {
		t.Errorf("rules of another subnet were not put in their place:\n%s", got)
	}
}

// Whatever somebody does to the table, it comes back, and nothing else is touched.
func TestWhatSomebodyDoesToTheTableIsUndone(t *testing.T) {
	t.Parallel()
	const foreign = "table inet filter { chain input { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }\n" +
		"table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 masquerade; }; }\n"
	for name, damage := range map[string]string{
		"all rules flushed":         "flush table inet overlayd",
		"the table deleted":         "delete table inet overlayd",
		"a chain flushed":           "flush chain inet overlayd postrouting",
		"a chain deleted":           "flush chain inet overlayd forward\ndelete chain inet overlayd forward",
		"a rule put first":          "insert rule inet overlayd postrouting accept",
		"a rule put last":           "add rule inet overlayd forward drop",
		"a chain added":             "add chain inet overlayd mine { type filter hook input priority 0; policy drop; }",
		"the table put to sleep":    "add table inet overlayd { flags dormant; }",
		"the policy changed":        "add chain inet overlayd forward { policy drop; }",
		"all of it, by its restart": "flush ruleset\n" + foreign,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			run(t, ns, foreign, "nft", "-f", "-")
			theirs := listing(t, ns)
			tb := table(ns)
			must(t, tb.Apply(rules()))
			want := listing(t, ns)
			keep(t, tb)
			run(t, ns, damage, "nft", "-f", "-")
			await(t, "the table", func() bool { return sameTables(want, listing(t, ns)) })
			must(t, tb.Remove())
			if diff := cmp.Diff(theirs, listing(t, ns)); diff != "" {
				t.Errorf("tables of others (-before +after):\n%s", diff)
			}
		})
	}
}

// sameTables compares rulesets, whatever the order of their tables.
func sameTables(a, b string) bool {
	tables := regexp.MustCompile(`(?ms)^table .*?^}$`)
	left, right := tables.FindAllString(a, -1), tables.FindAllString(b, -1)
	for _, one := range left {
		if !strings.Contains(b, one) {
			return false
		}
	}
	return len(left) == len(right)
}

func TestARemovedTableStaysAway(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	tb := table(ns)
	must(t, tb.Apply(rules()))
	keep(t, tb)
	must(t, tb.Remove())
	run(t, ns, "table ip else { }", "nft", "-f", "-")
	if got := listing(t, ns); strings.Contains(got, "overlayd") {
		t.Errorf("the table is back:\n%s", got)
	}
	must(t, tb.Remove()) // which is no error
	exists, err := tb.Exists()
	must(t, err)
	if exists {
		t.Error("it says that it exists")
	}
}
