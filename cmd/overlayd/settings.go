package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// settings are the daemon's own options: what a machine's administrator decides, beside the network that all share.
type settings struct {
	config     string
	etcd       etcd.DialOptions
	etcdPrefix string
	etcdListen string
	etcdWait   time.Duration
	external   externalFlags
	publicIP   netip.Addr
	publicIPv6 netip.Addr
	subnetFile string
	stateDir   string
	runDir     string
	etcdWhy    string // why these endpoints of etcd, where no flag names them
	onExit     string
	leaseTTL   time.Duration
	hooks      string
	hookKeys   string
	listen     string
	probeEvery time.Duration
	logLevel   slog.Level
	logFormat  string

	releaseOnExit bool // give the lease back at a stop

	ipMasq       bool
	fullyRandom  bool // source ports, of what is masqueraded
	keepAddress  []netip.Prefix
	forwardRules bool
	table        string // nftables table
	sysctl       bool
	cniConf      string

	foreign []flanneldFlag // which of flanneld's flags were given that have no counterpart
	healthz healthz        // what flanneld's say of where to answer

	network []byte // the network config that the config file holds, as lease.ReadNetwork returns it; nil without one
}

// The places where a daemon keeps its things unless told otherwise.
const (
	defaultPrefix     = "/coreos.com/network"
	defaultListen     = "http://127.0.0.1:2379"
	defaultSubnetFile = "/run/flannel/subnet.env"
	defaultStateDir   = "/var/lib/overlayd"
	defaultRunDir     = "/run/overlayd"
	defaultTable      = "overlayd"
)

// minLeaseTTL is for tests. Where nodes may be cut off from etcd for a while, minutes are the least that makes sense.
const minLeaseTTL = 5 * time.Second

// etcdFlags adds the flags by which a command reaches etcd, and finds the daemon that knows how.
func (s *settings) etcdFlags(f *pflag.FlagSet) {
	s.daemonsEtcdFlags(f, "what this machine's daemon uses")
	pathVar(f, &s.runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
}

func (s *settings) daemonsEtcdFlags(f *pflag.FlagSet, byDefault string) {
	f.StringSliceVar(&s.etcd.Endpoints, "etcd-endpoints", nil, fmt.Sprintf("client `URL`s of the etcd cluster (default: %s)", byDefault))
	checkedVar(f, &s.etcdPrefix, "etcd-prefix", defaultPrefix, "`KEY` below which the network's config and leases are kept", notEmpty)
	pathVar(f, &s.etcd.CAFile, "etcd-cafile", "", "`FILE` with the certificates that etcd's certificate is checked against")
	pathVar(f, &s.etcd.CertFile, "etcd-certfile", "", "`FILE` with the certificate to show to etcd")
	pathVar(f, &s.etcd.KeyFile, "etcd-keyfile", "", "`FILE` with that certificate's key")
	f.StringVar(&s.etcd.Username, "etcd-username", "", "`NAME` to log in to etcd with")
	pathVar(f, &s.etcd.PasswordFile, "etcd-password-file", "", "`FILE` with the password to log in to etcd with")
}

// flags adds all flags of the daemon.
func (s *settings) flags(f *pflag.FlagSet) {
	pathVar(f, &s.config, "config", "", "`FILE` with the network config (JSON or YAML), or with these flags and it under network:")
	s.daemonsEtcdFlags(f, "the one member in this machine's daemon")
	checkedVar(f, &s.etcdListen, "etcd-listen", defaultListen, "client `URL` that the etcd member in this process listens on", listenURL)
	checkedVar(f, &s.etcdWait, "etcd-wait", 15*time.Second, "`TIME` to wait at start for a route to etcd, or an address for its name; one that only does not answer is waited for without end", notNegative)
	s.external.add(f)
	addressVar(f, &s.publicIP, "public-ip", "IPv4 `ADDRESS` at which other nodes reach this one (default: the interface's)", netip.Addr.Is4)
	addressVar(f, &s.publicIPv6, "public-ipv6", "IPv6 `ADDRESS` at which other nodes reach this one (default: the interface's)", netip.Addr.Is6)
	pathVar(f, &s.subnetFile, "subnet-file", defaultSubnetFile, "`FILE` that tells container engines the node's subnet")
	pathVar(f, &s.cniConf, "cni-conf", "", "`FILE` to write a CNI network config to once the node is up, such as /etc/cni/net.d/10-overlayd.conflist")
	pathVar(f, &s.stateDir, "state-dir", defaultStateDir, "`DIR` for what survives a reboot; hooks run in it")
	pathVar(f, &s.runDir, "run-dir", defaultRunDir, "`DIR` for the control socket and what is void after a reboot")
	choiceVar(f, &s.onExit, "on-exit", "`WHAT` a stop does to the overlay: auto, keep or teardown", "auto", "keep", "teardown")
	checkedVar(f, &s.leaseTTL, "lease-ttl", 24*time.Hour, "`TIME` for which a node that is down or cut off keeps its subnet, 5s or more", leaseTTL)
	f.BoolVar(&s.releaseOnExit, "release-on-exit", false, "give the lease back at a stop; then auto means teardown")
	choiceVar(f, &s.hooks, "hooks", "`WHOSE` shell commands may run: any that the network config has, those of the --config file (local), those of a config "+
		"signed by a key in --hook-keys (signed), or none (off)", "any", "local", "signed", "off")
	pathVar(f, &s.hookKeys, "hook-keys", "", "`FILE` with the public keys that --hooks signed trusts")
	checkedVar(f, &s.listen, "listen", "", "`ADDRESS:PORT` to answer at over HTTP, to everybody who reaches it: metrics, health, status", hostPort)
	checkedVar(f, &s.probeEvery, "probe-interval", 15*time.Second, "`TIME` after which peers are asked again whether they answer, by an ICMP echo; 0 for never", notNegative)
	f.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "least `LEVEL` that is logged: debug, info, warn, error")
	choiceVar(f, &s.logFormat, "log-format", "`FORMAT` of the log: text or json", "text", "json")
	s.firewallFlags(f)
	s.flanneldFlags(f)
}

