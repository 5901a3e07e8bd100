package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// ReadNetwork turns the text of a network config file, JSON or YAML, into JSON with everything where it is in the file, so
// that a place in the one is a place in the other. Lines that begin with // are dropped before JSON, since configs made
// for flannel have them. It refuses what ParseNetwork refuses.
func ReadNetwork(file []byte) ([]byte, error) {
	text := blankComments(file)
	if !json.Valid(text) {
		laidOut, err := fromYAML(text)
		if err != nil && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
			_, err = ParseNetwork(text) // broken JSON: its own complaint says more
		}
		if err != nil {
			return nil, err
		}
		text = laidOut
	}
	_, err := ParseNetwork(text)
	return text, err
}

// ReadNetworkNode is ReadNetwork for a part of a YAML file.
func ReadNetworkNode(n *yaml.Node) ([]byte, error) {
	text, err := layOut(n)
	if err != nil {
		return nil, err
	}
	_, err = ParseNetwork(text)
	return text, err
}

// SameJSON reports whether two texts say the same in JSON, whatever their layout and the order of their keys.
func SameJSON(a, b []byte) bool {
	var x, y any
	return unmarshalExact(a, &x) == nil && unmarshalExact(b, &y) == nil && reflect.DeepEqual(x, y)
}

// unmarshalExact keeps numbers as they are written.
func unmarshalExact(text []byte, v *any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(v)
}

// blankComments empties the // lines before the first other line. Emptied, not removed: the others keep their numbers.
func blankComments(text []byte) []byte {
	var kept [][]byte
	rest := text
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && !bytes.HasPrefix(trimmed, []byte("//")) {
			break
		}
		kept, rest = append(kept, nil), after
	}
	return bytes.Join(append(kept, rest), []byte("\n"))
}

// fromYAML returns the one YAML document as JSON.
func fromYAML(text []byte) ([]byte, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := dec.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("the file says nothing")
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, yamlError(err)
		}
		return nil, fmt.Errorf("%d:%d: a second YAML document begins", more.Line, more.Column)
	}
	return layOut(document.Content[0])
}

// layOut returns the node as JSON.
func layOut(n *yaml.Node) ([]byte, error) {
	l := layout{line: 1, column: 1}
	err := l.node(n)
	return l.text, err
}

func yamlError(err error) error {
	return fmt.Errorf("neither JSON nor YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// A layout writes YAML nodes as JSON, keys and scalars at the line of the file that they come from, and at the column as
// far as JSON's quotes allow, so that a place in the JSON is one in the file.
type layout struct {
	text         []byte
	line, column int
}

func (l *layout) write(s string) {
	l.text = append(l.text, s...)
	l.column += len(s)
}

func (l *layout) moveTo(n *yaml.Node) {
	for ; l.line < n.Line; l.line, l.column = l.line+1, 1 {
		l.text = append(l.text, '\n')
	}
	l.write(strings.Repeat(" ", max(n.Column-l.column, 0)))
}

func (l *layout) node(n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return l.mapping(n)
	case yaml.SequenceNode:
		l.write("[")
		for i, item := range n.Content {
			if i > 0 {
				l.write(",")
			}
			if err := l.node(item); err != nil {
				return err
			}
		}
		l.write("]")
		return nil
	case yaml.ScalarNode:
		return l.scalar(n)
	}
	return fmt.Errorf("%d:%d: an alias: write out what it stands for", n.Line, n.Column)
}

func (l *layout) mapping(n *yaml.Node) error {
	l.write("{")
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode || name.Tag != "!!str" {
			return fmt.Errorf("%d:%d: key %q is not text: put it in quotes", name.Line, name.Column, name.Value)
		}
		if i > 0 {
			l.write(",")
		}
		if err := l.scalar(name); err != nil {
			return err
		}
		l.write(":")
		if err := l.node(n.Content[i+1]); err != nil {
			return err
		}
	}
	l.write("}")
	return nil
}

// scalar writes numbers, truth values and null as such, and all else, dates too, as the text that it is.
func (l *layout) scalar(n *yaml.Node) error {
	l.moveTo(n)
	var v any = n.Value
	switch n.Tag {
	case "!!int", "!!float", "!!bool", "!!null":
		if err := n.Decode(&v); err != nil {
			return yamlError(err)
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("%d:%d: %s has no form in JSON", n.Line, n.Column, n.Value)
	}
	l.write(strings.TrimSuffix(text.String(), "\n"))
	return nil
}
