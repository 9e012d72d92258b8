package schemas

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// native is a value as goavro gives it, with the type it was written with.
type native struct {
	node  *node
	value any
}

// projection turns natives into our types, by the rules of Avro's schema resolution as far as our schemas need them. As
// in reader, the first fault sticks and every conversion after it gives a zero value.
type projection struct{ err error }

func (p *projection) fail(at string, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("field %s: %w", at, err)
	}
}

func (p *projection) mismatch(at string, v native, want string) {
	if p.err != nil {
		return
	}
	p.fail(at, fmt.Errorf("%w: written as %s, but %s is required", ErrDecode, v.describe(), want))
}

func (v native) describe() string {
	switch v.node.logical {
	case logicalDecimal:
		return "decimal"
	case logicalMillis:
		return "timestamp-millis"
	case logicalMicros:
		return "timestamp-micros"
	case logicalNone:
	}
	return v.node.kind.String()
}

// of is the field of a record, with its union taken off. It is false where the writer's schema lacks the field, so that
// the reader's default applies.
func (v native) of(name string) (native, bool) {
	n := v.node.field(name)
	if n == nil {
		return native{}, false
	}
	fields, ok := v.value.(map[string]any)
	if !ok {
		return native{}, false
	}
	return native{node: n, value: fields[name]}.bare(), true
}

// bare is the value of the branch that was written.
func (v native) bare() native {
	if v.node.kind != kindUnion {
		return v
	}
	branch, _ := v.value.(map[string]any) // nil for null
	for _, n := range v.node.branches {
		if value, ok := branch[n.branchName()]; ok || len(branch) == 0 && n.kind == kindNull {
			return native{node: n, value: value}.bare()
		}
	}
	return v
}

// required is a field that has no default.
func (p *projection) required(rec native, name string) native {
	v, ok := rec.of(name)
	if !ok {
		p.fail(name, fmt.Errorf("%w: the writer's schema lacks it", ErrDecode))
		return native{node: &node{kind: kindNull}}
	}
	return v
}

// nullable is a field whose default is null; false where it is null.
func nullable(rec native, name string) (native, bool) {
	v, ok := rec.of(name)
	return v, ok && v.node.kind != kindNull
}

func (p *projection) string(at string, v native) string {
	var text string
	switch value := v.value.(type) {
	case string:
		text = value
	case []byte:
		text = string(value)
	}
	if v.node.kind != kindString && (v.node.kind != kindBytes || v.node.logical != logicalNone) {
		p.mismatch(at, v, "string")
		return ""
	}
	if !utf8.ValidString(text) {
		p.fail(at, errNotUTF8)
		return ""
	}
	return text
}

func (p *projection) milli(at string, v native) Milli {
	unscaled, ok := v.value.([]byte)
	if !ok || v.node.logical != logicalDecimal {
		p.mismatch(at, v, "a decimal on bytes or fixed")
		return 0
	}
	if v.node.scale > scaleMax {
		p.fail(at, fmt.Errorf("%w: decimal of scale %d, at most %d is read", ErrDecode, v.node.scale, scaleMax))
		return 0
	}
	q, err := milliOfScaled(unscaled, v.node.scale)
	if err != nil {
		p.fail(at, err)
	}
	return q
}

func (p *projection) micros(at string, v native) Micros {
	t, ok := v.value.(int64)
	switch {
	case ok && v.node.logical == logicalMicros:
		return Micros(t)
	case ok && v.node.logical == logicalMillis:
		if t > math.MaxInt64/1000 || t < math.MinInt64/1000 {
			p.fail(at, fmt.Errorf("%w: time of %d milliseconds", ErrOverflow, t))
			return 0
		}
		return Micros(t * 1000)
	}
	p.mismatch(at, v, "timestamp-micros or timestamp-millis")
	return 0
}

func (p *projection) long(at string, v native) int64 {
	switch value := v.value.(type) {
	case int64:
		return value
	case int32:
		return int64(value)
	}
	p.mismatch(at, v, "long or int")
	return 0
}

func (p *projection) bool(at string, v native) bool {
	value, ok := v.value.(bool)
	if !ok {
		p.mismatch(at, v, "boolean")
	}
	return value
}

// symbol is the position among ours of the symbol that was written.
func (p *projection) symbol(at string, v native, symbols []string) int {
	if v.node.kind != kindEnum {
		p.mismatch(at, v, "enum")
		return 0
	}
	i := slices.Index(symbols, fmt.Sprint(v.value))
	if i < 0 {
		p.fail(at, fmt.Errorf("%w: symbol %v is none of %v", ErrDecode, v.value, symbols))
		return 0
	}
	return i
}

// projectList converts an array, element by element, up to the first fault.
func projectList[T any](p *projection, at string, v native, element func(native) T) List[T] {
	values, ok := v.value.([]any)
	if !ok {
		p.mismatch(at, v, "array")
		return nil
	}
	list := make(List[T], 0, len(values))
	for _, value := range values {
		if p.err != nil {
			return nil
		}
		list = append(list, element(native{node: v.node.element, value: value}.bare()))
	}
	return list
}
