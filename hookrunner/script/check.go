package script

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Ways out of a refusal.
const (
	useSh   = `use "Shell": "/bin/sh"`
	useBash = `use "Shell": "/bin/bash"`
)

// A rule is what the in-process shell can do with a builtin.
type rule struct {
	options string                                  // that it knows, as for getopts; no options at all where this is noOption
	never   string                                  // way out, if it can do nothing with the builtin
	also    func(args []*syntax.Word) (what string) // finds what else it cannot do, "" if nothing
	wayOut  string                                  // for the rest
}

// rules are those of builtins about which the in-process shell has something to refuse. All others it knows as Bash does,
// or complains of them as Bash does.
var rules = map[string]rule{
	"bg":        {never: useSh},
	"bind":      {never: useBash},
	"caller":    {never: useBash},
	"cd":        {wayOut: useSh},
	"command":   {options: "v", wayOut: useSh},
	"compgen":   {never: useBash},
	"complete":  {never: useBash},
	"compopt":   {never: useBash},
	"disown":    {never: useBash},
	"echo":      {options: "*", also: checkEcho, wayOut: "write echo -n -e"},
	"enable":    {never: useBash},
	"exec":      {wayOut: useBash},
	"fc":        {never: useBash},
	"fg":        {never: useSh},
	"history":   {never: useBash},
	"jobs":      {never: useSh},
	"kill":      {options: "*", also: checkKill, wayOut: useSh},
	"logout":    {never: useBash},
	"mapfile":   {options: "td:", wayOut: useBash},
	"newgrp":    {never: useSh},
	"printf":    {options: "*", also: checkPrintf, wayOut: useBash},
	"pwd":       {options: "LP", wayOut: useBash},
	"read":      {options: "rsap:", wayOut: useBash},
	"readarray": {options: "td:", wayOut: useBash},
	"set":       {options: "*", also: checkSet, wayOut: useSh},
	"shopt":     {options: "suo", wayOut: useBash},
	"suspend":   {never: useBash},
	"trap":      {also: checkTrap, wayOut: useSh},
	"type":      {options: "ptP", wayOut: useBash},
	"ulimit":    {never: useSh},
	"umask":     {options: "*", also: checkUmask, wayOut: useSh},
	"unset":     {options: "vf", wayOut: useBash},
	"wait":      {wayOut: useBash},
	// The parser makes declarations of these.
	"declare":  {options: "xraAngfp", wayOut: useBash},
	"export":   {wayOut: useBash},
	"local":    {options: "xraAngfp", wayOut: useBash},
	"nameref":  {options: "xraAngfp", wayOut: useBash},
	"readonly": {options: "aA", wayOut: useBash},
	"typeset":  {options: "xraAngfp", wayOut: useBash},
}

// variables are those that Bash keeps and the in-process shell does not, or to which it gives this process's values.
var variables = map[string]string{
	"PPID": useSh, "_": useBash, "BASHPID": useBash,
	"BASH_LINENO": useBash, "BASH_SOURCE": useBash, "EPOCHREALTIME": useBash, "EPOCHSECONDS": useBash,
	"FUNCNAME": useBash, "PIPESTATUS": useBash, "SECONDS": useBash,
}

// A refusal is a construct that parses, but that the in-process shell cannot run or would run otherwise.
type refusal struct {
	at           syntax.Pos
	what, wayOut string
}

// check refuses a command that the in-process shell would not run as Bash does. The error begins with the command's key
// and line:column.
func check(file *syntax.File) error {
	functions := functions(file)
	waited := waitedFor(file)
	var first *refusal
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 && functions[call.Args[0].Lit()] {
			return first == nil
		}
		if e, ok := n.(*syntax.ParamExp); ok && first == nil && e.Param.Value == "!" && !waited[e] {
			first = &refusal{e.Pos(), "$! for anything but wait", useSh}
		}
		if first == nil && n != nil {
			first = refuse(n)
		}
		return first == nil
	})
	if first == nil {
		first = umaskInside(file)
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("%s:%s: %s is not possible in-process: %s", file.Name, first.at, first.what, first.wayOut)
}

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

func refuse(n syntax.Node) *refusal {
	switch n := n.(type) {
	case *syntax.CoprocClause:
		return &refusal{n.Pos(), "coproc", useBash}
	case *syntax.TimeClause:
		return &refusal{n.Pos(), "time", useBash}
	case *syntax.Redirect:
		if !redirects(n) {
			return &refusal{n.Pos(), "redirection " + redirection(n), useSh}
		}
	case *syntax.ParamExp:
		return refuseParam(n)
	case *syntax.DeclClause:
		var args []*syntax.Word
		for _, a := range n.Args {
			if a.Name != nil || a.Value == nil {
				break
			}
			args = append(args, a.Value)
		}
		return refuseBuiltin(n.Variant.Pos(), n.Variant.Value, args)
	case *syntax.CallExpr:
		return refuseCall(n.Args)
	}
	return nil
}

func refuseCall(words []*syntax.Word) *refusal {
	called := ""
	for len(words) > 0 {
		name := words[0].Lit()
		if called != "" && slices.Contains([]string{"kill", "umask", "eval", ".", "source"}, name) {
			return &refusal{words[0].Pos(), called + name, "write " + name}
		}
		if r := refuseBuiltin(words[0].Pos(), name, words[1:]); r != nil {
			return r
		}
		if name != "command" && name != "builtin" {
			return nil
		}
		called, words = name+" ", words[1:]
	}
	return nil
}

