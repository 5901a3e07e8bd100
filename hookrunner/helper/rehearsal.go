package helper

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
)

// outside reports whether a rehearsal must not write a file: it may write below the directory of hooks, which is a copy.
func outside(dir, path string) bool {
	below, err := filepath.Rel(dir, path)
	return err != nil || below == ".." || strings.HasPrefix(below, "../")
}

// openInRehearsal is open, but what would be written outside of the job's directory goes nowhere.
func (x *execution) openInRehearsal(ctx context.Context, path string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	writes := flag&(os.O_WRONLY|os.O_RDWR) != 0
	if writes && streamNumber(path) < 0 && outside(x.job.Dir, absolute(interp.HandlerCtx(ctx).Dir, path)) {
		path, flag = os.DevNull, os.O_WRONLY
	}
	return open(ctx, path, flag, perm)
}

// rehearse hands tee to next where it would write outside of the job's directory, and all else to text.
func (j Job) rehearse(text, next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		dir := interp.HandlerCtx(ctx).Dir
		if argv[0] == "tee" && slices.ContainsFunc(argv[1:], func(file string) bool { return outside(j.Dir, absolute(dir, file)) }) {
			return next(ctx, argv)
		}
		return text(ctx, argv)
	}
}
