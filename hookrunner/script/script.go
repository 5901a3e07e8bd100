// Package script is the text of one hook: parsed, checked against what the in-process shell can do, and found to need a shell or not.
package script

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A Script is a command that has been parsed. It is not changed any more, and may be used concurrently.
type Script struct {
	Text        string
	File        *syntax.File
	Substitutes bool            // it has a process substitution
	Functions   map[string]bool // names that it gives to functions
}

// Parse reads the text of a hook. The name begins the error, before line:column.
func Parse(name, text string) (*Script, error) {
	// LangPOSIX would take export for a program and go on with empty variables.
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), name)
	if err != nil {
		return nil, err
	}
	return &Script{text, file, substitutes(file), functions(file)}, nil
}

// InProcess returns the script as the in-process shell has to be given it, to do what other shells do with the text. It
// refuses what that shell cannot run, or would run otherwise; the error begins with the name and line:column.
func (s *Script) InProcess() (*Script, error) {
	if err := check(s.File); err != nil {
		return nil, err
	}
	again, err := Parse(s.File.Name, s.Text)
	if err != nil {
		return nil, err
	}
	rewrite(again)
	return again, nil
}

// String is the script as text, which need not be what was parsed.
func (s *Script) String() string {
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, s.File); err != nil {
		return s.Text // the builder does not fail, and what was parsed can be printed
	}
	return text.String()
}

func functions(file *syntax.File) map[string]bool {
	all := map[string]bool{}
	syntax.Walk(file, func(n syntax.Node) bool {
		if f, ok := n.(*syntax.FuncDecl); ok {
			all[f.Name.Value] = true
		}
		return true
	})
	return all
}

func substitutes(file *syntax.File) (found bool) {
	syntax.Walk(file, func(n syntax.Node) bool {
		_, is := n.(*syntax.ProcSubst)
		found = found || is
		return !found
	})
	return found
}
