package topics

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
)

const benchSKUs = 1000

func BenchmarkReadDelta(b *testing.B) {
	recs := make([]*kgo.Record, benchSKUs)
	for i := range recs {
		recs[i] = deltaRecord(b, fmt.Sprintf("sku-%d", i))
	}
	reader := newReader(b, Options{Partitions: 8})
	var d availability.Delta
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		rec := recs[i%benchSKUs]
		if _, misplaced := reader.Misplaced(rec); misplaced {
			b.Fatal("misplaced")
		}
		if err := reader.Delta(b.Context(), rec, &d); err != nil || len(d.SKU) != len(rec.Key) {
			b.Fatal(d, err)
		}
		i++
	}
}

func BenchmarkReadEvent(b *testing.B) {
	recs := make([]*kgo.Record, benchSKUs)
	for i := range recs {
		recs[i] = newWriter(b).Event(goodEvent(fmt.Sprintf("sku-%d", i)))
	}
	reader := newReader(b, Options{Partitions: 8})
	var e availability.ReservationEvent
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		rec := recs[i%benchSKUs]
		if err := reader.Event(b.Context(), rec, &e); err != nil || len(e.SKU) != len(rec.Key) {
			b.Fatal(e, err)
		}
		i++
	}
}

// Batches of updates of a place with futures, as a task writes them.
func BenchmarkWriteUpdate(b *testing.B) {
	writer, level, from := newWriter(b), goodLevel(), goodProvenance()
	recs := make([]kgo.Record, benchSKUs)
	var arena Arena
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i == len(recs) {
			i = 0
			arena.Reset()
		}
		from.Version++
		writer.Update(&recs[i], &arena, level, 5, from)
		if len(recs[i].Headers) != headersOf(level, from) {
			b.Fatal(recs[i])
		}
		i++
	}
}

func BenchmarkPartitionOf(b *testing.B) {
	for b.Loop() {
		if got := PartitionOf("SKU-0123456789", 64); got != 54 {
			b.Fatal(got)
		}
	}
}
