package processor_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"onhand/processor/availability"
	"onhand/topics"
)

// damagedStore cannot read one SKU while it is damaged.
type damagedStore struct {
	closingStore
	sku     availability.SKU
	damaged *atomic.Bool
}

func (s *damagedStore) Load(ctx context.Context, task int32, g *availability.Graph, wants []availability.Want) ([]availability.StockData, availability.CommitID, error) {
	data, id, err := s.closingStore.Load(ctx, task, g, wants)
	for i := range wants {
		if wants[i].SKU == s.sku && s.damaged.Load() {
			var bad availability.CorruptError
			bad.Add(s.sku, fmt.Errorf("%w: by a test", availability.ErrCorrupt))
			return nil, id, &bad
		}
	}
	return data, id, err
}

// TestASKUThatIsUnreadableInAReplayIsPassedOver lets a store go back, with one SKU damaged that records are to be replayed
// of. The other SKU of the task is recovered. What was published and decided of the damaged one stays; what comes of it later
// is a dead letter. With a good copy of the store restored, nothing is missing but those, and they are applied when they are
// put back.
func TestASKUThatIsUnreadableInAReplayIsPassedOver(t *testing.T) {
	w, _ := newForgetful(t)
	var damaged atomic.Bool
	w.stored = func(_ string, s closingStore) closingStore { return &damagedStore{s, "BAD", &damaged} }
	partition := topics.PartitionOf("BAD", w.partitions)
	good := "GOOD"
	for topics.PartitionOf(good, w.partitions) != partition {
		good += "+"
	}
	r := w.start("a")
	w.send(w.count("c1", "BAD", "L00", 5), w.count("c2", good, "L00", 5))
	w.settled()
	backup := w.memory.Snapshot()
	w.send(w.reserve("r1", "BAD", group("EAST"), 2), w.adjust("a1", "BAD", "L00", 3), w.adjust("a2", good, "L00", 4))
	w.settled()
	before := w.published()
	r.stop()
	w.memory.Restore(backup)
	damaged.Store(true)

	r = w.start("a")
	later := w.adjust("a3", "BAD", "L00", 1)
	w.send(w.reserve("r2", "BAD", group("EAST"), 1), later, w.adjust("a4", good, "L00", 1))
	w.settled()
	have := w.published()
	if on := have["L00/"+good].level.OnHand; on != 10*availability.Unit {
		t.Errorf("on hand of the other SKU %s, want 10", on)
	}
	for _, key := range []string{"L00/BAD", "EAST/BAD"} {
		if have[key].version != before[key].version {
			t.Errorf("%s was published while it is damaged: %+v", key, have[key].level)
		}
	}
	if n := len(w.read(w.names.ReservationResults)); n != 1 {
		t.Errorf("%d results, want that of the reservation before", n)
	}
	dead := w.read(w.names.DeadLetters)
	for _, r := range dead {
		if letter, err := topics.ReadDead(r); err != nil || letter.Code != topics.CodeCorruptState {
			t.Errorf("dead letter %+v: %v", letter, err)
		}
	}
	if len(dead) != 2 {
		t.Fatalf("%d dead letters, want the 2 records that came after the damage", len(dead))
	}
	r.stop()

	w.memory.Restore(backup)
	damaged.Store(false)
	w.start("a")
	w.settled()
	w.check()
	later.Offset, later.Timestamp = 0, time.Now()
	w.send(later)
	w.settled()
	if on := w.published()["L00/BAD"].level.OnHand; on != 9*availability.Unit {
		t.Errorf("on hand %s with the dead letter put back, want 9", on)
	}
	w.check()
}

// leftoverStore has entries in its index of expiries that no reservation stands behind, as where somebody has deleted those.
type leftoverStore struct {
	closingStore
	sku       availability.SKU
	leftovers *atomic.Int64
}

func (s *leftoverStore) Due(ctx context.Context, task int32, until availability.Instant, limit int) ([]availability.Due, error) {
	var due []availability.Due
	for n := range s.leftovers.Load() {
		due = append(due, availability.Due{At: availability.Instant(n), SKU: s.sku, ReservationID: fmt.Sprint("gone-", n)})
	}
	found, err := s.closingStore.Due(ctx, task, until, limit)
	due = append(due, found...)
	return due[:min(len(due), limit)], err
}

// TestEntriesWithNothingBehindThemHoldNoExpiryUp has more of them than one look at the index returns.
func TestEntriesWithNothingBehindThemHoldNoExpiryUp(t *testing.T) {
	w := newWorld(t, 1)
	var leftovers atomic.Int64
	w.stored = func(_ string, s closingStore) closingStore { return &leftoverStore{s, "SKU-1", &leftovers} }
	w.publish(graphOf(3, overlap()))
	w.start("a")
	w.send(w.count("c1", "SKU-1", "L00", 5))
	w.settled()
	leftovers.Store(1200)
	now := time.Now()
	w.send(w.writer.Event(&availability.ReservationEvent{RequestID: "r", ReservationID: "r", SKU: "SKU-1", Location: "L00", Quantity: availability.Unit, HasQuantity: true,
		EventAt: availability.None, At: availability.Instant(now.UnixMicro()), ExpiresAt: availability.Instant(now.Add(200 * time.Millisecond).UnixMicro())}))
	w.eventually("the reservation is released", func() bool { return len(w.read(w.names.ReservationResults)) == 2 })
	w.settled()
	w.check()
}
