package builtin

import (
	"context"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// WatchAddresses calls changed at once, and after links, addresses or routes of the network namespace that the calling
// thread is in have changed, until the context ends, whose error it returns. Two calls are a second apart at least.
func WatchAddresses(ctx context.Context, changed func()) error {
	return kernel.WatchAddresses(ctx, changed)
}
