package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// provocation is a record that is a dead letter, and as which.
type provocation struct {
	name    string
	rec     *kgo.Record
	code    Code
	message string
}

// deltaWith breaks a good delta.
func deltaWith(t testing.TB, change func(*schemas.StockDelta)) *kgo.Record {
	t.Helper()
	d := goodDelta("sku-1")
	change(d)
	return newWriter(t).Delta(d, sent)
}

// deltaKeyed breaks the record of a good delta.
func deltaKeyed(t testing.TB, change func(*kgo.Record)) *kgo.Record {
	t.Helper()
	rec := deltaRecord(t, "sku-1")
	change(rec)
	return rec
}

func milli(q schemas.Milli) schemas.Optional[schemas.Milli] { return schemas.Some(q) }

func futureList(f ...schemas.Future) schemas.Optional[schemas.List[schemas.Future]] {
	return schemas.Some(schemas.List[schemas.Future](f))
}

func deltaProvocations(t testing.TB) []provocation {
	t.Helper()
	return slices.Concat(badRecords(t), conflicts(t), badValues(t))
}

// badRecords are refused for their frame, key or ids.
func badRecords(t testing.TB) []provocation {
	t.Helper()
	with := func(change func(*schemas.StockDelta)) *kgo.Record { return deltaWith(t, change) }
	rec := func(change func(*kgo.Record)) *kgo.Record { return deltaKeyed(t, change) }
	return []provocation{
		{"large value", rec(func(r *kgo.Record) { r.Value = make([]byte, 1<<20+1) }), CodeTooLarge, "the value has 1048577 bytes uncompressed, and at most 1048576 are read; send less in one record"},
		{"large headers", rec(func(r *kgo.Record) { r.Headers = []kgo.RecordHeader{{Key: "h", Value: make([]byte, 1<<18)}} }), CodeTooLarge, "key and headers have 262150 bytes, and at most 262144 are read; leave headers out"},
		{"null value", rec(func(r *kgo.Record) { r.Value = nil }), CodeEmptyValue, "the value is empty; send a StockDelta, for nothing is removed by a null value here"},
		{"JSON", rec(func(r *kgo.Record) { r.Value = []byte(`{"sku":"sku-1"}`) }), CodeDecode, "produce it with an Avro serializer for a schema registry and a schema for StockDelta"},
		{"leftover bytes", rec(func(r *kgo.Record) { r.Value = append(r.Value, 0) }), CodeDecode, "; produce it with"},
		{"id of no schema", rec(func(r *kgo.Record) { r.Value[4] = 99 }), CodeUnknownSchema, "; point the producer at the registry that onhand uses, or register its schema there, then replay this record"},
		{"event on the topic of deltas", rec(func(r *kgo.Record) { r.Value = newWriter(t).Event(goodEvent("sku-1")).Value }), CodeWrongRecordType, "it describes onhand.ReservationEvent, not StockDelta; send a StockDelta to this topic, and this record to its own"},
		{"schema of none of ours", rec(func(r *kgo.Record) { r.Value = []byte{0, 0, 0, 0, 7} }), CodeWrongRecordType, "it describes Invoice, not StockDelta; send"},
		{"no key", rec(func(r *kgo.Record) { r.Key = nil }), CodeKeyMismatch, `the record of SKU "sku-1" has no key; key every record by the UTF-8 bytes of its SKU`},
		{"empty key", rec(func(r *kgo.Record) { r.Key = []byte{} }), CodeKeyMismatch, `key "" is not the record's SKU "sku-1"; key every`},
		{"other key", rec(func(r *kgo.Record) { r.Key = []byte("sku-2") }), CodeKeyMismatch, `key "sku-2" is not the record's SKU "sku-1"; key every`},
		{"wrong partition again", rec(func(r *kgo.Record) { r.Partition = 7 - r.Partition }), CodeKeyMismatch, "though it was sent on once; give the topic the partition count it had, and let producers use the murmur2 partitioner; then replay this record"},
		{"no record id", with(func(d *schemas.StockDelta) { d.RecordID = "" }), CodeMalformedID, "recordId has 0 characters; send an id of 1 to 256 characters"},
		{"long record id", with(func(d *schemas.StockDelta) { d.RecordID = strings.Repeat("é", 257) }), CodeMalformedID, "recordId has 257 characters; send an id of 1 to 256 characters"},
		{"control character in record id", with(func(d *schemas.StockDelta) { d.RecordID = "a\x00b" }), CodeMalformedID, `recordId "a\x00b" has others; send an id of valid UTF-8 without control characters`},
		{"white space in SKU", newWriter(t).Delta(goodDelta("sku 1"), sent), CodeMalformedID, `SKU "sku 1": a SKU has no white space and none of \ < > ; % / :; send a SKU that keeps to this, and key the record by it`},
		{"slash in location", with(func(d *schemas.StockDelta) { d.Location = "NJ/1" }), CodeMalformedID, `location "NJ/1": a reference has only letters, digits, _ and -; send the external reference of the place as the location graph has it`},
		// The first fault in the order of the checks is the one told.
		{"other key and negative", deltaKeyed(t, func(r *kgo.Record) {
			*r = *with(func(d *schemas.StockDelta) { d.OnHand = milli(-1) })
			r.Key = []byte("x")
		}), CodeKeyMismatch, "; key every record"},
	}
}

