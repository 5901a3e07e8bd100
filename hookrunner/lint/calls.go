package lint

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// prefixes are commands that run the command in their arguments.
var prefixes = strings.Fields("command builtin exec env sudo nice nohup setsid time timeout xargs")

// harmless are programs that change nothing, but what they print.
var harmless = strings.Fields(`awk base64 basename cat cmp comm cut date diff dirname echo env expr false find getent grep head hexdump
	hostname id jq logger ls md5sum od printf readlink sed sha256sum sleep sort stat sysctl tail test tr true uname uniq wc xargs xxd [`)

func isShell(name string) bool {
	return slices.Contains(strings.Fields("sh bash dash ash ksh zsh python python3 perl"), filepath.Base(name))
}

// lookAtCall reports what is wrong about a command and its arguments.
func (l *linter) lookAtCall(words []*syntax.Word) {
	name, at := text(words[0]), words[0].Pos()
	inner := words
	for len(inner) > 1 && slices.Contains(prefixes, text(inner[0])) {
		inner = inner[1:]
		for len(inner) > 1 && (strings.HasPrefix(text(inner[0]), "-") || strings.Contains(text(inner[0]), "=")) {
			inner = inner[1:]
		}
	}
	runs := text(inner[0])
	l.lookAtData(runs, words, inner[1:])
	if name == "umask" && len(words) == 2 {
		mask, err := strconv.ParseUint(text(words[1]), 8, 16)
		l.loose = err == nil && mask&0o077 != 0o077
	}
	for _, program := range slices.Compact([]string{name, runs}) {
		l.lookAtProgram(program, at)
	}
}

// lookAtData reports where what a peer wrote is run, or is not in quotes.
func (l *linter) lookAtData(runs string, words, arguments []*syntax.Word) {
	code := slices.Contains([]string{"eval", "source", "."}, runs) || isShell(runs)
	for _, w := range words[1:] {
		switch {
		case !l.isTainted(w):
		case code && slices.Contains(arguments, w):
			l.report(w.Pos(), "what a peer wrote is run as a command by %s", runs)
		case l.unquoted(w):
			l.report(w.Pos(), `what a peer wrote is not in quotes: it may become several words, or none: write "$…"`)
		}
	}
	if l.isTainted(words[0]) {
		l.report(words[0].Pos(), "what a peer wrote is run as a command")
	}
	if !l.fromPeer() || !code {
		return
	}
	// A shell without a script, or with stdin for one, reads what the peer wrote.
	script := slices.IndexFunc(arguments, func(w *syntax.Word) bool { return !strings.HasPrefix(text(w), "-") || text(w) == "-c" })
	if isShell(runs) && script < 0 || script >= 0 && (text(arguments[script]) == "/dev/stdin" || text(arguments[script]) == "-") {
		l.report(words[0].Pos(), "%s runs its stdin as a command, which is what a peer wrote", runs)
	}
}

// lookAtPipe reports what a peer wrote that is piped to a shell.
func (l *linter) lookAtPipe(b *syntax.BinaryCmd) {
	if b.Op != syntax.Pipe && b.Op != syntax.PipeAll {
		return
	}
	call, ok := b.Y.Cmd.(*syntax.CallExpr)
	if ok && len(call.Args) > 0 && isShell(text(call.Args[0])) && !l.fromPeer() && l.taints(b.X) {
		l.report(call.Pos(), "what a peer wrote is run as a command by %s", text(call.Args[0]))
	}
}

// lookAtProgram reports a command that nobody answers, and remembers one that changes what overlayd does not see.
func (l *linter) lookAtProgram(name string, at syntax.Pos) {
	if name == "" || l.functions[name] || interp.IsBuiltin(name) || l.InProcess(name) {
		return
	}
	if !installed(name) {
		l.report(at, "%s is neither in-process nor installed", name)
		return
	}
	if !l.external.IsValid() && !slices.Contains(harmless, filepath.Base(name)) {
		l.external = at
	}
}

// installed looks where hooks do.
func installed(name string) bool {
	if strings.Contains(name, "/") {
		return isProgram(name) || !filepath.IsAbs(name)
	}
	return slices.ContainsFunc(filepath.SplitList("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), func(dir string) bool {
		return isProgram(filepath.Join(dir, name))
	})
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
