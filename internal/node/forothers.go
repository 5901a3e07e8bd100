package node

import (
	"fmt"
	"path/filepath"
)

// A File is one that the daemon keeps for other programs to read.
type File struct {
	What string // for errors: "subnet file"
	Path string
	Text []byte
}

// Write writes the file, and the directories above it that are missing, for all to read whatever the umask. It is safe to call it
// at any time: readers see the old file or the new one, whole, and a file that says the same stays untouched.
func (f File) Write() error {
	err := makeDir(filepath.Dir(f.Path), 0o755)
	if err == nil {
		err = replaceFile(f.Path, f.Text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s %s: %w", f.What, f.Path, cause(err))
	}
	return nil
}

// IsThere reports whether the file is there and says just that.
func (f File) IsThere() bool { return holds(f.Path, f.Text, 0o644) }
