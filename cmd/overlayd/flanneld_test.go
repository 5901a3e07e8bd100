package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestTheCommandLineIsFlanneldsWhereThatIsAskedFor(t *testing.T) {
	for argv, want := range map[string]string{
		"overlayd":                                "",
		"overlayd status -o json":                 "status -o json",
		"overlayd run -iface eth0 --ip-masq":      "run --iface eth0 --ip-masq",
		"/opt/bin/flanneld -iface=eth0 -v=4":      "run --iface=eth0 -v=4",
		"flanneld --iface=eth0 -- -iface":         "run --iface=eth0 -- -iface",
		"flanneld":                                "run",
		"flanneld -version":                       "--version",
		"overlayd run --iface-regex=-x -v 0 -h -": "run --iface-regex=-x -v 0 -h -",
	} {
		if got := strings.Join(commandLine(strings.Fields(argv)), " "); got != want {
			t.Errorf("%s asks for %q, want %q", argv, got, want)
		}
	}
}

// The documentation has one row for each flag of flanneld, in order.
func TestTheTableOfFlanneldsFlagsIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/flannel.md")
	must(t, err)
	got := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z0-9_-]+)` \\| (equal|renamed|obsolete|refused)").FindAllStringSubmatch(string(text), -1) {
		got[row[1]] = row[2]
	}
	want := map[string]string{"version": "equal"}
	for _, name := range flanneldEqual {
		want[name] = "equal"
	}
	for _, f := range flanneldFlags {
		switch {
		case f.to != "":
			want[f.name] = "renamed"
		case f.refusal != "":
			want[f.name] = "refused"
		default:
			want[f.name] = "obsolete"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/flannel.md (-want +got):\n%s", diff)
	}
	var s settings
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	s.flags(f)
	for _, name := range flanneldEqual {
		if f.Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
}
