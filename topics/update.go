package topics

import (
	"context"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Provenance is what an update says of its level besides the level.
type Provenance struct {
	Version      int64
	GraphVersion int64                // not in a tombstone
	ComputedAt   availability.Instant // the time of the record too, in milliseconds; of a tombstone only that
	Cause        Source               // the newest input that changed the level; nowhere where there was none
	Trace        Trace                // of the cause
}

// Update reads a record of availability-updates. A tombstone is a level that is not present, of a place of no type.
func (r *Reader) Update(ctx context.Context, rec *kgo.Record, level *availability.Level, from *Provenance) error {
	version, _ := header(rec, HeaderVersion)
	*from = Provenance{Trace: TraceOf(rec)}
	var err error
	if from.Version, err = strconv.ParseInt(string(version), 10, 64); err != nil {
		return refuse(CodeDecode, "let onhand alone write levels", "header %s %.40q is no version", HeaderVersion, version)
	}
	if cause, ok := header(rec, HeaderCause); ok {
		if from.Cause, err = ParseSource(string(cause)); err != nil {
			return refuse(CodeDecode, "let onhand alone write levels", "%v", err)
		}
	}
	if rec.Value == nil {
		from.ComputedAt = availability.Instant(rec.Timestamp.UnixMicro())
		place, sku, ok := strings.Cut(string(rec.Key), "/")
		if !ok {
			return refuse(CodeKeyMismatch, "let onhand alone write levels", "key %.250q is not place/SKU", rec.Key)
		}
		*level = availability.Level{SKU: availability.SKU(sku), Place: availability.Place{ID: place}, EffectiveAt: availability.None, NextExpectedAt: availability.None}
		return nil
	}
	u := &r.update
	if err := r.decoder.DecodeAvailabilityUpdate(ctx, rec.Value, u); err != nil {
		return undecoded(rec, err, "AvailabilityUpdate")
	}
	if u.Version != from.Version || string(rec.Key) != u.Place+"/"+u.SKU {
		return refuse(CodeKeyMismatch, "let onhand alone write levels", "key %.250q and version %d do not fit the level of %q at %q of version %d",
			rec.Key, from.Version, u.SKU, u.Place, u.Version)
	}
	from.GraphVersion, from.ComputedAt = u.GraphVersion, availability.Instant(u.ComputedAt)
	*level = levelOf(u)
	return nil
}

func levelOf(u *schemas.AvailabilityUpdate) availability.Level {
	l := availability.Level{
		SKU: availability.SKU(u.SKU), Place: availability.Place{Type: availability.LocationPlace, ID: u.Place}, Present: true,
		OnHand: availability.Quantity(u.OnHand), Reserved: availability.Quantity(u.Reserved),
		GroupReserved: availability.Quantity(u.GroupReserved), SharedGroupReserved: availability.Quantity(u.SharedGroupReserved),
		SafetyStock: availability.Quantity(u.SafetyStockCount), FutureQuantity: availability.Quantity(u.FutureQuantity),
		NextExpectedAt: instantOr(u.NextExpectedDate, availability.None), ATF: availability.Quantity(u.ATF), ATO: availability.Quantity(u.ATO),
		Shortfall: availability.Quantity(u.Shortfall), EffectiveAt: instantOr(u.EffectiveDate, availability.None),
	}
	if u.PlaceType == schemas.PlaceGroup {
		l.Place.Type = availability.GroupPlace
	}
	for _, f := range u.Futures {
		l.Futures = append(l.Futures, availability.Future{Quantity: availability.Quantity(f.Quantity), Expected: availability.Instant(f.ExpectedDate)})
	}
	return l
}

// UpdateRecord fills in the record of a level that is present, whose memory for futures is used again. For printing, as
// for writing: the JSON form of the record has the field names of the schema.
func UpdateRecord(level *availability.Level, from *Provenance, into *schemas.AvailabilityUpdate) {
	list := into.Futures[:0]
	for _, f := range level.Futures {
		list = append(list, schemas.Future{Quantity: schemas.Milli(f.Quantity), ExpectedDate: schemas.Micros(f.Expected)})
	}
	*into = schemas.AvailabilityUpdate{
		Place: level.Place.ID, PlaceType: schemas.PlaceLocation, SKU: string(level.SKU),
		OnHand: schemas.Milli(level.OnHand), Reserved: schemas.Milli(level.Reserved),
		GroupReserved: schemas.Milli(level.GroupReserved), SharedGroupReserved: schemas.Milli(level.SharedGroupReserved),
		SafetyStockCount: schemas.Milli(level.SafetyStock), Futures: list, FutureQuantity: schemas.Milli(level.FutureQuantity),
		NextExpectedDate: optionalTime(level.NextExpectedAt), ATF: schemas.Milli(level.ATF), ATO: schemas.Milli(level.ATO),
		Shortfall: schemas.Milli(level.Shortfall), EffectiveDate: optionalTime(level.EffectiveAt),
		GraphVersion: from.GraphVersion, Version: from.Version, ComputedAt: schemas.Micros(from.ComputedAt),
	}
	if level.Place.Type == availability.GroupPlace {
		into.PlaceType = schemas.PlaceGroup
	}
}

func optionalTime(t availability.Instant) schemas.Optional[schemas.Micros] {
	if t == availability.None {
		return schemas.Optional[schemas.Micros]{}
	}
	return schemas.Some(schemas.Micros(t))
}
