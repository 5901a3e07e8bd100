package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// badFiles are what these tests give to commands, beside MISSING.
var badFiles = map[string]string{
	"GARBAGE": "{{{\x00\xff",
	"EMPTY":   "",
	"LIST":    "[1, 2]",
	"UNKNOWN": `{"Netwrok": "10.50.0.0/16"}`,
	"WRONG":   `{"Network": "10.50.0.0/33", "Backend": {"Type": "vxlan"}}`,
	"HOOK":    `{"Network": "10.50.0.0/16", "Backend": {"Type": "extension", "SubnetAddCommand": "if"}}`,
	"GOOD":    `{"Network": "10.50.0.0/16", "Backend": {"Type": "extension", "SubnetAddCommand": "true"}}`,
	"OTHER":   `{"Network": "10.50.0.0/16", "Backend": {"Type": "extension", "SubnetAddCommand": "false"}}`,
}

// badInput are words that no command takes, a line each, by the command. FILES stands for each of badFiles that is no config.
var badInput = map[string]string{
	"bundle":                "surplus",
	"cleanup":               "surplus",
	"completion bash":       "surplus",
	"completion fish":       "surplus",
	"completion powershell": "surplus",
	"completion zsh":        "surplus",
	"config check":          "\nFILES\nGOOD GOOD",
	"config diff":           "\nFILES\nGOOD GOOD",
	"config edit":           "surplus",
	"config get":            "surplus",
	"config history":        "surplus",
	"config keygen":         "\na b",
	"config canary":         "surplus\n--wait soon",
	"config put":            "\nFILES\n--dry-run FILES\nGOOD GOOD\n--canary= GOOD\n--canary 192.0.2.9\n--canary 192.0.2.9 FILES\n--canary 192.0.2.9 OTHER\n--continue --abandon\n--continue GOOD\n--abandon GOOD\n--force GOOD\n--canary 192.0.2.9 --continue",
	"config rollback":       "\n0\n1\n-- -1\none\n1 2\n99999999999999999999",
	"config schema":         "surplus",
	"config sign":           "\nFILES --key GARBAGE\nGOOD\nGOOD --key GARBAGE\nGOOD --key MISSING\nGOOD --signature GARBAGE",
	"demo":                  "--config FILES\nsurplus\n--nodes 0\n--nodes 201",
	"docker-opts":           "surplus\n-f GARBAGE -d -\n-f EMPTY -d -\n-k 1 -f GARBAGE -d -",
	"doctor":                "surplus",
	"etcd role":             "surplus\n--user=\n--role=",
	"events":                "surplus",
	"explain":               "\na b",
	"graph":                 "surplus",
	"hook check":            "\nFILES",
	"hook log":              "surplus",
	"hook plan":             "\nNothing --config GOOD\nSubnetAdd --config GOOD\nSubnetAdd --config GOOD --peer nobody\nPostStartup --config FILES",
	"hook run":              "\nNothing --config GOOD\nSubnetAdd --config GOOD\nSubnetAdd --config GOOD --peer nobody\nPostStartup --config FILES",
	"lease check":           "surplus",
	"lease list":            "surplus",
	"lease release":         "nothing\n10.50.1.0/33\n10.50.1.0/24,10.50.2.0/24\n10.50.1.0/24 10.50.2.0/24",
	"lease reserve":         "\nnothing\n10.50.1.0/33\n10.50.1.0/24,10.50.2.0/24\n10.50.1.0/24 10.50.2.0/24\n10.50.1.0/24\n10.60.1.0/24 --node n\n10.50.1.0/25 --node n",
	"migrate":               "surplus\n--stop u",
	"ping":                  "--all 192.0.2.1",
	"run":                   "surplus\n--config FILES\n--etcd-wait -1s",
	"schema":                "nothing\nstatus now",
	"status":                "surplus\n--wait soon\n--wait -1s\n--check half",
	"wg rotate":             "surplus",
}

