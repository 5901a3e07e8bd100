package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// Scripts run overlayd on the machine that makeMachine makes. Each has directories of its own and a loopback address of
// its own, $HOST, for etcd at $ETCD. Beside testscript's verbs there are:
//
//	exits STATUS overlayd ARG...    run it to its end, with this exit status
//	powerless STATUS overlayd ...   the same, without CAP_NET_ADMIN
//	await REGEXP PROGRAM ARG...     run it again and again until it prints a match
//	masked overlayd ARG...          run it, and put words for what differs from run to run into what it printed
//	term                            send SIGTERM to all that runs in the background
//	etcd start|stop                 an etcd at $ETCD, with its data in $WORK/etcd
//	etcd put KEY FILE               write to the etcd at $ETCD
//	etcd keys                       print the keys that it holds
//	http STATUS URL                 get it, until the answer has this status, and print its body
//	listen URL                      take the port, and never say anything
//	chown UID PATH                  give a file away, which [one-user] systems cannot
//	tls-server NAME [wants-client]  an HTTPS server at $NAME that is no etcd, its CA in NAME.pem
//
// With UPDATE_SCRIPTS in the environment, what "cmp" compares with is written anew.
func TestScripts(t *testing.T) {
	var number atomic.Uint32
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			host := fmt.Sprintf("127.0.1.%d", number.Add(1))
			at := "http://" + host + ":2379"
			env.Setenv("HOST", host)
			env.Setenv("ETCD", at)
			env.Setenv("OVERLAYD_ETCD_LISTEN", at)
			env.Setenv("OVERLAYD_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("OVERLAYD_RUN_DIR", filepath.Join(env.WorkDir, "run"))
			env.Setenv("OVERLAYD_SUBNET_FILE", filepath.Join(env.WorkDir, "subnet.env"))
			env.Values[memberKey{}] = new(*embedded.Member)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "powerless": powerless, "await": await, "masked": masked, "term": term,
			"etcd": etcdVerb, "listen": listen, "http": httpGet, "chown": chown, "tls-server": tlsServer,
		},
		Condition: func(name string) (bool, error) {
			if name != "one-user" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			mapped, err := os.ReadFile("/proc/self/uid_map")
			return slices.Equal(strings.Fields(string(mapped))[2:], []string{"1"}), err
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// memberKey finds the script's etcd member among its values.
type memberKey struct{}

// usage ends the script if its line is not as documented.
func usage(ts *testscript.TestScript, neg, fits bool) {
	if neg || !fits {
		ts.Fatalf("not as the verb's documentation says")
	}
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 1)
	wantStatus(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func wantStatus(ts *testscript.TestScript, want string, err error) {
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != want {
		ts.Fatalf("exit status %d, want %s", got, want)
	}
}

func powerless(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 1)
	ended := make(chan error)
	go func() {
		// What the thread gives up it cannot have back, so it ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_NET_ADMIN, 0, 0, 0)
		if err == nil {
			err = ts.Exec(args[1], args[2:]...)
		}
		ended <- err
	}()
	wantStatus(ts, args[0], <-ended)
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 1)
	wanted := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(patience / 3); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if said := ts.ReadFile("stdout"); wanted.MatchString(said) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("no %s in what it printed last (%v):\n%s", wanted, err, said)
		}
	}
}

// masks are what differs from run to run.
var masks = []struct{ from, to string }{
	{`overlayd [^ ,]+, pid \d+`, "overlayd VERSION, pid PID"},
	{`\b\d+ (s|min)\b`, "TIME"},
	{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UUID"},
	{`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`, "TIMESTAMP"},
	{`"version": "[^"]*"`, `"version": "VERSION"`},
	{`"pid": \d+`, `"pid": PID`},
	{`"tookSeconds": [0-9.e-]+`, `"tookSeconds": SECONDS`},
	{`127\.0\.1\.\d+`, "HOST"},
}

func masked(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0)
	check(ts, ts.Exec(args[0], args[1:]...))
	text := ts.ReadFile("stdout")
	for _, m := range masks {
		text = regexp.MustCompile(m.from).ReplaceAllString(text, m.to)
	}
	fmt.Fprint(ts.Stdout(), strings.ReplaceAll(text, ts.Getenv("WORK"), "WORK"))
}

func httpGet(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		answer, err := client.Get(args[1])
		var body []byte
		if err == nil {
			body, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		if err == nil && strconv.Itoa(answer.StatusCode) == args[0] {
			fmt.Fprint(ts.Stdout(), string(body))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: want status %s: %v, %s", args[1], args[0], err, body)
		}
	}
}

func term(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 0)
	for _, cmd := range ts.BackgroundCmds() {
		check(ts, cmd.Process.Signal(unix.SIGTERM))
	}
}

func etcdVerb(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) > 0)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	member := ts.Value(memberKey{}).(**embedded.Member)
	switch {
	case slices.Equal(args, []string{"start"}):
		started, err := embedded.Start(ctx, embedded.Options{
			Dir: ts.MkAbs("etcd"), ListenClient: ts.Getenv("ETCD"), Logger: slog.New(slog.DiscardHandler),
		})
		check(ts, err)
		ts.Defer(func() { started.Close() })
		*member = started
		return
	case slices.Equal(args, []string{"stop"}):
		check(ts, (*member).Close())
		return
	}
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: []string{ts.Getenv("ETCD")}})
	check(ts, err)
	defer client.Close()
	switch {
	case args[0] == "put" && len(args) == 3:
		_, err := client.Put(ctx, args[1], strings.TrimSuffix(ts.ReadFile(args[2]), "\n"))
		check(ts, err)
	case slices.Equal(args, []string{"keys"}):
		all, err := client.Get(ctx, "/", clientv3.WithPrefix())
		check(ts, err)
		for _, kv := range all.Kvs {
			fmt.Fprintf(ts.Stdout(), "%s\n", kv.Key)
		}
	default:
		usage(ts, neg, false)
	}
}

func listen(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1)
	l, err := net.Listen("tcp", strings.TrimPrefix(args[0], "http://"))
	check(ts, err)
	ts.Defer(func() { l.Close() })
}

func chown(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2)
	uid, err := strconv.Atoi(args[0])
	check(ts, err)
	check(ts, os.Chown(ts.MkAbs(args[1]), uid, -1))
}

func tlsServer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1 || len(args) == 2 && args[1] == "wants-client")
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(args) == 2 {
		server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	}
	server.StartTLS()
	ts.Defer(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	check(ts, os.WriteFile(ts.MkAbs(args[0]+".pem"), ca, 0o600))
	ts.Setenv(args[0], server.URL)
}
