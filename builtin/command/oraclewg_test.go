package command

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/builtin/internal/kernel"
	"github.com/overlayd/overlayd/internal/netns"
)

// Not parallel: userspace WireGuard is in this process's own namespace.
func TestAnyLineOfWGIsAnsweredAsByTheRealWG(t *testing.T) {
	requireTools(t, "wg", "ip")
	w := newWriter(oracleSeed(t))
	theirs := newNamespace(t)
	realDevice(t, theirs, "wg0")
	here, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	k, err := kernel.Open(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	dir := t.TempDir()
	own := &tester{inside: here, dir: dir, kernel: k, counts: map[string]int{}, skipped: map[string]int{}}
	own.run(t, input{argv: strings.Fields("ip link add wg0 type wireguard")})
	defer own.run(t, input{argv: strings.Fields("ip link del wg0")})
	real := &tester{inside: theirs, dir: dir}
	asked := &tester{inside: here, dir: dir}
	dump := input{argv: strings.Fields("wg show wg0 dump")}
	for range oracleLines() / 5 {
		in := input{argv: w.line("wg")}
		if strings.Contains(in.String(), "conf") {
			in.stdin = w.conf()
		}
		want, got := real.run(t, in), own.run(t, in)
		if diff := changes(byKey(want.text()), byKey(got.text())); diff != "" && !excused(in, own.handed, want) {
			t.Errorf("%s (handed on: %v) (-real +ours):\n%s", in, own.handed, diff)
		}
		if diff := changes(byKey(real.run(t, dump).Stdout), byKey(asked.run(t, dump).Stdout)); diff != "" {
			t.Fatalf("%s leaves (-real +ours):\n%s", in, diff)
		}
	}
	t.Log(own.counts, own.skipped)
}

// chosenPort is a port that the kernel has chosen, from its usual range. The grammar uses none of these.
var chosenPort = regexp.MustCompile(`\b(?:3[3-9]|4\d|5\d|60)\d{3}\b|\b32(?:7[7-9]|[89]\d)\d\b|\b3276[89]\b`)

// byKey is a listing of peers in the order of their keys, and its prefixes in theirs.
func byKey(text string) string {
	text = strings.ReplaceAll(text, "Protocol not supported", "No such device") // see differences
	if strings.Count(text, "wg0\t") == 1 {                                      // "wg show all endpoints" has it before the first peer alone, whichever that is
		text = strings.Replace(text, "wg0\t", "", 1)
	}
	lines := strings.Split(chosenPort.ReplaceAllString(text, "(port)"), "\n")
	for i, line := range lines {
		fields := strings.Split(line, "\t")
		for j, field := range fields {
			parts := strings.Split(field, ",")
			slices.Sort(parts)
			fields[j] = strings.Join(parts, ",")
		}
		lines[i] = strings.Join(fields, "\t")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// conf writes a configuration of a WireGuard device.
func (w *writer) conf() string {
	text := "[Interface]\n"
	for range w.IntN(3) {
		text += strings.Join(w.expand("confdev"), " ") + "\n"
	}
	for range w.IntN(3) {
		text += "[Peer]\n" + strings.Join(w.expand("confkey"), " ") + "\n"
		for range w.IntN(3) {
			text += strings.Join(w.expand("confpeer"), " ") + "\n"
		}
	}
	return text
}
