package helper

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// selfPatience is how long the kernel may take to choose the thread of this process that gets a signal.
const selfPatience = 100 * time.Millisecond

// kill is the builtin for processes by their ids, and returns its exit status. Of the shell's own jobs it knows none.
func kill(stderr io.Writer, args []string) int {
	signal := unix.SIGTERM
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		name := args[0][1:]
		args = args[1:]
		if name == "s" && len(args) > 0 {
			name, args = args[0], args[1:]
		}
		var known bool
		if signal, known = signalOf(name); !known {
			fmt.Fprintf(stderr, "kill: %s: invalid signal specification\n", name)
			return 1
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "kill: usage: kill [-s SIGNAL | -SIGNAL] PID...")
		return 2
	}
	status := 0
	for _, arg := range args {
		pid, err := strconv.ParseInt(arg, 10, 32)
		if err != nil {
			fmt.Fprintf(stderr, "kill: %s: arguments must be process IDs\n", arg)
			status = 1
			continue
		}
		if err := unix.Kill(int(pid), signal); err != nil {
			fmt.Fprintf(stderr, "kill: (%d) - %s\n", pid, capitalized(err.Error()))
			status = 1
		} else if int(pid) == os.Getpid() && signal != 0 {
			time.Sleep(selfPatience)
		}
	}
	return status
}

func signalOf(name string) (unix.Signal, bool) {
	if n, err := strconv.ParseUint(name, 10, 7); err == nil && n <= 64 {
		return unix.Signal(n), true
	}
	s := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
	return s, s != 0
}

func capitalized(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
