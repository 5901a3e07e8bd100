package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/overlayd/overlayd/internal/nearest"
	"github.com/overlayd/overlayd/lease"
)

// A configFile is what --config names: a network config, or a daemon config with flags and maybe a network in it.
type configFile struct {
	path    string
	network []byte // JSON, as lease.ReadNetwork returns it; nil when the file holds none
	entries []entry
}

// An entry is one flag that a daemon config sets.
type entry struct {
	name   string
	values []string
	line   int
}

func readConfigFile(path string, flags *pflag.FlagSet) (*configFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, readError(err)
	}
	return parseConfigFile(path, text, flags)
}

// parseConfigFile tells the two kinds of file apart by their keys: a daemon config has a mapping under network:, or a
// key that is a flag's name.
func parseConfigFile(path string, text []byte, flags *pflag.FlagSet) (*configFile, error) {
	var document yaml.Node
	if yaml.Unmarshal(text, &document) == nil && isDaemonConfig(&document, flags) {
		return parseDaemonConfig(path, document.Content[0], flags)
	}
	network, err := lease.ReadNetwork(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &configFile{path: path, network: network}, nil
}

// readError shortens the error of os.ReadFile to "read PATH: cause".
func readError(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("read %s: %w", p.Path, p.Err)
	}
	return err
}

func isDaemonConfig(document *yaml.Node, flags *pflag.FlagSet) bool {
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return false
	}
	content := document.Content[0].Content
	for i := 0; i < len(content); i += 2 {
		key, value := content[i].Value, content[i+1]
		if key == "network" && value.Kind == yaml.MappingNode || flags.Lookup(key) != nil {
			return true
		}
	}
	return false
}

func parseDaemonConfig(path string, mapping *yaml.Node, flags *pflag.FlagSet) (*configFile, error) {
	file := &configFile{path: path}
	seen := map[string]bool{}
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		at := fmt.Sprintf("%s:%d:%d", path, key.Line, key.Column)
		if seen[key.Value] {
			return nil, fmt.Errorf("%s: key %q is there a second time", at, key.Value)
		}
		seen[key.Value] = true
		if key.Value == "network" {
			var err error
			if file.network, err = lease.ReadNetworkNode(value); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			continue
		}
		if !isFileKey(flags, key.Value) {
			return nil, fmt.Errorf("%s: unknown key %q: %s", at, key.Value, knownKey(flags, key.Value))
		}
		values, err := scalars(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, key.Value, err)
		}
		file.entries = append(file.entries, entry{key.Value, values, key.Line})
	}
	return file, nil
}

// isFileKey reports whether a daemon config may set the flag.
func isFileKey(flags *pflag.FlagSet, name string) bool {
	f := flags.Lookup(name)
	return f != nil && !f.Hidden && name != "config" && name != "help"
}

// knownKey says which key may be meant by one that is none.
func knownKey(flags *pflag.FlagSet, wrong string) string {
	keys := []string{"network"}
	flags.VisitAll(func(f *pflag.Flag) {
		if isFileKey(flags, f.Name) {
			keys = append(keys, f.Name)
		}
	})
	if like := nearest.Of(wrong, keys); like != "" {
		return fmt.Sprintf("did you mean %q?", like)
	}
	return "keys are network and the names of the flags, see overlayd run --help"
}

// scalars is the texts of a scalar, or of a list of scalars.
func scalars(value *yaml.Node) ([]string, error) {
	switch value.Kind {
	case yaml.ScalarNode:
		return []string{value.Value}, nil
	case yaml.SequenceNode:
		var texts []string
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errors.New("not a list of plain values")
			}
			texts = append(texts, item.Value)
		}
		return texts, nil
	}
	return nil, errors.New("not a plain value")
}

// fill sets each flag that neither the command line nor the environment gave.
func (c *configFile) fill(flags *pflag.FlagSet) error {
	for _, e := range c.entries {
		f := flags.Lookup(e.name)
		if f.Changed {
			continue
		}
		if f.Value.Type() != "stringSlice" && len(e.values) != 1 {
			return fmt.Errorf("%s:%d: %s: one value wanted, not a list", c.path, e.line, e.name)
		}
		for _, value := range e.values {
			if err := flags.Set(e.name, value); err != nil {
				return fmt.Errorf("%s:%d: %w", c.path, e.line, err)
			}
		}
	}
	return nil
}
