package topics

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Delta reads a record of stock-deltas. Futures are a new slice each time; what else into refers to is shared with nothing
// that changes.
func (r *Reader) Delta(ctx context.Context, rec *kgo.Record, into *availability.Delta) error {
	if err := r.checkSize(rec); err != nil {
		return err
	}
	d := &r.delta
	if err := r.decoder.DecodeStockDelta(ctx, rec.Value, d); err != nil {
		return undecoded(rec, err, "StockDelta")
	}
	if err := r.checkKey(rec, d.SKU); err != nil {
		return err
	}
	at, err := timestamp(rec)
	if err != nil {
		return err
	}
	err = firstOf(
		checkID("recordId", d.RecordID),
		checkSKU(d.SKU),
		checkPlace("location", d.Location),
		checkFields(d),
		checkQuantities(d),
		r.checkEffectiveDate(d, at),
	)
	if err != nil {
		return err
	}
	*into = availability.Delta{
		RecordID: d.RecordID, SKU: availability.SKU(d.SKU), Location: availability.LocationID(d.Location), Mode: availability.DeltaMode(d.Mode),
		OnHand: availability.Quantity(valueOr(d.OnHand, 0)), HasOnHand: d.OnHand.Valid || clears(d, schemas.FieldOnHand),
		SafetyStock: availability.Quantity(valueOr(d.SafetyStockCount, 0)), HasSafetyStock: d.SafetyStockCount.Valid || clears(d, schemas.FieldSafetyStockCount),
		HasFutures: d.Futures.Valid || clears(d, schemas.FieldFutures), EffectiveAt: instantOr(d.EffectiveDate, at), At: at,
	}
	into.Futures, err = futures(d)
	return err
}

func clears(d *schemas.StockDelta, field schemas.StockField) bool {
	return slices.Contains(d.Cleared, field)
}

// checkFields refuses values that do not go together.
func checkFields(d *schemas.StockDelta) error {
	others := d.SafetyStockCount.Valid || d.Futures.Valid || len(d.Cleared) > 0
	switch d.Mode {
	case schemas.ModeAdjust:
		if !d.OnHand.Valid || others {
			return refuse(CodeConflictingFields, "put the signed change into onHand, and everything else into an UPDATE of its own",
				"an ADJUST carries onHand and nothing else")
		}
	case schemas.ModeDelete:
		if d.OnHand.Valid || others {
			return refuse(CodeConflictingFields, "leave the values out, or send an UPDATE", "a DELETE carries no values")
		}
	case schemas.ModeUpdate:
		set := ""
		switch {
		case d.OnHand.Valid && clears(d, schemas.FieldOnHand):
			set = "onHand"
		case d.SafetyStockCount.Valid && clears(d, schemas.FieldSafetyStockCount):
			set = "safetyStockCount"
		case d.Futures.Valid && len(d.Futures.Value) > 0 && clears(d, schemas.FieldFutures):
			set = "futures"
		}
		if set != "" {
			return refuse(CodeConflictingFields, "either give the value or name it in cleared", "%s is both set and cleared", set)
		}
	}
	return nil
}

// checkQuantities refuses quantities below what they may be.
func checkQuantities(d *schemas.StockDelta) error {
	if d.Mode == schemas.ModeUpdate && d.OnHand.Valid && d.OnHand.Value < 0 {
		return refuse(CodeNegativeCount, "send a count of 0 or more, or the signed change as an ADJUST", "onHand of an UPDATE is %s", d.OnHand.Value)
	}
	if d.SafetyStockCount.Valid && d.SafetyStockCount.Value < 0 {
		return refuse(CodeNegativeSafetyStock, "send 0 or more", "safetyStockCount is %s", d.SafetyStockCount.Value)
	}
	return nil
}

// checkEffectiveDate refuses a date that is missing, out of range or not yet come.
func (r *Reader) checkEffectiveDate(d *schemas.StockDelta, at availability.Instant) error {
	if !d.EffectiveDate.Valid && d.Mode != schemas.ModeAdjust && !r.options.RelaxedEffectiveDate {
		return refuse(CodeMissingEffectiveDate, "say in effectiveDate when this was true at the location", "%s has no effectiveDate", d.Mode)
	}
	return firstOf(checkRange("effectiveDate", d.EffectiveDate), checkPast("effectiveDate", d.EffectiveDate, at))
}

// futures returns the restocks of a delta sorted by date, one per date, in memory of their own: cells keep them.
func futures(d *schemas.StockDelta) ([]availability.Future, error) {
	if !d.Futures.Valid || len(d.Futures.Value) == 0 {
		return nil, nil
	}
	list := make([]availability.Future, len(d.Futures.Value))
	var sum availability.Quantity
	for i, f := range d.Futures.Value {
		if f.Quantity <= 0 {
			return nil, refuse(CodeBadFuture, "leave out a future that brings nothing", "quantity of future %d is %s, and it must be above zero", i+1, f.Quantity)
		}
		if err := checkRange("expectedDate", schemas.Some(f.ExpectedDate)); err != nil {
			return nil, err
		}
		if sum += availability.Quantity(f.Quantity); sum > availability.MaxQuantity {
			return nil, refuse(CodeOverflow, "correct the quantities at their source and send them again", "the futures add up to more than %s", availability.MaxQuantity)
		}
		list[i] = availability.Future{Quantity: availability.Quantity(f.Quantity), Expected: availability.Instant(f.ExpectedDate)}
	}
	return availability.SortFutures(list), nil
}
