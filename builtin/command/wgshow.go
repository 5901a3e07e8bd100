package command

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A tunnel is a WireGuard device with its peers.
type tunnel struct {
	kernel.Device
	peers []kernel.Peer
}

// listTunnels returns the device of the name, or all.
func listTunnels(ctx context.Context, c *call, name string) ([]tunnel, error) {
	devices, err := list(ctx, c, kernel.Device{Name: name})
	if err != nil {
		return nil, err
	}
	if name != "" && len(devices) == 0 {
		return nil, &failure{text: "Unable to access interface: No such device", status: 1}
	}
	tunnels := make([]tunnel, len(devices))
	for i, d := range devices {
		peers, err := list(ctx, c, kernel.Peer{Dev: d.Name})
		if err != nil {
			return nil, err
		}
		tunnels[i] = tunnel{d, peers}
	}
	return tunnels, nil
}

func parseWGShow(l *line) action {
	if slices.Contains([]string{"help", "-h", "--help"}, l.peek()) {
		l.unknown()
	}
	if l.take("interfaces") {
		return printed(func(ctx context.Context, c *call, w io.Writer) error {
			devices, err := list(ctx, c, kernel.Device{})
			names := make([]string, len(devices))
			for i, d := range devices {
				names[i] = d.Name
			}
			if len(names) > 0 {
				fmt.Fprintln(w, strings.Join(names, " "))
			}
			return err
		})
	}
	all := !l.more() || l.take("all")
	var name string
	if !all {
		name = l.name()
	}
	if !l.more() {
		return printed(func(ctx context.Context, c *call, w io.Writer) error {
			tunnels, err := listTunnels(ctx, c, name)
			for i, t := range tunnels {
				if i > 0 {
					fmt.Fprintln(w)
				}
				t.print(w)
			}
			return err
		})
	}
	return parseWGField(l, name)
}

// parseWGField reads which part of devices is to be printed, in the form for scripts. Without a name it is that of all, of
// which only the parts that print one line for each device are known here.
func parseWGField(l *line, name string) action {
	word := l.peek()
	field := deviceField(word)
	if field == nil && (name != "" || word == "dump") {
		field = peerField(word)
	}
	if field == nil {
		l.unknown()
		return action{}
	}
	l.next()
	prefix := ""
	if name == "" {
		prefix = "%s\t"
	}
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		tunnels, err := listTunnels(ctx, c, name)
		for _, t := range tunnels {
			for _, text := range field(t) {
				if prefix != "" {
					fmt.Fprintf(w, prefix, t.Name)
				}
				fmt.Fprintln(w, text)
			}
		}
		return err
	})
}

// deviceField returns what prints a part of a device, nil for parts that are not known.
func deviceField(word string) func(tunnel) []string {
	switch word {
	case "public-key":
		return func(t tunnel) []string { return []string{key(t.PublicKey)} }
	case "private-key":
		return func(t tunnel) []string { return []string{secret(t.PrivateKey)} }
	case "listen-port":
		return func(t tunnel) []string { return []string{strconv.Itoa(value(t.ListenPort))} }
	case "fwmark":
		return func(t tunnel) []string { return []string{mark(value(t.Mark))} }
	}
	return nil
}

// peerField returns what prints a part of each peer, nil for parts that are not known.
func peerField(word string) func(tunnel) []string {
	var of func(kernel.Peer) string
	switch word {
	case "dump":
		return tunnel.dump
	case "peers":
		return each(func(p kernel.Peer) string { return key(p.PublicKey) })
	case "preshared-keys":
		of = func(p kernel.Peer) string { return secret(p.Preshared) }
	case "endpoints":
		of = func(p kernel.Peer) string { return endpoint(p.Endpoint) }
	case "allowed-ips":
		of = func(p kernel.Peer) string { return prefixes(p.AllowedIPs, " ") }
	case "latest-handshakes":
		of = func(p kernel.Peer) string { return unix(p.Handshake) }
	case "transfer":
		of = func(p kernel.Peer) string { return fmt.Sprintf("%d\t%d", p.Received, p.Sent) }
	case "persistent-keepalive":
		of = func(p kernel.Peer) string { return seconds(value(p.Keepalive)) }
	default:
		return nil
	}
	return each(func(p kernel.Peer) string { return key(p.PublicKey) + "\t" + of(p) })
}

func each(text func(kernel.Peer) string) func(tunnel) []string {
	return func(t tunnel) (lines []string) {
		for _, p := range t.peers {
			lines = append(lines, text(p))
		}
		return lines
	}
}

