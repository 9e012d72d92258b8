package cache

import (
	"encoding/binary"

	"onhand/processor/availability"
)

// A packed cell. Numbers are varints, see pack.go.
//
//	┌─────────────────────┬────────────────────────────────────────────────────────────────────────────┐
//	│ format, marks       │ 4 bits; Known, Deleted, SafetySet, FuturesSet                              │
//	│ parts               │ 1 bit counted · 1 safety stock · 2 SafetyAt · 2 FuturesAt · 1 reserved ·   │
//	│                     │ 1 lists; dates: none, that of the count, its own, that of the safety stock │
//	│ Since               │ 1 byte below version 64                                                    │
//	│ Count               │ 1 to 3 bytes                                                               │
//	│ [CountedAt]         │ 5 to 8 bytes: seconds, milliseconds or microseconds since 2020             │
//	│ [SafetyStock]       │                                                                            │
//	│ [SafetyAt]          │ difference to CountedAt                                                    │
//	│ [FuturesAt]         │ difference to CountedAt                                                    │
//	│ [Reserved]          │                                                                            │
//	│ [lists]             │ 0: they stand in the sibling key; else movements and futures               │
//	│ checksum            │ 1 byte                                                                     │
//	└─────────────────────┴────────────────────────────────────────────────────────────────────────────┘
const (
	markKnown = iota
	markDeleted
	markSafetySet
	markFuturesSet
)

const (
	partCounted = iota
	partSafety
	partSafetyAt
	_
	partFuturesAt
	_
	partReserved
	partLists
)

const (
	dateNone = iota
	dateOfCount
	dateOwn
	dateOfSafety
)

// emptyCell says whether a cell is what a location without one has.
func emptyCell(c *availability.Cell) bool {
	return c.Count == 0 && c.CountedAt == availability.None && len(c.Movements) == 0 && c.SafetyStock == 0 && c.SafetyAt == availability.None &&
		len(c.Futures) == 0 && c.FuturesAt == availability.None && c.Reserved == 0 && !c.Known && !c.Deleted && !c.SafetySet && !c.FuturesSet
}

// packCell returns the cell, in the room of b, which is empty, and, if they do not fit into it, its movements and futures.
func packCell(b []byte, c *availability.Cell) (packed, lists []byte) {
	counted, base := c.CountedAt != availability.None, epoch
	if counted {
		base = c.CountedAt
	}
	safetyAt := dateKind(c.SafetyAt, c.CountedAt, availability.None)
	futuresAt := dateKind(c.FuturesAt, c.CountedAt, c.SafetyAt)
	listed := len(c.Movements)+len(c.Futures) > 0

	b = append(b,
		format<<4|bit(c.Known, markKnown)|bit(c.Deleted, markDeleted)|bit(c.SafetySet, markSafetySet)|bit(c.FuturesSet, markFuturesSet),
		bit(counted, partCounted)|bit(c.SafetyStock != 0, partSafety)|safetyAt<<partSafetyAt|futuresAt<<partFuturesAt|bit(c.Reserved != 0, partReserved)|bit(listed, partLists))
	b = appendSigned(b, c.Since)
	b = appendQuantity(b, c.Count)
	if counted {
		b = appendInstant(b, c.CountedAt, epoch, false)
	}
	if c.SafetyStock != 0 {
		b = appendQuantity(b, c.SafetyStock)
	}
	if safetyAt == dateOwn {
		b = appendInstant(b, c.SafetyAt, base, false)
	}
	if futuresAt == dateOwn {
		b = appendInstant(b, c.FuturesAt, base, false)
	}
	if c.Reserved != 0 {
		b = appendQuantity(b, c.Reserved)
	}
	if listed {
		b, lists = appendLists(b, base, c.Movements, c.Futures)
	}
	return seal(b), lists
}

func dateKind(at, counted, safety availability.Instant) byte {
	switch at {
	case availability.None:
		return dateNone
	case counted:
		return dateOfCount
	case safety:
		return dateOfSafety
	}
	return dateOwn
}

