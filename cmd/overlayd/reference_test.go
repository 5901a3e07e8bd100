package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const referenceFile = "../../docs/reference.md"

// With UPDATE_SCRIPTS in the environment the file is written anew.
func TestTheReferenceSaysWhatTheCommandsSay(t *testing.T) {
	t.Parallel()
	var errors bytes.Buffer
	cmd := exec.Command("overlayd", "reference")
	cmd.Stderr = &errors
	got, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errors)
	}
	if os.Getenv("UPDATE_SCRIPTS") != "" {
		must(t, os.WriteFile(referenceFile, got, 0o644))
	}
	want, err := os.ReadFile(referenceFile)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/reference.md is out of date, make docs writes it anew (-file +commands):\n%s", diff)
	}
}

func TestManPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man")
	out, err := exec.Command("overlayd", "reference", "--man", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"overlayd.8": ".TH", "overlayd-run.8": "--etcd-endpoints", "overlayd-config-put.8": "dry-run"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if plain := bytes.ReplaceAll(text, []byte(`\-`), []byte("-")); !bytes.Contains(plain, []byte(want)) {
			t.Errorf("%s does not say %s", name, want)
		}
	}
}
