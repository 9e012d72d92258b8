package topics

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionOf returns the partition that Kafka's default partitioner gives to a key that is not null: murmur2 of its
// bytes, without the sign, modulo the partition count. The count must be above zero.
func PartitionOf[K ~string | ~[]byte](key K, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is Austin Appleby's MurmurHash2 with the seed that Kafka gives it.
func murmur2[K ~string | ~[]byte](key K) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(key))
	for len(key) >= 4 {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
		key = key[4:]
	}
	for i := len(key) - 1; i >= 0; i-- {
		h ^= uint32(key[i]) << (8 * i)
	}
	if len(key) > 0 {
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// Misplaced says whether a record of an input stands in another partition than its key asks for and is to be sent on,
// with Forward, to which. It is not for a record without a key, one above the Reader's limits, and one that was sent on
// before: these are dead letters, which the Reader refuses.
func (r *Reader) Misplaced(rec *kgo.Record) (to int32, misplaced bool) {
	if rec.Key == nil || r.options.Partitions == 0 {
		return rec.Partition, false
	}
	to = PartitionOf(rec.Key, r.options.Partitions)
	return to, to != rec.Partition && r.checkSize(rec) == nil && !forwarded(rec)
}

// Forward returns the record as it is to be produced to its right partition: unchanged, but for a header that names the
// partition it comes from. It shares key, value and header values with rec.
func Forward(rec *kgo.Record, to int32) *kgo.Record {
	headers := make([]kgo.RecordHeader, len(rec.Headers), len(rec.Headers)+1)
	copy(headers, rec.Headers)
	from := strconv.AppendInt(nil, int64(rec.Partition), 10)
	return &kgo.Record{
		Topic: rec.Topic, Partition: to, Timestamp: rec.Timestamp, Key: rec.Key, Value: rec.Value,
		Headers: append(headers, kgo.RecordHeader{Key: HeaderForwarded, Value: from}),
	}
}

func forwarded(rec *kgo.Record) bool {
	_, ok := header(rec, HeaderForwarded)
	return ok
}
