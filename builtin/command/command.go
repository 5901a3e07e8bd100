// Package command is ip, bridge, arp, wg, sysctl and small text tools, answered in this process.
//
// A command line is parsed as a whole before anything is done. What it means is a list of kernel operations, or a
// question whose answer is printed; both then go to a Kernel. What is printed, on stdout and on stderr, and the exit
// status are those of the real tools: iproute2, net-tools, wireguard-tools, procps and coreutils. Listings are described once, for text and
// for JSON.
//
// A command line with any word that is not known here goes, whole, to the next handler, which runs the real tool when
// there is one. So what is left out is not lost: namespaces, encapsulations and words cut short among others.
// docs/commands.md has the whole table.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
)

// A Kernel is what the commands act upon: a kernel.Kernel, or a run that keeps account of what is done.
type Kernel interface {
	Do(context.Context, ...kernel.Op) error
	List(ctx context.Context, like kernel.Object) ([]kernel.Object, error)
	Lookup(context.Context, kernel.Query) (kernel.Route, error)
}

// Handler returns a handler that carries out the commands it knows on k and hands all others to next. It may be called
// concurrently when k may. For its errors see Run.
func Handler(k Kernel, next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		return Run(ctx, k, interp.HandlerCtx(ctx), argv, next, openFile)
	}
}

// Text returns a handler that carries out the commands that need no kernel, and hands all others to next.
func Text(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, argv []string) error {
		if !IsText(argv) {
			return next(ctx, argv)
		}
		return Run(ctx, nil, interp.HandlerCtx(ctx), argv, next, openFile)
	}
}

// IsText reports whether a command is one that needs no kernel.
func IsText(argv []string) bool {
	switch argv[0] {
	case "basename", "cut", "date", "dirname", "grep", "head", "hostname", "ls", "sleep", "sort", "tail", "tee", "tr", "uniq", "wc":
		return true
	case "cat":
		return !slices.ContainsFunc(argv[1:], func(file string) bool { return strings.HasPrefix(path.Clean(file), "/sys") })
	case "wg":
		return len(argv) > 1 && (argv[1] == "genkey" || argv[1] == "genpsk" || argv[1] == "pubkey")
	}
	return false
}

// An OpenFunc opens a file for reading, by its absolute name.
type OpenFunc = func(name string) (io.ReadCloser, error)

func openFile(name string) (io.ReadCloser, error) { return os.Open(name) }

// Run carries out a command on k where hc says, if it is known here, and hands it to next, as it is, if not. Its errors wrap
// an interp.ExitStatus and, where the kernel refused, the *kernel.OpError; what a person should know of them has been printed.
// Whatever it reads of stdin and of files, for which it calls open, it reads before it changes anything.
func Run(ctx context.Context, k Kernel, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, open OpenFunc) error {
	t, known := lookup(argv[0])
	if !known {
		return next(ctx, argv)
	}
	c := &call{HandlerContext: hc, kernel: k, tool: t, next: next, open: open}
	c.Stdin = stoppable{ctx, c.Stdin}
	a, err := t.parse(argv)
	if err == nil {
		err = a.carryOut(ctx, c)
	}
	if word, ok := errors.AsType[unknown](err); ok {
		if t.shared || c.installed(argv[0]) {
			return next(ctx, argv)
		}
		err = &failure{
			text:   fmt.Sprintf("%s: %q is not known to overlayd, and no %s is installed", argv[0], string(word), argv[0]),
			status: statusNotFound,
		}
	}
	return c.report(t.explain(err, a))
}

// Change returns what Run does for a command line, if that is nothing but changes to the kernel, or a complaint of it: it needs
// no next handler, no files and no stdin. It is parsed once, for one call.
func Change(argv []string) (do func(context.Context, Kernel, interp.HandlerContext) error, ok bool) {
	t, known := lookup(argv[0])
	if !known {
		return nil, false
	}
	a, wrong := t.parse(argv)
	if _, elsewhere := errors.AsType[unknown](wrong); elsewhere || a.run != nil {
		return nil, false
	}
	return func(ctx context.Context, k Kernel, hc interp.HandlerContext) error {
		c, err := &call{HandlerContext: hc, kernel: k, tool: t}, wrong
		if err == nil {
			err = a.carryOut(ctx, c)
		}
		return c.report(t.explain(err, a))
	}, true
}

// What shells answer for a program that is not there, and for one that SIGPIPE ended.
const (
	statusNotFound = 127
	statusPipe     = 128 + 13
)

// Known reports whether there is a command of that name here.
func Known(name string) bool {
	_, known := lookup(name)
	return known
}

// A tool is one program that is answered here.
type tool struct {
	name    string
	grammar func(*line) action
	refused func(*kernel.OpError) *failure // tells as the tool does what the kernel refused
	shared  bool                           // the next handler may know it without a program being installed
}

