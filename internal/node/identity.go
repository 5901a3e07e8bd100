package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// Identity returns the name by which this node knows its own lease, a random UUID. The first call makes it and keeps it in
// the state directory's node-id, mode 0600; daemons that start at the same moment get the same one.
//
// A damaged file is an error that says how to repair it: a new identity without being asked would cost the node its lease.
func Identity(stateDir string) (string, error) {
	id, err := KnownIdentity(stateDir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	fresh, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("make identity: %w", err)
	}
	if err := createFile(identityFile(stateDir), []byte(fresh.String()+"\n"), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep identity: %w", err)
	}
	return KnownIdentity(stateDir)
}

func identityFile(stateDir string) string { return filepath.Join(stateDir, "node-id") }

// KnownIdentity is the name that Identity made earlier, or fs.ErrNotExist.
func KnownIdentity(stateDir string) (string, error) {
	path := identityFile(stateDir)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read identity: %w", err)
	}
	id, err := uuid.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("identity %s is damaged: %w: restore the file, or remove it to make this a new node", path, err)
	}
	return id.String(), nil
}
