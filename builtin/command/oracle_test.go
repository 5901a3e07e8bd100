package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

// A scenario is a number of lines that run one after the other in a fresh namespace.
const scenarioLines = 30

// An input is a command line with what it reads.
type input struct {
	argv  []string
	stdin string
}

func (i input) String() string {
	var words []string
	for _, word := range i.argv {
		quoted, err := syntax.Quote(word, syntax.LangBash)
		if err != nil {
			panic(err)
		}
		words = append(words, quoted)
	}
	text := strings.Join(words, " ")
	if i.stdin != "" {
		text += fmt.Sprintf(" <<< %q", i.stdin)
	}
	return text
}

// A tester runs inputs on one side: with the real tools, or in this process and only what is not known there with them.
type tester struct {
	inside  *netns.Namespace
	kernel  kernel.Kernel // nil for the real tools
	dir     string
	handed  bool           // the last input went to the real tool
	counts  map[string]int // inputs answered in this process, by command
	skipped map[string]int // and those that were not
}

func (x *tester) run(t *testing.T, in input) result {
	t.Helper()
	var stdout, stderr buffer
	real := func(ctx context.Context, argv []string) error {
		x.handed = true
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = strings.NewReader(in.stdin), &stdout, &stderr, x.dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "RES_OPTIONS=attempts:1 timeout:1"}
		err := x.inside.Run(cmd)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return interp.ExitStatus(exit.ExitCode())
		}
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var err error
	x.handed = false
	if x.kernel == nil {
		err = real(ctx, in.argv)
	} else {
		err = x.here(ctx, t, in, &stdout, &stderr, real)
		count := x.counts
		if _, change := Change(in.argv); x.handed && change {
			t.Errorf("%s is a change, and went to the real tool", in)
		}
		if x.handed {
			count = x.skipped
		}
		count[form(in.argv)]++
	}
	status, ok := errors.AsType[interp.ExitStatus](err)
	if err != nil && !ok {
		t.Fatalf("%s: %v", in, err)
	}
	return result{stdout.String(), stderr.String(), int(status)}
}