// conflicts are refused for values that do not go together.
func conflicts(t testing.TB) []provocation {
	t.Helper()
	with := func(change func(*schemas.StockDelta)) *kgo.Record { return deltaWith(t, change) }
	const conflict = "ADJUST carries onHand and nothing else; put the signed change into onHand, and everything else into an UPDATE of its own"
	return []provocation{
		{"ADJUST without onHand", with(func(d *schemas.StockDelta) { d.Mode, d.OnHand.Valid = schemas.ModeAdjust, false }), CodeConflictingFields, conflict},
		{"ADJUST with safety stock", with(func(d *schemas.StockDelta) { d.Mode, d.SafetyStockCount = schemas.ModeAdjust, milli(1) }), CodeConflictingFields, conflict},
		{"ADJUST with futures", with(func(d *schemas.StockDelta) { d.Mode, d.Futures = schemas.ModeAdjust, futureList() }), CodeConflictingFields, conflict},
		{"ADJUST with cleared", with(func(d *schemas.StockDelta) {
			d.Mode, d.Cleared = schemas.ModeAdjust, schemas.List[schemas.StockField]{schemas.FieldFutures}
		}), CodeConflictingFields, conflict},
		{"DELETE with onHand", with(func(d *schemas.StockDelta) { d.Mode = schemas.ModeDelete }), CodeConflictingFields, "a DELETE carries no values; leave the values out, or send an UPDATE"},
		{"DELETE with cleared", with(func(d *schemas.StockDelta) {
			d.Mode, d.OnHand.Valid, d.Cleared = schemas.ModeDelete, false, schemas.List[schemas.StockField]{schemas.FieldOnHand}
		}), CodeConflictingFields, "a DELETE carries no values; leave the values out, or send an UPDATE"},
		{"onHand set and cleared", with(func(d *schemas.StockDelta) { d.Cleared = schemas.List[schemas.StockField]{schemas.FieldOnHand} }), CodeConflictingFields, "onHand is both set and cleared; either give the value or name it in cleared"},
		{"safety stock set and cleared", with(func(d *schemas.StockDelta) {
			d.SafetyStockCount, d.Cleared = milli(0), schemas.List[schemas.StockField]{schemas.FieldSafetyStockCount}
		}), CodeConflictingFields, "safetyStockCount is both set and cleared; either"},
		{"futures set and cleared", with(func(d *schemas.StockDelta) {
			d.Futures, d.Cleared = futureList(schemas.Future{Quantity: 1}), schemas.List[schemas.StockField]{schemas.FieldFutures}
		}), CodeConflictingFields, "futures is both set and cleared; either"},
	}
}