// lookup finds a tool by its name. The tools are sorted.
func lookup(name string) (tool, bool) {
	tools := [...]tool{
		{name: "arp", grammar: parseARP, refused: arpRefused},
		{name: "basename", grammar: parseBasename},
		{name: "bridge", grammar: parseBridge, refused: bridgeRefused},
		{name: "cat", grammar: parseCat, shared: true},
		{name: "cut", grammar: parseCut},
		{name: "date", grammar: parseDate},
		{name: "dirname", grammar: parseDirname},
		{name: "grep", grammar: parseGrep},
		{name: "head", grammar: parseHead},
		{name: "hostname", grammar: parseHostname},
		{name: "ip", grammar: parseIP, refused: ipRefused},
		{name: "ls", grammar: parseLS, shared: true},
		{name: "sleep", grammar: parseSleep},
		{name: "sort", grammar: parseSort},
		{name: "sysctl", grammar: parseSysctl},
		{name: "tail", grammar: parseTail},
		{name: "tee", grammar: parseTee},
		{name: "tr", grammar: parseTr},
		{name: "uniq", grammar: parseUniq},
		{name: "wc", grammar: parseWC},
		{name: "wg", grammar: parseWG, refused: wgRefused},
	}
	i, found := slices.BinarySearchFunc(tools[:], name, func(t tool, name string) int { return strings.Compare(t.name, name) })
	if !found {
		return tool{}, false
	}
	return tools[i], true
}

// parse says what a command line means. It touches nothing. Its error is unknown or a *failure.
func (t tool) parse(argv []string) (action, error) {
	l := &line{words: argv[1:]}
	a := t.grammar(l)
	if l.err == nil && len(l.words) > 0 {
		l.unknown()
	}
	return a, l.err
}

// explain turns an error into a failure that speaks as the tool does, unless it is one. Errors that are not the
// command's, such as the end of the context, stay.
func (t tool) explain(err error, a action) error {
	if _, explained := err.(*failure); explained {
		return err
	}
	refusal, ok := errors.AsType[*kernel.OpError](err)
	if !ok || t.refused == nil {
		return err
	}
	f := t.refused(refusal)
	if a.noDevice != nil && isNoDevice(refusal) {
		f = a.noDevice(f)
	}
	f.cause = err
	return f
}

// An action is what a whole command line means.
type action struct {
	ops      []kernel.Op                        // changes, in order
	run      func(context.Context, *call) error // what is more than that: questions, files, text
	check    func(context.Context, *call) error // what the changes want, and the kernel would not ask for
	warning  string                             // said on stderr after the check
	noDevice func(*failure) *failure            // changes how a missing device is told
}

func change(verb kernel.Verb, o kernel.Object) action {
	return action{ops: []kernel.Op{{Verb: verb, Object: o}}}
}

func (a action) carryOut(ctx context.Context, c *call) error {
	if a.check != nil {
		if err := a.check(ctx, c); err != nil {
			return err
		}
	}
	if a.warning != "" {
		fmt.Fprint(c.Stderr, a.warning)
	}
	if a.run != nil {
		return a.run(ctx, c)
	}
	return c.kernel.Do(ctx, a.ops...)
}

// A call is one command that runs: where it reads and writes, and what it acts upon.
type call struct {
	interp.HandlerContext
	kernel Kernel
	tool   tool
	next   interp.ExecHandlerFunc
	open   OpenFunc
}

// A stoppable input ends with the context, so that no file is too long to be read through.
type stoppable struct {
	ctx  context.Context
	from io.Reader
}

// Read is part of io.Reader. No input is an empty one.
func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.from == nil {
		return 0, io.EOF
	}
	return s.from.Read(p)
}

// installed reports whether the hook's PATH has the program.
func (c *call) installed(program string) bool {
	_, err := interp.LookPathDir(c.Dir, c.Env, program)
	return err == nil
}

// report prints a failure as the real tool does and returns it. Errors that are no failure end the command with status 1,
// but the end of the context ends the whole hook, and who writes to a pipe that nobody reads ends without a word.
func (c *call) report(err error) error {
	f, ok := errors.AsType[*failure](err)
	switch {
	case err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.EPIPE):
		return &failure{text: err.Error(), status: statusPipe, cause: err}
	case !ok:
		f = &failure{text: err.Error(), status: 1, cause: err}
	}
	io.WriteString(c.Stdout, f.onStdout)
	if f.text != "" { // and has not been told
		fmt.Fprintln(c.Stderr, f.text)
	}
	return f
}

// A failure is a command that failed as the real tool fails.
type failure struct {
	text     string
	onStdout string // printed there before
	status   interp.ExitStatus
	cause    error // may be nil
}

// Error is what the command printed, or its cause when that has been told before.
func (f *failure) Error() string {
	if f.text == "" && f.cause != nil {
		return f.cause.Error()
	}
	return strings.TrimSpace(f.text)
}

// Unwrap returns the exit status and the cause.
func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.status}
	}
	return []error{f.status, f.cause}
}

// unknown is a word that is not known here.
type unknown string

func (u unknown) Error() string { return fmt.Sprintf("%q is not known", string(u)) }

// list returns the kernel's objects of one type.
func list[T kernel.Object](ctx context.Context, c *call, like T) ([]T, error) {
	objects, err := c.kernel.List(ctx, like)
	all := make([]T, len(objects))
	for i, o := range objects {
		all[i] = o.(T)
	}
	return all, err
}

// findLink returns the link of the name, or fs.ErrNotExist.
func findLink(ctx context.Context, c *call, name string) (kernel.Link, error) {
	links, err := list(ctx, c, kernel.Link{Name: name})
	for _, l := range links {
		if l.Name == name {
			return l, nil
		}
	}
	if err == nil {
		err = fs.ErrNotExist
	}
	return kernel.Link{}, err
}
