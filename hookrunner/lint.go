package hookrunner

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/hookrunner/script"
	"github.com/overlayd/overlayd/hooks"
)

// A Finding is what is probably a mistake in a command.
type Finding struct {
	Key  string     // of the config, such as SubnetAddCommand
	At   syntax.Pos // in the command; the zero Pos is the command as a whole
	What string
}

// String is "key:line:column: what".
func (f Finding) String() string {
	if !f.At.IsValid() {
		return f.Key + ": " + f.What
	}
	return fmt.Sprintf("%s:%s: %s", f.Key, f.At, f.What)
}

// Answered are the programs that the in-process commands and utilities answer, where Shell is not given.
var answered = strings.Fields(`ip bridge arp wg cat cut head tail tee tr
	base64 chmod cp find ls mkdir mktemp mv rm shasum tar touch xargs gzip gunzip`)

// Lint looks for probable mistakes in the commands, in the order of hooks, by their text and the programs that are installed.
func (c Config) Lint() (all []Finding) {
	for _, h := range hookOrder {
		if c.commands[h] == nil {
			continue
		}
		l := linter{config: c, hook: h, functions: map[string]bool{}, tainted: map[string]bool{}, set: map[string]bool{}}
		l.command(c.commands[h].File)
		all = append(all, l.findings...)
	}
	return all
}

// A linter looks at one hook's command.
type linter struct {
	config    Config
	hook      hooks.Hook
	functions map[string]bool
	set       map[string]bool // variables that the command sets itself
	tainted   map[string]bool // those of them with what a peer wrote
	umask     bool            // the command, or the in-process shell, sees to private files
	external  *syntax.Pos     // of the first program that is not answered in-process
	findings  []Finding
}

func (l *linter) report(at syntax.Pos, format string, args ...any) {
	l.findings = append(l.findings, Finding{commandKey(l.hook), at, fmt.Sprintf(format, args...)})
}

func (l *linter) command(file *syntax.File) {
	l.umask = l.config.Shell == ""
	syntax.Walk(file, func(n syntax.Node) bool { l.declare(n); return true })
	syntax.Walk(file, func(n syntax.Node) bool { l.look(n); return true })
	if l.hook == hooks.SubnetAdd && l.external != nil && l.config.commands[hooks.SubnetRemove] == nil {
		l.report(*l.external, "a program outside of overlayd changes things here, and there is no SubnetRemoveCommand to take them back")
	}
}

// fromPeer reports whether the hook's stdin is what a peer wrote.
func (l *linter) fromPeer() bool { return l.hook == hooks.SubnetAdd || l.hook == hooks.SubnetRemove }

// declare notes what a node gives a name to.
func (l *linter) declare(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.FuncDecl:
		l.functions[n.Name.Value] = true
	case *syntax.Assign:
		if n.Name != nil {
			l.set[n.Name.Value] = true
			l.taint(n.Name.Value, n.Value != nil && l.isTainted(n.Value))
		}
	case *syntax.WordIter:
		l.set[n.Name.Value] = true
		l.taint(n.Name.Value, slices.ContainsFunc(n.Items, l.isTainted))
	case *syntax.CallExpr:
		if len(n.Args) == 0 {
			return
		}
		switch n.Args[0].Lit() {
		case "read", "mapfile", "readarray":
			for _, name := range n.Args[1:] {
				l.set[name.Lit()] = true
				l.taint(name.Lit(), l.fromPeer())
			}
		case "umask":
			l.umask = l.umask || len(n.Args) == 2 && script.IsPrivate(n.Args[1].Lit())
		}
	}
}

func (l *linter) taint(name string, is bool) {
	if is {
		l.tainted[name] = true
	}
}

// isTainted reports whether what a peer wrote is in the word: from a variable, or from a command that reads stdin.
func (l *linter) isTainted(w *syntax.Word) (found bool) {
	syntax.Walk(w, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			found = found || n.Param != nil && l.tainted[n.Param.Value]
		case *syntax.CallExpr:
			found = found || l.fromPeer() && len(n.Args) == 1 && n.Args[0].Lit() == "cat"
		}
		return !found
	})
	return found
}

// look reports what is wrong about one node.
func (l *linter) look(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.ParamExp:
		l.lookAtVariable(n)
	case *syntax.CallExpr:
		if len(n.Args) > 0 {
			l.lookAtCall(n.Args[0].Lit(), n)
		}
	case *syntax.Redirect:
		if !l.umask && n.Word != nil && strings.Contains(strings.ToLower(n.Word.Lit()), "priv") && n.Op != syntax.RdrIn {
			l.report(n.Pos(), "a private key is written to a file that others can read: put umask 077 before")
		}
	}
}

func (l *linter) lookAtCall(name string, call *syntax.CallExpr) {
	for _, w := range call.Args[1:] {
		switch {
		case !l.isTainted(w):
		case name == "eval" || name == "source" || name == "." || isShell(name):
			l.report(w.Pos(), "what a peer wrote is run as a command by %s", name)
		case unquoted(w, l.tainted):
			l.report(w.Pos(), `what a peer wrote is not in quotes: it may become several words, or none: write "$…"`)
		}
	}
	switch {
	case name == "" || l.functions[name] || interp.IsBuiltin(name):
		return
	case l.config.Shell == "" && slices.Contains(answered, name):
	default:
		if _, err := exec.LookPath(name); err != nil {
			l.report(call.Pos(), "%s is neither in-process nor installed", name)
		} else if l.external == nil {
			at := call.Pos()
			l.external = &at
		}
	}
	if name == "tee" && !l.umask && slices.ContainsFunc(call.Args[1:], func(w *syntax.Word) bool { return strings.Contains(strings.ToLower(w.Lit()), "priv") }) {
		l.report(call.Pos(), "a private key is written to a file that others can read: put umask 077 before")
	}
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "zsh", "/bin/sh", "/bin/bash"}, name)
}

// unquoted reports whether one of the variables stands in the word without quotes around it.
func unquoted(w *syntax.Word, variables map[string]bool) bool {
	return slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool {
		e, ok := p.(*syntax.ParamExp)
		return ok && e.Param != nil && variables[e.Param.Value]
	})
}

// lookAtVariable reports a variable that nobody sets.
func (l *linter) lookAtVariable(e *syntax.ParamExp) {
	if e.Param == nil || e.Exp != nil || e.Length {
		return // with ${NAME:-…} its author knows
	}
	name := e.Param.Value
	known := slices.Concat(l.eventVariables(), strings.Fields("PATH HOME TMPDIR LANG IFS PWD OLDPWD OPTARG OPTIND UID RANDOM LINENO REPLY"))
	if l.set[name] || slices.Contains(known, name) || strings.Trim(name, "0123456789@*#?!-$") == "" {
		return
	}
	l.report(e.Pos(), "$%s is not set for %s", name, l.hook)
}

// eventVariables are those that the contract promises to the hook, for any family.
func (l *linter) eventVariables() []string {
	all := strings.Fields("NETWORK IPV6NETWORK PUBLIC_IP PUBLIC_IPV6 NODE_PUBLIC_IP NODE_PUBLIC_IPV6 IFACE IFACE_MTU EVENT REASON")
	if l.hook != hooks.PreStartup {
		all = append(all, "SUBNET", "IPV6SUBNET", "NODE_SUBNET", "NODE_IPV6SUBNET")
	}
	return all
}
