package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/overlayd/overlayd/internal/control"
)

// outputs are what commands print with -o json. A version goes up when a key goes or changes its meaning.
var outputs = map[string]struct {
	version int
	value   any
}{
	"config canary":  {1, canaryView{}},
	"config history": {1, configHistory{}},
	"doctor":         {1, []finding{}},
	"events":         {1, control.Event{}}, // a line
	"explain":        {1, explanation{}},
	"hook log":       {1, []control.HookEntry{}},
	"lease list":     {1, leaseList{}},
	"ping":           {1, []pinged{}},
	"status":         {1, control.Status{}},
}

// With UPDATE_SCRIPTS in the environment the files are written anew.
func TestTheSchemasAreOfWhatIsPrinted(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(outputs)), schemaNames()); diff != "" {
		t.Errorf("commands with a schema (-want +got):\n%s", diff)
	}
	for command, output := range outputs {
		m := schemaMaker{t, map[string]*source{}, map[string]*schema{}}
		s := m.of(reflect.TypeOf(output.value))
		s.Dialect, s.Title = "https://json-schema.org/draft/2020-12/schema", "overlayd "+command+" -o json"
		name := strings.ReplaceAll(command, " ", "-")
		s.ID, s.Defs = fmt.Sprintf("urn:overlayd:output:%s:%d", name, output.version), m.defs
		text, err := json.MarshalIndent(s, "", "  ")
		must(t, err)
		text = append(text, '\n')
		file := filepath.Join("schemas", name+".json")
		if os.Getenv("UPDATE_SCRIPTS") != "" {
			must(t, os.WriteFile(file, text, 0o644))
		}
		was, err := os.ReadFile(file)
		must(t, err)
		if diff := cmp.Diff(string(was), string(text)); diff != "" {
			t.Errorf("%s is out of date, make docs writes it anew (-file +types):\n%s", file, diff)
		}
	}
}

// compileOutput is the schema of a command's output, as overlayd prints it.
func compileOutput(t *testing.T, command string) *jsonschema.Schema {
	t.Helper()
	text, err := schemaOf(command)
	must(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	must(t, c.AddResource(command, document))
	compiled, err := c.Compile(command)
	must(t, err)
	return compiled
}

// A schema is what of JSON Schema these outputs need.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// A schemaMaker makes schemas of Go types. What keys mean, and which words a type of string has, it reads in the source.
type schemaMaker struct {
	t       *testing.T
	sources map[string]*source // by import path
	defs    map[string]*schema // of types with a name
}

func (m schemaMaker) of(t reflect.Type) *schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[netip.Addr]():
		return &schema{Type: "string", AnyOf: []*schema{{Format: "ipv4"}, {Format: "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return &schema{Type: "string", Pattern: `^[0-9a-f.:]+/[0-9]+$`}
	case reflect.TypeFor[json.RawMessage]():
		return &schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return m.of(t.Elem())
	case reflect.Slice:
		return &schema{Type: "array", Items: m.of(t.Elem())}
	case reflect.Struct, reflect.String:
		if t.PkgPath() != "" {
			return m.named(t)
		}
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	}
	m.t.Fatalf("no schema for %s", t)
	return nil
}

// named refers to the schema of a type with a name, which it makes once.
func (m schemaMaker) named(t reflect.Type) *schema {
	if _, made := m.defs[t.Name()]; !made {
		source := m.source(t)
		s := &schema{Description: source.comments[t.Name()]}
		m.defs[t.Name()] = s
		if t.Kind() == reflect.String {
			s.Type, s.Enum = "string", source.words[t.Name()]
		} else {
			s.Type, s.Properties = "object", map[string]*schema{}
			m.addFields(s, t)
		}
	}
	return &schema{Ref: "#/$defs/" + t.Name()}
}

func (m schemaMaker) addFields(s *schema, t reflect.Type) {
	for f := range t.Fields() {
		if f.Anonymous {
			m.addFields(s, f.Type)
			continue
		}
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		field := m.of(f.Type)
		field.Description = m.source(t).comments[t.Name()+"."+f.Name]
		s.Properties[key] = field
		if options == "" {
			s.Required = append(s.Required, key)
		}
	}
}

// A source is what the source of a package says of its types.
type source struct {
	comments map[string]string   // of types, and of fields as Type.Field
	words    map[string][]string // the constants of types of string
}

func (m schemaMaker) source(t reflect.Type) *source {
	if known := m.sources[t.PkgPath()]; known != nil {
		return known
	}
	s := &source{map[string]string{}, map[string][]string{}}
	m.sources[t.PkgPath()] = s
	dir := strings.Replace(t.PkgPath(), "github.com/overlayd/overlayd", "../..", 1)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(m.t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		must(m.t, err)
		for _, d := range parsed.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				s.read(g)
			}
		}
	}
	return s
}

func (s *source) read(g *ast.GenDecl) {
	oneLine := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			s.comments[spec.Name.Name] = oneLine(g.Doc)
			structure, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range structure.Fields.List {
				for _, name := range f.Names {
					s.comments[spec.Name.Name+"."+name.Name] = oneLine(f.Comment)
				}
			}
		case *ast.ValueSpec:
			kind, ok := spec.Type.(*ast.Ident)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, v := range spec.Values {
				if l, ok := v.(*ast.BasicLit); ok && l.Kind == token.STRING {
					word, _ := strconv.Unquote(l.Value) // the parser has read it
					s.words[kind.Name] = append(s.words[kind.Name], word)
				}
			}
		}
	}
}
