package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// stopOnSignal returns a context that the first SIGINT or SIGTERM ends. From then on these signals do what they do by
// default, so that a second one ends the program at once.
func stopOnSignal(ctx context.Context, log *slog.Logger) (_ context.Context, stop func()) {
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM)
	said := make(chan struct{})
	unasked := context.AfterFunc(ctx, func() {
		defer close(said)
		restore()
		log.Info("stop asked for", "cause", context.Cause(ctx))
	})
	return ctx, func() {
		if unasked() {
			restore()
		} else {
			<-said
		}
	}
}

// outliveReaders makes a write to a log that nobody reads any more an error, which the logger passes over, where it would
// end the program: journald may restart. Programs that hooks start still die of a broken pipe, as they should; they would
// not if the signal were ignored.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }
