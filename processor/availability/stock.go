package availability

import (
	"cmp"
	"slices"
)

// Stock is everything a task holds of one SKU: its cells, the sums of its pools, what groups have promised, and the
// reservations that were asked for. With a graph of many locations it may hold a part of the cells; it always holds
// every pool and demand.
//
// A Stock is used by one goroutine at a time, through a Folder of the same graph.
type Stock struct {
	SKU      SKU
	graph    *Graph
	exists   bool
	complete bool

	cells   []*Cell // sorted by loc; of locations that the graph has
	locs    []int32 // their locations: a search does not touch the cells
	orphans []*Cell // of locations that it does not have: only Reserved counts for anything, and nowhere
	pools   []Pool  // one per shared pool of the graph
	demand  []demand
	lost    []DemandData // demand of groups that the graph does not have

	reservations map[string]*Reservation // nil value: the store has none
	known        bool                    // what the store has beside them is in forgotten
	forgotten    []uint32                // hashes of reservations that memory has dropped

	bytes  int          // estimate of what cells and reservations take, as of the last Finish
	totals []groupTotal // by group; nil: not made

	batch batch
}

// groupTotal is what the members of a group come to, kept while no member has futures: a change of a cell changes it by as
// much, so that a level costs no walk over the pools.
type groupTotal struct {
	onHand      Quantity
	reserved    Quantity
	safetyStock Quantity
	free        Quantity // Σ of the locations' clamped values: ATF and ATO are one without futures
	effectiveAt Instant
	members     int32
	valid       bool
}

func (t *groupTotal) sums() sums {
	return sums{members: t.members, onHand: t.onHand, reserved: t.reserved, safetyStock: t.safetyStock, atf: t.free, ato: t.free}
}

// totalsMax is the number of groups up to which their totals are kept: 64 of 48 bytes a SKU.
const totalsMax = 64

// groupTotal returns where a group's total is kept, or nil.
func (s *Stock) groupTotal(group int32) *groupTotal {
	if s.totals == nil {
		if len(s.graph.groups) > totalsMax {
			return nil
		}
		s.totals = make([]groupTotal, len(s.graph.groups))
	}
	return &s.totals[group]
}

// carry changes the totals of a cell's groups by what the cell has changed.
func (s *Stock) carry(c *Cell, before sums, futures []Future, effectiveAt Instant) {
	if s.totals == nil {
		return
	}
	after, at := c.sums(), c.effectiveAt()
	for _, g := range s.graph.groupsOf(c.loc) {
		t := &s.totals[g]
		if !t.valid {
			continue
		}
		t.members += after.members - before.members
		t.onHand += after.onHand - before.onHand
		t.reserved += after.reserved - before.reserved
		t.safetyStock += after.safetyStock - before.safetyStock
		t.free += after.atf - before.atf
		if at >= t.effectiveAt {
			t.effectiveAt = at
		} else if effectiveAt == t.effectiveAt {
			t.valid = false
		}
		if len(futures)+len(c.Futures) > 0 {
			t.valid = false
		}
	}
}

type demand struct {
	group    int32
	quantity Quantity
}

// batch is what a batch has done to a Stock so far.
type batch struct {
	first      int32 // the stock's levels from before, in Folder.before, plus one; 0: none
	last       int32
	groupAt    []int32 // by group: its place in Folder.before, plus one; 0: not captured
	cells      []*Cell // touched: captured or dirty
	pools      []int32
	demand     []GroupID
	changed    map[string]*Reservation // reservations written, with their state before (nil: none)
	due        []FutureDue             // in the order of the changes
	replace    bool
	everything bool // publish every level, changed or not
}

// NewStock builds the stock of a SKU as a store had it, with the graph that its pools were computed with.
func NewStock(g *Graph, d *StockData) *Stock {
	s := &Stock{SKU: d.SKU, graph: g, exists: d.Exists, complete: d.Complete, pools: make([]Pool, g.shared), reservations: make(map[string]*Reservation)}
	for i := range s.pools {
		s.pools[i].EffectiveAt = None
	}
	for _, p := range d.Pools {
		if int(p.Number) < len(s.pools) {
			s.pools[p.Number] = p.Pool
		}
	}
	for _, q := range d.Demand {
		if i := g.group(q.Group); i >= 0 {
			s.demand = append(s.demand, demand{i, q.Quantity})
		} else {
			s.lost = append(s.lost, q)
		}
	}
	slices.SortFunc(s.demand, func(a, b demand) int { return cmp.Compare(a.group, b.group) })
	s.Load(d, nil)
	return s
}

