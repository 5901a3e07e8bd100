package cluster

import (
	"bytes"
	"fmt"
	"os/exec"
)

// Shell runs a command line of sh in the node's namespace, as an administrator of that machine would, and returns what it
// printed. Its error holds what it said on stderr.
func (n *Node) Shell(line string) (string, error) {
	cmd := exec.Command("sh", "-c", line)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := n.ns.Run(cmd); err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w: %s", n, line, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
