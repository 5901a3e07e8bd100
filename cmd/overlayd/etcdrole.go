package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/lease/etcd"
)

const roleHelp = `Print the etcdctl commands, of API version 3, that make a role with the least rights a daemon needs and a user who has it; run
them as etcd's root. The lease commands need the same rights. With --operator the role may also write the network config and its
history, for overlayd config put, edit and rollback.

etcdctl asks for the user's password. A user with --no-password in its place is known by the common name of its client
certificate.`

func newEtcdCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "etcd",
		Short: "What an etcd of your own needs to know",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newEtcdRoleCommand())
	return c
}

func newEtcdRoleCommand() *cobra.Command {
	var prefix, role, user string
	var operator bool
	c := &cobra.Command{
		Use:   "role",
		Short: "Print the commands that give etcd users just the rights they need",
		Long:  roleHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fillFromEnvironment(c.Flags()); err != nil {
				return err
			}
			grants := etcd.NodeGrants(prefix)
			if operator {
				grants = etcd.OperatorGrants(prefix)
			}
			return printRole(c.OutOrStdout(), role, user, grants)
		},
	}
	f := c.Flags()
	checkedVar(f, &prefix, "etcd-prefix", defaultPrefix, "`KEY` below which the network's config and leases are kept", notEmpty)
	checkedVar(f, &role, "role", "overlayd", "`NAME` of the role", notEmpty)
	checkedVar(f, &user, "user", "overlayd", "`NAME` of the user", notEmpty)
	f.BoolVar(&operator, "operator", false, "let the role write the network config")
	return c
}

func printRole(w io.Writer, role, user string, grants []etcd.Grant) error {
	commands := [][]string{{"role", "add", role}}
	for _, g := range grants {
		commands = append(commands, append([]string{"role", "grant-permission"}, g.Args(role)...))
	}
	commands = append(commands, []string{"user", "add", user}, []string{"user", "grant-role", user, role})
	for _, command := range commands {
		for i, word := range command {
			command[i] = quote(word)
		}
		if _, err := fmt.Fprintln(w, "etcdctl "+strings.Join(command, " ")); err != nil {
			return err
		}
	}
	return nil
}
