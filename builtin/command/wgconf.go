package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// maxConf is the longest configuration file, in bytes.
const maxConf = 16 << 20

// parseWGConf reads "wg setconf", "addconf" and "syncconf" with the name of a file in the form that showconf prints.
func parseWGConf(l *line, verb string) action {
	if len(l.words) != 2 { // the usage is the real tool's to tell
		l.unknownWord(verb)
		return action{}
	}
	name, file := l.name(), l.next()
	if file != hookStdin && foreign(file) {
		l.unknownWord(file)
	}
	return action{run: func(ctx context.Context, c *call) error {
		text, err := readConf(c, file)
		if err != nil {
			return err
		}
		s, err := parseConf(name, text)
		if word, ok := errors.AsType[unknown](err); ok && file == hookStdin { // which has been read
			err = confFailure(fmt.Sprintf("Line unrecognized: `%s'", string(word)))
		}
		if err != nil {
			return err
		}
		fmt.Fprint(c.Stderr, s.warning)
		for _, need := range s.needs {
			if err := need(ctx, c); err != nil {
				return err
			}
		}
		ops, err := s.confOps(ctx, c, verb)
		if err != nil {
			return err
		}
		return c.kernel.Do(ctx, ops...)
	}}
}

func readConf(c *call, file string) (string, error) {
	from := c.Stdin
	if file != hookStdin {
		if file == "" {
			return "", fileFailure("fopen", syscall.ENOENT)
		}
		f, err := c.open(c.path(file))
		if err != nil {
			return "", fileFailure("fopen", err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxConf))
	if errors.Is(err, syscall.EISDIR) { // nothing, to wg
		err = nil
	}
	return string(text), err
}

func confFailure(text string) *failure {
	return &failure{text: text + "\nConfiguration parsing error", status: 1}
}

// parseConf reads a configuration: its entries are those of "wg set", but for keys, which stand in the file itself.
func parseConf(name, text string) (*setting, error) {
	s := &setting{device: kernel.Device{Name: name}}
	section := ""
	for entry := range strings.Lines(text) {
		entry, _, _ = strings.Cut(entry, "#")
		entry = strings.Join(strings.Fields(entry), "")
		if entry == "" {
			continue
		}
		key, value, _ := strings.Cut(entry, "=")
		key = strings.ToLower(key)
		l := &line{}
		switch {
		case key == "[interface]" || key == "[peer]":
			section = key
			continue
		case value == "":
			l.fail(1, "Line unrecognized: `%s'", entry)
		case section == "[interface]":
			s.interfaceEntry(l, key, value, entry)
		default:
			s.peerEntry(l, section, key, value, entry)
		}
		if f, ok := l.err.(*failure); ok {
			return nil, confFailure(f.text)
		}
		if l.err != nil {
			return nil, l.err
		}
	}
	return s, nil
}

func (s *setting) interfaceEntry(l *line, key, value, entry string) {
	s.changed = true
	word := map[string]string{"listenport": "listen-port", "fwmark": "fwmark"}[key]
	switch {
	case word != "":
		l.words = []string{word, value}
		s.deviceWord(l)
	case key == "privatekey":
		private := kernel.Secret(s.key(l, value))
		s.device.PrivateKey = &private
	default:
		l.fail(1, "Line unrecognized: `%s'", entry)
	}
}

func (s *setting) peerEntry(l *line, section, key, value, entry string) {
	if key == "publickey" && section == "[peer]" {
		peer := kernel.Peer{Dev: s.device.Name, PublicKey: s.key(l, value), ReplaceIPs: true}
		s.peers = append(s.peers, &peerSetting{Peer: peer})
		return
	}
	word := map[string]string{
		"endpoint": "endpoint", "persistentkeepalive": "persistent-keepalive", "allowedips": "allowed-ips",
	}[key]
	switch {
	case section != "[peer]" || word == "" && key != "presharedkey":
		l.fail(1, "Line unrecognized: `%s'", entry)
	case len(s.peers) == 0: // wg lets the key stand behind what it is for
		l.unknownWord(entry)
	case key == "presharedkey":
		preshared := kernel.Secret(s.key(l, value))
		s.peers[len(s.peers)-1].Preshared = &preshared
	default:
		l.words = []string{word, value}
		s.peerWord(l, s.peers[len(s.peers)-1])
	}
}

// confOps are the changes that make the device as the configuration says. All but addconf forget what it does not say.
func (s *setting) confOps(ctx context.Context, c *call, verb string) (ops []kernel.Op, err error) {
	if _, err := listTunnels(ctx, c, s.device.Name); err != nil {
		text := "Unable to modify interface: No such device"
		if verb == "syncconf" && len(s.peers) > 0 { // which wg compares first
			text = "Unable to retrieve current interface configuration: No such device"
		}
		return nil, &failure{text: text, status: 1, cause: err}
	}
	if verb == "addconf" {
		return s.ops(), nil
	}
	there, err := list(ctx, c, kernel.Peer{Dev: s.device.Name})
	for _, p := range there {
		stays := slices.ContainsFunc(s.peers, func(q *peerSetting) bool { return q.PublicKey == p.PublicKey })
		if verb == "setconf" || !stays {
			ops = append(ops, kernel.Op{Verb: kernel.Del, Object: kernel.Peer{Dev: p.Dev, PublicKey: p.PublicKey}})
		}
	}
	if s.device.PrivateKey == nil {
		s.device.PrivateKey = new(kernel.Secret)
	}
	if s.device.Mark == nil {
		s.device.Mark = new(int)
	}
	if s.device.ListenPort == nil {
		s.device.ListenPort = new(int)
	}
	s.changed = true
	return append(ops, s.ops()...), err
}