// Load adds cells and reservations that the stock does not hold yet. A location that was asked for and did not come has
// no cell in the store.
func (s *Stock) Load(d *StockData, asked []LocationID) {
	s.totals = nil
	for i := range d.Cells {
		c := d.Cells[i]
		c.loc, c.moved, c.dirty, c.before, c.bytes = s.graph.location(c.Location), 0, false, 0, 0
		for _, m := range c.Movements {
			c.moved += m.Quantity
		}
		if c.loc < 0 {
			if !s.holds(c.Location) {
				s.orphans = append(s.orphans, s.weigh(&c))
			}
		} else if at, ok := s.find(c.loc); !ok {
			s.insert(at, s.weigh(&c))
		}
	}
	for _, id := range asked {
		s.cellOf(id)
	}
	for _, r := range d.Reservations {
		if _, ok := s.reservations[r.ID]; !ok {
			s.reservations[r.ID] = r.Reservation
			s.bytes += reservationBytes(r.ID) + r.Reservation.bytes()
		}
	}
	s.known = s.known || d.Every
	s.complete = s.complete || d.Complete
}

func (s *Stock) insert(at int, c *Cell) {
	s.cells = slices.Insert(s.cells, at, c)
	s.locs = slices.Insert(s.locs, at, c.loc)
}

func (s *Stock) find(loc int32) (int, bool) {
	if n := len(s.cells); n == len(s.graph.locations) {
		return int(loc), true
	}
	return slices.BinarySearch(s.locs, loc)
}

// peek returns the cell of a location, or nil.
func (s *Stock) peek(loc int32) *Cell {
	if at, ok := s.find(loc); ok {
		return s.cells[at]
	}
	return nil
}

// cell returns the cell of a location of the graph, new and empty if there was none.
func (s *Stock) cell(loc int32) *Cell {
	at, ok := s.find(loc)
	if !ok {
		l := &s.graph.locations[loc]
		s.insert(at, s.weigh(newCell(l.ID, l.Since, loc)))
	}
	return s.cells[at]
}

// cellOf returns the cell of a location that the graph may not have.
func (s *Stock) cellOf(id LocationID) *Cell {
	if loc := s.graph.location(id); loc >= 0 {
		return s.cell(loc)
	}
	i := slices.IndexFunc(s.orphans, func(c *Cell) bool { return c.Location == id })
	if i < 0 {
		i = len(s.orphans)
		s.orphans = append(s.orphans, s.weigh(newCell(id, 0, -1)))
	}
	return s.orphans[i]
}

// Missing returns what of a Want the stock does not hold, and whether that is anything.
func (s *Stock) Missing(w *Want) (Want, bool) {
	missing := Want{SKU: w.SKU, Whole: w.Whole && !s.known}
	if !s.complete {
		missing.All = w.All
		for _, id := range w.Locations {
			if !s.holds(id) {
				missing.Locations = append(missing.Locations, id)
			}
		}
	}
	for _, id := range w.Reservations {
		if _, ok := s.reservations[id]; !ok && s.mayHave(id) {
			missing.Reservations = append(missing.Reservations, id)
		}
	}
	return missing, missing.All || missing.Whole || len(missing.Locations)+len(missing.Reservations) > 0
}

func (s *Stock) holds(id LocationID) bool {
	if loc := s.graph.location(id); loc >= 0 {
		return s.peek(loc) != nil
	}
	return slices.ContainsFunc(s.orphans, func(c *Cell) bool { return c.Location == id })
}

// Complete says whether every cell of the SKU is here.
func (s *Stock) Complete() bool { return s.complete }

// GraphVersion is the version of the graph that the stock was computed with.
func (s *Stock) GraphVersion() int64 { return s.graph.Version }

// Bytes estimates the memory that the stock took after the last Finish. It does not look at every cell or reservation.
func (s *Stock) Bytes() int {
	n := 400 + len(s.SKU) + 4*cap(s.forgotten) + 8*cap(s.cells) + 96*len(s.pools) + 48*len(s.totals) + 16*len(s.demand) + s.bytes
	for i := range s.pools {
		n += 16 * len(s.pools[i].Futures)
	}
	return n
}

