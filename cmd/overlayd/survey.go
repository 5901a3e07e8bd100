package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/lease"
)

// A survey is what a node of flannel's was found to be like.
type survey struct {
	*daemon // that could be in flanneld's place, with a copy of this machine's state

	value     []byte // the network config
	plan      *plan
	own       lease.Record
	peers     []lease.Lease
	running   []node.Process // flannelds
	rehearsal *builtin.Rehearsal
	findings  []finding
}

// survey looks at all that a takeover depends on, and changes nothing. It stops, with an error, at what all the rest depends on. A
// survey is to be closed.
func (m *migration) survey(ctx context.Context) (*survey, error) {
	if len(m.etcd.Endpoints) == 0 {
		return nil, refuse(exitUsage, errors.New("no etcd is named: overlayd would start one of its own"), "name the one that flannel uses, as flanneld does, with --etcd-endpoints")
	}
	if _, err := control.Fetch(ctx, control.SocketPath(m.runDir)); err == nil {
		return nil, refuse(exitFailed, fmt.Errorf("an overlayd runs with run directory %s: there is nothing to take over", m.runDir), "see overlayd status")
	}
	d := &daemon{settings: m.settings, log: slog.New(slog.DiscardHandler), helpers: newHelpers(), rehearsal: true}
	d.firewall = firewall.New(firewall.Options{Name: m.table, Logger: d.log})
	s := &survey{daemon: d}
	return s, s.look(ctx)
}

func (s *survey) close() {
	s.helpers.Close()
	s.closeEtcd()
}

// fine says what is as it should be: a finding of no severity.
func (s *survey) fine(subject, text string, args ...any) { s.say("", subject, "", text, args...) }

func (s *survey) say(grade severity, subject, fix, text string, args ...any) {
	s.findings = append(s.findings, finding{grade, subject, fmt.Sprintf(text, args...), fix})
}

func (s *survey) look(ctx context.Context) (err error) {
	if s.rehearsal, err = builtin.Rehearse(ctx, builtin.Options{Logger: s.log}); err != nil {
		return err
	}
	s.commands = s.rehearsal.Set
	dir, err := copyFiles(s.stateDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.stateDir = dir
	if s.nodeID, err = node.Identity(dir); err != nil {
		return err
	}
	if err := s.checkMachine(); err != nil {
		return err
	}
	if err := s.lookAtConfig(ctx); err != nil {
		return err
	}
	if s.running, err = node.Flannelds(); err != nil {
		return err
	}
	if err := s.lookAtLeases(ctx); err != nil {
		return err
	}
	if s.own.Lease.String() != "" {
		s.lookAtKernel(ctx)
	}
	s.lookAtSubnetFile()
	s.lookAtFirewall()
	s.lookAtFlanneld()
	return nil
}

func (s *survey) lookAtConfig(ctx context.Context) error {
	if _, err := s.cluster.await(ctx, waiting{etcdPatience, etcdPatience}, func(error) {}); err != nil {
		return err
	}
	value, number, err := s.cluster.Config(ctx)
	place := s.place(revision{number: number})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(exitFailed, fmt.Errorf("etcd %s: there is no network config: flannel has none here", s.cluster.ConfigKey()),
			"name the key as flanneld does, with --etcd-prefix")
	case err != nil:
		return err
	}
	if s.plan, err = s.daemon.plan(place, value); err != nil {
		return err
	}
	others := holding{} // that overlayds of other run directories may have
	defer others.release()
	if err := others.holdNetwork(place, s.plan); err != nil {
		return err
	}
	s.value = value
	s.fine("config", "%s, at %s, can be used", place, strings.Join(s.etcd.Endpoints, ","))
	s.sayKeys()
	if grade, text := s.packets(); text != "" {
		s.say(grade, "type", "", "%s", text)
	}
	e := s.plan.external
	s.fine("interface", "%s, chosen by %s", e.Name, e.Why)
	return nil
}

// packets says what the network's type means for packets on the way.
func (s *survey) packets() (severity, string) {
	switch s.plan.network.Backend.Type {
	case "wireguard":
		return warning, "flanneld deletes its WireGuard devices when it ends, so that packets are lost until overlayd run is up; it has another key, which the other nodes find in the lease"
	case "extension":
		return warning, "what hooks have done under flannel is not known: overlayd runs them as at any start, and whether packets are lost is theirs to say"
	}
	return "", ""
}

