package hookrunner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/helper"
	"github.com/overlayd/overlayd/hookrunner/script"
	"github.com/overlayd/overlayd/hooks"
)

// texts are what a peer may have published.
var texts = []string{
	"52:54:00:12:34:56", "", " \t", "a b  c d", "  before and after \t", "first\nsecond", "\nsecond", `a\b`, `a\ b`, `ends\`, "*", "/etc/*", "[a]", "?", "-n", "-",
	"$(id)", "`id`", "$SUBNET", "; ip link del eth0", "a && b", "'", `"`, "~", "{a,b}", "#", "a/b/c", "//", "a\rb", "é", "\xff/\xfe", "\x01\x7f", "@(a|b)", "!(x)", "a=b", "\u00a0a\u2003b", "%s",
	strings.Repeat("x", 1<<10), strings.Repeat("x", 1<<10+1), strings.Repeat("a ", 2000),
}

// answering is a Run whose commands print their words, and fail or not by them.
type answering struct {
	noRun
	asked []string
}

func (a *answering) Change(argv []string) (func(context.Context, interp.HandlerContext) error, bool) {
	return changeOf(a, argv), true
}

func (a *answering) Command(_ context.Context, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, _ helper.OpenFunc) error {
	a.asked = append(a.asked, fmt.Sprintf("%q in %s by %s", argv, hc.Dir, hc.Env.Get("PATH")))
	fmt.Fprintf(hc.Stdout, "%q\n", argv)
	fmt.Fprintf(hc.Stderr, "%d words\n", len(argv))
	switch {
	case argv[len(argv)-1] == "end":
		return errors.New("the kernel is gone")
	case strings.Contains(argv[len(argv)-1], "b"):
		return fmt.Errorf("refused: %w", interp.ExitStatus(len(argv)))
	}
	return nil
}

