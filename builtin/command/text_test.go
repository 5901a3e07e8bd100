package command

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/interp"
)

// fakePrograms returns a directory with programs of these names, for PATH.
func fakePrograms(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestATeedKeyLandsInTheHooksDirectory(t *testing.T) {
	s := fakeShell(t)
	r, _ := s.run(t, "wg genkey | tee privatekey | wg pubkey")
	key := regexp.MustCompile(`^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\n$`)
	if !key.MatchString(r.Stdout) || r.Status != 0 || r.Stderr != "" {
		t.Errorf("got %+v", r)
	}
	private, err := os.ReadFile(filepath.Join(s.dir, "privatekey"))
	if err != nil || !key.Match(private) || string(private) == r.Stdout {
		t.Errorf("privatekey: %q, %v", private, err)
	}
}

func TestKeysAreFoundWhereTheHookSays(t *testing.T) {
	s := fakeShell(t, "ip link add wg0 type wireguard", "wg genkey | tee privatekey")
	for _, line := range []string{
		"wg set wg0 private-key privatekey", "wg genkey | wg set wg0 private-key /dev/stdin",
		"wg genpsk | wg set wg0 peer " + keyA + " preshared-key /dev/stdin allowed-ips 10.0.0.0/8",
	} {
		before, _ := s.run(t, "wg show wg0 dump")
		if r, _ := s.run(t, line); r != (result{}) {
			t.Errorf("%s: %+v", line, r)
		}
		after, _ := s.run(t, "wg show wg0 dump")
		if before == after {
			t.Errorf("%s changed nothing: %+v", line, after)
		}
	}
}

func TestAnErrorIsTheCauseAndTheStatus(t *testing.T) {
	s := fakeShell(t)
	_, err := s.run(t, "ip link del nope")
	if status, _ := errors.AsType[interp.ExitStatus](err); status != 1 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestCatAsksTheKernelForAttributesOfLinks(t *testing.T) {
	s := fakeShell(t, "ip link add vx0 mtu 1400 address 02:00:00:00:00:01 type vxlan id 1 dstport 8472")
	for _, tt := range []struct {
		line string
		want result
	}{
		{"cat /sys/class/net/vx0/address", result{Stdout: "02:00:00:00:00:01\n"}},
		{"cat /sys/class/net/vx0/address /sys/class/net//vx0/mtu", result{Stdout: "02:00:00:00:00:01\n1400\n"}},
		{"cat /sys/class/net/nope/mtu /sys/class/net/vx0/mtu", result{Stdout: "1400\n", Stderr: "cat: /sys/class/net/nope/mtu: No such file or directory\n", Status: 1}},
	} {
		r, _ := s.run(t, tt.line)
		if diff := cmp.Diff(tt.want, r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.line, diff)
		}
	}
}

// The text tools answer as coreutils do.
func TestTextToolsAnswerAsTheRealOnes(t *testing.T) {
	real := &reference{dir: t.TempDir()}
	for _, line := range []string{
		`printf 'a/b/c\nd\n\n/' | cut -d/ -f1`, `printf 'a/b/c' | cut -d '/' -f 2-`, `echo a/b/c | cut -d/ -f3,1`, `echo a/b/c | cut -d/ -f-2,2`,
		`printf 'a\tb\n' | cut -f2`, `echo abcdef | cut -c 2-3,5`, `echo abc | cut -c-2`, `echo abc | cut -b9`,
		`printf '1\n2\n3' | head -n 2`, `printf '1\n2\n3' | head -2`, `printf '1\n2\n3' | tail -n1`, `printf '1\n2\n3\n' | tail -2`, `printf '1\n2\n' | tail -n9`,
		`printf '\n\n' | tail -n1`, `printf '' | tail`, `printf '' | head`, `seq 30 | head`, `seq 30 | tail`,
		`echo abc | tr a-c xyz`, `echo abc | tr abc xy`, `echo aabbcc | tr -s ab`, `echo a-b | tr -d -- -`, `printf 'a\nb\n' | tr '\n' ' '`, `echo abc | tr -d a-b`,
		`echo hello | tee f; cut -c1 <f`, `echo again | tee -a f >/dev/null; cut -c1-2 <f`, `echo x | tee /nonexistent/f`,
	} {
		s := &shell{kernel: fakeShell(t).kernel, dir: t.TempDir(), path: os.Getenv("PATH")}
		if strings.Contains(line, "-a f") {
			s.run(t, "echo hello | tee f")
		}
		want := real.run(t, line)
		got, _ := s.run(t, strings.ReplaceAll(line, "seq 30", strings.TrimSuffix("printf '%s\\n' "+numbers, " ")))
		if len(s.passed) > 0 {
			if !strings.Contains(line, "--") {
				t.Errorf("%s was handed on", line)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-real +ours):\n%s", line, diff)
		}
	}
}

const numbers = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30"
