// Package strictjson reads JSON objects that people write by hand: keys match in any case of letters, what is not known is
// refused with the nearest known name, and every error begins with line:column.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/overlayd/overlayd/internal/nearest"
)

// A Key is one that an object may have, and a pointer to where its value goes; null leaves it as it is, or makes it nil. A
// nil Into is a key that means nothing here.
type Key struct {
	Name string
	Into any
}

// An Object is the top level of a JSON object, with places for errors.
type Object struct {
	text    []byte // all of the config
	members []member
}

type member struct {
	name            string
	value           json.RawMessage
	nameAt, valueAt int // offsets in the object's text
}

// Parse reads text as one JSON object. It refuses text that is not exactly one JSON object, and keys that are there twice.
func Parse(text []byte) (*Object, error) {
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
func readObject(text []byte, from, to int) (*Object, error) {
	dec := json.NewDecoder(bytes.NewReader(text[from:to]))
	at := func() int { return from + int(dec.InputOffset()) }
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, placed(text, from, errors.New("not an object: { expected"))
	}
	obj := &Object{text: text}
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
func (o *Object) find(name string) *member {
	i := slices.IndexFunc(o.members, func(m member) bool { return strings.EqualFold(m.name, name) })
	if i < 0 {
		return nil
	}
	return &o.members[i]
}

// Inner is the object that is the value of a member.
func (o *Object) Inner(name string) (*Object, error) {
	m := o.find(name)
	if m.value[0] != '{' {
		return nil, o.ErrorAt(name, errors.New("not an object"))
	}
	return readObject(o.text, m.valueAt, m.valueAt+len(m.value))
}

// InPlace is the value of a member, after as much space as it takes for a place in it to be one in the whole text.
func (o *Object) InPlace(name string) json.RawMessage {
	m := o.find(name)
	value := bytes.Repeat([]byte(" "), m.valueAt)
	for i, b := range o.text[:m.valueAt] {
		if b == '\n' {
			value[i] = b
		}
	}
	return append(value, m.value...)
}

// Fill gives each of the keys its value, refuses others, and returns the names of those that mean nothing.
func (o *Object) Fill(keys []Key) (ignored []string, err error) {
	for _, m := range o.members {
		i := slices.IndexFunc(keys, func(k Key) bool { return strings.EqualFold(k.Name, m.name) })
		switch {
		case i < 0:
			return nil, placed(o.text, m.nameAt, fmt.Errorf("unknown key %q: %s", m.name, suggest(m.name, keys)))
		case keys[i].Into == nil:
			ignored = append(ignored, keys[i].Name)
		default:
			if err := o.Take(keys[i]); err != nil {
				return nil, err
			}
		}
	}
	return ignored, nil
}

// Take gives the key its value if the object has one.
func (o *Object) Take(k Key) error {
	m := o.find(k.Name)
	if m == nil || json.Unmarshal(m.value, k.Into) == nil {
		return nil
	}
	return placed(o.text, m.valueAt, fmt.Errorf("%s: %.60s is not %s", k.Name, m.value, kind(k.Into)))
}

// kind says what a value should have been.
func kind(into any) string {
	switch into.(type) {
	case *bool, **bool:
		return "true or false"
	case *int, **int:
		return "a whole number"
	case **netip.Prefix:
		return `a network like "10.50.0.0/16"`
	case **netip.Addr:
		return `an address like "10.50.1.0"`
	}
	return "a string"
}

// ErrorAt puts the place and the name of a key before an error; the key need not be there.
func (o *Object) ErrorAt(name string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	if m := o.find(name); m != nil {
		return placed(o.text, m.valueAt, err)
	}
	return err
}

// Within refuses a key's number that is out of range.
func (o *Object) Within(name string, value, low, high int) error {
	if value < low || value > high {
		return o.ErrorAt(name, fmt.Errorf("%d is not within %d and %d", value, low, high))
	}
	return nil
}

// placed puts line:column of the offset before an error. Columns count bytes.
func placed(text []byte, offset int, err error) error {
	before := text[:min(max(offset, 0), len(text))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%d:%d: %w", line, column, err)
}

// suggest names the known key that the wrong one may stand for, or all.
func suggest(wrong string, keys []Key) string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	if near := nearest.Of(wrong, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(names, ", ")
}
