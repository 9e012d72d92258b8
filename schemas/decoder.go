package schemas

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr"
)

// A Decoder decodes values that any producer wrote, each with the schema its id names. It may be used by any number of
// goroutines at once; a value whose schema id is known takes no lock and does no I/O.
//
// The Decode methods overwrite into whole; what it holds after an error is undefined. Nothing in it refers to value or
// to lists it held before, but a string equal to the one it held is kept, so a reused into saves allocations. The errors
// are the sentinels of this package, wrapped with the field or the schema id they are about.
type Decoder struct {
	known *known
}

// NewDecoder makes a decoder that asks lookup for the schemas it does not know.
func NewDecoder(lookup Lookup, options DecoderOptions) *Decoder {
	return &Decoder{known: newKnown(lookup, options)}
}

// DecodeStockDelta decodes a value of the topic stock-deltas.
func (d *Decoder) DecodeStockDelta(ctx context.Context, value []byte, into *StockDelta) error {
	w, body, err := d.open(ctx, value, recordStockDelta)
	if err != nil {
		return err
	}
	if w.generic == nil {
		r := newReader(body)
		r.stockDelta(into)
		return w.explain(r.finish())
	}
	rec, err := w.native(body)
	if err != nil {
		return err
	}
	var p projection
	p.stockDelta(rec, into)
	return w.explain(p.err)
}

// DecodeReservationEvent decodes a value of the topic reservation-events.
func (d *Decoder) DecodeReservationEvent(ctx context.Context, value []byte, into *ReservationEvent) error {
	w, body, err := d.open(ctx, value, recordReservationEvent)
	if err != nil {
		return err
	}
	if w.generic == nil {
		r := newReader(body)
		r.reservationEvent(into)
		return w.explain(r.finish())
	}
	rec, err := w.native(body)
	if err != nil {
		return err
	}
	var p projection
	p.reservationEvent(rec, into)
	return w.explain(p.err)
}

// DecodeReservationResult decodes a value of the topic reservation-results.
func (d *Decoder) DecodeReservationResult(ctx context.Context, value []byte, into *ReservationResult) error {
	w, body, err := d.open(ctx, value, recordReservationResult)
	if err != nil {
		return err
	}
	if w.generic == nil {
		r := newReader(body)
		r.reservationResult(into)
		return w.explain(r.finish())
	}
	rec, err := w.native(body)
	if err != nil {
		return err
	}
	var p projection
	p.reservationResult(rec, into)
	return w.explain(p.err)
}

// DecodeAvailabilityUpdate decodes a value of the topic availability-updates. A tombstone is ErrEmpty: look for it first.
func (d *Decoder) DecodeAvailabilityUpdate(ctx context.Context, value []byte, into *AvailabilityUpdate) error {
	w, body, err := d.open(ctx, value, recordAvailabilityUpdate)
	if err != nil {
		return err
	}
	if w.generic == nil {
		r := newReader(body)
		r.availabilityUpdate(into)
		return w.explain(r.finish())
	}
	rec, err := w.native(body)
	if err != nil {
		return err
	}
	var p projection
	p.availabilityUpdate(rec, into)
	return w.explain(p.err)
}

// DecodeLocationGraph decodes a value of the topic location-graph.
func (d *Decoder) DecodeLocationGraph(ctx context.Context, value []byte, into *LocationGraph) error {
	w, body, err := d.open(ctx, value, recordLocationGraph)
	if err != nil {
		return err
	}
	if w.generic == nil {
		r := newReader(body)
		r.locationGraph(into)
		return w.explain(r.finish())
	}
	rec, err := w.native(body)
	if err != nil {
		return err
	}
	var p projection
	p.locationGraph(rec, into)
	return w.explain(p.err)
}

// open takes the frame off and finds the writer's schema, which must be of that record.
func (d *Decoder) open(ctx context.Context, value []byte, want record) (*writer, []byte, error) {
	if len(value) == 0 {
		return nil, nil, ErrEmpty
	}
	if len(value) > ValueBytesMax {
		return nil, nil, fmt.Errorf("%w: value of %d bytes, at most %d are read", ErrTooLarge, len(value), ValueBytesMax)
	}
	var header sr.ConfluentHeader
	id, body, err := header.DecodeID(value)
	if err != nil {
		return nil, nil, frameError(value)
	}
	w, err := d.known.writer(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("schema %d: %w", id, err)
	}
	if w.err != nil {
		return nil, nil, fmt.Errorf("schema %d: %w", id, w.err)
	}
	if w.record != want {
		return nil, nil, fmt.Errorf("schema %d: %w: it describes %s, not %s", id, ErrWrongRecordType, w.name, want)
	}
	return w, body, nil
}

// frameError says what is wrong with the first five bytes.
func frameError(value []byte) error {
	switch {
	case value[0] == 1 && len(value) > 16:
		return fmt.Errorf("%w: framed with a schema GUID; producers must frame with the 4-byte schema id", ErrDecode)
	case value[0] != 0:
		return fmt.Errorf("%w: first byte %#02x is not the 0x00 of the schema registry's wire format", ErrDecode, value[0])
	}
	return fmt.Errorf("%w: %d bytes, too short for a schema id", ErrDecode, len(value))
}
