package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors that say that waiting may help.
var (
	// ErrUnreachable says that nobody answers at any endpoint, or that those who do have no leader.
	ErrUnreachable = errors.New("etcd is not reachable")
	// ErrNoRoute is the ErrUnreachable of endpoints to which this machine knows no way: it has no route, or no address for
	// the name.
	ErrNoRoute = fmt.Errorf("%w from here", ErrUnreachable)
)

// ErrDenied says that the user may not do it.
var ErrDenied = rpctypes.ErrPermissionDenied

const (
	checkPatience = 5 * time.Second // with each of Check's requests
	checkDoubt    = time.Second     // until it is asked why there is no answer, which the client alone would never say
)

// Check makes sure with a first request that one of the client's endpoints is an etcd v3 that lets this client in and lets it
// read the network config, which it returns for WatchConfig to begin with. Its error is ErrUnreachable if waiting may help, and
// else says what does not fit.
func (s *Store) Check(ctx context.Context) (ConfigRead, error) {
	read, err := s.firstRead(ctx)
	if err == nil {
		return read, nil
	}
	endpoints := strings.Join(s.client.Endpoints(), ",")
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return read, fmt.Errorf("etcd %s: user name or password is wrong", endpoints)
	case errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return read, fmt.Errorf("etcd %s: it wants a user name and a password", endpoints)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return read, fmt.Errorf("etcd %s: read %s: %w", endpoints, s.ConfigKey(), denied(err))
	case errors.As(err, new(diagnosis)):
		return read, err
	}
	return read, s.diagnose(ctx, err)
}

// CheckWrite makes sure that this client may write leases, by a transaction that cannot come to write: etcd looks at the rights
// to what a transaction may do before it looks at its conditions.
func (s *Store) CheckWrite(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := s.subnets()
	never := clientv3.Compare(clientv3.ModRevision(key), "<", 0)
	_, err := s.client.Txn(ctx).If(never).Then(clientv3.OpPut(key, "")).Commit()
	if err != nil {
		return fmt.Errorf("write etcd %s: %w", key, s.explain(ctx, err))
	}
	return nil
}

// firstRead reads the network config, and ends early with a diagnosis when none of the endpoints can be used.
func (s *Store) firstRead(ctx context.Context) (read ConfigRead, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(ctx, checkPatience)
		defer cancel()
		read, err = s.tryConfig(ctx)
	}()
	select {
	case <-ended:
		return read, err
	case <-time.After(checkDoubt):
	}
	why := s.diagnose(ctx, nil)
	if why != nil {
		cancel()
	}
	<-ended
	if err != nil && why != nil {
		err = diagnosis{why}
	}
	return read, err
}

// A diagnosis says why an endpoint does not answer as it should.
type diagnosis struct{ error }

// Unwrap makes the error one of its cause.
func (d diagnosis) Unwrap() error { return d.error }

// A finding is what is wrong with one endpoint.
type finding struct {
	silent error // ErrUnreachable or ErrNoRoute where nobody answers
	err    error // nil where all is well
}

// diagnose asks each endpoint why a request had no answer, or only the error. Without an error it returns nil where somebody
// answers.
func (s *Store) diagnose(ctx context.Context, err error) error {
	endpoints := s.client.Endpoints()
	findings := make([]finding, len(endpoints))
	var probes sync.WaitGroup
	for i, endpoint := range endpoints {
		probes.Go(func() { findings[i].silent, findings[i].err = probe(ctx, s.client, endpoint) })
	}
	probes.Wait()
	kind := ErrNoRoute
	var causes []string
	for i, f := range findings {
		switch {
		case f.err != nil && f.silent == nil:
			return f.err // it can be mended, which goes before what can be waited for
		case f.err == nil:
			kind = nil // somebody is there
			continue
		case kind == ErrNoRoute:
			kind = f.silent
		}
		causes = append(causes, fmt.Sprintf("%s: %v", endpoints[i], f.err))
	}
	switch {
	case kind == nil && err == nil:
		return nil
	case kind == nil: // no leader, or overloaded
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, strings.Join(endpoints, ","), err)
	}
	return fmt.Errorf("%w: %s", kind, strings.Join(causes, "; "))
}

