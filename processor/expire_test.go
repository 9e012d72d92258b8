package processor_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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

var expiriesFlag = flag.Int("expiries", 1200, "how many reservations TestWhatFellDueIsReleasedInBursts lets expire")

// TestWhatFellDueIsReleasedInBursts lets more reservations fall due while nobody is there than one transaction may release.
func TestWhatFellDueIsReleasedInBursts(t *testing.T) {
	const burst = 500 // releases of a task in one transaction
	w := newWorld(t, 2)
	w.publish(graphOf(1, nil))
	r := w.start("a")
	n := *expiriesFlag
	due := time.Now().Add(time.Second + time.Duration(n)*50*time.Microsecond)
	sku := func(i int) availability.SKU { return availability.SKU(fmt.Sprintf("SKU-%d", i%100)) }
	for i := range 100 {
		w.send(w.count(fmt.Sprint("c", i), string(sku(i)), "L00", int64(n)))
	}
	for from := 0; from < n; from += 1000 {
		var records []*kgo.Record
		for i := from; i < min(n, from+1000); i++ {
			id := fmt.Sprint("r", i)
			records = append(records, w.writer.Event(&availability.ReservationEvent{
				RequestID: id, ReservationID: id, SKU: sku(i), Location: "L00", Quantity: availability.Unit, HasQuantity: true,
				EventAt: availability.None, At: availability.Instant(time.Now().UnixMicro()), ExpiresAt: availability.Instant(due.UnixMicro()),
			}))
		}
		w.send(records...)
	}
	w.settled()
	r.stop()
	if left := time.Until(due); left > 0 {
		<-time.After(left)
	} else {
		t.Logf("%s too late for all to be held at the stop", -left)
	}
	before := w.lastOffsets()[w.names.ReservationEvents]
	began := time.Now()
	w.start("a")
	w.eventually("all released", func() bool { return len(w.read(w.names.ReservationResults)) == 2*n })
	t.Logf("%d reservations that were due are released %s after the start", n, time.Since(began).Round(time.Millisecond))
	w.settled()
	w.check()
	most, run := 0, 0
	var last *kgo.Record
	for _, r := range w.read(w.names.ReservationEvents) {
		if r.Offset < before[r.Partition] {
			continue
		}
		if last == nil || r.Partition != last.Partition || r.Offset != last.Offset+1 { // the end of a transaction takes an offset
			run = 0
		}
		run++
		last, most = r, max(most, run)
	}
	if most > burst || most < min(burst, n/4) {
		t.Errorf("a transaction has up to %d releases of a task, want no more than %d", most, burst)
	}
}
