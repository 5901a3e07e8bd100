package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/overlayd/overlayd/internal/sleep"
)

// The daemon rests most of its life, and what it keeps of peers lasts: garbage is better collected early than kept in memory of
// which the machine's other programs could make use.
const (
	heapGrowth   = 20  // percent of what is in use by which the heap grows until the next collection; Go's own is 100
	startGrowth  = 400 // the same while the daemon starts
	heapInterval = 30 * time.Second
)

// sparing keeps the daemon's heap small until the context ends, and gives back what a start or a storm of changes took. A start makes
// much that lasts, and is to be over soon: it has the first interval, in which hardly anything is collected. Whoever sets GOGC knows
// better.
func sparing(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(startGrowth))
	_ = sleep.For(ctx, heapInterval)
	debug.SetGCPercent(heapGrowth)
	for first := true; ctx.Err() == nil; first = false {
		if used, idle := heap(); first || idle > used/10 {
			debug.FreeOSMemory()
		}
		_ = sleep.For(ctx, heapInterval)
	}
	return nil
}

// heap is how many bytes hold objects, living or dead, and how many could be given back at once.
func heap() (used, idle uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
