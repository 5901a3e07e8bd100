package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/overlayd/overlayd/internal/netns"
)

// The test program is also overlayd, which all tests find in PATH by this name.
func TestMain(m *testing.M) {
	testscript.Main(inside{m}, map[string]func(){"overlayd": main})
}

// inside runs the package's tests in namespaces of their own.
type inside struct{ *testing.M }

func (i inside) Run() int { return netns.MainInside(i.M) }