// badValues are refused for a quantity or a date.
func badValues(t testing.TB) []provocation {
	t.Helper()
	with := func(change func(*schemas.StockDelta)) *kgo.Record { return deltaWith(t, change) }
	rec := func(change func(*kgo.Record)) *kgo.Record { return deltaKeyed(t, change) }
	return []provocation{
		{"negative count", with(func(d *schemas.StockDelta) { d.OnHand = milli(-1) }), CodeNegativeCount, "onHand of an UPDATE is -0.001; send a count of 0 or more, or the signed change as an ADJUST"},
		{"negative safety stock", with(func(d *schemas.StockDelta) { d.SafetyStockCount = milli(-2000) }), CodeNegativeSafetyStock, "safetyStockCount is -2; send 0 or more"},
		{"future of nothing", with(func(d *schemas.StockDelta) { d.Futures = futureList(schemas.Future{Quantity: 1}, schemas.Future{}) }), CodeBadFuture, "quantity of future 2 is 0, and it must be above zero; leave out a future that brings nothing"},
		{"four fraction digits", rec(func(r *kgo.Record) {
			*r = *with(func(d *schemas.StockDelta) { d.OnHand = milli(10_001) })
			r.Value[4] = 6 // 1.0001
		}), CodePrecision, "; round it at its source and send it again"},
		{"futures beyond all bounds", with(func(d *schemas.StockDelta) {
			d.Futures = futureList(schemas.Future{Quantity: schemas.MilliMax}, schemas.Future{Quantity: 1})
		}), CodeOverflow, "the futures add up to more than 999999999999999.999; correct the quantities at their source and send them again"},
		{"count beyond all bounds", with(func(d *schemas.StockDelta) { d.OnHand = milli(schemas.MilliMax + 1) }), CodeOverflow, "; correct it at its source and send it again"},
		{"date beyond all bounds", with(func(d *schemas.StockDelta) { d.EffectiveDate = schemas.Some(schemas.Micros(availability.None)) }), CodeOverflow, "effectiveDate is -9223372036854775808; send microseconds since 1970, in the years 1 to 9999"},
		{"future beyond all bounds", with(func(d *schemas.StockDelta) {
			d.Futures = futureList(schemas.Future{Quantity: 1, ExpectedDate: 1 << 62})
		}), CodeOverflow, "expectedDate is 4611686018427387904; send microseconds since 1970, in the years 1 to 9999"},
		{"no timestamp", rec(func(r *kgo.Record) { r.Timestamp = time.UnixMilli(-1) }), CodeOverflow, "the record's timestamp of -1 s since 1970 is no time; let the producer stamp records with the time they are sent"},
		{"UPDATE without date", with(func(d *schemas.StockDelta) { d.EffectiveDate.Valid = false }), CodeMissingEffectiveDate, "UPDATE has no effectiveDate; say in effectiveDate when this was true at the location"},
		{"DELETE without date", with(func(d *schemas.StockDelta) {
			d.Mode, d.OnHand.Valid, d.EffectiveDate.Valid = schemas.ModeDelete, false, false
		}), CodeMissingEffectiveDate, "DELETE has no effectiveDate; say"},
		{"date after the record", with(func(d *schemas.StockDelta) {
			d.EffectiveDate = schemas.Some(schemas.MicrosOf(sent.Add(5*time.Minute + time.Microsecond)))
		}), CodeFutureDate,
			"effectiveDate 2026-03-01T12:05:00.000001Z is later than the record's timestamp 2026-03-01T12:00:00.000000Z; correct the clock or the time zone of its source; at most 5 minutes are allowed"},
	}
}

func TestEveryBadDeltaIsRefusedWithItsCodeAndAWayOut(t *testing.T) {
	reader := newReader(t, Options{Partitions: 8})
	for _, p := range deltaProvocations(t) {
		t.Run(p.name, func(t *testing.T) { p.check(t, readDelta(t, reader, p.rec)) })
	}
	if err := readDelta(t, reader, deltaRecord(t, "sku-1")); err != nil {
		t.Errorf("a good record after them: %v", err)
	}
}

func (p provocation) check(t *testing.T, err error) {
	t.Helper()
	refusal := refusalOf(t, err)
	if refusal.Code != p.code {
		t.Errorf("code %s, want %s: %s", refusal.Code, p.code, refusal.Message)
	}
	if !strings.Contains(refusal.Message, p.message) {
		t.Errorf("message %q lacks %q", refusal.Message, p.message)
	}
	checkMessage(t, refusal)
}

// checkMessage wants one readable line that says what to do.
func checkMessage(t testing.TB, refusal *Refusal) {
	t.Helper()
	m := refusal.Message
	wrong, todo, ok := strings.Cut(m, "; ")
	if !ok || wrong == "" || todo == "" {
		t.Errorf("message %q does not say what to do", m)
	}
	if len(m) > messageBytesMax || !utf8.ValidString(m) || strings.ContainsFunc(m, isControl) {
		t.Errorf("message of %d bytes is no line to print: %q", len(m), m)
	}
	if want := string(refusal.Code) + ": " + m; refusal.Error() != want {
		t.Errorf("error %q, want %q", refusal.Error(), want)
	}
}

