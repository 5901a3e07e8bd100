package hookrunner

import (
	"context"
	"slices"

	"mvdan.cc/sh/moreinterp/coreutils"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// interpret runs a command in this process. All shells of concurrent runs share the parsed command.
func (x *execution) interpret(ctx context.Context, c *command, effects Run) error {
	env := expand.ListEnviron(x.env...)
	if c.substitutes {
		dir, remove, err := fifoDir(ctx, env.Get("TMPDIR").String())
		if err != nil {
			return err
		}
		defer remove()
		env = expand.ListEnviron(append(x.env, "TMPDIR="+dir)...)
	}
	programs := func(ctx context.Context, argv []string) error { return x.lookUp(interp.HandlerCtx(ctx), argv) }
	inProcess := effects.Exec(utilities(programs))
	exec := func(ctx context.Context, argv []string) error {
		if !x.jobs.enter() {
			return errEnded
		}
		defer x.jobs.leave()
		if slices.ContainsFunc(argv[1:], namesStream) {
			return programs(ctx, argv)
		}
		return inProcess(ctx, argv)
	}
	shell, err := interp.New(
		interp.Env(env), interp.Dir(x.dir), interp.StdIO(x.stdin, x.stdout, x.stderr),
		interp.CallHandler(new(calls).handle), interp.OpenHandler(open),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return exec }),
	)
	if err != nil {
		return err
	}
	return shell.Run(ctx, c.file)
}

// utilities answers core utilities in this process, if they are given no options, for which the real ones are better, and
// no named pipes, in which they could not be interrupted. Where the real ones are not installed they take options as well.
// xargs is left out: it starts programs of its own.
func utilities(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	inProcess := coreutils.ExecHandler(next)
	return func(ctx context.Context, argv []string) error {
		hc := interp.HandlerCtx(ctx)
		if argv[0] == "xargs" || slices.ContainsFunc(argv[1:], func(word string) bool { return isFIFO(absolute(hc.Dir, word)) }) {
			return next(ctx, argv)
		}
		if slices.ContainsFunc(argv[1:], isOption) {
			if _, err := interp.LookPathDir(hc.Dir, hc.Env, argv[0]); err == nil {
				return next(ctx, argv)
			}
		}
		return inProcess(ctx, argv)
	}
}

func isOption(word string) bool { return len(word) > 1 && word[0] == '-' }
