package helper

import (
	"context"
	"slices"
	"strings"

	"mvdan.cc/sh/moreinterp/coreutils"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/script"
)

// A middleware answers the commands it knows and hands all others, whole, to next. See interp.ExecHandlers.
type middleware = func(next interp.ExecHandlerFunc) interp.ExecHandlerFunc

// interpret runs a command in this process.
func (x *execution) interpret(ctx context.Context, s *script.Script, inProcess middleware) error {
	env := expand.ListEnviron(x.job.Env...)
	if s.Substitutes {
		dir, remove, err := fifoDir(ctx, env.Get("TMPDIR").String())
		if err != nil {
			return err
		}
		defer remove()
		env = expand.ListEnviron(append(x.job.Env, "TMPDIR="+dir)...)
	}
	programs := func(ctx context.Context, argv []string) error { return x.lookUp(interp.HandlerCtx(ctx), argv) }
	commands := inProcess(programs)
	exec := func(ctx context.Context, argv []string) error {
		if !x.jobs.enter() {
			return errEnded
		}
		defer x.jobs.leave()
		return commands(ctx, argv)
	}
	open := open
	if x.job.Rehearsal {
		open = x.openInRehearsal
	}
	shell, err := interp.New(
		interp.Env(env), interp.Dir(x.job.Dir), interp.StdIO(x.stdin, x.stdout, x.stderr),
		interp.CallHandler((&calls{execution: x, script: s}).handle), interp.OpenHandler(open),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return exec }),
	)
	if err != nil {
		return err
	}
	return shell.Run(ctx, s.File)
}

// utilityNames are those that coreutils.ExecHandler knows, but xargs, which starts programs of its own.
var utilityNames = strings.Fields("base64 cat chmod cp find gunzip gzcat gzip ls mkdir mktemp mv rm shasum tar touch")

// IsUtility reports whether a command is a core utility that needs no program.
func IsUtility(name string) bool { return slices.Contains(utilityNames, name) }

// utilities answers core utilities in this process, if they are given no options, for which the real ones are better, and
// no named pipes, in which they could not be interrupted, nor what the kernel tells of links, which the daemon knows better.
// Where the real ones are not installed they take options as well.
func utilities(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	inProcess := coreutils.ExecHandler(next)
	return func(ctx context.Context, argv []string) error {
		if !IsUtility(argv[0]) {
			return next(ctx, argv)
		}
		hc := interp.HandlerCtx(ctx)
		if slices.ContainsFunc(argv[1:], func(word string) bool {
			return namesStream(word) || strings.HasPrefix(word, "/sys/") || isFIFO(absolute(hc.Dir, word))
		}) {
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
