package topics

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// IDs are the ids of the embedded schemas in the registry. A writer needs those of the records it writes.
type IDs struct {
	StockDelta, ReservationEvent, ReservationResult, AvailabilityUpdate, LocationGraph int
}

// IDsOf takes the ids out of a map by the name of the record. It fails where one is missing.
func IDsOf(byRecord map[string]int) (IDs, error) {
	var ids IDs
	var errs []error
	for _, of := range []struct {
		record string
		id     *int
	}{
		{"StockDelta", &ids.StockDelta}, {"ReservationEvent", &ids.ReservationEvent}, {"ReservationResult", &ids.ReservationResult},
		{"AvailabilityUpdate", &ids.AvailabilityUpdate}, {"LocationGraph", &ids.LocationGraph},
	} {
		if *of.id = byRecord[of.record]; *of.id == 0 {
			errs = append(errs, fmt.Errorf("schema %s has no id; run onhand schemas register", of.record))
		}
	}
	return ids, errors.Join(errs...)
}

// Writer turns events and levels into records. Each record says its partition, for a client with kgo.ManualPartitioner,
// see Names.ProducerOpts. A Writer does not change: any number of goroutines may use it, each with an Arena of its own.
type Writer struct {
	names      Names
	ids        IDs
	partitions int32

	ceSource  []byte
	connector []byte
	idPrefix  string
}

// NewWriter returns a writer to the topics of a namespace, whose inputs and outputs have that partition count.
func NewWriter(names Names, ids IDs, partitions int32) *Writer {
	return &Writer{
		names: names, ids: ids, partitions: partitions,
		ceSource: []byte("urn:onhand:" + names.Namespace), connector: []byte(names.ConsumerGroup()), idPrefix: names.Namespace + "/",
	}
}

// Names are the topics that the writer writes to.
func (w *Writer) Names() Names { return w.names }

// Delta returns the record of a stock delta, sent at that time.
func (w *Writer) Delta(d *schemas.StockDelta, at time.Time) *kgo.Record {
	return &kgo.Record{
		Topic: w.names.StockDeltas, Partition: PartitionOf(d.SKU, w.partitions), Timestamp: at,
		Key: []byte(d.SKU), Value: schemas.AppendStockDelta(nil, w.ids.StockDelta, d),
	}
}

// Event returns the record of a reservation event, sent at e.At.
func (w *Writer) Event(e *availability.ReservationEvent) *kgo.Record {
	d := schemas.ReservationEvent{
		RequestID: e.RequestID, ReservationID: e.ReservationID, SKU: string(e.SKU), Action: schemas.Action(e.Action),
		Quantity: schemas.Optional[schemas.Milli]{Value: schemas.Milli(e.Quantity), Valid: e.HasQuantity},
		Location: optional(string(e.Location)), Group: optional(string(e.Group)),
		ToLocation: optional(string(e.ToLocation)), ToGroup: optional(string(e.ToGroup)),
		AllowPartial: !e.RefusePartial, FulfillOnly: e.FulfillOnly, IgnoreAvailabilityCheck: e.IgnoreAvailabilityCheck,
		EventTime: optionalTime(e.EventAt), ExpiresAt: optionalTime(e.ExpiresAt), ExternalRefID: optional(e.ExternalRefID),
	}
	return &kgo.Record{
		Topic: w.names.ReservationEvents, Partition: PartitionOf(e.SKU, w.partitions), Timestamp: timeOf(e.At),
		Key: []byte(e.SKU), Value: schemas.AppendReservationEvent(nil, w.ids.ReservationEvent, &d),
	}
}

// Graph returns the record of a published location graph, sent at g.PublishedAt.
func (w *Writer) Graph(g *schemas.LocationGraph) *kgo.Record {
	return &kgo.Record{
		Topic: w.names.LocationGraph, Timestamp: g.PublishedAt.Time(),
		Key: []byte(GraphKey), Value: schemas.AppendLocationGraph(nil, w.ids.LocationGraph, g),
	}
}

// Result fills in the record of a decision, on the partition of the event that it answers, sent at that time.
func (w *Writer) Result(rec *kgo.Record, a *Arena, d *Decision, at availability.Instant) {
	d.record(&a.result)
	value := a.keep(schemas.AppendReservationResult(a.spare(512), w.ids.ReservationResult, &a.result))
	text := a.spare(len(d.SKU) + len(d.Source.Topic) + 60)
	text = d.Source.append(append(text, d.SKU...))
	causeEnd := len(text)
	text = a.keep(strconv.AppendInt(text, d.After, 10))
	text, after := cut(text, causeEnd)
	key, cause := cut(text, len(d.SKU))
	*rec = kgo.Record{
		Topic: w.names.ReservationResults, Partition: d.Source.Partition, Timestamp: timeOf(at), Key: key, Value: value,
		Headers: append(a.list(2), kgo.RecordHeader{Key: HeaderCause, Value: cause}, kgo.RecordHeader{Key: HeaderAfter, Value: after}),
	}
}

// cut splits at n, the first part shut against appending.
func cut(text []byte, n int) (before, after []byte) { return text[:n:n], text[n:] }

func timeOf(t availability.Instant) time.Time { return time.UnixMicro(int64(t)).UTC() }
