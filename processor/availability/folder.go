package availability

import (
	"cmp"
	"fmt"
	"slices"
)

// Rules are what an operator can choose of the arithmetic.
type Rules struct {
	Horizon Instant // movements older than this before a cell's newest record are folded into its count
	Window  Instant // how long record and request ids are remembered
}

// DefaultRules fold movements after 72 h and remember ids for 24 h.
func DefaultRules() Rules { return Rules{Horizon: 72 * Hour, Window: 24 * Hour} }

// Folder folds events into stocks. It holds what the stocks of a task share: the graph, the ids met, and scratch space.
// One goroutine uses it at a time.
type Folder struct {
	graph *Graph
	rules Rules
	ids   *Window

	order, fulfill promises
	openStock      *Stock
	openPart       int32
	openFutures    bool // fulfill differs from order
}

// NewFolder returns a Folder for stocks of the given graph.
func NewFolder(g *Graph, rules Rules, ids *Window) *Folder {
	return &Folder{graph: g, rules: rules, ids: ids}
}

// Graph returns the graph in use.
func (f *Folder) Graph() *Graph { return f.graph }

// SetGraph takes over another version. Stocks of the old one are rebuilt by Adopt before they are used again.
func (f *Folder) SetGraph(g *Graph) {
	f.graph = g
	f.openStock = nil
}

// capture keeps the level of a location, and of every group that a change there can reach, as they were before the batch.
func (f *Folder) capture(s *Stock, c *Cell, cause int) {
	if c.loc < 0 {
		return
	}
	f.captureCell(s, c, cause)
	groups := s.graph.groupsOf(c.loc)
	if len(groups) == 0 {
		return
	}
	if part := s.graph.groups[groups[0]].part; f.demanded(s, part) {
		groups = s.graph.parts[part].groups
	}
	f.captureGroups(s, groups, cause)
}

func (f *Folder) captureCell(s *Stock, c *Cell, cause int) {
	if c.before == 0 {
		s.touch(c)
		s.batch.before = append(s.batch.before, captured{f.locationLevel(s, c.loc, c), cause})
		c.before = int32(len(s.batch.before))
	}
	s.batch.before[c.before-1].cause = cause
}

// captureAll keeps the level of every place.
func (f *Folder) captureAll(s *Stock, cause int) {
	for _, c := range s.cells {
		f.captureCell(s, c, cause)
	}
	groups := make([]int32, len(s.graph.groups))
	for i := range groups {
		groups[i] = int32(i)
	}
	f.captureGroups(s, groups, cause)
}

// capturePart keeps the levels of a component before a group of it promises more or less.
func (f *Folder) capturePart(s *Stock, group int32, cause int) {
	if group < 0 || s.graph.groups[group].part < 0 {
		return
	}
	f.captureGroups(s, s.graph.parts[s.graph.groups[group].part].groups, cause)
}

func (f *Folder) captureGroups(s *Stock, groups []int32, cause int) {
	if n := len(s.graph.groups); len(s.batch.groupAt) != n {
		s.batch.groupAt = make([]int32, n)
	}
	for _, g := range groups {
		if s.batch.groupAt[g] == 0 {
			s.batch.before = append(s.batch.before, captured{f.groupLevel(s, g), cause})
			s.batch.groupAt[g] = int32(len(s.batch.before))
		}
		s.batch.before[s.batch.groupAt[g]-1].cause = cause
	}
}

// touched closes the open promises: the stock is about to change.
func (f *Folder) touched() { f.openStock = nil }

// Delta folds a stock event. The cause is the caller's number of the event. It returns how many of the values that the
// event carries were older than what is known.
func (f *Folder) Delta(s *Stock, d *Delta, cause int) (outcome Outcome, stale int) {
	loc := s.graph.location(d.Location)
	if loc < 0 || !s.graph.locations[loc].Inventory {
		return UnknownLocation, 0
	}
	var id uint64
	if d.Mode == Adjust {
		id = hashID(adjustmentID, d.RecordID, d.SKU)
		if f.ids.Has(id, d.At) {
			return Duplicate, 0
		}
	}
	c := s.cell(loc)
	next := *c
	fresh, stale := next.apply(d, f.rules.Horizon)
	if fresh == 0 && stale > 0 {
		return Stale, stale
	}
	before := c.sums()
	if !f.fits(s, c, before, next.sums()) {
		return Overflow, 0
	}
	f.capture(s, c, cause)
	f.touched()
	futures, effectiveAt := c.Futures, c.effectiveAt()
	next.before = c.before
	*c = next
	s.settle(c, before, futures, effectiveAt)
	if id != 0 {
		f.ids.Add(id, d.At)
	}
	return Applied, stale
}

