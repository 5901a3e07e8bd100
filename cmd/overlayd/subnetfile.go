package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/internal/sleep"
)

// filesLook is how often the files for others are looked at. Container engines read them when they start, so that seconds matter
// little, and a look reads small files.
const filesLook = 2 * time.Second

// A promise is what the daemon says in files to container engines, as these must be: somebody may delete or change one while the
// daemon runs.
type promise struct {
	log *slog.Logger

	mu    sync.Mutex
	files []node.File // nil before the first
}

// give writes the files, in their order, and has them kept like that from now on.
func (p *promise) give(files ...node.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = files
	for _, f := range files {
		if err := f.Write(); err != nil {
			return err
		}
	}
	return nil
}

// withdraw removes the files, but for those that somebody else has written meanwhile.
func (p *promise) withdraw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, f := range p.files {
		if f.IsThere() {
			errs = append(errs, os.Remove(f.Path))
		}
	}
	p.files = nil
	return errors.Join(errs...)
}

// keep writes a file again whenever it is missing or says something else, until the context ends, whose error it returns.
func (p *promise) keep(ctx context.Context) error {
	trouble := ""
	for {
		if err := sleep.For(ctx, filesLook); err != nil {
			return err
		}
		err := p.renew()
		if err != nil && err.Error() != trouble {
			p.log.Warn("a file for container engines is not as it should be", "err", err)
		}
		trouble = ""
		if err != nil {
			trouble = err.Error()
		}
	}
}

func (p *promise) renew() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, f := range p.files {
		if f.IsThere() {
			continue
		}
		err := f.Write()
		if err == nil {
			p.log.Warn(f.What+" was changed or deleted, and is as before again", "file", f.Path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
