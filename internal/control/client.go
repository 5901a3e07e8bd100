package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
)

// Fetch asks the daemon that listens on the unix socket at path how it stands. It is an fs.ErrNotExist when no daemon
// listens there, and an fs.ErrPermission when this user may not ask.
func Fetch(ctx context.Context, path string) (Status, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://overlayd/v1/status", nil)
	if err != nil {
		return Status{}, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Status{}, explain(path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("ask overlayd at %s: it answers %s", path, response.Status)
	}
	var status Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return Status{}, fmt.Errorf("read status from %s: %w", path, err)
	}
	if status.Version != statusVersion {
		return Status{}, fmt.Errorf("read status from %s: it has version %d, and this program reads %d: use the daemon's own version of overlayd", path, status.Version, statusVersion)
	}
	return status, nil
}

// explain says in a person's words why nobody answers.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return noDaemonError(filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("ask overlayd at %s: %w: run as root, or as a member of the socket's group", path, fs.ErrPermission)
	}
	return fmt.Errorf("ask overlayd at %s: %w", path, err)
}

// A noDaemonError names the run directory without a daemon.
type noDaemonError string

func (e noDaemonError) Error() string {
	return fmt.Sprintf("no overlayd runs with run directory %s: start it with overlayd run --run-dir %[1]s", string(e))
}

// Is makes the error an fs.ErrNotExist, whose own words would only confuse.
func (noDaemonError) Is(target error) bool { return target == fs.ErrNotExist }