// firewallFlags adds the flags about what the node lets through, and with which address.
func (s *settings) firewallFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.ipMasq, "ip-masq", false, "masquerade what containers send out of the overlay")
	f.BoolVar(&s.fullyRandom, "ip-masq-fully-random", true, "masquerade with random source ports, so that connections do not compete for one")
	listVar(f, &s.keepAddress, "non-masquerade-cidr", "`NETWORKS` that see containers' own addresses all the same", prefix)
	f.BoolVar(&s.forwardRules, "forward-rules", false, "accept what is forwarded from and to the overlay")
	tableVar(f, &s.table)
	f.BoolVar(&s.sysctl, "sysctl", false, "have the kernel forward packets (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)")
}

// tableVar adds the flag for the nftables table.
func tableVar(f *pflag.FlagSet, target *string) {
	checkedVar(f, target, "firewall-table", defaultTable, "`NAME` of this daemon's nftables table, of family inet", tableName)
}

// fill completes the flags that the command line did not give: from the environment, then from the config file.
func (s *settings) fill(c *cobra.Command) error {
	if err := fillFromEnvironment(c.Flags()); err != nil {
		return err
	}
	if err := fillFromFlanneld(c.Flags()); err != nil {
		return err
	}
	if s.config != "" {
		file, err := readConfigFile(s.config, c.Flags())
		if err == nil {
			s.network = file.network
			err = file.fill(c.Flags())
		}
		if err != nil {
			return refuse(exitConfig, err)
		}
	}
	return s.checkMeaning()
}

// checkMeaning refuses flags that are at odds with each other.
func (s *settings) checkMeaning() error {
	switch {
	case (s.hooks == "signed") != (s.hookKeys != ""):
		return refuse(exitUsage, errors.New("hooks signed and hook-keys go together"), "give the public keys in --hook-keys FILE, as overlayd config keygen makes them")
	case s.releaseOnExit && s.onExit == "keep":
		return refuse(exitUsage, errors.New("release-on-exit with on-exit keep: another node could take a subnet that this one still serves"))
	case len(s.keepAddress) > 0 && !s.ipMasq:
		return refuse(exitUsage, errors.New("non-masquerade-cidr means nothing where nothing is masqueraded"), "add --ip-masq")
	}
	return s.settleForeign()
}

// fillFromEnvironment sets each flag that the command line left alone from OVERLAYD_ and its name in capitals,
// "-" as "_". An empty variable counts as absent.
func fillFromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable("OVERLAYD_", f.Name)
		value := os.Getenv(name)
		if err != nil || f.Changed || value == "" || f.Name == "help" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil {
			err = refuse(exitUsage, fmt.Errorf("environment variable %s: %w", name, setErr))
		}
	})
	return err
}

// variable is the name of the environment variable for a flag.
func variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// A checked flag takes what its function makes of a text, which may refuse it.
type checked[T any] struct {
	target *T
	read   func(string) (T, error)
	words  []string // all that it takes; nil where they cannot be listed
}

