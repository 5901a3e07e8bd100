package lint

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/hooks"
)

// fromPeer reports whether the hook's stdin is what a peer wrote.
func (l *linter) fromPeer() bool { return l.Hook == hooks.SubnetAdd || l.Hook == hooks.SubnetRemove }

// declare notes what a node gives a name to.
func (l *linter) declare(n syntax.Node) {
	switch n := n.(type) {
	case *syntax.FuncDecl:
		l.functions[n.Name.Value] = true
	case *syntax.Assign:
		if n.Name != nil {
			l.sets(n.Name.Value, n.Value != nil && l.isTainted(n.Value))
		}
	case *syntax.ParamExp:
		if n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
			l.sets(n.Param.Value, n.Exp.Word != nil && l.isTainted(n.Exp.Word))
		}
	case *syntax.WordIter:
		l.sets(n.Name.Value, slices.ContainsFunc(n.Items, l.isTainted))
	case *syntax.CallExpr:
		if len(n.Args) > 0 {
			l.declareCall(n.Args)
		}
	}
}

func (l *linter) declareCall(words []*syntax.Word) {
	switch text(words[0]) {
	case "read", "mapfile", "readarray":
		l.sets("REPLY", l.fromPeer())
		for _, name := range words[1:] {
			l.sets(text(name), l.fromPeer())
		}
	case "getopts":
		for _, name := range words[2:] {
			l.sets(text(name), false)
		}
	}
}

func (l *linter) sets(name string, tainted bool) {
	l.set[name] = true
	if tainted {
		l.tainted[name] = true
	}
}

// isTainted reports whether what a peer wrote is in a word: from a variable, or from a command that reads stdin.
func (l *linter) isTainted(w *syntax.Word) bool { return l.taints(w) }

func (l *linter) taints(n syntax.Node) (found bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ParamExp:
			found = found || n.Param != nil && l.tainted[n.Param.Value]
		case *syntax.CmdSubst:
			found = found || l.fromPeer() && len(n.Stmts) > 0 && readsStdin(n.Stmts[0])
		}
		return !found
	})
	return found
}

// filters are programs that pass on what they read of stdin.
var filters = strings.Fields("awk base64 cut grep head jq rev sed sort tail tee tr uniq")

// readsStdin reports whether a statement passes on what it reads of the hook's stdin.
func readsStdin(s *syntax.Stmt) bool {
	if slices.ContainsFunc(s.Redirs, func(r *syntax.Redirect) bool {
		return r.Op == syntax.RdrIn || r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc || r.Op == syntax.WordHdoc
	}) {
		return false
	}
	switch c := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		return readsStdin(c.X)
	case *syntax.CallExpr:
		if len(c.Args) == 0 {
			return false
		}
		name := text(c.Args[0])
		return name == "cat" && (len(c.Args) == 1 || text(c.Args[1]) == "-" || text(c.Args[1]) == "/dev/stdin") || slices.Contains(filters, name)
	}
	return false
}

// unquoted reports whether what a peer wrote stands in a word without quotes around it.
func (l *linter) unquoted(w *syntax.Word) bool {
	return slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool {
		switch p.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst:
			return l.taints(p)
		}
		return false
	})
}

// text is that of a word without expansions, in quotes or not, and "" for others.
func text(w *syntax.Word) string {
	var b strings.Builder
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(text(&syntax.Word{Parts: p.Parts}))
		default:
			return ""
		}
	}
	return b.String()
}
