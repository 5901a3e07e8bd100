package script

import (
	"fmt"
	"slices"

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
