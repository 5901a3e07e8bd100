package main

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/overlayd/overlayd/internal/node"
)

// subnetFileLook is how often the subnet file is looked at. Container engines read it when they start, so that seconds matter
// little, and a look reads one small file.
const subnetFileLook = 2 * time.Second

// A promise is the subnet file as it must be: somebody may delete or change it while the daemon runs.
type promise struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *node.SubnetFile // nil before the first
}

// give writes the file, and has it kept like that from now on.
func (p *promise) give(file node.SubnetFile) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.file = &file
	return node.WriteSubnetFile(p.path, file)
}

// withdraw removes the file, unless somebody else has written it meanwhile.
func (p *promise) withdraw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil || !p.file.IsAt(p.path) {
		return nil
	}
	p.file = nil
	return os.Remove(p.path)
}

// keep writes the file again whenever it is missing or says something else, until the context ends, whose error it returns.
func (p *promise) keep(ctx context.Context) error {
	trouble := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(subnetFileLook):
		}
		err := p.renew()
		if err != nil && err.Error() != trouble {
			p.log.Warn("subnet file is not as it should be", "err", err)
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
	if p.file == nil || p.file.IsAt(p.path) {
		return nil
	}
	err := node.WriteSubnetFile(p.path, *p.file)
	if err == nil {
		p.log.Warn("subnet file was changed or deleted, and is as before again", "file", p.path)
	}
	return err
}
