package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A Rehearsal shows what hooks would do. Its Set is a copy of the network namespace that the calling thread is in and of what is
// known to belong to whom: whatever is done to it, nothing happens.
//
// Programs other than the in-process commands are not run. They succeed and print nothing.
type Rehearsal struct {
	Set *Set

	kernel *kernel.Rehearsal
	mu     sync.Mutex
	notRun []string
}

// Rehearse makes the copies. The ledger's file is only read.
func Rehearse(ctx context.Context, o Options) (*Rehearsal, error) {
	k, err := kernel.Open(o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", err)
	}
	defer k.Close()
	state, err := kernel.Rehearse(ctx, k)
	if err != nil {
		return nil, err
	}
	scopes, err := rehearseScopes(state, o)
	if err != nil {
		return nil, err
	}
	r := &Rehearsal{kernel: state}
	r.Set = &Set{kernel: state, scopes: scopes, log: o.Logger, rehearsal: r}
	return r, nil
}

// rehearseScopes opens a copy of the ledger, for as long as it takes to read it.
func rehearseScopes(k kernel.Kernel, o Options) (*kernel.Scopes, error) {
	text, err := os.ReadFile(o.Ledger)
	if errors.Is(err, fs.ErrNotExist) {
		return kernel.NewScopes(k, "", o.Logger)
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	dir, err := os.MkdirTemp("", "overlayd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ledger := filepath.Join(dir, "ledger")
	if err := os.WriteFile(ledger, text, 0o600); err != nil {
		return nil, err
	}
	return kernel.NewScopes(k, ledger, o.Logger)
}

// Changes returns what would have changed so far, as commands in their order, secrets hidden.
func (r *Rehearsal) Changes() (lines []string) {
	for _, op := range r.kernel.Done() {
		lines = append(lines, op.String())
	}
	return lines
}

// NotRun returns the command lines that would have gone to other programs.
func (r *Rehearsal) NotRun() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notRun
}

func (r *Rehearsal) note(_ context.Context, argv []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notRun = append(r.notRun, strings.Join(argv, " "))
	return nil
}
