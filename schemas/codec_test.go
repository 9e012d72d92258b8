package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
)

// A codec is one of the records, for tests that treat all alike.
type codec struct {
	record record
	draw   func(random) any                  // a record, as a pointer
	empty  func() any                        // a zero record, as a pointer
	append func([]byte, int, any) []byte     // encode
	decode func(*Decoder, []byte, any) error // decode into such a pointer
}

func codecOf[T any](
	of record, draw func(random) T, encode func([]byte, int, *T) []byte, decode func(*Decoder, []byte, *T) error,
) codec {
	return codec{
		record: of,
		draw:   func(r random) any { rec := draw(r); return &rec },
		empty:  func() any { return new(T) },
		append: func(dst []byte, id int, rec any) []byte { return encode(dst, id, as[*T](rec)) },
		decode: func(d *Decoder, value []byte, into any) error { return decode(d, value, as[*T](into)) },
	}
}

// as is v, which is a T unless the test is wrong.
func as[T any](v any) T {
	of, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("%T is no %T", v, of))
	}
	return of
}

func codecs(t testing.TB) []codec {
	ctx := t.Context()
	return []codec{
		codecOf(recordStockDelta, random.stockDelta, AppendStockDelta,
			func(d *Decoder, v []byte, into *StockDelta) error { return d.DecodeStockDelta(ctx, v, into) }),
		codecOf(recordReservationEvent, random.reservationEvent, AppendReservationEvent,
			func(d *Decoder, v []byte, into *ReservationEvent) error {
				return d.DecodeReservationEvent(ctx, v, into)
			}),
		codecOf(recordReservationResult, random.reservationResult, AppendReservationResult,
			func(d *Decoder, v []byte, into *ReservationResult) error {
				return d.DecodeReservationResult(ctx, v, into)
			}),
		codecOf(recordAvailabilityUpdate, random.availabilityUpdate, AppendAvailabilityUpdate,
			func(d *Decoder, v []byte, into *AvailabilityUpdate) error {
				return d.DecodeAvailabilityUpdate(ctx, v, into)
			}),
		codecOf(recordLocationGraph, random.locationGraph, AppendLocationGraph,
			func(d *Decoder, v []byte, into *LocationGraph) error { return d.DecodeLocationGraph(ctx, v, into) }),
	}
}

// embeddedID is the id under which newEmbedded knows the schema of a record.
func embeddedID(of record) int { return int(of) + 1 }

// newEmbedded is a decoder that knows the embedded schemas.
func newEmbedded() *Decoder {
	known := make(Static)
	for i := range records {
		known[embeddedID(record(i))] = record(i).text()
	}
	return NewDecoder(known, DecoderOptions{})
}

// jsonOf is how tests compare and print records.
func jsonOf(t testing.TB, rec any) string {
	t.Helper()
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// nativeOf makes goavro's native form of a record out of its JSON and its schema, so it shares nothing with the encoders.
func nativeOf(t testing.TB, rec any, root *node) any {
	t.Helper()
	var value any
	d := json.NewDecoder(bytes.NewReader([]byte(jsonOf(t, rec))))
	d.UseNumber() // versions have more digits than a float
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return nativeFrom(t, root, value)
}

func nativeFrom(t testing.TB, n *node, value any) any {
	t.Helper()
	switch n.kind {
	case kindUnion:
		if value == nil {
			return nil
		}
		branch := n.branches[1]
		return goavro.Union(goavroName(branch), nativeFrom(t, branch, value))
	case kindRecord:
		fields := make(map[string]any)
		for _, f := range n.fields {
			v, ok := as[map[string]any](value)[f.name]
			if !ok {
				t.Fatalf("JSON lacks field %s", f.name)
			}
			fields[f.name] = nativeFrom(t, f.node, v)
		}
		return fields
	case kindArray:
		list := []any{}
		for _, v := range as[[]any](value) {
			list = append(list, nativeFrom(t, n.element, v))
		}
		return list
	case kindBytes:
		rat, ok := new(big.Rat).SetString(as[string](value))
		if !ok {
			t.Fatalf("decimal %v", value)
		}
		return rat
	case kindLong:
		if n.logical == logicalNone {
			return nativeLong(t, value)
		}
		at, err := time.Parse(time.RFC3339Nano, as[string](value))
		if err != nil {
			t.Fatal(err)
		}
		return at
	case kindNull, kindBoolean, kindInt, kindFloat, kindDouble, kindString, kindFixed, kindEnum, kindMap:
	}
	return value
}

func nativeLong(t testing.TB, value any) int64 {
	t.Helper()
	v, err := as[json.Number](value).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// goavroName is what goavro calls a branch when it is given the schema as it stands.
func goavroName(n *node) string {
	switch n.logical {
	case logicalDecimal:
		return "bytes.decimal"
	case logicalMicros:
		return "long.timestamp-micros"
	case logicalNone, logicalMillis:
	}
	return n.kind.String()
}

// goavroCodec is goavro with the embedded schema as it stands, logical types and all.
func goavroCodec(t testing.TB, of record) *goavro.Codec {
	t.Helper()
	options := goavro.DefaultCodecOption()
	options.EnableDecimalBinarySpecCompliantEncoding = true
	c, err := goavro.NewCodecWithOptions(of.text(), options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func frame(id int) []byte { return []byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)} }

func diffBytes(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("differ from byte %d\n got %x\nwant %x", i, got, want)
		}
	}
	return fmt.Sprintf("%d bytes, want %d\n got %x\nwant %x", len(got), len(want), got, want)
}
