package topics

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

const (
	arenaBytes   = 64 << 10 // 100 updates of some 600 bytes
	arenaHeaders = 1 << 10
	// An arena keeps at most this for the next records, however large the batch was.
	arenaBytesMax   = 8 << 20
	arenaHeadersMax = 64 << 10
)

// Arena is memory that many records are carved from, so that a batch of them costs a few allocations, and one like it
// later none. The zero value is ready for use. An arena is used by one goroutine at a time; records carved from it are
// safe from each other.
type Arena struct {
	bytes       []byte
	headers     []kgo.RecordHeader
	bytesUsed   int // in memory that was filled up, which belongs to the records alone
	headersUsed int

	update schemas.AvailabilityUpdate
	result schemas.ReservationResult

	// ce_time of the records of one batch is the same text.
	computedAt availability.Instant
	timeText   []byte
	// onhand.cause of the updates of one event is the same text.
	cause     Source
	causeText []byte
}

// Reset gives the memory of every record carved so far back, for others: none of them may be in use any more, by the
// client included.
func (a *Arena) Reset() {
	if a.bytesUsed > 0 || cap(a.bytes) > arenaBytesMax {
		a.bytes = make([]byte, 0, min(a.bytesUsed+cap(a.bytes), arenaBytesMax))
	}
	if a.headersUsed > 0 || cap(a.headers) > arenaHeadersMax {
		a.headers = make([]kgo.RecordHeader, 0, min(a.headersUsed+cap(a.headers), arenaHeadersMax))
	}
	a.bytes, a.headers, a.bytesUsed, a.headersUsed = a.bytes[:0], a.headers[:0], 0, 0
	a.cause, a.causeText = Source{}, nil
	a.computedAt, a.timeText = 0, nil
}

// spare is room for n bytes or more, to be kept by keep.
func (a *Arena) spare(n int) []byte {
	if cap(a.bytes)-len(a.bytes) < n {
		a.bytesUsed += cap(a.bytes)
		a.bytes = make([]byte, 0, max(arenaBytes, n, min(2*cap(a.bytes), arenaBytesMax)))
	}
	return a.bytes[len(a.bytes):len(a.bytes):cap(a.bytes)]
}

// keep returns what was appended to the room that spare gave, shut against appending. What outgrew the room stands in
// memory of its own.
func (a *Arena) keep(b []byte) []byte {
	if n := len(a.bytes) + len(b); n <= cap(a.bytes) && len(b) > 0 && &b[0] == &a.bytes[:n][len(a.bytes)] {
		a.bytes = a.bytes[:n]
	}
	return b[:len(b):len(b)]
}

// list is an empty list with room for n headers.
func (a *Arena) list(n int) []kgo.RecordHeader {
	if cap(a.headers)-len(a.headers) < n {
		a.headersUsed += cap(a.headers)
		a.headers = make([]kgo.RecordHeader, 0, max(arenaHeaders, n, min(2*cap(a.headers), arenaHeadersMax)))
	}
	at := len(a.headers)
	a.headers = a.headers[:at+n]
	return a.headers[at : at : at+n]
}
