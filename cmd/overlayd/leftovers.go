package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/overlayd/overlayd/internal/firewall"
)

// leftovers are what flannel has left in the firewall, by whichever of its means.
type leftovers struct {
	table  *firewall.Table
	nft    []firewall.Leftover
	legacy []firewall.LegacyLeftover
}

// findLeftovers looks in the network namespace of this process, in which the table must be.
func findLeftovers(table *firewall.Table) (l leftovers, err error) {
	l.table = table
	if l.nft, err = table.Leftovers(); err != nil {
		return l, err
	}
	l.legacy, err = firewall.LegacyLeftovers()
	return l, err
}

// commands are those that remove them, in their order.
func (l leftovers) commands() (all []string) {
	for _, each := range l.nft {
		all = append(all, each.String())
	}
	for _, each := range l.legacy {
		all = append(all, each.String())
	}
	return all
}

// remove removes them. The program that made what iptables-legacy has is the one to change it: it keeps others from doing so at the
// same time.
func (l leftovers) remove(ctx context.Context) error {
	if err := l.table.RemoveLeftovers(l.nft); err != nil {
		return err
	}
	for i, command := range l.legacy {
		out, err := exec.CommandContext(ctx, command[0], append([]string{"--wait"}, command[1:]...)...).CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return refuse(exitFailed, fmt.Errorf("remove what flannel left by iptables-legacy: there is no program %s", command[0]),
				"install it, or restart the machine: these rules do not outlive that")
		case err != nil:
			return fmt.Errorf("remove what flannel left by iptables-legacy, %d of %d: %s: %w: %s", i+1, len(l.legacy), command, err, bytes.TrimSpace(out))
		}
	}
	return nil
}
