package cache

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/cespare/xxhash/v2"

	"onhand/processor/availability"
)

// format stands in the upper half of the first byte of every packed value.
const format = 1

// listpackBytes is the longest field or value that Redis keeps in a listpack (hash-max-listpack-value).
const listpackBytes = 64

// epoch is 2020-01-01: dates near the present are a byte shorter from there than from 1970.
const epoch availability.Instant = 1577836800 * availability.Second

var (
	errChecksum = errors.New("checksum does not match")
	errFormat   = errors.New("format is not known to this version of onhand")
	errLength   = errors.New("length does not match")
	errContent  = errors.New("content makes no sense")
)

// appendTagged appends v as a varint whose first byte also carries a tag of 1 to 3 bits:
//
//	first byte  c ttt vvvv   c: more bytes follow, t: tag, v: the lowest bits of the number
//	then        the other bits of the number as a uvarint
func appendTagged(b []byte, tag byte, tagBits int, v uint64) []byte {
	low := 7 - tagBits
	first := tag<<low | byte(v)&(1<<low-1)
	if v >>= low; v == 0 {
		return append(b, first)
	}
	return binary.AppendUvarint(append(b, first|0x80), v)
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendSigned(b []byte, v int64) []byte { return binary.AppendUvarint(b, zigzag(v)) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendQuantity appends whole units (tag 0) or thousandths (tag 1): up to ±31 units take one byte, ±4,095 two.
func appendQuantity(b []byte, q availability.Quantity) []byte {
	if q%availability.Unit == 0 {
		return appendTagged(b, 0, 1, zigzag(int64(q/availability.Unit)))
	}
	return appendTagged(b, 1, 1, zigzag(int64(q)))
}

// instantUnits are what dates are counted in, by tag: most sources know no microseconds.
var instantUnits = [4]int64{1, 1e3, 1e6, 60e6}

// appendInstant appends a date as its difference to another, with a flag. Differences wrap around, so that any two
// instants will do.
func appendInstant(b []byte, at, base availability.Instant, flag bool) []byte {
	difference, unit := int64(at-base), len(instantUnits)-1
	for difference%instantUnits[unit] != 0 {
		unit--
	}
	return appendTagged(b, byte(unit)<<1|bit(flag, 0), 3, zigzag(difference/instantUnits[unit]))
}

func bit(set bool, n int) byte {
	if set {
		return 1 << n
	}
	return 0
}

// seal appends a checksum: one byte as long as the whole fits a listpack, else four.
func seal(b []byte) []byte {
	sum := xxhash.Sum64(b)
	if len(b) < listpackBytes {
		return append(b, byte(sum))
	}
	return binary.LittleEndian.AppendUint32(b, uint32(sum))
}

// unseal returns what stands before the checksum.
func unseal(b []byte) ([]byte, error) {
	switch n := len(b); {
	case n < 2 || n > listpackBytes && n < listpackBytes+4:
		return nil, errLength
	case n <= listpackBytes:
		if body := b[:n-1]; byte(xxhash.Sum64(body)) == b[n-1] {
			return body, nil
		}
	default:
		if body := b[:n-4]; uint32(xxhash.Sum64(body)) == binary.LittleEndian.Uint32(b[n-4:]) {
			return body, nil
		}
	}
	return nil, errChecksum
}

// unpacker reads packed values. After bytes that make no sense it is bad and returns zeros.
type unpacker struct {
	rest []byte
	bad  bool
}

// unpackSealed returns an unpacker of a sealed value whose first byte, which it returns, has the format.
func unpackSealed(b []byte) (*unpacker, byte, error) {
	body, err := unseal(b)
	if err != nil {
		return nil, 0, err
	}
	if body[0]>>4 != format {
		return nil, 0, errFormat
	}
	return &unpacker{rest: body[1:]}, body[0] & 0x0f, nil
}

// end says whether all was read, and all made sense.
func (u *unpacker) end() error {
	if u.bad {
		return errContent
	}
	if len(u.rest) != 0 {
		return errLength
	}
	return nil
}

func (u *unpacker) take(n int) []byte {
	if u.bad || n < 0 || n > len(u.rest) {
		u.bad = true
		return nil
	}
	taken := u.rest[:n]
	u.rest = u.rest[n:]
	return taken
}

func (u *unpacker) byte() byte {
	if b := u.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (u *unpacker) uint64() uint64 {
	if b := u.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.rest)
	if n <= 0 {
		u.bad = true
	}
	if u.take(max(n, 0)); u.bad {
		return 0
	}
	return v
}

func (u *unpacker) signed() int64 { return unzigzag(u.uvarint()) }

func (u *unpacker) text() string {
	n := u.uvarint()
	if n > uint64(len(u.rest)) {
		u.bad = true
		return ""
	}
	return string(u.take(int(n)))
}

// count reads how many entries follow, each of at least the given number of bytes; so nonsense allocates nothing.
func (u *unpacker) count(entryBytes int) int {
	n := u.uvarint()
	if n > uint64(len(u.rest)/entryBytes) {
		u.bad = true
		return 0
	}
	return int(n)
}

func (u *unpacker) tagged(tagBits int) (tag byte, v uint64) {
	low := 7 - tagBits
	first := u.byte()
	tag, v = first&0x7f>>low, uint64(first&(1<<low-1))
	if first&0x80 != 0 {
		more := u.uvarint()
		if more>>(64-low) != 0 {
			u.bad = true
		}
		v |= more << low
	}
	return tag, v
}

func (u *unpacker) quantity() availability.Quantity {
	tag, v := u.tagged(1)
	q := unzigzag(v)
	if tag == 0 {
		if q > math.MaxInt64/int64(availability.Unit) || q < math.MinInt64/int64(availability.Unit) {
			u.bad = true
			return 0
		}
		q *= int64(availability.Unit)
	}
	return availability.Quantity(q)
}

func (u *unpacker) instant(base availability.Instant) (at availability.Instant, flag bool) {
	tag, v := u.tagged(3)
	return base + availability.Instant(unzigzag(v)*instantUnits[tag>>1]), tag&1 != 0
}
