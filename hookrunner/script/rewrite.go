package script

import (
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// rewrite changes a script where the in-process shell would do otherwise than others: a job in the background reads nothing,
// the last part of a pipe is a subshell, so that what it reads into variables does not remain, and >| is >, since set -C is
// not possible.
func rewrite(s *Script) {
	syntax.Walk(s.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Stmt:
			if n.Background {
				n.Redirs = append([]*syntax.Redirect{{OpPos: n.Pos(), Op: syntax.RdrIn, Word: word("/dev/null")}}, n.Redirs...)
			}
		case *syntax.BinaryCmd:
			if (n.Op == syntax.Pipe || n.Op == syntax.PipeAll) && !s.program(n.Y) {
				n.Y = &syntax.Stmt{Position: n.Y.Position, Cmd: &syntax.Subshell{Lparen: n.Y.Pos(), Rparen: n.Y.End(), Stmts: []*syntax.Stmt{n.Y}}}
			}
		case *syntax.Redirect:
			if n.Op == syntax.RdrClob {
				n.Op = syntax.RdrOut
			}
		}
		return true
	})
}

// program reports whether a statement is a call of a program, which cannot change the shell.
func (s *Script) program(stmt *syntax.Stmt) bool {
	call, ok := stmt.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	name := literal(call.Args[0])
	return name != "" && !interp.IsBuiltin(name) && !s.Functions[name]
}

func word(text string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: text}}}
}
