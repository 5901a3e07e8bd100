package script

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// addresses are the variables of a hook that hold an address or a prefix in its canonical text, or are unset.
var addresses = strings.Fields(`NETWORK IPV6NETWORK SUBNET IPV6SUBNET PUBLIC_IP PUBLIC_IPV6
	NODE_SUBNET NODE_IPV6SUBNET NODE_PUBLIC_IP NODE_PUBLIC_IPV6`)

// chained are the commands of which several can be asked of the daemon at once.
var chained = []string{"arp", "bridge", "ip", "wg"}

// Chain has the script call chains: "ip … && arp … && bridge …" becomes one command line, of the word given and the three
// command lines, with the word between them. No text that a hook meets may be that word.
//
// It also replaces $(echo $SUBNET | cut -d/ -f1) by ${SUBNET%%/*}, which is the same for what SUBNET can hold.
//
// It does neither in a script in which that could make a difference: one that changes how the shell works, or whose text is
// not all known.
func (s *Script) Chain(word string) {
	o := optimizer{script: s, word: word, assigned: map[string]bool{}}
	if o.survey() {
		o.optimize()
	}
}

type optimizer struct {
	script   *Script
	word     string
	assigned map[string]bool // variables that the script gives a value to
}

// survey reports whether the script can be changed without a difference.
func (o *optimizer) survey() bool {
	plain := true
	syntax.Walk(o.script.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Assign:
			if n.Name != nil {
				o.assigned[n.Name.Value] = true
			}
		case *syntax.ParamExp:
			if n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
				o.assigned[n.Param.Value] = true
			}
		case *syntax.DeclClause:
			plain = plain && !slices.ContainsFunc(n.Args, isNameref) && n.Variant.Value != "nameref"
		case *syntax.WordIter:
			o.assigned[n.Name.Value] = true
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				plain = plain && o.isPlain(n.Args)
			}
		}
		return plain
	})
	return plain && !o.assigned["IFS"] && !o.script.Functions["echo"] && !o.script.Functions["cut"]
}

func isNameref(a *syntax.Assign) bool {
	return a.Naked && a.Value != nil && strings.HasPrefix(literal(a.Value), "-") && strings.Contains(literal(a.Value), "n")
}

func (o *optimizer) isPlain(words []*syntax.Word) bool {
	name := literal(words[0])
	switch name {
	case "":
		return false
	case "read", "mapfile", "readarray", "getopts", "printf", "unset":
		for _, w := range words[1:] {
			o.assigned[literal(w)] = true
		}
	case "command", "builtin", "exec":
		return len(words) > 1 && !interp.IsBuiltin(literal(words[1]))
	}
	return !slices.Contains([]string{"set", "shopt", "trap", "alias", "unalias", "eval", ".", "source", "hash", "enable"}, name)
}

func (o *optimizer) optimize() {
	o.replaceCuts()
	syntax.Walk(o.script.File, func(n syntax.Node) bool {
		if s, ok := n.(*syntax.Stmt); ok {
			o.chain(s)
		}
		return true
	})
}

func (o *optimizer) replaceCuts() {
	syntax.Walk(o.script.File, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Word:
			o.replaceCut(n.Parts)
		case *syntax.DblQuoted:
			o.replaceCut(n.Parts)
		}
		return true
	})
}

// replaceCut replaces the command substitutions among the parts that only cut an address.
func (o *optimizer) replaceCut(parts []syntax.WordPart) {
	for i, p := range parts {
		if c, ok := p.(*syntax.CmdSubst); ok {
			if e := o.cut(c); e != nil {
				parts[i] = e
			}
		}
	}
}

// cut returns the expansion that does the same as a substitution such as $(echo $SUBNET | cut -d/ -f1), nil without one.
func (o *optimizer) cut(c *syntax.CmdSubst) *syntax.ParamExp {
	if len(c.Stmts) != 1 {
		return nil
	}
	pipe, ok := bare(c.Stmts[0]).(*syntax.BinaryCmd)
	if !ok || pipe.Op != syntax.Pipe {
		return nil
	}
	echo, cut := words(pipe.X), words(pipe.Y)
	if len(echo) != 2 || literal(echo[0]) != "echo" || len(cut) < 3 || literal(cut[0]) != "cut" {
		return nil
	}
	name := variable(echo[1])
	if !slices.Contains(addresses, name) || o.assigned[name] {
		return nil
	}
	var options strings.Builder
	for _, w := range cut[1:] {
		options.WriteString(literal(w))
	}
	e := &syntax.ParamExp{Dollar: c.Left, Param: &syntax.Lit{ValuePos: c.Left, Value: name}}
	switch options.String() {
	case "-d/-f1", "-f1-d/":
		e.Exp = &syntax.Expansion{Op: syntax.RemLargeSuffix, Word: word("/*")}
	case "-d/-f2", "-f2-d/": // of an address, which has no second field, cut prints all
		e.Exp = &syntax.Expansion{Op: syntax.RemSmallPrefix, Word: word("*/")}
	default:
		return nil
	}
	return e
}

