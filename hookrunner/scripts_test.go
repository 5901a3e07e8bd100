package hookrunner

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outcome is what a script leaves.
type outcome struct {
	Stdout, Status string
	Files          map[string]string // mode and content by name
}

// unlike are the scripts that do not do in-process what they do in sh, with the reason.
var unlike = map[string]string{}

// The scripts print, end with and leave the same in-process, in dash and in bash.
func TestScriptsDoTheSameInEveryShell(t *testing.T) {
	text, err := os.ReadFile("testdata/scripts.txt")
	if err != nil {
		t.Fatal(err)
	}
	shells := []string{"/bin/dash", "/bin/bash"}
	for _, shell := range shells {
		if _, err := exec.LookPath(shell); err != nil {
			t.Skipf("%s is not installed", shell)
		}
	}
	count := 0
	for script := range strings.Lines(string(text)) {
		script = strings.ReplaceAll(strings.TrimSuffix(script, "\n"), "¶", "\n")
		if strings.HasPrefix(script, "#") {
			continue
		}
		script, bashOnly := strings.CutPrefix(script, "bash: ")
		against := shells
		if bashOnly {
			against = shells[1:]
		}
		count++
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			got := runScript(t, "builtin", script)
			for _, shell := range against {
				diff := cmp.Diff(runScript(t, shell, script), got)
				reason, listed := unlike[script]
				if diff != "" && !listed {
					t.Errorf("-%s +in-process:\n%s", shell, diff)
				} else if diff == "" && listed {
					t.Errorf("the same as in %s, though it is listed as not: %s", shell, reason)
				}
			}
		})
	}
	if count < 200 {
		t.Errorf("%d scripts", count)
	}
}

// runScript runs a script in a directory of its own.
func runScript(t *testing.T, shell, script string) outcome {
	t.Helper()
	r := newRunner(t, backend("Shell", shell), Options{})
	stdout, err := r.output(t.Context(), script, "52:54:00:12:34:56\nb:c:a two  words\na:b:c two  words\n")
	status, _, _ := strings.Cut(errorText(err), ":") // what is said on stderr is each shell's own
	o := outcome{stdout, status, map[string]string{}}
	err = filepath.WalkDir(r.options.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		o.Files[strings.TrimPrefix(path, r.options.Dir)] = info.Mode().String() + " " + strings.ReplaceAll(string(content), r.options.Dir, "~")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}