func eventWith(t testing.TB, change func(*availability.ReservationEvent)) *kgo.Record {
	t.Helper()
	e := goodEvent("sku-1")
	change(e)
	return newWriter(t).Event(e)
}

func TestEveryBadEventIsRefusedWithItsCodeAndAWayOut(t *testing.T) {
	reader := newReader(t, Options{Partitions: 8})
	with := func(change func(*availability.ReservationEvent)) *kgo.Record { return eventWith(t, change) }
	rec := func(change func(*kgo.Record)) *kgo.Record {
		r := with(func(*availability.ReservationEvent) {})
		change(r)
		return r
	}
	raw := func(change func(*schemas.ReservationEvent)) *kgo.Record {
		return rec(func(r *kgo.Record) {
			d := schemas.ReservationEvent{RequestID: "q", ReservationID: "v", SKU: "sku-1"}
			change(&d)
			r.Value = schemas.AppendReservationEvent(nil, testIDs.ReservationEvent, &d)
		})
	}
	for _, p := range []provocation{
		{"large value", rec(func(r *kgo.Record) { r.Value = make([]byte, 1<<20+1) }), CodeTooLarge, "; send less in one record"},
		{"null value", rec(func(r *kgo.Record) { r.Value = nil }), CodeEmptyValue, "the value is empty; send a ReservationEvent, for nothing is removed by a null value here"},
		{"delta on the topic of events", rec(func(r *kgo.Record) { r.Value = deltaRecord(t, "sku-1").Value }), CodeWrongRecordType, "; send a ReservationEvent to this topic"},
		{"no key", rec(func(r *kgo.Record) { r.Key = nil }), CodeKeyMismatch, "; key every record"},
		{"no request id", with(func(e *availability.ReservationEvent) { e.RequestID = "" }), CodeMalformedID, "requestId has 0 characters; send"},
		{"control character in reservation id", with(func(e *availability.ReservationEvent) { e.ReservationID = "a\u0085" }), CodeMalformedID, `reservationId "a\u0085" has others; send`},
		{"SKU with a colon", eventWithSKU(t, "a:b"), CodeMalformedID, "; send a SKU"},
		{"short location", with(func(e *availability.ReservationEvent) { e.Location = "a" }), CodeMalformedID, `location "a": a reference has 2 to 128 characters; send the external reference`},
		{"group with a dot", with(func(e *availability.ReservationEvent) { e.Group = "a.b" }), CodeMalformedID, `group "a.b"`},
		{"target location", with(func(e *availability.ReservationEvent) { e.ToLocation = "ä" + "b" }), CodeMalformedID, `toLocation "äb"`},
		{"target group", with(func(e *availability.ReservationEvent) { e.ToGroup = "a b" }), CodeMalformedID, `toGroup "a b"`},
		{"empty location", raw(func(d *schemas.ReservationEvent) { d.Location = schemas.Some("") }), CodeMalformedID, "location is an empty text; send null where no place is meant"},
		{"event after the record", with(func(e *availability.ReservationEvent) { e.EventAt = e.At + aheadMax + 1 }), CodeFutureDate, "eventTime 2026-03-01T12:05:00.000001Z is later"},
		{"event before all bounds", with(func(e *availability.ReservationEvent) { e.EventAt = availability.None + 1 }), CodeOverflow, "eventTime is -9223372036854775807; send"},
		{"expiry after all bounds", with(func(e *availability.ReservationEvent) { e.ExpiresAt = 1 << 62 }), CodeOverflow, "expiresAt is 4611686018427387904; send"},
		{"quantity beyond all bounds", with(func(e *availability.ReservationEvent) { e.Quantity = availability.MaxQuantity + 1 }), CodeOverflow, "; correct it"},
	} {
		t.Run(p.name, func(t *testing.T) {
			var e availability.ReservationEvent
			p.check(t, reader.Event(t.Context(), p.rec, &e))
		})
	}
}

func eventWithSKU(t testing.TB, sku string) *kgo.Record {
	t.Helper()
	return newWriter(t).Event(goodEvent(sku))
}

