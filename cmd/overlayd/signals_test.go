package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

// The hook tells whether SIGPIPE ends a program.
const pipeConfig = `
Network: 10.97.0.0/16
Backend:
  Type: extension
  PostStartupCommand: sh -c 'kill -PIPE $$'; echo $? >status
`

func TestADaemonOutlivesTheReaderOfItsLogButItsHooksKeepTheirSIGPIPE(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "net.yaml"), []byte(pipeConfig), 0o600))
	cmd := exec.CommandContext(t.Context(), "overlayd", "run", "--config", "net.yaml", "--state-dir", "state", "--run-dir", "run",
		"--subnet-file", "subnet.env", "--etcd-listen", "http://127.0.2.1:2379")
	cmd.Dir = dir
	reader, stderr, err := os.Pipe()
	must(t, err)
	cmd.Stderr = stderr
	must(t, reader.Close(), cmd.Start(), stderr.Close())

	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, err := control.Fetch(t.Context(), control.SocketPath(filepath.Join(dir, "run")))
		if err == nil && status.Node.State == hooks.NodeUp {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(errors.Join(err, errors.New("the daemon is not up")))
		}
	}
	must(t, cmd.Process.Signal(unix.SIGTERM), cmd.Wait())
	status, err := os.ReadFile(filepath.Join(dir, "state", "status"))
	must(t, err)
	if string(status) != "141\n" { // 128 and the signal's number
		t.Errorf("SIGPIPE led to status %s", status)
	}
}
