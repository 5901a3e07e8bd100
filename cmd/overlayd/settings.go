package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/lease/etcd"
)

// settings are the daemon's own options: what a machine's administrator decides, beside the network that all share.
type settings struct {
	config     string
	etcd       etcd.DialOptions
	etcdPrefix string
	etcdListen string
	etcdWait   time.Duration
	iface      string
	publicIP   netip.Addr
	publicIPv6 netip.Addr
	subnetFile string
	stateDir   string
	runDir     string
	onExit     string
	leaseTTL   time.Duration
	logLevel   string
	logFormat  string

	releaseOnExit bool // give the lease back at a stop

	network []byte // the network config that the config file holds, as JSON; nil without one
}

// The places where a daemon keeps its things unless told otherwise.
const (
	defaultPrefix     = "/coreos.com/network"
	defaultListen     = "http://127.0.0.1:2379"
	defaultSubnetFile = "/run/flannel/subnet.env"
	defaultStateDir   = "/var/lib/overlayd"
	defaultRunDir     = "/run/overlayd"
)

// minLeaseTTL is for tests. Where nodes may be cut off from etcd for a while, minutes are the least that makes sense.
const minLeaseTTL = 5 * time.Second

// etcdFlags adds the flags by which a command reaches etcd.
func (s *settings) etcdFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&s.etcd.Endpoints, "etcd-endpoints", nil, "client `URL`s of the etcd cluster (default: one member in this process)")
	f.StringVar(&s.etcdPrefix, "etcd-prefix", defaultPrefix, "`KEY` below which the network's config and leases are kept")
	f.StringVar(&s.etcd.CAFile, "etcd-cafile", "", "`FILE` with the certificates that etcd's certificate is checked against")
	f.StringVar(&s.etcd.CertFile, "etcd-certfile", "", "`FILE` with the certificate to show to etcd")
	f.StringVar(&s.etcd.KeyFile, "etcd-keyfile", "", "`FILE` with that certificate's key")
	f.StringVar(&s.etcd.Username, "etcd-username", "", "`NAME` to log in to etcd with")
	f.StringVar(&s.etcd.PasswordFile, "etcd-password-file", "", "`FILE` with the password to log in to etcd with")
}

// flags adds all flags of the daemon.
func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.config, "config", "", "`FILE` with the network config (JSON or YAML), or with these flags and it under network:")
	s.etcdFlags(f)
	f.StringVar(&s.etcdListen, "etcd-listen", defaultListen, "client `URL` that the etcd member in this process listens on")
	f.DurationVar(&s.etcdWait, "etcd-wait", 15*time.Second, "`TIME` to wait for etcd at start before giving up")
	f.StringVar(&s.iface, "iface", "", "external interface, by `NAME` or address (default: that of the default route)")
	f.TextVar(&s.publicIP, "public-ip", netip.Addr{}, "IPv4 `ADDRESS` at which other nodes reach this one (default: the interface's)")
	f.TextVar(&s.publicIPv6, "public-ipv6", netip.Addr{}, "IPv6 `ADDRESS` at which other nodes reach this one (default: the interface's)")
	f.StringVar(&s.subnetFile, "subnet-file", defaultSubnetFile, "`FILE` that tells container engines the node's subnet")
	f.StringVar(&s.stateDir, "state-dir", defaultStateDir, "`DIR` for what survives a reboot; hooks run in it")
	f.StringVar(&s.runDir, "run-dir", defaultRunDir, "`DIR` for the control socket and what is void after a reboot")
	f.StringVar(&s.onExit, "on-exit", "auto", "what a stop does to the overlay: auto, keep or teardown")
	f.DurationVar(&s.leaseTTL, "lease-ttl", 24*time.Hour, "`TIME` for which a node that is down or cut off keeps its subnet, 5s or more")
	f.BoolVar(&s.releaseOnExit, "release-on-exit", false, "give the lease back at a stop; then auto means teardown")
	f.StringVar(&s.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn, error")
	f.StringVar(&s.logFormat, "log-format", "text", "`FORMAT` of the log: text or json")
}

// newFlagSet returns the daemon's flags, bound to s, for those who need to know their names.
func newFlagSet(s *settings) *pflag.FlagSet {
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.flags(f)
	return f
}

// fill completes the flags that the command line did not give: from the environment, then from the config file.
func (s *settings) fill(c *cobra.Command) error {
	flags := c.Flags()
	if err := fillFromEnvironment(flags); err != nil {
		return refuse(exitUsage, err)
	}
	if s.config != "" {
		file, err := readConfigFile(s.config, flags)
		if err != nil {
			return refuse(exitConfig, err)
		}
		s.network = file.network
		if err := file.fill(flags); err != nil {
			return refuse(exitConfig, err)
		}
	}
	return refuse(exitUsage, s.check())
}

// check refuses what no single flag's type can refuse, and makes paths absolute.
func (s *settings) check() error {
	if !slices.Contains([]string{"auto", "keep", "teardown"}, s.onExit) {
		return fmt.Errorf("on-exit %q: not one of auto, keep, teardown", s.onExit)
	}
	if s.releaseOnExit && s.onExit == "keep" {
		return errors.New("release-on-exit with on-exit keep: another node could take a subnet that this one still serves")
	}
	if s.leaseTTL < minLeaseTTL {
		return fmt.Errorf("lease-ttl %s: less than %s, which etcd may lengthen by itself", s.leaseTTL, minLeaseTTL)
	}
	if s.publicIP.IsValid() && !s.publicIP.Is4() {
		return fmt.Errorf("public-ip %s: not an IPv4 address", s.publicIP)
	}
	if s.publicIPv6.IsValid() && !s.publicIPv6.Is6() {
		return fmt.Errorf("public-ipv6 %s: not an IPv6 address", s.publicIPv6)
	}
	if s.etcdWait < 0 {
		return fmt.Errorf("etcd-wait %s: less than nothing", s.etcdWait)
	}
	for _, path := range []*string{&s.subnetFile, &s.stateDir, &s.runDir} {
		if *path == "" {
			return fmt.Errorf("subnet-file, state-dir, run-dir: none may be empty")
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	return nil
}

// fillFromEnvironment sets each flag that the command line left alone from OVERLAYD_ and its name in capitals,
// "-" as "_". An empty variable counts as absent.
func fillFromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := "OVERLAYD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := os.Getenv(name)
		if err != nil || f.Changed || value == "" || f.Name == "help" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = fmt.Errorf("%s: %w", name, setErr)
		}
	})
	return err
}
