package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/firewall"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/internal/sleep"
	"github.com/overlayd/overlayd/lease"
)

const migrateHelp = `Look whether this node of a flannel network, with its leases in etcd, can become one of overlayd's, and say what will happen.
It takes the flags and variables of overlayd run, and so those of flanneld: give it the very command line that overlayd run will
have. Nothing is changed.

Each line begins with ok, note (worth knowing), warning (something is lost, or will not be as it was) or error (it stands in the
way), and commands that may help follow. The exit status is 0 where nothing stands in the way, 1 where something does, and 3 where
overlayd cannot use the network config.

With --now the node is taken over, if nothing stands in the way: flanneld has ended, or is stopped first with --stop UNIT, all is
looked at again, and the lease is made this node's own by its identity, in the state directory. From then on overlayd run has the
same subnet and the same device, and no packet is lost on the way, with types vxlan and host-gw. Where something goes wrong, all is
left as it was, and a UNIT that was stopped is started again.

With --finish, once overlayd runs, flannel's rules are removed from the firewall.`

func newMigrateCommand() *cobra.Command {
	var m migration
	c := &cobra.Command{
		Use: "migrate", Short: "Look what it takes to put overlayd in flanneld's place, and do it", Long: migrateHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case m.check && m.now, m.check && m.finish, m.now && m.finish:
				return refuse(exitUsage, errors.New("--check, --now and --finish come one after the other, not together"))
			case m.stop != "" && !m.now:
				return refuse(exitUsage, errors.New("--stop without --now: nothing would be stopped"))
			}
			if err := m.fill(c); err != nil {
				return err
			}
			m.out = c.OutOrStdout()
			switch {
			case m.now:
				return m.takeOver(c.Context())
			case m.finish:
				return m.removeRules(c.Context())
			}
			return m.report(c.Context())
		},
	}
	f := c.Flags()
	f.BoolVar(&m.check, "check", false, "only look, as without --now")
	f.BoolVar(&m.now, "now", false, "take the node over")
	f.BoolVar(&m.finish, "finish", false, "remove flannel's rules from the firewall, once overlayd runs")
	f.StringVar(&m.stop, "stop", "", "with --now: stop flanneld first, which is systemd's `UNIT`")
	f.BoolVar(&m.commands, "commands", false, "print what overlayd run will change in the kernel, as commands")
	m.flags(f)
	return c
}

// A migration is a node's way from flannel to overlayd.
type migration struct {
	settings
	check, now, finish bool
	commands           bool
	stop               string // systemd's unit of flanneld
	out                io.Writer

	writing bool // the lease may have the node's identity, which has to be kept then
}

