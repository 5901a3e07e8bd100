package control_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlayd/overlayd/internal/control"
)

func TestAClaimIsHeldOnceByAllNamesOfTheThing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	claim := func(path string) control.Claim {
		t.Helper()
		c, err := control.ClaimPath("subnet file", "--subnet-file", filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	table := control.ClaimName("table test-of-claims", "--firewall-table")
	release, err := control.Hold(claim("new/subnet.env"), table)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "new"), 0o700); err != nil { // as the daemon does once it knows its subnet
		t.Fatal(err)
	}
	for _, path := range []string{"new/subnet.env", "link/new/subnet.env", "link/link/new/subnet.env"} {
		_, err := control.Hold(claim("free.env"), claim(path))
		want := fmt.Sprintf("another overlayd has subnet file %s (pid %d): stop it, or choose another one by --subnet-file", filepath.Join(dir, path), os.Getpid())
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if _, err := control.Hold(table); err == nil || !strings.Contains(err.Error(), "another overlayd has table test-of-claims") {
		t.Errorf("error %v", err)
	}
	other, err := control.Hold(claim("free.env"), claim("new/other.env"), claim("subnet.env"))
	if err != nil {
		t.Error("other files are taken, or were not released: ", err)
	} else {
		other()
	}
	release()
	again, err := control.Hold(claim("new/subnet.env"), table)
	if err != nil {
		t.Fatal("it was not released: ", err)
	}
	again()
}
