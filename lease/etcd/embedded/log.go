package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// core passes etcd's warnings and errors on to slog. Where etcd would end the process, it ends the goroutine and says why.
type core struct {
	log     *slog.Logger
	with    []zapcore.Field
	closing context.Context // when done, listeners and servers complain that they are closed
	fail    func(error)
}

func newLogger(closing context.Context, log *slog.Logger, fail func(error)) *zap.Logger {
	return zap.New(core{log: log, closing: closing, fail: fail}, zap.WithFatalHook(exitGoroutine{}), zap.WithPanicHook(exitGoroutine{}))
}

type exitGoroutine struct{}

func (exitGoroutine) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) { runtime.Goexit() }

// harmless are parts of what a member in good health says when it starts.
var harmless = []string{
	"Running http and grpc server on single port. This is not recommended for production.",
	"simple token is not cryptographically signed",
	"Failed to detect schema version", // of data that is seconds old; it looks again
	"failed to update storage version",
	"since there are still pending configuration changes to apply", // it tries again
}

func (c core) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.with = append(slices.Clip(c.with), fields...)
	return c
}

func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	contained := func(part string) bool { return strings.Contains(e.Message, part) }
	if !c.Enabled(e.Level) || c.closing.Err() != nil || slices.ContainsFunc(harmless, contained) {
		return checked
	}
	return checked.AddCore(e, c)
}

func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	values := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(c.with), fields...) {
		f.AddTo(values)
	}
	var attrs []slog.Attr
	if cause, ok := values.Fields["error"]; ok {
		attrs = append(attrs, slog.Any("err", cause))
	}
	c.log.LogAttrs(context.Background(), level, "etcd: "+e.Message, attrs...)
	if e.Level > zapcore.ErrorLevel {
		c.fail(fmt.Errorf("%s: %v", e.Message, values.Fields["error"]))
	}
	return nil
}

func (core) Sync() error { return nil }
