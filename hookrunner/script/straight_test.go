package script

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// steps are the command lines of a script as text, each behind the separator before it, "" if it takes a shell.
func steps(t *testing.T, text, line string) string {
	t.Helper()
	s, err := Parse("hook", text)
	if err != nil {
		t.Fatal(err)
	}
	straight := s.Straight()
	if straight == nil {
		return "no"
	}
	all, ok := straight.Steps([]string{"PUBLIC_IP=192.0.2.7", "SUBNET=10.50.7.0/24", "IFACE=eth0"}, line+"\n")
	if !ok {
		return "not now"
	}
	var lines []string
	for _, s := range all {
		lines = append(lines, [...]string{"", "&& ", "|| "}[s.When]+strings.Join(s.Argv, "|"))
	}
	return strings.Join(lines, "\n")
}

func TestStraight(t *testing.T) {
	tests := []struct{ name, text, line, want string }{
		{"the host-gw example", "ip route add $SUBNET via $PUBLIC_IP", "", "ip|route|add|10.50.7.0/24|via|192.0.2.7"},
		{"the vxlan example", "export A=`echo $SUBNET | cut -d'/' -f 1`; export I=vx; read V; ip route add $SUBNET via $A dev $I && arp -s $A $V && bridge fdb add $V dev $I", "52:54:00:00:00:01",
			"ip|route|add|10.50.7.0/24|via|10.50.7.0|dev|vx\n&& arp|-s|10.50.7.0|52:54:00:00:00:01\n&& bridge|fdb|add|52:54:00:00:00:01|dev|vx"},
		{"words of a peer", "read -r V; ip $V \"$V\"", "; $b `c` && d", "ip|;|$b|`c`|&&|d|; $b `c` && d"},
		{"lists", "ip a && ip b || ip c; ip d", "", "ip|a\n&& ip|b\n|| ip|c\nip|d"},
		{"settings in a list", "A=1 && read B && ip $A$B || ip c", "2", "ip|12\n|| ip|c"},
		{"an IPv6 subnet that is not there", "ip x $IPV6SUBNET \"$IPV6SUBNET\"", "", "ip|x|"},

		{"a word like a file's name", "read V; ip $V", "a*", "not now"},
		{"a backslash that read takes away", "read V; ip $V", `a\b`, "not now"},
		{"much text", "read V; ip $V", strings.Repeat("x", maxValue+1), "not now"},
		{"text that grows", "read V; A=$V$V$V$V; B=$A$A$A$A; C=$B$B$B$B; ip $C", strings.Repeat("x", 100), "not now"},

		{"a loop", "while ip a; do ip b; done", "", "no"},
		{"a function", "f() { ip a; }; f", "", "no"},
		{"a function named like a command", "ip() { :; }; ip a", "", "no"},
		{"a pipe", "ip a | cat", "", "no"},
		{"another substitution", "ip $(cat x)", "", "no"},
		{"a redirection", "ip a >x", "", "no"},
		{"a job in the background", "ip a &", "", "no"},
		{"a negation", "! ip a", "", "no"},
		{"a subshell", "(ip a)", "", "no"},
		{"a block", "ip a || { ip b && ip c; }", "", "no"},
		{"a program", "sed s/a/b/", "", "no"},
		{"a program's path", "/sbin/ip a", "", "no"},
		{"a command that a variable names", "read V; $V a", "ip", "no"},
		{"a builtin", "eval ip a", "", "no"},
		{"set", "set -e; ip a", "", "no"},
		{"a pattern", "ip *", "", "no"},
		{"a home", "ip ~", "", "no"},
		{"braces", "ip {a,b}", "", "no"},
		{"a default", "ip ${A:-b}", "", "no"},
		{"arithmetic", "ip $((1 + 1))", "", "no"},
		{"a replacement, which can grow", "A=${SUBNET//1/11111}; ip $A", "", "no"},
		{"a variable of the shell", "ip $$ $RANDOM", "", "no"},
		{"a variable that is not the hook's", "ip $HOME", "", "no"},
		{"a variable that has no value yet", "A=$B; B=1; ip $A", "", "no"},
		{"word splitting of its own", "IFS=:; ip $SUBNET", "", "no"},
		{"a PATH of its own", "PATH=/x; ip a", "", "no"},
		{"a variable of one command", "A=1 ip a", "", "no"},
		{"an array", "A=(1 2); ip $A", "", "no"},
		{"an appendix", "A=1; A+=2; ip $A", "", "no"},
		{"a value after a command", "ip a; A=1", "", "no"},
		{"a value after a failure", "A=1 || B=2; ip a", "", "no"},
		{"two lines", "read A; read B; ip $A", "", "no"},
		{"a line with a prompt", "read -p x A; ip $A", "", "no"},
		{"a line without a name", "read; ip $REPLY", "", "no"},
		{"an option of export", "export -n A; ip a", "", "no"},
		{"local", "local A=1; ip a", "", "no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := steps(t, tt.text, tt.line); got != tt.want {
				t.Errorf("%s is\n%s\nwant\n%s", tt.text, got, tt.want)
			}
		})
	}
}

func TestAStraightMayBeUsedConcurrently(t *testing.T) {
	s, err := Parse("hook", `export A=$(echo $SUBNET | cut -d/ -f1); read V; ip "$A" ${SUBNET%%.*} $V && arp x$V`)
	if err != nil {
		t.Fatal(err)
	}
	straight := s.Straight()
	var all sync.WaitGroup
	for _, line := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			for range 100 {
				got, ok := straight.Steps([]string{"SUBNET=10.0.0.0/8"}, line)
				if !ok || !slices.Equal(got[1].Argv, []string{"arp", "x" + line}) {
					t.Errorf("%v, %t", got, ok)
				}
			}
		})
	}
	all.Wait()
}
