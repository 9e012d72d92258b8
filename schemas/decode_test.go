package schemas

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	rec := sampleDelta()
	good := AppendStockDelta(nil, embeddedID(recordStockDelta), &rec)
	order := `{"type":"record","name":"Order","namespace":"com.acme","fields":[]}`
	long := strings.Repeat("x", 50_000)
	known := Static{
		1: recordStockDelta.text(), 2: recordReservationEvent.text(), 10: order, 11: `"string"`, 12: `{"type":"record"`,
		13: strings.Repeat(" ", schemaBytesMax) + recordStockDelta.text(), 14: nested(schemaDepthMax + 1),
		15: `{"type":"record","name":"StockDelta","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":0}}]}`,
		16: `{"type":"record","name":"` + long + `","fields":[]}`,
		17: deltaWith("mode", `{"type":"enum","name":"E","symbols":["`+long+`"]}`),
		18: withField(t, recordStockDelta.text(), `{"name":"`+long+`","type":"int"}`),
		19: nested(900),
	}
	for _, c := range []struct {
		name  string
		value []byte
		err   error
		says  string
	}{
		{"good", good, nil, ""},
		{"null", nil, ErrEmpty, ""},
		{"empty", []byte{}, ErrEmpty, ""},
		{"largest", padded(good, ValueBytesMax), ErrDecode, "left over"},
		{"above the limit", padded(good, ValueBytesMax+1), ErrTooLarge, "1048577"},
		{"JSON", []byte(`{"recordId":"r"}`), ErrDecode, "0x7b"},
		{"GUID frame", append([]byte{1}, make([]byte, 30)...), ErrDecode, "GUID"},
		{"cut off in the id", good[:4], ErrDecode, "too short"},
		{"frame alone", good[:5], ErrDecode, "recordId"},
		{"id that does not exist", append(frame(404), good[5:]...), ErrUnknownSchema, "404"},
		{"largest id", append(frame(1<<32-1), good[5:]...), ErrUnknownSchema, "4294967295"},
		{"another record of ours", append(frame(2), good[5:]...), ErrWrongRecordType, "onhand.ReservationEvent"},
		{"a record of others", append(frame(10), good[5:]...), ErrWrongRecordType, "com.acme.Order"},
		{"no record at all", append(frame(11), good[5:]...), ErrWrongRecordType, "string"},
		{"a schema cut off", append(frame(12), good[5:]...), ErrDecode, "schema 12"},
		{"a schema of many bytes", append(frame(13), good[5:]...), ErrDecode, "schema 13"},
		{"a schema of many levels", append(frame(14), good[5:]...), ErrDecode, "nested"},
		{"a schema of very many levels", append(frame(19), good[5:]...), ErrDecode, "reading schema"},
		{"a schema goavro refuses", append(frame(15), good[5:]...), ErrDecode, "schema 15"},
		{"a schema of long names", append(frame(16), good[5:]...), ErrDecode, "name of 50000"},
		{"a schema of long symbols", append(frame(17), good[5:]...), ErrDecode, "name of 50000"},
		{"a schema of a long field", append(frame(18), good[5:]...), ErrDecode, "name of 50000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(known, DecoderOptions{})
			var into StockDelta
			err := d.DecodeStockDelta(t.Context(), c.value, &into)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.says) || len(err.Error()) > 1000) {
				t.Fatalf("got %q, want in it %q", err, c.says)
			}
		})
	}
}

func padded(value []byte, n int) []byte {
	return append(bytes.Clone(value), make([]byte, n-len(value))...)
}

// nested is a StockDelta with a field of that many arrays of arrays.
func nested(depth int) string {
	return deltaWith("futures", strings.Repeat(`{"type":"array","items":`, depth)+`"int"`+strings.Repeat("}", depth))
}

// Every prefix of a value is an error, never a record and never a panic, and so is a value with a byte more.
func TestCutOffValuesAreErrors(t *testing.T) {
	r := newRandom(t)
	decoders := map[string]*Decoder{"compiled": newEmbedded(), "goavro": newGenericOnly(t)}
	for _, c := range codecs(t) {
		value := c.append(nil, embeddedID(c.record), c.draw(r))
		for len(value) > 1000 { // the work grows with the square
			value = c.append(nil, embeddedID(c.record), c.draw(r))
		}
		for name, d := range decoders {
			for n := range value {
				err := c.decode(d, value[:n], c.empty())
				if n > 0 && !errors.Is(err, ErrDecode) || n == 0 && !errors.Is(err, ErrEmpty) {
					t.Fatalf("%s %s: %d of %d bytes: %v", name, c.record, n, len(value), err)
				}
			}
			if err := c.decode(d, append(bytes.Clone(value), 0), c.empty()); !errors.Is(err, ErrDecode) {
				t.Fatalf("%s %s: a byte more: %v", name, c.record, err)
			}
		}
	}
}

