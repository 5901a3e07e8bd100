package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/overlayd/overlayd/internal/signature"
	"github.com/overlayd/overlayd/lease"
)

// authorize refuses a network config whose commands this machine's administrator does not let run. Whatever can be signed is in
// the config's text.
func (s *settings) authorize(b lease.Backend, config []byte) error {
	if b.Type != "extension" {
		return nil
	}
	switch s.hooks {
	case "off":
		return errors.New("its Backend.Type is extension, which runs shell commands, and --hooks off forbids them here")
	case "local":
		return s.authorizeLocal(b)
	case "signed":
		keys, err := signature.ReadKeys(s.hookKeys)
		if err != nil {
			return err
		}
		if err := signature.Verify(config, keys); err != nil {
			return fmt.Errorf("its shell commands may not run here, as --hooks signed says: %w", err)
		}
	}
	return nil
}

// authorizeLocal refuses a Backend that is not, word for word, that of the config file.
func (s *settings) authorizeLocal(b lease.Backend) error {
	if s.network == nil {
		return errors.New("its shell commands may not run here: --hooks local allows those of a --config file, and none with a network was given")
	}
	own, err := lease.ParseNetwork(s.network)
	if err != nil {
		return err
	}
	if !lease.SameJSON(own.Backend.Raw, b.Raw) {
		return fmt.Errorf("its shell commands may not run here: --hooks local allows those of %s, and the Backend there is another", s.config)
	}
	return nil
}

// warnOfPlainEtcd says what follows from an etcd that is reached beyond this machine without encryption.
func (d *daemon) warnOfPlainEtcd(endpoints ...string) {
	risk := "read and change leases and the network config"
	if d.hooks == "any" {
		risk += ", and thereby run commands here as " + whoami()
	}
	for _, e := range endpoints {
		if isPlainBeyondLoopback(e) {
			d.log.Warn("etcd is reached without encryption: whoever is on the way can "+risk, "endpoint", e,
				"hint", "use https:// and --etcd-cafile; --hooks signed or local limits the harm")
		}
	}
}

func whoami() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return fmt.Sprintf("user %d", os.Geteuid())
}

func isPlainBeyondLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" {
		return false
	}
	if strings.EqualFold(u.Hostname(), "localhost") {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err != nil || !addr.IsLoopback()
}
