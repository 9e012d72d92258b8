package processor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// TestBadInputEndsInDeadLetters sends one record of each kind to a running processor, good ones between them. Each ends in
// dead-letters, untouched, with its code and an explanation; all others are applied, and the partition goes on.
func TestBadInputEndsInDeadLetters(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(3, overlap()))
	w.start("a")
	bad := badRecords(w)
	w.send(w.count("base", "SKU-1", "L00", 100))
	for i, b := range bad {
		copied := *b.record
		w.send(&copied, w.adjust(fmt.Sprint("good", i), "SKU-1", "L00", 1))
	}
	w.settled()
	found := make(map[topics.Code]*kgo.Record)
	for _, r := range w.read(w.names.DeadLetters) {
		dead, err := topics.ReadDead(r)
		w.must(err)
		if found[dead.Code] != nil {
			t.Errorf("%s came twice", dead.Code)
		}
		found[dead.Code] = r
		if dead.Message == "" || dead.Source.Topic == "" {
			t.Errorf("%s has no explanation or no source: %+v", dead.Code, dead)
		}
	}
	for _, b := range bad {
		r := found[b.code]
		if r == nil {
			t.Errorf("%s is not in dead-letters", b.code)
			continue
		}
		if string(r.Key) != string(b.record.Key) || string(r.Value) != string(b.record.Value) || r.Timestamp.UnixMilli() != b.record.Timestamp.UnixMilli() {
			t.Errorf("%s: key, value or timestamp were touched", b.code)
		}
	}
	if len(found) != len(bad) || len(bad) != len(topics.Codes())-1 { // CORRUPT_STATE is not the record's fault: corrupt_test.go
		t.Errorf("%d codes found, %d sent, %d exist", len(found), len(bad), len(topics.Codes()))
	}
	want := availability.Quantity(100+len(bad)) * availability.Unit
	if have := w.published()["L00/SKU-1"].level.OnHand; have != want {
		t.Errorf("on hand %s, want %s: the good records between the bad ones", have, want)
	}
	w.check()
}

type badRecord struct {
	code   topics.Code
	record *kgo.Record
}

func badRecords(w *world) []badRecord {
	now := time.Now()
	delta := func(change func(*schemas.StockDelta)) *kgo.Record {
		d := schemas.StockDelta{RecordID: "bad", SKU: "SKU-1", Location: "L00", Mode: schemas.ModeUpdate, OnHand: milli(7), EffectiveDate: micros(now)}
		change(&d)
		return w.writer.Delta(&d, now)
	}
	raw := func(key string, value []byte) *kgo.Record {
		return &kgo.Record{Topic: w.names.StockDeltas, Partition: topics.PartitionOf(key, w.partitions), Key: []byte(key), Value: value, Timestamp: now}
	}
	unknownSchema := delta(func(*schemas.StockDelta) {})
	unknownSchema.Value[4] = 99
	otherType := w.reserve("x", "SKU-1", location("L00"), 1)
	otherType.Topic = w.names.StockDeltas
	mismatch := delta(func(d *schemas.StockDelta) { d.SKU = "SKU-2" })
	mismatch.Key, mismatch.Partition = []byte("SKU-1"), topics.PartitionOf("SKU-1", w.partitions)
	huge := schemas.Optional[schemas.Milli]{Value: schemas.Milli(availability.MaxQuantity), Valid: true}
	return []badRecord{
		{topics.CodeDecode, raw("SKU-1", []byte{1, 2, 3})},
		{topics.CodeUnknownSchema, unknownSchema},
		{topics.CodeWrongRecordType, otherType},
		{topics.CodeEmptyValue, raw("SKU-1", nil)},
		{topics.CodeKeyMismatch, mismatch},
		{topics.CodeMalformedID, delta(func(d *schemas.StockDelta) { d.Location = "no place" })},
		{topics.CodeUnknownLocation, delta(func(d *schemas.StockDelta) { d.Location = "NOWHERE" })},
		{topics.CodeNegativeCount, delta(func(d *schemas.StockDelta) { d.OnHand = milli(-1) })},
		{topics.CodeNegativeSafetyStock, delta(func(d *schemas.StockDelta) { d.SafetyStockCount = milli(-1) })},
		{topics.CodeBadFuture, delta(func(d *schemas.StockDelta) {
			d.Futures = schemas.Optional[schemas.List[schemas.Future]]{Valid: true, Value: schemas.List[schemas.Future]{{Quantity: 0, ExpectedDate: schemas.Micros(now.UnixMicro())}}}
		})},
		{topics.CodePrecision, precise(w, now)},
		{topics.CodeOverflow, delta(func(d *schemas.StockDelta) {
			d.OnHand = huge
			d.Futures = schemas.Optional[schemas.List[schemas.Future]]{Valid: true, Value: schemas.List[schemas.Future]{{Quantity: huge.Value, ExpectedDate: schemas.Micros(now.UnixMicro())}}}
		})},
		{topics.CodeMissingEffectiveDate, delta(func(d *schemas.StockDelta) { d.EffectiveDate.Valid = false })},
		{topics.CodeFutureDate, delta(func(d *schemas.StockDelta) { d.EffectiveDate = micros(now.Add(time.Hour)) })},
		{topics.CodeConflictingFields, delta(func(d *schemas.StockDelta) { d.Mode, d.SafetyStockCount = schemas.ModeAdjust, milli(1) })},
		{topics.CodeTooLarge, raw("SKU-1", []byte(strings.Repeat("x", 1<<20+1)))},
	}
}

// precise is a delta by a writer whose quantities have four fraction digits.
func precise(w *world, now time.Time) *kgo.Record {
	r := w.writer.Delta(&schemas.StockDelta{RecordID: "bad", SKU: "SKU-1", Location: "L00", Mode: schemas.ModeUpdate, OnHand: schemas.Optional[schemas.Milli]{Value: 12345, Valid: true}, EffectiveDate: micros(now)}, now)
	r.Value[4] = fourDigits
	return r
}

// TestAnEventAfterPoisonIsAnswered has poison of either input and good records behind it in one batch: these are folded as what
// they are.
func TestAnEventAfterPoisonIsAnswered(t *testing.T) {
	w, _ := newForgetful(t)
	good, event := w.adjust("a1", "SKU-0", "L00", 5), w.reserve("r1", "SKU-0", location("L00"), 2)
	badDelta, badEvent := *good, *event
	badDelta.Value, badEvent.Value = []byte("no avro"), []byte("no avro")
	w.send(&badDelta, good, &badEvent, event)
	w.start("a")
	w.settled()
	w.check()
	if l := w.published()["L00/SKU-0"].level; l.OnHand != 5*availability.Unit || l.Reserved != 2*availability.Unit {
		t.Errorf("%s on hand, %s reserved, want 5 and 2", l.OnHand, l.Reserved)
	}
}
