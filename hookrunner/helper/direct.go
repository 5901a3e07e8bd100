package helper

import (
	"context"
	"errors"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/script"
)

// Changes are the command lines of a script, each of them nothing but changes to the kernel.
type Changes []change

type change struct {
	when script.When
	do   func(context.Context, interp.HandlerContext) error
}

// ChangesOf returns the command lines as changes, if commands call each of them one.
func ChangesOf(steps []script.Step, commands Commands) (Changes, bool) {
	all := make(Changes, len(steps))
	for i, s := range steps {
		do, ok := commands.Change(s.Argv)
		if !ok {
			return nil, false
		}
		all[i] = change{s.When, do}
	}
	return all, true
}

// Direct has the daemon carry out changes without a helper, as if they came from one. Of the job it takes the environment and the
// directory. Its results are those of Pool.Run.
func Direct(ctx context.Context, job Job, changes Changes) (Result, error) {
	var out, errOut output
	hc := interp.HandlerContext{
		Env: expand.ListEnviron("PATH=" + expand.ListEnviron(job.Env...).Get("PATH").String()), Dir: job.Dir, Stdout: &out, Stderr: &errOut,
	}
	err := changes.carryOut(ctx, hc)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Result{out.result(), errOut.result()}, err
}

func (all Changes) carryOut(ctx context.Context, hc interp.HandlerContext) (last error) {
	for _, c := range all {
		if ctx.Err() != nil || !c.when.Holds(last == nil) {
			continue
		}
		last = c.do(ctx, hc)
		if last == nil {
			continue
		}
		status, ok := errors.AsType[interp.ExitStatus](last)
		if !ok {
			return last
		}
		if last = nil; status != 0 {
			last = status
		}
	}
	return last
}