// here runs an input with the commands of this package.
func (x *tester) here(ctx context.Context, t *testing.T, in input, stdout, stderr *buffer, next interp.ExecHandlerFunc) error {
	t.Helper()
	line := input{argv: in.argv}.String()
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	runner, err := interp.New(
		interp.StdIO(strings.NewReader(in.stdin), stdout, stderr), interp.Dir(x.dir),
		interp.Env(expand.ListEnviron("PATH="+os.Getenv("PATH"))),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return Handler(x.kernel, next) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return runner.Run(ctx, file)
}

// form is the command and the object it is about.
func form(argv []string) string {
	words := slices.DeleteFunc(slices.Clone(argv), func(w string) bool { return strings.HasPrefix(w, "-") })
	n := 1
	if words[0] == "ip" || words[0] == "bridge" || words[0] == "wg" {
		n = min(2, len(words))
	}
	objects := []string{"address", "route", "rule", "neighbour", "neighbor", "link", "fdb", "vlan"}
	if n == 2 {
		if i := slices.IndexFunc(objects, func(o string) bool { return words[1] != "" && strings.HasPrefix(o, words[1]) }); i >= 0 {
			words[1] = objects[i]
		}
	}
	return strings.Join(words[:n], " ")
}

// whole is all that lines may have changed in a namespace, as the real tools tell it.
func (x *tester) whole(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, in := range []input{
		{argv: []string{"ip", "-d", "-batch", "-"}, stdin: "link\naddr\nroute show table all\nrule\nneigh show nud all\n"},
		{argv: []string{"ip", "-6", "rule"}},
		{argv: []string{"bridge", "fdb"}},
		{argv: []string{"bridge", "vlan"}},
	} {
		said := (&tester{inside: x.inside}).run(t, in)
		text.WriteString(sorted(settled(said.Stdout)))
	}
	return text.String()
}

// What the kernel does by itself, and in its own time, when links come up: addresses of the link and their routes, the
// state of carriers, and how long something has been or will be.
var (
	byItself = regexp.MustCompile(`(?m)^.*\b(?:fe80::[0-9a-f]{1,4}:[0-9a-f:]+|ff00::/8|fe80::/64|anycast fe80::|fe80:: dev).*\n(       valid_lft.*\n)?|^.*\bfe80::/128.*\n`)
	carrier  = regexp.MustCompile(`(?m)"NO-CARRIER",|,?"(?:LOWER_UP|M-DOWN)"|"operstate": ?"[A-Z]+",?|,?"(?:linkdown|dead)"|"tentative": ?true,| tentative|,LOWER_UP|NO-CARRIER,|,?M-DOWN|(?: linkdown)+|(?: dead)|state [A-Z]+|^(?:224|ff02)\S* .*NOARP.*\n|^3[0-9a-f]:33:.*\n|^.*01:00:5e:00:00:01.*permanent\n`)
	columns  = regexp.MustCompile(`(?m)^(\S+ +)(?:UP|DOWN|UNKNOWN|LOWERLAYERDOWN) +`)
	elapsed  = regexp.MustCompile(`\b\d+sec\b|expires \d+|used \d+/\d+/\d+|age \d+|(?:hello|tcn|topology_change|gc)_timer +[\d.]+| probes \d+|ref \d+ `)
	random   = regexp.MustCompile(`\b(?:[0-9a-f]{1,2}[:.]){5}[0-9a-f]{1,2}\b`)
	given    = regexp.MustCompile(`^0?2:0|^00:00|^ff:ff|^01:00`)
	timed    = regexp.MustCompile(`\b(REACHABLE|DELAY|PROBE|STALE|reachable|delay|probe|stale)\b`)
)

// counted are counters, of which the kernel's own packets make now one more and now one less.
var counted = regexp.MustCompile(`(?m)^    +(?:\d+ +)+\\?$|"(?:bytes|packets|dropped|multicast)": ?\d+|(?: +\d+){5,7} \\`)

func settled(text string) string {
	text = counted.ReplaceAllStringFunc(text, func(s string) string { return regexp.MustCompile(`\d`).ReplaceAllString(s, "0") })
	text = byItself.ReplaceAllString(text, "")
	text = permanent.ReplaceAllString(text, "permaddr (chosen)")
	text = random.ReplaceAllStringFunc(text, func(mac string) string {
		if given.MatchString(mac) {
			return mac
		}
		return "(chosen)"
	})
	text = columns.ReplaceAllString(carrier.ReplaceAllString(text, ""), "$1")
	return timed.ReplaceAllString(elapsed.ReplaceAllString(text, "(time)"), "(passing)")
}

// settled is the result without what differs from run to run. Entries of hash tables come in any order, in JSON too.
func (r result) settled() result {
	return result{sorted(settled(strings.NewReplacer("},{", "}\n{", "[{", "{", "}]", "}").Replace(r.Stdout))), settled(r.Stderr), r.Status}
}

// text is all that a result says.
func (r result) text() string {
	return fmt.Sprintf("%s\nstderr: %s\nstatus %d", r.Stdout, r.Stderr, r.Status)
}

// oracleSeed and oracleLines are what a run of the oracle is made of.
func oracleSeed(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("OVERLAYD_ORACLE_SEED"), 10, 64)
	if err != nil {
		seed = 1 // one that passes: finding new differences is for make oracle
	}
	t.Logf("OVERLAYD_ORACLE_SEED=%d", seed)
	return seed
}

func oracleLines() int {
	if n, err := strconv.Atoi(os.Getenv("OVERLAYD_ORACLE_LINES")); err == nil {
		return n
	}
	return 900
}

// The oracle: any line does and says the same here and with the real tools. What differs for a reason is in differences.
func TestAnyLineIsAnsweredAsByTheRealTools(t *testing.T) {
	requireTools(t, "ip", "bridge", "arp", "sysctl")
	seed := oracleSeed(t)
	counts, skipped := map[string]int{}, map[string]int{}
	t.Run("scenarios", func(t *testing.T) {
		for n := range oracleLines() / scenarioLines {
			w := newWriter(seed + uint64(n))
			t.Run(fmt.Sprintf("seed=%d", seed+uint64(n)), func(t *testing.T) {
				inputs := w.scenario()
				if !agree(t, inputs, false, counts, skipped) {
					agree(t, inputs, true, map[string]int{}, map[string]int{})
				}
			})
		}
	})
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%-16s %5d in this process, %5d by the real tool", name, counts[name], skipped[name])
	}
}