// A script that is straight does the same here and in a helper, whatever a peer says.
func TestStraightScriptsDoTheSameAsInAHelper(t *testing.T) {
	r := newRunner(t, backend(), Options{})
	here := 0
	scripts := straightScripts(t)
	for i, text := range append(slices.Clone(scripts), randomScripts(800)...) {
		parsed, err := script.Parse("hook", text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		straight := parsed.Straight()
		if straight == nil {
			t.Errorf("%s is not straight", text)
			continue
		}
		some := texts
		if i >= len(scripts) { // of the many, each takes a few
			at := i % (len(texts) - 3)
			some = texts[at : at+3]
		}
		for _, data := range some {
			task := task{hook: hooks.SubnetAdd, call: call(hooks.Join), subject: peer}
			job := helper.Job{Text: text, Dir: r.options.Dir, Env: r.environ(task), Stdin: data + "\n"}
			if _, ok := straight.Steps(job.Env, job.Stdin); !ok {
				continue
			}
			here++
			var own, other answering
			got, gotErr := r.carryOut(t.Context(), job, straight, &own)
			want, wantErr := r.carryOut(t.Context(), job, nil, &other)
			if diff := cmp.Diff([]any{want, errorText(wantErr), other.asked}, []any{got, errorText(gotErr), own.asked}); diff != "" {
				t.Errorf("%s\nwith %q: (-helper +here)\n%s", text, data, diff)
			}
		}
	}
	t.Logf("%d compared", here)
	if here < 2000 {
		t.Errorf("%d runs were straight", here)
	}
}

// A Run that knows not all of a straight script has all of it run in a helper, which finds the program.
func TestAStraightScriptWithAProgramRunsInAHelper(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "arp"), []byte("#!/bin/sh\necho the real arp $*; exit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var a partial
	r := newRunner(t, backend(), Options{Environ: []string{"PATH=" + dir}, Begin: func(string) Run { return &a }})
	stdout, err := r.output(t.Context(), "read V; ip a $V; arp $V || ip c", "word")
	if want := "[\"ip\" \"a\" \"word\"]\nthe real arp word\n[\"ip\" \"c\"]\n"; stdout != want || err != nil {
		t.Errorf("printed %q, want %q, %v", stdout, want, err)
	}
}

// partial knows ip alone.
type partial struct{ answering }

func (p *partial) Change(argv []string) (func(context.Context, interp.HandlerContext) error, bool) {
	return changeOf(p, argv), argv[0] == "ip"
}

func (p *partial) Command(ctx context.Context, hc interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, open helper.OpenFunc) error {
	if argv[0] != "ip" {
		return next(ctx, argv)
	}
	return p.answering.Command(ctx, hc, argv, next, open)
}

// At the end of its time nothing more of a straight script is carried out.
func TestAStraightScriptEndsInTime(t *testing.T) {
	r := newRunner(t, backend("SubnetAddCommand", "ip a; ip b || ip c", "Timeout", "20ms"), Options{})
	var w waiting
	r.options.Begin = func(string) Run { return &w }
	err := r.SubnetAdd(t.Context(), call(hooks.Join), peer)
	if want := "still running after 20ms, its Timeout"; !strings.Contains(errorText(err), want) || w.calls != 1 {
		t.Errorf("%d commands ran: %v, want 1: %s", w.calls, err, want)
	}
}

// waiting waits for the end of its context.
type waiting struct {
	answering
	calls int
}

func (w *waiting) Change(argv []string) (func(context.Context, interp.HandlerContext) error, bool) {
	return changeOf(w, argv), true
}

func (w *waiting) Command(ctx context.Context, _ interp.HandlerContext, _ []string, _ interp.ExecHandlerFunc, _ helper.OpenFunc) error {
	w.calls++
	<-ctx.Done()
	return fmt.Errorf("interrupted: %w", interp.ExitStatus(1))
}

// straightScripts are those of the examples, the cookbook and the other scripts, and some more.
func straightScripts(t *testing.T) (all []string) {
	all = []string{
		"ip a; ip b", "ip a b || ip c", "ip a b && ip c || ip d; ip e", "ip end && ip a", "ip end; ip a", "ip b", "read A && ip $A", "read -r A B\nip \"$A\" $B", "A=\nip $A x$A \"$A\"",
		"A=$SUBNET B=${A#*/}; export C=$B D; ip $C$B ${NODE_SUBNET##*.} $IPV6SUBNET", "export D; read D; ip $D", "A='x  y'; ip $A \"$A\" a\\ b", "read SUBNET; ip $SUBNET ${SUBNET%/*}",
	}
	candidates := []string{}
	corpus, err := os.ReadFile("testdata/scripts.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(corpus)) {
		candidates = append(candidates, strings.ReplaceAll(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "bash: "), "¶", "\n"))
	}
	files, _ := filepath.Glob("../examples/*.json")
	more, _ := filepath.Glob("../examples/cookbook/*.yaml")
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var network struct {
			Backend map[string]any `yaml:"Backend"`
		}
		if err := yaml.Unmarshal(text, &network); err != nil {
			t.Fatal(err)
		}
		for key, command := range network.Backend {
			if strings.HasSuffix(key, "Command") {
				candidates = append(candidates, command.(string))
			}
		}
	}
	found := 0
	for _, text := range candidates {
		if parsed, err := script.Parse("hook", text); err == nil && parsed.Straight() != nil {
			all = append(all, text)
			found++
		}
	}
	t.Logf("%d of %d scripts are straight", found, len(candidates))
	if found < 8 {
		t.Errorf("only %d of the scripts are straight", found)
	}
	return all
}

// randomScripts writes scripts that are straight.
func randomScripts(n int) (all []string) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range n {
		var text strings.Builder
		variables := []string{"SUBNET", "PUBLIC_IP", "NODE_SUBNET", "IPV6SUBNET", "IFACE", "REASON"}
		word := func() (w string) {
			for range 1 + random.IntN(3) {
				v := pick(variables...)
				w += pick("-lit", ".b:c", "'q  $X'", `\ `, `\$`, `""`, "=", "$"+v, "$"+v, `"$`+v+`"`, "${"+v+"}", "${"+v+"%/*}", "${"+v+"%%[a.]*}", `"${`+v+`#*:} x"`, "${"+v+"##*b}",
					`"x $`+v+` y"`, "$(echo $NODE_SUBNET | cut -d/ -f1)")
			}
			return w
		}
		read := random.IntN(5)
		for i := range random.IntN(5) {
			name := pick("A", "B", "VTEP", "key_1")
			switch {
			case i == read:
				text.WriteString(pick("read ", "read -r ") + name + pick("", " REST"))
			default:
				text.WriteString(pick("", "export ") + name + "=" + pick(word(), word(), ""))
			}
			variables = append(variables, name)
			text.WriteString(pick("\n", "; ", " && "))
		}
		for i := range 1 + random.IntN(4) {
			if i > 0 {
				text.WriteString(pick("\n", "; ", " && ", " || "))
			}
			text.WriteString(pick("ip", "arp", "bridge"))
			for range random.IntN(4) {
				text.WriteString(" " + word())
			}
		}
		all = append(all, text.String())
	}
	return all
}
