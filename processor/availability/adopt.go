package availability

import (
	"cmp"
	"slices"
)

// Adopt brings a complete stock of another graph to the Folder's. Its levels before are those of the old graph. It does
// nothing to a stock of this graph.
func (f *Folder) Adopt(s *Stock, cause int) {
	if s.graph == f.graph {
		return
	}
	f.touched()
	f.captureAll(s, cause)
	old := s.graph
	cells := append(s.cells, s.orphans...)
	demands := append([]DemandData(nil), s.lost...)
	for _, d := range s.demand {
		demands = append(demands, DemandData{old.groups[d.group].ID, d.quantity})
	}
	f.rebuild(s, cells, demands)
	f.touched()
	f.markSeen(s, cause)
}

// rebuild computes pools and demand anew from the cells.
func (f *Folder) rebuild(s *Stock, cells []*Cell, demands []DemandData) {
	s.totals = nil
	s.locs = nil
	s.graph, s.cells, s.orphans, s.demand, s.lost = f.graph, nil, nil, nil, nil
	s.pools = make([]Pool, f.graph.shared)
	for i := range s.pools {
		s.pools[i].EffectiveAt = None
	}
	s.batch.replace = true
	slices.SortFunc(cells, func(a, b *Cell) int { return cmp.Compare(a.Location, b.Location) })
	for _, c := range cells {
		s.bytes -= c.bytes
		c.bytes = 0
		loc := f.graph.location(c.Location)
		if loc < 0 || f.graph.locations[loc].Since != c.Since {
			s.expect(c.Location, c.Futures, nil)
			if c.Reserved == 0 {
				continue
			}
			since := int64(0)
			if loc >= 0 {
				since = f.graph.locations[loc].Since
			}
			void := newCell(c.Location, since, loc)
			void.Reserved = c.Reserved
			c = void
		}
		c.loc, c.dirty, c.before = loc, false, 0
		s.weigh(c)
		if loc < 0 {
			s.orphans = append(s.orphans, c)
			continue
		}
		s.insert(len(s.cells), c)
		s.expect(c.Location, nil, c.Futures) // in case the index does not have it
		if number := f.graph.locations[loc].pool; number >= 0 && int(number) < len(s.pools) {
			p := &s.pools[number]
			p.replace(sums{}, c.sums())
			if c.present() {
				p.Futures = addFutures(p.Futures, c.Futures, 1)
			}
			p.EffectiveAt = max(p.EffectiveAt, c.effectiveAt())
		}
	}
	for _, d := range demands {
		if g := f.graph.group(d.Group); g >= 0 {
			s.demand = append(s.demand, demand{g, d.Quantity})
		} else {
			s.lost = append(s.lost, d)
		}
	}
	slices.SortFunc(s.demand, func(a, b demand) int { return cmp.Compare(a.group, b.group) })
}

// markSeen makes every place of the new graph one whose level before is known: what the old graph did not have was absent.
func (f *Folder) markSeen(s *Stock, cause int) {
	known := make(map[Place]int32)
	for at := s.batch.first; at != 0; at = f.before[at-1].next {
		p := f.before[at-1].level.Place
		known[p] = at
		f.before[at-1].number = s.graph.number(p)
		if p.Type == LocationPlace && s.graph.location(LocationID(p.ID)) >= 0 {
			// It may have left and returned meanwhile. Its cell stays, without a history, so that later events of the batch know
			// what was before, and Touch takes back what was published.
			s.cellOf(LocationID(p.ID))
		}
	}
	at := func(p Place) int32 {
		if known[p] == 0 {
			known[p] = f.note(s, absent(s.SKU, p), s.graph.number(p), cause)
		}
		return known[p]
	}
	for _, c := range s.cells {
		s.touch(c)
		c.before = at(Place{LocationPlace, string(c.Location)})
	}
	s.batch.groupAt = make([]int32, len(s.graph.groups))
	for i := range s.graph.groups {
		s.batch.groupAt[i] = at(Place{GroupPlace, string(s.graph.groups[i].ID)})
	}
}

// Touch makes the batch publish every level of a complete stock, changed or not, and a tombstone for every place of it
// that does not have the SKU any more. So does each of the places gone, which the graph does not have.
func (f *Folder) Touch(s *Stock, gone []Place, cause int) {
	f.captureAll(s, cause)
	known := make(map[Place]bool)
	for b := range f.noted(s) {
		known[b.level.Place] = true
	}
	for _, p := range gone {
		if !known[p] {
			f.note(s, absent(s.SKU, p), s.graph.number(p), cause)
		}
	}
	s.batch.everything = true
}
