package topics

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

func goodLevel() *availability.Level {
	return &availability.Level{
		SKU: "sku-1", Place: availability.Place{Type: availability.GroupPlace, ID: "US-EAST"}, Present: true,
		OnHand: 10 * availability.Unit, Reserved: 3000, GroupReserved: 2000, SharedGroupReserved: 500, SafetyStock: 250,
		Futures: []availability.Future{{Quantity: 1, Expected: 5}, {Quantity: 2, Expected: 6}}, FutureQuantity: 3, NextExpectedAt: 5,
		ATF: 6750, ATO: 6753, Shortfall: 1, EffectiveAt: 77,
	}
}

func goodProvenance() *Provenance {
	return &Provenance{
		Version: 3<<40 + 12, GraphVersion: 7, ComputedAt: availability.Instant(sent.UnixMicro()) + 1500,
		Cause: Source{"acme.stock-deltas", 5, 4711},
		Trace: Trace{Parent: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), State: []byte("vendor=1")},
	}
}

func TestUpdateOfALevel(t *testing.T) {
	var rec kgo.Record
	var arena Arena
	newWriter(t).Update(&rec, &arena, goodLevel(), 5, goodProvenance())
	if rec.Topic != "acme.availability-updates" || rec.Partition != 5 || string(rec.Key) != "US-EAST/sku-1" || !rec.Timestamp.Equal(sent.Add(1500*time.Microsecond)) {
		t.Errorf("written as %+v", rec)
	}
	if diff := lineDiff(headerLines(&rec), []string{
		"onhand.version: 3298534883340",
		"ce_specversion: 1.0",
		"ce_id: acme/US-EAST/sku-1/3298534883340",
		"ce_source: urn:onhand:acme",
		"ce_type: onhand.availability.updated",
		"content-type: application/avro",
		"onhand.cause: acme.stock-deltas/5/4711",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate: vendor=1",
	}); diff != "" {
		t.Error(diff)
	}
	var level availability.Level
	var from Provenance
	if err := newReader(t, Options{}).Update(t.Context(), &rec, &level, &from); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&level, goodLevel()) || !reflect.DeepEqual(&from, goodProvenance()) {
		t.Errorf("read as %+v of %+v", level, from)
	}
}

func TestUpdateOfALevelThatIsGoneIsATombstone(t *testing.T) {
	gone := &availability.Level{SKU: "sku-1", Place: availability.Place{Type: availability.LocationPlace, ID: "NJ-1"}, EffectiveAt: availability.None, NextExpectedAt: availability.None}
	from := &Provenance{Version: 9, GraphVersion: 7, ComputedAt: availability.Instant(sent.UnixMicro())}
	var rec kgo.Record
	var arena Arena
	newWriter(t).Update(&rec, &arena, gone, 5, from)
	if rec.Value != nil || string(rec.Key) != "NJ-1/sku-1" {
		t.Errorf("written as %+v", rec)
	}
	if diff := lineDiff(headerLines(&rec), []string{
		"onhand.version: 9",
		"ce_specversion: 1.0",
		"ce_id: acme/NJ-1/sku-1/9",
		"ce_source: urn:onhand:acme",
		"ce_type: onhand.availability.removed",
	}); diff != "" {
		t.Error(diff)
	}
	var level availability.Level
	var read Provenance
	if err := newReader(t, Options{}).Update(t.Context(), &rec, &level, &read); err != nil {
		t.Fatal(err)
	}
	gone.Place.Type, from.GraphVersion = availability.NoPlace, 0 // a tombstone does not say
	if !reflect.DeepEqual(&level, gone) || !reflect.DeepEqual(&read, from) {
		t.Errorf("read as %+v of %+v", level, read)
	}
}

