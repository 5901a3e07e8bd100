package main

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// externalFlags say how the external interface is to be found.
type externalFlags struct {
	interfaces []string
	patterns   []*regexp.Regexp
	canReach   netip.Addr
}

func (e *externalFlags) add(f *pflag.FlagSet) {
	listVar(f, &e.interfaces, "iface", "external interface, by `NAME` or address; of several the first that there is (default: that of the default route)", notEmpty)
	f.Var(patterns{&e.patterns}, "iface-regex", "`REGEXP` that an address or else the name of the external interface matches, and no other's; may be given again, and comes after --iface")
	addressVar(f, &e.canReach, "iface-can-reach", "`ADDRESS` to which packets leave by the external interface; comes after --iface-regex", netip.Addr.IsValid)
}

// given reports whether any of them was.
func (e *externalFlags) given() bool {
	return len(e.interfaces) > 0 || len(e.patterns) > 0 || e.canReach.IsValid()
}

// notEmpty passes on what says something. Where nothing does, a script has most likely not set a variable.
func notEmpty(text string) (string, error) {
	if text == "" {
		return "", errors.New("it must not be empty")
	}
	return text, nil
}

// patterns is a flag of regular expressions, which may hold commas.
type patterns struct{ target *[]*regexp.Regexp }

// Set is part of pflag.Value. It adds to what was set before.
func (p patterns) Set(text string) error {
	pattern, err := regexp.Compile(text)
	switch {
	case err != nil:
		return err
	case text == "":
		return errors.New("it would match everything")
	}
	*p.target = append(*p.target, pattern)
	return nil
}

// String is part of pflag.Value.
func (patterns) String() string { return "" }

// Type is part of pflag.Value.
func (patterns) Type() string { return "stringSlice" }

// reachPatience bounds the question to the kernel.
const reachPatience = 5 * time.Second

// request is what the machine's administrator and the network want of the external interface, as things are now.
func (d *daemon) request(n lease.Network) node.Request {
	r := node.Request{
		Interfaces: d.external.interfaces, Patterns: d.external.patterns,
		PublicIP: d.publicIP, PublicIPv6: d.publicIPv6,
		V4: n.V4.Network.IsValid(), V6: n.V6.Network.IsValid(), Overlay: networks(n),
	}
	if to := d.external.canReach; to.IsValid() {
		ctx, cancel := context.WithTimeout(context.Background(), reachPatience)
		defer cancel()
		r.Reach = &node.Reach{To: to}
		r.Reach.Interface, r.Reach.From, r.Reach.Err = builtin.RouteTo(ctx, to)
	}
	return r
}

// sayExternal says in log and status which external interface was chosen and why, when that is news.
func (d *daemon) sayExternal(e node.External) {
	if d.state.SetExternal(e.Name, e.Why) {
		d.log.Info("external interface chosen", "interface", e.Name, "by", e.Why, "addresses", addresses(e), "mtu", e.MTU)
	}
}

// addresses are the interface's own, one a family.
func addresses(e node.External) string {
	var texts []string
	for _, a := range []netip.Addr{e.V4, e.V6} {
		if a.IsValid() {
			texts = append(texts, a.String())
		}
	}
	return strings.Join(texts, ",")
}
