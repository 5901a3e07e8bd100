package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/internal/sleep"
)

// statusPatience is how long a daemon may take to say how it stands. It takes milliseconds.
const statusPatience = 5 * time.Second

const statusHelp = `Show this node and every peer, as its daemon sees them.

The exit status is 6 when no daemon answers. With --check it is 7 unless the daemon is live (does its work, else a restart is
due) or ready (the node is up, and hooks have run for each peer of the first complete list). --wait waits for it to be ready,
and for a daemon to answer at all, for that long at most. On a terminal states are in colours, unless NO_COLOR is set.`

// A statusView is how a status is asked for and shown.
type statusView struct {
	socket string
	show   func(io.Writer, control.Status) error
}

func newStatusCommand() *cobra.Command {
	var runDir, output, check string
	var brief, watch bool
	var wait time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Show this node and every peer, as its daemon sees them", Long: statusHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			v := statusView{control.SocketPath(runDir), statusText(hasColours(c.OutOrStdout()))}
			switch {
			case brief && output == "json":
				return refuse(exitUsage, errors.New("brief and json exclude each other"))
			case brief:
				v.show = statusBrief
			case output == "json":
				v.show = statusJSON
			}
			switch {
			case watch && (wait != 0 || check != ""):
				return refuse(exitUsage, errors.New("watch goes with neither wait nor check"))
			case watch:
				return v.watch(c.Context(), c.OutOrStdout())
			case wait != 0:
				return v.wait(c.Context(), c.OutOrStdout(), wait)
			}
			return v.once(c.Context(), c.OutOrStdout(), check)
		},
	}
	f := c.Flags()
	pathVar(f, &runDir, "run-dir", defaultRunDir, "`DIR` of the daemon's control socket")
	outputVar(c, &output, "text", "json")
	f.BoolVar(&brief, "brief", false, "show one line")
	f.BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes, until interrupted")
	checkedVar(f, &wait, "wait", 0, "`TIME` to wait for the node to be ready", notNegative)
	f.Var(oneOf(&check, "live", "ready"), "check", "let the exit status say whether the daemon is `WHAT`: live or ready")
	return c
}

func statusText(colours bool) func(io.Writer, control.Status) error {
	return func(w io.Writer, s control.Status) error { return s.Text(w, time.Now(), colours) }
}

func statusBrief(w io.Writer, s control.Status) error {
	_, err := fmt.Fprintln(w, s.Brief())
	return err
}

func statusJSON(w io.Writer, s control.Status) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

func (v statusView) fetch(ctx context.Context) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	status, err := control.Fetch(ctx, v.socket)
	return status, refuse(exitUnreachable, err)
}

// once shows the status and judges it as check says.
func (v statusView) once(ctx context.Context, w io.Writer, check string) error {
	status, err := v.fetch(ctx)
	if err != nil {
		return err
	}
	if err := v.show(w, status); err != nil {
		return err
	}
	if good := map[string]bool{"": true, "live": status.Health.Live, "ready": status.Health.Live && status.Health.Ready}; !good[check] {
		return &refusal{status: exitDegraded, said: true, err: fmt.Errorf("the daemon is not %s", check)}
	}
	return nil
}

// wait shows the status once the daemon is ready, or the time is over.
func (v statusView) wait(ctx context.Context, w io.Writer, longest time.Duration) error {
	deadline := time.Now().Add(longest)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		status, err := v.fetch(ctx)
		missing := errors.Is(err, fs.ErrNotExist)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !missing:
			return err
		case !missing && status.Health.Live && status.Health.Ready:
			return v.show(w, status)
		case time.Now().After(deadline) && missing:
			return err
		case time.Now().After(deadline):
			return errors.Join(v.show(w, status), &refusal{status: exitDegraded, said: true, err: errors.New("the daemon is not ready")})
		}
		_ = sleep.For(ctx, pause)
	}
}

// watch shows the status when it changes in more than its ages, and on a terminal also once a second, in the same place.
func (v statusView) watch(ctx context.Context, w io.Writer) error {
	terminal := isTerminal(w)
	for last := ""; ; {
		status, err := v.fetch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := v.show(&text, status); err != nil {
			return err
		}
		brief := status.Brief() + fmt.Sprint(status.Peers)
		switch {
		case terminal:
			fmt.Fprintf(w, "\x1b[H\x1b[2J%s", text.Bytes())
		case brief != last:
			fmt.Fprintf(w, "%s\n", text.Bytes())
		}
		last = brief
		_ = sleep.For(ctx, time.Second)
	}
}
