package schemas

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/twmb/franz-go/pkg/sr"
)

// appendHeader frames what follows as written with the schema of that id.
func appendHeader(dst []byte, id int) []byte {
	var header sr.ConfluentHeader
	dst, err := header.AppendEncode(dst, id, nil)
	if err != nil {
		panic(err) // documented to be always nil
	}
	return dst
}

func appendLong(dst []byte, v int64) []byte {
	return binary.AppendVarint(dst, v) // zigzag in groups of seven bits, as in Avro
}

func appendString(dst []byte, s string) []byte {
	dst = appendLong(dst, int64(len(s)))
	return append(dst, s...)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendMilli writes the fewest bytes of two's complement that hold the thousandths, big endian, at least one.
func appendMilli(dst []byte, q Milli) []byte {
	n := bits.Len64(uint64(q^q>>63))/8 + 1 // one bit more than the magnitude, for the sign
	dst = append(dst, byte(2*n))           // the length is a long too: n ≤ 8, zigzag 2n, one byte
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(q>>shift))
	}
	return dst
}

// appendSymbol writes an enum. A value without a symbol is a fault of the caller's program, never of its data, and would
// be a record that nobody can read.
func appendSymbol[E ~uint8](dst []byte, symbols []string, e E) []byte {
	if int(e) >= len(symbols) {
		panic(fmt.Sprintf("schemas: symbol %d is none of %v", e, symbols))
	}
	return append(dst, byte(e)<<1)
}

// The branch of a nullable value: null is the first in every union of ours.
const (
	branchNull  = 0 << 1
	branchValue = 1 << 1
)

func appendOptionalMilli(dst []byte, q Optional[Milli]) []byte {
	if !q.Valid {
		return append(dst, branchNull)
	}
	return appendMilli(append(dst, branchValue), q.Value)
}

func appendOptionalMicros(dst []byte, t Optional[Micros]) []byte {
	if !t.Valid {
		return append(dst, branchNull)
	}
	return appendLong(append(dst, branchValue), int64(t.Value))
}

func appendOptionalString(dst []byte, s Optional[string]) []byte {
	if !s.Valid {
		return append(dst, branchNull)
	}
	return appendString(append(dst, branchValue), s.Value)
}

// appendCount opens an array of n elements as one block; the caller writes them and then calls appendEnd.
func appendCount(dst []byte, n int) []byte {
	if n == 0 {
		return dst // no block at all, just the end
	}
	return appendLong(dst, int64(n))
}

func appendEnd(dst []byte) []byte { return append(dst, 0) }
