package availability

import (
	"iter"
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

	before  []captured // of every stock that the batch touches
	holding int        // stocks that have levels there

	fetched int // what Fetch came to: reads that nobody used would not be made
}

// captured is a level as it was before the batch.
type captured struct {
	level  Level
	number int32 // of the place in the stock's graph; -1: the graph does not have it
	next   int32 // the stock's next in Folder.before, plus one; 0: the last
	cause  int
}

// note keeps a level from before the batch. It returns where, plus one.
func (f *Folder) note(s *Stock, level Level, number int32, cause int) int32 {
	f.before = append(f.before, captured{level: level, number: number, cause: cause})
	at := int32(len(f.before))
	if s.batch.first == 0 {
		s.batch.first = at
		f.holding++
	} else {
		f.before[s.batch.last-1].next = at
	}
	s.batch.last = at
	return at
}

// noted runs over a stock's levels from before the batch.
func (f *Folder) noted(s *Stock) iter.Seq[*captured] {
	return func(yield func(*captured) bool) {
		for at := s.batch.first; at != 0; at = f.before[at-1].next {
			if !yield(&f.before[at-1]) {
				return
			}
		}
	}
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
		c.before = f.note(s, f.locationLevel(s, c.loc, c), c.loc, cause)
	}
	f.before[c.before-1].cause = cause
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
			s.batch.groupAt[g] = f.note(s, f.groupLevel(s, g), g, cause)
		}
		f.before[s.batch.groupAt[g]-1].cause = cause
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
	return f.delta(s, d, loc, cause)
}

// Again is Delta for an event that counted before, in a replay: the location may have become one that takes no stock since,
// which keeps what it has.
func (f *Folder) Again(s *Stock, d *Delta, cause int) (outcome Outcome, stale int) {
	loc := s.graph.location(d.Location)
	if loc < 0 {
		return UnknownLocation, 0
	}
	return f.delta(s, d, loc, cause)
}

func (f *Folder) delta(s *Stock, d *Delta, loc int32, cause int) (outcome Outcome, stale int) {
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

// Remember makes an adjustment one that counted, without folding it: of a location that is gone.
func (f *Folder) Remember(d *Delta) {
	if id := hashID(adjustmentID, d.RecordID, d.SKU); d.Mode == Adjust && !f.ids.Has(id, d.At) {
		f.ids.Add(id, d.At)
	}
}

// Void takes away what the locations have that joined with that version of the graph or a later one, but for what is
// reserved there: as if they joined at this moment.
func (f *Folder) Void(s *Stock, since int64, cause int) {
	if joined := s.graph.joined; len(joined) == 0 || joined[len(joined)-1] < since {
		return
	}
	for _, c := range s.cells {
		if s.graph.locations[c.loc].Since < since || !c.history() {
			continue
		}
		f.capture(s, c, cause)
		f.touched()
		before, futures, effectiveAt := c.sums(), c.Futures, c.effectiveAt()
		void := newCell(c.Location, c.Since, c.loc)
		void.Reserved, void.before, void.dirty, void.bytes = c.Reserved, c.before, c.dirty, c.bytes
		*c = *void
		s.settle(c, before, futures, effectiveAt)
	}
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

// Finish ends a batch for the stock: it returns the levels that changed, appended to changes, and what the store has to
// write; wrote is false when that is nothing. A level that is the same as before is not a change, unless Touch said so.
func (f *Folder) Finish(s *Stock, changes []Change) (_ []Change, data StockData, wrote bool) {
	for b := range f.noted(s) {
		after := f.levelOf(s, b.level.Place, b.number)
		if s.batch.everything || !b.level.Equal(&after) {
			changes = append(changes, Change{Before: b.level, After: after, Cause: b.cause})
		}
	}
	if s.batch.first != 0 {
		if f.holding--; f.holding == 0 {
			f.before = f.before[:0]
		}
	}
	data, wrote = s.flush()
	return changes, data, wrote
}

// levelOf returns the level of a place that has this number in the stock's graph.
func (f *Folder) levelOf(s *Stock, p Place, number int32) Level {
	switch {
	case number < 0:
		return absent(s.SKU, p)
	case p.Type == GroupPlace:
		return f.groupLevel(s, number)
	default:
		return f.locationLevel(s, number, s.peek(number))
	}
}

// flush returns what the batch changed, and starts the next.
func (s *Stock) flush() (StockData, bool) {
	b := &s.batch
	d := StockData{SKU: s.SKU, Exists: s.exists, GraphVersion: s.graph.Version, Replace: b.replace}
	if b.replace {
		b.cells = append(append(b.cells[:0], s.cells...), s.orphans...)
	}
	if len(b.cells) > 0 {
		d.Cells = make([]Cell, 0, len(b.cells))
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
	if len(b.pools) > 0 {
		d.Pools = make([]PoolData, 0, len(b.pools))
	}
	for _, n := range b.pools {
		d.Pools = append(d.Pools, PoolData{Number: n, Pool: s.pools[n]})
	}
	for _, g := range b.demand {
		d.Demand = append(d.Demand, DemandData{Group: g, Quantity: s.lostDemand(g)})
	}
	d.Reservations = s.flushReservations()
	d.FuturesDue = b.due
	wrote := b.replace || len(d.Cells)+len(d.Pools)+len(d.Demand)+len(d.Reservations)+len(d.FuturesDue) > 0
	s.exists = s.exists || wrote
	s.batch = batch{groupAt: b.groupAt, cells: b.cells[:0], pools: b.pools[:0], demand: b.demand[:0]}
	clear(s.batch.groupAt)
	return d, wrote
}
