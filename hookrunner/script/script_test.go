package script

import (
	"context"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/interp"
)

// What is refused as a whole must be what the shell does not have, in the version in use.
func TestRefusedBuiltinsAreThoseThatTheShellDoesNotHave(t *testing.T) {
	for name, rule := range rules {
		s, err := Parse("hook", name+" 2>&1 </dev/null")
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		shell, err := interp.New(interp.StdIO(nil, &said, &said))
		if err != nil {
			t.Fatal(err)
		}
		_ = shell.Run(context.Background(), s.File)
		missing := strings.Contains(said.String(), name+": unsupported builtin")
		if missing != (rule.never != "" || name == "umask" || name == "kill") {
			t.Errorf("%s: the shell says %q", name, said.String())
		}
	}
}

func TestChain(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"the vxlan example", "export A=`echo $SUBNET | cut -d'/' -f 1`; read V; ip route add $SUBNET via $A && arp -s $A \"$V\" && bridge fdb add $V",
			"export A=${SUBNET%%/*}\nread V\nAND ip route add $SUBNET via $A AND arp -s $A \"$V\" AND bridge fdb add $V"},
		{"a field after the slash", `L=$(echo "$IPV6SUBNET" | cut -f2 -d/); echo "x$(echo $SUBNET | cut -d "/" -f1)"`,
			"L=${IPV6SUBNET#*/}\necho \"x${SUBNET%%/*}\""},
		{"in a chain", "ip a add $(echo $SUBNET | cut -d/ -f1)/32 && ip l set x up", "AND ip a add ${SUBNET%%/*}/32 AND ip l set x up"},
		{"a part of a list", "true && ip a && ip b && cat x && ip c && ip d || ip e && ip f",
			"true && AND ip a AND ip b && cat x && AND ip c AND ip d || ip e && ip f"},
		{"below others", "if ip a && ip b; then { ip c && ip d; } || (ip e && ip f); fi",
			"if AND ip a AND ip b; then { AND ip c AND ip d; } || (AND ip e AND ip f); fi"},
		{"what is not constant", "ip a && ip $(cat x) && ip ${X:=1} && ip $X && ip $? && ip *", "ip a && ip $(cat x) && ip ${X:=1} && ip $X && ip $? && ip *"},
		{"what is more than a call", "ip a && ip b >x && A=1 ip c && ! ip d", "ip a && ip b >x && A=1 ip c && ! ip d"},
		{"a function", "ip() { :; }; ip a && ip b", "ip() { :; }\nip a && ip b"},
		{"under set -e", "set -e; ip a && ip b", "set -e\nip a && ip b"},
		{"with text that is not known", "eval x; ip a && ip b", "eval x\nip a && ip b"},
		{"with a name that is not known", "$X y; ip a && ip b", "$X y\nip a && ip b"},
		{"a variable that the script sets", "SUBNET='-n x'; A=$(echo $SUBNET | cut -d/ -f1)", "SUBNET='-n x'\nA=$(echo $SUBNET | cut -d/ -f1)"},
		{"a variable that the script reads", "read SUBNET; A=$(echo $SUBNET | cut -d/ -f1)", "read SUBNET\nA=$(echo $SUBNET | cut -d/ -f1)"},
		{"a variable of a peer", "read V; A=$(echo $V | cut -d/ -f1)", "read V\nA=$(echo $V | cut -d/ -f1)"},
		{"other fields", "A=$(echo $SUBNET | cut -d. -f1); B=$(echo $SUBNET x | cut -d/ -f1)", "A=$(echo $SUBNET | cut -d. -f1)\nB=$(echo $SUBNET x | cut -d/ -f1)"},
		{"a variable that the script gives a default", ": ${IPV6SUBNET:=-n}; A=$(echo $IPV6SUBNET | cut -d/ -f1)", ": ${IPV6SUBNET:=-n}\nA=$(echo $IPV6SUBNET | cut -d/ -f1)"},
		{"a variable with another name", "declare -n X=SUBNET; X=-n; A=$(echo $SUBNET | cut -d/ -f1)", "declare -n X=SUBNET\nX=-n\nA=$(echo $SUBNET | cut -d/ -f1)"},
		{"with an IFS of its own", "IFS=.; A=$(echo $SUBNET | cut -d/ -f1)", "IFS=.\nA=$(echo $SUBNET | cut -d/ -f1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("hook", tt.text)
			if err != nil {
				t.Fatal(err)
			}
			s.Chain("AND")
			if got := strings.TrimSpace(s.String()); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	tests := []struct{ text, want string }{
		{"a | b", "a | b"},
		{"a | while read X; do :; done", "a | (while read X; do :; done)"},
		{"a | read X", "a | (read X)"},
		{"a | b | { c; }", "a | b | ({ c; })"},
		{"f() { :; }; a |& f", "f() { :; }\na |& (f)"},
		{"a & b", "</dev/null a &\nb"},
		{"{ a; } <x &", "{ a; } </dev/null <x &"},
		{"a >|b", "a >b"},
	}
	for _, tt := range tests {
		s, err := Parse("hook", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.InProcess(); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(s.String()); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.text, got, tt.want)
		}
	}
}
