package topics

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Event reads a record of reservation-events.
func (r *Reader) Event(ctx context.Context, rec *kgo.Record, into *availability.ReservationEvent) error {
	if err := r.checkSize(rec); err != nil {
		return err
	}
	e := &r.event
	if err := r.decoder.DecodeReservationEvent(ctx, rec.Value, e); err != nil {
		return undecoded(rec, err, "ReservationEvent")
	}
	if err := r.checkKey(rec, e.SKU); err != nil {
		return err
	}
	at, err := timestamp(rec)
	if err != nil {
		return err
	}
	if err := checkEvent(e, at); err != nil {
		return err
	}
	*into = availability.ReservationEvent{
		RequestID: e.RequestID, ReservationID: e.ReservationID, SKU: availability.SKU(e.SKU), Action: availability.Action(e.Action),
		Quantity: availability.Quantity(valueOr(e.Quantity, 0)), HasQuantity: e.Quantity.Valid,
		Location: availability.LocationID(valueOr(e.Location, "")), ToLocation: availability.LocationID(valueOr(e.ToLocation, "")),
		Group: availability.GroupID(valueOr(e.Group, "")), ToGroup: availability.GroupID(valueOr(e.ToGroup, "")),
		RefusePartial: !e.AllowPartial, FulfillOnly: e.FulfillOnly, IgnoreAvailabilityCheck: e.IgnoreAvailabilityCheck,
		EventAt: instantOr(e.EventTime, availability.None), ExpiresAt: instantOr(e.ExpiresAt, availability.None),
		ExternalRefID: valueOr(e.ExternalRefID, ""), At: at,
	}
	return nil
}

// checkEvent tests a reservation event as far as that is no matter of a decision. What the event asks for, a quantity
// below zero included, is answered by a result.
func checkEvent(e *schemas.ReservationEvent, at availability.Instant) error {
	return firstOf(
		checkID("requestId", e.RequestID),
		checkID("reservationId", e.ReservationID),
		checkSKU(e.SKU),
		checkOptionalPlace("location", e.Location),
		checkOptionalPlace("group", e.Group),
		checkOptionalPlace("toLocation", e.ToLocation),
		checkOptionalPlace("toGroup", e.ToGroup),
		checkRange("eventTime", e.EventTime),
		checkRange("expiresAt", e.ExpiresAt),
		checkPast("eventTime", e.EventTime, at),
	)
}
