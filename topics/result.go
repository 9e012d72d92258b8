package topics

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Decision is a record of reservation-results: the decision on a reservation event, and which event that was.
type Decision struct {
	Source        Source // where the reservation event stands
	After         int64  // next offset of stock-deltas when it was decided, in the same partition
	RequestID     string
	ReservationID string
	SKU           availability.SKU
	Action        availability.Action
	Result        availability.Result
}

// Result reads a record of reservation-results. Two events may share a request id: what tells them apart is the source.
func (r *Reader) Result(ctx context.Context, rec *kgo.Record, into *Decision) error {
	d := &r.result
	if err := r.decoder.DecodeReservationResult(ctx, rec.Value, d); err != nil {
		return undecoded(rec, err, "ReservationResult")
	}
	source, err := SourceOf(rec)
	if err != nil {
		return refuse(CodeDecode, "let onhand alone write results", "%v", err)
	}
	text, _ := header(rec, HeaderAfter)
	after, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || after < 0 {
		return refuse(CodeDecode, "let onhand alone write results", "%.40q in the header %s is no offset", text, HeaderAfter)
	}
	*into = Decision{
		Source: source, After: after, RequestID: d.RequestID, ReservationID: d.ReservationID, SKU: availability.SKU(d.SKU), Action: availability.Action(d.Action),
		Result: availability.Result{
			Outcome:   availability.ResultOutcome(d.Outcome),
			Requested: availability.Quantity(d.Requested), Granted: availability.Quantity(d.Granted),
			ErrorCode: valueOr(d.ErrorCode, ""), Message: valueOr(d.Message, ""), Version: d.Version,
		},
	}
	for _, g := range d.TightGroups {
		into.Result.TightGroups = append(into.Result.TightGroups, availability.GroupID(g))
	}
	return nil
}

// record fills in the record of the decision, whose memory for groups is used again.
func (d *Decision) record(into *schemas.ReservationResult) {
	tight := into.TightGroups[:0]
	for _, g := range d.Result.TightGroups {
		tight = append(tight, string(g))
	}
	*into = schemas.ReservationResult{
		RequestID: d.RequestID, ReservationID: d.ReservationID, SKU: string(d.SKU), Action: schemas.Action(d.Action),
		Outcome:   schemas.Outcome(d.Result.Outcome),
		Requested: schemas.Milli(d.Result.Requested), Granted: schemas.Milli(d.Result.Granted),
		ErrorCode: optional(d.Result.ErrorCode), Message: optional(d.Result.Message),
		TightGroups: tight, Version: d.Result.Version,
	}
}

func optional(text string) schemas.Optional[string] {
	return schemas.Optional[string]{Value: text, Valid: text != ""}
}
