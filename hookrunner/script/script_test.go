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
