package helper

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Containers have processes with the same ids, and the machine beside them sees them all.
func TestTheSameProcessIDInAnotherNamespaceHasAnotherMark(t *testing.T) {
	const pid = 7
	if os.Getenv("PRINT_MARK") != "" {
		fmt.Print(uint64(markOf(pid)))
		os.Exit(0)
	}
	marks := map[string]string{}
	for name, flags := range map[string]uintptr{"here": 0, "a namespace": unix.CLONE_NEWPID} {
		c := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
		c.Env = append(os.Environ(), "PRINT_MARK=1")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		out, err := c.Output()
		if errors.Is(err, unix.EPERM) {
			t.Skip("no right to make a namespace of process ids")
		}
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := marks[string(out)]; ok {
			t.Errorf("%s and %s have the same mark %s", name, other, out)
		}
		marks[string(out)] = name
	}
	if marks[fmt.Sprint(uint64(markOf(pid)))] != "here" {
		t.Error("two processes of one namespace disagree on the mark")
	}
}
