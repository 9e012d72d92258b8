package topics

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/schemas"
)

const (
	chunkBytes   = 64 << 10 // 200 updates of some 300 bytes
	chunkHeaders = 2 << 10
	// An arena keeps at most this many chunks for the next records, however large the batch was.
	chunksMax = 128
)

// Arena is memory that many records are carved from, so that a batch of them costs a few allocations, and one like it
// later none. The zero value is ready for use. An arena is used by one goroutine at a time; records carved from it are
// safe from each other.
type Arena struct {
	bytes   slab[byte]
	headers slab[kgo.RecordHeader]

	update schemas.AvailabilityUpdate
	result schemas.ReservationResult

	// onhand.cause of the updates of one event is the same text.
	cause     Source
	causeText []byte
}

// Reset gives the memory of every record carved so far back, for others: none of them may be in use any more, by the
// client included.
func (a *Arena) Reset() {
	a.bytes.reset(chunkBytes)
	a.headers.reset(chunkHeaders)
	a.cause, a.causeText = Source{}, nil
}

// spare is room for n bytes or more, to be kept by keep.
func (a *Arena) spare(n int) []byte { return a.bytes.spare(n, chunkBytes) }

// keep returns what was appended to the room that spare gave, shut against appending. What outgrew the room stands in
// memory of its own.
func (a *Arena) keep(b []byte) []byte {
	a.bytes.keep(b)
	return b[:len(b):len(b)]
}

// list is an empty list with room for n headers.
func (a *Arena) list(n int) []kgo.RecordHeader {
	l := a.headers.spare(n, chunkHeaders)[:n:n]
	a.headers.keep(l)
	return l[:0]
}

// slab is memory in chunks that stay where they are.
type slab[T any] struct {
	chunks [][]T // full up to the one in use, empty after it
	at     int   // the one in use
}

// spare is empty, with room for n or more, in chunks of at least size.
func (s *slab[T]) spare(n, size int) []T {
	for ; s.at < len(s.chunks); s.at++ {
		if c := s.chunks[s.at]; cap(c)-len(c) >= n {
			return c[len(c):]
		}
	}
	s.chunks = append(s.chunks, make([]T, 0, max(n, size)))
	return s.chunks[s.at]
}

// keep takes what was put in the room that spare gave, if it still stands there.
func (s *slab[T]) keep(b []T) {
	c := s.chunks[s.at]
	if n := len(c) + len(b); n <= cap(c) && len(b) > 0 && &b[0] == &c[:n][len(c)] {
		s.chunks[s.at] = c[:n]
	}
}

// reset empties the chunks and keeps those of the usual size for use again.
func (s *slab[T]) reset(size int) {
	kept := s.chunks[:0]
	for _, c := range s.chunks {
		if cap(c) == size && len(kept) < chunksMax {
			kept = append(kept, c[:0])
		}
	}
	clear(s.chunks[len(kept):])
	s.chunks, s.at = kept, 0
}
