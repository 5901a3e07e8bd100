package kernel

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/overlayd/overlayd/internal/netns"
)

func TestChangesOfAddressesAreTold(t *testing.T) {
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() {
		ended <- ns.Do(func() error { return WatchAddresses(ctx, func() { told <- struct{}{} }) })
	}()
	await := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatalf("not told %s", what)
		}
	}
	await("at once")
	must(ns.Up("lo"))
	for range 2 { // up brings an address, which may come later
		select {
		case <-told:
		case <-time.After(2 * noticeApart):
		}
	}
	must(ns.Addr("lo", prefix("192.0.2.1/32"), prefix("192.0.2.2/32"), prefix("192.0.2.3/32")))
	await("of addresses")
	var k Kernel
	must(ns.Do(func() (err error) { k, err = Open(slog.New(slog.DiscardHandler)); return err }))
	defer k.Close()
	must(k.Do(ctx, Op{Add, Marked(Route{Dst: prefix("10.50.2.0/24"), Hops: []Hop{{Dev: "lo"}}})}))
	select {
	case <-told:
		t.Error("told of one change twice, or of a backend's route")
	case <-time.After(2 * noticeApart):
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