// sayKeys says what each key of the config means to overlayd, in the words of the schema.
func (s *survey) sayKeys() {
	type schema struct {
		Description string
		Properties  map[string]schema
		OneOf       []schema
		Title       string
	}
	var known schema
	if err := json.Unmarshal(networkSchema, &known); err != nil {
		return // a test reads it
	}
	words := map[string]string{}
	add := func(above string, properties map[string]schema) {
		for key, p := range properties {
			if p.Description != "" {
				words[strings.ToLower(above+key)] = p.Description
			}
		}
	}
	add("", known.Properties)
	add("Backend.", known.Properties["Backend"].Properties)
	for _, kind := range known.Properties["Backend"].OneOf {
		if kind.Title == s.plan.network.Backend.Type {
			add("Backend.", kind.Properties)
		}
	}
	for _, c := range configChanges(nil, s.value) {
		value, key := c.New, strings.ToLower(c.Key)
		if slices.Contains(secretKeys, key) {
			value = hidden(value)
		}
		grade := severity("")
		if slices.ContainsFunc(s.plan.network.Ignored, func(i string) bool { return strings.EqualFold(i, c.Key) }) {
			grade = note
		}
		s.say(grade, "config", "", "%s %.60s: %s", c.Key, visible(string(value)), words[key])
	}
}

// lookAtLeases finds the node's lease as overlayd run will.
func (s *survey) lookAtLeases(ctx context.Context) error {
	snapshot, err := s.cluster.Load(ctx)
	if err != nil {
		return err
	}
	here := selfOf(s.plan.network, s.plan.external, s.plan.both).Lease
	isHere := func(l lease.Lease) bool { // by the address that is a node's name to flannel
		if s.plan.network.V4.Network.IsValid() {
			return l.V4.PublicIP.IsValid() && l.V4.PublicIP == here.V4.PublicIP
		}
		return l.V6.PublicIP.IsValid() && l.V6.PublicIP == here.V6.PublicIP
	}
	var mine []lease.Record
	for _, r := range snapshot.List() {
		if r.NodeID == s.nodeID || isHere(r.Lease) {
			mine = append(mine, r)
		} else {
			s.peers = append(s.peers, r.Lease)
		}
	}
	for u := range snapshot.Unreadable.All() {
		s.say(note, "lease", "overlayd lease check", "%q is no lease and is set aside: %v", u.Key, u.Err)
	}
	s.lookAtOwn(mine, publicAddresses(here))
	return nil
}

func publicAddresses(l lease.Lease) string {
	var texts []string
	for _, a := range []netip.Addr{l.V4.PublicIP, l.V6.PublicIP} {
		if a.IsValid() {
			texts = append(texts, a.String())
		}
	}
	return strings.Join(texts, " and ")
}

func (s *survey) lookAtOwn(mine []lease.Record, here string) {
	if len(mine) == 0 {
		s.say(severe, "lease", "give --iface or --public-ip as flanneld has them, or start overlayd run, which takes a free subnet",
			"there is none for %s: this is no node of flannel's", here)
		return
	}
	if len(mine) > 1 {
		var texts []string
		for _, r := range mine {
			texts = append(texts, r.Lease.String())
		}
		s.say(severe, "lease", "overlayd lease release SUBNET, for the one that is not in the subnet file", "there are %d for %s: %s", len(mine), here, strings.Join(texts, " and "))
		return
	}
	own, overlapped := mine[0], ""
	for _, peer := range s.peers {
		if len(lease.Snapshot{Records: lease.NewSet(&own)}.Free([]lease.Lease{peer})) == 0 {
			overlapped = peer.String()
		}
	}
	want := s.plan.network.Backend.Type
	if want == "alloc" {
		want = ""
	}
	switch {
	case own.NodeID != "" && own.NodeID != s.nodeID:
		s.say(severe, "lease", "overlayd lease list", "%s, for %s, is that of an overlayd node with another identity, %s", own.Lease, here, own.NodeID)
	case overlapped != "":
		s.say(severe, "lease", "overlayd lease release one of the two, and restart flanneld where it was", "%s overlaps that of another node, %s: flannel has given a subnet to both", own.Lease, overlapped)
	case s.plan.network.Admits(own.Lease) != nil:
		s.say(severe, "lease", "restart flanneld, or correct the config", "%v: the config has changed since flanneld was started", s.plan.network.Admits(own.Lease))
	case !strings.EqualFold(own.BackendType, want):
		s.say(severe, "lease", "set Backend.Type in the config to what flanneld runs, and restart it", "%s says backend %q, and the config %q: flannel takes a config without Backend for udp", own.Lease, own.BackendType, want)
	default:
		s.own = own
		kept := "it stays this node's"
		if own.Reserved() {
			kept += ", and reserved"
		}
		s.fine("lease", "%s for %s: %s", own.Lease, here, kept)
	}
}