// weigh brings the estimate up to date with a cell.
func (s *Stock) weigh(c *Cell) *Cell {
	n := 216 + 24*len(c.Movements) + 16*len(c.Futures)
	s.bytes += n - c.bytes
	c.bytes = n
	return c
}

// freeOf returns what a pool has free to fulfil and to order, which for a pool of one location is what its cell has.
func (s *Stock) freeOf(pool int32) (atf, ato Quantity) {
	if int(pool) < len(s.pools) {
		return s.pools[pool].ATF, s.pools[pool].ATO
	}
	if c := s.peek(s.graph.pools[pool].locations[0]); c != nil {
		n := c.sums()
		return n.atf, n.ato
	}
	return 0, 0
}

// settle carries a cell's change into its pool. The cell's sums and futures before the change come with it.
func (s *Stock) settle(c *Cell, before sums, futures []Future, effectiveAt Instant) {
	s.touch(c)
	c.dirty = true
	if c.loc < 0 {
		return
	}
	s.carry(c, before, futures, effectiveAt)
	s.expect(c.Location, futures, c.Futures)
	number := s.graph.locations[c.loc].pool
	if number < 0 || int(number) >= len(s.pools) {
		return
	}
	p := &s.pools[number]
	p.replace(before, c.sums())
	if !slices.Equal(futures, c.Futures) {
		p.Futures = addFutures(addFutures(p.Futures, futures, -1), c.Futures, 1)
	}
	if after := c.effectiveAt(); after >= p.EffectiveAt {
		p.EffectiveAt = after
	} else if effectiveAt == p.EffectiveAt {
		p.EffectiveAt = None
		for _, loc := range s.graph.pools[number].locations {
			if m := s.peek(loc); m != nil {
				p.EffectiveAt = max(p.EffectiveAt, m.effectiveAt())
			}
		}
	}
	if !slices.Contains(s.batch.pools, number) {
		s.batch.pools = append(s.batch.pools, number)
	}
}

// touch notes that the batch has to do with the cell.
func (s *Stock) touch(c *Cell) {
	if !c.dirty && c.before == 0 {
		s.batch.cells = append(s.batch.cells, c)
	}
}

// reserve changes what is reserved at a location.
func (s *Stock) reserve(c *Cell, q Quantity) {
	before, effectiveAt := c.sums(), c.effectiveAt()
	c.Reserved += q
	if q > 0 {
		c.Known = true
	}
	s.settle(c, before, c.Futures, effectiveAt)
}

// promise changes what is reserved at a group.
func (s *Stock) promise(id GroupID, q Quantity) {
	if group := s.graph.group(id); group >= 0 {
		i, ok := slices.BinarySearchFunc(s.demand, group, func(d demand, g int32) int { return cmp.Compare(d.group, g) })
		if !ok {
			s.demand = slices.Insert(s.demand, i, demand{group: group})
		}
		if s.demand[i].quantity += q; s.demand[i].quantity == 0 {
			s.demand = slices.Delete(s.demand, i, i+1)
		}
	} else {
		i := slices.IndexFunc(s.lost, func(d DemandData) bool { return d.Group == id })
		if i < 0 {
			i = len(s.lost)
			s.lost = append(s.lost, DemandData{Group: id})
		}
		if s.lost[i].Quantity += q; s.lost[i].Quantity == 0 {
			s.lost = slices.Delete(s.lost, i, i+1)
		}
	}
	if !slices.Contains(s.batch.demand, id) {
		s.batch.demand = append(s.batch.demand, id)
	}
}

// demandOf returns what is reserved at a group.
func (s *Stock) demandOf(group int32) Quantity {
	for _, d := range s.demand {
		if d.group == group {
			return d.quantity
		}
	}
	return 0
}

// lostDemand returns what is reserved at a group that may be outside the graph.
func (s *Stock) lostDemand(id GroupID) Quantity {
	if g := s.graph.group(id); g >= 0 {
		return s.demandOf(g)
	}
	for _, d := range s.lost {
		if d.Group == id {
			return d.Quantity
		}
	}
	return 0
}
