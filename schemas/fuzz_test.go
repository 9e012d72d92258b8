package schemas

import (
	"errors"
	"testing"
)

// FuzzDecode gives any bytes to the decoders of all records: as the code written for our schemas reads them, as goavro
// does, and with writers' schemas made to be dangerous. Nothing may panic or allocate more than decodeBytesMax; what is
// refused is refused with one of our errors; and both ways must come to the same record.
func FuzzDecode(f *testing.F) {
	r := newRandom(f)
	compiled, generic := newEmbedded(), newGenericOnly(f)
	writers := make(Static)
	for i, h := range hostile {
		writers[i+1] = hostileSchema(h.element)
		f.Add(uint8(len(records)+i), hostileValue(h.bytes, h.block, 4000)[5:])
	}
	foreign := NewDecoder(writers, DecoderOptions{})
	all := codecs(f)
	for i, c := range all {
		f.Add(uint8(i), c.append(nil, 1, c.draw(r))[5:])
		f.Add(uint8(i), c.append(nil, 1, c.empty())[5:])
	}
	f.Add(uint8(recordStockDelta), []byte{2, 'r', 2, 0, 0, 0, 0, 0, 0, 0, 3, 0xa3, 0, 0, 0, 0, 0, 0}) // a block size below zero
	for _, fault := range faults {
		f.Add(uint8(recordStockDelta), append([]byte{2, 'r', 2, 's', 2, 'l'}, fault.tail...))
	}
	for id := range writers { // learns the schemas, which costs more than a value may
		if err := foreign.DecodeStockDelta(f.Context(), frame(id), new(StockDelta)); !errors.Is(err, ErrDecode) {
			f.Fatalf("schema %d: %v", id, err)
		}
	}
	f.Fuzz(func(t *testing.T, pick uint8, body []byte) {
		if n := int(pick) % (len(all) + len(hostile)); n >= len(all) {
			value := append(frame(n-len(all)+1), body...)
			var into StockDelta
			err := bounded(t, len(value), func() error { return foreign.DecodeStockDelta(t.Context(), value, &into) })
			if err == nil && len(into.Futures.Value) > 0 {
				t.Fatalf("elements of another type became futures: %s", jsonOf(t, into))
			}
			return
		}
		c := codecs(t)[int(pick)%(len(all)+len(hostile))]
		value := append(frame(embeddedID(c.record)), body...)
		direct, projected := c.empty(), c.empty()
		errDirect := bounded(t, len(value), func() error { return c.decode(compiled, value, direct) })
		errProjected := bounded(t, len(value), func() error { return c.decode(generic, value, projected) })
		if errors.Is(errDirect, ErrTooLarge) || errors.Is(errProjected, ErrTooLarge) {
			return // the two ways count differently
		}
		if (errDirect == nil) != (errProjected == nil) {
			t.Fatalf("compiled: %v\n  goavro: %v", errDirect, errProjected)
		}
		if errDirect == nil && jsonOf(t, direct) != jsonOf(t, projected) {
			t.Fatalf("compiled: %s\n  goavro: %s", jsonOf(t, direct), jsonOf(t, projected))
		}
	})
}

func bounded(t *testing.T, size int, decode func() error) error {
	t.Helper()
	var err error
	if took := allocated(func() { err = decode() }); took > decodeBytesMax {
		t.Fatalf("allocated %d for %d bytes: %v", took, size, err)
	}
	if err == nil {
		return nil
	}
	for _, known := range []error{ErrEmpty, ErrDecode, ErrWrongRecordType, ErrPrecision, ErrOverflow, ErrTooLarge} {
		if errors.Is(err, known) {
			return err
		}
	}
	t.Fatalf("an error that nobody can tell apart: %v", err)
	return err
}

// FuzzSchema gives any text as the schema of a writer, and any bytes as written with it.
func FuzzSchema(f *testing.F) {
	for i := range records {
		f.Add(record(i).text(), []byte{2, 'r', 2, 's', 2, 'l', 0, 0, 0, 0, 0, 0, 0})
	}
	for _, h := range hostile {
		f.Add(hostileSchema(h.element), hostileValue(h.bytes, h.block, 200)[5:])
	}
	f.Add(`{"type":"record","name":"StockDelta","fields":[{"name":"next","type":["null","StockDelta"]}]}`, []byte{2, 2, 2, 2, 0})
	f.Add(`["null",{"type":"record","name":"StockDelta","fields":[]}]`, []byte{2})
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		d := NewDecoder(Static{1: text}, DecoderOptions{})
		value := append(frame(1), body...)
		first := d.DecodeStockDelta(t.Context(), value, new(StockDelta))
		err := bounded(t, len(value), func() error { return d.DecodeStockDelta(t.Context(), value, new(StockDelta)) })
		if (first == nil) != (err == nil) {
			t.Fatalf("first %v, then %v", first, err)
		}
	})
}

// FuzzQuantity reads any bytes as a decimal of any scale: what is accepted has the value that math/big computes.
func FuzzQuantity(f *testing.F) {
	f.Add([]byte{0x27, 0x10}, uint8(3))
	f.Add([]byte{0xff, 0xff, 0x80}, uint8(2))
	f.Add(big0("999999999999999999000000", 11), uint8(9))
	f.Fuzz(func(t *testing.T, unscaled []byte, scale uint8) {
		at := int(scale) % (scaleMax + 1)
		got, err := milliOfScaled(unscaled, at)
		want := thousandths(unscaled, at)
		switch {
		case err == nil && (want == nil || want.Num().Int64() != int64(got) || !want.IsInt()):
			t.Fatalf("%x with scale %d: %s, want %s", unscaled, at, got, want)
		case errors.Is(err, ErrPrecision) && want.IsInt():
			t.Fatalf("%x with scale %d: refused as too precise: %s", unscaled, at, want)
		case errors.Is(err, ErrOverflow) && want.Num().IsInt64() && want.IsInt() && Milli(want.Num().Int64()).inRange():
			t.Fatalf("%x with scale %d: refused as too large: %s", unscaled, at, want)
		}
	})
}
