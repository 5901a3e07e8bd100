package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// socketMode lets root and the socket's group ask, and nobody else.
const socketMode = 0o660

// maxConnections is how many there may be at once over TCP: more wait, so that they cannot take the daemon's descriptors and memory.
const maxConnections = 256

// maxSocketPath is how many bytes the kernel takes as a socket's path.
const maxSocketPath = 107

// SocketPath is where the daemon of a run directory listens.
func SocketPath(runDir string) string { return filepath.Join(runDir, "overlayd.sock") }

// Serve answers for the state on the unix socket at path until the context ends, which is no error, and removes the
// socket then. The caller holds Lock on the directory: a socket that is there is one that a dead daemon left, and is
// replaced. Anything else that is there is left alone, and an error.
func Serve(ctx context.Context, path string, state *State) error {
	listener, err := listen(ctx, path)
	if err != nil {
		return err
	}
	return serveOn(ctx, listener, socketHandler(state))
}

// ListenTCP takes the TCP address, at which ServeTCP may answer later: whether it is free is known before there is anything to say.
func ListenTCP(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another --listen", address, errors.Unwrap(err))
	}
	return listener, nil
}

// ServeTCP answers for the state at a listener of ListenTCP, to everybody who reaches it, until the context ends, which is no
// error, and closes the listener. What hooks printed is not told there.
func ServeTCP(ctx context.Context, listener net.Listener, state *State) error {
	var handler http.Handler = newMux(state)
	if at, ok := listener.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		handler = askedByAddress(handler)
	}
	return serveOn(ctx, netutil.LimitListener(listener, maxConnections), handler)
}

// askedByAddress refuses requests by another name than localhost. A web page may have a name of its own resolve to this machine's
// loopback, to read in a browser here what is meant for this machine alone (DNS rebinding). Browsers always say a name; HTTP/1.0
// need not.
func askedByAddress(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "" && !strings.EqualFold(host, "localhost") {
			http.Error(w, "ask by address, or by the name localhost", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func serveOn(ctx context.Context, listener net.Listener, handler http.Handler) error {
	g, serving := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute, // Prometheus asks again within that
		WriteTimeout:      writePatience,
		ErrorLog:          log.New(io.Discard, "", 0), // tells of clients that broke off
		BaseContext:       func(net.Listener) context.Context { return serving },
	}
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-serving.Done()
		return server.Close()
	})
	return g.Wait()
}

// listen makes the socket. At no time has it a wider mode than socketMode.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, a socket's may have %d: choose a shorter --run-dir", path, len(path), maxSocketPath)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen on %s: something is there that is not a socket: remove it, or choose another --run-dir", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := bind(ctx, path)
	if err != nil {
		return nil, err
	}
	// The daemon's umask of 077 took the group's part away.
	if err := os.Chmod(path, socketMode); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// bind makes the socket with its mode from the first moment on: on Linux, the file gets the mode that the socket has
// before it is bound, less the umask.
func bind(ctx context.Context, path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(controlErr, err)
	}}
	return config.Listen(ctx, "unix", path)
}
