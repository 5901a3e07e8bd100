package etcd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlayd/overlayd/lease/etcd"
)

// An identity is a certificate and its key, in memory and in files.
type identity struct {
	cert              *x509.Certificate
	key               *ecdsa.PrivateKey
	certFile, keyFile string
}

// newIdentity makes a certificate for 127.0.0.1, signed by the parent, or a CA's if that is nil.
func newIdentity(t *testing.T, name string, parent *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IsCA:        parent == nil, BasicConstraintsValid: true,
	}
	id := &identity{key: key}
	if parent == nil {
		parent = &identity{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if id.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id.certFile = writePEM(t, name+".pem", "CERTIFICATE", der)
	id.keyFile = writePEM(t, name+"-key.pem", "PRIVATE KEY", secret)
	return id
}

func writePEM(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDialRefuses(t *testing.T) {
	ca := newIdentity(t, "ca", nil)
	other := newIdentity(t, "other", nil)
	missing := filepath.Join(t.TempDir(), "missing")
	text := writeFile(t, "text", "text\n")
	empty := writeFile(t, "empty", "\n")
	secure, plain := []string{"https://127.0.0.1:1"}, []string{"http://127.0.0.1:1"}
	for _, test := range []struct {
		name    string
		options etcd.DialOptions
		want    string
	}{
		{"no endpoint", etcd.DialOptions{}, "no endpoint given"},
		{"another scheme", etcd.DialOptions{Endpoints: []string{"ftp://127.0.0.1:1"}}, `"ftp://127.0.0.1:1" is neither http:// nor https://`},
		{"two schemes", etcd.DialOptions{Endpoints: append(plain, secure...)}, "use either http or https for all"},
		{"a CA for http", etcd.DialOptions{Endpoints: plain, CAFile: ca.certFile}, "http://127.0.0.1:1 is not encrypted"},
		{"a certificate for http", etcd.DialOptions{Endpoints: plain, CertFile: ca.certFile, KeyFile: ca.keyFile}, "use https://"},
		{"a certificate without its key", etcd.DialOptions{Endpoints: secure, CertFile: ca.certFile}, "give both or neither"},
		{"a key without its certificate", etcd.DialOptions{Endpoints: secure, KeyFile: ca.keyFile}, "give both or neither"},
		{"a CA file that is missing", etcd.DialOptions{Endpoints: secure, CAFile: missing}, "read " + missing + ": no such file or directory"},
		{"a CA file without a certificate", etcd.DialOptions{Endpoints: secure, CAFile: text}, text + ": no certificate in it"},
		{"a key file that is missing", etcd.DialOptions{Endpoints: secure, CertFile: ca.certFile, KeyFile: missing}, "read " + missing},
		{"a key of another certificate", etcd.DialOptions{Endpoints: secure, CertFile: ca.certFile, KeyFile: other.keyFile}, "does not match"},
		{"a user without a password", etcd.DialOptions{Endpoints: plain, Username: "u"}, "give both or neither"},
		{"a password without a user", etcd.DialOptions{Endpoints: plain, PasswordFile: text}, "give both or neither"},
		{"a password file that is missing", etcd.DialOptions{Endpoints: plain, Username: "u", PasswordFile: missing}, "read " + missing},
		{"an empty password", etcd.DialOptions{Endpoints: plain, Username: "u", PasswordFile: empty}, empty + ": no password in its first line"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			client, err := etcd.Dial(test.options)
			if err == nil {
				client.Close()
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "connect to etcd: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
}

func TestCheckWithoutTLS(t *testing.T) {
	member := startMember(t, "http://127.0.0.1:0").Endpoints()[0]
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deaf.Close() })
	nobody := "http://" + freePort(t)
	for _, test := range []struct {
		name        string
		endpoints   []string
		want        string
		unreachable bool
	}{
		{"an etcd", []string{member}, "", false},
		{"one etcd of two", []string{nobody, member}, "", false},
		{"nobody listens", []string{nobody}, nobody + ": dial tcp " + nobody[7:] + ": connect: connection refused", true},
		{"nobody answers", []string{"http://" + deaf.Addr().String()}, "etcd is not reachable", true},
		{"nobody answers a greeting", []string{"https://" + deaf.Addr().String()}, "etcd is not reachable", true},
		{"no such host", []string{"http://host.invalid:2379"}, "not reachable from here: http://host.invalid:2379: lookup host.invalid", true},
		{"one is down and one unknown", []string{"http://host.invalid:2379", nobody}, "etcd is not reachable: http://host.invalid:2379: ", true},
		{"https to http", []string{"https" + member[4:]}, "it is probably not encrypted, use http://", false},
		{"https to another server's http", []string{"https" + web.URL[4:]}, "it is not encrypted, use http://", false},
		{"another server", []string{web.URL}, "not an etcd v3", false},
		{"what can be mended goes first", []string{nobody, web.URL}, "etcd " + web.URL + ": ", false},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			checkSays(t, etcd.DialOptions{Endpoints: test.endpoints}, test.want, test.unreachable)
		})
	}
}

// checkSays compares what Check finds: nothing if want is empty.
func checkSays(t *testing.T, o etcd.DialOptions, want string, unreachable bool) {
	t.Helper()
	client, err := etcd.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if unreachable {
		_, err = newStore(t, client).Check(t.Context())
	} else {
		err = check(t, client)
	}
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want it to say %q", err, want)
	case errors.Is(err, etcd.ErrUnreachable) != unreachable:
		t.Errorf("%v: unreachable is %t", err, !unreachable)
	case errors.Is(err, etcd.ErrNoRoute) != strings.Contains(want, " from here: "):
		t.Errorf("%v: whether there is a way to it", err)
	}
}

