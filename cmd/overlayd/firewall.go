package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
)

// firewalled reports whether the flags ask for any rules.
func (s *settings) firewalled() bool { return s.ipMasq || s.forwardRules }

// checkFirewall refuses what the kernel could not do later.
func (d *daemon) checkFirewall() error {
	if !d.firewalled() {
		return nil
	}
	return refuse(exitConfig, d.firewall.Check(), "run it without --ip-masq and --forward-rules, and see to them by other means")
}

// openToWorld makes the firewall as the flags say for the node's subnets, and sees that packets are forwarded.
func (d *daemon) openToWorld(n hooks.Node) error {
	if !d.firewalled() {
		d.removeOldTable()
		return d.forward(n)
	}
	err := d.firewall.Apply(firewall.Rules{
		Paths: pathsOf(n), Masquerade: d.ipMasq, Forward: d.forwardRules, Keep: d.keepAddress, KeepPorts: !d.fullyRandom,
	})
	if err != nil {
		return err
	}
	d.log.Info("firewall is up", "table", d.firewall.String(), "masquerade", d.ipMasq, "forward", d.forwardRules)
	d.warnOfLeftovers()
	d.state.SetMasquerade(d.ipMasq)
	return d.forward(n)
}

// removeOldTable removes what an earlier start with other flags has left, unless the table is another daemon's. A kernel without
// nftables has no such table.
func (d *daemon) removeOldTable() {
	release, err := control.Hold(d.tableClaim())
	if err == nil {
		defer release()
		err = d.firewall.Remove()
	}
	if err != nil {
		d.log.Debug("no firewall table of an earlier start was looked for", "err", err)
	}
}

// countFirewall gives what the firewall counts to those who ask for metrics.
func (d *daemon) countFirewall() (rules []control.RuleCount, repairs int) {
	counts, err := d.firewall.Counts()
	if err != nil {
		d.log.Warn("firewall table was not counted", "err", err)
	}
	for _, c := range counts {
		family := "ipv4"
		if c.V6 {
			family = "ipv6"
		}
		rules = append(rules, control.RuleCount{Chain: c.Chain, Rule: c.Rule, Family: family, Packets: c.Packets, Bytes: c.Bytes})
	}
	return rules, d.firewall.Repairs()
}

// pathsOf are the families in which the node holds a subnet.
func pathsOf(n hooks.Node) (paths []firewall.Path) {
	for p := range n.Lease.Paths() {
		for _, network := range n.Networks {
			if network.Contains(p.Subnet.Addr()) {
				paths = append(paths, firewall.Path{Network: network, Subnet: p.Subnet})
			}
		}
	}
	return paths
}

// warnOfLeftovers says so where flannel's rules are in force beside overlayd's.
func (d *daemon) warnOfLeftovers() {
	left, err := findLeftovers(d.firewall)
	if err != nil {
		d.log.Warn("flannel's firewall rules were not looked for", "err", err)
	}
	if all := left.commands(); len(all) > 0 {
		d.log.Warn("firewall rules of flannel are still in force", "count", len(all), "first", all[0],
			"remove_all_with", "overlayd migrate --finish")
	}
}

// forward sees that the kernel forwards packets in the node's families. Without the right to change that, or the wish, it
// is no more than worth a warning: there may be no containers.
func (d *daemon) forward(n hooks.Node) error {
	var off []string
	for _, p := range pathsOf(n) {
		f := firewall.Forwarding{V6: p.Network.Addr().Is6()}
		on, err := f.On()
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && on:
		case err != nil:
			return err
		case d.sysctl:
			if err := f.Enable(n.Interface); err != nil {
				return err
			}
			d.log.Info("kernel forwards packets from now on", "sysctl", f.String())
		default:
			off = append(off, f.String())
		}
	}
	if off != nil {
		d.log.Warn("kernel does not forward packets, so containers reach no other node",
			"missing", strings.Join(off, " "), "try", "overlayd run --sysctl")
	}
	return nil
}

// closeToWorld takes back what openToWorld and the subnet file promised, at a stop that is to leave nothing.
func (d *daemon) closeToWorld(ctx context.Context) {
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), hooks.ErrConfigChanged) {
		return
	}
	if err := d.promise.withdraw(); err != nil {
		d.log.Warn("subnet file stays", "err", err)
	}
	if !d.firewalled() {
		return
	}
	if err := d.firewall.Remove(); err != nil {
		d.log.Warn("firewall table stays", "table", d.firewall.String(), "err", err)
	}
}