func TestUpdateThatIsNotOursIsRefused(t *testing.T) {
	with := func(change func(*kgo.Record)) *kgo.Record {
		var rec kgo.Record
		var arena Arena
		newWriter(t).Update(&rec, &arena, goodLevel(), 5, goodProvenance())
		change(&rec)
		return &rec
	}
	for _, p := range []provocation{
		{"no version", with(func(r *kgo.Record) { r.Headers = nil }), CodeDecode, "no version; let onhand alone write levels"},
		{"other version", with(func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderVersion, Value: []byte("1")})
		}), CodeKeyMismatch, "do not fit"},
		{"bad cause", with(func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderCause, Value: []byte("x")})
		}), CodeDecode, "topic/partition/offset; let"},
		{"other key", with(func(r *kgo.Record) { r.Key = []byte("US-WEST/sku-1") }), CodeKeyMismatch, "do not fit"},
		{"tombstone without a place", with(func(r *kgo.Record) { r.Key, r.Value = []byte("sku-1"), nil }), CodeKeyMismatch, "is not place/SKU"},
		{"empty value", with(func(r *kgo.Record) { r.Value = []byte{} }), CodeEmptyValue, "; send"},
	} {
		t.Run(p.name, func(t *testing.T) {
			var level availability.Level
			var from Provenance
			p.check(t, newReader(t, Options{}).Update(t.Context(), p.rec, &level, &from))
		})
	}
}

