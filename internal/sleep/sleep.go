// Package sleep waits for time to pass, unless a context ends.
package sleep

import (
	"context"
	"time"
)

// For returns after d, or the context's error as soon as that ends.
func For(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
