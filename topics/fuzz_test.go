package topics

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// FuzzReader feeds any record to every method of a Reader. What comes out must be an event that keeps the promises of the
// types of package availability, or a refusal of the closed list with a message that can be printed; and a dead letter of
// the record must lead back to it.
func FuzzReader(f *testing.F) {
	var update, result kgo.Record
	var arena Arena
	writer := newWriter(f)
	writer.Update(&update, &arena, goodLevel(), 5, goodProvenance())
	writer.Result(&result, &arena, &Decision{Source: Source{"t", 0, 0}, SKU: "sku-1"}, 0)
	seeds := []*kgo.Record{deltaRecord(f, "sku-1"), writer.Event(goodEvent("sku-1")), writer.Graph(goodGraph()), &update, &result}
	for _, p := range deltaProvocations(f) {
		if len(p.rec.Value) < 1000 {
			seeds = append(seeds, p.rec)
		}
	}
	for _, rec := range seeds {
		cause, _ := header(rec, HeaderCause)
		f.Add(rec.Key, rec.Value, cause, rec.Timestamp.UnixMilli(), rec.Partition)
	}
	reader := newReader(f, Options{Partitions: 8})
	f.Fuzz(func(t *testing.T, key, value, cause []byte, millis int64, partition int32) {
		rec := &kgo.Record{Topic: "acme.stock-deltas", Partition: partition, Offset: 5, Key: key, Value: value, Timestamp: time.UnixMilli(millis)}
		if cause != nil {
			rec.Headers = []kgo.RecordHeader{{Key: HeaderCause, Value: cause}, {Key: HeaderVersion, Value: cause}, {Key: HeaderAfter, Value: []byte("7")}}
		}
		var d availability.Delta
		if err := reader.Delta(t.Context(), rec, &d); checkOutcome(t, rec, err) {
			checkDelta(t, rec, &d)
		}
		var e availability.ReservationEvent
		if err := reader.Event(t.Context(), rec, &e); checkOutcome(t, rec, err) {
			checkReservationEvent(t, rec, &e)
		}
		spec, _, err := reader.Graph(t.Context(), rec)
		if checkOutcome(t, rec, err) {
			if _, err := spec.Compile(); err != nil {
				t.Errorf("a graph was read that does not compile: %v", err)
			}
		}
		var decision Decision
		checkOutcome(t, rec, reader.Result(t.Context(), rec, &decision))
		var level availability.Level
		var from Provenance
		checkOutcome(t, rec, reader.Update(t.Context(), rec, &level, &from))
		if to, misplaced := reader.Misplaced(rec); misplaced && (to == partition || to < 0 || to >= 8) {
			t.Errorf("sent on from %d to %d", partition, to)
		}
	})
}

// checkOutcome says whether the record was read, and wants a proper refusal where it was not.
func checkOutcome(t *testing.T, rec *kgo.Record, err error) bool {
	t.Helper()
	if err == nil {
		return true
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal, and the registry can be asked", err)
	}
	checkMessage(t, refusal)
	listed := false
	for _, code := range Codes() {
		listed = listed || code == refusal.Code
	}
	dead, err := ReadDead(newWriter(t).DeadLetter(rec, refusal))
	if !listed || rec.Partition >= 0 && (err != nil || dead.Source != SourceAt(rec) || dead.Code != refusal.Code || dead.Message != refusal.Message) {
		t.Errorf("%v became the dead letter %+v, %v", refusal, dead, err)
	}
	return false
}

func checkDelta(t *testing.T, rec *kgo.Record, d *availability.Delta) {
	t.Helper()
	if string(d.SKU) != string(rec.Key) || availability.CheckSKU(string(d.SKU)) != nil || availability.CheckPlaceID(string(d.Location)) != nil || d.RecordID == "" {
		t.Errorf("ids of %+v", d)
	}
	if d.EffectiveAt == availability.None || d.EffectiveAt > d.At+aheadMax || d.At != availability.Instant(rec.Timestamp.UnixMicro()) {
		t.Errorf("dates of %+v", d)
	}
	others := d.HasSafetyStock || d.HasFutures
	switch d.Mode {
	case availability.Adjust:
		if !d.HasOnHand || others {
			t.Errorf("values of an Adjust: %+v", d)
		}
	case availability.Delete:
		if d.HasOnHand || others {
			t.Errorf("values of a Delete: %+v", d)
		}
	case availability.Update:
		if d.OnHand < 0 || d.SafetyStock < 0 {
			t.Errorf("values of an Update: %+v", d)
		}
	default:
		t.Errorf("mode of %+v", d)
	}
	if max(d.OnHand, -d.OnHand, d.SafetyStock) > availability.MaxQuantity {
		t.Errorf("quantities of %+v", d)
	}
	for i, future := range d.Futures {
		if future.Quantity <= 0 || future.Quantity > availability.MaxQuantity || i > 0 && future.Expected <= d.Futures[i-1].Expected {
			t.Errorf("future %d of %+v", i, d)
		}
	}
}

func checkReservationEvent(t *testing.T, rec *kgo.Record, e *availability.ReservationEvent) {
	t.Helper()
	if string(e.SKU) != string(rec.Key) || e.RequestID == "" || e.ReservationID == "" || e.Action > availability.Release {
		t.Errorf("ids of %+v", e)
	}
	for _, id := range []string{string(e.Location), string(e.Group), string(e.ToLocation), string(e.ToGroup)} {
		if id != "" && availability.CheckPlaceID(id) != nil {
			t.Errorf("places of %+v", e)
		}
	}
	if e.EventAt > e.At+aheadMax || max(e.Quantity, -e.Quantity) > availability.MaxQuantity {
		t.Errorf("dates or quantity of %+v", e)
	}
	var again availability.ReservationEvent
	if err := NewReader(newDecoder(), Options{}).Event(t.Context(), newWriter(t).Event(e), &again); err != nil || again != *e {
		t.Errorf("%+v is written and read as %+v, %v", e, again, err)
	}
}

// A refusal and a dead letter of the largest hostile record cost a bounded amount of memory.
func TestHostileRecordsCostBoundedMemory(t *testing.T) {
	const boundBytes = 24 << 20
	futures := make(schemas.List[schemas.Future], 80_000)
	for i := range futures {
		futures[i] = schemas.Future{Quantity: 1, ExpectedDate: schemas.Micros(80_000 - i)}
	}
	many := deltaWith(t, func(d *schemas.StockDelta) { d.Futures = schemas.Some(futures) })
	cleared := make(schemas.List[schemas.StockField], 1<<20-100)
	for i := range cleared {
		cleared[i] = schemas.FieldFutures
	}
	reader := newReader(t, Options{Partitions: 8})
	for name, rec := range map[string]*kgo.Record{
		"many futures": many,
		"many cleared": deltaWith(t, func(d *schemas.StockDelta) { d.Cleared = cleared }),
		"long SKU":     newWriter(t).Delta(goodDelta(string(make([]byte, 250<<10))), sent),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := readDelta(t, reader, rec); err != nil {
			newWriter(t).DeadLetter(rec, refusalOf(t, err))
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > boundBytes {
			t.Errorf("%s: %d bytes, at most %d", name, got, boundBytes)
		}
	}
	var d availability.Delta
	if err := reader.Delta(t.Context(), many, &d); err != nil || len(d.Futures) != len(futures) {
		t.Errorf("%d futures of %d, %v", len(d.Futures), len(futures), err)
	}
}
