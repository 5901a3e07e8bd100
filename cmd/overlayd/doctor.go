package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/node"
	"github.com/overlayd/overlayd/internal/screen"
	"github.com/overlayd/overlayd/lease"
)

const doctorHelp = `Look for what keeps an overlay from working on this machine: rights, kernel settings, the MTU, the firewall, the clock, etcd
with the rights there, the leases, and the daemon, whether it runs or not. Each finding says what to do about it. Nothing is
changed.

The exit status is 0 when nothing is wrong, 7 when the worst finding is a warning, and 1 when one is an error.`

// A severity is how bad a finding is.
type severity string

// The severities, the worst first.
const (
	severe  severity = "error"   // something does not work
	warning severity = "warning" // something may not
	note    severity = "note"    // worth knowing
)

// A finding is what an examination has found, and what to do about it. Its JSON keys are stable.
type finding struct {
	Severity severity `json:"severity"`
	Subject  string   `json:"subject"` // which examination found it
	Text     string   `json:"text"`
	Fix      string   `json:"fix,omitzero"`
}

// A patient is this machine as far as it is known.
type patient struct {
	settings
	status   *control.Status // nil without a daemon that answers
	facts    node.Facts
	networks []netip.Prefix // of the overlay, empty while it is not known
	network  lease.Network  // the same, from etcd; zero when etcd does not say
	cluster  *etcdCluster   // nil when it cannot be reached
	unfound  error          // why it is not known where etcd is
}

// An examination looks at one thing. Its findings need no Subject.
type examination struct {
	subject string
	look    func(context.Context, *patient) []finding
}

// examinations come in the order in which a person would mend what they find.
var examinations = []examination{
	{"rights", lookAtRights},
	{"kernel", lookAtKernel},
	{"etcd", lookAtEtcd},
	{"config", lookAtConfig},
	{"leases", lookAtLeases},
	{"daemon", lookAtDaemon},
	{"addresses", lookAtOverlap},
	{"mtu", lookAtMTU},
	{"forwarding", lookAtForwarding},
	{"reverse path", lookAtReversePath},
	{"firewall", lookAtFirewall},
	{"clock", lookAtClock},
}

func newDoctorCommand() *cobra.Command {
	var p patient
	var output string
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what keeps an overlay from working, and say what to do", Long: doctorHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			p.unfound = p.findEtcd(c.Context(), c.Flags())
			findings := p.examine(c.Context())
			show := showFindingList
			if output == "json" {
				show = func(w io.Writer, f []finding) error { return json.NewEncoder(w).Encode(f) }
			}
			if err := show(c.OutOrStdout(), findings); err != nil {
				return err
			}
			return verdict(findings)
		},
	}
	f := c.Flags()
	p.etcdFlags(f)
	tableVar(f, &p.table)
	outputVar(c, &output, "text", "json")
	return c
}

// examine makes all examinations, which know what those before them have found out.
func (p *patient) examine(ctx context.Context) []finding {
	findings := []finding{}
	if status, err := control.Fetch(ctx, control.SocketPath(p.runDir)); err == nil {
		p.status = &status
		p.networks = status.Node.Networks
	}
	var err error
	if p.facts, err = node.Read(); err != nil {
		findings = append(findings, finding{severe, "machine", err.Error(), ""})
	}
	for _, e := range examinations {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		for _, f := range e.look(limited, p) {
			f.Subject = e.subject
			findings = append(findings, f)
		}
		cancel()
	}
	if p.cluster != nil {
		_ = p.cluster.close() // nothing was written
	}
	order := []severity{severe, warning, note}
	slices.SortStableFunc(findings, func(a, b finding) int {
		return slices.Index(order, a.Severity) - slices.Index(order, b.Severity)
	})
	return findings
}

func showFindingList(w io.Writer, findings []finding) error {
	width := len(fmt.Sprint(len(findings), ". "))
	for i, f := range findings {
		text := screen.Field(width+2, "", fmt.Sprintf("%s: %s: %s", f.Severity, f.Subject, visible(f.Text))) // deeper than the fix below it
		text = fmt.Sprintf("%-*s", width, fmt.Sprint(i+1, ".")) + text[width+2:] + screen.Command(width, "", f.Fix)
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	if len(findings) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%d examinations, nothing found\n", len(examinations))
	return err
}

// verdict is the error whose status says how bad the worst finding is.
func verdict(findings []finding) error {
	has := func(s severity) bool {
		return slices.ContainsFunc(findings, func(f finding) bool { return f.Severity == s })
	}
	switch {
	case has(severe):
		return &refusal{status: exitFailed, said: true, err: errors.New("something does not work")}
	case has(warning):
		return &refusal{status: exitDegraded, said: true, err: errors.New("something may not work")}
	}
	return nil
}
