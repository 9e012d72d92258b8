package availability

import (
	"cmp"
	"slices"
)

// Movement is a change of on hand with its own time: an adjustment or a fulfilment. A merged movement is the sum of all
// in the minute [At, At+1min).
type Movement struct {
	At       Instant
	Quantity Quantity
	Merged   bool
}

// end is the first instant at which a count is later than the whole movement.
func (m Movement) end() Instant {
	if m.Merged {
		return m.At + Minute
	}
	return m.At + 1
}

// movementsKept is how many movements since the count a cell keeps apart; one more, and they merge into minutes.
const movementsKept = 15

// Cell is what one location holds of one SKU. Movements and Futures are replaced, never changed in place, so that a copy
// of a Cell stays as it was.
type Cell struct {
	Location LocationID
	Since    int64 // LocationSpec.Since when the cell began; another value voids all but Reserved

	Count     Quantity   // the newest count, and movements older than the horizon folded into it
	CountedAt Instant    // its effective date; None: never counted
	Movements []Movement // not earlier than CountedAt, sorted by At

	SafetyStock Quantity
	SafetyAt    Instant // date of its last change; None: never
	Futures     []Future
	FuturesAt   Instant
	Reserved    Quantity

	Known      bool // an event was applied since the last deletion: the location has the SKU
	Deleted    bool // CountedAt is the date of a deletion, not of a count
	SafetySet  bool // SafetyAt is the date of an update, not of a deletion
	FuturesSet bool

	moved  Quantity // Σ Movements
	loc    int32    // number in the graph; -1: the graph does not have the location
	before int32    // where the batch keeps its level before, plus one; 0: not captured
	dirty  bool     // the batch changed it
	bytes  int      // what Stock.bytes has of it
}

func newCell(id LocationID, since int64, loc int32) *Cell {
	return &Cell{Location: id, Since: since, CountedAt: None, SafetyAt: None, FuturesAt: None, loc: loc}
}

// onHand is the count and every movement since.
func (c *Cell) onHand() Quantity { return c.Count + c.moved }

// present says whether the location has the SKU.
func (c *Cell) present() bool { return c.Known || c.Reserved != 0 }

// history says whether anything but Reserved is known of the cell.
func (c *Cell) history() bool {
	return c.Known || c.Deleted || c.Count != 0 || len(c.Movements)+len(c.Futures) > 0 || max(c.CountedAt, c.SafetyAt, c.FuturesAt) != None
}

// sums are the numbers of a cell, or of many.
type sums struct {
	members     int32 // cells present
	onHand      Quantity
	reserved    Quantity
	safetyStock Quantity
	future      Quantity
	atf, ato    Quantity // of the clamped values
	short       Quantity // how far ATF's unclamped values are below zero
}

func (c *Cell) sums() sums {
	if !c.present() {
		return sums{}
	}
	s := sums{members: 1, onHand: c.onHand(), reserved: c.Reserved, safetyStock: c.SafetyStock}
	s.future = sumFutures(c.Futures)
	free := s.onHand - s.reserved - s.safetyStock
	s.atf, s.ato, s.short = max(0, free), max(0, free+s.future), max(0, -free)
	return s
}

func (s *sums) add(t sums) {
	s.members += t.members
	s.onHand += t.onHand
	s.reserved += t.reserved
	s.safetyStock += t.safetyStock
	s.future += t.future
	s.atf += t.atf
	s.ato += t.ato
	s.short += t.short
}

func (s *sums) subtract(t sums) {
	s.members -= t.members
	s.onHand -= t.onHand
	s.reserved -= t.reserved
	s.safetyStock -= t.safetyStock
	s.future -= t.future
	s.atf -= t.atf
	s.ato -= t.ato
	s.short -= t.short
}

// fit says whether every total can stand in a decimal(18,3).
func (s *sums) fit() bool {
	return s.onHand.fits() && s.reserved.fits() && s.safetyStock.fits() && s.future.fits() && s.ato.fits() && s.short.fits() && (s.onHand - s.reserved - s.safetyStock).fits()
}

// effectiveAt is the date of the count, None if never counted or deleted since.
func (c *Cell) effectiveAt() Instant {
	if c.Deleted || !c.Known {
		return None
	}
	return c.CountedAt
}

