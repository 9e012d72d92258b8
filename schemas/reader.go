package schemas

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// ValueBytesMax is the size of the largest value that is decoded, frame included.
const ValueBytesMax = 1 << 20

// listBytesMax bounds what the lists of one value may take while it is decoded by the code written for our schemas.
// Arithmetic: the densest honest value is a group of empty-named members, 1 byte on the wire and 16 in memory; ids have
// 2 to 128 characters, so 1 MiB of real members, 3 bytes or more each, takes 1 MiB / 3 × 16 = 5.3 MiB.
const listBytesMax = 8 << 20

// reader takes Avro binary apart, front to back. The first fault sticks: after it every read gives a zero value, and
// finish returns it. So a caller reads a whole record and asks once.
type reader struct {
	rest []byte
	free int // bytes of lists that may still be allocated
	err  error
}

func newReader(body []byte) reader { return reader{rest: body, free: listBytesMax} }

// fail keeps the first fault. at names the field.
func (r *reader) fail(at string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("field %s: %w", at, err)
	}
	r.rest = nil
}

// finish is the first fault, or that bytes are left over.
func (r *reader) finish() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w: %d bytes left over", ErrDecode, len(r.rest))
	}
	return r.err
}

func (r *reader) long(at string) int64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		u := r.rest[0]
		r.rest = r.rest[1:]
		return int64(u>>1) ^ -int64(u&1)
	}
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(at, fmt.Errorf("%w: number cut off or longer than 64 bits", ErrDecode))
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// int is a long that must fit 32 bits.
func (r *reader) int(at string) int64 {
	v := r.long(at)
	if int64(int32(v)) != v {
		r.fail(at, fmt.Errorf("%w: int longer than 32 bits", ErrDecode))
	}
	return v
}

// take is the next n bytes, in place.
func (r *reader) take(at string, n int64) []byte {
	if n < 0 || n > int64(len(r.rest)) {
		r.fail(at, fmt.Errorf("%w: %d bytes announced, %d left", ErrDecode, n, len(r.rest)))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) bytes(at string) []byte { return r.take(at, r.long(at)) }

func (r *reader) bool(at string) bool {
	b := r.take(at, 1)
	if len(b) == 1 && b[0] > 1 {
		r.fail(at, fmt.Errorf("%w: boolean %#02x", ErrDecode, b[0]))
	}
	return len(b) == 1 && b[0] == 1
}

// index is the position of a symbol or of a union's branch, below n.
func (r *reader) index(at string, n int) int {
	i := r.long(at)
	if i < 0 || i >= int64(n) {
		r.fail(at, fmt.Errorf("%w: no symbol or branch %d among %d", ErrDecode, i, n))
		return 0
	}
	return int(i)
}

// string copies the next string, unless it equals old, which is then used again: ids repeat from record to record.
func (r *reader) string(at, old string) string {
	b := r.bytes(at)
	if string(b) == old { // compares without a copy
		return old
	}
	if !utf8.Valid(b) {
		r.fail(at, errNotUTF8)
		return ""
	}
	return string(b)
}

var errNotUTF8 = fmt.Errorf("%w: string is not UTF-8", ErrDecode)

func (r *reader) milli(at string) Milli {
	b := r.bytes(at)
	if r.err != nil {
		return 0
	}
	q, err := milliOfBytes(b)
	if err != nil {
		r.fail(at, err)
	}
	return q
}

func (r *reader) micros(at string) Micros { return Micros(r.long(at)) }

func (r *reader) optionalMilli(at string) Optional[Milli] {
	if r.index(at, 2) == 0 {
		return Optional[Milli]{}
	}
	return Some(r.milli(at))
}

func (r *reader) optionalMicros(at string) Optional[Micros] {
	if r.index(at, 2) == 0 {
		return Optional[Micros]{}
	}
	return Some(r.micros(at))
}

func (r *reader) optionalString(at string, old Optional[string]) Optional[string] {
	if r.index(at, 2) == 0 {
		return Optional[string]{}
	}
	return Some(r.string(at, old.Value))
}

// block is the number of elements in the next block of an array or map, 0 at its end. Each takes at least bytesMin, so
// that a count which the bytes left cannot hold is refused before anything is allocated for it.
func (r *reader) block(at string, bytesMin int) int {
	n := r.long(at)
	if n < 0 {
		r.blockSize(at)
		n = -n // the smallest int64 stays negative, and is refused
	}
	if n < 0 || n > int64(len(r.rest)/bytesMin) {
		r.fail(at, fmt.Errorf("%w: %d elements announced, %d bytes left", ErrDecode, uint64(n), len(r.rest)))
		return 0
	}
	return int(n)
}

// blockSize passes over the size in bytes that follows a negative count. It is of use only to who skips the block.
func (r *reader) blockSize(at string) {
	if size := r.long(at); size < 0 || size > int64(len(r.rest)) {
		r.fail(at, fmt.Errorf("%w: block of %d bytes announced, %d left", ErrDecode, size, len(r.rest)))
	}
}

// grow makes room for n elements more and charges it to the reader.
func grow[T any](r *reader, at string, list []T, n int) []T {
	if len(list)+n <= cap(list) {
		return list
	}
	var element T
	room := max(len(list)+n, 2*len(list)) // doubled, so that many small blocks copy each element about once
	if r.free -= room * int(unsafe.Sizeof(element)); r.free < 0 {
		r.fail(at, fmt.Errorf("%w: lists above %d bytes", ErrTooLarge, listBytesMax))
		return list
	}
	return append(make([]T, 0, room), list...)
}
