package kernel

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestASettingIsGivenBackAsItWasUnlessSomebodyHasChangedItSince(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		value := func() string { return list(t, k, forward)[0].(Sysctl).Value }
		do(t, k, Op{Set, Sysctl{Name: forward.Name, Value: "0"}})
		scopes := scopesOn(t, k, filepath.Join(t.TempDir(), "ledger"))
		for range 2 { // the second time it is set already
			run := scopes.Begin("node")
			do(t, run, Op{Set, forward})
			run.Keep()
		}
		if got := value(); got != "1" {
			t.Fatalf("it is %s, want 1", got)
		}
		if err := scopes.Begin("node").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := value(); got != "0" || len(scopes.Names()) != 0 {
			t.Errorf("cleared, it is %s and owned by %v, want 0 and nobody", got, scopes.Names())
		}
		run := scopes.Begin("node")
		do(t, run, Op{Set, Sysctl{Name: forward.Name, Value: "0"}})
		run.Keep()
		do(t, k, Op{Set, forward})
		if err := scopes.Begin("node").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := value(); got != "1" {
			t.Errorf("changed by somebody else and cleared, it is %s, want 1", got)
		}
		if err := k.Do(t.Context(), Op{Set, Sysctl{Name: "net/ipv4/nonsense", Value: "1"}}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a setting that there is not: %v, want fs.ErrNotExist", err)
		}
		if err := k.Do(t.Context(), Op{Set, Sysctl{Name: forward.Name, Value: "x"}}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("a value that makes no sense: %v, want %v", err, syscall.EINVAL)
		}
	})
}

func TestSettingsOfAWireGuardDeviceAreOwnedWithoutItsPrivateKey(t *testing.T) {
	k := NewFake()
	do(t, k, Op{Add, Link{Name: "wg", Kind: "wireguard"}})
	path := filepath.Join(t.TempDir(), "ledger")
	scopes := scopesOn(t, k, path)
	run := scopes.Begin("node")
	do(t, run, Op{Set, Device{Name: "wg", PrivateKey: &private}}, Op{Set, Device{Name: "wg", ListenPort: &port}})
	run.Keep()
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), base64.StdEncoding.EncodeToString(private[:])) || strings.Contains(string(text), "rivate") {
		t.Errorf("a secret is in the ledger, %v:\n%s", err, text)
	}
	after := scopesOn(t, k, path)
	if names, err := after.Audit(t.Context()); len(names) > 0 || err != nil {
		t.Errorf("damaged before anything happened: %v, %v", names, err)
	}
	for _, damage := range []Device{{Name: "wg", PrivateKey: &Secret{9}}, {Name: "wg", ListenPort: new(1)}} {
		do(t, k, Op{Set, damage})
		if names, err := after.Audit(t.Context()); len(names) != 1 || err != nil {
			t.Errorf("%s: damaged are %v, %v, want the node", Op{Set, damage}, names, err)
		}
		mend := after.Begin("node")
		do(t, mend, Op{Set, Device{Name: "wg", PrivateKey: &private, ListenPort: &port}})
		mend.Keep()
	}
	if err := after.Begin("node").Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := list(t, k, Device{Name: "wg"})[0].(Device); d.PrivateKey != nil || *d.ListenPort != 0 {
		t.Errorf("cleared, the device is %+v, want it as a new one", d)
	}
}

func TestASettingThatSeveralWantIsGivenBackByTheLast(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		value := func() string { return list(t, k, forward)[0].(Sysctl).Value }
		off := Sysctl{Name: forward.Name, Value: "0"}
		do(t, k, Op{Set, off})
		path := filepath.Join(t.TempDir(), "ledger")
		scopes := scopesOn(t, k, path)
		begin := func(name string, s Sysctl) *Run {
			run := scopes.Begin(name)
			do(t, run, Op{Set, s})
			return run
		}
		clear := func(name string) {
			t.Helper()
			if err := scopes.Begin(name).Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		begin("a", forward).Keep()
		begin("b", forward).Keep()
		scopes = scopesOn(t, k, path)
		clear("b")
		if got := value(); got != "1" {
			t.Fatalf("one still wants it, and it is %s", got)
		}
		// The last one wins, and does not if it fails.
		before := owned(scopes)
		if err := begin("b", off).Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, owned(scopes)); diff != "" || value() != "1" {
			t.Errorf("undone, it is %s, owned (-before +after):\n%s", value(), diff)
		}
		begin("b", off).Keep()
		if names, err := scopes.Audit(t.Context()); len(names) > 0 || err != nil {
			t.Errorf("damaged are %v, %v, want none", names, err)
		}
		begin("a", forward).Keep()
		clear("a")
		if got := value(); got != "0" || len(scopes.Names()) != 0 {
			t.Errorf("cleared by all, it is %s, owned by %v", got, scopes.Names())
		}
	})
}
