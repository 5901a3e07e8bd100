package etcd_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/leasetest"
)

const prefix = "/coreos.com/network"

// enableAuth gives an etcd the users root and node, node with a role of the grants, and returns clients of both.
func enableAuth(t *testing.T, endpoint string, grants ...etcd.Grant) (root, node *clientv3.Client) {
	t.Helper()
	anybody := dial(t, endpoint)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"root", "node"} {
		must(anybody.UserAdd(t.Context(), user, user+" word"))
		must(anybody.RoleAdd(t.Context(), user))
		must(anybody.UserGrantRole(t.Context(), user, user))
	}
	give(t, anybody, grants...)
	must(anybody.AuthEnable(t.Context()))
	return logIn(t, endpoint, "root"), logIn(t, endpoint, "node")
}

// logIn returns a client that has logged in.
func logIn(t *testing.T, endpoint, user string) *clientv3.Client {
	t.Helper()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{endpoint}, Username: user, PasswordFile: writeFile(t, user, user+" word\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := check(t, client); errors.Is(err, etcd.ErrUnreachable) {
		t.Fatal(err)
	}
	return client
}

// give adds grants to the node's role.
func give(t *testing.T, root *clientv3.Client, grants ...etcd.Grant) {
	t.Helper()
	for _, g := range grants {
		kind := clientv3.PermRead
		if g.Write {
			kind = clientv3.PermReadWrite
		}
		if _, err := root.RoleGrantPermission(t.Context(), "node", g.Key, g.End(), clientv3.PermissionType(kind)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheNodesRoleIsEnoughForAStoreOnTheEmbeddedMember(t *testing.T) {
	testNodesRole(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0])
}

func TestTheNodesRoleIsEnoughForAStoreOnAnInstalledEtcd(t *testing.T) {
	testNodesRole(t, startInstalled(t))
}

// testNodesRole grants while the node is logged in, so that each store also outlives an old token.
func testNodesRole(t *testing.T, endpoint string) {
	root, node := enableAuth(t, endpoint)
	grant := func(prefix string) { give(t, root, etcd.NodeGrants(prefix)...) }
	leasetest.TestStore(t, harnesses(root, node, grant))
}

func TestTheNodesRoleAllowsNothingElse(t *testing.T) {
	_, node := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], etcd.NodeGrants(prefix)...)
	if err := check(t, node); err != nil {
		t.Fatal(err)
	}
	if err := newStore(t, node).PublishConfig(t.Context(), []byte("{}")); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("write the config: got %v, want it denied", err)
	}
	for name, op := range map[string]clientv3.Op{
		"read a neighbour's lease":    clientv3.OpGet(prefix + "/subnets-old/10.5.1.0-24"),
		"write a neighbour's lease":   clientv3.OpPut(prefix+"/subnets-old/10.5.1.0-24", "{}"),
		"delete the config":           clientv3.OpDelete(prefix + "/config"),
		"read a neighbour's config":   clientv3.OpGet(prefix + "/config-old"),
		"list all of the prefix":      clientv3.OpGet(prefix+"/", clientv3.WithPrefix()),
		"read what is not overlayd's": clientv3.OpGet("/registry/secrets"),
	} {
		if _, err := node.Do(t.Context(), op); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("%s: got %v, want it denied", name, err)
		}
	}
}

func TestEachOfTheNodesGrantsIsNeeded(t *testing.T) {
	all := etcd.NodeGrants(prefix)
	readOnly := all[1]
	readOnly.Write = false
	for name, grants := range map[string][]etcd.Grant{
		"the config": all[1:], "the leases": all[:1], "writing leases": {all[0], readOnly},
	} {
		t.Run(name, func(t *testing.T) {
			_, node := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], grants...)
			err := useStore(t, node)
			if want := "see overlayd etcd role"; !errors.Is(err, rpctypes.ErrPermissionDenied) || !strings.Contains(err.Error(), want) {
				t.Errorf("without it: got %v, want it denied, and %q", err, want)
			}
		})
	}
}

func TestCheckWriteFindsAMissingRightAndWritesNothing(t *testing.T) {
	all := etcd.NodeGrants(prefix)
	readOnly := all[1]
	readOnly.Write = false
	for name, tt := range map[string]struct {
		grants []etcd.Grant
		denied bool
	}{"with it": {all, false}, "without it": {[]etcd.Grant{all[0], readOnly}, true}} {
		t.Run(name, func(t *testing.T) {
			_, client := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], tt.grants...)
			store := newStore(t, client)
			if err := store.CheckWrite(t.Context()); errors.Is(err, rpctypes.ErrPermissionDenied) != tt.denied || (err != nil) != tt.denied {
				t.Errorf("got %v, want it denied: %v", err, tt.denied)
			}
			if seen, err := store.Load(t.Context()); err != nil || seen.Records.Len()+seen.Unreadable.Len() > 0 {
				t.Errorf("it wrote: %v, %v", seen, err)
			}
		})
	}
}

