package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHookPlanRunsNoProgramAndWritesNoFile(t *testing.T) {
	t.Parallel()
	w := &world{T: t, ctx: t.Context()}
	dir := t.TempDir()
	config, file := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "file")
	must(t, os.WriteFile(config, []byte(`
Network: 10.50.0.0/16
Backend:
  Type: extension
  PreStartupCommand: |
    umask 022
    echo a > `+file+`; echo b | tee `+file+` >/dev/null; touch `+file+`; /bin/touch `+file+`
    echo c > own && cat own
    ip link add plan0 type vxlan id 7 dstport 8472
`), 0o600))
	got := w.run("hook", "plan", "prestartup", "--config", config, "--state-dir", dir, "--run-dir", dir)
	want := `ip link add plan0 type vxlan id 7 dstport 8472
# not run: tee ` + file + `
# not run: touch ` + file + `
# not run: /bin/touch ` + file + `
# tells the other nodes: "c"
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{"file", "own"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("the plan has written %s", name)
		}
	}
}
