package hookrunner

import (
	"strings"
	"testing"
)

// shells are the two ways to run a command. They are to agree on all that POSIX says.
var shells = map[string]string{"builtin": "builtin", "sh": "/bin/sh"}

func TestCommandsDoTheSameInProcessAndInSh(t *testing.T) {
	tests := []struct {
		name, command, stdin string
		want                 string // stdout
		err                  string // "" if it succeeds
	}{
		{name: "text goes to stdout", command: "echo hello", want: "hello\n"},
		{name: "the status is the last command's", command: "false; true"},
		{name: "a failure has its status and last words", command: "echo one >&2; echo two >&2; exit 7", err: "exit status 7: two"},
		{name: "a failure without words has its status", command: "exit 3", err: "exit status 3"},
		{name: "read takes a line of stdin", command: "read A B; echo $B-$A; cat", stdin: "1 2 3\n4", want: "2 3-1\n4\n"},
		{name: "stdin is a newline without data", command: "cat", want: "\n"},
		{name: "stdin need not be read", command: "true", stdin: strings.Repeat("x", maxData)},
		{name: "all of stdin can be read", command: "wc -c", stdin: strings.Repeat("x", maxData), want: "16385\n"},
		{name: "control bytes pass", command: "cat", stdin: "a\x01\x1b[0m\r", want: "a\x01\x1b[0m\r\n"},
		{name: "variables are exported", command: "export A=1; B=2; C=3 sh -c 'echo $A$B$C'", want: "13\n"},
		{name: "a variable that is unset is gone", command: "unset LANG; sh -c 'echo ${LANG-none}'", want: "none\n"},
		{name: "pipes end with the last part's status", command: "false | true"},
		{name: "text of programs and of the shell stays in order", command: "echo 1; /bin/echo 2; echo 3; sh -c 'echo 4'; echo 5",
			want: "1\n2\n3\n4\n5\n"},
		{name: "stderr joins stdout", command: "{ echo a; sh -c 'echo b >&2'; echo c >&2; } 2>&1", want: "a\nb\nc\n"},
		{name: "a program's output is substituted", command: "X=$(sh -c 'echo a; echo b >&2' 2>&1); echo $X", want: "a b\n"},
		{name: "the stream files are the hook's", command: "echo a > /dev/stdout; cat < /dev/stdin; echo c > /dev/fd/1; cat /dev/null",
			stdin: "b", want: "a\nb\nc\n"},
		{name: "tee writes to the hook's stderr", command: "{ echo a | tee /dev/stderr > /dev/null; } 2>&1", want: "a\n"},
		{name: "an unknown program has status 127", command: "nosuchprogram x; echo $?", want: "127\n"},
		{name: "what is no program has status 126", command: "echo > plain; ./plain; echo $?", want: "126\n"},
		{name: "a program's death has its signal", command: "sh -c 'kill -9 $$'; echo $?", want: "137\n"},
		{name: "a script without a first line runs", command: "echo 'echo $1$2' > script; chmod 700 script; ./script a b", want: "ab\n"},
		{name: "functions", command: "f() { echo $1; return 4; }; f x; echo $?", want: "x\n4\n"},
		{name: "expansions", command: `S=10.50.7.0/24; echo ${S%/*} ${S#*/} ${X:-y} $((6*7))`, want: "10.50.7.0 24 y 42\n"},
		{name: "here-documents", command: "cat <<EOF\n$EVENT\nEOF", want: "SubnetAdd\n"},
		{name: "an endless writer ends with its reader", command: "while :; do echo y; done | head -n 2", want: "y\ny\n"},
		{name: "the private umask", command: "umask 077; echo x > file; mkdir d; ls -ld file d | cut -c 1-10", want: "drwx------\n-rw-------\n"},
		{name: "set -e", command: "set -e; false; echo not reached", err: "exit status 1"},
		{name: "core utilities", command: "mkdir a && touch a/b && cp a/b a/c && mv a/c a/d && rm a/b && ls a", want: "d\n"},
		{name: "the working directory is HOME", command: `test "$PWD" = "$HOME" && test "$(pwd)" = "$HOME"`},
		{name: "what a job in the background writes before the end is kept", command: "sh -c 'echo a' & wait; echo b", want: "a\nb\n"},
		{name: "a trap runs at the end", command: "trap 'echo bye' EXIT; echo hi", want: "hi\nbye\n"},
	}
	for _, tt := range tests {
		for name, shell := range shells {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRunner(t, backend("Shell", shell), Options{})
				got, err := r.output(t.Context(), tt.command, tt.stdin)
				if got != tt.want {
					t.Errorf("stdout: got %q, want %q", got, tt.want)
				}
				if text := errorText(err); text != tt.err {
					t.Errorf("error: got %q, want %q", text, tt.err)
				}
			})
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCoreUtilitiesNeedNoPrograms(t *testing.T) {
	r := newRunner(t, backend(), Options{Environ: []string{"PATH=/nosuchdir", "TMPDIR=/tmp"}})
	got, err := r.output(t.Context(), "mkdir -p a/b && touch a/b/c && ls a/b && rm -rf a && test ! -e a && cat; xargs true; echo $?", "data")
	if want := "c\ndata\n127\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