// fits says whether every total of the location and of its groups can be written after the change.
func (f *Folder) fits(s *Stock, c *Cell, before, after sums) bool {
	if !after.fit() {
		return false
	}
	for _, g := range s.graph.groupsOf(c.loc) {
		n, _, _ := s.whole(g)
		n.subtract(before)
		n.add(after)
		n.reserved += s.demandOf(g)
		if !n.fit() {
			return false
		}
	}
	return true
}

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
	known := make(map[Place]int32, len(s.batch.before))
	for i := range s.batch.before {
		p := s.batch.before[i].level.Place
		known[p] = int32(i + 1)
		if p.Type == LocationPlace && s.graph.location(LocationID(p.ID)) >= 0 {
			// It may have left and returned meanwhile. Its cell stays, without a history, so that later events of the batch know
			// what was before, and Touch takes back what was published.
			s.cellOf(LocationID(p.ID))
		}
	}
	at := func(p Place) int32 {
		if known[p] == 0 {
			s.batch.before = append(s.batch.before, captured{Level{SKU: s.SKU, Place: p, EffectiveAt: None, NextExpectedAt: None}, cause})
			known[p] = int32(len(s.batch.before))
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
	for _, p := range gone {
		if !slices.ContainsFunc(s.batch.before, func(c captured) bool { return c.level.Place == p }) {
			s.batch.before = append(s.batch.before, captured{Level{SKU: s.SKU, Place: p, EffectiveAt: None, NextExpectedAt: None}, cause})
		}
	}
	s.batch.everything = true
}

// Finish ends a batch for the stock: it returns the levels that changed, appended to changes, and what the store has to
// write; wrote is false when that is nothing. A level that is the same as before is not a change, unless Touch said so.
func (f *Folder) Finish(s *Stock, changes []Change) (_ []Change, data StockData, wrote bool) {
	for i := range s.batch.before {
		b := &s.batch.before[i]
		after := f.levelOf(s, b.level.Place)
		if s.batch.everything || !b.level.Equal(&after) {
			changes = append(changes, Change{Before: b.level, After: after, Cause: b.cause})
		}
	}
	data, wrote = s.flush()
	return changes, data, wrote
}

func (f *Folder) levelOf(s *Stock, p Place) Level {
	switch p.Type {
	case LocationPlace:
		if loc := s.graph.location(LocationID(p.ID)); loc >= 0 {
			return f.locationLevel(s, loc, s.peek(loc))
		}
	case GroupPlace:
		if g := s.graph.group(GroupID(p.ID)); g >= 0 {
			return f.groupLevel(s, g)
		}
	case NoPlace:
		panic(fmt.Sprintf("level of %s without a place", s.SKU))
	}
	return Level{SKU: s.SKU, Place: p, EffectiveAt: None, NextExpectedAt: None}
}

// flush returns what the batch changed, and starts the next.
func (s *Stock) flush() (StockData, bool) {
	b := &s.batch
	d := StockData{SKU: s.SKU, Exists: s.exists, GraphVersion: s.graph.Version, Replace: b.replace}
	if b.replace {
		b.cells = append(append(b.cells[:0], s.cells...), s.orphans...)
	}
	for _, c := range b.cells {
		if c.dirty || b.replace {
			d.Cells = append(d.Cells, *c)
		}
		c.dirty, c.before = false, 0
		s.weigh(c)
	}
	if b.replace {
		b.pools = b.pools[:0]
		for i := range s.pools {
			b.pools = append(b.pools, int32(i))
		}
		b.demand = b.demand[:0]
		for _, q := range s.demand {
			b.demand = append(b.demand, s.graph.groups[q.group].ID)
		}
		for _, q := range s.lost {
			b.demand = append(b.demand, q.Group)
		}
	}
	for _, n := range b.pools {
		d.Pools = append(d.Pools, PoolData{Number: n, Pool: s.pools[n]})
	}
	for _, g := range b.demand {
		d.Demand = append(d.Demand, DemandData{Group: g, Quantity: s.lostDemand(g)})
	}
	d.Reservations = s.flushReservations()
	wrote := b.replace || len(d.Cells)+len(d.Pools)+len(d.Demand)+len(d.Reservations) > 0
	s.exists = s.exists || wrote
	s.batch = batch{before: b.before[:0], groupAt: b.groupAt, cells: b.cells[:0], pools: b.pools[:0], demand: b.demand[:0]}
	clear(s.batch.groupAt)
	return d, wrote
}