func refuseBuiltin(at syntax.Pos, name string, args []*syntax.Word) *refusal {
	r, listed := rules[name]
	switch {
	case !listed:
		return nil
	case r.never != "":
		return &refusal{at, name, r.never}
	}
	if option := unknownOption(args, r.options); option != "" {
		return &refusal{at, name + " " + option, r.wayOut}
	}
	if r.also != nil {
		if what := r.also(args); what != "" {
			return &refusal{at, name + " " + what, r.wayOut}
		}
	}
	return nil
}

// unknownOption is the first option that is not one of known, which is "*" where any word will do.
func unknownOption(args []*syntax.Word, known string) string {
	for i := 0; i < len(args) && known != "*"; i++ {
		word := literal(args[i])
		if len(word) < 2 || word[0] != '-' || word == "--" {
			break
		}
		for _, letter := range word[1:] {
			at := strings.IndexRune(known, letter)
			switch {
			case at < 0 || letter == ':':
				return "-" + string(letter)
			case strings.HasPrefix(known[at+1:], ":"):
				i++
			}
		}
	}
	return ""
}

// literal is the text of a word without expansions in it, and "" for all others.
func literal(w *syntax.Word) string { return literals(w.Parts) }

func literals(parts []syntax.WordPart) string {
	var text strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			text.WriteString(p.Value)
		case *syntax.SglQuoted:
			text.WriteString(p.Value)
		case *syntax.DblQuoted:
			text.WriteString(literals(p.Parts))
		default:
			return ""
		}
	}
	return text.String()
}

func checkEcho(args []*syntax.Word) string {
	if len(args) > 0 {
		if word := literal(args[0]); len(word) > 2 && word[0] == '-' && strings.Trim(word[1:], "neE") == "" {
			return word
		}
	}
	return ""
}

func checkPrintf(args []*syntax.Word) string {
	if len(args) == 0 {
		return ""
	}
	format := literal(args[0])
	if strings.HasPrefix(format, "-") {
		return format
	}
	for {
		_, after, found := strings.Cut(format, "%")
		if !found {
			return ""
		}
		verb := strings.TrimLeft(after, "+- 0123456789")
		if verb == "" || !strings.Contains("%csbdiuox", verb[:1]) {
			return "%" + after[:min(len(after), len(after)-len(verb)+1)]
		}
		format = verb[1:]
	}
}

func checkSet(args []*syntax.Word) string {
	if len(args) == 0 {
		return "without arguments"
	}
	names := []string{"allexport", "errexit", "noexec", "noglob", "nounset", "pipefail", "xtrace"}
	for i := 0; i < len(args); i++ {
		word := literal(args[i])
		if len(word) < 2 || word[0] != '-' && word[0] != '+' || word == "--" {
			return ""
		}
		if letter := strings.Trim(word[1:], "aefnuxo"); letter != "" {
			return word
		}
		if strings.HasSuffix(word, "o") && i+1 < len(args) {
			i++
			if name := literal(args[i]); name != "" && !slices.Contains(names, name) {
				return word + " " + name
			}
		}
	}
	return ""
}

func checkTrap(args []*syntax.Word) string {
	if len(args) > 1 {
		args = args[1:]
	}
	for _, a := range args {
		if signal := literal(a); signal != "" && signal != "EXIT" && signal != "ERR" && signal != "--" {
			return "for " + signal
		}
	}
	return ""
}

// checkKill lets pass what /bin/kill does as well: it knows nothing of the shell's jobs.
func checkKill(args []*syntax.Word) string {
	for _, a := range args {
		if text := literal(a); strings.HasPrefix(text, "%") {
			return text
		}
		for _, p := range a.Parts {
			if e, ok := p.(*syntax.ParamExp); ok && e.Param.Value == "!" {
				return "$!"
			}
		}
	}
	return ""
}

// checkUmask lets pass what the in-process shell answers by itself.
func checkUmask(args []*syntax.Word) string {
	if len(args) > 0 {
		if word := literal(args[0]); word != "" && strings.Trim(word, "01234567") != "" {
			return word
		}
	}
	return ""
}

// IsPrivate reports whether an argument of umask leaves files to their owner alone.
func IsPrivate(umask string) bool { return umask == "077" || umask == "0077" }

func redirects(r *syntax.Redirect) bool {
	fd := ""
	if r.N != nil {
		fd = r.N.Value
	}
	to := literal(r.Word)
	switch r.Op {
	case syntax.RdrIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
		return fd == "" || fd == "0"
	case syntax.DplIn:
		return to == "-" && (fd == "" || fd == "0")
	case syntax.RdrOut, syntax.RdrClob, syntax.AppOut, syntax.RdrAll, syntax.AppAll:
		return fd == "" || fd == "1" || fd == "2"
	case syntax.DplOut:
		return (fd == "" || fd == "1" || fd == "2") && (to == "1" || to == "2" || to == "-")
	}
	return false
}

// redirection is how a redirection begins, and its target where that says which kind it is.
func redirection(r *syntax.Redirect) string {
	text := r.Op.String()
	if r.N != nil {
		text = r.N.Value + text
	}
	if r.Op == syntax.DplIn || r.Op == syntax.DplOut {
		text += literal(r.Word)
	}
	return text
}

// refuseParam also refuses ${x@Q}: it ends the process, not the hook, when x holds a NUL byte.
func refuseParam(p *syntax.ParamExp) *refusal {
	if wayOut := variables[p.Param.Value]; wayOut != "" {
		return &refusal{p.Pos(), "$" + p.Param.Value, wayOut}
	}
	if p.Exp != nil && p.Exp.Op == syntax.OtherParamOps {
		return &refusal{p.Pos(), "${" + p.Param.Value + "@" + literal(p.Exp.Word) + "}", useBash}
	}
	return nil
}
