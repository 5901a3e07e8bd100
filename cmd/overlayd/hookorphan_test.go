package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/interp"

	"github.com/overlayd/overlayd/hookrunner/helper"
)

// nothingAnswered are no commands.
type nothingAnswered struct{}

func (nothingAnswered) Command(ctx context.Context, _ interp.HandlerContext, argv []string, next interp.ExecHandlerFunc, _ helper.OpenFunc) error {
	return next(ctx, argv)
}

func (nothingAnswered) Change([]string) (func(context.Context, interp.HandlerContext) error, bool) {
	return nil, false
}

// The first process of a container becomes the parent of all whose own has ended.
func TestTheFirstProcessBuriesWhatHooksLeave(t *testing.T) {
	if os.Getpid() != 1 {
		t.Skip("this is not the first process of a process namespace")
	}
	tools(t, "setsid", "sh")
	helpers := newHelpers()
	defer helpers.Close()
	dir := t.TempDir()
	job := helper.Job{
		Text: "setsid sh -c 'sleep 61 & exec sleep 62' & setsid sh -c 'echo > ended' & while ! test -e ended; do :; done; kill -9 $$",
		Dir:  dir, Env: []string{"PATH=" + os.Getenv("PATH"), "ORPHAN=" + dir},
	}
	if _, err := helpers.Run(t.Context(), job, nothingAnswered{}); err == nil {
		t.Fatal("a hook that kills itself succeeded")
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	must(t, err)
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err == nil && (strings.Contains(string(text), "(sleep) Z 1 ") || strings.Contains(string(text), "(sh) Z 1 ")) {
			t.Errorf("nobody was told of the end of %s", text)
		}
	}
}
