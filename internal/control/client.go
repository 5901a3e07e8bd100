package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Fetch asks the daemon that listens on the unix socket at path how it stands. It is an fs.ErrNotExist when no daemon
// listens there, and an fs.ErrPermission when this user may not ask.
func Fetch(ctx context.Context, path string) (Status, error) {
	var status Status
	if err := fetch(ctx, path, "/v1/status", &status); err != nil {
		return Status{}, err
	}
	if status.Version != statusVersion {
		return Status{}, fmt.Errorf("read status from %s: it has version %d, and this program reads %d: use the daemon's own version of overlayd", path, status.Version, statusVersion)
	}
	return status, nil
}

// Follow calls each with the events that the daemon remembers, and with follow also with all that come, until the context ends
// or the daemon does, which is io.EOF, or each returns an error, which it returns. Other errors are Fetch's.
func Follow(ctx context.Context, path string, follow bool, each func(Event) error) error {
	resource := "/v1/events"
	if follow {
		resource += "?follow"
	}
	body, err := ask(ctx, path, resource)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var e Event
		err := dec.Decode(&e)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF) && !follow:
			return nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return io.EOF
		case err != nil:
			return fmt.Errorf("read events from %s: %w", path, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// FetchEffects asks the daemon what was made for the scope, hooks.NodeScope or a peer's subnets. Its errors are Fetch's.
func FetchEffects(ctx context.Context, path, scope string) (effects []Effect, err error) {
	err = fetch(ctx, path, "/v1/effects?scope="+url.QueryEscape(scope), &effects)
	return effects, err
}

// FetchLease asks the daemon what etcd holds of the lease with that subnet: the zero Record if nothing. Its errors are Fetch's.
func FetchLease(ctx context.Context, path string, subnet netip.Prefix) (record Record, err error) {
	err = fetch(ctx, path, "/v1/lease?subnet="+url.QueryEscape(subnet.String()), &record)
	return record, err
}

// FetchHookLog asks the daemon for the last hooks that have run, the oldest first. Its errors are Fetch's.
func FetchHookLog(ctx context.Context, path string) (entries []HookEntry, err error) {
	err = fetch(ctx, path, "/v1/hooks", &entries)
	return entries, err
}

// FetchMetrics asks the daemon for its metrics, as Prometheus reads them. Its errors are Fetch's.
func FetchMetrics(ctx context.Context, path string) ([]byte, error) {
	body, err := ask(ctx, path, "/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("read metrics from %s: %w", path, err)
	}
	return text, nil
}

// FetchEtcd asks the daemon how it reaches etcd. Its errors are Fetch's. It believes a daemon of root's or of this user only: by what
// it says this program reads files, and shows to etcd what is in them.
func FetchEtcd(ctx context.Context, path string) (access EtcdAccess, err error) {
	err = fetch(ctx, path, "/v1/etcd", &access, byTrusted)
	return access, err
}

// byTrusted refuses a daemon of any other user than root and this one.
func byTrusted(conn syscall.RawConn) error {
	var peer *unix.Ucred
	var err error
	if e := conn.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return errors.Join(e, err)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("the user with ID %d answers there, who is neither root nor you", peer.Uid)
	}
	return nil
}

// fetch reads the daemon's answer, which is JSON. Checks look at the connection first.
func fetch(ctx context.Context, path, resource string, into any, checks ...func(syscall.RawConn) error) error {
	body, err := ask(ctx, path, resource, checks...)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read %s from %s: %w", resource, path, err)
	}
	return nil
}

// ask returns the body of the daemon's answer.
func ask(ctx context.Context, path, resource string, checks ...func(syscall.RawConn) error) (io.ReadCloser, error) {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path, checks) },
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://overlayd"+resource, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, explain(path, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		why, _ := io.ReadAll(io.LimitReader(response.Body, maxText)) // what can be had of it
		return nil, fmt.Errorf("ask overlayd at %s: it answers %s: %s", path, response.Status, bytes.TrimSpace(why))
	}
	return response.Body, nil
}

func dial(ctx context.Context, path string, checks []func(syscall.RawConn) error) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	for _, check := range checks {
		raw, err := conn.(*net.UnixConn).SyscallConn()
		if err == nil {
			err = check(raw)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
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
