package script

import "mvdan.cc/sh/v3/syntax"

// waitedFor finds $! where it does what it does in other shells, though it is no process id: as what wait waits for, and as
// the whole value of a variable.
func waitedFor(file *syntax.File) map[*syntax.ParamExp]bool {
	all := map[*syntax.ParamExp]bool{}
	allow := func(parts []syntax.WordPart) {
		for len(parts) == 1 {
			switch p := parts[0].(type) {
			case *syntax.ParamExp:
				all[p] = true
				return
			case *syntax.DblQuoted:
				parts = p.Parts
			default:
				return
			}
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Assign:
			if n.Value != nil {
				allow(n.Value.Parts)
			}
		case *syntax.CallExpr:
			if len(n.Args) > 1 && n.Args[0].Lit() == "wait" {
				for _, w := range n.Args[1:] {
					allow(w.Parts)
				}
			}
		}
		return true
	})
	return all
}

// umaskInside finds umask where other shells keep to a part of the script what the in-process one does to the whole.
func umaskInside(file *syntax.File) (found *refusal) {
	inside := func(nodes ...syntax.Node) {
		for _, n := range nodes {
			syntax.Walk(n, func(n syntax.Node) bool {
				if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 1 && call.Args[0].Lit() == "umask" && found == nil {
					found = &refusal{call.Pos(), "umask in a subshell or function", useSh}
				}
				return found == nil
			})
		}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst, *syntax.FuncDecl:
			inside(n)
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				inside(n.X, n.Y)
			}
		case *syntax.Stmt:
			if n.Background {
				inside(n)
			}
		}
		return found == nil
	})
	return found
}
