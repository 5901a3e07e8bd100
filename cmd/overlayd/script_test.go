package main

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/overlayd/overlayd/internal/netns"
	"github.com/overlayd/overlayd/lease/etcd"
)

// The scripts run in one machine: a network namespace with an external interface eth0 at 192.0.2.1.
func TestScripts(t *testing.T) {
	connectMachine(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"await":   await,
			"etcdput": etcdPut,
		},
		Setup: func(e *testscript.Env) error {
			// What the machine's own environment says must not reach the daemon.
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("DIRS", strings.Join([]string{"--state-dir", e.WorkDir + "/state", "--run-dir", e.WorkDir + "/run",
				"--subnet-file", e.WorkDir + "/subnet.env"}, " "))
			return nil
		},
	})
}

func connectMachine(t *testing.T) {
	t.Helper()
	machine, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	router, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { router.Close() })
	err = errors.Join(
		netns.Connect(machine, "eth0", router, "eth0", 1500),
		machine.Addr("eth0", netip.MustParsePrefix("192.0.2.1/24")),
		router.Addr("eth0", netip.MustParsePrefix("192.0.2.254/24")),
		machine.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.254")),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// exits STATUS PROGRAM ARGS… runs a program that must end with the status. $DIRS is taken apart into its words.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var words []string
	for _, arg := range args[1:] {
		if arg == ts.Getenv("DIRS") {
			words = append(words, strings.Fields(arg)...)
		} else {
			words = append(words, arg)
		}
	}
	status := 0
	if err := ts.Exec(words[0], words[1:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		status = exit.ExitCode()
	}
	if status != want {
		ts.Fatalf("exit status %d, want %d", status, want)
	}
}

// await FILE [TEXT] waits until the file is there, and has the text in it.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: await file [text]")
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		if err == nil && len(args) == 1 {
			return
		}
		var content []byte
		if err == nil {
			content, err = os.ReadFile(ts.MkAbs(args[0]))
		}
		if err == nil && strings.Contains(string(content), args[1]) {
			return
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not as awaited:\n%s", args[0], content)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// etcdput ENDPOINT KEY VALUE writes what no overlayd would.
func etcdPut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: etcdput endpoint key value")
	}
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: args[:1]})
	ts.Check(err)
	defer client.Close()
	_, err = client.Put(context.Background(), args[1], args[2])
	ts.Check(err)
}
