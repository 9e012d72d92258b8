package availability

import (
	"slices"

	"github.com/cespare/xxhash/v2"
)

// IDBatch is a list of ids that were first met in the same bucket of time.
type IDBatch struct {
	Bucket int64 // record timestamp / Window.bucket width
	IDs    []uint64
}

// Window remembers for a span of time which ids were met. It holds 64-bit hashes, some 11 bytes each.
//
// An id is a duplicate if it was met no longer ago than the span and less than a bucket, by the records' timestamps; so a
// replay answers as the first run did.
type Window struct {
	span    Instant
	width   Instant // span / windowBuckets
	buckets []windowBucket
	fresh   []IDBatch
}

type windowBucket struct {
	number int64
	ids    idSet
}

// windowBuckets is how many buckets a span has; what is remembered exceeds the span by at most one bucket.
const windowBuckets = 24

// NewWindow returns an empty window. The span is at least a minute.
func NewWindow(span Instant) *Window {
	span = max(span, Minute)
	return &Window{span: span, width: (span + windowBuckets - 1) / windowBuckets}
}

// bucket floors, so that instants before 1970 do not share the bucket of those after.
func (w *Window) bucket(at Instant) int64 {
	b := int64(at / w.width)
	if at%w.width < 0 {
		b--
	}
	return b
}

// covers says whether what was met at one time is remembered at another.
func (w *Window) covers(met, at Instant) bool { return w.bucket(met) >= w.bucket(at-w.span) }

// Has says whether the id was met within the span before at, or after it.
func (w *Window) Has(id uint64, at Instant) bool {
	oldest := w.bucket(at - w.span)
	for i := len(w.buckets) - 1; i >= 0 && w.buckets[i].number >= oldest; i-- {
		if w.buckets[i].ids.has(id) {
			return true
		}
	}
	return false
}

// Add remembers the id as met at the given time.
func (w *Window) Add(id uint64, at Instant) {
	number := w.bucket(at)
	if w.at(number).ids.add(id) {
		i := slices.IndexFunc(w.fresh, func(b IDBatch) bool { return b.Bucket == number })
		if i < 0 {
			i = len(w.fresh)
			w.fresh = append(w.fresh, IDBatch{Bucket: number})
		}
		w.fresh[i].IDs = append(w.fresh[i].IDs, id)
	}
}

// Restore puts back what a store has kept.
func (w *Window) Restore(batch IDBatch) {
	b := w.at(batch.Bucket)
	for _, id := range batch.IDs {
		b.ids.add(id)
	}
}

// Fresh returns what was added since the last call, for the store.
func (w *Window) Fresh() []IDBatch {
	fresh := w.fresh
	w.fresh = nil
	return fresh
}

// Expire forgets the buckets that no record near newest can ask for, and returns their numbers. A bucket is kept for two
// widths longer than the span: only a record later than that (2 h of 24 h) could miss it.
func (w *Window) Expire(newest Instant) []int64 {
	oldest := w.bucket(newest - w.span - 2*w.width)
	var gone []int64
	for len(w.buckets) > 0 && w.buckets[0].number < oldest {
		gone = append(gone, w.buckets[0].number)
		w.buckets = slices.Delete(w.buckets, 0, 1)
	}
	return gone
}

// Len is the number of ids remembered.
func (w *Window) Len() int {
	n := 0
	for i := range w.buckets {
		n += w.buckets[i].ids.n
	}
	return n
}

func (w *Window) at(number int64) *windowBucket {
	i, ok := slices.BinarySearchFunc(w.buckets, number, func(b windowBucket, n int64) int { return int(min(max(b.number-n, -1), 1)) })
	if !ok {
		w.buckets = slices.Insert(w.buckets, i, windowBucket{number: number})
	}
	return &w.buckets[i]
}

// idSet is an open-addressing set of non-zero hashes, at most 3/4 full.
type idSet struct {
	slots []uint64
	n     int
}

func (s *idSet) has(id uint64) bool {
	if s.n == 0 {
		return false
	}
	mask := uint64(len(s.slots) - 1)
	for i := id & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == id {
			return true
		}
	}
	return false
}

func (s *idSet) add(id uint64) bool {
	if s.n*4 >= len(s.slots)*3 {
		old := s.slots
		s.slots, s.n = make([]uint64, max(16, 2*len(old))), 0
		for _, id := range old {
			if id != 0 {
				s.add(id)
			}
		}
	}
	mask := uint64(len(s.slots) - 1)
	i := id & mask
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == id {
			return false
		}
	}
	s.slots[i] = id
	s.n++
	return true
}

// The kinds of ids do not meet: an adjustment and a reservation request may have the same text.
const (
	adjustmentID  = 'a'
	requestID     = 'r'
	reservationID = 'v'
)

// hashID is the idempotency key (id, sku) in 64 bits; never 0.
func hashID(kind byte, id string, sku SKU) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write([]byte{kind, byte(len(id)), byte(len(id) >> 8)})
	_, _ = d.WriteString(id)
	_, _ = d.WriteString(string(sku))
	return max(1, d.Sum64())
}
