package processor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// dropping makes a processor drop overdue futures.
func dropping(o *processor.Options) { o.DropOverdue = true }

// expect tells of restocks of SKU-1 at a location, each of one unit, as of an effective date.
func (w *world) expect(location string, effective time.Time, dates ...time.Time) {
	w.Helper()
	list := schemas.List[schemas.Future]{}
	for _, at := range dates {
		list = append(list, schemas.Future{Quantity: 1000, ExpectedDate: schemas.MicrosOf(at)})
	}
	now := time.Now()
	w.send(w.writer.Delta(&schemas.StockDelta{RecordID: fmt.Sprint("f", now.UnixNano()), SKU: "SKU-1", Location: location, Mode: schemas.ModeUpdate,
		Futures: schemas.Some(list), EffectiveDate: micros(effective)}, now))
}

// expected is how many units the storefront sees coming at a place.
func (w *world) expected(place string) int64 {
	w.Helper()
	return int64(w.published()[place+"/SKU-1"].level.FutureQuantity / availability.Unit)
}

// drops are the instructions to drop futures that stand in the topic.
func (w *world) drops() (drops []topics.Instruction) {
	w.Helper()
	reader := topics.NewReader(w.decoder, topics.Options{})
	for _, r := range w.read(w.names.StockDeltas) {
		if topics.Instructs(r) {
			var i topics.Instruction
			w.must(reader.Instruction(r, &i))
			if i.Kind == topics.DropOverdue {
				drops = append(drops, i)
			}
		}
	}
	return drops
}

// indexed is how many futures the store's index has.
func (w *world) indexed() int {
	w.Helper()
	store := w.open()
	defer func() { _ = store.Close() }()
	n := 0
	for task := range w.partitions {
		due, err := store.Due(w.Context(), task, availability.Instant(time.Now().AddDate(200, 0, 0).UnixMicro()), 100)
		w.must(err)
		for _, d := range due {
			if d.Location != "" {
				n++
			}
		}
	}
	return n
}

// TestOverdueFuturesAreDropped has futures whose date comes while the processor runs, while it is stopped, and that were
// replaced before. Each is dropped once and promptly, and an older update does not bring it back.
func TestOverdueFuturesAreDropped(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(3, map[string][]int{"ALL": {0, 1, 2}}))
	r := w.start("a", dropping)
	began, later := time.Now(), time.Now().AddDate(0, 0, 9)
	due := began.Add(1500 * time.Millisecond)
	for i := range 3 {
		w.send(w.count(fmt.Sprint("c", i), "SKU-1", fmt.Sprintf("L0%d", i), 5))
	}
	w.expect("L00", began, due, later)
	w.expect("L01", began, due, due.Add(time.Millisecond), later)
	w.expect("L02", began, due)
	w.expect("L02", time.Now(), later)
	w.settled()
	if have := w.expected("ALL"); have != 6 || w.indexed() != 3 {
		t.Fatalf("%d are expected and %d dates watched, want 6 and 3", have, w.indexed())
	}
	w.eventually("all dropped", func() bool { return w.expected("ALL") == 3 })
	if late := time.Since(due); late > time.Second {
		t.Errorf("dropped %s after they were due", late)
	}
	w.expect("L00", began.Add(-time.Hour), due)
	w.settled()
	w.check()
	if have := w.drops(); len(have) != 3 {
		t.Errorf("dropped by %+v, want three instructions", have)
	}
	w.expect("L02", time.Now(), due)
	w.eventually("dropped once more, told of anew with the same date", func() bool { return len(w.drops()) == 4 && w.expected("L02") == 0 })
	w.expect("L02", time.Now(), due)
	w.eventually("dropped a third time", func() bool { return len(w.drops()) == 5 && w.expected("L02") == 0 })
	w.expect("L02", time.Now(), later)

	soon := time.Now().Add(300 * time.Millisecond)
	w.expect("L00", time.Now(), soon)
	w.settled()
	r.stop()
	w.expect("L01", time.Now(), soon, later)
	<-time.After(time.Until(soon.Add(100 * time.Millisecond)))
	// As one that was published by a process that died before it folded it.
	w.send(w.writer.Instruction(&topics.Instruction{Kind: topics.DropOverdue, SKU: "SKU-1", Location: "L00", Until: availability.Instant(soon.UnixMicro())}, time.Now()))
	w.start("a", dropping)
	w.eventually("dropped after the stop", func() bool { return w.expected("ALL") == 2 && w.indexed() == 2 })
	w.settled()
	w.check()
}

