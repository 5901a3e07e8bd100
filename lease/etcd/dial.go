package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// DialOptions say which etcd cluster to use, and how to get in. All files are PEM or text.
type DialOptions struct {
	Endpoints    []string // client URLs, all http:// or all https://; without a scheme http:// is meant
	CAFile       string   // certificates to check etcd's against; the system's if empty
	CertFile     string   // certificate to show, with KeyFile or not at all
	KeyFile      string
	Username     string
	PasswordFile string // its first line is the password
}

// Dial returns a client of the cluster. It refuses options that cannot work and files that it cannot read, but sends nothing
// yet: see Store.Check. Files that are renewed later count from the next connection or login on.
func Dial(o DialOptions) (*clientv3.Client, error) {
	client, err := o.dial()
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	return client, nil
}

// reconnect is how connections are tried again. However long etcd was away, it is found again within seconds, and nodes that
// lost it together do not come back together.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 15 * time.Second},
	MinConnectTimeout: 5 * time.Second,
}

func (o DialOptions) dial() (*clientv3.Client, error) {
	options, err := o.security()
	if err != nil {
		return nil, err
	}
	config := clientv3.Config{
		Endpoints:            o.Endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		MaxUnaryRetries:      3, // whoever calls tries on, and says so
		Logger:               zap.NewNop(),
		DialOptions:          append(options, grpc.WithConnectParams(reconnect)),
	}
	if (o.Username == "") != (o.PasswordFile == "") {
		return nil, errors.New("user name and password file: give both or neither")
	}
	if o.Username != "" {
		config.Username = o.Username
		if config.Password, err = o.password(); err != nil {
			return nil, err
		}
		config.DialOptions = append(config.DialOptions, grpc.WithChainUnaryInterceptor(o.login()))
	}
	return clientv3.New(config)
}

// login looks after the client's logins. The first, which clientv3.New insists on, it answers in etcd's stead, so that a
// client can be made while etcd is down: the client logs in again with the first request that needs it. Each later one
// takes the password that the file holds by then.
func (o DialOptions) login() grpc.UnaryClientInterceptor {
	var asked atomic.Bool
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if method == etcdserverpb.Auth_Authenticate_FullMethodName {
			if asked.CompareAndSwap(false, true) {
				return rpctypes.ErrGRPCAuthNotEnabled
			}
			password, err := o.password()
			if err != nil {
				return err
			}
			req = &etcdserverpb.AuthenticateRequest{Name: o.Username, Password: password}
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

// password is the first line of the password file.
func (o DialOptions) password() (string, error) {
	text, err := readFile(o.PasswordFile)
	if err != nil {
		return "", err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("%s: no password in its first line", o.PasswordFile)
	}
	return string(line), nil
}

// readFile shortens the error of os.ReadFile to "read FILE: cause".
func readFile(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("read %s: %w", name, p.Err)
	}
	return text, err
}
