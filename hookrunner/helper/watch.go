package helper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// lookEvery is how often it is looked at what a hook takes.
	lookEvery = 100 * time.Millisecond
	// giveUp is how long after its time a helper has to say what became of the job.
	giveUp = killDelay + 2*leaveDelay
)

// A watcher sees to it that a job ends in time and takes no more than it may. It has timers and no goroutine: most hooks have
// ended before the first look.
type watcher struct {
	helper  *process
	mu      sync.Mutex
	ended   bool
	broken  error // why the helper was killed
	timers  []*time.Timer
	unwatch func() bool
}

func watch(ctx context.Context, h *process) *watcher {
	w := &watcher{helper: h}
	w.mu.Lock() // the first look may come before the rest is written
	defer w.mu.Unlock()
	w.timers = append(w.timers, time.AfterFunc(lookEvery, w.look))
	w.unwatch = context.AfterFunc(ctx, w.stop)
	return w
}

// end ends the watch and returns why the helper had to be killed, if it had.
func (w *watcher) end() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.unwatch()
	for _, t := range w.timers {
		t.Stop()
	}
	return w.broken
}

// look kills the helper if the job takes too much.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.broken != nil {
		return
	}
	if err := w.helper.mark.tooMuch(); err != nil {
		w.kill(err)
		return
	}
	w.timers[0].Reset(lookEvery)
}

// stop has the job end, and kills the helper if that is not to be had.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.helper.stop()
	w.timers = append(w.timers, time.AfterFunc(giveUp, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.ended {
			w.kill(errors.New("it could not be interrupted"))
		}
	}))
}

func (w *watcher) kill(why error) { w.broken = errors.Join(why, w.helper.mark.kill(0)) }

// tooMuch says what is too much about the processes with the mark.
func (m mark) tooMuch() error {
	all := m.processes()
	if len(all) > maxProcesses {
		return fmt.Errorf("it had %d processes at once, more than %d", len(all), maxProcesses)
	}
	if taken := memory(all); taken > maxMemory {
		return fmt.Errorf("it took %d MiB of memory, more than %d", taken>>20, maxMemory>>20)
	}
	return nil
}