// useStore does with a store what a daemon does first.
func useStore(t *testing.T, client *clientv3.Client) error {
	t.Helper()
	if err := check(t, client); err != nil {
		return err
	}
	store := newStore(t, client)
	seen, err := store.Load(t.Context())
	if err != nil {
		return err
	}
	l, err := lease.DecodeValue("10.5.1.0-24", []byte("{}"))
	if err == nil {
		_, err = store.Create(t.Context(), seen, time.Hour, l)
	}
	return err
}

func TestTheOperatorsRoleMayWriteTheConfig(t *testing.T) {
	_, operator := enableAuth(t, startMember(t, "http://127.0.0.1:0").Endpoints()[0], etcd.OperatorGrants(prefix)...)
	if err := newStore(t, operator).PublishConfig(t.Context(), []byte("{}")); err != nil {
		t.Error(err)
	}
}

func TestCheckWithPasswords(t *testing.T) {
	endpoints := startMember(t, "http://127.0.0.1:0").Endpoints()
	enableAuth(t, endpoints[0], etcd.NodeGrants(prefix)...)
	right := etcd.DialOptions{Endpoints: endpoints, Username: "node", PasswordFile: writeFile(t, "right", "node word\r\n")}
	checkSays(t, right, "", false)
	wrong := right
	wrong.PasswordFile = writeFile(t, "wrong", "word")
	checkSays(t, wrong, "user name or password is wrong", false)
	checkSays(t, etcd.DialOptions{Endpoints: endpoints}, "it wants a user name and a password", false)
}

func TestAChangedPasswordIsReadFromItsFile(t *testing.T) {
	for _, order := range []string{"file first", "etcd first"} {
		t.Run(order, func(t *testing.T) {
			endpoints := startMember(t, "http://127.0.0.1:0").Endpoints()
			root, _ := enableAuth(t, endpoints[0], etcd.NodeGrants(prefix)...)
			file := writeFile(t, "password", "node word")
			client := dialWith(t, etcd.DialOptions{Endpoints: endpoints, Username: "node", PasswordFile: file})
			changeFile := func() error { return os.WriteFile(file, []byte("another word\n"), 0o600) }
			changeEtcd := func() error { _, err := root.UserChangePassword(t.Context(), "node", "another word"); return err }
			steps := []func() error{changeFile, changeEtcd}
			if order == "etcd first" {
				steps = []func() error{changeEtcd, func() error {
					if _, err := newStore(t, client).Load(t.Context()); !errors.Is(err, rpctypes.ErrAuthFailed) {
						t.Errorf("between the changes: got %v, want the login to fail", err)
					}
					return nil
				}, changeFile}
			}
			for _, step := range steps {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			if err := useStore(t, client); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestACertificatesNameIsAUser(t *testing.T) {
	ca := newIdentity(t, "ca", nil)
	server, client := newIdentity(t, "server", ca), newIdentity(t, "node", ca)
	url := startInstalled(t, "--cert-file", server.certFile, "--key-file", server.keyFile, "--trusted-ca-file", ca.certFile, "--client-cert-auth")
	o := etcd.DialOptions{Endpoints: []string{url}, CAFile: ca.certFile, CertFile: client.certFile, KeyFile: client.keyFile}
	anybody := dialWith(t, o)
	for _, step := range []func() error{
		func() error { _, err := anybody.UserAdd(t.Context(), "root", "root word"); return err },
		func() error { _, err := anybody.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error {
			_, err := anybody.UserAddWithOptions(t.Context(), "node", "", &clientv3.UserAddOptions{NoPassword: true})
			return err
		},
		func() error { _, err := anybody.RoleAdd(t.Context(), "node"); return err },
		func() error { _, err := anybody.UserGrantRole(t.Context(), "node", "node"); return err },
		func() error { give(t, anybody, etcd.NodeGrants(prefix)...); return nil },
		func() error { _, err := anybody.AuthEnable(t.Context()); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	node := dialWith(t, o)
	if err := useStore(t, node); err != nil {
		t.Error(err)
	}
	if err := newStore(t, node).PublishConfig(t.Context(), []byte("{}")); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("write the config: got %v, want it denied", err)
	}
}
