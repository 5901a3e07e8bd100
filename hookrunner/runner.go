package hookrunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/hookrunner/script"
	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// Options are what a Runner needs beside its Config. Dir, Helpers and Logger are required.
type Options struct {
	Dir       string       // where all hooks run, absolute
	Helpers   *helper.Pool // the processes they run in
	Begin     BeginFunc    // nil for no in-process commands
	Environ   []string     // of all hooks, "name=value" besides the contract's variables; nil for DefaultEnviron(Dir)
	Rehearsal bool         // no programs are run; see helper.Job
	Logger    *slog.Logger

	// Report, which may be nil, is told what a hook printed and did, before the Runner's method returns.
	Report func(h hooks.Hook, scope string, r Report)
}

// A Report is what a hook printed, at most 64 KiB of each stream, and what it did through in-process commands, as command lines
// that do the same. What a hook that failed did was undone.
type Report struct {
	Stdout, Stderr string
	Effects        []string
}

// A Runner calls the commands of a Config. Its methods are the hooks of hooks.Backend, and may be called concurrently,
// though not for one scope at once. Their errors begin with the hook and the peer's subnets, and end with the last line that
// the command wrote to stderr. The scope of a hook that failed is as it was before.
type Runner struct {
	config  Config
	options Options
	linkMTU atomic.Int64
}

var _ hooks.Backend = (*Runner)(nil)

// New returns a Runner. It touches nothing.
func New(c Config, o Options) *Runner {
	if o.Begin == nil {
		o.Begin = func(string) Run { return noRun{} }
	}
	if o.Environ == nil {
		o.Environ = DefaultEnviron(o.Dir)
	}
	return &Runner{config: c, options: o}
}

// MTU returns the MTU of the overlay in bytes: the Config's, else the smallest of the links that PreStartup and
// PostStartup made by in-process commands. It is 0 when there are none, or these hooks have not run.
func (r *Runner) MTU() int {
	if r.config.MTU != 0 {
		return r.config.MTU
	}
	return int(r.linkMTU.Load())
}

// HasShutdown reports whether there is a ShutdownCommand.
func (r *Runner) HasShutdown() bool { return r.config.commands[hooks.Shutdown] != nil }

// PreStartup returns what the command printed, trimmed, as a JSON string, and nothing without a command. More than 16 KiB and
// text that is not UTF-8 are errors.
//
// What the scope owns from an earlier life, and this run does not touch, stays: it may be what PostStartup makes, or what
// carries packets right now.
func (r *Runner) PreStartup(ctx context.Context, call hooks.Call) (hooks.Data, error) {
	var data json.RawMessage
	err := r.startup(ctx, hooks.PreStartup, call, func(stdout string) (err error) {
		data, err = publishable(stdout)
		return err
	})
	if err != nil {
		return hooks.Data{}, err
	}
	return call.Node.Single(data), nil
}

// PostStartup runs the command, if there is one. For what the scope owns, see PreStartup.
func (r *Runner) PostStartup(ctx context.Context, call hooks.Call) error {
	return r.startup(ctx, hooks.PostStartup, call, func(string) error { return nil })
}

func (r *Runner) startup(ctx context.Context, h hooks.Hook, call hooks.Call, done func(stdout string) error) error {
	if r.config.commands[h] == nil {
		return nil
	}
	t := task{hook: h, call: call, scope: hooks.NodeScope, subject: call.Node.Lease, success: keep}
	return r.run(ctx, t, done)
}

// SubnetAdd runs the command, if there is one. What the peer's scope owns from before and the run did not touch is deleted.
func (r *Runner) SubnetAdd(ctx context.Context, call hooks.Call, peer lease.Lease) error {
	return r.peer(ctx, hooks.SubnetAdd, call, peer, Run.Sweep)
}

// SubnetRemove runs the command, if there is one. All that the peer's scope owns is deleted.
func (r *Runner) SubnetRemove(ctx context.Context, call hooks.Call, peer lease.Lease) error {
	return r.peer(ctx, hooks.SubnetRemove, call, peer, Run.Clear)
}

func (r *Runner) peer(ctx context.Context, h hooks.Hook, call hooks.Call, peer lease.Lease, success verdict) error {
	t := task{hook: h, call: call, scope: peer.String(), subject: peer, success: success}
	if r.config.commands[h] != nil {
		data, err := peerData(peer)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		t.stdin = data
	}
	return r.run(ctx, t, nil)
}

// Shutdown runs the command, if there is one. All that the node's scope owns is deleted.
func (r *Runner) Shutdown(ctx context.Context, call hooks.Call) error {
	t := task{hook: hooks.Shutdown, call: call, scope: hooks.NodeScope, subject: call.Node.Lease, success: Run.Clear}
	return r.run(ctx, t, nil)
}

// A task is one call of a hook.
type task struct {
	hook    hooks.Hook
	call    hooks.Call
	scope   string
	subject lease.Lease // whose subnet the variables tell
	stdin   string      // without the newline at its end
	success verdict     // what becomes of its effects
}

