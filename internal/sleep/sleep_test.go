package sleep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestForReturnsWhenTheTimeOrTheContextIsOver(t *testing.T) {
	for until, want := range map[time.Duration]error{2 * time.Second: nil, 4 * time.Second: context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			if err := For(ctx, until); !errors.Is(err, want) {
				t.Errorf("after %v: error %v, want %v", until, err, want)
			}
			if took := time.Since(began); took != min(until, 3*time.Second) {
				t.Errorf("asked to wait %v, it took %v", until, took)
			}
		})
	}
}
