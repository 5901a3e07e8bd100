package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/ping"
	"github.com/overlayd/overlayd/internal/sleep"
)

// So many peers are asked within each second, so that the neighbours that the kernel has to find for that leave room in its table.
const (
	probedAtOnce = 16
	probeWait    = time.Second // for late answers
)

// probe asks peers now and then whether they answer, until the context ends. Where it has no right to, it says so once.
func (d *daemon) probe(ctx context.Context) error {
	if d.probeEvery == 0 {
		return nil
	}
	said := false
	for {
		_ = sleep.For(ctx, d.probeEvery)
		for names := range slices.Chunk(d.state.PeerNames(), probedAtOnce) {
			if err := d.probeSome(ctx, names); err != nil && ctx.Err() == nil && !said {
				d.log.Info("peers are not asked whether they answer", "err", err)
				said = true
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// probeSome asks the peers with these subnets.
func (d *daemon) probeSome(ctx context.Context, names []string) error {
	backend := d.state.Backend()
	layers := make([][]layer, len(names))
	var all []netip.Addr
	for i, name := range names {
		p, _ := d.state.PeerOf(name)
		for _, path := range p.Paths {
			layers[i] = append(layers[i], layersOf(path, backend)...)
		}
		for _, l := range layers[i] {
			all = append(all, l.Address)
		}
	}
	trips, err := ping.Sweep(ctx, all, time.Second/(probedAtOnce*6), probeWait)
	if err != nil {
		return err
	}
	for i, name := range names {
		var a control.Answers
		for _, l := range layers[i] {
			of := map[string]*time.Duration{"underlay": &a.Underlay, "tunnel": &a.Tunnel, "overlay": &a.Overlay}[l.Name]
			if trip := trips[l.Address]; trip > 0 && (*of == 0 || trip < *of) {
				*of = trip
			}
		}
		d.state.SetAnswers(name, a, backend == "vxlan" || backend == "wireguard")
	}
	return nil
}
