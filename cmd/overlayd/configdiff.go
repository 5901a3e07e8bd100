package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/overlayd/overlayd/builtin"
	"github.com/overlayd/overlayd/lease"
)

// A configChange is one key that two network configs differ in.
type configChange struct {
	Key string          `json:"key"` // with those above it, as Backend.Type
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// secretKeys are those whose values are not for everybody's eyes, in lower case.
var secretKeys = []string{"backend.psk"}

// configChanges returns what is different in two network configs, keys that only one has included, in the order of their names.
// Names are the same in any case of letters. A config that is no JSON object differs as a whole.
func configChanges(old, new []byte) []configChange {
	was, is := map[string]configChange{}, map[string]configChange{}
	flatten(old, "", func(key string, value json.RawMessage) {
		was[strings.ToLower(key)] = configChange{Key: key, Old: value}
	})
	flatten(new, "", func(key string, value json.RawMessage) { is[strings.ToLower(key)] = configChange{Key: key, New: value} })
	var changes []configChange
	for name, c := range is {
		c.Old = was[name].Old
		delete(was, name)
		if !lease.SameJSON(c.Old, c.New) && !bytes.Equal(c.Old, c.New) {
			changes = append(changes, c)
		}
	}
	for _, c := range was {
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b configChange) int { return strings.Compare(a.Key, b.Key) })
	return changes
}

// flatten calls leaf with each value in a JSON object that is no object itself, and its key with those above it.
func flatten(text json.RawMessage, above string, leaf func(string, json.RawMessage)) {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		if len(text) > 0 {
			leaf(cmp.Or(above, "the whole config"), text)
		}
		return
	}
	for key, value := range object {
		if above != "" {
			key = above + "." + key
		}
		flatten(value, key, leaf)
	}
}

// write shows the change as a diff of lines.
func (c configChange) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, visible(c.Key))
	if slices.Contains(secretKeys, strings.ToLower(c.Key)) {
		c = configChange{c.Key, hidden(c.Old), hidden(c.New)}
	}
	old, new := lines(c.Old), lines(c.New)
	common := 0
	for common < min(len(old), len(new)) && old[common] == new[common] {
		common++
	}
	after := 0
	for after < min(len(old), len(new))-common && old[len(old)-1-after] == new[len(new)-1-after] {
		after++
	}
	for _, part := range []struct {
		sign  string
		lines []string
	}{{" ", old[:common]}, {"-", old[common : len(old)-after]}, {"+", new[common : len(new)-after]}, {" ", old[len(old)-after:]}} {
		for _, line := range part.lines {
			fmt.Fprintf(&b, "%s %s\n", part.sign, visible(line))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// hidden stands for a value that is there.
func hidden(value json.RawMessage) json.RawMessage {
	if value == nil {
		return nil
	}
	return json.RawMessage(`"***"`)
}

// visible is a line without what a terminal would obey.
func visible(line string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, line)
}

// lines is a value as people write it: of a text, its lines; none of an absent value.
func lines(value json.RawMessage) []string {
	if value == nil {
		return nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// showChanges says what the proposal changes in etcd, and what the nodes will do about it.
func (p proposal) showChanges(c *cobra.Command) error {
	w := c.OutOrStdout()
	for _, change := range configChanges(p.old.Value, p.value) {
		if err := change.write(w); err != nil {
			return err
		}
	}
	followed, revision, err := p.followed(c.Context())
	if err != nil {
		return err
	}
	if revision != p.old.Revision {
		fmt.Fprintf(w, "no node could use what etcd holds: those that run are at revision %d\n", revision)
	}
	if lease.SameJSON(followed, p.value) {
		_, err := fmt.Fprintln(w, p.who()+" follow: nothing changes for them")
		return err
	}
	if impact := impactOf(followed, p.value); impact != "" {
		_, err := fmt.Fprintf(w, "%s follow: %s\n", p.who(), followings[impact])
		return err
	}
	return nil
}

// followed is the network config that running nodes are with, as far as etcd knows: what it holds, or where no node can use that, the
// last one of before that they could.
func (p proposal) followed(ctx context.Context) ([]byte, int64, error) {
	if p.old.Value == nil || checkNetwork(p.old.Value) == nil {
		return p.old.Value, p.old.Revision, nil
	}
	versions, err := p.store.History(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	for _, v := range versions {
		if v.Revision < p.old.Revision && checkNetwork(v.Value) == nil {
			return v.Value, v.Revision, nil
		}
	}
	return p.old.Value, p.old.Revision, nil
}

// followings say what each impact means to people.
var followings = map[builtin.Impact]string{
	builtin.Live:  "live, no packet is lost",
	builtin.Brief: "packets are lost for a second or so",
	builtin.Full:  "the old overlay is removed before the new one is made",
}

// impactOf is what it costs a running cluster to go from one network config to another: the worst of its changed keys. It is ""
// where no node could run with one of them, or they are the same.
func impactOf(old, new []byte) (worst builtin.Impact) {
	before, err := lease.ParseNetwork(old)
	next, nextErr := lease.ParseNetwork(new)
	if err != nil || nextErr != nil {
		return ""
	}
	order := []builtin.Impact{"", builtin.Live, builtin.Brief, builtin.Full}
	for _, c := range configChanges(old, new) {
		if impact := builtin.ImpactOf(c.Key, before, next); slices.Index(order, impact) > slices.Index(order, worst) {
			worst = impact
		}
	}
	return worst
}

const configDiffHelp = `Show in which keys the network config of a file differs from the one in etcd, and what running nodes would do if it were
put there. FILE is - for standard input. The exit status is 1 when there are differences.`

func newConfigDiffCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "diff FILE", Short: "Show what putting a network config would change", Long: configDiffHelp, Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			return s.withProposal(c, args[0], func(_ context.Context, p proposal) error {
				if lease.SameJSON(p.old.Value, p.value) {
					return p.same(c)
				}
				if err := p.show(c); err != nil {
					return err
				}
				return &refusal{status: exitFailed, said: true, err: errors.New("the configs differ")}
			})
		},
	}
	s.etcdFlags(c.Flags())
	return c
}