// badFlags are values that no command takes for a flag that many have. bundle and doctor take what is there, and say what is
// wrong with it; cleanup asks etcd for little.
var badFlags = map[string]string{
	"output": "--output=nonsense", "run-dir": "--run-dir=", "etcd-endpoints": "--etcd-endpoints=ftp://etcd", "etcd-cafile": "--etcd-cafile=MISSING",
	"etcd-prefix": "--etcd-prefix=",
}

func TestNoCommandTakesBadInput(t *testing.T) {
	t.Parallel()
	member, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "etcd"), ListenClient: "http://127.0.0.1:0"})
	must(t, err)
	defer member.Close()
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: member.Endpoints()})
	must(t, err)
	defer client.Close()
	_, err = client.Put(t.Context(), defaultPrefix+"/config", badFiles["GOOD"])
	must(t, err)
	dir := t.TempDir()
	for name, text := range badFiles {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	state := func() (all []string) {
		answer, err := client.Get(t.Context(), defaultPrefix+"/config")
		must(t, err)
		files, err := os.ReadDir(dir)
		must(t, err)
		all = append(all, fmt.Sprint("etcd is at revision ", answer.Header.Revision))
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			must(t, err)
			all = append(all, f.Name()+": "+string(text))
		}
		return all
	}
	before := state()
	for command, lines := range badLines(t) {
		for _, line := range lines {
			wantRefusal(t, dir, member.Endpoints()[0], command, line)
		}
	}
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("something has changed (-before +after):\n%s", diff)
	}
}

// badLines are the lines for each command there is but tools, which end as the programs of their names.
func badLines(t *testing.T) map[string][]string {
	all := map[string][]string{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "overlayd ")
		if c.Name() == "help" || c.Hidden || c.DisableFlagParsing && !c.HasSubCommands() {
			return
		}
		if !c.HasAvailableSubCommands() {
			own, known := badInput[name]
			if !known {
				t.Errorf("nobody says what is bad input for %s", name)
			}
			all[name] = append(slices.Collect(expanded(own)), "--no-such-flag")
			for flag, line := range badFlags {
				lenient := slices.Contains([]string{"bundle", "doctor", "cleanup"}, name) && flag != "run-dir"
				if c.Flags().Lookup(flag) != nil && !lenient {
					all[name] = append(all[name], line)
				}
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(io.Discard, io.Discard))
	for name := range badInput {
		if all[name] == nil {
			t.Errorf("there is no command %s", name)
		}
	}
	return all
}

// expanded are the lines, with a file in the place of FILES.
func expanded(lines string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range strings.Split(lines, "\n") {
			if !strings.Contains(line, "FILES") {
				if !yield(line) {
					return
				}
				continue
			}
			for file := range maps.Keys(badFiles) {
				if file != "GOOD" && file != "OTHER" && !yield(strings.ReplaceAll(line, "FILES", file)) {
					return
				}
			}
			if !yield(strings.ReplaceAll(line, "FILES", "MISSING")) {
				return
			}
		}
	}
}

// wantRefusal wants the command to refuse the words as what they are, before anything else, in words.
func wantRefusal(t *testing.T, dir, endpoint, command, line string) {
	t.Helper()
	args := strings.Fields(command)
	c, _, err := newRoot(io.Discard, io.Discard).Find(args)
	must(t, err)
	if c.Flags().Lookup("etcd-endpoints") != nil {
		args = append(args, "--etcd-endpoints", endpoint)
	}
	for _, word := range strings.Fields(line) {
		for name := range badFiles {
			word = strings.ReplaceAll(word, name, filepath.Join(dir, name))
		}
		args = append(args, strings.ReplaceAll(word, "MISSING", filepath.Join(dir, "MISSING")))
	}
	cmd := exec.CommandContext(t.Context(), "overlayd", args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &errs, dir
	err = cmd.Run()
	status := cmd.ProcessState.ExitCode()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	if status != exitUsage && status != exitConfig || out.Len() > 0 || !strings.HasPrefix(errs.String(), "overlayd: ") {
		t.Errorf("overlayd %s %s: exit status %d\n%s%s", command, line, status, &out, &errs)
	}
}