func (t tunnel) dump() []string {
	device := []string{secret(t.PrivateKey), key(t.PublicKey), strconv.Itoa(value(t.ListenPort)), mark(value(t.Mark))}
	lines := each(func(p kernel.Peer) string {
		return strings.Join([]string{
			key(p.PublicKey), secret(p.Preshared), endpoint(p.Endpoint), prefixes(p.AllowedIPs, ","), unix(p.Handshake),
			strconv.FormatInt(p.Received, 10), strconv.FormatInt(p.Sent, 10), seconds(value(p.Keepalive)),
		}, "\t")
	})(t)
	return append([]string{strings.Join(device, "\t")}, lines...)
}

// print prints a device for people, the peers that were heard last first.
func (t tunnel) print(w io.Writer) {
	fmt.Fprintf(w, "interface: %s\n", t.Name)
	if t.PublicKey != (kernel.PublicKey{}) && t.PrivateKey != nil {
		fmt.Fprintf(w, "  public key: %s\n  private key: (hidden)\n", t.PublicKey)
	}
	if port := value(t.ListenPort); port != 0 {
		fmt.Fprintf(w, "  listening port: %d\n", port)
	}
	if m := value(t.Mark); m != 0 {
		fmt.Fprintf(w, "  fwmark: %s\n", mark(m))
	}
	peers := slices.Clone(t.peers)
	slices.SortStableFunc(peers, func(a, b kernel.Peer) int { return b.Handshake.Compare(a.Handshake) })
	for _, p := range peers {
		printPeer(w, p)
	}
}

func printPeer(w io.Writer, p kernel.Peer) {
	fmt.Fprintf(w, "\npeer: %s\n", p.PublicKey)
	if p.Preshared != nil && *p.Preshared != (kernel.Secret{}) {
		fmt.Fprintln(w, "  preshared key: (hidden)")
	}
	if p.Endpoint.IsValid() {
		fmt.Fprintf(w, "  endpoint: %s\n", p.Endpoint)
	}
	fmt.Fprintf(w, "  allowed ips: %s\n", prefixes(p.AllowedIPs, ", "))
	if !p.Handshake.IsZero() {
		fmt.Fprintf(w, "  latest handshake: %s\n", ago(time.Since(p.Handshake)))
	}
	if p.Received+p.Sent != 0 {
		fmt.Fprintf(w, "  transfer: %s received, %s sent\n", sizeText(p.Received), sizeText(p.Sent))
	}
	if every := value(p.Keepalive); every != 0 {
		fmt.Fprintf(w, "  persistent keepalive: every %s\n", durationText(every))
	}
}

func parseWGShowconf(l *line) action {
	if !l.more() {
		l.unknown()
	}
	name := l.name()
	return printed(func(ctx context.Context, c *call, w io.Writer) error {
		tunnels, err := listTunnels(ctx, c, name)
		for _, t := range tunnels {
			t.config(w)
		}
		return err
	})
}

// config prints a device as its configuration file.
func (t tunnel) config(w io.Writer) {
	fmt.Fprintln(w, "[Interface]")
	entry := func(name, value string) {
		if value != "" && value != "(none)" && value != "off" && value != "0" {
			fmt.Fprintf(w, "%s = %s\n", name, value)
		}
	}
	entry("ListenPort", strconv.Itoa(value(t.ListenPort)))
	entry("FwMark", mark(value(t.Mark)))
	entry("PrivateKey", secret(t.PrivateKey))
	if len(t.peers) == 0 {
		fmt.Fprintln(w)
	}
	for _, p := range t.peers {
		fmt.Fprintln(w, "\n[Peer]")
		entry("PublicKey", p.PublicKey.String())
		entry("PresharedKey", secret(p.Preshared))
		entry("AllowedIPs", prefixes(p.AllowedIPs, ", "))
		entry("Endpoint", endpoint(p.Endpoint))
		entry("PersistentKeepalive", seconds(value(p.Keepalive)))
	}
}

// value is what p points to, zero for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func key(k [32]byte) string {
	if k == ([32]byte{}) {
		return "(none)"
	}
	return base64.StdEncoding.EncodeToString(k[:])
}

func secret(s *kernel.Secret) string { return key(value(s)) }

func mark(n int) string {
	if n == 0 {
		return "off"
	}
	return fmt.Sprintf("0x%x", n)
}

func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return "(none)"
	}
	return a.String()
}

func prefixes(list []netip.Prefix, separator string) string {
	if len(list) == 0 {
		return "(none)"
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, separator)
}

func unix(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "off"
	}
	return strconv.Itoa(int(d.Seconds()))
}
