package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/hooks"
	"github.com/overlayd/overlayd/internal/control"
	"github.com/overlayd/overlayd/lease"
	"github.com/overlayd/overlayd/lease/etcd"
	"github.com/overlayd/overlayd/lease/etcd/embedded"
)

// offered is what shells offer behind a line, in any order: commands, flags, words that flags take, and what the daemon and etcd know.
var offered = map[string]string{
	"overlayd sta":                       "status",
	"overlayd config put --dry":          "--dry-run",
	"overlayd status -o ":                "json text",
	"overlayd schema hook ":              "log",
	"overlayd nonsense ":                 "",
	"overlayd ping 10.50.7":              "10.50.7.0/24",
	"overlayd config put --canary 10.50": "10.50.7.0/24",
	"overlayd lease release 10.":         "10.50.9.0/24",
	"overlayd config rollback ":          "2",
}

// In bash, of the package bash-completion the script wants one function, and outside of a prompt there is no completion whose options
// compopt could change.
const bashOffers = `
_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
compopt() { :; }
source "$1" || exit
complete -p overlayd >/dev/null || exit
shift
for line; do
  IFS=' ' read -ra COMP_WORDS <<<"$line"
  if [[ $line == *' ' ]]; then COMP_WORDS+=(""); fi
  COMP_CWORD=$((${#COMP_WORDS[@]}-1)) COMP_LINE=$line COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
  __start_overlayd
  echo "$line= ${COMPREPLY[@]}"
done`

// fish tells what it would offer.
const fishOffers = `
source $argv[1]; or exit
for line in $argv[2..]
  echo "$line=" (complete -C $line | string replace -r '\t.*' '')
end`

// zsh completes on a terminal alone. There it gets the lines and a Tab, notes what it offers, and ends the line.
const zshOffers = `
zmodload zsh/zpty || exit
export ZDOTDIR=${1:h} OFFERS=${1:h}/offers; shift
: >$OFFERS
zpty shell zsh -d -i || exit
await() { while ! grep -q "^$1\$" $OFFERS; do zpty -r -t shell REPLY || sleep 0.02; done }
await READY
for line; do
  : >$OFFERS
  zpty -w -n shell "$line"$'\t\C-x'
  await END
  print -r -- "$line= "${(f)"$(grep -v '^END$' $OFFERS)"}
done
zpty -d shell`

const zshrc = `
fpath=($ZDOTDIR $fpath)
autoload -U compinit; compinit -u -D
compadd() {
  local -a words
  if (( ! ${argv[(I)-[OAD]*]} )); then
    builtin compadd -A words "$@"
    print -rl -- $words >>$OFFERS
  fi
  builtin compadd "$@"
}
ready() { print READY >>$OFFERS }
finished() { print END >>$OFFERS; BUFFER= }
zle -N zle-line-init ready
zle -N finished
bindkey '^X' finished
`

func TestShellsComplete(t *testing.T) {
	t.Parallel()
	environment := append(os.Environ(), "OVERLAYD_RUN_DIR="+knowing(t))
	for shell, script := range map[string][]string{
		"bash": {"--norc", "-c", bashOffers, "bash"}, "zsh": {"-f", "-c", zshOffers, "zsh"}, "fish": {"-N", "-c", fishOffers},
	} {
		t.Run(shell, func(t *testing.T) {
			tools(t, shell)
			file := completionFile(t, shell)
			must(t, os.WriteFile(filepath.Join(filepath.Dir(file), ".zshrc"), []byte(zshrc), 0o600))
			args := append(script, file)
			for line := range offered {
				args = append(args, line)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, shell, args...)
			cmd.Env = append(environment, "HOME="+filepath.Dir(file))
			text, err := cmd.CombinedOutput()
			got := map[string]string{}
			for answer := range strings.Lines(string(text)) {
				line, words, _ := strings.Cut(answer, "=")
				all := strings.Fields(words)
				slices.Sort(all)
				got[line] = strings.Join(slices.Compact(all), " ")
			}
			for line, want := range offered {
				if words, answered := got[line]; words != want || !answered {
					t.Errorf("%s: offered %q, want %q", line, words, want)
				}
			}
			if err != nil || t.Failed() {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// knowing is the run directory of a daemon that knows a peer, and an etcd with a lease and a network config of before.
func knowing(t *testing.T) (runDir string) {
	t.Helper()
	member, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "etcd"), ListenClient: "http://127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { member.Close() })
	client, err := etcd.Dial(etcd.DialOptions{Endpoints: member.Endpoints()})
	must(t, err)
	defer client.Close()
	for _, kv := range [][2]string{{"config", `{"Network": "10.50.0.0/16"}`}, {"config", `{"Network": "10.60.0.0/16"}`}, {"subnets/10.50.9.0-24", `{"PublicIP": "192.0.2.9"}`}} {
		_, err := client.Put(t.Context(), defaultPrefix+"/"+kv[0], kv[1])
		must(t, err)
	}
	state := control.NewState(control.Facts{Etcd: control.EtcdAccess{Endpoints: member.Endpoints(), Prefix: defaultPrefix}})
	peer := lease.Path{Subnet: netip.MustParsePrefix("10.50.7.0/24"), PublicIP: netip.MustParseAddr("192.0.2.7")}
	state.ObservePeer(hooks.PeerStatus{Lease: &lease.Lease{V4: peer}, State: hooks.PeerUp})
	runDir = t.TempDir()
	answering(t, runDir, state)
	return runDir
}

// answering has somebody answer for the state, as a daemon with the run directory does, until the test ends.
func answering(t *testing.T, runDir string, state *control.State) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- control.Serve(ctx, control.SocketPath(runDir), state) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for {
		_, err := control.Fetch(ctx, control.SocketPath(runDir))
		if err == nil {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// completionFile is the script for the shell, as overlayd prints it, by the name under which zsh finds it.
func completionFile(t *testing.T, shell string) string {
	t.Helper()
	var out, errs strings.Builder
	if status := run(t.Context(), []string{"completion", shell}, &out, &errs); status != exitOK || errs.Len() > 0 {
		t.Fatal(fmt.Sprint("exit status ", status, ": ", &errs))
	}
	file := filepath.Join(t.TempDir(), "_overlayd")
	must(t, os.WriteFile(file, []byte(out.String()), 0o600))
	return file
}