func (c checked[T]) choices() []string { return c.words }

// Set is part of pflag.Value.
func (c checked[T]) Set(text string) error {
	value, err := c.read(text)
	if err == nil {
		*c.target = value
	}
	return err
}

// String is part of pflag.Value. The zero value of anything prints as nothing, which pflag takes for no default.
func (c checked[T]) String() string {
	text := fmt.Sprint(*c.target)
	if text == fmt.Sprint(*new(T)) {
		return ""
	}
	return text
}

// Type is part of pflag.Value.
func (checked[T]) Type() string { return "string" }

func checkedVar[T any](f *pflag.FlagSet, target *T, name string, byDefault T, usage string, read func(string) (T, error)) {
	*target = byDefault
	f.Var(checked[T]{target, read, nil}, name, usage)
}

// pathVar adds a flag for a path, which becomes absolute. It may be empty if it is by default.
func pathVar(f *pflag.FlagSet, target *string, name, byDefault, usage string) {
	checkedVar(f, target, name, byDefault, usage, func(text string) (string, error) {
		switch {
		case text != "":
			return filepath.Abs(text)
		case byDefault != "":
			return "", errors.New("a path is needed")
		}
		return "", nil
	})
}

// choiceVar adds a flag for one of some words. The first is the default.
func choiceVar(f *pflag.FlagSet, target *string, name, usage string, words ...string) {
	*target = words[0]
	f.Var(oneOf(target, words...), name, usage)
}

// oneOf is a flag that takes the words alone.
func oneOf(target *string, words ...string) checked[string] {
	return checked[string]{target, func(text string) (string, error) {
		if !slices.Contains(words, text) {
			return "", fmt.Errorf("not one of %s", strings.Join(words, ", "))
		}
		return text, nil
	}, words}
}

// outputVar adds the flag for the format of what a command prints. The first is the default.
func outputVar(c *cobra.Command, target *string, formats ...string) {
	*target = formats[0]
	last := len(formats) - 1
	usage := fmt.Sprintf("`FORMAT`: %s or %s", strings.Join(formats[:last], ", "), formats[last])
	c.Flags().VarP(oneOf(target, formats...), "output", "o", usage)
}

// addressVar adds a flag for an address of one family.
func addressVar(f *pflag.FlagSet, target *netip.Addr, name, usage string, family func(netip.Addr) bool) {
	checkedVar(f, target, name, netip.Addr{}, usage, func(text string) (netip.Addr, error) {
		addr, err := netip.ParseAddr(text)
		if err == nil && !family(addr) {
			err = errors.New("of the other address family")
		}
		return addr, err
	})
}

// A checkedList is a flag that holds what its function makes of texts, which are given one by one or with commas between.
type checkedList[T any] struct {
	target *[]T
	read   func(string) (T, error)
}

// Set is part of pflag.Value. It adds to what was set before.
func (c checkedList[T]) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		value, err := c.read(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*c.target = append(*c.target, value)
	}
	return nil
}

// String is part of pflag.Value. No list has a default.
func (checkedList[T]) String() string { return "" }

// Type is part of pflag.Value.
func (checkedList[T]) Type() string { return "stringSlice" }

func listVar[T any](f *pflag.FlagSet, target *[]T, name, usage string, read func(string) (T, error)) {
	f.Var(checkedList[T]{target, read}, name, usage)
}

// prefix reads a network, whose host bits do not matter.
func prefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%.60q is no network such as 192.0.2.0/24", text)
	}
	return p.Masked(), nil
}

// tableName refuses what nft would not take as a name without quotes.
func tableName(text string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,30}$`).MatchString(text) {
		return "", errors.New("not a name of up to 31 letters, digits, - and _")
	}
	return text, nil
}

// notNegative reads how long to wait.
func notNegative(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("less than no time")
	}
	return d, err
}

// leaseTTL reads how long a lease lasts.
func leaseTTL(text string) (time.Duration, error) {
	ttl, err := time.ParseDuration(text)
	if err == nil && ttl < minLeaseTTL {
		err = fmt.Errorf("less than %s, which etcd may lengthen by itself", minLeaseTTL)
	}
	return ttl, err
}

// hostPort passes on an address with a port.
func hostPort(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	_, err := netip.ParseAddrPort(text)
	if err != nil {
		err = errors.New("not an address and a port such as 127.0.0.1:9450")
	}
	return text, err
}

// listenURL passes on what an etcd member can listen on.
func listenURL(text string) (string, error) {
	_, err := embedded.ParseListen(text)
	return text, err
}
