package availability

import (
	"cmp"
	"slices"
)

// DropOverdue removes the futures of a location that were expected up to a date, that date included. The date of their last
// change stays, so that an older update remains stale. Stale: there were none, or the graph does not have the location.
//
// The entry of that date leaves the index whatever there was: it has done its work.
func (f *Folder) DropOverdue(s *Stock, location LocationID, until Instant, cause int) Outcome {
	if s.exists {
		s.batch.due = append(s.batch.due, FutureDue{Location: location, At: until, Removed: true})
	}
	loc := s.graph.location(location)
	if loc < 0 {
		return Stale
	}
	c := s.peek(loc)
	if c == nil || firstExpected(c.Futures) == None || firstExpected(c.Futures) > until {
		return Stale
	}
	f.capture(s, c, cause)
	f.touched()
	before, futures, effectiveAt := c.sums(), c.Futures, c.effectiveAt()
	c.Futures = nil
	for i := range futures {
		if futures[i].Expected > until {
			c.Futures = futures[i:]
			break
		}
	}
	s.settle(c, before, futures, effectiveAt)
	return Applied
}

// firstExpected is the earliest date of a list of futures; None: it is empty.
func firstExpected(futures []Future) Instant {
	if len(futures) == 0 {
		return None
	}
	return futures[0].Expected
}

// expect keeps the index of futures in step with a cell: it has the earliest date of each location.
func (s *Stock) expect(location LocationID, before, after []Future) {
	was, is := firstExpected(before), firstExpected(after)
	if was == is {
		return
	}
	if was != None {
		s.batch.due = append(s.batch.due, FutureDue{Location: location, At: was, Removed: true})
	}
	if is != None {
		s.batch.due = append(s.batch.due, FutureDue{Location: location, At: is})
	}
}

// Awaits says whether the earliest future of a location is of that date, as far as memory knows: a cell that is not loaded
// may have it.
func (s *Stock) Awaits(location LocationID, at Instant) bool {
	loc := s.graph.location(location)
	if loc < 0 {
		return true
	}
	c := s.peek(loc)
	return c == nil && !s.complete || c != nil && firstExpected(c.Futures) == at
}

// Republish computes anew what is derived of a stock that is held whole: what is reserved at its locations and groups, from
// the lines of its reservations, and its pools, from the cells. Counts, movements, safety stock, futures and reservations
// are the truth. The batch writes all of it, and publishes every level, changed or not; of the places named, those that do
// not have the SKU get a tombstone.
func (f *Folder) Republish(s *Stock, places []string, cause int) {
	var gone []Place
	for _, id := range places {
		if loc := s.graph.location(LocationID(id)); loc >= 0 {
			s.cell(loc) // a later event of the batch may touch it: it is captured as what it is, once
		} else if s.graph.group(GroupID(id)) < 0 {
			gone = append(gone, Place{LocationPlace, id})
		}
	}
	f.captureAll(s, cause)
	f.touched()
	held := s.heldByPlace()
	something := s.exists || len(held) > 0
	cells := append(slices.Clone(s.cells), s.orphans...)
	for _, c := range cells {
		p := Place{LocationPlace, string(c.Location)}
		c.Reserved = held[p]
		delete(held, p)
	}
	var demands []DemandData
	for p, q := range held { // order-free: sorted below, cells by rebuild
		if p.Type == GroupPlace {
			demands = append(demands, DemandData{GroupID(p.ID), q})
		} else {
			c := f.emptyCell(LocationID(p.ID))
			c.Reserved = q
			cells = append(cells, &c)
		}
	}
	slices.SortFunc(demands, func(a, b DemandData) int { return cmp.Compare(a.Group, b.Group) })
	if something {
		s.exists = false // the batch lists the SKU again, where the store has lost it from its lists
		f.rebuild(s, cells, demands)
		f.markSeen(s, cause)
	}
	f.Touch(s, gone, cause)
}

// heldByPlace adds up the lines of the reservations.
func (s *Stock) heldByPlace() map[Place]Quantity {
	held := make(map[Place]Quantity)
	for _, r := range s.reservations { // order-free: sums
		if r != nil {
			for _, l := range r.Lines {
				held[l.Place] += l.Quantity
			}
		}
	}
	return held
}
