package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/internal/netns"
)

func TestTheDemoShowsEachExample(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"vxlan", "host-gw", "wireguard"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output := showDemo(t, name)
			for _, want := range []string{
				`full reach: 6 of 6 pings answered, \d+\.\d\d s after the start`,
				`\n  node 2 +\d+\.\d\d +- +\d+\.\d\d\n`,
				`path MTU over IPv4, node 1 to node 2: \d+ bytes`,
				`one more node joins(.|\n)*full reach: 6 of 6 pings answered`,
				`one node leaves(.|\n)*the others still reach each other: 6 of 6 pings answered\n.*all nodes stopped, nothing remains\n$`,
			} {
				if !regexp.MustCompile(want).MatchString(output) {
					t.Errorf("output has no %s", want)
				}
			}
			for line := range strings.Lines(output) {
				if strings.ContainsAny(line, "\r\x1b") || utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("not a plain line of at most 80 columns: %q", line)
				}
			}
			if t.Failed() {
				t.Logf("output:\n%s", output)
			}
		})
	}
}

// showDemo runs the demo of an example, which must succeed and leave neither processes nor files, and returns what it printed.
func showDemo(t *testing.T, example string) string {
	t.Helper()
	temp, mark := t.TempDir(), "DEMO_TEST_MARK="+t.Name()
	cmd := exec.CommandContext(t.Context(), "overlayd", "demo", "--config", "../../examples/"+example+".json")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, mark)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("demo of %s: %v\n%s%s", example, err, &stderr, &stdout)
	}
	for deadline := time.Now().Add(10 * time.Second); processes(mark) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d processes are left of the demo of %s", processes(mark), example)
		}
	}
	files, err := os.ReadDir(temp)
	must(t, err)
	if len(files) > 0 {
		t.Errorf("files are left of the demo of %s: %v", example, files)
	}
	return stdout.String()
}

// processes counts those with the environment variable.
func processes(variable string) (count int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, _ := os.ReadFile(file) // it may have ended
		if slices.Contains(strings.Split(string(environ), "\x00"), variable) {
			count++
		}
	}
	return count
}

// OVERLAYD_SOAK is how many rounds TestRoundsOfTheDemoLeaveNothing has.
const soak = "OVERLAYD_SOAK"

// Not parallel: it counts what is in the namespaces that all tests share. That a namespace is left without a process,
// a mount or a descriptor that holds it, the kernel rules out.
func TestRoundsOfTheDemoLeaveNothing(t *testing.T) {
	rounds := 2
	if text := os.Getenv(soak); text != "" {
		var err error
		rounds, err = strconv.Atoi(text)
		must(t, err)
	}
	before := present(t)
	for round := range rounds {
		showDemo(t, []string{"vxlan", "host-gw", "wireguard"}[round%3])
	}
	if diff := cmp.Diff(before, present(t)); diff != "" {
		t.Errorf("after %d rounds (-before +after):\n%s", rounds, diff)
	}
}

// present lists what a demo could leave beside processes and temporary files.
func present(t *testing.T) map[string][]string {
	t.Helper()
	here, err := netns.Current()
	must(t, err)
	links, err := here.Links()
	must(t, err, here.Close())
	run, err := filepath.Glob("/run/*")
	must(t, err)
	all := map[string][]string{"links": links, "/run": run}
	for _, table := range []string{"/proc/self/mountinfo", "/proc/net/unix", "/proc/net/tcp", "/proc/net/route"} {
		text, err := os.ReadFile(table)
		must(t, err)
		all[table] = []string{fmt.Sprint(bytes.Count(text, []byte("\n")), " lines")}
	}
	return all
}
