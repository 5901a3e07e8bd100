package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// commandLine is what argv asks for. A program that is called as flanneld is the daemon, with flanneld's command line; and the
// daemon's long flags may have one dash, as flanneld's may.
func commandLine(argv []string) (args []string) {
	args = argv[1:]
	if filepath.Base(argv[0]) == "flanneld" {
		if len(args) == 1 && strings.TrimLeft(args[0], "-") == "version" {
			return []string{"--version"}
		}
		args = append([]string{"run"}, args...)
	}
	if len(args) == 0 || args[0] != "run" && args[0] != "migrate" {
		return args
	}
	var long []string
	for i, arg := range args {
		if arg == "--" {
			return append(long, args[i:]...)
		}
		if name, _, _ := strings.Cut(arg, "="); len(name) > len("-v") && name[0] == '-' && name[1] != '-' {
			arg = "-" + arg
		}
		long = append(long, arg)
	}
	return long
}

// flanneldEqual are the flags of flanneld that the daemon has too.
var flanneldEqual = []string{
	"etcd-cafile", "etcd-certfile", "etcd-endpoints", "etcd-keyfile", "etcd-prefix", "etcd-username",
	"iface", "iface-can-reach", "iface-regex", "ip-masq", "public-ip", "public-ipv6", "subnet-file",
}

// A flanneldFlag is a flag of flanneld that the daemon takes and does not have by that name, see docs/flannel.md.
type flanneldFlag struct {
	name, short string
	boolean     bool
	to          string                       // the flag that says the same
	translate   func(string) (string, error) // the value for that flag; nil for the same
	keep        func(*healthz, string) error // or how to keep the value, a part of that flag's
	refusal     string                       // or why it cannot be taken
	why         string                       // or why it has no effect
	harmless    string                       // the value that asks for nothing, so that neither matters
}

var flanneldFlags = []flanneldFlag{
	{name: "etcd-password", refusal: "a password in a command line or an environment is anybody's to read: put it into a file, and name that with --etcd-password-file"},
	{name: "healthz-ip", to: "listen", keep: (*healthz).setIP},
	{name: "healthz-port", to: "listen", keep: (*healthz).setPort},
	{name: "ip-blackhole-route", boolean: true, harmless: "false", why: "a PostStartupCommand can add the route: ip route add blackhole $SUBNET"},
	{name: "ip-masq-fully-random-disable", boolean: true, to: "ip-masq-fully-random", translate: negated},
	{name: "iptables-forward-rules", boolean: true, to: "forward-rules"},
	{name: "iptables-resync", why: "the firewall is looked at whenever it changes"},
	{name: "kube-annotation-prefix", why: noKubernetes},
	{name: "kube-api-url", why: noKubernetes},
	{name: "kube-subnet-mgr", boolean: true, harmless: "false", refusal: "overlayd keeps leases in etcd alone: name it with --etcd-endpoints"},
	{name: "kubeconfig-file", why: noKubernetes},
	{name: "log_backtrace_at", why: "the log has no such detail"},
	{name: "net-config-path", why: "it is for flannel's Kubernetes mode: a file is named with --config"},
	{name: "set-node-network-unavailable", boolean: true, why: noKubernetes},
	{name: "subnet-lease-renew-margin", why: "a lease is kept alive all the time: see --lease-ttl"},
	{name: "v", short: "v", to: "log-level", translate: level},
	{name: "vmodule", why: "--log-level is for all of the program"},
}

const noKubernetes = "there is no Kubernetes mode"

func negated(value string) (string, error) {
	on, err := strconv.ParseBool(value)
	return strconv.FormatBool(!on), err
}

// level is the log level for flanneld's verbosity.
func level(value string) (string, error) {
	v, err := strconv.Atoi(value)
	if v > 0 {
		return "debug", err
	}
	return "info", err
}

// A healthz is where flanneld would tell how it is.
type healthz struct {
	ip   netip.Addr
	port uint16 // 0 for nowhere
}

func (h *healthz) setIP(text string) (err error) {
	h.ip, err = netip.ParseAddr(text)
	return err
}

func (h *healthz) setPort(text string) error {
	port, err := strconv.ParseUint(text, 10, 16)
	h.port = uint16(port)
	return err
}

// listen is the address for --listen. flanneld listens at all addresses unless told otherwise; what overlayd answers with is more,
// so that it has to be told so.
func (h *healthz) listen() string {
	ip := h.ip
	if !ip.IsValid() {
		ip = netip.MustParseAddr("127.0.0.1")
	}
	return netip.AddrPortFrom(ip, h.port).String()
}

// flanneldFlags adds them, hidden. What was given and cannot be taken, or has no effect, is noted in the settings.
func (s *settings) flanneldFlags(f *pflag.FlagSet) {
	for _, old := range flanneldFlags {
		flag := f.VarPF(&flanneldValue{old, f, s}, old.name, old.short, "flanneld's")
		flag.Hidden = true
		if old.boolean {
			flag.NoOptDefVal = "true"
		}
	}
}

// A flanneldValue is a flanneldFlag among the others.
type flanneldValue struct {
	flanneldFlag
	flags    *pflag.FlagSet
	settings *settings
}

// Set is part of pflag.Value. Refusals wait, since pflag's errors print the value.
func (v *flanneldValue) Set(text string) (err error) {
	if v.boolean {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		text = strconv.FormatBool(on)
	}
	if v.translate != nil {
		if text, err = v.translate(text); err != nil {
			return err
		}
	}
	switch {
	case v.keep != nil:
		return v.keep(&v.settings.healthz, text)
	case v.to != "":
		return v.flags.Set(v.to, text)
	case text != v.harmless:
		v.settings.foreign = append(v.settings.foreign, v.flanneldFlag)
	}
	return nil
}

// String is part of pflag.Value.
func (*flanneldValue) String() string { return "" }

// Type is part of pflag.Value.
func (*flanneldValue) Type() string { return "string" }

// fillFromFlanneld sets each flag that flanneld has as well, and that neither the command line nor OVERLAYD_ variables gave,
// from flanneld's variable for it.
func fillFromFlanneld(flags *pflag.FlagSet) error {
	given := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	set := func(name, target string) error {
		v := variable("FLANNELD_", name)
		value := os.Getenv(v)
		if given[name] || given[target] || value == "" {
			return nil
		}
		if err := flags.Set(name, value); err != nil {
			return refuse(exitUsage, fmt.Errorf("environment variable %s: %w", v, err))
		}
		return nil
	}
	for _, name := range flanneldEqual {
		if err := set(name, name); err != nil {
			return err
		}
	}
	for _, old := range flanneldFlags {
		if err := set(old.name, old.to); err != nil {
			return err
		}
	}
	return nil
}

// settleForeign refuses flags of flanneld that the daemon cannot take, and completes what others left open.
func (s *settings) settleForeign() error {
	if s.listen == "" && s.healthz.port != 0 {
		s.listen = s.healthz.listen()
	}
	for _, f := range s.foreign {
		if f.refusal != "" {
			return refuse(exitUsage, fmt.Errorf("--%s: %s", f.name, f.refusal))
		}
	}
	return nil
}

// sayIneffective says which flags of flanneld do nothing here, and why.
func (d *daemon) sayIneffective() {
	for _, f := range d.foreign {
		d.log.Warn("flag of flanneld has no effect", "flag", "--"+f.name, "since", f.why)
	}
}