// TestFuturesAreKept: nothing is dropped where the setting says so, and what was watched under another setting leaves the
// index when it is due.
func TestFuturesAreKept(t *testing.T) {
	w := newWorld(t, 1)
	w.publish(graphOf(3, map[string][]int{"ALL": {0, 1, 2}}))
	r := w.start("a", dropping)
	due := time.Now().Add(time.Second)
	w.expect("L00", time.Now(), due)
	w.settled()
	r.stop()
	if have := w.indexed(); have != 1 {
		t.Fatalf("%d dates are watched, want 1", have)
	}
	w.start("a")
	w.expect("L01", time.Now(), due.AddDate(0, 0, 9))
	w.settled()
	w.eventually("nothing is watched", func() bool { return w.indexed() == 0 })
	<-time.After(time.Until(due.Add(200 * time.Millisecond)))
	w.settled()
	w.check()
	if have := w.drops(); len(have) > 0 || w.expected("ALL") != 2 {
		t.Errorf("dropped by %+v, %d are left, want 2", have, w.expected("ALL"))
	}
}

// TestReplayDropsUnderAnySetting makes the store forget drops, and replays them with the setting that keeps futures.
func TestReplayDropsUnderAnySetting(t *testing.T) {
	w := newWorld(t, 1)
	w.memory = cache.NewMemory()
	w.publish(graphOf(3, map[string][]int{"ALL": {0, 1, 2}}))
	r := w.start("a", dropping)
	w.send(w.count("c", "SKU-1", "L00", 5))
	w.settled()
	early := w.memory.Snapshot()
	w.expect("L00", time.Now(), time.Now().Add(200*time.Millisecond), time.Now().AddDate(0, 0, 9))
	w.eventually("dropped", func() bool { return w.expected("ALL") == 1 })
	w.settled()
	r.stop()
	w.memory.Restore(early)
	w.start("a")
	w.settled()
	w.check()
	if have := w.expected("ALL"); have != 1 {
		t.Errorf("%d are expected after the replay, want 1", have)
	}
}

// TestRepublishRisesAboveAForeignVersion puts levels of another writer into the topic, with a version that the task would
// not reach in years, and has the SKU published again.
func TestRepublishRisesAboveAForeignVersion(t *testing.T) {
	w := newWorld(t, 1)
	w.publish(graphOf(3, map[string][]int{"ALL": {0, 1, 2}}))
	r := w.start("a")
	w.send(w.count("c", "SKU-1", "L00", 5), w.reserve("q", "SKU-1", location("L00"), 2))
	w.settled()
	const foreign = 5000<<40 + 77
	for _, place := range []string{"L00", "L01", "GHOST"} {
		var record kgo.Record
		var arena topics.Arena
		level := availability.Level{SKU: "SKU-1", Place: availability.Place{Type: availability.LocationPlace, ID: place}, Present: place != "L00", NextExpectedAt: availability.None, EffectiveAt: availability.None}
		w.writer.Update(&record, &arena, &level, 0, &topics.Provenance{Version: foreign, GraphVersion: 1, ComputedAt: 1})
		w.send(&record)
	}
	w.send(w.writer.Instruction(&topics.Instruction{Kind: topics.Republish, SKU: "SKU-1", Above: foreign, Places: []string{"L01", "GHOST", "L02"}}, time.Now()))
	w.settled()
	w.check() // that no version went back, among others
	have := w.published()
	for _, place := range []string{"L00", "L01", "L02", "GHOST", "ALL"} {
		l, ok := have[place+"/SKU-1"]
		if want := place == "L00" || place == "ALL"; !ok || l.version <= foreign || l.level.Present != want {
			t.Errorf("%s: %+v", place, l)
		}
	}
	before := have["L00/SKU-1"].version
	w.send(w.adjust("d", "SKU-1", "L00", 1))
	w.settled()
	r.stop()
	w.start("a")
	w.send(w.adjust("e", "SKU-1", "L00", 1))
	w.settled()
	w.check()
	if after := w.published()["L00/SKU-1"].version; after>>40 <= before>>40 {
		t.Errorf("version %d after a restart, %d before", after, before)
	}
}

// TestUnknownInstructionIsADeadLetter sends one of another version, and one to the wrong partition, which is sent on.
func TestUnknownInstructionIsADeadLetter(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(3, map[string][]int{"ALL": {0, 1, 2}}))
	w.start("a")
	w.expect("L00", time.Now(), time.Now().AddDate(0, 0, 9))
	instruction := func() *kgo.Record {
		return w.writer.Instruction(&topics.Instruction{Kind: topics.DropOverdue, SKU: "SKU-1", Location: "L00", Until: availability.Instant(time.Now().AddDate(0, 0, 9).UnixMicro())}, time.Now())
	}
	unknown, misplaced := instruction(), instruction()
	unknown.Headers[0].Value = []byte("forget")
	misplaced.Partition = 1 - misplaced.Partition
	w.send(unknown, misplaced)
	w.eventually("dropped by the one sent on", func() bool { return w.expected("ALL") == 0 })
	w.settled()
	w.check()
	dead := w.read(w.names.DeadLetters)
	if len(dead) != 1 {
		t.Fatalf("%d dead letters, want 1", len(dead))
	}
	letter, err := topics.ReadDead(dead[0])
	w.must(err)
	if letter.Code != topics.CodeEmptyValue || len(letter.Headers) != 1 || dead[0].Value != nil {
		t.Errorf("%+v", letter)
	}
}
