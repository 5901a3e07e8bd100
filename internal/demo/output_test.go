package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
)

// grid is the times between nodes 1 to n: from*10+to microseconds, none for the pairs that lost.
func grid(n int, lost ...[2]int) (numbers []int, times map[[2]int]time.Duration) {
	times = map[[2]int]time.Duration{}
	for from := 1; from <= n; from++ {
		numbers = append(numbers, from)
		for to := 1; to <= n; to++ {
			if from != to {
				times[[2]int{from, to}] = time.Duration(from*10+to) * 10 * time.Microsecond
			}
		}
	}
	for _, pair := range lost {
		delete(times, pair)
	}
	return numbers, times
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		nodes int
		lost  [][2]int
		want  string
	}{
		{"of three nodes", 3, nil, `
            to 1   to 2   to 3
  node 1       -   0.12   0.13
  node 2    0.21      -   0.23
  node 3    0.31   0.32      -`},
		{"with a ping that was lost", 2, [][2]int{{1, 2}}, `
            to 1   to 2
  node 1       -   none
  node 2    0.21      -`},
		{"of as many nodes as fit", 9, [][2]int{{9, 1}}, `
            to 1   to 2   to 3   to 4   to 5   to 6   to 7   to 8   to 9
  node 1       -   0.12   0.13   0.14   0.15   0.16   0.17   0.18   0.19
  node 2    0.21      -   0.23   0.24   0.25   0.26   0.27   0.28   0.29
  node 3    0.31   0.32      -   0.34   0.35   0.36   0.37   0.38   0.39
  node 4    0.41   0.42   0.43      -   0.45   0.46   0.47   0.48   0.49
  node 5    0.51   0.52   0.53   0.54      -   0.56   0.57   0.58   0.59
  node 6    0.61   0.62   0.63   0.64   0.65      -   0.67   0.68   0.69
  node 7    0.71   0.72   0.73   0.74   0.75   0.76      -   0.78   0.79
  node 8    0.81   0.82   0.83   0.84   0.85   0.86   0.87      -   0.89
  node 9    none   0.92   0.93   0.94   0.95   0.96   0.97   0.98      -`},
		{"of more nodes than fit", 10, [][2]int{{1, 2}}, `
            answered    least   median     most
  node 1      8 of 9      0.13     0.17     0.20
  node 2      9 of 9      0.21     0.26     0.30
  node 3      9 of 9      0.31     0.36     0.40
  node 4      9 of 9      0.41     0.46     0.50
  node 5      9 of 9      0.51     0.56     0.60
  node 6      9 of 9      0.61     0.65     0.70
  node 7      9 of 9      0.71     0.75     0.80
  node 8      9 of 9      0.81     0.85     0.90
  node 9      9 of 9      0.91     0.95     1.00
  node 10     9 of 9      1.01     1.05     1.09`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, "\n"+matrix(grid(tt.nodes, tt.lost...))); diff != "" {
				t.Errorf("matrix (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHookLine(t *testing.T) {
	t.Parallel()
	use := func(hook hooks.Hook, runs, failures int, seconds float64) control.HookUse {
		return control.HookUse{Hook: hook, Runs: runs, Failures: failures, Last: control.HookRun{Took: seconds}}
	}
	for _, tt := range []struct {
		name string
		uses []control.HookUse
		want string
	}{
		{"hooks that ran once", []control.HookUse{use(hooks.PreStartup, 1, 0, 0.012), use(hooks.SubnetAdd, 1, 0, 0.0015)},
			"PreStartup 12.0 ms, SubnetAdd 1.5 ms"},
		{"a hook that took long", []control.HookUse{use(hooks.PreStartup, 1, 0, 0.1235)}, "PreStartup 124 ms"},
		{"a hook that ran more often", []control.HookUse{use(hooks.SubnetAdd, 9, 0, 0.002)}, "SubnetAdd 2.0 ms (last of 9)"},
		{"a hook that failed", []control.HookUse{use(hooks.SubnetAdd, 2, 1, 0.002)}, "SubnetAdd 2.0 ms (last of 2) (1 failed)"},
		{"no hooks", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := hookLine(tt.uses); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		live bool
		want string
	}{
		{"a log file sees lines only", false, "one\ntwo\n"},
		{"a terminal sees progress until the next line", true,
			"one\n          waiting for 3 ...\r\x1b[K          waiting for 2 ...\r\x1b[Ktwo\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			p := newPrinter(&b, tt.live)
			p.line("one")
			p.progress("waiting for %d", 3)
			p.progress("waiting for %d", 2)
			p.line("two")
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}
