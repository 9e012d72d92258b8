package topics

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

var seedFlag = flag.Uint64("seed", 0, "seed of randomized tests; 0 takes one from the clock")

// sent is the timestamp of the records of the tests.
var sent = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var testIDs = IDs{StockDelta: 1, ReservationEvent: 2, ReservationResult: 3, AvailabilityUpdate: 4, LocationGraph: 5}

// Schemas of producers of the tests, by id. 6 writes more digits than a quantity has, 7 is none of ours.
func testSchemas() schemas.Static {
	byID := schemas.Static{}
	ids := map[string]int{"StockDelta": 1, "ReservationEvent": 2, "ReservationResult": 3, "AvailabilityUpdate": 4, "LocationGraph": 5}
	for _, s := range schemas.Subjects("test") {
		byID[ids[s.Record]] = s.Text
	}
	byID[6] = strings.ReplaceAll(byID[1], `"scale":3`, `"scale":4`)
	byID[7] = `{"type":"record","name":"Invoice","fields":[]}`
	return byID
}

func newDecoder() *schemas.Decoder {
	return schemas.NewDecoder(testSchemas(), schemas.DecoderOptions{})
}

func newReader(t testing.TB, options Options) *Reader {
	t.Helper()
	return NewReader(newDecoder(), options)
}

func mustNames(t testing.TB, namespace string) Names {
	t.Helper()
	names, err := NamesOf(namespace)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func newWriter(t testing.TB) *Writer {
	t.Helper()
	return NewWriter(mustNames(t, "acme"), testIDs, 8)
}

// goodDelta is a count that a reader takes; the tests break it.
func goodDelta(sku string) *schemas.StockDelta {
	return &schemas.StockDelta{
		RecordID: "r-1", SKU: sku, Location: "NJ-1", Mode: schemas.ModeUpdate,
		OnHand: schemas.Some(schemas.Milli(10_000)), EffectiveDate: schemas.Some(schemas.MicrosOf(sent.Add(-time.Minute))),
	}
}

func goodEvent(sku string) *availability.ReservationEvent {
	return &availability.ReservationEvent{
		RequestID: "q-1", ReservationID: "v-1", SKU: availability.SKU(sku), Action: availability.Reserve, Quantity: 2 * availability.Unit, HasQuantity: true,
		Group: "US-EAST", EventAt: availability.None, ExpiresAt: availability.None, At: availability.Instant(sent.UnixMicro()),
	}
}

func deltaRecord(t testing.TB, sku string) *kgo.Record {
	t.Helper()
	rec := newWriter(t).Delta(goodDelta(sku), sent)
	rec.Offset = 4711
	return rec
}

func readDelta(t testing.TB, r *Reader, rec *kgo.Record) error {
	t.Helper()
	var d availability.Delta
	return r.Delta(t.Context(), rec, &d)
}

func refusalOf(t testing.TB, err error) *Refusal {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	return refusal
}

func headerLines(rec *kgo.Record) []string {
	var lines []string
	for _, h := range rec.Headers {
		lines = append(lines, h.Key+": "+string(h.Value))
	}
	return lines
}

// lineDiff says where two lists differ.
func lineDiff(got, want []string) string {
	var diff strings.Builder
	for i := range max(len(got), len(want)) {
		g, w := "(none)", "(none)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			fmt.Fprintf(&diff, "line %d:\n got %s\nwant %s\n", i+1, g, w)
		}
	}
	return diff.String()
}