// What the arithmetic finds out is refused as well.
func TestFoldedRefusals(t *testing.T) {
	spec := availability.GraphSpec{Version: 1, Locations: []availability.LocationSpec{{ID: "NJ-1", Inventory: true, Sync: true}}}
	graph, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	folder := availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))
	stock := availability.NewStock(graph, &availability.StockData{SKU: "sku-1", Complete: true})
	reader := newReader(t, Options{Partitions: 8})
	for _, step := range []struct {
		rec     *kgo.Record
		outcome availability.Outcome
		refusal func(*availability.Delta) *Refusal
		want    Refusal
	}{
		{deltaRecord(t, "sku-1"), availability.Applied, nil, Refusal{}},
		{deltaWith(t, func(d *schemas.StockDelta) { d.Location = "NJ-2" }), availability.UnknownLocation, RefuseUnknownLocation, Refusal{CodeUnknownLocation,
			`location "NJ-2" takes no stock in the current location graph; publish a location graph that has it with inventoryLocation true, then replay this record`}},
		{deltaWith(t, func(d *schemas.StockDelta) { d.Mode, d.OnHand = schemas.ModeAdjust, schemas.Some(schemas.MilliMax) }), availability.Overflow, RefuseOverflow, Refusal{CodeOverflow,
			`with this record a total of SKU "sku-1" at "NJ-1", or at a group it is in, would exceed 999999999999999.999; correct the quantity at its source and send it again under a new recordId`}},
	} {
		var d availability.Delta
		if err := reader.Delta(t.Context(), step.rec, &d); err != nil {
			t.Fatal(err)
		}
		if outcome, _ := folder.Delta(stock, &d, 0); outcome != step.outcome {
			t.Fatalf("%+v: outcome %d, want %d", d, outcome, step.outcome)
		}
		if step.refusal == nil {
			continue
		}
		refusal := step.refusal(&d)
		if *refusal != step.want {
			t.Errorf("got %v\nwant %v", refusal, &step.want)
		}
		checkMessage(t, refusal)
	}
}

// down is a registry that cannot be asked.
type down struct{}

func (down) Schema(context.Context, int) (string, error) { return "", errors.New("connection refused") }

func TestRegistryThatCannotBeAskedIsNoRefusal(t *testing.T) {
	reader := NewReader(schemas.NewDecoder(down{}, schemas.DecoderOptions{}), Options{Partitions: 8})
	rec := deltaRecord(t, "sku-1")
	err := readDelta(t, reader, rec)
	var refusal *Refusal
	if !errors.Is(err, ErrUnavailable) || errors.As(err, &refusal) {
		t.Fatalf("%v is not worth waiting for", err)
	}
	if want := fmt.Sprintf("reading acme.stock-deltas/%d/4711: ", rec.Partition); !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v does not say where", err)
	}
	given := RefuseUnavailable(err)
	if given.Code != CodeUnknownSchema || !strings.Contains(given.Message, "connection refused; bring the schema registry back, then replay this record") {
		t.Errorf("given up as %v", given)
	}
	checkMessage(t, given)
}

// A code that no test provokes could go wrong unnoticed.
func TestEveryCodeIsProvoked(t *testing.T) {
	provoked := map[Code]bool{CodeUnknownLocation: true, CodeCorruptState: true} // by TestFoldedRefusals
	for _, p := range deltaProvocations(t) {
		provoked[p.code] = true
	}
	for _, code := range Codes() {
		if !provoked[code] {
			t.Errorf("no record is %s", code)
		}
	}
	if len(provoked) != len(Codes()) {
		t.Errorf("%d codes are provoked and %d are listed", len(provoked), len(Codes()))
	}
}

func TestLongAndHostileMessagesAreOneLineThatKeepsTheWayOut(t *testing.T) {
	for _, hostile := range []string{strings.Repeat("x", 5000), strings.Repeat("漢", 2000), "a\nb\r\x00\x1b[31m\x7f\xff", "", strings.Repeat("\xff", 999)} {
		refusal := refuse(CodeDecode, "do this", "%s", "wrong: "+hostile)
		checkMessage(t, refusal)
		if !strings.HasSuffix(refusal.Message, "; do this") {
			t.Errorf("message %q lost the way out", refusal.Message)
		}
	}
}
