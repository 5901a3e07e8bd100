// Command overlayd gives every machine of a cluster a subnet and connects the subnets into one overlay network, the way
// that the network's config says: by five shell commands, or by a built-in backend.
//
// Run "overlayd help" for its commands.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// stopOnSignal returns a context that the first SIGINT or SIGTERM ends. The second ends the program at once, also where
// the kernel would not do it by itself, as for the first process of a container.
func stopOnSignal(ctx context.Context, log *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	// A log that nobody reads any more, as when the journal is restarted, is no reason to end. Ignoring the signal would
	// do as well, but would be handed down to the programs that hooks start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for first := true; ; first = false {
			s, open := <-signals
			switch {
			case !open:
				return
			case !first:
				os.Exit(exitFailed)
			}
			log.Info("stopping, a second signal ends at once", "signal", s.String())
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-finished
		cancel()
	}
}
