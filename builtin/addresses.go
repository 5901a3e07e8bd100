package builtin

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// WatchAddresses calls changed at once, and after links, addresses or routes of the network namespace that the calling
// thread is in have changed, until the context ends, whose error it returns. Two calls are a second apart at least.
func WatchAddresses(ctx context.Context, changed func()) error {
	return kernel.WatchAddresses(ctx, changed)
}

// RouteTo returns by which interface packets to the address leave the network namespace that the calling thread is in, and with
// which address of it if the route says so. Without a way there the error is fs.ErrNotExist.
func RouteTo(ctx context.Context, to netip.Addr) (dev string, from netip.Addr, err error) {
	k, err := kernel.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		return "", from, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	route, err := k.Lookup(ctx, kernel.Query{To: to})
	if err == nil && len(route.Hops) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", from, err
	}
	return route.Hops[0].Dev, route.Src, nil
}

// A TunnelEnd is where a tunnel's link receives what other nodes send.
type TunnelEnd = kernel.TunnelEnd

// ReadTunnelEnd reads that of a vxlan, geneve or wireguard link in the network namespace that the calling thread is in. It is an
// error for other links.
func ReadTunnelEnd(link string) (TunnelEnd, error) { return kernel.ReadTunnelEnd(link) }
