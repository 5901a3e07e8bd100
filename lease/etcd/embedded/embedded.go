// Package embedded runs one etcd member in this process, for a first node or a single machine. Other nodes use it by naming
// its client URL.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// Options say where a member keeps its data and where it listens.
type Options struct {
	Dir          string       // made with mode 0700 if need be; nobody else may use it
	ListenClient string       // http://IP:PORT; http://127.0.0.1:2379 if empty. Port 0 is any free one
	Logger       *slog.Logger // gets etcd's warnings and errors; silent if nil
}

// A Member is a cluster of one. It has no peer listener, so no other etcd can join it.
type Member struct {
	etcd      *embed.Etcd
	listen    netip.AddrPort
	closing   context.Context // ends the streams of clients
	close     context.CancelFunc
	closeOnce sync.Once
	failed    chan error
	watched   sync.WaitGroup
}

// Start starts a member on the data of an earlier one, or on none, and returns once it serves clients. It refuses a listen
// URL that is taken, and data that another process uses or that a newer etcd has written.
func Start(ctx context.Context, o Options) (*Member, error) {
	m, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start etcd member: %w", err)
	}
	return m, nil
}

func start(ctx context.Context, o Options) (*Member, error) {
	if o.ListenClient == "" {
		o.ListenClient = "http://127.0.0.1:2379"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Member{failed: make(chan error, 1)}
	var err error
	if m.listen, err = ParseListen(o.ListenClient); err != nil {
		return nil, err
	}
	if err := prepare(o.Dir); err != nil {
		return nil, err
	}
	m.closing, m.close = context.WithCancel(context.Background())
	cfg := config(o.Dir, m.listen)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newLogger(m.closing, o.Logger, m.fail))
	cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(endWith(m.closing))}
	if m.etcd, err = m.startEtcd(cfg); err != nil {
		m.close()
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("listen on %s: %w: if that is the etcd to use, name it as an endpoint", o.ListenClient, syscall.EADDRINUSE)
		}
		return nil, err
	}
	m.watched.Go(m.watch)
	select {
	case <-m.etcd.Server.ReadyNotify():
		return m, nil
	case err := <-m.failed:
		m.Close()
		return nil, err
	case <-ctx.Done():
		m.Close()
		return nil, ctx.Err()
	}
}

// config is an embed.Config for a cluster that will never have a second member: the short election delays nobody, since
// nobody else can be elected, and a slow disk costs no leadership.
func config(dir string, listen netip.AddrPort) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name = "overlayd"
	cfg.Dir = dir
	cfg.TickMs, cfg.ElectionMs = 20, 100
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: listen.String()}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = nil
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	cfg.EnableGRPCGateway = false
	return cfg
}

// startEtcd starts etcd in a goroutine of its own, which etcd's logger ends where it would end the process.
func (m *Member) startEtcd(cfg *embed.Config) (e *embed.Etcd, err error) {
	var wg sync.WaitGroup
	wg.Go(func() { e, err = embed.StartEtcd(cfg) })
	wg.Wait()
	if e == nil && err == nil {
		err = <-m.failed
	}
	return e, err
}

// fail keeps the first reason why the member has stopped working.
func (m *Member) fail(err error) {
	select {
	case m.failed <- err:
	default:
	}
}

// watch takes etcd's own errors until etcd is closed.
func (m *Member) watch() {
	for err := range m.etcd.Err() {
		if m.closing.Err() == nil {
			m.fail(err)
		}
	}
}

// ParseListen reads what Options.ListenClient may be but for the empty text.
func ParseListen(text string) (netip.AddrPort, error) {
	host, _ := strings.CutPrefix(text, "http://")
	listen, err := netip.ParseAddrPort(host)
	if err != nil || host == text {
		return listen, fmt.Errorf("%q is not of the form http://IP:PORT", text)
	}
	return listen, nil
}

// prepare makes the directory, and looks for what etcd itself would wait for without end.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return inspect(dir)
}

// Endpoints are the client URLs at which this process reaches the member.
func (m *Member) Endpoints() []string {
	host := m.listen.Addr()
	switch host {
	case netip.IPv4Unspecified():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		host = netip.IPv6Loopback()
	}
	port := m.etcd.Clients[0].Addr().(*net.TCPAddr).AddrPort().Port()
	return []string{"http://" + netip.AddrPortFrom(host, port).String()}
}

// Err yields the error with which the member stopped working, if it does by itself.
func (m *Member) Err() <-chan error { return m.failed }

// Close stops the member. Its data stays. The error is always nil.
func (m *Member) Close() error {
	m.closeOnce.Do(func() {
		m.close()
		m.etcd.Close()
		m.watched.Wait()
	})
	return nil
}

// endWith ends the streams of clients with the context. Closing a member would wait seconds for watches to end.
func endWith(end context.Context) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(end, cancel)()
		return handle(srv, endingStream{stream, ctx})
	}
}

type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s endingStream) Context() context.Context { return s.ctx }