func TestCheckWithTLS(t *testing.T) {
	ca, otherCA := newIdentity(t, "ca", nil), newIdentity(t, "other-ca", nil)
	server, client := newIdentity(t, "server", ca), newIdentity(t, "client", ca)
	stranger := newIdentity(t, "stranger", otherCA)
	args := []string{"--cert-file", server.certFile, "--key-file", server.keyFile}
	open := startInstalled(t, args...)
	closed := startInstalled(t, append(args, "--trusted-ca-file", ca.certFile, "--client-cert-auth")...)
	for _, url := range []string{open, closed} { // both are up
		dialWith(t, etcd.DialOptions{Endpoints: []string{url}, CAFile: ca.certFile, CertFile: client.certFile, KeyFile: client.keyFile})
	}
	for _, test := range []struct {
		name    string
		options etcd.DialOptions
		want    string
	}{
		{"the right CA", etcd.DialOptions{Endpoints: []string{open}, CAFile: ca.certFile}, ""},
		{"the system's CAs", etcd.DialOptions{Endpoints: []string{open}}, "give the file of the CA that signed its certificate"},
		{"another CA", etcd.DialOptions{Endpoints: []string{open}, CAFile: otherCA.certFile}, "signed by unknown authority"},
		{"a name not in the certificate", etcd.DialOptions{Endpoints: []string{strings.Replace(open, "127.0.0.1", "localhost", 1)}, CAFile: ca.certFile},
			"the connection could not be secured"},
		{"http to https", etcd.DialOptions{Endpoints: []string{"http" + open[5:]}}, "use https://"},
		{"no client certificate", etcd.DialOptions{Endpoints: []string{closed}, CAFile: ca.certFile}, "client certificate"},
		{"a client certificate of another CA", etcd.DialOptions{Endpoints: []string{closed}, CAFile: ca.certFile, CertFile: stranger.certFile, KeyFile: stranger.keyFile},
			"client certificate"},
		{"the right client certificate", etcd.DialOptions{Endpoints: []string{closed}, CAFile: ca.certFile, CertFile: client.certFile, KeyFile: client.keyFile}, ""},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			checkSays(t, test.options, test.want, false)
		})
	}
}

func TestDialWithAPasswordNeedsNoEtcdYet(t *testing.T) {
	listen := "http://" + freePort(t)
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{listen}, Username: "u", PasswordFile: writeFile(t, "password", "p")})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	startMember(t, listen)
	if err := check(t, client); err != nil {
		t.Error(err)
	}
}
