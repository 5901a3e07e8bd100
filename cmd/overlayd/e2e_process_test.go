package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// until waits until f returns nil.
func (w *world) until(what string, f func() error) {
	w.Helper()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-w.ctx.Done():
			w.Fatalf("wait until %s: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// children are the processes that a process has started.
func children(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may have ended
		for _, field := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(field)
			all = append(all, child)
		}
	}
	return all
}

// alive reports whether a process has not ended yet. One that has, and waits for its parent to take notice, has.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return state[0] != 'Z' && state[0] != 'X'
}
