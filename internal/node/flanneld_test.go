package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestUnitOf(t *testing.T) {
	for groups, want := range map[string]string{
		"":                                     "",
		"0::/system.slice/flanneld.service\n":  "flanneld.service",
		"0::/system.slice/docker-0b1c.scope\n": "",
		"12:pids:/system.slice/flannel@a.service\n1:name=systemd:/system.slice/flannel@a.service\n0::/\n": "flannel@a.service",
		"0::/user.slice/user-0.slice/session-3.scope\n":                                                   "",
		"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-pod1.slice/cri-containerd-7f2e9a.scope\n":  "",
	} {
		if got := unitOf(groups); got != want {
			t.Errorf("%q is of unit %q, want %q", groups, got, want)
		}
	}
}

func TestFlanneldsAreFoundByName(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	program := filepath.Join(t.TempDir(), "flanneld")
	if err := os.Symlink(sleep, program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "1000")
	cmd.Args[0] = "sleep"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	is := func(p Process) bool { return p.PID == cmd.Process.Pid }
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // its name comes a moment after it
		found, err := Flannelds()
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(found, is) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %v, want process %d among them", found, cmd.Process.Pid)
		}
	}
}