// probe asks one endpoint for its version. Where nobody answers it returns ErrUnreachable or ErrNoRoute as silent. The
// connection is its own: the client's own would hide why it fails.
func probe(ctx context.Context, client *clientv3.Client, endpoint string) (silent, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	conn, err := client.Dial(endpoint)
	if err != nil {
		return nil, fmt.Errorf("etcd %s: %w", endpoint, err)
	}
	defer conn.Close()
	_, err = etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{}, grpc.WaitForReady(false))
	answered := err == nil || errors.As(rpctypes.Error(err), new(rpctypes.EtcdError))
	switch {
	case answered:
		return nil, nil
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded): // the latter during a login
		return silence(endpoint, fmt.Errorf("no answer within %s", checkPatience))
	}
	cause, dialed := transport(err)
	if gaveUp(cause) {
		return silence(endpoint, fmt.Errorf("no answer within %s", reconnect.MinConnectTimeout))
	}
	for _, sign := range signs {
		if strings.Contains(cause, sign.text) {
			return nil, fmt.Errorf("etcd %s: %s: %s", endpoint, cause, sign.advice)
		}
	}
	switch {
	case status.Code(err) != codes.Unavailable:
		return nil, fmt.Errorf("etcd %s: not an etcd v3: %s", endpoint, cause)
	case dialed && strings.HasPrefix(endpoint, "https://"): // the server's reason may be lost with the connection
		return nil, fmt.Errorf("etcd %s: %s: connection closed, maybe for want of a client certificate", endpoint, cause)
	}
	return silence(endpoint, errors.New(cause))
}

// silence is ErrUnreachable and the cause, or ErrNoRoute if this machine knows no way to the endpoint. That a host does not
// answer on its own link reads like a missing route in a TCP connection's error. One of UDP sends nothing and fails only
// without a route.
func silence(endpoint string, cause error) (kind, _ error) {
	_, address, found := strings.Cut(endpoint, "://")
	if !found {
		address = endpoint
	}
	conn, err := net.DialTimeout("udp", strings.TrimSuffix(address, "/"), checkPatience)
	if err == nil {
		conn.Close()
		return ErrUnreachable, cause
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		cause = lookup
	}
	return ErrNoRoute, cause
}

// gaveUp reports whether the connection was ended from this side, since nothing came in time.
func gaveUp(cause string) bool {
	for _, text := range []string{"use of closed network connection", "i/o timeout", "context deadline exceeded"} {
		if strings.Contains(cause, text) {
			return true
		}
	}
	return false
}

// signs are what gRPC says when waiting would not help.
var signs = []struct{ text, advice string }{
	{"first record does not look like a TLS handshake", "it is not encrypted, use http://"},
	{"authentication handshake failed: EOF", "it is probably not encrypted, use http://"},
	{"signed by unknown authority", "give the file of the CA that signed its certificate"},
	{"certificate required", "it wants a client certificate, give certificate and key file"},
	{"bad certificate", "it does not accept this client certificate"},
	{"authentication handshake failed", "the connection could not be secured"},
	{"error reading server preface", "not an etcd v3, or encrypted: then use https://"},
}

// transport is the cause in gRPC's error, without the phrases around it, and whether there was a connection at all. The address of
// this end, which is another each time, is left out: who waits says each cause once.
func transport(err error) (cause string, dialed bool) {
	cause = status.Convert(err).Message()
	if quoted := regexp.MustCompile(`desc = "(.*)"$`).FindStringSubmatch(cause); quoted != nil {
		cause = strings.ReplaceAll(quoted[1], `\"`, `"`)
	}
	cause = regexp.MustCompile(`\b(read|write) tcp \S+->`).ReplaceAllString(cause, "$1 tcp ")
	cause, notDialed := strings.CutPrefix(strings.TrimPrefix(cause, "transport: "), "Error while dialing: ")
	return cause, !notDialed
}

// denied says what to do where etcd refuses a right that Grants lists.
func denied(err error) error {
	return fmt.Errorf("%w: see overlayd etcd role for the rights that are needed", err)
}
