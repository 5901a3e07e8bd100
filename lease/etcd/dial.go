package etcd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
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
// yet: see Check.
func Dial(o DialOptions) (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints:            o.Endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		PermitWithoutStream:  true,
		MaxUnaryRetries:      3, // whoever calls tries on, and says so
		Logger:               zap.NewNop(),
		Username:             o.Username,
	}
	var err error
	if config.TLS, err = o.tls(); err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	if config.Password, err = o.password(); err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	if config.Username != "" {
		config.DialOptions = append(config.DialOptions, grpc.WithChainUnaryInterceptor(lateLogin()))
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	return client, nil
}

// lateLogin answers the login that clientv3.New insists on in etcd's stead, so that a client can be made while etcd is
// down. The client logs in again with the first request that needs it.
func lateLogin() grpc.UnaryClientInterceptor {
	var asked atomic.Bool
	return func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if strings.HasSuffix(method, "/Authenticate") && asked.CompareAndSwap(false, true) {
			return rpctypes.ErrGRPCAuthNotEnabled
		}
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

// tls is nil for http endpoints.
func (o DialOptions) tls() (*tls.Config, error) {
	secure, err := o.secure()
	switch {
	case err != nil:
		return nil, err
	case (o.CertFile == "") != (o.KeyFile == ""):
		return nil, errors.New("certificate file and key file: give both or neither")
	case !secure && (o.CAFile != "" || o.CertFile != ""):
		return nil, fmt.Errorf("%s is not encrypted, so certificates mean nothing to it: use https://", o.Endpoints[0])
	case !secure:
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := readFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := o.keyPair()
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (o DialOptions) keyPair() (tls.Certificate, error) {
	cert, err := readFile(o.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readFile(o.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s and %s: %w", o.CertFile, o.KeyFile, err)
	}
	return pair, nil
}

// secure reports whether the endpoints are https.
func (o DialOptions) secure() (bool, error) {
	if len(o.Endpoints) == 0 {
		return false, errors.New("no endpoint given")
	}
	secure := strings.HasPrefix(o.Endpoints[0], "https://")
	for _, e := range o.Endpoints {
		scheme, _, found := strings.Cut(e, "://")
		if found && scheme != "http" && scheme != "https" {
			return false, fmt.Errorf("%q is neither http:// nor https://", e)
		}
		if (found && scheme == "https") != secure {
			return false, fmt.Errorf("%s and %s: use either http or https for all", o.Endpoints[0], e)
		}
	}
	return secure, nil
}

func (o DialOptions) password() (string, error) {
	if (o.Username == "") != (o.PasswordFile == "") {
		return "", errors.New("user name and password file: give both or neither")
	}
	if o.PasswordFile == "" {
		return "", nil
	}
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
