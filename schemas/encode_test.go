package schemas

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/avro"
)

// TestEncodersWriteWhatGoavroWrites draws records and compares the bytes of our encoders with those of goavro, which is
// given the embedded schema and the record's JSON. Replay: go test ./schemas -run TestEncodersWriteWhatGoavroWrites -seed N.
func TestEncodersWriteWhatGoavroWrites(t *testing.T) {
	r := newRandom(t)
	for _, c := range codecs(t) {
		other, root := goavroCodec(t, c.record), embeddedNode(t, c.record)
		for range 150 {
			rec := c.draw(r)
			want, err := other.BinaryFromNative(frame(77), nativeOf(t, rec, root))
			if err != nil {
				t.Fatalf("%s: goavro: %v\n%s", c.record, err, jsonOf(t, rec))
			}
			if got := c.append(nil, 77, rec); !bytes.Equal(got, want) {
				t.Fatalf("%s: %s\n%s", c.record, diffBytes(got, want), jsonOf(t, rec))
			}
		}
	}
}

// TestOtherImplementationReadsOurBytes decodes random records with a second Avro library, encodes them again with it and
// compares. Replay: go test ./schemas -run TestOtherImplementationReadsOurBytes -seed N.
func TestOtherImplementationReadsOurBytes(t *testing.T) {
	r := newRandom(t)
	for _, c := range codecs(t) {
		schema, err := avro.Parse(c.record.text())
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			body := c.append(nil, 1, c.draw(r))[5:]
			var native any
			rest, err := schema.Decode(body, &native)
			if err != nil || len(rest) > 0 {
				t.Fatalf("%s: %v, %d bytes left over of %x", c.record, err, len(rest), body)
			}
			again, err := schema.Encode(native)
			if err != nil || !bytes.Equal(again, body) {
				t.Fatalf("%s: %v: %s", c.record, err, diffBytes(again, body))
			}
		}
	}
}

// TestDecodeGivesBackWhatWasEncoded draws records, encodes and decodes them: alone, into a record that held another one,
// and through goavro. Replay: go test ./schemas -run TestDecodeGivesBackWhatWasEncoded -seed N.
func TestDecodeGivesBackWhatWasEncoded(t *testing.T) {
	r := newRandom(t)
	compiled, viaGoavro := newEmbedded(), newGenericOnly(t)
	for _, c := range codecs(t) {
		reused := c.empty()
		for range 150 {
			rec := c.draw(r)
			value := c.append(nil, embeddedID(c.record), rec)
			fresh, generic := c.empty(), c.empty()
			for _, run := range []struct {
				name    string
				decoder *Decoder
				into    any
			}{{"fresh", compiled, fresh}, {"reused", compiled, reused}, {"goavro", viaGoavro, generic}} {
				if err := c.decode(run.decoder, value, run.into); err != nil {
					t.Fatalf("%s %s: %v", c.record, run.name, err)
				}
				if got, want := jsonOf(t, run.into), jsonOf(t, rec); got != want {
					t.Fatalf("%s %s:\n got %s\nwant %s", c.record, run.name, got, want)
				}
			}
		}
	}
}

// newGenericOnly knows the embedded schemas and reads all of them through goavro.
func newGenericOnly(t testing.TB) *Decoder {
	t.Helper()
	writers := make(map[int]*writer)
	for i := range records {
		writers[embeddedID(record(i))] = genericWriter(t, embeddedID(record(i)), record(i).text())
	}
	d := newEmbedded()
	d.known.writers.Store(&writers)
	return d
}

// genericWriter reads through goavro even a schema that the code written for our schemas could read.
func genericWriter(t testing.TB, id int, text string) *writer {
	t.Helper()
	root, err := parseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	form, err := root.render()
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(id, text)
	if w.generic, err = newGeneric(root, form.structure); err != nil || w.err != nil {
		t.Fatal(err, w.err)
	}
	return w
}

func TestEmbeddedSchemasTakeTheFastPath(t *testing.T) {
	for i, name := range records {
		if w := newWriter(1, record(i).text()); w.generic != nil || w.err != nil || w.record != record(i) {
			t.Errorf("%s: read through goavro as %s: %v", name, w.name, w.err)
		}
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	for _, c := range codecs(t) {
		rec := c.draw(random{newRandom(t).Rand})
		dst := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(100, func() { c.append(dst, 9, rec) }); n != 0 {
			t.Errorf("%s: %v allocations", c.record, n)
		}
	}
}

func TestDecodingAllocatesOnlyStringsAndLists(t *testing.T) {
	d := newEmbedded()
	rec := sampleDelta()
	value := AppendStockDelta(nil, embeddedID(recordStockDelta), &rec)
	var into StockDelta
	decode := func() {
		if err := d.DecodeStockDelta(t.Context(), value, &into); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	// The same record again: every string is kept, and it has no list.
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("repeated record: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { into = StockDelta{}; decode() }); n != 4 {
		t.Errorf("record of 4 strings: %v allocations", n)
	}
}

// sampleDelta is a usual record: a count at a location.
func sampleDelta() StockDelta {
	return StockDelta{
		RecordID: "c0ffee00-1234-5678-9abc-def012345678", SKU: "SKU-0001234", Location: "STORE-0042", Mode: ModeUpdate,
		OnHand: Some[Milli](12_000), EffectiveDate: Some[Micros](1_790_000_000_000_000), ExternalRefID: Some("feed-7"),
	}
}

func TestAppendKeepsWhatIsInFront(t *testing.T) {
	rec := sampleDelta()
	got := AppendStockDelta([]byte("front"), 0x01020304, &rec)
	want := append([]byte("front"), 0, 1, 2, 3, 4)
	if !bytes.HasPrefix(got, want) {
		t.Fatalf("got %x, want it to begin with %x", got, want)
	}
}

func TestEncodingRefusesSymbolsThatDoNotExist(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("encoded a mode that no decoder knows")
		}
	}()
	AppendStockDelta(nil, 1, &StockDelta{Mode: Mode(len(modeSymbols))})
}

// The fields of the Go types are those of the schemas, in their order: the JSON form relies on it.
func TestRecordsHaveTheFieldsOfTheirSchemas(t *testing.T) {
	for _, c := range codecs(t) {
		root, err := parseSchema(c.record.text())
		if err != nil {
			t.Fatal(err)
		}
		compareFields(t, root, reflect.TypeOf(c.empty()).Elem())
	}
}

func compareFields(t *testing.T, n *node, of reflect.Type) {
	t.Helper()
	if of.NumField() != len(n.fields) {
		t.Fatalf("%s has %d fields, its schema %d", of, of.NumField(), len(n.fields))
	}
	for i, f := range n.fields {
		field := of.Field(i)
		if got := field.Tag.Get("json"); got != f.name {
			t.Errorf("%s field %d is %q, in the schema %q", of, i, got, f.name)
		}
		inner, goType := f.node, field.Type
		nullable := inner.kind == kindUnion
		if nullable {
			inner = inner.branches[1]
		}
		value, optional := goType, false
		if goType.Kind() == reflect.Struct {
			if valid, ok := goType.FieldByName("Valid"); ok && valid.Type.Kind() == reflect.Bool {
				value, optional = goType.Field(0).Type, true
			}
		}
		if nullable != optional {
			t.Errorf("%s.%s: nullable in the schema %v, in Go %v", of, f.name, nullable, optional)
		}
		if inner.kind == kindArray && inner.element.kind == kindRecord {
			compareFields(t, inner.element, value.Elem())
		}
	}
}