// unpackCell reads a cell; lists is what the sibling key has for it, nil if nothing.
func unpackCell(packed, lists []byte) (c availability.Cell, err error) {
	u, marks, err := unpackSealed(packed)
	if err != nil {
		return c, err
	}
	set := func(bits byte, n int) bool { return bits>>n&1 != 0 }
	c.Known, c.Deleted, c.SafetySet, c.FuturesSet = set(marks, markKnown), set(marks, markDeleted), set(marks, markSafetySet), set(marks, markFuturesSet)
	parts := u.byte()
	c.Since = u.signed()
	c.Count = u.quantity()
	base := epoch
	c.CountedAt = availability.None
	if set(parts, partCounted) {
		c.CountedAt, _ = u.instant(epoch)
		base = c.CountedAt
	}
	if set(parts, partSafety) {
		c.SafetyStock = u.quantity()
	}
	c.SafetyAt = u.date(parts>>partSafetyAt&3, base, c.CountedAt, availability.None)
	c.FuturesAt = u.date(parts>>partFuturesAt&3, base, c.CountedAt, c.SafetyAt)
	if set(parts, partReserved) {
		c.Reserved = u.quantity()
	}
	if set(parts, partLists) {
		c.Movements, c.Futures, err = u.lists(base, lists)
		if err != nil {
			return c, err
		}
	}
	return c, u.end()
}

func (u *unpacker) date(kind byte, base, counted, safety availability.Instant) availability.Instant {
	switch kind {
	case dateOfCount:
		return counted
	case dateOfSafety:
		return safety
	case dateOwn:
		at, _ := u.instant(base)
		return at
	}
	return availability.None
}

// appendLists appends movements and futures if the value stays within a listpack's limit; else a zero, and it returns
// them as a value of their own.
//
//	count of movements + 1 · count of futures · per movement: date since the one before, with Merged; quantity ·
//	per future: the same
func appendLists(b []byte, base availability.Instant, movements []availability.Movement, futures []availability.Future) (packed, lists []byte) {
	if packed = appendEntries(b, base, movements, futures); len(packed) < listpackBytes {
		return packed, nil
	}
	return append(b, 0), seal(appendEntries([]byte{format << 4}, epoch, movements, futures))
}

func appendEntries(b []byte, base availability.Instant, movements []availability.Movement, futures []availability.Future) []byte {
	b = binary.AppendUvarint(b, uint64(len(movements)+1))
	b = binary.AppendUvarint(b, uint64(len(futures)))
	before := base
	for _, m := range movements {
		b = appendQuantity(appendInstant(b, m.At, before, m.Merged), m.Quantity)
		before = m.At
	}
	before = base
	for _, f := range futures {
		b = appendQuantity(appendInstant(b, f.Expected, before, false), f.Quantity)
		before = f.Expected
	}
	return b
}

func (u *unpacker) lists(base availability.Instant, sibling []byte) ([]availability.Movement, []availability.Future, error) {
	if len(u.rest) == 0 || u.rest[0] != 0 {
		movements, futures := u.entries(base)
		return movements, futures, nil
	}
	u.take(1)
	if sibling == nil {
		return nil, nil, errSibling
	}
	s, _, err := unpackSealed(sibling)
	if err != nil {
		return nil, nil, err
	}
	movements, futures := s.entries(epoch)
	return movements, futures, s.end()
}

func (u *unpacker) entries(base availability.Instant) (movements []availability.Movement, futures []availability.Future) {
	const entryBytes = 2
	n := u.count(1) - 1
	f := u.count(entryBytes)
	if u.bad || n < 0 || n > len(u.rest)/entryBytes {
		u.bad = true
		return nil, nil
	}
	before := base
	for range n {
		var m availability.Movement
		m.At, m.Merged = u.instant(before)
		m.Quantity = u.quantity()
		movements, before = append(movements, m), m.At
	}
	before = base
	for range f {
		var e availability.Future
		e.Expected, _ = u.instant(before)
		e.Quantity = u.quantity()
		futures, before = append(futures, e), e.Expected
	}
	return movements, futures
}
