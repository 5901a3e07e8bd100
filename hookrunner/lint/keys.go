package lint

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/hooks"
)

// lookAtKeys reports private keys that others could read, or would be told.
func (l *linter) lookAtKeys(s *syntax.Stmt) {
	for _, r := range s.Redirs {
		if isOutput(r) {
			l.silence(s)
			l.lookAtKeyFile(r.Word)
		}
	}
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		if len(c.Args) > 0 {
			l.lookAtKeyCall(c.Args)
			l.lookAtPrinted(s, c.Args)
		}
	case *syntax.BinaryCmd:
		if c.Op != syntax.Pipe && c.Op != syntax.PipeAll {
			return
		}
		if first := firstCall(c.X); first != nil && !l.silent[s] && printsKey(first) && !passesOnNoKey(c) {
			l.tellsKey(first[0].Pos())
		}
		l.silence(c.X)
		l.silence(c.Y) // what it passes on has been looked at
	}
}

func isOutput(r *syntax.Redirect) bool {
	return r.Word != nil && r.Op != syntax.RdrIn && r.Op != syntax.DplIn && r.Op != syntax.DplOut && r.Hdoc == nil && r.Op != syntax.WordHdoc &&
		(r.N == nil || r.N.Value == "1")
}

// silence notes that what is in a node prints elsewhere than the hook does.
func (l *linter) silence(n syntax.Node) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if s, ok := n.(*syntax.Stmt); ok {
			l.silent[s] = true
		}
		return true
	})
}

// tellsKey reports a private key that is printed by the hook whose output is no secret.
func (l *linter) tellsKey(at syntax.Pos) {
	if l.Hook == hooks.PreStartup {
		l.report(at, "the private key is printed, and what PreStartup prints all nodes are told")
	}
}

func (l *linter) lookAtPrinted(s *syntax.Stmt, words []*syntax.Word) {
	if !l.silent[s] && printsKey(words) {
		l.tellsKey(words[0].Pos())
	}
}

// printsKey reports whether a command prints a private key.
func printsKey(words []*syntax.Word) bool {
	switch text(words[0]) {
	case "wg":
		return len(words) == 2 && text(words[1]) == "genkey"
	case "cat":
		return slices.ContainsFunc(words[1:], isKeyFile)
	}
	return false
}

func (l *linter) lookAtKeyCall(words []*syntax.Word) {
	switch text(words[0]) {
	case "tee":
		for _, w := range words[1:] {
			l.lookAtKeyFile(w)
		}
	case "chmod":
		if len(words) > 2 && isLoose(text(words[1])) && slices.ContainsFunc(words[2:], isKeyFile) {
			l.report(words[1].Pos(), "others may read a private key: write chmod 600")
		}
	}
}

func (l *linter) lookAtKeyFile(w *syntax.Word) {
	switch file := text(w); {
	case !isKeyFile(w):
	case l.loose:
		l.report(w.Pos(), "a private key is written to a file that others can read: write umask 077 before")
	case strings.HasPrefix(file, "/tmp/") || strings.HasPrefix(file, "/var/tmp/"):
		l.report(w.Pos(), "a private key is written where others can put a file of that name first: leave the directory out")
	}
}

// isKeyFile reports whether a word looks like the file of a private key.
func isKeyFile(w *syntax.Word) bool {
	base := strings.ToLower(filepath.Base(text(w)))
	return strings.Contains(base, "priv") || strings.HasSuffix(base, ".key")
}

// isLoose reports whether a mode of chmod lets others in.
func isLoose(mode string) bool {
	if n, err := strconv.ParseUint(mode, 8, 16); err == nil {
		return n&0o077 != 0
	}
	who, rights, found := strings.Cut(mode, "+")
	return found && (who == "" || strings.ContainsAny(who, "goa")) && strings.ContainsAny(rights, "rwx")
}

// firstCall are the words of the first command of a pipe.
func firstCall(s *syntax.Stmt) []*syntax.Word {
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		return c.Args
	case *syntax.BinaryCmd:
		return firstCall(c.X)
	}
	return nil
}

// passesOnNoKey reports whether a pipe ends in what makes a public key of a private one, or in a file.
func passesOnNoKey(pipe *syntax.BinaryCmd) bool {
	safe := false
	syntax.Walk(pipe, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			safe = safe || len(n.Args) == 2 && text(n.Args[1]) == "pubkey"
		case *syntax.Redirect:
			safe = safe || n.Op == syntax.RdrOut || n.Op == syntax.AppOut
		}
		return !safe
	})
	return safe
}
