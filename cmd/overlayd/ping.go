package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/ping"
	"github.com/overlayd/overlayd/internal/screen"
)

const pingHelp = `Ping other nodes layer by layer, and say which layer fails and what usually causes that: the underlay (the node's public
address), the tunnel (the first address of its subnet, which the tunnels of vxlan and wireguard have) and the overlay (the next
one, which its container bridge has, once there is one). For each layer that answers, the path's MTU is measured too.

NODE is an address, a subnet or an identity; without any, all peers are pinged, and with --all they are shown as a matrix, a line a
peer and a column a layer. The exit status is 7 if packets do not get
through to some, or only smaller ones than containers are promised.`

const (
	pingTries  = 3           // of each address
	pingWait   = time.Second // for each answer
	pingAtOnce = 32          // peers
)

// A layer is one of the addresses by which a node can be reached, and how it answered. Its JSON keys are stable.
type layer struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Trip    float64    `json:"roundTripSeconds,omitzero"` // the best; 0 when it was silent
	MTU     int        `json:"pathMTU,omitzero"`          // bytes; 0 when it was silent
}

// A pinged peer is what came of it, for one address family.
type pinged struct {
	Peer    netip.Prefix `json:"peer"`
	Layers  []layer      `json:"layers"`
	Good    bool         `json:"good"`
	Verdict string       `json:"verdict,omitzero"` // what is amiss, or worth knowing
}

