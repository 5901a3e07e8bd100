package command

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A setting is a "wg set" that is being read. What it names, files and hosts, is looked up when it runs.
type setting struct {
	device  kernel.Device
	changed bool // the device itself
	peers   []*peerSetting
	needs   []need
	warning string
}

// A need is a part of a setting that is found out when it runs.
type need func(context.Context, *call) error

type peerSetting struct {
	kernel.Peer
	remove bool
}

func parseWGSet(l *line) action {
	if len(l.words) < 2 { // the usage is the real tool's to tell
		l.unknown()
		return action{}
	}
	s := &setting{device: kernel.Device{Name: l.name()}}
	for l.more() {
		switch {
		case l.take("peer"):
			key := s.key(l, wgValue(l, "peer"))
			s.peers = append(s.peers, &peerSetting{Peer: kernel.Peer{Dev: s.device.Name, PublicKey: key}})
		case len(s.peers) == 0:
			s.deviceWord(l)
		default:
			s.peerWord(l, s.peers[len(s.peers)-1])
		}
	}
	if f, ok := l.err.(*failure); ok { // wg warns while it reads
		f.text = s.warning + f.text
	}
	if len(s.needs) > 0 {
		return action{run: s.run, warning: s.warning}
	}
	return action{ops: s.ops(), warning: s.warning}
}

// wgValue takes the value of an argument; without one wg complains of the argument.
func wgValue(l *line, name string) string {
	if !l.more() {
		l.fail(1, "Invalid argument: %s", name)
	}
	return l.next()
}

func (s *setting) key(l *line, text string) kernel.PublicKey {
	key, ok := parseKey(text)
	if !ok {
		l.fail(1, "Key is not the correct length or format: `%s'", text)
	}
	return key
}

func (s *setting) deviceWord(l *line) {
	switch {
	case l.take("listen-port"):
		port := wgValue(l, "listen-port")
		n, ok := decimal(port, math.MaxUint16)
		if !ok { // or the name of a service
			l.unknownWord(port)
		}
		s.device.ListenPort = &n
	case l.take("fwmark"):
		mark := wgValue(l, "fwmark")
		n, ok := number(mark, 0, math.MaxUint32)
		if !ok && mark != "off" {
			l.fail(1, "Fwmark is neither 0/off nor 0-0xffffffff: `%s'", mark)
		}
		s.device.Mark = &n
	case l.take("private-key"):
		s.device.PrivateKey = s.keyFile(l, wgValue(l, "private-key"))
	default:
		l.unknown()
	}
	s.changed = true
}

func (s *setting) peerWord(l *line, p *peerSetting) {
	switch {
	case l.take("remove"):
		p.remove = true
	case l.take("preshared-key"):
		p.Preshared = s.keyFile(l, wgValue(l, "preshared-key"))
	case l.take("endpoint"):
		s.endpoint(l, wgValue(l, "endpoint"), p)
	case l.take("persistent-keepalive"):
		interval := wgValue(l, "persistent-keepalive")
		n, ok := decimal(interval, math.MaxUint16)
		if !ok && interval != "off" {
			l.fail(1, "Persistent keepalive interval is neither 0/off nor 1-65535: `%s'", interval)
		}
		p.Keepalive = new(time.Duration(n) * time.Second)
	case l.take("allowed-ips"):
		s.allowedIPs(l, wgValue(l, "allowed-ips"), p)
	default:
		l.unknown()
	}
}

// keyFile returns a key that is read from a file when the command runs. An empty file is no key.
func (s *setting) keyFile(l *line, name string) *kernel.Secret {
	if name != hookStdin && foreign(name) {
		l.unknownWord(name)
	}
	key := new(kernel.Secret)
	s.needs = append(s.needs, func(_ context.Context, c *call) error {
		text, err := readKeyFile(c, name)
		if err != nil || text == "" {
			return err
		}
		var ok bool
		if *key, ok = parseKey(text); !ok {
			return &failure{text: "Invalid length key in key file", status: 1}
		}
		return nil
	})
	return key
}