// lookAtSubnetFile comes after the kernel, which tells the overlay's MTU.
func (s *survey) lookAtSubnetFile() {
	file, err := node.ReadSubnetFile(s.subnetFile)
	if errors.Is(err, fs.ErrNotExist) {
		s.say(note, "subnet file", "", "%s is not there: overlayd run writes it", s.subnetFile)
		return
	}
	if err != nil {
		s.say(warning, "subnet file", "", "%v: overlayd run writes it anew", err)
		return
	}
	for _, subnet := range file.Subnets {
		if s.own.Lease.String() != "" && subnet != s.own.V4.Subnet && subnet != s.own.V6.Subnet {
			s.say(severe, "subnet file", "restart flanneld, and what containers run in", "%s has %s, by which containers go, and the lease is for %s", s.subnetFile, subnet, s.own.Lease)
			return
		}
	}
	s.fine("subnet file", "%s has the same subnet, and stays", s.subnetFile)
	if mtu := cmp.Or(s.plan.backend.mtu(), s.plan.external.MTU); file.MTU != 0 && file.MTU != mtu && s.own.Lease.String() != "" {
		s.say(note, "subnet file", "", "MTU %d becomes %d, for containers that are started from then on", file.MTU, mtu)
	}
	if file.IPMasq && !s.ipMasq {
		s.say(warning, "firewall", "give --ip-masq", "flannel masquerades what containers send out of the overlay, and overlayd is not told to")
	}
}

func (s *survey) lookAtFirewall() {
	left, err := findLeftovers(s.firewall)
	if err != nil {
		s.say(note, "firewall", "", "flannel's rules were not looked for: %v", err) // a kernel without nftables, for one
		return
	}
	if len(left.commands()) == 0 {
		return
	}
	s.say(note, "firewall", strings.Join(left.commands(), "\n"),
		"flannel's rules stay, unless flanneld removes them when it ends; once overlayd runs, overlayd migrate --finish does, or")
}

func (s *survey) lookAtFlanneld() {
	for _, p := range s.running {
		s.say(note, "flanneld", "", "runs as %s", p)
	}
	if len(s.running) == 0 {
		s.fine("flanneld", "does not run")
	}
}

// next is what to do where nothing stands in the way.
func (s *survey) next() string {
	const command = "overlayd migrate --now"
	switch {
	case len(s.running) == 0:
		return command
	case s.running[0].Unit != "":
		return command + " --stop " + quote(s.running[0].Unit)
	}
	return "stop flanneld, and then " + command
}

// stillRuns is the error where flanneld was to have ended.
func (s *survey) stillRuns() error {
	hint := "stop it"
	if unit := s.running[0].Unit; unit != "" {
		hint = fmt.Sprintf("stop it with systemctl stop %s, or have it stopped by --stop %[1]s", quote(unit))
	}
	return refuse(exitFailed, fmt.Errorf("flanneld runs as %s", s.running[0]), hint)
}

// show prints what was found, and what would be changed if so wanted.
func (s *survey) show(w io.Writer, commands bool) error {
	var b strings.Builder
	for _, f := range s.findings {
		fmt.Fprintf(&b, "%-8s %-12s %s\n", cmp.Or(f.Severity, "ok"), f.Subject, visible(f.Text))
		for line := range strings.Lines(f.Fix) {
			fmt.Fprintf(&b, "%22s%s\n", "", visible(strings.TrimSpace(line)))
		}
	}
	if commands && s.rehearsal != nil {
		fmt.Fprintln(&b, "overlayd run will do what these commands do:")
		for _, line := range s.rehearsal.Changes() {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// verdict is the error of what stands in the way.
func (s *survey) verdict() error {
	var texts []string
	for _, f := range s.findings {
		if f.Severity == severe {
			texts = append(texts, f.Subject+": "+f.Text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return refuse(exitFailed, fmt.Errorf("this node cannot be taken over: %s", strings.Join(texts, "; ")))
}
