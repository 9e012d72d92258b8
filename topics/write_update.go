package topics

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Header values that never change. Clients read header values and leave them as they are.
var (
	ceSpecVersion  = []byte("1.0")
	ceTypeUpdated  = []byte("onhand.availability.updated")
	ceTypeRemoved  = []byte("onhand.availability.removed")
	contentTypeAvr = []byte("application/avro")
)

// Update fills in the record of a level: a tombstone where the level is not present. The partition is that of the task,
// which is that of the SKU. Key, value and headers are carved from the arena.
func (w *Writer) Update(rec *kgo.Record, a *Arena, level *availability.Level, partition int32, from *Provenance) {
	*rec = kgo.Record{Topic: w.names.AvailabilityUpdates, Partition: partition, Timestamp: timeOf(from.ComputedAt)}
	ceType := ceTypeRemoved
	if level.Present {
		ceType = ceTypeUpdated
		UpdateRecord(level, from, &a.update)
		rec.Value = a.keep(schemas.AppendAvailabilityUpdate(a.spare(256+17*len(level.Futures)), w.ids.AvailabilityUpdate, &a.update))
	}

	// One text serves as id, and its parts as key and version: namespace/place/SKU/version.
	id := a.spare(len(w.idPrefix) + len(level.Place.ID) + len(level.SKU) + 22)
	id = append(append(append(append(id, w.idPrefix...), level.Place.ID...), '/'), level.SKU...)
	keyEnd := len(id)
	id = a.keep(strconv.AppendInt(append(id, '/'), from.Version, 10))
	rec.Key = id[len(w.idPrefix):keyEnd:keyEnd]

	h := append(a.list(headersOf(level, from)),
		kgo.RecordHeader{Key: HeaderVersion, Value: id[keyEnd+1:]},
		kgo.RecordHeader{Key: HeaderCESpecVersion, Value: ceSpecVersion},
		kgo.RecordHeader{Key: HeaderCEID, Value: id},
		kgo.RecordHeader{Key: HeaderCESource, Value: w.ceSource},
		kgo.RecordHeader{Key: HeaderCEType, Value: ceType},
	)
	if level.Present {
		h = append(h, kgo.RecordHeader{Key: HeaderContentType, Value: contentTypeAvr})
	}
	if from.Cause.Topic != "" {
		h = append(h, kgo.RecordHeader{Key: HeaderCause, Value: a.causeOf(from.Cause)})
	}
	if from.Trace.Parent != nil {
		h = append(h, kgo.RecordHeader{Key: HeaderTraceParent, Value: from.Trace.Parent})
	}
	if from.Trace.State != nil {
		h = append(h, kgo.RecordHeader{Key: HeaderTraceState, Value: from.Trace.State})
	}
	rec.Headers = h
}

// causeOf is the text of a source.
func (a *Arena) causeOf(s Source) []byte {
	if a.causeText == nil || a.cause != s {
		a.cause, a.causeText = s, a.keep(s.append(a.spare(len(s.Topic)+32)))
	}
	return a.causeText
}

// headersOf is how many headers an update has.
func headersOf(level *availability.Level, from *Provenance) int {
	n := 5
	if level.Present {
		n++
	}
	if from.Cause.Topic != "" {
		n++
	}
	if from.Trace.Parent != nil {
		n++
	}
	if from.Trace.State != nil {
		n++
	}
	return n
}
