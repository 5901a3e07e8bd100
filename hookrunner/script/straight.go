package script

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// A Straight is a script of which all is known before the first command runs: first it gives values to variables, by
// assignments and at most one read, then it calls commands that the daemon answers, joined by &&, || and newlines. Nothing that
// a command does changes what the next one is, and nothing repeats itself.
type Straight struct {
	settings []setting
	calls    []call
	assigned map[string]bool
	reads    bool
}

// A setting gives variables their values: the one name that of a word, or all of them those of a line of stdin.
type setting struct {
	names []string
	value *syntax.Word // nil for the empty one, and for a line
	line  bool
	raw   bool // of a line: a backslash is nothing special
}

type call struct {
	words []*syntax.Word
	when  When
}

// A Step is a command line, and when it is carried out.
type Step struct {
	Argv []string
	When When
}

// When tells by the status before it whether a command is carried out.
type When int

// Separators of command lines.
const (
	Always    When = iota // a newline
	OnSuccess             // &&
	OnFailure             // ||
)

// Holds reports whether a command is carried out after one that succeeded or did not.
func (w When) Holds(succeeded bool) bool { return w == Always || (w == OnSuccess) == succeeded }

// maxValue bounds what a Straight works with, in bytes: far more than an address, a key or a name has.
const maxValue = 1 << 10

// special are variables that are more to a shell than a name for a text.
var special = strings.Fields("DIRSTACK EUID GID HOME IFS LINENO OLDPWD OPTIND PATH PWD RANDOM SRANDOM TMPDIR UID")

// known are the variables of a hook, set or not, that are nothing to a shell.
var known = append(strings.Fields("IFACE IFACE_MTU EVENT REASON"), addresses...)

// Straight returns what the script is as a Straight, nil if it is none.
func (s *Script) Straight() *Straight {
	again, err := Parse(s.File.Name, s.Text)
	if err != nil {
		return nil
	}
	if o := (optimizer{script: again, assigned: map[string]bool{}}); !o.survey() {
		return nil
	} else {
		o.replaceCuts()
	}
	straight := &Straight{assigned: map[string]bool{}}
	for _, stmt := range again.File.Stmts {
		if !straight.add(stmt, Always) {
			return nil
		}
	}
	return straight
}

// add takes up a statement, and reports whether it could.
func (s *Straight) add(stmt *syntax.Stmt, when When) bool {
	switch cmd := bare(stmt).(type) {
	case *syntax.BinaryCmd:
		if _, list := cmd.Y.Cmd.(*syntax.BinaryCmd); list || when != Always {
			return false
		}
		switch cmd.Op {
		case syntax.AndStmt:
			return s.add(cmd.X, Always) && s.add(cmd.Y, OnSuccess)
		case syntax.OrStmt:
			return s.add(cmd.X, Always) && s.add(cmd.Y, OnFailure)
		}
	case *syntax.DeclClause:
		return cmd.Variant.Value == "export" && len(cmd.Args) > 0 && s.assign(cmd.Args, when)
	case *syntax.CallExpr:
		switch {
		case len(cmd.Args) == 0:
			return s.assign(cmd.Assigns, when)
		case len(cmd.Assigns) > 0:
			return false
		case literal(cmd.Args[0]) == "read":
			return s.read(cmd.Args[1:], when)
		}
		return s.call(cmd.Args, when)
	}
	return false
}

// maySet reports whether variables may get values here. That never fails: it is as if && before and after were a newline.
func (s *Straight) maySet(when When, names ...string) bool {
	return len(s.calls) == 0 && when != OnFailure && !slices.ContainsFunc(names, func(name string) bool {
		return !syntax.ValidName(name) || slices.Contains(special, name) || variables[name] != ""
	})
}

func (s *Straight) assign(all []*syntax.Assign, when When) bool {
	for _, a := range all {
		if a.Append || a.Name == nil || a.Index != nil || a.Array != nil || !s.maySet(when, a.Name.Value) {
			return false
		}
		if a.Naked { // export of what has a value, or gets one later
			continue
		}
		if a.Value != nil && !s.isKnown(a.Value) {
			return false
		}
		s.settings = append(s.settings, setting{names: []string{a.Name.Value}, value: a.Value})
		s.assigned[a.Name.Value] = true
	}
	return true
}

func (s *Straight) read(args []*syntax.Word, when When) bool {
	line := setting{line: true}
	if len(args) > 0 && literal(args[0]) == "-r" {
		line.raw, args = true, args[1:]
	}
	for _, w := range args {
		line.names = append(line.names, literal(w))
	}
	if s.reads || len(args) == 0 || !s.maySet(when, line.names...) {
		return false
	}
	s.reads = true
	s.settings = append(s.settings, line)
	for _, name := range line.names {
		s.assigned[name] = true
	}
	return true
}

func (s *Straight) call(words []*syntax.Word, when When) bool {
	if len(s.calls) == 0 {
		if when == OnFailure {
			return false
		}
		when = Always
	}
	s.calls = append(s.calls, call{words, when})
	return slices.Contains(chained, literal(words[0])) && !slices.ContainsFunc(words, func(w *syntax.Word) bool { return !s.isKnown(w) })
}

// isKnown reports whether a word's text follows from the settings so far.
func (s *Straight) isKnown(w *syntax.Word) bool {
	if !isConstant(w.Parts) {
		return false
	}
	all := true
	syntax.Walk(w, func(n syntax.Node) bool {
		if e, ok := n.(*syntax.ParamExp); ok {
			all = all && (s.assigned[e.Param.Value] || slices.Contains(known, e.Param.Value))
		}
		return all
	})
	return all
}

// Steps returns the script's command lines in an environment of "name=value", with a line to read. It reports false where that
// takes a whole shell: where a text is long or could be a pattern of file names.
func (s *Straight) Steps(env []string, line string) (steps []Step, ok bool) {
	defer func() { // a library's breakdown on a peer's text is the helper's to suffer
		if recover() != nil {
			steps, ok = nil, false
		}
	}()
	values := values{env: env, set: map[string]string{}}
	config := &expand.Config{Env: expand.FuncEnviron(values.get)}
	for _, set := range s.settings {
		if !values.apply(config, set, line) {
			return nil, false
		}
	}
	for _, c := range s.calls {
		argv, err := expand.Fields(config, c.words...)
		if err != nil || slices.ContainsFunc(argv, func(word string) bool { return strings.ContainsAny(word, `*?[\(`) }) {
			return nil, false
		}
		steps = append(steps, Step{argv, c.when})
	}
	return steps, true
}

// values are the variables of one run.
type values struct {
	env []string
	set map[string]string
}

func (v values) get(name string) string {
	if value, ok := v.set[name]; ok || !slices.Contains(known, name) {
		return value
	}
	for _, e := range slices.Backward(v.env) { // of two the last one counts
		if value, ok := strings.CutPrefix(e, name); ok && strings.HasPrefix(value, "=") {
			return value[1:]
		}
	}
	return ""
}

// apply carries out a setting, and reports whether it could.
func (v values) apply(config *expand.Config, s setting, line string) bool {
	if !s.line {
		value, err := expand.Literal(config, s.value)
		v.set[s.names[0]] = value
		return err == nil && len(value) <= maxValue
	}
	line, _, _ = strings.Cut(line, "\n")
	if len(line) > maxValue || !s.raw && strings.Contains(line, `\`) {
		return false
	}
	fields := expand.ReadFields(config, line, len(s.names), s.raw)
	for i, name := range s.names {
		v.set[name] = ""
		if i < len(fields) {
			v.set[name] = fields[i]
		}
	}
	return true
}