// faults are bodies of a StockDelta: what follows recordId "r", sku "s", location "l".
var faults = []struct {
	name string
	tail []byte
	err  error
	says string
}{
	{"mode beyond the last", []byte{6}, ErrDecode, "mode"},
	{"negative mode", []byte{1}, ErrDecode, "mode"},
	{"branch beyond the last", []byte{0, 4}, ErrDecode, "onHand"},
	{"negative branch", []byte{0, 1}, ErrDecode, "onHand"},
	{"decimal of no bytes", []byte{0, 2, 0}, ErrDecode, "onHand"},
	{"decimal of negative length", []byte{0, 2, 1}, ErrDecode, "onHand"},
	{"decimal longer than the value", []byte{0, 2, 0xfe, 0xff, 0x03}, ErrDecode, "onHand"},
	{"number without an end", append([]byte{0, 2}, bytes.Repeat([]byte{0x80}, 12)...), ErrDecode, "onHand"},
	{"number above 64 bits", append([]byte{0, 2}, append(bytes.Repeat([]byte{0xff}, 9), 2)...), ErrDecode, "onHand"},
	{"10^18 thousandths", append([]byte{0, 2, 16}, big0("1000000000000000000", 8)...), ErrOverflow, "onHand"},
	{"-10^18 thousandths", []byte{0, 2, 16, 0xf2, 0x1f, 0x49, 0x4c, 0x58, 0x9c, 0, 0}, ErrOverflow, "onHand"},
	{"smallest int64", []byte{0, 2, 16, 0x80, 0, 0, 0, 0, 0, 0, 0}, ErrOverflow, "onHand"},
	{"decimal of 9 bytes", append([]byte{0, 2, 18, 1}, make([]byte, 8)...), ErrOverflow, "onHand"},
	{"bytes past the end", append(deltaTail(), 0), ErrDecode, "left over"},
	{"block count the bytes cannot hold", []byte{0, 0, 0, 2, 200, 1}, ErrDecode, "futures"},
	{"smallest block count", append([]byte{0, 0, 0, 2}, append(bytes.Repeat([]byte{0xff}, 9), 1, 0)...), ErrDecode, "futures"},
	{"block size past the end", []byte{0, 0, 0, 2, 1, 200, 1, 2, 0, 0, 0}, ErrDecode, "futures"},
	{"symbol beyond the last", []byte{0, 0, 0, 0, 2, 6, 0, 0, 0}, ErrDecode, "cleared"},
	{"string that is not UTF-8", []byte{0, 0, 0, 0, 0, 0, 2, 2, 0xc3}, ErrDecode, "externalRefId"},
}

// deltaTail is UPDATE with nothing set.
func deltaTail() []byte { return []byte{0, 0, 0, 0, 0, 0, 0} }

func TestFaultyBytes(t *testing.T) {
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			value := append(append(frame(1), 2, 'r', 2, 's', 2, 'l'), c.tail...)
			var into StockDelta
			err := newEmbedded().DecodeStockDelta(t.Context(), value, &into)
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %v and in it %q", err, c.err, c.says)
			}
			if err := newGenericOnly(t).DecodeStockDelta(t.Context(), value, &into); err == nil {
				t.Fatal("goavro's way took it")
			}
		})
	}
}

func TestWhatOtherWritersMayDo(t *testing.T) {
	for _, c := range []struct {
		name string
		tail []byte
		want string
	}{
		{"nothing set", deltaTail(), `"onHand":null`},
		{"sign repeated to 9 bytes", append([]byte{0, 2, 18, 0, 0, 0, 0, 0, 0, 0, 0x27, 0x10}, 0, 0, 0, 0, 0), `"onHand":"10"`},
		{"negative sign repeated to 12 bytes",
			append(append([]byte{0, 2, 24}, bytes.Repeat([]byte{0xff}, 12)...), 0, 0, 0, 0, 0), `"onHand":"-0.001"`},
		{"number padded with zeros", []byte{0x80, 0x80, 0, 0, 0, 0, 0, 0, 0}, `"mode":"UPDATE"`},
		{"empty futures", []byte{0, 0, 0, 2, 0, 0, 0, 0}, `"futures":[]`},
		{"blocks with sizes", []byte{0, 0, 0, 2, 1, 6, 2, 5, 2, 1, 6, 2, 6, 4, 0, 0, 0, 0},
			`"futures":[{"quantity":"0.005","expectedDate":"1970-01-01T00:00:00.000001Z"},` +
				`{"quantity":"0.006","expectedDate":"1970-01-01T00:00:00.000002Z"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			value := append(append(frame(1), 2, 'r', 2, 's', 2, 'l'), c.tail...)
			for name, d := range map[string]*Decoder{"compiled": newEmbedded(), "goavro": newGenericOnly(t)} {
				var got StockDelta
				if err := d.DecodeStockDelta(t.Context(), value, &got); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if text := jsonOf(t, got); !strings.Contains(text, c.want) {
					t.Fatalf("%s: got %s, want in it %s", name, text, c.want)
				}
			}
		})
	}
}

// A record that is decoded into again must not change what was taken out of it.
func TestDecodedRecordsShareNothing(t *testing.T) {
	first := StockDelta{SKU: "A", Futures: Some(List[Future]{{Quantity: 1, ExpectedDate: 1}}), Cleared: List[StockField]{FieldOnHand}}
	second := StockDelta{SKU: "B", Futures: Some(List[Future]{{Quantity: 2, ExpectedDate: 2}}), Cleared: List[StockField]{FieldFutures}}
	d, value := newEmbedded(), AppendStockDelta(nil, 1, &first)
	var into StockDelta
	if err := d.DecodeStockDelta(t.Context(), value, &into); err != nil {
		t.Fatal(err)
	}
	kept, want := into, jsonOf(t, into)
	clear(value)
	if err := d.DecodeStockDelta(t.Context(), AppendStockDelta(nil, 1, &second), &into); err != nil {
		t.Fatal(err)
	}
	if got := jsonOf(t, kept); got != want {
		t.Fatalf("\n got %s\nwant %s", got, want)
	}
}
