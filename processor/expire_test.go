package processor_test

import (
	"fmt"
	"testing"
	"time"

	"onhand/processor/availability"
)

// TestReservationsExpire makes reservations that fall due while the processor runs, while it is stopped, and in a record
// that is read after its expiry, and some that are fulfilled before. Each is released once, promptly.
func TestReservationsExpire(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(3, overlap()))
	r := w.start("a")
	for i := range 3 {
		w.send(w.count(fmt.Sprint("c", i), "SKU-1", fmt.Sprintf("L0%d", i), 50))
	}
	hold := func(id string, p availability.Place, after time.Duration) *availability.ReservationEvent {
		now := time.Now()
		e := &availability.ReservationEvent{RequestID: id, ReservationID: id, SKU: "SKU-1", Quantity: 2 * availability.Unit, HasQuantity: true,
			EventAt: availability.None, At: availability.Instant(now.UnixMicro()), ExpiresAt: availability.Instant(now.Add(after).UnixMicro())}
		if p.Type == availability.GroupPlace {
			e.Group = availability.GroupID(p.ID)
		} else {
			e.Location = availability.LocationID(p.ID)
		}
		w.send(w.writer.Event(e))
		return e
	}
	var due time.Time
	for i := range 10 {
		hold(fmt.Sprint("r", i), []availability.Place{location("L01"), group("EAST")}[i%2], 1500*time.Millisecond)
		due = time.Now().Add(1500 * time.Millisecond)
	}
	fulfilled := hold("f", location("L02"), 1500*time.Millisecond)
	fulfilled.RequestID, fulfilled.Action, fulfilled.ExpiresAt = "f2", availability.Fulfill, availability.None
	w.send(w.writer.Event(fulfilled))
	w.settled()
	ato := func() availability.Quantity { return w.published()["EAST/SKU-1"].level.ATO }
	if have := ato(); have != 80*availability.Unit {
		t.Fatalf("ATO %s while 20 are held, want 80", have)
	}
	w.eventually("all released", func() bool { return ato() == 100*availability.Unit })
	if late := time.Since(due); late > time.Second {
		t.Errorf("released %s after they were due", late)
	}
	hold("stopped", group("WEST"), 300*time.Millisecond)
	w.settled()
	r.stop()
	hold("unread", location("L00"), 50*time.Millisecond)
	<-time.After(400 * time.Millisecond) // both fall due while nobody is there
	w.start("a")
	// 12 reservations and the release of each but the one that was fulfilled, with the fulfilment.
	w.eventually("released after the stop", func() bool { return len(w.read(w.names.ReservationResults)) == 26 && ato() == 100*availability.Unit })
	w.settled()
	w.check()
	if have := w.published()["L02/SKU-1"].level.OnHand; have != 48*availability.Unit {
		t.Errorf("on hand %s after a fulfilment before its expiry, want 48", have)
	}
}
