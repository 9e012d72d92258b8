package schemas

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// writer is the schema that values were written with, and how to read it. It does not change once made.
type writer struct {
	id      int
	name    string   // full name of the record, or of the Avro type that it is instead
	record  record   // recordNone where it is none of ours
	generic *generic // nil where the code written for our schemas can read it
	err     error    // why it can never be read
}

// newWriter prepares a schema. Whatever is wrong with it is kept in the writer: an id never means another schema later.
func newWriter(id int, text string) *writer {
	w := &writer{id: id, record: recordNone}
	root, err := parseSchema(text)
	if err != nil {
		w.err = err
		return w
	}
	w.name = root.kind.String()
	if root.kind != kindRecord {
		return w
	}
	w.name = root.name
	// Avro matches records by the name without its namespace, so a producer may have generated its own package.
	short := root.name[strings.LastIndexByte(root.name, '.')+1:]
	i := slices.Index(records, short)
	if i < 0 {
		return w
	}
	w.record = record(i)
	form, err := root.render()
	if err != nil {
		w.err = fmt.Errorf("%w: rendering schema: %w", ErrDecode, err)
		return w
	}
	if form.sameBytes(embedded()[i]) {
		return w
	}
	w.generic, w.err = newGeneric(root, form.structure)
	return w
}

// embedded are the renderings of the embedded schemas, by record.
var embedded = sync.OnceValue(func() []rendering {
	forms := make([]rendering, len(records))
	for i := range records {
		root, err := parseSchema(record(i).text())
		if err != nil {
			panic(fmt.Errorf("embedded %s: %w", records[i], err)) // part of the program, and tested
		}
		if forms[i], err = root.render(); err != nil {
			panic(fmt.Errorf("embedded %s: %w", records[i], err))
		}
	}
	return forms
})

// explain adds to a fault which schema it was read with.
func (w *writer) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s with schema %d: %w", w.name, w.id, err)
}

// native decodes by way of goavro.
func (w *writer) native(body []byte) (native, error) {
	fields, err := w.generic.decode(body)
	if err != nil {
		return native{}, w.explain(err)
	}
	return native{node: w.generic.root, value: fields}, nil
}
