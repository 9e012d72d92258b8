package cache

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"onhand/processor/availability"
)

// A packed checkpoint. What stands before the numbers is its head: scripts compare the commit id, and every reply of
// Redis carries the head, so that a reader knows which state it has and which names that state was written with.
//
//	┌──────────────────────┬────────┬────────────────────────────────────────────────────────────────────┐
//	│ format               │ 1      │                                                                    │
//	│ commit id            │ 16     │                                                                    │
//	│ count of names       │ 4      │ little-endian                                                      │
//	│ hash of names        │ 8      │ little-endian; of the dictionary's names in order, see names.go    │
//	├──────────────────────┼────────┼────────────────────────────────────────────────────────────────────┤
//	│ 12 numbers           │ varint │ epoch, commit sequence, offsets, origins, results, dead letters,   │
//	│                      │        │ graph version, sweep cursor, partitions, newest                    │
//	│ checksum             │ 4      │ little-endian                                                      │
//	└──────────────────────┴────────┴────────────────────────────────────────────────────────────────────┘
const (
	commitIDAt  = 1
	markAt      = commitIDAt + 16
	markBytes   = 4 + 8
	headBytes   = markAt + markBytes
	numberCount = 8 + 2*availability.Inputs
)

// mark says which names a state was written with: how many, and their hash. It is comparable.
type mark struct {
	count uint32
	hash  uint64
}

func (m mark) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, m.count), m.hash)
}

func numbers(c *availability.Checkpoint) [numberCount]int64 {
	return [...]int64{
		c.Epoch, c.CommitSeq, c.Offsets[availability.Deltas], c.Offsets[availability.Events], c.Origin[availability.Deltas], c.Origin[availability.Events],
		c.Results, c.DeadLetters, c.GraphVersion, c.SweepCursor, int64(c.Partitions), int64(c.Newest),
	}
}

func packCheckpoint(c *availability.Checkpoint, m mark) []byte {
	b := append(make([]byte, 0, 96), format<<4)
	b = m.append(append(b, c.CommitID[:]...))
	for _, n := range numbers(c) {
		b = appendSigned(b, n)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(xxhash.Sum64(b)))
}

// unpackHead reads a head. Nothing stands for no checkpoint: the zero commit id, and no names.
func unpackHead(b []byte) (id availability.CommitID, m mark, err error) {
	if len(b) == 0 {
		return id, m, nil
	}
	if len(b) < headBytes {
		return id, m, errLength
	}
	if b[0] != format<<4 {
		return id, m, errFormat
	}
	copy(id[:], b[commitIDAt:])
	m.count = binary.LittleEndian.Uint32(b[markAt:])
	m.hash = binary.LittleEndian.Uint64(b[markAt+4:])
	return id, m, nil
}

func unpackCheckpoint(b []byte) (c availability.Checkpoint, err error) {
	if c.CommitID, _, err = unpackHead(b); err != nil || len(b) == 0 {
		return c, err
	}
	body := b[:len(b)-4]
	if uint32(xxhash.Sum64(body)) != binary.LittleEndian.Uint32(b[len(body):]) {
		return c, errChecksum
	}
	if len(body) < headBytes {
		return c, errLength
	}
	u := &unpacker{rest: body[headBytes:]}
	c.Epoch, c.CommitSeq = u.signed(), u.signed()
	c.Offsets = [availability.Inputs]int64{u.signed(), u.signed()}
	c.Origin = [availability.Inputs]int64{u.signed(), u.signed()}
	c.Results, c.DeadLetters, c.GraphVersion, c.SweepCursor = u.signed(), u.signed(), u.signed(), u.signed()
	partitions := u.signed()
	if c.Partitions = int32(partitions); int64(c.Partitions) != partitions {
		u.bad = true
	}
	c.Newest = availability.Instant(u.signed())
	return c, u.end()
}
