package deptest

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/overlayd/overlayd/"

// What the rules are about, by import path or by the beginning of one that ends in a slash.
var (
	etcd    = []string{"go.etcd.io/"}
	netlink = []string{"github.com/vishvananda/", "github.com/mdlayher/netlink", "github.com/mdlayher/netlink/"}
	nft     = []string{"github.com/google/nftables", "github.com/google/nftables/"}
	wgctrl  = []string{"golang.zx2c4.com/wireguard/wgctrl", "golang.zx2c4.com/wireguard/wgctrl/"}
	shell   = []string{"mvdan.cc/sh/"}
	cmd     = []string{module + "cmd/"}
)

// A rule forbids imports.
type rule struct {
	of     []string // the packages of this module it binds, without the module's path; nil for all
	but    []string // those of them it does not bind
	direct bool     // whether only their own imports count, and not what these import in turn
	never  []string
	why    string
}

var rules = []rule{
	{
		of: []string{"lease", "hooks"}, never: slices.Concat(etcd, netlink, nft, wgctrl, shell),
		why: "leases and the loop that calls hooks are the same whatever keeps the leases and whatever a hook is",
	},
	{
		of: []string{"hookrunner"}, never: slices.Concat(etcd, netlink, nft, wgctrl),
		why: "the runner of shell commands is given the in-process commands from outside",
	},
	{
		but: []string{"builtin/internal/kernel", "internal/firewall", "internal/netns"}, direct: true, never: netlink,
		why: "all that overlayd does to a machine goes through the kernel layer, and through the firewall to packets; netns only prepares demonstrations and tests",
	},
	{
		but: []string{"builtin/internal/kernel"}, direct: true, never: wgctrl,
		why: "all that overlayd does to a machine goes through the kernel layer",
	},
	{
		but: []string{"lease/etcd", "lease/etcd/embedded"}, direct: true, never: etcd,
		why: "everybody else speaks of leases",
	},
	{
		but: []string{"hookrunner", "hookrunner/helper", "hookrunner/lint", "hookrunner/script", "builtin", "builtin/command"}, direct: true, never: shell,
		why: "the shell is one way to write a hook",
	},
	{
		direct: true, never: cmd,
		why: "cmd puts the packages together, none of them knows it",
	},
	{
		but: []string{"internal/firewall"}, direct: true, never: nft,
		why: "the firewall is one table, which one package writes",
	},
}

// A graph is the packages that each package imports.
type graph map[string][]string

func TestImportsFollowTheRules(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed: ", err)
	}
	g := moduleGraph(t)
	for _, bound := range rules {
		for _, name := range slices.Concat(bound.of, bound.but) {
			if _, ok := g[module+name]; !ok {
				t.Errorf("a rule is about package %s, which is not there", name)
			}
		}
	}
	for _, v := range g.violations(rules) {
		t.Error(v)
	}
}

func TestRulesThatAreBrokenAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		graph graph
		want  []string
	}{
		"nothing forbidden": {
			graph{"lease": {"net/netip"}, "lease/etcd": {"lease", "go.etcd.io/etcd/client/v3"}, "cmd/overlayd": {"lease/etcd"}}, nil,
		},
		"a forbidden import": {
			graph{"hooks": {"mvdan.cc/sh/v3/interp"}}, []string{
				"hooks -> mvdan.cc/sh/v3/interp: " + rules[0].why,
				"hooks -> mvdan.cc/sh/v3/interp: " + rules[5].why,
			},
		},
		"a forbidden import of an import": {
			graph{"hooks": {"lease"}, "lease": {"helper"}, "helper": {"go.etcd.io/etcd/api/v3"}}, []string{
				"helper -> go.etcd.io/etcd/api/v3: " + rules[4].why,
				"hooks -> lease -> helper -> go.etcd.io/etcd/api/v3: " + rules[0].why,
				"lease -> helper -> go.etcd.io/etcd/api/v3: " + rules[0].why,
			},
		},
		"the runner that reaches the kernel": {
			graph{"hookrunner": {"builtin/internal/kernel"}, "builtin/internal/kernel": {"github.com/vishvananda/netlink"}}, []string{
				"hookrunner -> builtin/internal/kernel -> github.com/vishvananda/netlink: " + rules[1].why,
			},
		},
		"netlink and wgctrl outside the kernel layer": {
			graph{"builtin": {"github.com/vishvananda/netlink/nl"}, "internal/netns": {"github.com/vishvananda/netns", "golang.zx2c4.com/wireguard/wgctrl"}}, []string{
				"builtin -> github.com/vishvananda/netlink/nl: " + rules[2].why,
				"internal/netns -> golang.zx2c4.com/wireguard/wgctrl: " + rules[3].why,
			},
		},
		"nftables outside the firewall": {
			graph{"builtin/internal/kernel": {"github.com/google/nftables/expr"}, "internal/firewall": {"github.com/google/nftables"}}, []string{
				"builtin/internal/kernel -> github.com/google/nftables/expr: " + rules[7].why,
			},
		},
		"a package that knows the command": {
			graph{"lease/etcd": {"cmd/overlayd"}, "cmd/overlayd": nil}, []string{"lease/etcd -> cmd/overlayd: " + rules[6].why},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.graph.inModule().violations(rules)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// inModule completes the short names of this module's packages, which are the keys.
func (g graph) inModule() graph {
	full := graph{}
	for name, imports := range g {
		for _, i := range imports {
			if _, ours := g[i]; ours {
				i = module + i
			}
			full[module+name] = append(full[module+name], i)
		}
	}
	return full
}

// violations returns each chain of imports that a rule forbids, the shortest for each package and rule, with the reason.
func (g graph) violations(rules []rule) []string {
	var all []string
	for _, r := range rules {
		for from := range g {
			name, ours := strings.CutPrefix(from, module)
			if !ours || slices.Contains(r.but, name) || r.of != nil && !slices.Contains(r.of, name) {
				continue
			}
			if chain := g.chain(from, r); chain != nil {
				all = append(all, strings.ReplaceAll(strings.Join(chain, " -> "), module, "")+": "+r.why)
			}
		}
	}
	slices.Sort(all)
	return all
}

// chain searches in breadth for the shortest way from a package to one that the rule forbids to it.
func (g graph) chain(from string, r rule) []string {
	seen := map[string]bool{from: true}
	for ways := [][]string{{from}}; len(ways) > 0; ways = ways[1:] {
		way := ways[0]
		for _, i := range g[way[len(way)-1]] {
			if seen[i] {
				continue
			}
			seen[i] = true
			longer := append(slices.Clip(way), i)
			if matches(i, r.never) {
				return longer
			}
			if !r.direct {
				ways = append(ways, longer)
			}
		}
	}
	return nil
}

func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p)
	})
}

// moduleGraph asks the go command what this module's packages import, tests left out.
func moduleGraph(t *testing.T) graph {
	t.Helper()
	// Go's cache of test results knows which files a test has looked at, and not at which the go command has.
	if err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports", module+"...")
	list.Stderr = t.Output()
	out, err := list.Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	g := graph{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p.Imports
	}
}
