package topics

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/schemas"
)

// Options are the settings of a Reader. The zero value is fit for use, save that it knows no partitions.
type Options struct {
	// Partitions is the partition count of the inputs. Above zero, a record of an input in another partition than that of
	// its key is refused; those that are to be sent on instead are for Misplaced to find first. Zero: not checked.
	Partitions int32
	// ValueBytesMax is the largest value that is read, uncompressed; default and at most schemas.ValueBytesMax, 1 MiB.
	ValueBytesMax int
	// RelaxedEffectiveDate lets an UPDATE and a DELETE go without effectiveDate: they are of the record's timestamp then.
	RelaxedEffectiveDate bool
}

// envelopeBytesMax bounds key and headers of an input: a SKU has at most 1,000 bytes, and a header or two some hundreds.
const envelopeBytesMax = 256 << 10

// Reader turns records into events. It is used by one goroutine at a time; Clone is for another.
//
// Its methods return nil, a *Refusal, or an error that wraps ErrUnavailable and says nothing about the record. What they
// fill in is undefined after an error. Nothing in it refers to the memory of the record.
type Reader struct {
	decoder *schemas.Decoder
	options Options

	delta  schemas.StockDelta
	event  schemas.ReservationEvent
	result schemas.ReservationResult
	update schemas.AvailabilityUpdate
}

// NewReader returns a reader. The decoder may be shared.
func NewReader(decoder *schemas.Decoder, options Options) *Reader {
	if options.ValueBytesMax <= 0 || options.ValueBytesMax > schemas.ValueBytesMax {
		options.ValueBytesMax = schemas.ValueBytesMax
	}
	return &Reader{decoder: decoder, options: options}
}

// Clone returns a reader with the same options and decoder for another goroutine.
func (r *Reader) Clone() *Reader { return &Reader{decoder: r.decoder, options: r.options} }

// WithPartitions returns a Clone for inputs of that partition count.
func (r *Reader) WithPartitions(partitions int32) *Reader {
	clone := r.Clone()
	clone.options.Partitions = partitions
	return clone
}

// checkSize refuses what is above the limits.
func (r *Reader) checkSize(rec *kgo.Record) error {
	if len(rec.Value) > r.options.ValueBytesMax {
		return refuse(CodeTooLarge, "send less in one record", "the value has %d bytes uncompressed, and at most %d are read", len(rec.Value), r.options.ValueBytesMax)
	}
	envelope := len(rec.Key)
	for i := range rec.Headers {
		envelope += len(rec.Headers[i].Key) + len(rec.Headers[i].Value)
	}
	if envelope > envelopeBytesMax {
		return refuse(CodeTooLarge, "leave headers out", "key and headers have %d bytes, and at most %d are read", envelope, envelopeBytesMax)
	}
	return nil
}

// undecoded is the error for a value that could not be decoded as a record of that name.
func undecoded(rec *kgo.Record, err error, record string) error {
	if refusal := refuseUndecoded(err, record); refusal != nil {
		return refusal
	}
	return fmt.Errorf("reading %s: %w", SourceAt(rec), err)
}

// checkKey refuses an input whose key is not its SKU, or whose partition is not that of its key.
func (r *Reader) checkKey(rec *kgo.Record, sku string) error {
	if string(rec.Key) != sku || rec.Key == nil {
		const todo = "key every record by the UTF-8 bytes of its SKU"
		if rec.Key == nil {
			return refuse(CodeKeyMismatch, todo, "the record of SKU %.250q has no key", sku)
		}
		return refuse(CodeKeyMismatch, todo, "key %.250q is not the record's SKU %.250q", rec.Key, sku)
	}
	if r.options.Partitions == 0 {
		return nil
	}
	if to := PartitionOf(rec.Key, r.options.Partitions); to != rec.Partition {
		return refuse(CodeKeyMismatch, "give the topic the partition count it had, and let producers use the murmur2 partitioner; then replay this record",
			"key %.250q belongs to partition %d of %d, and the record stands in %d though it was sent on once", rec.Key, to, r.options.Partitions, rec.Partition)
	}
	return nil
}
