package cache

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"onhand/processor/availability"
)

// historyRounds is how many commits a random history has.
const historyRounds = 60

// randomHistories makes random commits to the store and to a Memory beside it, by two processes in turn, some of them
// twice, some of them stale, with rollbacks and forgotten names, and compares everything that can be read after each.
// Run one again with ONHAND_TEST_SEED=… go test ./cache -run TestEveryStore.
func randomHistories(t *testing.T, b *backend) {
	h := &history{t: t, random: newRandom(t), model: NewMemory(), processes: []store{b.open(t), b.open(t)}, known: map[availability.SKU]bool{}, graphs: []*availability.Graph{largeGraph(t, 1), largeGraph(t, 2)}}
	type past struct {
		roll  func()
		model MemorySnapshot
		known map[availability.SKU]bool
		last  availability.CommitID
	}
	var kept *past
	for range historyRounds {
		h.step(h.processes[h.IntN(2)])
		switch {
		case h.one(8):
			kept = &past{b.snapshot(t), h.model.Snapshot(), maps.Clone(h.known), h.last}
		case kept != nil && h.one(10):
			kept.roll()
			h.model.Restore(kept.model)
			h.known, h.last, kept = kept.known, kept.last, nil
		}
		if h.one(6) {
			h.processes[h.IntN(2)].Forget(number)
		}
		h.compare(h.processes[h.IntN(2)])
		if t.Failed() {
			return
		}
	}
}

type history struct {
	t *testing.T
	*random
	model     *Memory
	processes []store
	known     map[availability.SKU]bool
	last      availability.CommitID
	graphs    []*availability.Graph
}

func (h *history) step(s store) {
	commit := h.commit()
	if h.one(8) {
		stale := *commit
		stale.Expect = h.commitID()
		if err := s.Commit(h.t.Context(), number, &stale); !errors.Is(err, availability.ErrFenced) {
			h.t.Fatalf("a commit on top of one that never was: %v", err)
		}
		s.Forget(number)
	}
	for range 1 + h.IntN(2) {
		if err := s.Commit(h.t.Context(), number, commit); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.model.Commit(h.t.Context(), number, commit); err != nil {
		h.t.Fatal(err)
	}
	h.last = commit.Checkpoint.CommitID
	for _, d := range commit.Stocks {
		h.known[d.SKU] = true
	}
}

func (h *history) sku() availability.SKU { return availability.SKU(fmt.Sprintf("SKU %d", h.IntN(12))) }

func (h *history) location() availability.LocationID {
	return availability.LocationID(fmt.Sprintf("location-%03d", h.IntN(300)))
}

func (h *history) commit() *availability.Commit {
	c := &availability.Commit{Expect: h.last, Checkpoint: h.checkpoint()}
	skus := map[availability.SKU]bool{}
	for range h.IntN(6) {
		if sku := h.sku(); !skus[sku] {
			skus[sku] = true
			c.Stocks = append(c.Stocks, h.stock(sku))
		}
	}
	for range h.IntN(3) {
		c.IDs = append(c.IDs, availability.IDBatch{Bucket: int64(h.IntN(6)), IDs: []uint64{h.Uint64(), h.Uint64()}})
	}
	if h.one(4) {
		c.DropIDs = []int64{int64(h.IntN(6))}
	}
	for range h.IntN(3) {
		c.OwedAdded = append(c.OwedAdded, h.sku())
	}
	c.OwedCleared = h.one(6)
	if h.one(4) {
		c.Graphs = []availability.GraphData{{Version: int64(h.IntN(4)), Bytes: make([]byte, h.IntN(3000))}}
	}
	if h.one(4) {
		c.DropGraphs = []int64{int64(h.IntN(4)) + 10}
	}
	return c
}

func (h *history) stock(sku availability.SKU) availability.StockData {
	d := availability.StockData{SKU: sku, Exists: h.known[sku], GraphVersion: int64(1 + h.IntN(2)), Replace: h.one(5)}
	for _, i := range h.Perm(300)[:h.IntN(8)] {
		c := h.cell(availability.LocationID(fmt.Sprintf("location-%03d", i)))
		if h.one(5) {
			c = availability.Cell{Location: c.Location, CountedAt: availability.None, SafetyAt: availability.None, FuturesAt: availability.None}
		}
		d.Cells = append(d.Cells, c)
	}
	for _, i := range h.Perm(20)[:h.IntN(3)] {
		p := availability.PoolData{Number: int32(i), Pool: h.pool()}
		if h.one(4) {
			p.Pool = availability.Pool{EffectiveAt: availability.None}
		}
		d.Pools = append(d.Pools, p)
	}
	for _, i := range h.Perm(8)[:h.IntN(3)] {
		d.Demand = append(d.Demand, availability.DemandData{Group: availability.GroupID(fmt.Sprintf("group-%d", i)), Quantity: h.quantity()})
	}
	for _, i := range h.Perm(8)[:h.IntN(3)] {
		r := availability.ReservationData{ID: fmt.Sprint(i)}
		if !h.one(4) {
			r.Reservation = h.reservation()
		}
		for range h.IntN(2) {
			r.DueAdded = append(r.DueAdded, year2026+availability.Instant(h.IntN(20)))
			r.DueRemoved = append(r.DueRemoved, year2026+10+availability.Instant(h.IntN(20)))
		}
		d.Reservations = append(d.Reservations, r)
	}
	for range h.IntN(4) {
		d.FuturesDue = append(d.FuturesDue, availability.FutureDue{Location: h.location(), At: year2026 + availability.Instant(h.IntN(20)), Removed: h.one(3)})
	}
	return d
}

// compare reads everything from the store and from the model.
func (h *history) compare(s store) {
	t, ctx := h.t, h.t.Context()
	equal(t, "checkpoint", must(s.Checkpoint(ctx, number))(t), must(h.model.Checkpoint(ctx, number))(t))
	equal(t, "ids", must(s.IDs(ctx, number))(t), must(h.model.IDs(ctx, number))(t))
	equal(t, "owed", must(s.Owed(ctx, number))(t), must(h.model.Owed(ctx, number))(t))
	equal(t, "graphs", must(s.Graphs(ctx, number))(t), must(h.model.Graphs(ctx, number))(t))
	equal(t, "count", must(s.Count(ctx, number))(t), must(h.model.Count(ctx, number))(t))
	equal(t, "due", must(s.Due(ctx, number, year2026+30, 30))(t), must(h.model.Due(ctx, number, year2026+30, 30))(t))
	sku := h.sku()
	equal(t, "shard", must(s.SKUs(ctx, number, shardOf(sku)))(t), must(h.model.SKUs(ctx, number, shardOf(sku)))(t))
	var wants []availability.Want
	for range h.IntN(5) {
		w := availability.Want{SKU: h.sku(), All: h.one(2), Whole: h.one(8)}
		for range h.IntN(30) {
			if id := h.location(); !slices.Contains(w.Locations, id) {
				w.Locations = append(w.Locations, id)
			}
		}
		for range h.IntN(3) {
			w.Reservations = append(w.Reservations, fmt.Sprint(h.IntN(8)))
		}
		wants = append(wants, w)
	}
	g := h.graphs[h.IntN(2)]
	got, id, err := s.Load(ctx, number, g, wants)
	if err != nil {
		t.Fatal(err)
	}
	want, wantID, err := h.model.Load(ctx, number, g, wants)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "commit of the load", id, wantID)
	equal(t, "load", got, want)
	read, _, err := s.Read(ctx, number, sku)
	if err != nil {
		t.Fatal(err)
	}
	wantRead, _, err := h.model.Read(ctx, number, sku)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "read", read, wantRead)
}
