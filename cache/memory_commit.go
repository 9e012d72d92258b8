package cache

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"onhand/processor/availability"
)

// Commit is as that of Redis.
func (m *Memory) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	if err := m.commit(ctx, task, c); err != nil {
		return fmt.Errorf("committing %d SKUs of task %d: %w", len(c.Stocks), task, err)
	}
	return nil
}

func (m *Memory) commit(ctx context.Context, task int32, c *availability.Commit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkIDs(c); err != nil {
		return err
	}
	// What Redis could not store is refused here too.
	if _, err := pack(keysOf("memory", task), newDictionary(nil), func(availability.SKU) bool { return false }, c); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var next memoryTask
	if before, ok := m.tasks[task]; ok {
		next = *before
	}
	switch next.checkpoint.CommitID {
	case c.Checkpoint.CommitID:
		return nil
	case c.Expect:
	default:
		return availability.ErrFenced
	}
	next.apply(c)
	m.tasks[task] = &next
	return nil
}

// apply changes a copy of each map that it changes.
func (t *memoryTask) apply(c *availability.Commit) {
	t.stocks, t.due = cloneMap(t.stocks), cloneMap(t.due)
	for i := range c.Stocks {
		d := &c.Stocks[i]
		s := t.stocks[d.SKU]
		s.apply(d)
		t.stocks[d.SKU] = s
		t.changeDue(d)
	}
	t.ids = cloneMap(t.ids)
	for _, b := range c.IDs {
		if len(b.IDs) > 0 {
			t.ids[b.Bucket] = slices.Concat(t.ids[b.Bucket], b.IDs)
		}
	}
	for _, bucket := range c.DropIDs {
		delete(t.ids, bucket)
	}
	t.owed = cloneMap(t.owed)
	if c.OwedCleared {
		clear(t.owed)
	}
	for _, sku := range c.OwedAdded {
		t.owed[sku] = true
	}
	t.graphs = cloneMap(t.graphs)
	for _, g := range c.Graphs {
		t.graphs[g.Version] = slices.Clone(g.Bytes)
	}
	for _, version := range c.DropGraphs {
		delete(t.graphs, version)
	}
	t.checkpoint = c.Checkpoint
}

func (t *memoryTask) changeDue(d *availability.StockData) {
	for i := range d.Reservations {
		r := &d.Reservations[i]
		for _, at := range r.DueRemoved {
			delete(t.due, availability.Due{At: at, SKU: d.SKU, ReservationID: r.ID})
		}
		for _, at := range r.DueAdded {
			t.due[availability.Due{At: at, SKU: d.SKU, ReservationID: r.ID}] = true
		}
	}
	for _, f := range d.FuturesDue {
		due := availability.Due{At: f.At, SKU: d.SKU, Location: f.Location}
		if delete(t.due, due); !f.Removed {
			t.due[due] = true
		}
	}
}

func (s *memoryStock) apply(d *availability.StockData) {
	s.listed = s.listed || !d.Exists
	if d.Replace {
		s.cells, s.pools, s.demand = nil, nil, nil
	}
	if d.Replace || !d.Exists {
		s.stored, s.graphVersion = true, d.GraphVersion
	}
	s.cells, s.pools, s.demand, s.reservations = cloneMap(s.cells), cloneMap(s.pools), cloneMap(s.demand), cloneMap(s.reservations)
	for i := range d.Cells {
		if c := &d.Cells[i]; emptyCell(c) {
			delete(s.cells, c.Location)
		} else {
			s.cells[c.Location] = cloneCell(c)
		}
	}
	for i := range d.Pools {
		if p := d.Pools[i]; emptyPool(&p.Pool) {
			delete(s.pools, p.Number)
		} else {
			p.Futures = cloneList(p.Futures)
			s.pools[p.Number] = p.Pool
		}
	}
	for _, q := range d.Demand {
		if q.Quantity == 0 {
			delete(s.demand, q.Group)
		} else {
			s.demand[q.Group] = q.Quantity
		}
	}
	for _, r := range d.Reservations {
		if r.Reservation == nil {
			delete(s.reservations, r.ID)
		} else {
			s.reservations[r.ID] = cloneReservation(r.Reservation)
		}
	}
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}