// scenario begins with links that most of the lines need.
func (w *writer) scenario() []input {
	inputs := []input{
		{argv: strings.Fields("ip link add vx0 address 02:00:00:00:00:a0 type vxlan id 70 dstport 4700 local 192.0.2.1")},
		{argv: strings.Fields("ip link add ve0 address 02:00:00:00:00:a1 type veth peer name ve1")},
		{argv: strings.Fields("ip link add br0 address 02:00:00:00:00:a2 type bridge")},
		{argv: strings.Fields("ip link set vx0 up")},
		{argv: strings.Fields("ip link set ve0 up")},
		{argv: strings.Fields("ip addr add 192.0.2.1/24 dev vx0")},
		{argv: strings.Fields("ip addr add fd00::1/64 dev vx0")},
	}
	for len(inputs) < scenarioLines {
		in := input{argv: w.line("line")}
		if slices.Contains(w.rules["text"], strings.Join(in.argv, " ")) {
			in.stdin = "10.50.7.0/24\na:b:c aa\n\n1.2.3.4 /x"
		}
		if w.IntN(25) == 0 {
			in = input{argv: []string{"ip", "-batch", "-"}}
			if w.IntN(3) == 0 {
				in.argv = []string{"ip", "-force", "-batch", "-"}
			}
			for range 1 + w.IntN(4) {
				in.stdin += strings.Join(w.line("ip")[1:], " ") + "\n"
			}
		}
		inputs = append(inputs, in)
	}
	return inputs
}

// agree runs the inputs on both sides and reports whether they agree. Told to be precise it compares what is left after each
// input, and says what differs.
func agree(t *testing.T, inputs []input, precise bool, counts, skipped map[string]int) bool {
	t.Helper()
	theirs, ours := newNamespace(t), newNamespace(t)
	defer theirs.Close()
	defer ours.Close()
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/file", []byte("a:b\nb\na\n\nab 1.2\na:b\n"), 0o600), os.Mkdir(dir+"/sub", 0o700)); err != nil {
		t.Fatal(err)
	}
	k := openKernel(t, ours)
	sides := [2]*tester{{inside: theirs, dir: dir}, {inside: ours, dir: dir, kernel: k, counts: counts, skipped: skipped}}
	for i, in := range inputs {
		var want, got result
		answer := func() string {
			want, got = sides[0].run(t, in).settled(), sides[1].run(t, in).settled()
			if want == got {
				return ""
			}
			return changes(want.text(), got.text())
		}
		diff := answer()
		if want.Stdout != "" && got.Stdout != "" { // a question
			diff = await(answer, diff)
		}
		if diff == "" && (precise || i == len(inputs)-1) {
			state := func() string { return changes(sides[0].whole(t), sides[1].whole(t)) }
			diff = await(state, state())
		}
		if diff == "" {
			continue
		}
		if excused(in, sides[1].handed, want) {
			return true // what follows may differ in consequence
		}
		if precise {
			by := "in this process"
			if sides[1].handed {
				by = "handed on"
			}
			t.Errorf("%s (%s) (-real +ours):\n%s", in, by, diff)
		}
		return false
	}
	return true
}

// await asks again for as long as what the kernel does in its own time may be what differs.
func await(ask func() string, diff string) string {
	for try := 0; diff != "" && try < 15; try++ {
		time.Sleep(20 * time.Millisecond)
		diff = ask()
	}
	return diff
}

// changes are the lines that differ.
func changes(before, after string) string {
	var lines []string
	diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n"))
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "-") || strings.HasPrefix(line, "+") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// excused reports whether an input may differ, to which the real tool answers as is said.
func excused(in input, handed bool, real result) bool {
	return slices.ContainsFunc(differences, func(d difference) bool {
		return (handed || !d.handed) && strings.Contains(real.Stderr, d.real) && regexp.MustCompile(d.lines).MatchString(in.String())
	})
}

// A difference is a kind of line that need not be answered as the real tools answer it.
type difference struct {
	lines, reason string
	real          string // only when this is in what the real tool complains of
	handed        bool   // only when the real tool has got it, or a part of it
}

var differences = []difference{
	{lines: `^wg (show|showconf|set|setconf|addconf|syncconf) (nope|lo)\b`,
		reason: "`No such device` for a link that is no WireGuard device, where the real tool says `Protocol not supported` on a kernel without WireGuard"},
	{lines: `^sysctl .*tcp_available_congestion_control=`,
		reason: "`Permission denied` and status 1 for a setting that cannot be written, where the real tool says `Invalid argument` and ends with 0"},
	{lines: `^ip .*\bnexthop .*\bdev \S+ .*\bweight `, real: "Cannot find device",
		reason: "A complaint of the weight, where the real tool complains first of a `dev` before it that does not exist"},
	{lines: `^(ip|bridge) .*-batch `, handed: true,
		reason: "A line that the real tool gets alone: some of its failures would have ended the whole batch, which here goes on as after any other failure"},
}
