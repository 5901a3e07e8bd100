package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hookrunner"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
)

func TestANodeChoosesWhatItFollows(t *testing.T) {
	t.Parallel()
	const one, two, three = `{"a": 1}`, `{"a": 2}`, `{"a": 3}`
	configs := func(value string, revision int64, staged *etcd.Staged) etcd.Configs {
		return etcd.Configs{Value: []byte(value), Revision: revision, Staged: staged}
	}
	two12 := new(etcd.Staged)
	two12.Revision, two12.Base, two12.Nodes, two12.Value = 12, 10, []string{"a", "b"}, []byte(two)
	for name, tt := range map[string]struct {
		node    string
		configs etcd.Configs
		now     revision
		spurned int64
		want    string
	}{
		"nothing":                        {"a", etcd.Configs{}, revision{}, 0, "@0"},
		"nothing staged":                 {"a", configs(one, 10, nil), revision{}, 0, one + "@10"},
		"a canary":                       {"a", configs(one, 10, two12), revision{}, 0, two + "@12, else " + one + "@10"},
		"another node":                   {"c", configs(one, 10, two12), revision{}, 0, one + "@10"},
		"overtaken":                      {"a", configs(three, 13, two12), revision{number: 12, value: []byte(two)}, 0, three + "@13"},
		"continued, another node":        {"c", configs(two, 13, two12), revision{number: 10, value: []byte(one)}, 0, two + "@13, else " + one + "@10"},
		"continued, a canary":            {"a", configs(two, 13, two12), revision{number: 12, value: []byte(two)}, 0, two + "@13"},
		"continued, at a start":          {"c", configs(two, 13, two12), revision{}, 0, two + "@13"},
		"put again later":                {"c", configs(two, 20, two12), revision{number: 15, value: []byte(three)}, 0, two + "@20"},
		"spurned":                        {"a", configs(one, 10, two12), revision{number: 12, value: []byte(two)}, 12, "instead@0"},
		"spurned, and overtaken":         {"a", configs(three, 13, two12), revision{number: 10, value: []byte(one)}, 12, three + "@13"},
		"spurned, and continued":         {"a", configs(two, 13, two12), revision{number: 10, value: []byte(one)}, 12, two + "@13, else " + one + "@10"},
		"spurned, and not staged by now": {"a", configs(one, 10, nil), revision{number: 10, value: []byte(one)}, 12, one + "@10"},
	} {
		o := rollout{seen: tt.configs}
		if tt.spurned != 0 {
			o.spurned = &revision{number: tt.spurned, instead: &revision{value: []byte("instead")}}
		}
		r := o.choose(tt.node, tt.now)
		got := fmt.Sprintf("%s@%d", r.value, r.number)
		if r.instead != nil {
			got += fmt.Sprintf(", else %s@%d", r.instead.value, r.instead.number)
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestWhatHooksPrintedIsNotPublished(t *testing.T) {
	t.Parallel()
	failure := &hookrunner.Failure{Cause: errors.New("exit status 3"), LastWords: "the key is hunter2"}
	for _, err := range []error{
		fmt.Errorf("PreStartup: %w", failure), fmt.Errorf("3 times in a row: %w", errors.Join(failure, errors.New("and more"))),
	} {
		got := published(err)
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "exit status 3, and the node's") || !strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v is published as %s", err, got)
		}
	}
	if got := published(errors.New("port in use")); got != "port in use" {
		t.Errorf("an error without words of a hook's is published as %s", got)
	}
}

func TestATrialJudgesByHooks(t *testing.T) {
	t.Parallel()
	peer := func(host byte, state hooks.PeerState, attempts int) hooks.PeerStatus {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, host, 0}), 24)
		return hooks.PeerStatus{Lease: &lease.Lease{V4: lease.Path{Subnet: subnet}}, State: state, Attempts: attempts, Err: errors.New("failed")}
	}
	own := func(hook hooks.Hook) func(hooks.Observer) {
		return func(o hooks.Observer) { o.ObserveHook(hooks.HookRun{Hook: hook, Err: errors.New("failed")}) }
	}
	of := func(p hooks.PeerStatus) func(hooks.Observer) { return func(o hooks.Observer) { o.ObservePeer(p) } }
	listed := func(o hooks.Observer) { o.ObserveListed() }
	gone := func(o hooks.Observer) { o.ObserveGone(*peer(1, "", 0).Lease) }
	for name, tt := range map[string]struct {
		canary bool
		told   []func(hooks.Observer)
		want   string
	}{
		"nothing yet":               {true, nil, ""},
		"no peers":                  {true, []func(hooks.Observer){listed}, "passed"},
		"a peer to come":            {true, []func(hooks.Observer){of(peer(1, hooks.PeerPending, 0)), listed}, ""},
		"a peer that is up":         {true, []func(hooks.Observer){of(peer(1, hooks.PeerPending, 0)), listed, of(peer(1, hooks.PeerUp, 0))}, "passed"},
		"up before all are listed":  {true, []func(hooks.Observer){of(peer(1, hooks.PeerUp, 0))}, ""},
		"a peer that left":          {true, []func(hooks.Observer){of(peer(1, hooks.PeerPending, 0)), listed, gone}, "passed"},
		"a few failures":            {true, []func(hooks.Observer){listed, of(peer(1, hooks.PeerRetrying, 2))}, "passed"},
		"a few failures at first":   {true, []func(hooks.Observer){of(peer(1, hooks.PeerRetrying, 2)), listed}, ""},
		"failures":                  {true, []func(hooks.Observer){of(peer(1, hooks.PeerRetrying, 3)), listed}, "failed"},
		"failures after all":        {true, []func(hooks.Observer){listed, of(peer(1, hooks.PeerRetrying, 3))}, "passed failed"},
		"failures later, elsewhere": {false, []func(hooks.Observer){listed, of(peer(1, hooks.PeerRetrying, 3))}, "passed"},
		"failures as before":        {true, []func(hooks.Observer){of(peer(9, hooks.PeerRetrying, 7)), listed}, "passed"},
		"PreStartup":                {true, []func(hooks.Observer){own(hooks.PreStartup)}, "failed"},
		"PostStartup":               {false, []func(hooks.Observer){own(hooks.PostStartup), listed}, "failed"},
		"Shutdown":                  {true, []func(hooks.Observer){own(hooks.Shutdown), listed}, "passed"},
	} {
		before := map[string]bool{"10.50.9.0/24": true}
		trial := newTrial(t.Context(), control.NewState(control.Facts{}), &plan{revision: revision{canary: tt.canary, instead: &revision{}}, failing: before})
		for _, tell := range tt.told {
			tell(trial)
		}
		var got []string
		failed, passed := trial.verdicts()
		for _, v := range []struct {
			what  string
			given bool
		}{{"passed", len(passed) > 0}, {"failed", len(failed) > 0}} {
			if v.given {
				got = append(got, v.what)
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}

	ended, end := context.WithCancel(t.Context())
	end()
	trial := newTrial(ended, control.NewState(control.Facts{}), &plan{revision: revision{instead: &revision{}}})
	own(hooks.PreStartup)(trial)
	if failed, _ := trial.verdicts(); len(failed) > 0 {
		t.Error("what was interrupted counts as failed")
	}
}

func TestCanariesAreFoundByName(t *testing.T) {
	t.Parallel()
	record := func(host byte, id string) *lease.Record {
		return &lease.Record{Lease: lease.Lease{NodeID: id, V4: lease.Path{
			Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, host, 0}), 24), PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, host}),
		}}}
	}
	leases := lease.Snapshot{Records: lease.NewSet(record(1, "0123456-a"), record(2, "0123456-b"), record(3, ""))}
	for names, want := range map[string]string{
		"10.50.1.0/24":            "0123456-a",
		"192.0.2.2":               "0123456-b",
		"10.50.2.9 192.0.2.2":     "0123456-b",
		"0123456-a 10.50.2.0/24":  "0123456-a 0123456-b",
		"0123456":                 "2 nodes have it",
		"10.50.3.0/24":            "it is flannel's",
		"192.0.2.9":               "no node has this",
		"10.50.1.0/24 \x1b[31mno": "no node has this",
	} {
		ids, err := identitiesOf(strings.Split(names, " "), leases)
		got := strings.Join(ids, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "\x1b") {
			t.Errorf("%q: got %q, want %q", names, got, want)
		}
	}
}
