package hookrunner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/lease"
)

// hookOf calls a hook of a Runner by its name.
func hookOf(r *Runner, h hooks.Hook, c hooks.Call, p lease.Lease) (data json.RawMessage, err error) {
	switch h {
	case hooks.PreStartup:
		own, err := r.PreStartup(context.Background(), c)
		return own.V4, err
	case hooks.PostStartup:
		err = r.PostStartup(context.Background(), c)
	case hooks.SubnetAdd:
		err = r.SubnetAdd(context.Background(), c, p)
	case hooks.SubnetRemove:
		err = r.SubnetRemove(context.Background(), c, p)
	case hooks.Shutdown:
		err = r.Shutdown(context.Background(), c)
	}
	return nil, err
}

func TestScopesAreToldHowTheirHooksWent(t *testing.T) {
	tests := []struct {
		hook hooks.Hook
		want map[string]string // by command: the scope and the verdict
	}{
		{hooks.PreStartup, map[string]string{"true": "node: keep", "false": "node: undo", "": ""}},
		{hooks.PostStartup, map[string]string{"true": "node: keep", "false": "node: undo", "": ""}},
		{hooks.SubnetAdd, map[string]string{"true": "10.50.7.0/24: sweep", "false": "10.50.7.0/24: undo", "": "10.50.7.0/24: sweep"}},
		{hooks.SubnetRemove, map[string]string{"true": "10.50.7.0/24: clear", "false": "10.50.7.0/24: undo", "": "10.50.7.0/24: clear"}},
		{hooks.Shutdown, map[string]string{"true": "node: clear", "false": "node: undo", "": "node: clear"}},
	}
	for _, tt := range tests {
		for command, want := range tt.want {
			t.Run(fmt.Sprintf("%s of %q", tt.hook, command), func(t *testing.T) {
				var rec recorder
				r := newRunner(t, backend(commandKey(tt.hook), command), Options{Begin: rec.begin})
				_, err := hookOf(r, tt.hook, call(hooks.Start), peer)
				if (err != nil) != (command == "false") {
					t.Error(err)
				}
				var all []string
				if scope, _, _ := strings.Cut(want, ": "); scope != "" {
					all = []string{"begin " + scope, "end " + want}
				}
				if diff := cmp.Diff(all, rec.log); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

func TestErrorsNameTheHookAndThePeer(t *testing.T) {
	broken := &recorder{fail: errors.New("ledger: disk full")}
	tests := []struct {
		name, command string
		hook          hooks.Hook
		options       Options
		want          string
	}{
		{"of a peer", "echo 'RTNETLINK answers: File exists' >&2; exit 2", hooks.SubnetAdd, Options{},
			"SubnetAdd 10.50.7.0/24: exit status 2: RTNETLINK answers: File exists"},
		{"of the node", "nosuchprogram", hooks.PostStartup, Options{}, "PostStartup: exit status 127: nosuchprogram: not found"},
		{"of a long message", "printf %0500d >&2; false", hooks.Shutdown, Options{},
			"Shutdown: exit status 1: " + strings.Repeat("0", 200) + "…"},
		{"of the scope", "true", hooks.SubnetRemove, Options{Begin: broken.begin}, "SubnetRemove 10.50.7.0/24: ledger: disk full"},
		{"of the scope, too", "false", hooks.SubnetAdd, Options{Begin: broken.begin}, "SubnetAdd 10.50.7.0/24: exit status 1\nledger: disk full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t, backend(commandKey(tt.hook), tt.command), tt.options)
			if _, err := hookOf(r, tt.hook, call(hooks.Start), peer); errorText(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestPreStartupSaysWhatIsPublished(t *testing.T) {
	tests := []struct{ name, command, want, err string }{
		{"text, trimmed", `printf ' a b\nc \n\n'; echo not this >&2`, `"a b\nc"`, ""},
		{"text for HTML and JSON", `printf '<&>"\\'`, `"<&>\"\\"`, ""},
		{"nothing", "true", `""`, ""},
		{"nothing without a command", "", "", ""},
		{"as much as there may be", "printf '%016384d'", `"` + strings.Repeat("0", maxData) + `"`, ""},
		{"too much", "printf '%016385d'", "",
			"PreStartup: more than 16384 bytes on stdout, too many for a lease: print only what the other nodes need"},
		{"far too much", "yes | head -c 1000000", "",
			"PreStartup: more than 16384 bytes on stdout, too many for a lease: print only what the other nodes need"},
		{"no text", `printf '\377'`, "", "PreStartup: stdout is not UTF-8, which a lease needs: print it in base64, say"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rec recorder
			r := newRunner(t, backend("PreStartupCommand", tt.command), Options{Begin: rec.begin})
			data, err := r.PreStartup(t.Context(), call(hooks.Start))
			if string(data.V4) != tt.want || errorText(err) != tt.err {
				t.Errorf("got %.80q, %v", data.V4, err)
			}
			if n := len(rec.log); err != nil && rec.log[n-1] != "end node: undo" {
				t.Errorf("the run ended so: %s", rec.log[n-1])
			}
		})
	}
}

func TestHooksReadThePeersData(t *testing.T) {
	tests := []struct{ name, data, want, err string }{
		{"text", `"52:54:00:12:34:56"`, "52:54:00:12:34:56\n", ""},
		{"text with all that JSON escapes", `"a\"\\\u00e9\n\u0001\/b"`, "a\"\\é\n\x01/b\n", ""},
		{"an object", `{ "VNI": 1,  "VtepMAC": "52:54:00:12:34:56" }`, `{"VNI":1,"VtepMAC":"52:54:00:12:34:56"}` + "\n", ""},
		{"null", `null`, "\n", ""},
		{"none", ``, "\n", ""},
		{"too much", `"` + strings.Repeat("x", maxData+1) + `"`, "", "SubnetAdd 10.50.7.0/24: the peer's data has 16385 bytes, more than 16384"},
		{"a NUL", `"ab\u0000"`, "", "SubnetAdd 10.50.7.0/24: the peer's data has a NUL as byte 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRunner(t, backend("SubnetAddCommand", "cat > data"), Options{})
			p := peer
			p.V4.Data = json.RawMessage(tt.data)
			err := r.SubnetAdd(t.Context(), call(hooks.Join), p)
			if errorText(err) != tt.err {
				t.Errorf("got error %v, want %s", err, tt.err)
			}
			if got, _ := os.ReadFile(filepath.Join(r.options.Dir, "data")); string(got) != tt.want {
				t.Errorf("got %.80q, want %.80q", got, tt.want)
			}
		})
	}
	t.Run("that of IPv6 when there is no IPv4", func(t *testing.T) {
		p := lease.Lease{V6: lease.Path{Subnet: netip.MustParsePrefix("fd00:7::/64"), Data: json.RawMessage(`"six"`)}}
		if data, err := peerData(p); data != "six" || err != nil {
			t.Errorf("got %q, %v", data, err)
		}
	})
}

// hostile is text that would do something in each way that a shell might read it.
const hostile = "'; touch pwned; \"; touch pwned; $(touch pwned) `touch pwned` & touch pwned | touch pwned\n touch pwned #"

func TestWhatAPeerWroteIsNeverExecuted(t *testing.T) {
	text, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	p := peer
	p.V4.Data, p.BackendType, p.NodeID = text, hostile, hostile
	object := peer
	object.V4.Data = json.RawMessage(`{"MAC": ` + string(text) + `}`)
	commands := []string{
		`read X; echo $X; echo "$X"; Y="$X"; export X Y; sh -c 'echo $X "$Y"'; set -- $X; echo "$@"; cat`,
		`X=$(cat); for W in $X; do echo $W; done; case $X in $X) echo "${X%x}";; esac; [ "$X" = y ] || printf '%s\n' "$X"`,
		`while read A B; do echo "$A" $B; done; read C <<< "$A"`,
	}
	for _, command := range commands {
		for _, shell := range []string{"builtin", "/bin/bash"} {
			for _, from := range []lease.Lease{p, object} {
				r := newRunner(t, backend("SubnetAddCommand", command, "SubnetRemoveCommand", command, "Shell", shell), Options{})
				_ = r.SubnetAdd(t.Context(), call(hooks.Join), from)
				_ = r.SubnetRemove(t.Context(), call(hooks.Leave), from)
				if _, err := os.Stat(filepath.Join(r.options.Dir, "pwned")); err == nil {
					t.Errorf("%s executed what it read by\n%s", shell, command)
				}
			}
		}
	}
}

func TestTheMTUIsThatOfTheLinks(t *testing.T) {
	rec := recorder{mtu: 1450}
	given := newRunner(t, backend("MTU", 1380, "PreStartupCommand", "true"), Options{Begin: rec.begin})
	found := newRunner(t, backend("PreStartupCommand", "true"), Options{Begin: rec.begin})
	for _, r := range []*Runner{given, found} {
		if _, err := r.PreStartup(t.Context(), call(hooks.Start)); err != nil {
			t.Fatal(err)
		}
	}
	if given.MTU() != 1380 || found.MTU() != 1450 || New(Config{}, Options{}).MTU() != 0 {
		t.Errorf("got %d and %d", given.MTU(), found.MTU())
	}
}

func TestPeersHooksRunConcurrently(t *testing.T) {
	var rec recorder
	r := newRunner(t, backend("SubnetAddCommand", "read X; echo $X | cut -d/ -f1 >/dev/null; ip route add $SUBNET; echo $SUBNET >> $X"),
		Options{Begin: rec.begin})
	var all sync.WaitGroup
	for i := range 50 {
		p := peer
		p.V4.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 50, byte(i), 0}), 24)
		p.V4.Data = json.RawMessage(fmt.Sprintf(`"file%d"`, i))
		all.Go(func() {
			if err := r.SubnetAdd(t.Context(), call(hooks.Join), p); err != nil {
				t.Error(err)
			}
			want := p.V4.Subnet.String() + "\n"
			if got, _ := os.ReadFile(filepath.Join(r.options.Dir, fmt.Sprintf("file%d", i))); string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	all.Wait()
	if got := len(rec.log); got != 3*50 {
		t.Errorf("%d notes", got)
	}
}

func TestOutputIsLoggedOnceAHook(t *testing.T) {
	tests := []struct {
		name, command string
		level         slog.Level
		want          string
	}{
		{"nothing", "true", slog.LevelInfo, ""},
		{"both streams", "echo a; echo b; echo c >&2", slog.LevelInfo,
			`level=INFO msg="hook printed" hook=SubnetAdd subnet=10.50.7.0/24 stdout="a\nb" stderr=c`},
		{"a failure", "echo a >&2; false", slog.LevelInfo,
			`level=WARN msg="hook printed" hook=SubnetAdd subnet=10.50.7.0/24 stdout="" stderr=a`},
		{"a flood", "yes | head -c 100000", slog.LevelInfo, `level=INFO msg="hook printed" hook=SubnetAdd subnet=10.50.7.0/24 stdout="` +
			strings.Repeat(`y\n`, 512) + `… and 98975 bytes more" stderr=""`},
		{"all of it when debugging", "printf '%02000d'", slog.LevelDebug,
			`level=INFO msg="hook printed" hook=SubnetAdd subnet=10.50.7.0/24 stdout=` + strings.Repeat("0", 2000) + ` stderr=""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			r := newRunner(t, backend("SubnetAddCommand", tt.command), Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
				Level: tt.level,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			}))})
			_ = r.SubnetAdd(t.Context(), call(hooks.Join), peer)
			if diff := cmp.Diff(tt.want, strings.TrimSpace(log.String())); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatAHookPrintedAndDidIsReported(t *testing.T) {
	rec := &recorder{}
	var got []string
	report := func(h hooks.Hook, scope string, r Report) {
		got = append(got, fmt.Sprintf("%s %s printed %q and %q, %v", h, scope, r.Stdout, r.Stderr, r.Effects))
	}
	r := newRunner(t, backend("SubnetAddCommand", "echo out; echo err >&2; false"), Options{Begin: rec.begin, Report: report})
	if err := r.SubnetAdd(t.Context(), call(hooks.Join), peer); err == nil {
		t.Error("it succeeded")
	}
	if err := r.SubnetRemove(t.Context(), call(hooks.Leave), peer); err != nil {
		t.Error(err)
	}
	want := []string{
		`SubnetAdd 10.50.7.0/24 printed "out\n" and "err\n", [done in 10.50.7.0/24]`,
		`SubnetRemove 10.50.7.0/24 printed "" and "", [done in 10.50.7.0/24]`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
