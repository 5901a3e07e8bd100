package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

func newHookCommand() *cobra.Command {
	return newGroup("hook", "Try the hooks of a network config, and see those that ran",
		newHookPlanCommand(), newHookRunCommand(), newHookCheckCommand(), newHookLogCommand())
}

// An occasion is one call of one hook, as the command line tells of it.
type occasion struct {
	settings
	event  hooks.Hook
	reason hooks.Reason
	peer   lease.Lease
}

// command makes a command for one call of a hook.
func (o *occasion) command(use, short, long string, run func(*cobra.Command) error) *cobra.Command {
	const events = "\n\nEVENT is PreStartup, PostStartup, SubnetAdd, SubnetRemove or Shutdown."
	var peer string
	c := &cobra.Command{
		Use: use + " EVENT", Short: short, Long: long + events, Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeEvents(),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.fill(c); err != nil {
				return err
			}
			if err := o.parse(args[0], peer); err != nil {
				return refuse(exitUsage, err, "see overlayd hook "+use+" --help")
			}
			return run(c)
		},
	}
	o.flags(c.Flags())
	c.Flags().StringVar(&peer, "peer", "", "`SUBNET,PUBLIC_IP[,DATA]` of the peer, for SubnetAdd and SubnetRemove; SUBNET6,PUBLIC_IPV6 may come between")
	return c
}

func (o *occasion) parse(event, peer string) (err error) {
	all := []hooks.Hook{hooks.PreStartup, hooks.PostStartup, hooks.SubnetAdd, hooks.SubnetRemove, hooks.Shutdown}
	i := slices.IndexFunc(all, func(h hooks.Hook) bool { return strings.EqualFold(string(h), event) })
	if i < 0 {
		return fmt.Errorf("event %q: not one of %v", event, all)
	}
	if o.network == nil {
		return errors.New("no network config: give one with --config")
	}
	o.event = all[i]
	o.reason = map[hooks.Hook]hooks.Reason{hooks.SubnetAdd: hooks.Join, hooks.SubnetRemove: hooks.Leave, hooks.Shutdown: hooks.Stop}[o.event]
	if o.reason == "" {
		o.reason = hooks.Start
	}
	if o.event == hooks.SubnetAdd || o.event == hooks.SubnetRemove {
		o.peer, err = parsePeer(peer)
	}
	return err
}

// parsePeer reads SUBNET,PUBLIC_IP pairs and the data after them. Data that is not JSON is text.
func parsePeer(text string) (lease.Lease, error) {
	var l lease.Lease
	if text == "" {
		return l, errors.New("this hook is for a peer: say which by --peer SUBNET,PUBLIC_IP[,DATA]")
	}
	for rest := text; ; {
		first, more, _ := strings.Cut(rest, ",")
		subnet, err := netip.ParsePrefix(first)
		if err != nil {
			if l.String() == "" {
				return l, fmt.Errorf("peer %q: not SUBNET,PUBLIC_IP[,DATA]: %w", text, err)
			}
			return withData(l, rest)
		}
		address, after, found := strings.Cut(more, ",")
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return l, fmt.Errorf("peer %q: public address of %s: %w", text, subnet, err)
		}
		half := map[bool]*lease.Path{true: &l.V4, false: &l.V6} // a node may be reached by the other family than its subnet's
		half[subnet.Addr().Is4()].Subnet = subnet.Masked()
		half[ip.Is4()].PublicIP = ip
		if rest = after; !found {
			return l, nil
		}
	}
}

// perform calls the hook of the backend.
func (o *occasion) perform(ctx context.Context, p *plan) (hooks.Data, error) {
	call := hooks.Call{Reason: o.reason, Node: selfOf(p.network, p.external, p.both)}
	o.peer.BackendType = p.network.Backend.Type
	if o.event == hooks.PreStartup {
		return p.backend.PreStartup(ctx, call)
	}
	if err := o.ownSubnets(p.network, &call.Node.Lease); err != nil {
		return hooks.Data{}, err
	}
	switch o.event {
	case hooks.PostStartup:
		return hooks.Data{}, p.backend.PostStartup(ctx, call)
	case hooks.SubnetAdd:
		return hooks.Data{}, p.backend.SubnetAdd(ctx, call, o.peer)
	case hooks.SubnetRemove:
		return hooks.Data{}, p.backend.SubnetRemove(ctx, call, o.peer)
	}
	return hooks.Data{}, p.backend.Shutdown(ctx, call)
}

// ownSubnets are those of the subnet file, and the network's first where there is none.
func (o *occasion) ownSubnets(n lease.Network, own *lease.Lease) error {
	own.V4.Subnet, own.V6.Subnet = firstSubnet(n.V4), firstSubnet(n.V6)
	file, err := node.ReadSubnetFile(o.subnetFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, s := range file.Subnets {
		if s.Addr().Is4() {
			own.V4.Subnet = s
		} else {
			own.V6.Subnet = s
		}
	}
	return err
}

func firstSubnet(p lease.Pool) netip.Prefix {
	if !p.Network.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(p.Min, p.SubnetLen)
}

// jsonData is the text as a lease carries it.
func jsonData(text string) (json.RawMessage, error) {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(text)
	return bytes.TrimSpace(b.Bytes()), err
}

// withData gives each half of the lease the data.
func withData(l lease.Lease, text string) (_ lease.Lease, err error) {
	data, err := jsonData(text)
	for _, p := range []*lease.Path{&l.V4, &l.V6} {
		if p.Subnet.IsValid() {
			p.Data = data
		}
	}
	return l, err
}
