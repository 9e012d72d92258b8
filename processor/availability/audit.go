package availability

import (
	"cmp"
	"slices"
)

// Audit is a stock as a store has it beside what its cells and open reservations come to.
type Audit struct {
	Pools    []PoolAudit // those that differ, by number
	Reserved []HeldAudit // places whose reserved quantity is not what open reservations hold there: groups, then locations, by id
	Stored   []Level     // as the stored pools, demand and reserved quantities have it; as Folder.Levels
	Levels   []Level     // computed anew; as Folder.Levels
}

// PoolAudit is a pool that is not the sum of its locations.
type PoolAudit struct {
	Number    int32
	Locations []LocationID // none: the graph has no stored pool of that number
	Stored    Pool
	Computed  Pool
}

// HeldAudit is a place and what is reserved there: as stored in its cell or demand, and as the sum of the lines.
type HeldAudit struct {
	Place    Place
	Stored   Quantity
	Computed Quantity
}

// Audit computes a stock anew from its cells' counts and from its reservations, and compares. The data must be complete,
// of the Folder's graph, and have every reservation of the SKU. Nothing of it is changed.
func (f *Folder) Audit(d *StockData) Audit {
	var a Audit
	computed := StockData{SKU: d.SKU, Exists: d.Exists, GraphVersion: d.GraphVersion, Complete: true}
	a.Reserved = f.auditHeld(d, &computed)
	computed.Pools = f.sumPools(computed.Cells)
	a.Pools = f.auditPools(d.Pools, computed.Pools)
	a.Stored = f.Levels(NewStock(f.graph, d))
	a.Levels = f.Levels(NewStock(f.graph, &computed))
	return a
}

// auditHeld fills in the cells and the demand as the reservations have it, and returns where that is not as stored.
func (f *Folder) auditHeld(d, computed *StockData) []HeldAudit {
	held := make(map[Place]Quantity)
	for _, r := range d.Reservations {
		if r.Reservation == nil {
			continue
		}
		for _, l := range r.Reservation.Lines {
			held[l.Place] += l.Quantity
		}
	}
	stored := make(map[Place]Quantity)
	for i := range d.Cells {
		c := d.Cells[i]
		p := Place{LocationPlace, string(c.Location)}
		stored[p] = c.Reserved
		c.Reserved = held[p]
		computed.Cells = append(computed.Cells, c)
	}
	for _, q := range d.Demand {
		stored[Place{GroupPlace, string(q.Group)}] = q.Quantity
	}
	var differ []HeldAudit
	for p, q := range held { // order-free: sorted below
		if _, ok := stored[p]; !ok && p.Type == LocationPlace {
			c := f.emptyCell(LocationID(p.ID))
			c.Reserved = q
			computed.Cells = append(computed.Cells, c)
		}
		if p.Type == GroupPlace && q != 0 {
			computed.Demand = append(computed.Demand, DemandData{GroupID(p.ID), q})
		}
		if _, ok := stored[p]; !ok {
			stored[p] = 0
		}
	}
	for p, q := range stored { // order-free: sorted below
		if q != held[p] {
			differ = append(differ, HeldAudit{p, q, held[p]})
		}
	}
	slices.SortFunc(computed.Cells, func(a, b Cell) int { return cmp.Compare(a.Location, b.Location) })
	slices.SortFunc(computed.Demand, func(a, b DemandData) int { return cmp.Compare(a.Group, b.Group) })
	slices.SortFunc(differ, func(a, b HeldAudit) int { return ComparePlaces(a.Place, b.Place) })
	return differ
}

// emptyCell is the cell of a location that has none in the store.
func (f *Folder) emptyCell(id LocationID) Cell {
	loc := f.graph.location(id)
	if loc < 0 {
		return *newCell(id, 0, -1)
	}
	return *newCell(id, f.graph.locations[loc].Since, loc)
}

// sumPools adds up the cells of every pool that is stored.
func (f *Folder) sumPools(cells []Cell) []PoolData {
	pools := make([]PoolData, f.graph.shared)
	for i := range pools {
		pools[i] = PoolData{Number: int32(i), Pool: Pool{EffectiveAt: None}}
	}
	for i := range cells {
		c := cells[i]
		loc := f.graph.location(c.Location)
		if loc < 0 {
			continue
		}
		number := f.graph.locations[loc].pool
		if number < 0 || int(number) >= len(pools) {
			continue
		}
		c.moved = 0
		for _, m := range c.Movements {
			c.moved += m.Quantity
		}
		p := &pools[number].Pool
		p.replace(sums{}, c.sums())
		if c.present() {
			p.Futures = addFutures(p.Futures, c.Futures, 1)
		}
		p.EffectiveAt = max(p.EffectiveAt, c.effectiveAt())
	}
	return pools
}

// auditPools returns the pools that differ. A pool that is not stored is an empty one.
func (f *Folder) auditPools(stored, computed []PoolData) []PoolAudit {
	all := make([]PoolAudit, len(computed))
	for i, p := range computed {
		all[i] = PoolAudit{Number: p.Number, Stored: Pool{EffectiveAt: None}, Computed: p.Pool}
		for _, loc := range f.graph.pools[i].locations {
			all[i].Locations = append(all[i].Locations, f.graph.locations[loc].ID)
		}
	}
	for _, p := range stored {
		if int(p.Number) < len(computed) {
			all[p.Number].Stored = p.Pool
			continue
		}
		all = append(all, PoolAudit{Number: p.Number, Stored: p.Pool, Computed: Pool{EffectiveAt: None}})
	}
	return slices.DeleteFunc(all, func(a PoolAudit) bool { return a.Stored.equal(&a.Computed) })
}

func (p *Pool) equal(q *Pool) bool {
	return p.Members == q.Members && p.OnHand == q.OnHand && p.Reserved == q.Reserved && p.SafetyStock == q.SafetyStock &&
		p.ATF == q.ATF && p.ATO == q.ATO && p.EffectiveAt == q.EffectiveAt && slices.Equal(p.Futures, q.Futures)
}
