package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A key is one that an object may have, and a pointer to where its value goes. nil is a key that means nothing here.
type key struct {
	name string
	into any
}

// An object is the top level of a JSON object, with places for errors.
type object struct {
	text    []byte // all of the config
	members []member
}

type member struct {
	name            string
	value           json.RawMessage
	nameAt, valueAt int // offsets in the object's text
}

// parseObject refuses text that is not exactly one JSON object, and keys that are there twice.
func parseObject(text []byte) (*object, error) {
	var all json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		if s, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, placed(text, int(s.Offset)-1, errors.New(s.Error()))
		}
		return nil, err
	}
	return readObject(text, 0, len(text))
}

// readObject reads the object that is all of valid JSON text[from:to].
func readObject(text []byte, from, to int) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(text[from:to]))
	at := func() int { return from + int(dec.InputOffset()) }
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, placed(text, from, errors.New("not an object: { expected"))
	}
	obj := &object{text: text}
	for dec.More() {
		before := at()
		name, err := dec.Token()
		if err != nil {
			return nil, placed(text, at(), err)
		}
		m := member{name: name.(string), nameAt: before + bytes.IndexByte(text[before:], '"')}
		if err := dec.Decode(&m.value); err != nil {
			return nil, placed(text, at(), err)
		}
		m.valueAt = at() - len(m.value)
		if obj.find(m.name) != nil {
			return nil, placed(text, m.nameAt, fmt.Errorf("key %q is there a second time", m.name))
		}
		obj.members = append(obj.members, m)
	}
	return obj, nil
}

// find returns the member of that name in any case of letters, or nil.
func (o *object) find(name string) *member {
	i := slices.IndexFunc(o.members, func(m member) bool { return strings.EqualFold(m.name, name) })
	if i < 0 {
		return nil
	}
	return &o.members[i]
}

// inner is the object that is the value of a member.
func (o *object) inner(name string) (*object, error) {
	m := o.find(name)
	if m.value[0] != '{' {
		return nil, o.errorAt(name, errors.New("not an object"))
	}
	return readObject(o.text, m.valueAt, m.valueAt+len(m.value))
}

// fill gives each of the keys its value, refuses others, and returns the names of those that mean nothing.
func (o *object) fill(keys []key) (ignored []string, err error) {
	for _, m := range o.members {
		i := slices.IndexFunc(keys, func(k key) bool { return strings.EqualFold(k.name, m.name) })
		switch {
		case i < 0:
			return nil, placed(o.text, m.nameAt, fmt.Errorf("unknown key %q: %s", m.name, suggest(m.name, keys)))
		case keys[i].into == nil:
			ignored = append(ignored, keys[i].name)
		default:
			if err := o.take(keys[i]); err != nil {
				return nil, err
			}
		}
	}
	return ignored, nil
}

// take gives the key its value if the object has one.
func (o *object) take(k key) error {
	m := o.find(k.name)
	if m == nil || json.Unmarshal(m.value, k.into) == nil {
		return nil
	}
	return placed(o.text, m.valueAt, fmt.Errorf("%s: %.60s is not %s", k.name, m.value, kind(k.into)))
}

// kind says what a value should have been.
func kind(into any) string {
	switch into.(type) {
	case **bool:
		return "true or false"
	case **int:
		return "a whole number"
	case **netip.Prefix:
		return `a network like "10.50.0.0/16"`
	case **netip.Addr:
		return `an address like "10.50.1.0"`
	}
	return "a string"
}

// errorAt puts the place and the name of a key before an error; the key need not be there.
func (o *object) errorAt(name string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	if m := o.find(name); m != nil {
		return placed(o.text, m.valueAt, err)
	}
	return err
}

// placed puts line:column of the offset before an error. Columns count bytes.
func placed(text []byte, offset int, err error) error {
	before := text[:min(max(offset, 0), len(text))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%d:%d: %w", line, column, err)
}

// suggest names the known key that the wrong one may stand for, or all.
func suggest(wrong string, keys []key) string {
	var names []string
	best, distance := "", 3
	for _, k := range keys {
		names = append(names, k.name)
		if d := edits(strings.ToLower(wrong), strings.ToLower(k.name)); d < distance {
			best, distance = k.name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known are " + strings.Join(names, ", ")
}

// edits is how many letters to add, drop or change make one text of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
