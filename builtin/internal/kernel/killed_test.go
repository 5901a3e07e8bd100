package kernel

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/journal"
)

// toBeKilled is the environment variable with the ledger and the seed of a process that works until somebody kills it.
const toBeKilled = "OVERLAYD_TO_BE_KILLED"

var killedScopes = []string{"10.50.7.0/24", "10.50.8.0/24", "10.50.9.0/24"}

// randomHook is what a hook might do.
func randomHook(random *rand.Rand) (ops []Op) {
	one := func(list []Op) { ops = append(ops, list[random.IntN(len(list))]) }
	var all []Op
	for _, o := range universe.routes {
		all = append(all, Op{Add, o}, Op{Replace, o}, Op{Append, o}, Op{Del, o})
	}
	for _, o := range universe.neighs {
		all = append(all, Op{Replace, o}, Op{Del, o})
	}
	for _, o := range universe.entries {
		all = append(all, Op{Add, o}, Op{Append, o}, Op{Del, o})
	}
	for _, o := range universe.addrs {
		all = append(all, Op{Add, o}, Op{Del, o})
	}
	for _, o := range universe.rules {
		all = append(all, Op{Add, o}, Op{Del, o})
	}
	for _, o := range universe.sysctls {
		all = append(all, Op{Set, o})
	}
	one([]Op{{Add, universe.links[0]}, {Add, universe.links[0]}, {Add, universe.links[0]}, {Del, Link{Name: "vx"}}})
	ops = append(ops, Op{Set, vxUp}, Op{Add, universe.links[2]}, Op{Set, Link{Name: "br", State: Up}})
	for range random.IntN(20) {
		one(all)
	}
	return ops
}

// TestToBeKilled is no test: TestKilledAtAnyMomentAllThatIsThereIsOwned runs it in a process of its own.
func TestToBeKilled(t *testing.T) {
	path, seed := "", uint64(0)
	if n, _ := fmt.Sscan(os.Getenv(toBeKilled), &seed, &path); n != 2 {
		t.Skip("this is a part of TestKilledAtAnyMomentAllThatIsThereIsOwned")
	}
	k, err := Open(quiet)
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := newScopes(k, path, journal.Life{Boot: "this"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	for random := rand.New(rand.NewPCG(seed, 0)); ; {
		run := scopes.Begin(killedScopes[random.IntN(len(killedScopes))])
		for _, op := range randomHook(random) {
			_ = run.Do(t.Context(), op)
		}
		switch random.IntN(10) {
		case 0, 1, 2:
			err = run.Undo(t.Context())
		case 3, 4, 5:
			err = run.Sweep(t.Context())
		case 6:
			err = run.Clear(t.Context())
		default:
			run.Keep()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledAtAnyMomentAllThatIsThereIsOwned(t *testing.T) {
	k, err := Open(quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	before := state(t, k) + describe(list(t, k, Rule{}))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	path := filepath.Join(t.TempDir(), "ledger")
	owned := 0
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("OVERLAYD_KILLS")); err == nil {
		kills = n
	}
	for i := range kills {
		killOne(t, path, seed+uint64(i), time.Duration(random.IntN(15_000))*time.Microsecond)
		scopes, err := newScopes(k, path, journal.Life{Boot: "this"}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range leftBehind(t, k) {
			if owners := (&Run{scopes: scopes}).ownersOf(o); len(owners) == 0 {
				t.Errorf("after kill %d nobody owns %s", i, Op{Add, o})
			}
		}
		owned += len(scopes.ledger.all())
		if random.IntN(3) == 0 {
			for _, name := range scopes.Names() {
				if err := scopes.Begin(name).Clear(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(before, state(t, k)+describe(list(t, k, Rule{}))); diff != "" {
				t.Fatalf("after kill %d, and all is cleared (-before +after):\n%s", i, diff)
			}
		}
		scopes.Close()
	}
	t.Logf("%d objects were owned after a kill, on average", owned/kills)
	last, err := newScopes(k, path, journal.Life{Boot: "this"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	for _, name := range last.Names() {
		if err := last.Begin(name).Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// killOne lets a process work for a while and kills it.
func killOne(t *testing.T, path string, seed uint64, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestToBeKilled$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", toBeKilled, seed, path))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
	}
	time.Sleep(after) // any moment will do
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	_ = cmd.Wait()
	if said != "" {
		t.Fatalf("the process ended by itself:\n%s", said)
	}
}

// leftBehind is what there is of all that hooks may have made.
func leftBehind(t *testing.T, k Kernel) (all []Object) {
	t.Helper()
	for _, like := range []Object{Link{Kind: "vxlan"}, Link{Kind: "bridge"}, Addr{}, Neigh{}, FDB{}, Route{Table: AnyTable}, Rule{}} {
		for _, o := range list(t, k, like) {
			a, isAddr := o.(Addr)
			r, isRule := o.(Rule)
			if lasting(o) && !hangsOn(o, "lo") && !(isAddr && a.Prefix.Addr().IsLinkLocalUnicast()) && !(isRule && !slices.Contains([]int{100, 200}, r.Priority)) {
				all = append(all, o)
			}
		}
	}
	return all
}

// ownersOf are the entries of any scope that the kernel's object may be.
func (r *Run) ownersOf(o Object) (owners []*entry) {
	for _, e := range r.scopes.ledger.all() {
		_, rule := o.(Rule)
		if e.object.Key() == o.Key() || rule && isAs(e.object, o) {
			owners = append(owners, e)
		}
	}
	return owners
}
