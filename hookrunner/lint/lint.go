// Package lint finds what is probably a mistake in a hook, by its text and by what this machine has installed.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/hooks"
)

// A Finding is what is probably a mistake.
type Finding struct {
	At   syntax.Pos // in the command
	What string
}

// Facts are what is to be known of a hook beside its text.
type Facts struct {
	Hook      hooks.Hook
	V4, V6    bool                   // the families of the network
	HasRemove bool                   // there is a command that takes back what this one does
	InProcess func(name string) bool // whether a command needs no program
}

// File returns the findings in a hook, in their order.
func File(file *syntax.File, facts Facts) []Finding {
	l := &linter{Facts: facts, functions: map[string]bool{}, tainted: map[string]bool{}, set: map[string]bool{}, silent: map[*syntax.Stmt]bool{}}
	// A loop may use before what it sets after, and what is tainted spreads.
	for before := -1; before < len(l.tainted); {
		before = len(l.tainted)
		syntax.Walk(file, func(n syntax.Node) bool { l.declare(n); return true })
	}
	syntax.Walk(file, func(n syntax.Node) bool { l.look(n); return true })
	if facts.Hook == hooks.SubnetAdd && l.external.IsValid() && !facts.HasRemove {
		l.report(l.external, "a program outside of overlayd changes things here, and there is no SubnetRemoveCommand to take them back")
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int { return cmp.Compare(a.At.Offset(), b.At.Offset()) })
	return slices.Compact(l.findings)
}

// A linter looks at one hook's command.
type linter struct {
	Facts
	functions map[string]bool
	set       map[string]bool       // variables that the command sets itself
	tainted   map[string]bool       // those of them with what a peer wrote
	silent    map[*syntax.Stmt]bool // what they print the hook does not
	loose     bool                  // umask lets others read what comes now
	external  syntax.Pos            // of the first program that may change something and is not answered in-process
	findings  []Finding
}

func (l *linter) report(at syntax.Pos, format string, args ...any) {
	l.findings = append(l.findings, Finding{at, fmt.Sprintf(format, args...)})
}

// look reports what is wrong about one node.
func (l *linter) look(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.ParamExp:
		l.lookAtVariable(n)
	case *syntax.CallExpr:
		if len(n.Args) > 0 {
			l.lookAtCall(n.Args)
		}
	case *syntax.BinaryCmd:
		l.lookAtPipe(n)
	case *syntax.CmdSubst, *syntax.ProcSubst:
		l.silence(n)
	case *syntax.Stmt:
		l.lookAtKeys(n)
	case *syntax.Redirect:
		if n.Word != nil && (n.Op == syntax.WordHdoc || n.Hdoc != nil) {
			return // text, not a file
		}
		if n.Word != nil && l.isTainted(n.Word) {
			l.report(n.Word.Pos(), "what a peer wrote names a file")
		}
	}
}

// lookAtVariable reports a variable that nobody sets.
func (l *linter) lookAtVariable(e *syntax.ParamExp) {
	if e.Param == nil || e.Length || e.Exp != nil && expectsUnset(e.Exp.Op) {
		return // its author knows
	}
	name := e.Param.Value
	if l.set[name] || slices.Contains(shellVariables, name) || strings.Trim(name, "0123456789@*#?!-$") == "" {
		return
	}
	switch family, known := l.eventVariable(name); {
	case !known:
		l.report(e.Pos(), "$%s is not set for %s", name, l.Hook)
	case !family:
		l.report(e.Pos(), "$%s is not set: the network has none of its address family", name)
	}
}

func expectsUnset(op syntax.ParExpOperator) bool {
	return slices.Contains([]syntax.ParExpOperator{
		syntax.AlternateUnset, syntax.AlternateUnsetOrNull, syntax.DefaultUnset, syntax.DefaultUnsetOrNull,
		syntax.ErrorUnset, syntax.ErrorUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull,
	}, op)
}

// shellVariables are those that every hook has.
var shellVariables = strings.Fields("PATH HOME TMPDIR LANG IFS PWD OLDPWD OPTARG OPTIND UID EUID PPID RANDOM LINENO REPLY HOSTNAME")

// eventVariable reports whether the contract promises a variable to the hook, and whether the network has its family.
func (l *linter) eventVariable(name string) (family, known bool) {
	if slices.Contains([]string{"IFACE", "IFACE_MTU", "EVENT", "REASON"}, name) {
		return true, true
	}
	rest, node := strings.CutPrefix(name, "NODE_")
	switch rest {
	case "PUBLIC_IP", "PUBLIC_IPV6":
		return true, true // a node may have one of the family that the network does not use
	case "SUBNET":
		return l.V4, l.Hook != hooks.PreStartup
	case "IPV6SUBNET":
		return l.V6, l.Hook != hooks.PreStartup
	case "NETWORK":
		return l.V4, !node
	case "IPV6NETWORK":
		return l.V6, !node
	}
	return false, false
}