// bare is the command of a statement that is nothing but a command, nil for others.
func bare(s *syntax.Stmt) syntax.Command {
	if s.Negated || s.Background || s.Coprocess || s.Disown || len(s.Redirs) > 0 {
		return nil
	}
	return s.Cmd
}

// words are those of a statement that is nothing but the call of a command.
func words(s *syntax.Stmt) []*syntax.Word {
	if call, ok := bare(s).(*syntax.CallExpr); ok && len(call.Assigns) == 0 {
		return call.Args
	}
	return nil
}

// variable is the name of the variable that a word is, and nothing else, in quotes or not.
func variable(w *syntax.Word) string {
	parts := w.Parts
	if len(parts) == 1 {
		if q, ok := parts[0].(*syntax.DblQuoted); ok {
			parts = q.Parts
		}
	}
	if len(parts) != 1 {
		return ""
	}
	if e, ok := parts[0].(*syntax.ParamExp); ok && isSimple(e) && e.Exp == nil {
		return e.Param.Value
	}
	return ""
}

// isSimple reports whether an expansion depends on a variable alone, and changes nothing.
func isSimple(e *syntax.ParamExp) bool {
	if e.Excl || e.Length || e.Width || e.Index != nil || e.Slice != nil || e.Repl != nil || e.Names != 0 || e.NestedParam != nil {
		return false
	}
	if first := e.Param.Value[0]; first != '_' && (first|0x20 < 'a' || first|0x20 > 'z') {
		return false
	}
	if e.Exp == nil {
		return true
	}
	switch e.Exp.Op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		return literal(e.Exp.Word) != ""
	}
	return false
}

// chain makes one call of calls that are joined by &&.
func (o *optimizer) chain(s *syntax.Stmt) {
	list, ok := s.Cmd.(*syntax.BinaryCmd)
	if !ok || list.Op != syntax.AndStmt {
		return
	}
	var joined []*syntax.Stmt
	for _, part := range flattened(s) {
		if last := len(joined) - 1; last >= 0 && o.chains(joined[last]) && o.chains(part) {
			joined[last] = o.join(joined[last], part)
			continue
		}
		joined = append(joined, part)
	}
	s.Cmd = rebuilt(joined, list).Cmd
}

// flattened are the statements that a statement joins by &&.
func flattened(s *syntax.Stmt) []*syntax.Stmt {
	if list, ok := s.Cmd.(*syntax.BinaryCmd); ok && list.Op == syntax.AndStmt {
		return append(plainly(list.X), plainly(list.Y)...)
	}
	return []*syntax.Stmt{s}
}

// plainly is flattened for a statement that is nothing but a list.
func plainly(s *syntax.Stmt) []*syntax.Stmt {
	if bare(s) == nil {
		return []*syntax.Stmt{s}
	}
	return flattened(s)
}

func rebuilt(parts []*syntax.Stmt, list *syntax.BinaryCmd) *syntax.Stmt {
	all := parts[0]
	for _, p := range parts[1:] {
		all = &syntax.Stmt{Position: all.Position, Cmd: &syntax.BinaryCmd{OpPos: list.OpPos, Op: syntax.AndStmt, X: all, Y: p}}
	}
	return all
}

// chains reports whether a statement is the call of a command that the daemon answers, of which all words can be known at the
// beginning of the chain, or a chain already.
func (o *optimizer) chains(s *syntax.Stmt) bool {
	all := words(s)
	if len(all) == 0 {
		return false
	}
	name := literal(all[0])
	if name != o.word && (!slices.Contains(chained, name) || o.script.Functions[name]) {
		return false
	}
	return !slices.ContainsFunc(all, func(w *syntax.Word) bool { return !isConstant(w.Parts) })
}

// isConstant reports whether parts of a word are the same before and after another command.
func isConstant(parts []syntax.WordPart) bool {
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(p.Value, "*?[{~") { // names of files
				return false
			}
		case *syntax.SglQuoted:
		case *syntax.DblQuoted:
			if !isConstant(p.Parts) {
				return false
			}
		case *syntax.ParamExp:
			if !isSimple(p) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// join returns the chain of a call or chain and a call.
func (o *optimizer) join(first, then *syntax.Stmt) *syntax.Stmt {
	args := words(first)
	if literal(args[0]) != o.word {
		args = slices.Insert(slices.Clone(args), 0, word(o.word))
	}
	args = append(args, word(o.word))
	return &syntax.Stmt{Position: first.Position, Cmd: &syntax.CallExpr{Args: append(args, words(then)...)}}
}
