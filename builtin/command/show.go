package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// shownLink finds a link by its name, or fails as ip's listings of links and addresses do. No name is no link.
func shownLink(ctx context.Context, c *call, name string) (kernel.Link, error) {
	return namedLink(ctx, c, name, &failure{text: fmt.Sprintf("Device %q does not exist.", name), status: 1})
}

// namedLink finds a link by its name, or fails with a failure. No name is no link.
func namedLink(ctx context.Context, c *call, name string, missing *failure) (kernel.Link, error) {
	if name == "" {
		return kernel.Link{}, nil
	}
	link, err := findLink(ctx, c, name)
	if errors.Is(err, fs.ErrNotExist) {
		missing.cause = err
		return link, missing
	}
	return link, err
}