func TestResultAnswersItsEvent(t *testing.T) {
	want := Decision{
		Source: Source{"acme.reservation-events", 6, 99}, After: 1234, RequestID: "q-1", ReservationID: "v-1", SKU: "sku-1", Action: availability.Transfer,
		Result: availability.Result{
			Outcome: availability.Rejected, Requested: 5000, Granted: 1, ErrorCode: availability.InsufficientQuantity, Message: "3 left",
			TightGroups: []availability.GroupID{"US", "US-EAST"}, Version: 42,
		},
	}
	var rec kgo.Record
	var arena Arena
	newWriter(t).Result(&rec, &arena, &want, availability.Instant(sent.UnixMicro()))
	if rec.Topic != "acme.reservation-results" || rec.Partition != 6 || string(rec.Key) != "sku-1" || !rec.Timestamp.Equal(sent) {
		t.Errorf("written as %+v", rec)
	}
	if diff := lineDiff(headerLines(&rec), []string{"onhand.cause: acme.reservation-events/6/99", "onhand.after: 1234"}); diff != "" {
		t.Error(diff)
	}
	reader := newReader(t, Options{})
	var got Decision
	if err := reader.Result(t.Context(), &rec, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	accepted := Decision{Source: want.Source, RequestID: "q-2", ReservationID: "v-1", SKU: "sku-1", Result: availability.Result{Requested: 1, Granted: 1}}
	newWriter(t).Result(&rec, &arena, &accepted, 0)
	if err := reader.Result(t.Context(), &rec, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, accepted) {
		t.Errorf("after another: got %+v\nwant %+v", got, accepted)
	}

	cause := rec.Headers[0]
	for what, headers := range map[string][]kgo.RecordHeader{
		"answers nothing": rec.Headers[1:], "does not say after what": {cause},
		"says it badly": {cause, {Key: HeaderAfter, Value: []byte("x")}}, "was decided before the beginning": {cause, {Key: HeaderAfter, Value: []byte("-1")}},
	} {
		rec.Headers = headers
		if refusal := refusalOf(t, reader.Result(t.Context(), &rec, &got)); refusal.Code != CodeDecode {
			t.Errorf("a result that %s: %v", what, refusal)
		}
	}
}

// Random levels are written into one arena, more than it has room for at first, and read back once all of them stand
// there: no record may have been written over another. Replay: go test ./topics -run TestArena -seed SEED.
func TestArenaKeepsRecordsApart(t *testing.T) {
	random := newRandom(t)
	writer, reader := newWriter(t), newReader(t, Options{})
	var arena Arena
	for round := range 3 {
		levels, from := make([]availability.Level, 3000), make([]Provenance, 3000)
		decisions := make([]Decision, len(levels))
		recs, results := make([]kgo.Record, len(levels)), make([]kgo.Record, len(levels))
		for i := range levels {
			levels[i], from[i] = *goodLevel(), *goodProvenance()
			levels[i].SKU = availability.SKU(fmt.Sprintf("sku-%d-%s", i, strings.Repeat("x", random.IntN(100))))
			levels[i].Futures = nil
			for at := range random.IntN(3) * random.IntN(200) {
				levels[i].Futures = append(levels[i].Futures, availability.Future{Quantity: availability.Quantity(random.Int64N(1e18)), Expected: availability.Instant(at)})
			}
			from[i].Version = random.Int64()
			from[i].ComputedAt += availability.Instant(random.IntN(2))
			writer.Update(&recs[i], &arena, &levels[i], 5, &from[i])
			decisions[i] = Decision{Source: Source{"acme.reservation-events", 5, random.Int64()}, SKU: levels[i].SKU, RequestID: fmt.Sprint(i), Result: availability.Result{Message: strings.Repeat("m", random.IntN(2000))}}
			writer.Result(&results[i], &arena, &decisions[i], 0)
		}
		for i := range levels {
			var level availability.Level
			var p Provenance
			var decision Decision
			if err := reader.Update(t.Context(), &recs[i], &level, &p); err != nil {
				t.Fatal(err)
			}
			if err := reader.Result(t.Context(), &results[i], &decision); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(level, levels[i]) || !reflect.DeepEqual(p, from[i]) || !reflect.DeepEqual(decision, decisions[i]) {
				t.Fatalf("round %d record %d:\n got %+v of %+v\nwant %+v of %+v", round, i, level, p, levels[i], from[i])
			}
			if id, _ := header(&recs[i], HeaderCEID); string(id) != fmt.Sprintf("acme/US-EAST/%s/%d", levels[i].SKU, from[i].Version) {
				t.Fatalf("record %d has the id %s", i, id)
			}
		}
		arena.Reset()
	}
}

// A caller may add to a record what it likes.
func TestAppendingToARecordTouchesNoOther(t *testing.T) {
	var first, second kgo.Record
	var arena Arena
	writer := newWriter(t)
	writer.Update(&first, &arena, goodLevel(), 5, goodProvenance())
	writer.Update(&second, &arena, goodLevel(), 5, goodProvenance())
	want := fmt.Sprint(second)
	_ = append(first.Key, "xxxx"...)
	_ = append(first.Value, "xxxx"...)
	for _, h := range first.Headers {
		_ = append(h.Value, "xxxx"...)
	}
	_ = append(first.Headers, kgo.RecordHeader{Key: "x"}, kgo.RecordHeader{Key: "y"})
	if got := fmt.Sprint(second); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestIDsOfNamesWhatIsMissing(t *testing.T) {
	all := map[string]int{"StockDelta": 1, "ReservationEvent": 2, "ReservationResult": 3, "AvailabilityUpdate": 4, "LocationGraph": 5}
	if ids, err := IDsOf(all); err != nil || ids != testIDs {
		t.Errorf("%+v, %v", ids, err)
	}
	delete(all, "StockDelta")
	if _, err := IDsOf(all); err == nil || !strings.Contains(err.Error(), "StockDelta") || strings.Contains(err.Error(), "Result") {
		t.Errorf("without StockDelta: %v", err)
	}
}

func TestDeltaRecord(t *testing.T) {
	rec := newWriter(t).Delta(goodDelta("sku-1"), sent)
	if rec.Topic != "acme.stock-deltas" || rec.Partition != PartitionOf("sku-1", 8) || string(rec.Key) != "sku-1" || !rec.Timestamp.Equal(sent) || rec.Headers != nil {
		t.Errorf("written as %+v", rec)
	}
	var got schemas.StockDelta
	if err := newDecoder().DecodeStockDelta(t.Context(), rec.Value, &got); err != nil || !reflect.DeepEqual(&got, goodDelta("sku-1")) {
		t.Errorf("value means %+v, %v", got, err)
	}
}