// apply folds a delta into the cell and returns how many of the values it carries were newer than what the cell knew,
// and how many older.
func (c *Cell) apply(d *Delta, horizon Instant) (fresh, stale int) {
	switch d.Mode {
	case Adjust:
		c.move(d.OnHand, d.EffectiveAt, horizon)
		return 1, 0
	case Delete:
		return c.deleteAt(d.EffectiveAt, horizon)
	case Update:
	}
	tally := func(ok bool) {
		if ok {
			fresh++
		} else {
			stale++
		}
	}
	if d.HasOnHand {
		ok := d.EffectiveAt >= c.CountedAt
		if tally(ok); ok {
			c.count(d.OnHand, d.EffectiveAt, horizon)
			c.Deleted = false
		}
	}
	if d.HasSafetyStock {
		ok := d.EffectiveAt >= c.SafetyAt
		if tally(ok); ok {
			c.SafetyStock, c.SafetyAt, c.SafetySet = d.SafetyStock, d.EffectiveAt, true
		}
	}
	if d.HasFutures {
		ok := d.EffectiveAt >= c.FuturesAt
		if tally(ok); ok {
			c.Futures, c.FuturesAt, c.FuturesSet = d.Futures, d.EffectiveAt, true
		}
	}
	if fresh > 0 || stale == 0 && !c.deletedAfter(d.EffectiveAt) {
		c.Known = true
	}
	return fresh, stale
}

// deletedAfter says whether the newest that is known of on hand is a deletion later than the date.
func (c *Cell) deletedAfter(at Instant) bool { return c.Deleted && at < c.CountedAt }

// count replaces the count. Movements that end before it are part of it; the others stay.
func (c *Cell) count(q Quantity, at, horizon Instant) {
	c.Count, c.CountedAt = q, at
	kept := make([]Movement, 0, len(c.Movements))
	for _, m := range c.Movements {
		if m.end() > at {
			kept = append(kept, m)
		}
	}
	c.setMovements(kept, horizon)
}

// move adds a movement; one that is earlier than the count is part of it already.
func (c *Cell) move(q Quantity, at, horizon Instant) {
	if at < c.CountedAt {
		c.Known = c.Known || !c.Deleted
		return
	}
	c.Known = true
	i, _ := slices.BinarySearchFunc(c.Movements, at, func(m Movement, at Instant) int { return cmp.Compare(m.At, at+1) })
	moved := make([]Movement, len(c.Movements)+1)
	copy(moved, c.Movements[:i])
	moved[i] = Movement{At: at, Quantity: q}
	copy(moved[i+1:], c.Movements[i:])
	if len(moved) > movementsKept {
		moved = merge(moved)
	}
	c.setMovements(moved, horizon)
}

// merge sums movements by the minute. It reuses its argument.
func merge(movements []Movement) []Movement {
	merged := movements[:0]
	for _, m := range movements {
		m.At, m.Merged = floorMinute(m.At), true
		if last := len(merged) - 1; last >= 0 && merged[last].At == m.At {
			merged[last].Quantity += m.Quantity
		} else {
			merged = append(merged, m)
		}
	}
	return merged
}

func floorMinute(at Instant) Instant {
	m := at % Minute
	if m < 0 {
		m += Minute
	}
	return at - m
}

// setMovements folds what is older than the horizon before the cell's newest record into the count and keeps the rest.
func (c *Cell) setMovements(movements []Movement, horizon Instant) {
	newest := c.CountedAt
	if n := len(movements); n > 0 {
		newest = max(newest, movements[n-1].At)
	}
	old := 0
	for old < len(movements) && movements[old].end() <= newest-horizon {
		c.Count += movements[old].Quantity
		old++
	}
	c.Movements, c.moved = movements[old:], 0
	for _, m := range c.Movements {
		c.moved += m.Quantity
	}
}

// deleteAt removes each value that is not newer than the date. The dates stay, so that older updates remain stale.
func (c *Cell) deleteAt(at, horizon Instant) (fresh, stale int) {
	survives := false
	if at >= c.CountedAt {
		c.count(0, at, horizon)
		c.Deleted = true
		fresh++
	} else {
		survives = !c.Deleted
	}
	if at >= c.SafetyAt {
		c.SafetyStock, c.SafetyAt, c.SafetySet = 0, at, false
		fresh++
	} else {
		survives = survives || c.SafetySet
	}
	if at >= c.FuturesAt {
		c.Futures, c.FuturesAt, c.FuturesSet = nil, at, false
		fresh++
	} else {
		survives = survives || c.FuturesSet
	}
	if fresh == 0 {
		return 0, 3
	}
	c.Known = c.Known && (survives || len(c.Movements) > 0)
	return fresh, 0
}
