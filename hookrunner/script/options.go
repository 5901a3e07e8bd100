package script

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

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
