package schemas

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/avro"
)

// Bounds on a writer's schema, far above any real one: records of a few dozen fields, nested two or three deep.
const (
	schemaBytesMax = 256 << 10
	schemaDepthMax = 32
	nameBytesMax   = 256 // names stand in errors, and errors in the headers of dead letters
)

// kind is an Avro type.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum
	kindRecord
	kindArray
	kindMap
	kindUnion
)

// kindNames are the words of the Avro specification, in the order of the constants.
var kindNames = []string{
	"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "record", "array", "map", "union",
}

func (k kind) String() string { return kindNames[k] }

// logical is a logical type that changes what the bytes mean to us; all others are left aside.
type logical uint8

const (
	logicalNone logical = iota
	logicalDecimal
	logicalMillis // timestamp-millis
	logicalMicros // timestamp-micros
)

// node is one type of a writer's schema. A type that is named and used twice is one node, so a recursive schema is a
// cycle of nodes.
type node struct {
	kind      kind
	logical   logical
	precision int // of a decimal, in digits
	scale     int // of a decimal, in digits after the point
	size      int // of a fixed, in bytes
	name      string
	number    int // of a named type: its place in the order of definition
	symbols   []string
	fields    []field
	element   *node // of an array or map
	branches  []*node
}

type field struct {
	name       string
	node       *node
	hasDefault bool
	value      any // the default
}

// field is the field of a record by name, nil where there is none.
func (n *node) field(name string) *node {
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].node
		}
	}
	return nil
}

// parseSchema reads the text of an Avro schema. An error wraps ErrDecode: no value written with it can be read.
func parseSchema(text string) (*node, error) {
	if len(text) > schemaBytesMax {
		return nil, fmt.Errorf("%w: schema of %d bytes, at most %d are read", ErrDecode, len(text), schemaBytesMax)
	}
	schema, err := avro.Parse(text)
	if err != nil {
		// Only the text is kept: it repeats each level that the schema nests.
		return nil, fmt.Errorf("%w: reading schema: %s", ErrDecode, shortened(err.Error()))
	}
	p := parser{named: make(map[string]*node)}
	root, err := p.node(schema.Root(), "", 0)
	if err != nil {
		return nil, fmt.Errorf("%w: reading schema: %s", ErrDecode, shortened(err.Error()))
	}
	return root, nil
}

// parser turns a syntax tree into nodes.
type parser struct {
	named map[string]*node // by full name
}

func (p *parser) node(s *avro.SchemaNode, namespace string, depth int) (*node, error) {
	if depth > schemaDepthMax {
		return nil, fmt.Errorf("types nested more than %d deep", schemaDepthMax)
	}
	switch s.Type {
	case "union":
		return p.union(s, namespace, depth)
	case "array":
		return p.container(kindArray, s.Items, namespace, depth)
	case "map":
		return p.container(kindMap, s.Values, namespace, depth)
	case "record", "error":
		return p.record(s, depth)
	case "enum":
		n, err := p.define(kindEnum, s)
		n.symbols = s.Symbols
		return n, errors.Join(err, checkNames(s.Symbols...))
	case "fixed":
		n, err := p.define(kindFixed, s)
		n.size = s.Size
		n.setLogical(s)
		return n, err
	}
	for k := kindNull; k <= kindString; k++ {
		if s.Type == kindNames[k] {
			n := &node{kind: k}
			n.setLogical(s)
			return n, nil
		}
	}
	return p.reference(s.Type, namespace)
}

// define makes the node of a named type known before its parts are read, so that they can refer to it.
func (p *parser) define(k kind, s *avro.SchemaNode) (*node, error) {
	name := s.Name
	if !strings.Contains(name, ".") && s.Namespace != "" {
		name = s.Namespace + "." + name
	}
	n := &node{kind: k, name: name, number: len(p.named)}
	p.named[name] = n
	return n, checkNames(name)
}

func checkNames(names ...string) error {
	for _, name := range names {
		if len(name) > nameBytesMax {
			return fmt.Errorf("a name of %d bytes, at most %d are read", len(name), nameBytesMax)
		}
	}
	return nil
}

func (p *parser) reference(name, namespace string) (*node, error) {
	if n := p.named[namespace+"."+name]; n != nil && !strings.Contains(name, ".") {
		return n, nil
	}
	if n := p.named[name]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("type %q is used before it is defined", name)
}

func (p *parser) record(s *avro.SchemaNode, depth int) (*node, error) {
	n, err := p.define(kindRecord, s)
	if err != nil {
		return nil, err
	}
	namespace := ""
	if i := strings.LastIndexByte(n.name, '.'); i >= 0 {
		namespace = n.name[:i]
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if err := checkNames(f.Name); err != nil {
			return nil, err
		}
		of, err := p.node(&f.Type, namespace, depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		n.fields = append(n.fields, field{name: f.Name, node: of, hasDefault: f.HasDefault, value: f.Default})
	}
	return n, nil
}

func (p *parser) container(k kind, element *avro.SchemaNode, namespace string, depth int) (*node, error) {
	of, err := p.node(element, namespace, depth+1)
	if err != nil {
		return nil, err
	}
	return &node{kind: k, element: of}, nil
}

func (p *parser) union(s *avro.SchemaNode, namespace string, depth int) (*node, error) {
	n := &node{kind: kindUnion}
	for i := range s.Branches {
		branch, err := p.node(&s.Branches[i], namespace, depth+1)
		if err != nil {
			return nil, err
		}
		n.branches = append(n.branches, branch)
	}
	return n, nil
}

func (n *node) setLogical(s *avro.SchemaNode) {
	switch {
	case s.LogicalType == "decimal" && (n.kind == kindBytes || n.kind == kindFixed):
		n.logical, n.precision, n.scale = logicalDecimal, s.Precision, s.Scale
	case s.LogicalType == "timestamp-millis" && n.kind == kindLong:
		n.logical = logicalMillis
	case s.LogicalType == "timestamp-micros" && n.kind == kindLong:
		n.logical = logicalMicros
	}
}
