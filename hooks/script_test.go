package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"

	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

var update = flag.Bool("update", false, "write the logs of testdata/*.txtar anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts drives Run through the scripts of testdata on virtual time and compares the hooks that it calls, each with
// the second at which it does. The verbs are the methods of script, below; a file's comment says what it claims.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var log string
			synctest.Test(t, func(t *testing.T) { log = runScript(t, string(archive.Files[0].Data)) })
			if *update {
				archive.Files = []txtar.File{archive.Files[0], {Name: "log", Data: []byte(log)}}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), log); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// A script is one run of a script: the leases, the backend and the observer that Run meets, and the log of it all.
type script struct {
	t       *testing.T
	ctx     context.Context
	cancel  context.CancelCauseFunc
	options Options
	done    chan error // Run's result
	began   time.Time
	sets    chan lease.Peers
	lost    chan error

	mu       sync.Mutex
	log      bytes.Buffer
	behave   map[string]*behaviour // by hook, or by hook and subnet
	acquired int
	own      lease.Lease
	turned   time.Time
	node     NodeStatus
	peers    map[string]PeerStatus
	busy     map[string]int // hooks running, by scope
	memory   map[string]lease.Lease
	left     []string       // scopes that own something
	damage   func([]string) // tells of damage, while Run watches
	moved    func(Node)
}

// A behaviour is how the next runs of a hook go.
type behaviour struct {
	runs int
	fail bool
	took time.Duration
}

func runScript(t *testing.T, text string) string {
	s := &script{
		t: t, began: time.Now(), sets: make(chan lease.Peers), lost: make(chan error),
		behave: map[string]*behaviour{}, peers: map[string]PeerStatus{}, busy: map[string]int{},
		memory: map[string]lease.Lease{},
	}
	s.ctx, s.cancel = context.WithCancelCause(t.Context())
	s.options = Options{
		Node: Node{
			Networks:  []netip.Prefix{netip.MustParsePrefix("10.50.0.0/16")},
			Interface: "eth0", MTU: 1500,
			Lease: lease.Lease{V4: lease.Path{PublicIP: netip.MustParseAddr("192.0.2.1")}},
		},
		Watch:       s.watchMachine,
		BackendType: "extension", Leases: s, Backend: s, Reason: Start, Observer: s, Memory: memory{s}, Effects: s,
		Logger: slog.New(slog.DiscardHandler),
		Ready: func(n Node) error {
			return s.do(s.ctx, "Ready", n.Lease.String(), "")
		},
		jitter: func(time.Duration) time.Duration { return 0 },
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		s.printf("> %s", strings.TrimSpace(line))
		s.verb(words[0], words[1:])
		synctest.Wait()
	}
	s.cancel(nil)
	if s.done != nil {
		s.result(<-s.done)
	}
	return s.log.String()
}

