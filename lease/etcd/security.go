package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// security is how to protect connections, after a first look at all files. It is nothing for http endpoints.
func (o DialOptions) security() ([]grpc.DialOption, error) {
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
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(renewable{credentials.NewTLS(config), o})}, nil
}

// renewable credentials read their files anew for each connection, so that renewed ones count without a restart. A file that
// cannot be read fails the connection, which is tried again soon: renewing two files is not one act.
type renewable struct {
	credentials.TransportCredentials
	o DialOptions
}

// ClientHandshake is part of credentials.TransportCredentials.
func (r renewable) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := r.o.tls()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

// Clone is part of credentials.TransportCredentials.
func (r renewable) Clone() credentials.TransportCredentials { return r }

// tls is what the files say now.
func (o DialOptions) tls() (*tls.Config, error) {
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
