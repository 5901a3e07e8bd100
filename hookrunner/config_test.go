package hookrunner

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/overlayd/overlayd/hooks"
)

func TestAConfigHasDefaults(t *testing.T) {
	c, err := Parse(backend("SubnetAddCommand", "true", "MTU", nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Timeout != 30*time.Second || c.Concurrency != 1 || c.MTU != 0 || c.Shell != "" {
		t.Errorf("got %+v", c)
	}
}

func TestAConfigTakesKeysInAnyCase(t *testing.T) {
	c, err := Parse(json.RawMessage(`{"type": "Extension", "timeout": "1m30s", "mtu": 1420, "SHELL": "/bin/sh", "concurrency": 8,
		"subnetaddcommand": "true"}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Timeout != 90*time.Second || c.Concurrency != 8 || c.MTU != 1420 || c.Shell != "/bin/sh" || c.commands[hooks.SubnetAdd] == nil {
		t.Errorf("got %+v", c)
	}
}

func TestABlankCommandIsNone(t *testing.T) {
	for _, blank := range []string{"", " \t\n", "# nothing\n"} {
		r := newRunner(t, backend("ShutdownCommand", blank), Options{})
		if r.HasShutdown() {
			t.Errorf("%q is a command", blank)
		}
	}
	if r := newRunner(t, backend("ShutdownCommand", "true"), Options{}); !r.HasShutdown() {
		t.Error("true is none")
	}
}

func TestBadConfigsAreRefused(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"a list", `[]`, `1:1: not an object: { expected`},
		{"a typo", `{"SubnetAddComand": "true"}`, `1:2: unknown key "SubnetAddComand": did you mean "SubnetAddCommand"?`},
		{"another backend's key", `{"VNI": 1}`, `1:2: unknown key "VNI": known are Type, Timeout, MTU, Shell, Concurrency, ` +
			`PreStartupCommand, PostStartupCommand, SubnetAddCommand, SubnetRemoveCommand, ShutdownCommand`},
		{"a key twice", `{"MTU": 1400, "mtu": 1500}`, `1:15: key "mtu" is there a second time`},
		{"a timeout without unit", `{"Timeout": 30}`, `1:13: Timeout: 30 is not a string such as "30s"`},
		{"a timeout of nothing", `{"Timeout": "0s"}`, `1:13: Timeout: "0s" is not a duration such as "30s" or "2m"`},
		{"a timeout in words", `{"Timeout": "soon"}`, `1:13: Timeout: "soon" is not a duration such as "30s" or "2m"`},
		{"an MTU in quotes", `{"MTU": "1400"}`, `1:9: MTU: "1400" is not a whole number`},
		{"a small MTU", `{"MTU": 67}`, `1:9: MTU: 67 is not within 68 and 65535`},
		{"much concurrency", `{"Concurrency": 65}`, `1:17: Concurrency: 65 is not within 1 and 64`},
		{"a shell's name", `{"Shell": "sh"}`, `1:11: Shell: "sh" is neither "builtin" nor an absolute path such as "/bin/sh"`},
		{"a shell that is not there", `{"Shell": "/bin/nosuch"}`, `1:11: Shell: stat /bin/nosuch: no such file or directory`},
		{"a shell that is no program", `{"Shell": "/etc/passwd"}`, `1:11: Shell: /etc/passwd is not a program`},
		{"a shell that is a directory", `{"Shell": "/bin"}`, `1:11: Shell: /bin is not a program`},
		{"a command that is a number", `{"ShutdownCommand": 5}`, `1:21: ShutdownCommand: 5 is not a string`},
		{"an open quote", `{"SubnetAddCommand": "echo 'x"}`, "SubnetAddCommand:1:6: reached EOF without closing quote `'`"},
		{"an if without end", `{"PreStartupCommand": "true\nif true; then"}`,
			"PreStartupCommand:2:10: `then` must be followed by a statement list"},
		{"a syntax error for another shell", `{"Shell": "/bin/sh", "SubnetAddCommand": "true &&"}`,
			"SubnetAddCommand:1:6: `&&` must be followed by a statement"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(json.RawMessage(tt.raw)); errorText(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestWhatTheShellCannotDoIsRefused(t *testing.T) {
	tests := []struct{ command, want string }{
		{"umask u=rwx", `1:1: umask u=rwx is not possible in-process: use "Shell": "/bin/sh"`},
		{"umask; umask 27; (umask 022)", `1:19: umask in a subshell or function is not possible in-process: use "Shell": "/bin/sh"`},
		{"f() { umask 022; }", `1:7: umask in a subshell or function is not possible in-process: use "Shell": "/bin/sh"`},
		{"umask 022 | cat", `1:1: umask in a subshell or function is not possible in-process: use "Shell": "/bin/sh"`},
		{"umask 022 &", `1:1: umask in a subshell or function is not possible in-process: use "Shell": "/bin/sh"`},
		{"true; ulimit -n 5", `1:7: ulimit is not possible in-process: use "Shell": "/bin/sh"`},
		{"sleep 1 & kill $!", `1:11: kill $! is not possible in-process: use "Shell": "/bin/sh"`},
		{"sleep 1 & kill %1", `1:11: kill %1 is not possible in-process: use "Shell": "/bin/sh"`},
		{"sleep 1 & echo $! > pid", `1:16: $! for anything but wait is not possible in-process: use "Shell": "/bin/sh"`},
		{"command kill 1", `1:9: command kill is not possible in-process: write kill`},
		{"if true; then\n\tX=$(jobs)\nfi", `2:6: jobs is not possible in-process: use "Shell": "/bin/sh"`},
		{"trap 'rm x' INT", `1:1: trap for INT is not possible in-process: use "Shell": "/bin/sh"`},
		{"trap 'rm x' EXIT 0", `1:1: trap for 0 is not possible in-process: use "Shell": "/bin/sh"`},
		{"trap -p", `1:1: trap -p is not possible in-process: use "Shell": "/bin/sh"`},
		{"exec 3>file", `1:6: redirection 3> is not possible in-process: use "Shell": "/bin/sh"`},
		{"echo x >&3", `1:8: redirection >&3 is not possible in-process: use "Shell": "/bin/sh"`},
		{"echo x >&$FD", `1:8: redirection >& is not possible in-process: use "Shell": "/bin/sh"`},
		{"echo x {fd}>y", `1:8: redirection {fd}> is not possible in-process: use "Shell": "/bin/sh"`},
		{"cat <&0", `1:5: redirection <&0 is not possible in-process: use "Shell": "/bin/sh"`},
		{"cat 2<x", `1:5: redirection 2< is not possible in-process: use "Shell": "/bin/sh"`},
		{"cat <> y", `1:5: redirection <> is not possible in-process: use "Shell": "/bin/sh"`},
		{"read -t 1 X", `1:1: read -t is not possible in-process: use "Shell": "/bin/bash"`},
		{"read -rd '' X", `1:1: read -d is not possible in-process: use "Shell": "/bin/bash"`},
		{"read -p n -n 1 X", `1:1: read -n is not possible in-process: use "Shell": "/bin/bash"`},
		{"wait -n", `1:1: wait -n is not possible in-process: use "Shell": "/bin/bash"`},
		{"printf -v X 1", `1:1: printf -v is not possible in-process: use "Shell": "/bin/bash"`},
		{"printf -- x", `1:1: printf -- is not possible in-process: use "Shell": "/bin/bash"`},
		{`printf '%s %5.2f' a b`, `1:1: printf %5. is not possible in-process: use "Shell": "/bin/bash"`},
		{`printf "%q" a`, `1:1: printf %q is not possible in-process: use "Shell": "/bin/bash"`},
		{`printf %X 1`, `1:1: printf %X is not possible in-process: use "Shell": "/bin/bash"`},
		{"echo -ne x", `1:1: echo -ne is not possible in-process: write echo -n -e`},
		{"set -C", `1:1: set -C is not possible in-process: use "Shell": "/bin/sh"`},
		{"set -em", `1:1: set -em is not possible in-process: use "Shell": "/bin/sh"`},
		{"set -o noclobber", `1:1: set -o noclobber is not possible in-process: use "Shell": "/bin/sh"`},
		{"set", `1:1: set without arguments is not possible in-process: use "Shell": "/bin/sh"`},
		{"cd -P /", `1:1: cd -P is not possible in-process: use "Shell": "/bin/sh"`},
		{"exec -a x y", `1:1: exec -a is not possible in-process: use "Shell": "/bin/bash"`},
		{"export -n X", `1:1: export -n is not possible in-process: use "Shell": "/bin/bash"`},
		{"declare -i X=1", `1:1: declare -i is not possible in-process: use "Shell": "/bin/bash"`},
		{"coproc cat", `1:1: coproc is not possible in-process: use "Shell": "/bin/bash"`},
		{"time true", `1:1: time is not possible in-process: use "Shell": "/bin/bash"`},
		{`echo "${PIPESTATUS[0]}"`, `1:7: $PIPESTATUS is not possible in-process: use "Shell": "/bin/bash"`},
		{"echo $SECONDS", `1:6: $SECONDS is not possible in-process: use "Shell": "/bin/bash"`},
		{"read X; echo ${X@Q}", `1:14: ${X@Q} is not possible in-process: use "Shell": "/bin/bash"`},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			if _, err := Parse(backend("SubnetAddCommand", tt.command)); errorText(err) != "SubnetAddCommand:"+tt.want {
				t.Errorf("got  %v\nwant SubnetAddCommand:%s", err, tt.want)
			}
			if _, err := Parse(backend("SubnetAddCommand", tt.command, "Shell", "/bin/sh")); err != nil {
				t.Errorf("for another shell: %v", err)
			}
		})
	}
}

func TestWhatTheShellCanDoIsNotRefused(t *testing.T) {
	commands := []string{
		"umask 077; wg genkey | tee key | wg pubkey",
		"umask 0077",
		"export SUBNET_IP=$(echo $SUBNET | cut -d'/' -f 1); ip link del flannel.1 2>/dev/null; echo $PATH >&2; wg-add.sh flannel.1 && " +
			"wg set flannel.1 listen-port 51820 private-key privatekey && ip addr add $SUBNET_IP/32 dev flannel.1 && " +
			"ip link set flannel.1 up && ip route add $NETWORK dev flannel.1",
		"read PUBLICKEY; wg set flannel.1 peer $PUBLICKEY endpoint $PUBLIC_IP:51820 allowed-ips $SUBNET persistent-keepalive 25",
		"set -euxo pipefail; set -- -C -m; set +e; set -o pipefail",
		"trap 'rm -f x' EXIT; trap - EXIT; trap 'echo failed' ERR EXIT",
		"kill() { echo $1; }; kill 9",
		"/bin/kill 9; sh -c 'kill $$; umask 022'",
		"read -r -p prompt X; read -a A; IFS=, read X Y <<< a,b; cat <<EOF >x 2>&1\n$X\nEOF\ncat < x >/dev/null 2>&-; cat <&-",
		"cd; cd -; cd /; command -v ip; type -t ip; wait; wait $!; exec cat; mapfile -t A < x; unset -v A",
		`printf '%s %5d%% %-3s\n' a 1 b; printf "$FORMAT" x; echo -n x; echo -e x; echo -n -e x; echo -nx; echo -`,
		"declare -A M=([a]=1); local X=1; readonly Y=2; export Z; export A=1 B=2; typeset -r C=1",
		"for i in 1 2; do case $i in 1) : ;; *) break ;; esac; done; [[ $X == a* ]] && (( i++ )); X=${X:-y}; diff <(a) <(b) |& cat",
	}
	for _, command := range commands {
		if _, err := Parse(backend("SubnetAddCommand", command)); err != nil {
			t.Errorf("%s\n%v", command, err)
		}
	}
}
