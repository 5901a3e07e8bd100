package firewall_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }

// patience is how long a test waits for what should take a moment.
const patience = 20 * time.Second

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T) *netns.Namespace {
	t.Helper()
	ns, err := netns.New()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}

// prefixes reads prefixes that words separate.
func prefixes(text string) (all []netip.Prefix) {
	for word := range strings.FieldsSeq(text) {
		all = append(all, netip.MustParsePrefix(word))
	}
	return all
}

// run runs a program in the namespace, with the text on its standard input, and returns what it prints.
func run(t *testing.T, ns *netns.Namespace, stdin string, argv ...string) string {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("this machine has no %s program", argv[0])
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	if err := ns.Run(cmd); err != nil {
		t.Fatalf("%q: %v: %s", argv, err, &out)
	}
	return out.String()
}

// table is overlayd's table in the namespace.
func table(ns *netns.Namespace) *firewall.Table {
	return firewall.New(firewall.Options{Namespace: ns.Fd(), Logger: slog.New(slog.DiscardHandler)})
}

// keep keeps the table until the test ends.
func keep(t *testing.T, table *firewall.Table) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- table.Keep(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Keep: %v", err)
		}
	})
}

// await waits until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come to be", what)
		}
	}
}

// A host is a namespace with an address of each family.
type host struct {
	*netns.Namespace
	v4, v6 netip.Addr
}

// newHost makes a host that is connected to the hub through a link of the name.
func newHost(t *testing.T, name string, hub *netns.Namespace, addrs string) host {
	t.Helper()
	both := prefixes(addrs)
	h := host{newNamespace(t), both[0].Addr(), both[1].Addr()}
	must(t, netns.Connect(h.Namespace, "eth0", hub, name, 1500), h.Addr("eth0", both...))
	// A router tells of shorter ways, by which packets would come round what is tested.
	must(t, h.Do(func() (err error) {
		for _, of := range []string{"ipv4/conf/all", "ipv4/conf/eth0", "ipv6/conf/eth0"} {
			err = errors.Join(err, os.WriteFile("/proc/sys/net/"+of+"/accept_redirects", []byte("0"), 0))
		}
		return err
	}))
	return h
}

// seen returns the host's address as the other sees it, when the host connects to one of the other's addresses.
func (h host) seen(t *testing.T, by host, at netip.Addr) string {
	t.Helper()
	_, client := h.connect(t, by, at)
	return client.Addr().String()
}

// connect connects the host to one of the other's addresses, and returns the server's address and the host's, as the other sees it.
func (h host) connect(t *testing.T, by host, at netip.Addr) (server, client netip.AddrPort) {
	t.Helper()
	var listener net.Listener
	must(t, by.Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		return err
	}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := listener.Accept(); err == nil {
			io.WriteString(conn, conn.RemoteAddr().String())
			conn.Close()
		}
	}()
	defer func() { listener.Close(); <-served }()
	var text []byte
	must(t, h.Do(func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		text, err = io.ReadAll(conn)
		return err
	}))
	return netip.MustParseAddrPort(listener.Addr().String()), netip.MustParseAddrPort(string(text))
}
