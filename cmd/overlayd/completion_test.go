package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// complete is what a shell that has loaded the script offers for these words. Of the package bash-completion the script wants one
// function, and outside of a prompt there is no completion whose options compopt could change.
const complete = `
_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
compopt() { :; }
source "$SCRIPT" || exit
complete -p overlayd >/dev/null || exit
COMP_WORDS=("$@") COMP_CWORD=$(($#-1)) COMP_LINE=$* COMP_POINT=${#COMP_LINE} COMP_TYPE=9
__start_overlayd
echo "${COMPREPLY[@]}"`

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	tools(t, "bash")
	script := completionFile(t, "bash")
	for line, want := range map[string]string{
		"overlayd sta":              "status",
		"overlayd config ro":        "rollback",
		"overlayd config put --dry": "--dry-run",
		"overlayd run --on-e":       "--on-exit",
		"overlayd status -o ":       "text json",
		"overlayd lease list -o w":  "wide",
		"overlayd schema hook ":     "log",
		"overlayd nonsense ":        "",
	} {
		cmd := exec.Command("bash", append([]string{"--norc", "-c", complete, "bash"}, strings.Split(line, " ")...)...)
		cmd.Env = append(os.Environ(), "SCRIPT="+script)
		text, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Fields(string(text)), " "); got != want || err != nil {
			t.Errorf("%s: offered %q, %v, want %q", line, got, err, want)
		}
	}
}

// The scripts of zsh and fish ask overlayd itself, as bash's does. Where these shells are installed they parse them.
func TestScriptsOfOtherShells(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{"zsh": "#compdef overlayd\n", "fish": "complete -c overlayd "} {
		script := completionFile(t, shell)
		text, err := os.ReadFile(script)
		must(t, err)
		if !strings.Contains(string(text), want) || !strings.Contains(string(text), "__complete") {
			t.Errorf("%s: it does not say %q, or does not ask overlayd", shell, want)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		if text, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, text)
		}
	}
}

// completionFile is the script for the shell, as overlayd prints it.
func completionFile(t *testing.T, shell string) string {
	t.Helper()
	var out, errs strings.Builder
	if status := run(t.Context(), []string{"completion", shell}, &out, &errs); status != exitOK || errs.Len() > 0 {
		t.Fatal(fmt.Sprint("exit status ", status, ": ", &errs))
	}
	file := filepath.Join(t.TempDir(), "overlayd."+shell)
	must(t, os.WriteFile(file, []byte(out.String()), 0o600))
	return file
}
