package schemas

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/avro"
)

// A rendering is a schema reduced to what matters, in three texts that can be compared.
type rendering struct {
	structure string // a schema of the same bytes: no docs, defaults or logical types, and T0, T1, … for the names of types
	logicals  string // the logical types we read, in the order of the structure
	rest      string // precisions, and field names with their defaults, in the order of the structure
}

// sameBytes says that what one schema writes means the same when read with the other: same fields in the same order with
// the same names, symbols and logical types. Names of types, precisions and defaults play no part in the bytes.
func (r rendering) sameBytes(other rendering) bool {
	return r.structure == other.structure && r.logicals == other.logicals
}

// branchName is what goavro calls a branch of a union written by render.
func (n *node) branchName() string {
	if n.isNamed() {
		return "T" + strconv.Itoa(n.number)
	}
	return n.kind.String()
}

func (n *node) isNamed() bool {
	return n.kind == kindFixed || n.kind == kindEnum || n.kind == kindRecord
}

func (n *node) render() (rendering, error) {
	w := renderer{defined: make(map[*node]bool)}
	if err := w.node(n); err != nil {
		return rendering{}, err
	}
	return rendering{structure: w.structure.String(), logicals: w.logicals.String(), rest: w.rest.String()}, nil
}

type renderer struct {
	structure, logicals, rest strings.Builder
	defined                   map[*node]bool // a type is written out once and named afterwards, as Avro asks
}

func (w *renderer) node(n *node) error {
	switch {
	case n.logical == logicalDecimal:
		fmt.Fprintf(&w.logicals, "decimal(%d) ", n.scale)
		fmt.Fprintf(&w.rest, "precision=%d ", n.precision)
	case n.logical != logicalNone:
		fmt.Fprintf(&w.logicals, "timestamp(%d) ", n.logical)
	case n.kind == kindLong || n.kind == kindBytes || n.kind == kindFixed:
		w.logicals.WriteString("- ")
	}
	switch {
	case w.defined[n]:
		fmt.Fprintf(&w.structure, "%q", n.branchName())
		return nil
	case n.kind == kindArray:
		return w.container(`{"type":"array","items":`, n)
	case n.kind == kindMap:
		return w.container(`{"type":"map","values":`, n)
	case n.kind == kindUnion:
		return w.union(n)
	case !n.isNamed():
		fmt.Fprintf(&w.structure, "%q", n.kind)
		return nil
	}
	w.defined[n] = true
	fmt.Fprintf(&w.structure, `{"type":%q,"name":%q,`, n.kind, n.branchName())
	switch {
	case n.kind == kindFixed:
		fmt.Fprintf(&w.structure, `"size":%d}`, n.size)
		return nil
	case n.kind == kindEnum:
		return w.symbols(n)
	}
	return w.fields(n)
}

func (w *renderer) symbols(n *node) error {
	symbols, err := json.Marshal(n.symbols)
	if err != nil {
		return err
	}
	fmt.Fprintf(&w.structure, `"symbols":%s}`, symbols)
	return nil
}

func (w *renderer) fields(n *node) error {
	w.structure.WriteString(`"fields":[`)
	for i, f := range n.fields {
		if i > 0 {
			w.structure.WriteByte(',')
		}
		if f.hasDefault {
			value, err := json.Marshal(f.value)
			if err != nil {
				return err
			}
			fmt.Fprintf(&w.rest, "%s=%s ", f.name, value)
		}
		fmt.Fprintf(&w.structure, `{"name":%q,"type":`, f.name)
		if err := w.node(f.node); err != nil {
			return err
		}
		w.structure.WriteByte('}')
	}
	w.structure.WriteString("]}")
	return nil
}

func (w *renderer) container(open string, n *node) error {
	w.structure.WriteString(open)
	if err := w.node(n.element); err != nil {
		return err
	}
	w.structure.WriteByte('}')
	return nil
}

func (w *renderer) union(n *node) error {
	for i, branch := range n.branches {
		w.structure.WriteByte("[,"[min(i, 1)])
		if err := w.node(branch); err != nil {
			return err
		}
	}
	w.structure.WriteByte(']')
	return nil
}

// sameContract says that two texts are the same schema but for docs, spelling and attributes that we do not read: a
// registry may give back another text than it was given.
func sameContract(a, b string) (bool, error) {
	formA, err := contractForm(a)
	if err != nil {
		return false, err
	}
	formB, err := contractForm(b)
	if err != nil {
		return false, err
	}
	return formA == formB, nil
}

func contractForm(text string) (string, error) {
	schema, err := avro.Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading schema: %w", err)
	}
	root, err := parseSchema(text)
	if err != nil {
		return "", err
	}
	r, err := root.render()
	if err != nil {
		return "", fmt.Errorf("rendering schema: %w", err)
	}
	return string(schema.Canonical()) + "\n" + r.logicals + "\n" + r.rest, nil
}
