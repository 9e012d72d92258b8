package schemas

import (
	"bytes"
	"testing"
)

// The benchmarks measure one usual record of a kind, and compare the code written for our schemas with goavro: ns/op is
// per record. goavro's side of encoding is given its native form ready-made.

// usual is the record of each kind that the benchmarks use.
func usual(of record) any {
	switch of {
	case recordStockDelta:
		rec := sampleDelta()
		return &rec
	case recordReservationEvent:
		return &ReservationEvent{
			RequestID: "c0ffee00-1234-5678-9abc-def012345678", ReservationID: "order-00012345", SKU: "SKU-0001234",
			Quantity: Some[Milli](2_000), Group: Some("US-EAST"), AllowPartial: true, ExpiresAt: Some[Micros](1_790_000_900_000_000),
		}
	case recordReservationResult:
		return &ReservationResult{
			RequestID: "c0ffee00-1234-5678-9abc-def012345678", ReservationID: "order-00012345", SKU: "SKU-0001234",
			Requested: 2_000, Granted: 2_000, Version: 3<<40 + 17,
		}
	case recordAvailabilityUpdate:
		return &AvailabilityUpdate{
			Place: "STORE-0042", SKU: "SKU-0001234", OnHand: 12_000, Reserved: 2_000, SafetyStockCount: 1_000, ATF: 9_000, ATO: 19_000,
			Futures: List[Future]{{Quantity: 10_000, ExpectedDate: 1_791_000_000_000_000}}, FutureQuantity: 10_000,
			NextExpectedDate: Some[Micros](1_791_000_000_000_000), EffectiveDate: Some[Micros](1_790_000_000_000_000),
			GraphVersion: 12, Version: 3<<40 + 17, ComputedAt: 1_790_000_000_250_000,
		}
	case recordLocationGraph:
		graph := &LocationGraph{Version: 12, PublishedAt: 1_790_000_000_000_000}
		for range 50 {
			graph.Locations = append(graph.Locations, Location{ExternalReference: "STORE-0042", Name: "Main Street", Sync: true})
		}
		return graph
	case recordNone:
	}
	panic("no such record")
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range codecs(b) {
		rec := usual(c.record)
		want := c.append(nil, 1, rec)
		dst := make([]byte, 0, len(want))
		b.Run(c.record.String()+"/compiled", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = c.append(dst[:0], 1, rec)
			}
			checkBytes(b, dst, want)
		})
		b.Run(c.record.String()+"/goavro", func(b *testing.B) {
			other, native := goavroCodec(b, c.record), nativeOf(b, rec, embeddedNode(b, c.record))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = other.BinaryFromNative(append(dst[:0], frame(1)...), native); err != nil {
					b.Fatal(err)
				}
			}
			checkBytes(b, dst, want)
		})
	}
}

func checkBytes(b *testing.B, got, want []byte) {
	b.Helper()
	if !bytes.Equal(got, want) {
		b.Fatal(diffBytes(got, want))
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range codecs(b) {
		rec := usual(c.record)
		value := c.append(nil, embeddedID(c.record), rec)
		for name, d := range map[string]*Decoder{"compiled": newEmbedded(), "goavro": newGenericOnly(b)} {
			b.Run(c.record.String()+"/"+name, func(b *testing.B) {
				var into any
				b.ReportAllocs()
				for b.Loop() {
					into = c.empty()
					if err := c.decode(d, value, into); err != nil {
						b.Fatal(err)
					}
				}
				if got, want := jsonOf(b, into), jsonOf(b, rec); got != want {
					b.Fatalf("\n got %s\nwant %s", got, want)
				}
			})
		}
	}
}

// BenchmarkDecodeReused decodes into a record that is used again, as a task does.
func BenchmarkDecodeReused(b *testing.B) {
	d, value := newEmbedded(), deltaValue(embeddedID(recordStockDelta))
	var into StockDelta
	b.ReportAllocs()
	for b.Loop() {
		if err := d.DecodeStockDelta(b.Context(), value, &into); err != nil {
			b.Fatal(err)
		}
	}
	if got, want := jsonOf(b, into), jsonOf(b, sampleDelta()); got != want {
		b.Fatalf("\n got %s\nwant %s", got, want)
	}
}
