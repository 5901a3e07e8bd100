package netns

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func deathSignal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} }

// play is the environment variable that makes the test program a part of a test's play: one that relaunches itself.
const play = "NETNS_TEST_PLAY"

// perform plays the part and returns its exit status.
func perform(part string) int {
	inside, err := Inside("play")
	if err != nil {
		panic(err)
	}
	if !inside {
		status, err := Relaunch("play", unix.CLONE_NEWPID, "NETNS_TEST_GIVEN=given")
		if err != nil {
			panic(err)
		}
		return status
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGTERM)
	onMachine, err := MachinePID(os.Getpid())
	if err != nil {
		panic(err)
	}
	fmt.Println("inside", os.Getpid(), os.Getenv("NETNS_TEST_GIVEN"), onMachine)
	switch part {
	case "signal":
		<-interrupted
		return 8
	case "hang":
		exec.Command("sleep", "600").Run()
	}
	return 7
}

// startPlay starts a process that relaunches itself, and returns the process ID of the one inside.
func startPlay(t *testing.T, part string) (outer *exec.Cmd, inner int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), play+"="+part)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	if _, err := fmt.Sscanf(line, "inside 1 given %d\n", &inner); err != nil {
		t.Fatalf("the process inside said %q: %v", line, err)
	}
	return cmd, inner
}

func TestRelaunchPassesOnStatusAndSignals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, part string
		signals    []os.Signal
		status     int
	}{
		{"the status inside is the status outside", "status", nil, 7},
		{"a signal is passed on", "signal", []os.Signal{unix.SIGTERM}, 8},
		{"a second signal kills", "hang", []os.Signal{unix.SIGTERM, unix.SIGINT}, 128 + int(unix.SIGKILL)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			outer, _ := startPlay(t, tt.part)
			for _, s := range tt.signals {
				must(t, outer.Process.Signal(s))
			}
			err := outer.Wait()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != tt.status {
				t.Errorf("ended with %v, want status %d", err, tt.status)
			}
		})
	}
}

func TestNothingOutlivesTheProcessThatRelaunched(t *testing.T) {
	t.Parallel()
	outer, inner := startPlay(t, "hang")
	must(t, outer.Process.Kill())
	await(t, "the process inside to end", func() bool { return errors.Is(unix.Kill(inner, 0), unix.ESRCH) || zombie(inner) })
}

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
