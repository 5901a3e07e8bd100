package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/internal/control"
)

// etcdAccess is how the daemon reaches etcd, for other commands.
func (d *daemon) etcdAccess() control.EtcdAccess {
	return control.EtcdAccess{
		Endpoints: d.etcd.Endpoints, Prefix: d.etcdPrefix, CAFile: d.etcd.CAFile, CertFile: d.etcd.CertFile, KeyFile: d.etcd.KeyFile,
		Username: d.etcd.Username, PasswordFile: d.etcd.PasswordFile,
	}
}

// findEtcd completes the flags by which a command reaches etcd. Where neither they nor the environment name a cluster it is the one
// that the daemon of this machine uses, in the daemon's way, but for what the flags say of that; without a daemon, it is where the
// member in one would be.
func (s *settings) findEtcd(ctx context.Context, flags *pflag.FlagSet) error {
	if len(s.etcd.Endpoints) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	access, err := control.FetchEtcd(ctx, control.SocketPath(s.runDir))
	if errors.Is(err, fs.ErrNotExist) {
		s.etcd.Endpoints = []string{defaultListen}
		s.etcdWhy = fmt.Sprintf("since neither --etcd-endpoints nor a daemon with run directory %s names another", s.runDir)
		return nil
	}
	if err != nil {
		return refuse(exitUnreachable, fmt.Errorf("find etcd: %w", err), "or name the cluster with --etcd-endpoints")
	}
	s.take(access, flags)
	s.etcdWhy = "as the daemon of this machine does"
	return nil
}

// take has the daemon's way to etcd where the flags do not say another. A certificate and its key belong together, and so do a name
// and its password.
func (s *settings) take(access control.EtcdAccess, flags *pflag.FlagSet) {
	s.etcd.Endpoints = access.Endpoints
	if !flags.Changed("etcd-prefix") {
		s.etcdPrefix = access.Prefix
	}
	s.etcd.CAFile = cmp.Or(s.etcd.CAFile, access.CAFile)
	if s.etcd.CertFile == "" && s.etcd.KeyFile == "" {
		s.etcd.CertFile, s.etcd.KeyFile = access.CertFile, access.KeyFile
	}
	if s.etcd.Username == "" && s.etcd.PasswordFile == "" {
		s.etcd.Username, s.etcd.PasswordFile = access.Username, access.PasswordFile
	}
}

// naming has the error say which etcd was asked, and why that one.
func (s *settings) naming(err error) error {
	endpoints := strings.Join(s.etcd.Endpoints, ",")
	r, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil, refused && (r.said || r.status == exitUsage):
		return err
	case s.etcdWhy == "" && strings.Contains(err.Error(), endpoints):
		return err
	case s.etcdWhy == "":
		return hint(err, fmt.Sprintf("etcd %s was asked", endpoints))
	}
	return hint(err, fmt.Sprintf("etcd %s was asked, %s", endpoints, s.etcdWhy))
}
