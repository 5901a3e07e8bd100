package helper

import (
	"context"
	"errors"
	"io"
	"slices"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/script"
)

// Direct has the daemon carry out command lines without a helper, as if they came from one, each of which commands must call a
// change. Of the job it takes the environment and the directory. Its results are those of Pool.Run.
func Direct(ctx context.Context, job Job, steps []script.Step, commands Commands) (Result, error) {
	var out, errOut output
	hc := interp.HandlerContext{
		Env: expand.ListEnviron("PATH=" + expand.ListEnviron(job.Env...).Get("PATH").String()), Dir: job.Dir, Stdout: &out, Stderr: &errOut,
	}
	err := carryOut(ctx, hc, steps, commands)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Result{out.result(), errOut.result()}, err
}

func carryOut(ctx context.Context, hc interp.HandlerContext, steps []script.Step, commands Commands) (last error) {
	for _, s := range steps {
		if ctx.Err() != nil || !s.When.Holds(last == nil) {
			continue
		}
		last = commands.Command(ctx, hc, s.Argv, noProgram, noFile)
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

// AreChanges reports whether Direct can carry out the command lines.
func AreChanges(steps []script.Step, commands Commands) bool {
	return !slices.ContainsFunc(steps, func(s script.Step) bool { return !commands.IsChange(s.Argv) })
}

var errChange = errors.New("a command that is a change to the kernel wanted a program or a file")

func noProgram(context.Context, []string) error { return errChange }

func noFile(string) (io.ReadCloser, error) { return nil, errChange }