// verb carries out one line of a script.
func (s *script) verb(name string, args []string) {
	number := func(i int) int {
		n, err := strconv.Atoi(args[i])
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	last := len(args) - 1
	switch name {
	case "concurrency": // N
		s.options.Concurrency = number(0)
	case "syncer": // the backend adds many peers at once
		s.options.Backend = syncer{s}
	case "reason": // REASON
		s.options.Reason = Reason(args[0])
	case "onstop": // keep, shutdown or teardown
		s.options.OnStop = Ending(slices.Index([]string{"keep", "shutdown", "teardown"}, args[0]))
	case "run":
		s.done = make(chan error, 1)
		go func() { s.done <- Run(s.ctx, s.options) }()
	case "peers": // SUBNET=DATA...: all there are
		var set lease.Peers
		for _, arg := range args {
			peer := peerLease(arg)
			set = set.With(&peer)
		}
		s.sets <- set
	case "fail": // HOOK [SUBNET] N: so many next runs
		s.behave[strings.Join(args[:last], " ")] = &behaviour{runs: number(last), fail: true}
	case "hang": // HOOK [SUBNET] N: so many next runs, as with a Timeout of 30 s
		s.behave[strings.Join(args[:last], " ")] = &behaviour{runs: number(last), fail: true, took: 30 * time.Second}
	case "slow": // HOOK [SUBNET] SECONDS: the next run
		s.behave[strings.Join(args[:last], " ")] = &behaviour{runs: 1, took: time.Duration(number(last)) * time.Second}
	case "wait": // SECONDS
		time.Sleep(time.Duration(number(0)) * time.Second)
	case "lose": // the lease, to another node
		s.lost <- fmt.Errorf("lease 10.50.1.0/24: %w", lease.ErrLost)
	case "break": // the watch of the leases, for good
		s.lost <- errors.New("hold lease: broken")
	case "damage": // SCOPE...: somebody takes away what their hooks made
		s.damage(args)
	case "move": // ADDRESS: the machine is reached there from now on
		n := s.options.Node
		n.Lease.V4.PublicIP = netip.MustParseAddr(args[0])
		s.moved(n)
	case "left": // SCOPE...: own something when the first list comes
		s.left = args
	case "remembered": // SUBNET=DATA...: were added by an earlier process
		for _, a := range args {
			l := peerLease(a)
			s.memory[l.String()] = l
		}
	case "memory":
		for _, name := range slices.Sorted(maps.Keys(s.memory)) {
			s.printf("  remembers %s", describe(s.memory[name]))
		}
	case "stop":
		s.cancel(nil)
	case "config":
		s.cancel(ErrConfigChanged)
	case "end": // waits until Run returns
		s.result(<-s.done)
		s.done = nil
	case "status":
		s.status()
	default:
		s.t.Fatalf("verb %q is not known", name)
	}
}

// peerLease reads SUBNET=DATA or SUBNET=DATA@NODE. After the subnet there may be a comma and one of IPv6.
func peerLease(text string) lease.Lease {
	subnet, data, _ := strings.Cut(text, "=")
	data, node, _ := strings.Cut(data, "@")
	subnet, subnet6, dual := strings.Cut(subnet, ",")
	l := lease.Lease{
		V4:     lease.Path{Subnet: netip.MustParsePrefix(subnet), Data: json.RawMessage(strconv.Quote(data))},
		NodeID: node,
	}
	if dual {
		l.V6.Subnet = netip.MustParsePrefix(subnet6)
	}
	return l
}

func (s *script) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.log, "%4.0fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *script) result(err error) { s.printf("Run returned %v", err) }

func (s *script) status() {
	s.mu.Lock()
	node := s.node
	var lines []string
	for subnet, p := range s.peers {
		line := fmt.Sprintf("  %s is %s since %.0fs", subnet, p.State, p.Since.Sub(s.began).Seconds())
		if p.Attempts > 0 {
			line += fmt.Sprintf(", failed %d times, next try at %.0fs", p.Attempts, p.NextTry.Sub(s.began).Seconds())
		}
		if p.Err != nil {
			line += ": " + p.Err.Error()
		}
		lines = append(lines, line)
	}
	s.mu.Unlock()
	slices.Sort(lines)
	switch {
	case node.Err != nil:
		s.printf("node is %s, next try at %.0fs: %v", node.Phase, node.NextTry.Sub(s.began).Seconds(), node.Err)
	default:
		s.printf("node is %s", node.Phase)
	}
	for _, line := range lines {
		s.printf("%s", line)
	}
}

// do is what a hook does: it takes as long and fails as often as the script says.
func (s *script) do(ctx context.Context, hook, subject, reason string) error {
	subnet, _, _ := strings.Cut(subject, "=")
	if s.options.Concurrency > 1 && strings.Contains(subject, "=") {
		// Peers' hooks that start at once are to be logged in the same order each time: that of their subnets.
		time.Sleep(time.Duration(netip.MustParsePrefix(subnet).Addr().As4()[2]) * time.Microsecond)
	}
	s.printf("%s", strings.Join(strings.Fields(hook+" "+subject+" "+reason), " "))
	defer s.enter(subnet)()
	s.mu.Lock()
	b := s.behave[hook+" "+subnet]
	if b == nil || b.runs == 0 {
		b = s.behave[hook]
	}
	if b == nil || b.runs == 0 {
		b = &behaviour{runs: 1}
	}
	b.runs--
	fail, took := b.fail, b.took
	s.mu.Unlock()

	if sleep.For(ctx, took) != nil {
		s.printf("%s %s interrupted", hook, subnet)
		return context.Cause(ctx)
	}
	if took > 0 {
		s.printf("%s %s ended", hook, subnet)
	}
	if fail {
		return fmt.Errorf("%s: exit status 1", strings.TrimSpace(hook+" "+subnet))
	}
	return nil
}

// enter asserts what holds for every hook at any time.
func (s *script) enter(scope string) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 1
	for _, n := range s.busy {
		all += n
	}
	s.busy[scope]++
	if s.busy[scope] > 1 || all > max(s.options.Concurrency, 1) {
		s.t.Errorf("%v run at once", s.busy)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy[scope]--
	}
}

func (s *script) Acquire(ctx context.Context, want lease.Lease) (lease.Lease, error) {
	if err := s.do(ctx, "Acquire", want.V4.PublicIP.String(), want.BackendType+" "+string(want.V4.Data)); err != nil {
		return lease.Lease{}, err
	}
	s.acquired++
	want.V4.Subnet = netip.MustParsePrefix(fmt.Sprintf("10.50.%d.0/24", 100+s.acquired))
	s.own = want
	return want, nil
}

// Republish tells only of what is new.
func (s *script) Republish(want lease.Lease) (lease.Lease, error) {
	want.V4.Subnet = s.own.V4.Subnet
	if !want.Equal(s.own) {
		s.printf("Republish %s %s %s", want.V4.PublicIP, want.BackendType, want.V4.Data)
	}
	s.own = want
	return want, nil
}

func (s *script) watchMachine(ctx context.Context, changed func(Node)) error {
	s.moved = changed
	changed(s.options.Node)
	<-ctx.Done()
	return ctx.Err()
}

func (s *script) Hold(ctx context.Context) error {
	select {
	case err := <-s.lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *script) Peers(ctx context.Context, set func(lease.Peers) error) error {
	for {
		select {
		case peers := <-s.sets:
			if err := set(peers); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *script) PreStartup(ctx context.Context, c Call) (Data, error) {
	if c.Node.Lease.String() != "" {
		s.t.Errorf("PreStartup knows lease %v", c.Node.Lease)
	}
	return c.Node.Single(json.RawMessage(`"own"`)), s.do(ctx, "PreStartup", "", string(c.Reason))
}

func (s *script) PostStartup(ctx context.Context, c Call) error {
	return s.do(ctx, "PostStartup", c.Node.Lease.String(), string(c.Reason))
}

func (s *script) SubnetAdd(ctx context.Context, c Call, peer lease.Lease) error {
	return s.do(ctx, "SubnetAdd", describe(peer), string(c.Reason))
}

func (s *script) SubnetRemove(ctx context.Context, c Call, peer lease.Lease) error {
	return s.do(ctx, "SubnetRemove", describe(peer), string(c.Reason))
}

func (s *script) Shutdown(ctx context.Context, c Call) error {
	return s.do(ctx, "Shutdown", c.Node.Lease.String(), string(c.Reason))
}

func describe(l lease.Lease) string {
	text := l.String() + "=" + strings.Trim(string(l.V4.Data), `"`)
	if l.NodeID != "" {
		text += "@" + l.NodeID
	}
	return text
}
