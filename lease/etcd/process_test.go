package etcd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// memberVariable holds what the test program needs to be a member of an etcd cluster instead.
const memberVariable = "OVERLAYD_TEST_MEMBER"

func TestMain(m *testing.M) {
	if text := os.Getenv(memberVariable); text != "" {
		if err := beMember(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A memberProcess is a member of a cluster in a process of its own, which can be frozen and killed.
type memberProcess struct {
	Name, Dir    string
	Peer, Client url.URL
	Initial      string // cluster

	cmd *exec.Cmd
}

// beMember runs the member until its standard input ends, which it does with the test.
func beMember(text string) error {
	var m memberProcess
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.LogLevel = m.Name, m.Dir, "panic"
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{m.Peer}, []url.URL{m.Peer}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{m.Client}, []url.URL{m.Client}
	cfg.InitialCluster = m.Initial
	cfg.UnsafeNoFsync = true
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startProcesses starts a cluster whose members are processes, until the test ends.
func startProcesses(t *testing.T, size int) (members []*memberProcess) {
	t.Helper()
	initial := ""
	for i := range size {
		m := &memberProcess{Name: fmt.Sprint("m", i), Dir: t.TempDir(), Peer: loopback(t), Client: loopback(t)}
		initial += fmt.Sprintf("%s=%s,", m.Name, &m.Peer)
		members = append(members, m)
	}
	for _, m := range members {
		m.Initial = initial[:len(initial)-1]
		m.start(t)
		t.Cleanup(m.kill)
	}
	return members
}

func (m *memberProcess) start(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = append(os.Environ(), memberVariable+"="+string(text))
	m.cmd.Stderr = os.Stderr
	if _, err := m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill ends the member as a power failure does, also while it is frozen.
func (m *memberProcess) kill() {
	m.cmd.Process.Kill() // fails only when it has ended
	m.cmd.Wait()
}

// freeze lets the member do nothing until thaw. Its kernel goes on to answer connections.
func (m *memberProcess) freeze() { m.cmd.Process.Signal(unix.SIGSTOP) }
func (m *memberProcess) thaw()   { m.cmd.Process.Signal(unix.SIGCONT) }
