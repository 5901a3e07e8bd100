package etcd

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnreachable says that nobody answers at any endpoint, so that waiting may help.
var ErrUnreachable = errors.New("etcd is not reachable")

// checkPatience is how long each of Check's requests may take.
const checkPatience = 3 * time.Second

// Check makes sure with a first request that one of the client's endpoints is an etcd v3 that lets this client in and lets it
// read the network config. Its error is ErrUnreachable if nobody answers, and else says what does not fit.
func (s *Store) Check(ctx context.Context) error {
	var problems []error
	for _, endpoint := range s.client.Endpoints() {
		err := probe(ctx, s.client, endpoint)
		if err == nil {
			return s.enter(ctx)
		}
		problems = append(problems, err)
	}
	for _, err := range problems { // one that can be mended goes before one that can be waited for
		if !errors.Is(err, ErrUnreachable) {
			return err
		}
	}
	return errors.Join(problems...)
}

// probe asks one endpoint for its version. The connection is its own: the client's own would hide why it fails.
func probe(ctx context.Context, client *clientv3.Client, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	conn, err := client.Dial(endpoint)
	if err != nil {
		return fmt.Errorf("etcd %s: %w", endpoint, err)
	}
	defer conn.Close()
	_, err = etcdserverpb.NewMaintenanceClient(conn).Status(ctx, &etcdserverpb.StatusRequest{}, grpc.WaitForReady(false))
	answered := err == nil || errors.As(rpctypes.Error(err), new(rpctypes.EtcdError))
	switch {
	case answered:
		return nil
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded): // the latter during a login
		return fmt.Errorf("%w: %s: no answer within %s", ErrUnreachable, endpoint, checkPatience)
	}
	cause, dialed := transport(err)
	for _, sign := range signs {
		if strings.Contains(cause, sign.text) {
			return fmt.Errorf("etcd %s: %s: %s", endpoint, cause, sign.advice)
		}
	}
	switch {
	case status.Code(err) != codes.Unavailable:
		return fmt.Errorf("etcd %s: not an etcd v3: %s", endpoint, cause)
	case dialed && strings.HasPrefix(endpoint, "https://"): // the server's reason may be lost with the connection
		return fmt.Errorf("etcd %s: %s: connection closed, maybe for want of a client certificate", endpoint, cause)
	}
	return fmt.Errorf("%w: %s: %s", ErrUnreachable, endpoint, cause)
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

// transport is the cause in gRPC's error, without the phrases around it, and whether there was a connection at all.
func transport(err error) (cause string, dialed bool) {
	cause = status.Convert(err).Message()
	if quoted := regexp.MustCompile(`desc = "(.*)"$`).FindStringSubmatch(cause); quoted != nil {
		cause = strings.ReplaceAll(quoted[1], `\"`, `"`)
	}
	cause, notDialed := strings.CutPrefix(strings.TrimPrefix(cause, "transport: "), "Error while dialing: ")
	return cause, !notDialed
}

// enter asks for what every node may read, whether it is there or not.
func (s *Store) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	_, err := s.client.Get(ctx, s.ConfigKey(), clientv3.WithKeysOnly())
	endpoints := strings.Join(s.client.Endpoints(), ",")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Errorf("etcd %s: user name or password is wrong", endpoints)
	case errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return fmt.Errorf("etcd %s: it wants a user name and a password", endpoints)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("etcd %s: read %s: %w", endpoints, s.ConfigKey(), denied(err))
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, endpoints, err) // no leader, or overloaded
}

// denied says what to do where etcd refuses a right that Grants lists.
func denied(err error) error {
	return fmt.Errorf("%w: see overlayd etcd role for the rights that are needed", err)
}
