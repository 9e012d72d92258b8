package availability

import "slices"

// Level is what one SKU has at one place, as the storefront sees it. The zero value but for SKU and Place: the place does
// not have the SKU, and its key in the topic is a tombstone.
type Level struct {
	SKU     SKU
	Place   Place
	Present bool

	OnHand              Quantity // may be below zero where adjustments say so
	Reserved            Quantity
	GroupReserved       Quantity // groups: promised and not yet transferred to a location
	SharedGroupReserved Quantity // groups: what promises of overlapping groups take
	SafetyStock         Quantity
	Futures             []Future
	FutureQuantity      Quantity
	NextExpectedAt      Instant // earliest future; None: no futures
	ATF, ATO            Quantity
	Shortfall           Quantity // how far below zero a location's unclamped ATF is; what a group's promises lack of ATO
	EffectiveAt         Instant  // date of the newest count; None: never counted
}

// absent is the level of a place that does not have the SKU.
func absent(sku SKU, p Place) Level {
	return Level{SKU: sku, Place: p, EffectiveAt: None, NextExpectedAt: None}
}

// Equal says whether two levels of a key are the same to a storefront.
func (l *Level) Equal(m *Level) bool {
	return l.Present == m.Present && l.OnHand == m.OnHand && l.Reserved == m.Reserved && l.GroupReserved == m.GroupReserved &&
		l.SharedGroupReserved == m.SharedGroupReserved && l.SafetyStock == m.SafetyStock && l.ATF == m.ATF && l.ATO == m.ATO &&
		l.Shortfall == m.Shortfall && l.EffectiveAt == m.EffectiveAt && slices.Equal(l.Futures, m.Futures)
}

func (l *Level) setFutures(futures []Future) {
	l.Futures, l.FutureQuantity, l.NextExpectedAt = futures, 0, None
	for _, f := range futures {
		l.FutureQuantity += f.Quantity
	}
	if len(futures) > 0 {
		l.NextExpectedAt = futures[0].Expected
	}
}

// Change is a level that a batch changed.
type Change struct {
	Before, After Level
	Cause         int // the caller's number of the newest event that touched it
}

func (f *Folder) locationLevel(s *Stock, loc int32, c *Cell) Level {
	id := Place{LocationPlace, ""}
	if loc >= 0 {
		id.ID = string(s.graph.locations[loc].ID)
	} else {
		id.ID = string(c.Location)
	}
	l := Level{SKU: s.SKU, Place: id, EffectiveAt: None, NextExpectedAt: None}
	if loc < 0 || c == nil || !s.graph.locations[loc].active || !c.present() {
		return l
	}
	n := c.sums()
	l.Present = true
	l.OnHand, l.Reserved, l.SafetyStock = n.onHand, n.reserved, n.safetyStock
	l.ATF, l.ATO, l.Shortfall = n.atf, n.ato, n.short
	l.EffectiveAt = c.effectiveAt()
	l.setFutures(c.Futures)
	return l
}

func (f *Folder) groupLevel(s *Stock, group int32) Level {
	g := &s.graph.groups[group]
	l := Level{SKU: s.SKU, Place: Place{GroupPlace, string(g.ID)}, EffectiveAt: None, NextExpectedAt: None}
	if !g.active {
		return l
	}
	n, futures, effectiveAt := s.whole(group)
	demand := s.demandOf(group)
	if n.members == 0 && demand == 0 {
		return l
	}
	l.Present = true
	l.OnHand, l.SafetyStock, l.GroupReserved, l.EffectiveAt = n.onHand, n.safetyStock, demand, effectiveAt
	l.setFutures(futures)
	if f.demanded(s, g.part) {
		order, fulfill := f.opened(s, g.part)
		l.ATO = max(0, order.available(group))
		if l.ATF = l.ATO; fulfill != order {
			l.ATF = max(0, fulfill.available(group))
		}
		l.Shortfall = order.unmet
	} else {
		l.ATO, l.ATF = n.ato, n.atf
	}
	l.SharedGroupReserved = max(0, n.ato-demand-l.ATO)
	l.Reserved = n.reserved + demand + l.SharedGroupReserved
	return l
}

// whole returns the totals of a group, the futures of its members, and the newest date of their counts.
func (s *Stock) whole(group int32) (n sums, futures []Future, effectiveAt Instant) {
	known := s.groupTotal(group)
	if known != nil && known.valid {
		return known.sums(), nil, known.effectiveAt
	}
	effectiveAt = None
	for _, number := range s.graph.groups[group].pools {
		if int(number) < len(s.pools) {
			p := &s.pools[number]
			n.add(p.sums())
			futures = addFutures(futures, p.Futures, 1)
			effectiveAt = max(effectiveAt, p.EffectiveAt)
		} else if c := s.peek(s.graph.pools[number].locations[0]); c != nil && c.present() {
			n.add(c.sums())
			futures = addFutures(futures, c.Futures, 1)
			effectiveAt = max(effectiveAt, c.effectiveAt())
		}
	}
	if known != nil && len(futures) == 0 {
		*known = groupTotal{n.onHand, n.reserved, n.safetyStock, n.atf, effectiveAt, n.members, true}
	}
	return n, futures, effectiveAt
}

// demanded says whether any group of the component has promised anything.
func (f *Folder) demanded(s *Stock, part int32) bool {
	for _, d := range s.demand {
		if s.graph.groups[d.group].part == part {
			return true
		}
	}
	return false
}

// opened returns the promises of a component on ATO and on ATF, which are one where nothing is expected. They stay open
// until the stock changes.
func (f *Folder) opened(s *Stock, part int32) (order, fulfill *promises) {
	if f.openStock != s || f.openPart != part {
		if f.openFutures = f.order.open(s, part, false); f.openFutures {
			f.fulfill.open(s, part, true)
		}
		f.openStock, f.openPart = s, part
	}
	if !f.openFutures {
		return &f.order, &f.order
	}
	return &f.order, &f.fulfill
}

// Levels returns the level of every place that has the SKU: locations by id, then groups by id. The stock must be
// complete.
func (f *Folder) Levels(s *Stock) []Level {
	f.openStock = nil
	var levels []Level
	for _, c := range s.cells {
		if l := f.locationLevel(s, c.loc, c); l.Present {
			levels = append(levels, l)
		}
	}
	for i := range s.graph.groups {
		if l := f.groupLevel(s, int32(i)); l.Present {
			levels = append(levels, l)
		}
	}
	return levels
}
