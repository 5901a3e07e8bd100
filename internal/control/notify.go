package control

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/overlayd/overlayd/internal/sleep"
)

// Notify tells systemd, if it started this process as a service of type notify, when the node is ready for the first time, how
// it stands, and, as often as its watchdog wants it, that the daemon is live. It returns when the context has ended, after it
// has told of that.
//
// The watchdog starts a daemon again that is Stuck: one whose loop that decides about hooks has not come round.
func Notify(ctx context.Context, state *State, log *slog.Logger) {
	tell := func(message string) bool {
		told, err := daemon.SdNotify(false, message)
		if err != nil {
			log.Warn("systemd could not be told", "err", err)
		}
		return told
	}
	if !tell("STATUS=starting") {
		return
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog's interval is not understood", "err", err)
	}
	pause := 10 * time.Second
	if watchdog > 0 {
		pause = min(pause, watchdog/3)
	}
	ready, said, last := false, "", uint64(0)
	for ctx.Err() == nil {
		events, more := state.events.after(last)
		if len(events) > 0 {
			last = events[len(events)-1].Number
		}
		status, peers := state.outline()
		if brief := status.brief(peers); brief != said {
			said = brief
			tell("STATUS=" + brief)
		}
		if status.Health.Ready && !ready {
			ready = tell(daemon.SdNotifyReady)
		}
		if watchdog > 0 && status.Health.Live {
			tell(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
		case <-more:
			_ = sleep.For(ctx, 100*time.Millisecond) // a thousand peers are not told of one by one
		case <-time.After(pause):
		}
	}
	tell(fmt.Sprintf("%s\nSTATUS=stopping", daemon.SdNotifyStopping))
}