// A verdict ends a run that succeeded.
type verdict func(Run, context.Context) error

func keep(r Run, _ context.Context) error {
	r.Keep()
	return nil
}

// String names the hook, and the peer.
func (t task) String() string {
	if t.scope == hooks.NodeScope {
		return string(t.hook)
	}
	return string(t.hook) + " " + t.scope
}

// endPatience bounds the end of a run, which goes on when the hook's own time is over.
const endPatience = 10 * time.Second

// run runs the task's command, if there is one, and says to its scope how it went. done, which may be nil, is a startup
// hook's own part in its success.
func (r *Runner) run(ctx context.Context, t task, done func(stdout string) error) error {
	effects := r.options.Begin(t.scope)
	end := t.success
	var printed helper.Result
	var err error
	if c := r.config.commands[t.hook]; c != nil {
		printed, err = r.execute(ctx, t, c, effects)
	}
	if err == nil && done != nil {
		err = done(printed.Stdout.Text)
	}
	if err != nil {
		end = Run.Undo
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	err = errors.Join(err, end(effects, ctx))
	if r.options.Report != nil {
		r.options.Report(t.hook, t.scope, Report{printed.Stdout.Text, printed.Stderr.Text, effects.Done()})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t, err)
	}
	if done != nil {
		r.linkMTU.Store(int64(effects.LinkMTU()))
	}
	return nil
}

// execute runs the command with its time limit, logs what it printed, and returns that.
func (r *Runner) execute(ctx context.Context, t task, c *command, effects Run) (helper.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.Timeout, fmt.Errorf("still running after %s, its Timeout", r.config.Timeout))
	defer cancel()
	result, err := r.carryOut(ctx, helper.Job{
		Text: c.Text, Shell: r.config.Shell, Dir: r.options.Dir, Env: r.environ(t), Stdin: t.stdin + "\n", Rehearsal: r.options.Rehearsal,
	}, c.straight, effects)
	r.log(ctx, t, result, err)
	if err != nil {
		err = explain(err, result.Stderr.LastLine())
	}
	return result, err
}

// carryOut runs the job: here if its command is straight and all its command lines are changes to the kernel, else in a helper.
func (r *Runner) carryOut(ctx context.Context, job helper.Job, straight *script.Straight, effects Run) (helper.Result, error) {
	if straight != nil && !job.Rehearsal {
		if steps, ok := straight.Steps(job.Env, job.Stdin); ok {
			if changes, ok := helper.ChangesOf(steps, effects); ok {
				return helper.Direct(ctx, job, changes)
			}
		}
	}
	return r.options.Helpers.Run(ctx, job, effects)
}

// A Failure is why a run failed, for people: what it ended with, and its own last words, which may be secret: they go to logs, and
// nowhere else that others read.
type Failure struct {
	Cause     error
	LastWords string // the last line on stderr, "" for none
}

// Error is part of error.
func (f *Failure) Error() string {
	if f.LastWords == "" {
		return f.Cause.Error()
	}
	return f.Cause.Error() + ": " + f.LastWords
}

// Unwrap makes the error one of its cause.
func (f *Failure) Unwrap() error { return f.Cause }

func explain(err error, lastWords string) error {
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		err = status
	}
	return &Failure{err, lastWords}
}

// log says what a command printed, all that was kept of it when debugging.
func (r *Runner) log(ctx context.Context, t task, result helper.Result, err error) {
	if result.Stdout.Blank() && result.Stderr.Blank() {
		return
	}
	level, limit := slog.LevelInfo, 1<<10
	if err != nil {
		level = slog.LevelWarn
	}
	if r.options.Logger.Enabled(ctx, slog.LevelDebug) {
		limit = helper.Kept
	}
	subnet := slog.String("subnet", t.scope)
	if t.scope == hooks.NodeScope {
		subnet = slog.Attr{} // handlers leave it out
	}
	r.options.Logger.LogAttrs(ctx, level, "hook printed", slog.Any("hook", t.hook), subnet,
		slog.String("stdout", result.Stdout.Brief(limit)), slog.String("stderr", result.Stderr.Brief(limit)))
}

// environ is the whole environment of a task's command.
func (r *Runner) environ(t task) []string {
	return slices.Concat(r.options.Environ, contractEnviron(t.hook, t.call, t.subject))
}

// noRun is a Run without a command.
type noRun struct{}

func (noRun) Command(ctx context.Context, _ interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, _ helper.OpenFunc) error {
	return next(ctx, argv)
}

func (noRun) Change([]string) (func(context.Context, interp.HandlerContext) error, bool) {
	return nil, false
}

func (noRun) LinkMTU() int                { return 0 }
func (noRun) Done() []string              { return nil }
func (noRun) Undo(context.Context) error  { return nil }
func (noRun) Keep()                       {}
func (noRun) Sweep(context.Context) error { return nil }
func (noRun) Clear(context.Context) error { return nil }
