package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// relaunched is the environment variable that tells a process what Relaunch started it for, and which network namespace
// it must not be in.
const relaunched = "OVERLAYD_RELAUNCHED"

// MainInside runs a package's tests in network, mount and process namespaces of their own, the loopback up, and returns
// their exit status. However they end, no process that they have started remains. Without root it adds a user namespace; a
// system that refuses says so, and the status is 1.
//
//	func TestMain(m *testing.M) { os.Exit(netns.MainInside(m)) }
func MainInside(m interface{ Run() int }) int {
	inside, err := Inside("test")
	if err == nil && inside {
		return m.Run()
	}
	if err == nil {
		var status int
		if status, err = Relaunch("test", unix.CLONE_NEWPID); err == nil {
			return status
		}
	}
	fmt.Fprintln(os.Stderr, "netns:", err)
	return 1
}

// Inside reports whether Relaunch started this process for the purpose, or started one that it descends from. If so, it
// sees to it that the process has its own mounts and its loopback up.
func Inside(purpose string) (bool, error) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false, err
	}
	given, outside, _ := strings.Cut(os.Getenv(relaunched), " ")
	if given != purpose || outside == here {
		return false, nil
	}
	return true, settle()
}

// settle prepares the namespaces that Relaunch has started this process in, once: the loopback tells.
func settle() error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return fmt.Errorf("find link lo: %w", err)
	}
	if lo.Flags&net.FlagUp != 0 {
		return nil
	}
	if err = furnish(); err == nil {
		err = mountProc()
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: this system restricts what can be done in namespaces: run it as root on the machine itself", err)
	}
	if err != nil {
		return err
	}
	n, err := Current()
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Up("lo")
}

// machineProc is where the /proc of the processes outside remains, in the /run that nobody else sees.
const machineProc = "/run/machine-proc"

// mountProc gives the first process of a process namespace, and all below it, a /proc that knows them by their numbers.
func mountProc() error {
	if os.Getpid() != 1 {
		return nil
	}
	if err := os.Mkdir(machineProc, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/proc", machineProc, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind /proc: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// MachinePID returns the process ID by which the machine knows a process of the process namespace that Relaunch made.
// It answers fs.ErrNotExist when there is none.
func MachinePID(pid int) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob(machineProc + "/[0-9]*/status")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, ids, _ := strings.Cut(string(status), "\nNSpid:")
		ids, _, _ = strings.Cut(ids, "\n")
		fields := strings.Fields(ids)
		if len(fields) < 2 || fields[len(fields)-1] != strconv.Itoa(pid) {
			continue
		}
		dir := filepath.Dir(file)
		if its, err := os.Readlink(dir + "/ns/pid"); err == nil && its == namespace {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("find process %d on the machine: %w", pid, fs.ErrNotExist)
}

// Relaunch runs this program again, with the same arguments, in network and mount namespaces of its own and those that
// the extra CLONE_NEW… flags name, and returns its exit status. Inside it, Inside answers true for the purpose. Without
// root a user namespace makes its user root there.
//
// The first of SIGINT, SIGTERM, SIGHUP and SIGQUIT that arrives is passed on, the next kills. The new process never
// outlives this one; with unix.CLONE_NEWPID neither do its descendants, and it must handle the signals it wants to
// end by, since the kernel keeps others from a namespace's first process.
func Relaunch(purpose string, extra uintptr, env ...string) (status int, err error) {
	cmd, err := relaunch(purpose, extra)
	if err != nil {
		return 0, err
	}
	cmd.Env = append(cmd.Env, env...)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	// The death signal is sent when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err // the path is our own
		}
		return 0, fmt.Errorf("create namespaces: %w: %s", err, hint())
	}
	ended, passed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(passed)
		pass(cmd.Process, signals, ended)
	}()
	cmd.Wait() // what it says is in ProcessState
	close(ended)
	<-passed
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func relaunch(purpose string, extra uintptr) (*exec.Cmd, error) {
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | extra,
		Pdeathsig:  unix.SIGKILL,
		Setpgid:    true, // or a terminal's Ctrl-C would arrive twice, directly and passed on
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return &exec.Cmd{
		Path: program, Args: os.Args, Env: append(os.Environ(), relaunched+"="+purpose+" "+outside),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, SysProcAttr: attr,
	}, nil
}

// pass sends the first signal on to the process, and kills it at the second.
func pass(p *os.Process, signals <-chan os.Signal, ended <-chan struct{}) {
	for first := true; ; first = false {
		select {
		case s := <-signals:
			if !first {
				s = os.Kill
			}
			p.Signal(s) // fails only when the process has ended
		case <-ended:
			return
		}
	}
}

// hint says what to try when new namespaces are refused.
func hint() string {
	if os.Geteuid() != 0 {
		return "this system does not let other users than root do that: run it as root, for example with sudo"
	}
	return "root lacks CAP_SYS_ADMIN here, as in most containers: run it on the machine, or in a privileged container"
}