// examine looks, says what it has found, and returns it where nothing stands in the way.
func (m *migration) examine(ctx context.Context, out io.Writer) (*survey, error) {
	s, err := m.survey(ctx)
	if s == nil {
		return nil, err
	}
	if showErr := s.show(out, m.commands); err == nil {
		err = showErr
	}
	if err == nil {
		err = s.verdict()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// report looks, and says what to do next.
func (m *migration) report(ctx context.Context) error {
	s, err := m.examine(ctx, m.out)
	if err != nil {
		return err
	}
	defer s.close()
	_, err = fmt.Fprintf(m.out, "nothing stands in the way: %s, with the same flags\n", s.next())
	return err
}

// takeOver makes the node overlayd's. What it does before the lease is written, which is the last step, it takes back when that
// comes to nothing.
func (m *migration) takeOver(ctx context.Context) (err error) {
	ctx, stop := stopOnSignal(ctx, slog.New(slog.DiscardHandler))
	defer stop()
	s, err := m.examine(ctx, m.out)
	if err != nil {
		return err
	}
	defer s.close()
	if len(s.running) > 0 && m.stop == "" {
		return s.stillRuns()
	}
	made := newTraces(m.runDir, m.stateDir)
	if err := errors.Join(node.StateDir(m.stateDir), node.RunDir(m.runDir)); err != nil {
		return errors.Join(err, made.erase())
	}
	defer func() {
		if err != nil && !m.writing {
			err = errors.Join(err, made.erase())
		}
	}()
	unlock, err := control.Lock(m.runDir)
	if err != nil {
		return err
	}
	defer unlock()
	if m.stop != "" {
		if err := m.stopFlanneld(ctx); err != nil {
			return m.startAgain(ctx, err)
		}
	}
	own, err := m.claim(ctx)
	if err != nil && m.stop != "" {
		return m.startAgain(ctx, err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(m.out, "%s is this node's, by its identity %s: start overlayd run, with the same flags\n", own, own.NodeID)
	return nil // it is done, whoever reads of it
}

// claim looks again, now that flanneld has ended, and writes the node's identity into its lease.
func (m *migration) claim(ctx context.Context) (own lease.Lease, err error) {
	s, err := m.examine(ctx, io.Discard)
	if err != nil {
		return own, fmt.Errorf("look again: %w", err)
	}
	defer s.close()
	if len(s.running) > 0 {
		return own, s.stillRuns()
	}
	own = s.own.Lease
	if own.NodeID, err = node.Identity(m.stateDir); err != nil {
		return own, err
	}
	var subnets []netip.Prefix
	for p := range own.Paths() {
		subnets = append(subnets, p.Subnet)
	}
	if err := node.Remember(m.stateDir, subnets); err != nil {
		return own, err
	}
	ttl := m.leaseTTL
	if s.own.Reserved() {
		ttl = 0
	}
	m.writing = true
	_, err = s.cluster.Update(ctx, s.own, ttl, own)
	return own, err
}

const (
	stopPatience = 90 * time.Second // systemd's own, after which it kills
	stopPause    = 50 * time.Millisecond
)

// stopFlanneld has systemd stop the unit, and waits until no flanneld is left.
func (m *migration) stopFlanneld(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := systemctl(ctx, "stop", m.stop); err != nil {
		return err
	}
	fmt.Fprintf(m.out, "%s is stopped\n", m.stop)
	for {
		running, err := node.Flannelds()
		if err != nil || len(running) == 0 {
			return err
		}
		if sleep.For(ctx, stopPause) != nil {
			return fmt.Errorf("stop flanneld: %s still runs %s after %s was stopped", running[0], stopPatience, m.stop)
		}
	}
}

// startAgain starts the unit that was stopped, after an error.
func (m *migration) startAgain(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if again := systemctl(ctx, "start", m.stop); again != nil {
		return errors.Join(err, again)
	}
	fmt.Fprintf(m.out, "%s is started again\n", m.stop)
	return err
}

func systemctl(ctx context.Context, verb, unit string) error {
	out, err := exec.CommandContext(ctx, "systemctl", verb, "--", unit).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s %s: %w: %s", verb, unit, err, visible(strings.TrimSpace(string(out))))
	}
	return nil
}

// removeRules removes flannel's rules once flanneld does not need them any more, and overlayd is there to do what they did.
func (m *migration) removeRules(ctx context.Context) error {
	running, err := node.Flannelds()
	if err != nil {
		return err
	}
	if len(running) > 0 {
		return refuse(exitFailed, fmt.Errorf("flanneld runs as %s, and would make its rules again", running[0]), "stop it")
	}
	if _, err := control.Fetch(ctx, control.SocketPath(m.runDir)); err != nil {
		return refuse(exitFailed, fmt.Errorf("no overlayd runs that would do what flannel's rules do: %w", err), "start overlayd run")
	}
	table := firewall.New(firewall.Options{Name: m.table, Logger: slog.New(slog.DiscardHandler)})
	left, err := findLeftovers(table)
	if err != nil {
		return err
	}
	if err := left.remove(ctx); err != nil {
		return err
	}
	for _, command := range left.commands() {
		fmt.Fprintln(m.out, command)
	}
	return nil
}
