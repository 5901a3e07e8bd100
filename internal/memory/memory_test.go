package memory

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/overlayd/overlayd/lease"
)

var (
	quiet = slog.New(slog.DiscardHandler)
	four  = lease.Lease{
		V4:          lease.Path{Subnet: netip.MustParsePrefix("10.50.4.0/24"), PublicIP: netip.MustParseAddr("192.0.2.4"), Data: json.RawMessage(`{"a": "<\u0041>"}`)},
		BackendType: "extension", NodeID: "four",
	}
	both = lease.Lease{
		V4: lease.Path{Subnet: netip.MustParsePrefix("10.50.5.0/24")},
		V6: lease.Path{Subnet: netip.MustParsePrefix("fd00:5::/64"), PublicIP: netip.MustParseAddr("2001:db8::5"), Data: json.RawMessage(`"x"`)},
	}
)

func open(t *testing.T, path, config string) *Memory {
	t.Helper()
	m, err := Open(path, config, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func check(t *testing.T, m *Memory, want ...lease.Lease) {
	t.Helper()
	equal := cmp.Comparer(func(a, b lease.Lease) bool { return a.Equal(b) })
	if diff := cmp.Diff(want, m.Peers(), equal, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("remembers (-want +got):\n%s", diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPeersAreRememberedByteForByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	m := open(t, path, "config")
	must(t, m.Remember(&both))
	must(t, m.Remember(&four))
	check(t, open(t, path, "config"), four, both) // as after a kill: nothing was closed
}

func TestTheLastWordCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	m := open(t, path, "config")
	changed := four
	changed.V4.Data = json.RawMessage(`"new"`)
	must(t, m.Remember(&four))
	must(t, m.Remember(&both))
	must(t, m.Remember(&changed))
	must(t, m.Forget(both))
	must(t, m.Forget(both))
	check(t, open(t, path, "config"), changed)
}

func TestAnotherConfigIsAnotherMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	first := open(t, path, "config")
	must(t, first.Remember(&four))
	another := open(t, path, "another")
	check(t, another)
	if first.Void() || !another.Void() {
		t.Errorf("the first file is void: %t, want false; that of the other config: %t, want true", first.Void(), another.Void())
	}
}

func TestDamagedLinesAreSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	must(t, open(t, path, "config").Remember(&four))
	text, err := os.ReadFile(path)
	must(t, err)
	damage := `{"subnets":"10.50.9.0/24","v4":{"subnet":"10.50.8.0/24"}}` + "\n" + `{"subnets":"10.50.`
	must(t, os.WriteFile(path, append(text, damage...), 0o600))
	check(t, open(t, path, "config"), four)
	aside, err := os.ReadFile(path + ".damaged")
	must(t, err)
	if diff := cmp.Diff(damage+"\n", string(aside)); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
}

func TestAMemoryThatGrowsIsWrittenAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	m := open(t, path, "config")
	must(t, m.Remember(&four))
	for range 2000 {
		must(t, m.Remember(&both))
		must(t, m.Forget(both))
	}
	must(t, m.Remember(&both))
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() > 1<<18 {
		t.Errorf("%d bytes, want it to stay small", info.Size())
	}
	check(t, open(t, path, "config"), four, both)
}