func newPingCommand() *cobra.Command {
	var runDir, output string
	var all bool
	c := &cobra.Command{
		Use: "ping [NODE ...]", Short: "Ping other nodes layer by layer, and say which one fails", Long: pingHelp,
		ValidArgsFunction: completeNodes(false),
		RunE: func(c *cobra.Command, args []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			if all && len(args) > 0 {
				return refuse(exitUsage, errors.New("nodes and --all exclude each other"))
			}
			status, err := statusView{socket: control.SocketPath(runDir)}.fetch(c.Context())
			if err != nil {
				return err
			}
			said := newProgress(c.ErrOrStderr(), "pinged")
			results, err := pingPeers(c.Context(), status, args, said)
			if said.end(); err != nil {
				return err
			}
			table := pingedTable
			if all {
				table = pingedMatrix
			}
			text := func(w io.Writer) error { return showPinged(w, results, table) }
			failing := func(p pinged) bool { return !p.Good }
			return printJudged(c.OutOrStdout(), output, results, text, !slices.ContainsFunc(results, failing))
		},
	}
	f := c.Flags()
	pathVar(f, &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	f.BoolVar(&all, "all", false, "ping all peers, and show them as a matrix")
	outputVar(c, &output, "text", "json")
	return c
}

// pingPeers pings the peers that are asked for, all if none are.
func pingPeers(ctx context.Context, s control.Status, asked []string, said *progress) ([]pinged, error) {
	results := []pinged{}
	for _, word := range asked {
		if !slices.ContainsFunc(s.Peers, func(p control.Peer) bool { return isMeant(word, p.Names(), p.NodeID) }) {
			return nil, refuse(exitUsage, fmt.Errorf("ping %s: no peer has this address, subnet or identity", printable(word)), "see overlayd status for those that there are")
		}
	}
	for _, p := range s.Peers {
		if len(asked) > 0 && !slices.ContainsFunc(asked, func(word string) bool { return isMeant(word, p.Names(), p.NodeID) }) {
			continue
		}
		for _, path := range p.Paths {
			results = append(results, pinged{Peer: path.Subnet, Layers: layersOf(path, s.Config.Backend)})
		}
	}
	var g errgroup.Group
	g.SetLimit(pingAtOnce)
	for i := range results {
		g.Go(func() error {
			if err := results[i].measure(ctx); err != nil {
				return err
			}
			results[i].judge(s.Node.MTU)
			said.step(len(results))
			return nil
		})
	}
	return results, g.Wait()
}

// layersOf are the addresses of a peer, the lowest layer first. A backend without a tunnel has no address for one.
func layersOf(p control.Path, backend string) (layers []layer) {
	if p.PublicIP.IsValid() {
		layers = append(layers, layer{Name: "underlay", Address: p.PublicIP})
	}
	if backend != "host-gw" {
		layers = append(layers, layer{Name: "tunnel", Address: p.Subnet.Addr()})
	}
	return append(layers, layer{Name: "overlay", Address: p.Subnet.Addr().Next()})
}

// measure pings all layers.
func (p *pinged) measure(ctx context.Context) error {
	var g errgroup.Group
	for i := range p.Layers {
		g.Go(func() error { return p.Layers[i].measure(ctx) })
	}
	return g.Wait()
}

// measure pings the layer's address. That it is silent is no error.
func (l *layer) measure(ctx context.Context) error {
	from := netip.IPv4Unspecified()
	if l.Address.Is6() {
		from = netip.IPv6Unspecified()
	}
	pinger, err := ping.Listen(ctx, from)
	if err != nil {
		return refuse(exitFailed, err, "run it as root, or grant it CAP_NET_RAW")
	}
	defer pinger.Close()
	for range pingTries {
		trip, err := pinger.Ping(ctx, l.Address, ping.Small, pingWait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && (l.Trip == 0 || trip.Seconds() < l.Trip) {
			l.Trip = trip.Seconds()
		}
	}
	if l.Trip > 0 {
		l.MTU, _ = pinger.PathMTU(ctx, l.Address) // 0 if it has fallen silent
	}
	return nil
}

// judge says what the answers mean, where containers are promised the MTU in bytes.
func (p *pinged) judge(promised int) {
	answers, mtu := map[string]bool{}, 0
	for _, l := range p.Layers {
		answers[l.Name] = l.Trip > 0
		if l.Name != "underlay" && l.MTU > 0 {
			mtu = l.MTU // the overlay's, if both answer
		}
	}
	_, tunneled := answers["tunnel"]
	through := answers["tunnel"] || answers["overlay"]
	switch {
	case through && mtu > 0 && promised > mtu:
		p.Verdict = fmt.Sprintf("packets of more than %d bytes are lost, and containers are promised %d: set the key MTU of the network config", mtu, promised)
	case answers["overlay"] && answers["underlay"]:
		p.Good = true
	case through && !answers["underlay"]:
		p.Good, p.Verdict = true, "its public address does not answer pings, which the overlay does not need"
	case through:
		p.Good, p.Verdict = true, fmt.Sprintf("nobody has %s there yet: it is the container bridge's", p.Peer.Addr().Next())
	case answers["underlay"] && !tunneled:
		p.Verdict = fmt.Sprintf("the node answers and its overlay does not: either nobody has %s there yet, which is the container bridge's, ", p.Peer.Addr().Next()) +
			"or something drops packets to and from subnets of the overlay: forwarding on either node, or the network between them, as clouds do that check addresses"
	case answers["underlay"]:
		p.Verdict = "the node answers and its overlay does not: is the backend's port open both ways (UDP 8472 for vxlan, 51820 for wireguard), " +
			"and is this node up in overlayd status there?"
	default:
		p.Verdict = "nothing answers: is the node up, and do firewalls between the nodes let ICMP and the backend's packets pass?"
	}
}

// pingedTable has a line for each layer of each peer.
func pingedTable(w io.Writer, results []pinged) {
	fmt.Fprintln(w, "PEER\tLAYER\tADDRESS\tROUND TRIP\tPATH MTU")
	for _, p := range results {
		peer := p.Peer.String()
		for _, l := range p.Layers {
			trip, mtu := l.cells()
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", peer, l.Name, l.Address, trip, mtu)
			peer = ""
		}
	}
}

// pingedMatrix has a line for each peer, with the MTU of its overlay.
func pingedMatrix(w io.Writer, results []pinged) {
	fmt.Fprintln(w, "PEER\tUNDERLAY\tTUNNEL\tOVERLAY\tPATH MTU")
	for _, p := range results {
		trips, mtu := map[string]string{}, "-"
		for _, l := range p.Layers {
			trip, its := l.cells()
			trips[l.Name] = trip
			if l.Name != "underlay" && its != "-" {
				mtu = its
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Peer, cmp.Or(trips["underlay"], "-"), cmp.Or(trips["tunnel"], "-"), cmp.Or(trips["overlay"], "-"), mtu)
	}
}

// cells are how the layer answered, as tables show it.
func (l layer) cells() (trip, mtu string) {
	if l.Trip == 0 {
		return "-", "-"
	}
	return fmt.Sprintf("%.2f ms", l.Trip*1000), fmt.Sprint(l.MTU)
}

func showPinged(out io.Writer, results []pinged, table func(io.Writer, []pinged)) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table(w, results)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range results {
		if p.Verdict == "" {
			continue
		}
		if _, err := io.WriteString(out, screen.Text(fmt.Sprintf("%s: %s", p.Peer, p.Verdict))+"\n"); err != nil {
			return err
		}
	}
	return nil
}
