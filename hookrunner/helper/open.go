package helper

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// open opens a file for a redirection. Opening a named pipe, which waits for the other end, does so no longer than ctx.
func open(ctx context.Context, path string, flag int, _ os.FileMode) (io.ReadWriteCloser, error) {
	hc := interp.HandlerCtx(ctx)
	if n := streamNumber(path); n >= 0 {
		return openStream(hc, n, path, flag)
	}
	if path != "" {
		path = absolute(hc.Dir, path)
	}
	if isFIFO(path) {
		return openFIFO(ctx, path, flag)
	}
	return os.OpenFile(path, flag, 0o666) // and the umask; the shell asks for 0644
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// streamNumber is the number of the stream that a path names in each process anew, -1 for other paths.
func streamNumber(path string) int {
	path = filepath.Clean(path)
	if n := slices.Index([]string{"/dev/stdin", "/dev/stdout", "/dev/stderr"}, path); n >= 0 {
		return n
	}
	for _, dir := range [...]string{"/dev/fd/", "/proc/self/fd/"} {
		if name, ok := strings.CutPrefix(path, dir); ok {
			if n, err := strconv.ParseUint(name, 10, 16); err == nil {
				return int(n)
			}
		}
	}
	return -1
}

// namesStream reports whether a word of a command line names something that is this process's in this process.
func namesStream(word string) bool {
	return strings.HasPrefix(word, "/proc/self/") || strings.HasPrefix(word, "/dev/") && streamNumber(word) >= 0
}

// openStream opens one of the hook's own streams.
func openStream(hc interp.HandlerContext, n int, path string, flag int) (io.ReadWriteCloser, error) {
	refused := &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	in, _ := hc.Stdin.(*os.File)
	reading := flag&(os.O_WRONLY|os.O_RDWR) == 0
	switch {
	case n > 2 || n == 0 && in == nil:
		refused.Err = syscall.ENOENT
	case n == 0 && reading:
		return duplicate(in)
	case n == 1 && !reading:
		return shared{hc.Stdout}, nil
	case n == 2 && !reading:
		return shared{hc.Stderr}, nil
	}
	return nil, refused
}

func duplicate(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied int
	var failed error
	if err := conn.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, &os.PathError{Op: "dup", Path: f.Name(), Err: failed}
	}
	return os.NewFile(uintptr(copied), f.Name()), nil
}

// shared is an output that is open under another name as well, and stays open when that is closed.
type shared struct{ io.Writer }

func (shared) Read([]byte) (int, error) { return 0, os.ErrInvalid }
func (shared) Close() error             { return nil }

func isFIFO(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

func openFIFO(ctx context.Context, path string, flag int) (io.ReadWriteCloser, error) {
	handle, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(handle)
	path = "/proc/self/fd/" + strconv.Itoa(handle) // stays when somebody removes the pipe
	var file *os.File
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		file, err = os.OpenFile(path, flag, 0)
	}()
	select {
	case <-opened:
		return file, err
	case <-ctx.Done():
		release(path, func() { <-opened })
		file.Close()
		return nil, context.Cause(ctx)
	}
}

// release lets go on all who wait in opening a named pipe, and those who come while f runs.
func release(path string, f func()) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	f()
	if err == nil {
		unix.Close(fd)
	}
}

// fifoDir makes a directory for the named pipes of process substitutions. The shell opens each in a goroutine, which waits
// until a program opens the other end, and one that is not installed never does. At the context's end, and when the
// directory is removed, they are released.
func fifoDir(ctx context.Context, parent string) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(parent, "overlayd-"); err != nil {
		return "", nil, err
	}
	releaseAll := func() {
		entries, _ := os.ReadDir(dir) // nobody waits in a directory that somebody removed
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			release(path, func() { os.Remove(path) })
		}
	}
	stop := context.AfterFunc(ctx, releaseAll)
	return dir, func() {
		stop()
		releaseAll()
		os.RemoveAll(dir)
	}, nil
}