// hookStdin is opened as what the hook's command reads; this process's own is another.
const hookStdin = "/dev/stdin"

func readKeyFile(c *call, name string) (string, error) {
	from := c.Stdin
	if name != hookStdin {
		f, err := c.open(c.path(name))
		if err != nil {
			return "", fileFailure("fopen", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxKeyFile))
	return strings.TrimSpace(string(text)), err
}

// endpoint takes an address with a port at once, and the name of a host with a port when the command runs.
func (s *setting) endpoint(l *line, text string, p *peerSetting) {
	host, port, ok := cutPort(text)
	if !ok {
		l.fail(1, "Unable to find port of endpoint: `%s'", text)
		return
	}
	n, ok := decimal(port, math.MaxUint16)
	if !ok { // or the name of a service
		l.unknownWord(text)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		p.Endpoint = netip.AddrPortFrom(ip, uint16(n))
		return
	}
	s.needs = append(s.needs, func(ctx context.Context, _ *call) error {
		ip, err := resolve(ctx, host)
		if err != nil {
			return &failure{text: fmt.Sprintf("%v: `%s'", err, text), status: 1, cause: err}
		}
		p.Endpoint = netip.AddrPortFrom(ip, uint16(n))
		return nil
	})
}

// cutPort splits host:port, where an IPv6 address stands in brackets.
func cutPort(text string) (host, port string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i <= 0 || i == len(text)-1 || strings.HasSuffix(text, "]") {
		return "", "", false
	}
	host, port = text[:i], text[i+1:]
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		return strings.TrimSuffix(inner, "]"), port, true
	}
	return host, port, true
}

func (s *setting) allowedIPs(l *line, text string, p *peerSetting) {
	again := len(p.AllowedIPs) > 0 // then these come beside those that stood before
	if p.AllowedIPs == nil {
		p.AllowedIPs = []netip.Prefix{}
	}
	adds := strings.HasPrefix(text, "+")
	if again && adds == p.ReplaceIPs {
		l.unknownWord(text)
	}
	p.ReplaceIPs = !adds
	if text == "" {
		return
	}
	for item := range strings.SplitSeq(text, ",") {
		item, plus := strings.CutPrefix(strings.TrimSpace(item), "+")
		if plus == p.ReplaceIPs { // some with and some without
			l.unknownWord(text)
		}
		prefix := allowedIP(l, item)
		if l.err == nil && prefix != prefix.Masked() {
			s.warning += "Warning: AllowedIP has nonzero host part: " + item + "\n"
		}
		p.AllowedIPs = append(p.AllowedIPs, prefix.Masked())
	}
}

func allowedIP(l *line, text string) netip.Prefix {
	addr, bits, hasBits := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		l.fail(1, "Unable to parse IP address: `%s'", addr)
		return netip.Prefix{}
	}
	n, ok := ip.BitLen(), true
	if hasBits {
		n, ok = decimal(bits, uint64(ip.BitLen()))
	}
	if !ok {
		l.fail(1, "AllowedIP is not in the correct format: `%s'", text)
	}
	return netip.PrefixFrom(ip, n)
}

func (s *setting) run(ctx context.Context, c *call) error {
	for _, need := range s.needs {
		if err := need(ctx, c); err != nil {
			return err
		}
	}
	return c.kernel.Do(ctx, s.ops()...)
}

func (s *setting) ops() (ops []kernel.Op) {
	if s.changed {
		ops = append(ops, kernel.Op{Verb: kernel.Set, Object: s.device})
	}
	for _, p := range s.peers {
		verb := kernel.Set
		if p.remove {
			verb = kernel.Del
		}
		ops = append(ops, kernel.Op{Verb: verb, Object: p.Peer})
	}
	return ops
}
