package cache

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"onhand/processor/availability"
)

// Memory is the state of tasks in the memory of this process: the same promises as Redis but for outliving it, and the
// same answers. It is for tests. Nothing in it is shared with its callers.
type Memory struct {
	mu    sync.Mutex
	tasks map[int32]*memoryTask
}

// memoryTask is the state of one task. The values of its maps are immutable; a commit works on a copy of the maps it
// changes, so that a snapshot is the maps alone.
type memoryTask struct {
	checkpoint availability.Checkpoint
	stocks     map[availability.SKU]memoryStock
	ids        map[int64][]uint64
	due        map[availability.Due]bool
	owed       map[availability.SKU]bool
	graphs     map[int64][]byte
}

type memoryStock struct {
	stored       bool // more than reservations
	listed       bool
	graphVersion int64
	cells        map[availability.LocationID]availability.Cell
	pools        map[int32]availability.Pool
	demand       map[availability.GroupID]availability.Quantity
	reservations map[string]*availability.Reservation
}

// MemorySnapshot is what a Memory held at one time.
type MemorySnapshot struct{ tasks map[int32]*memoryTask }

// NewMemory returns a Memory without any task.
func NewMemory() *Memory { return &Memory{tasks: make(map[int32]*memoryTask)} }

// Snapshot returns what the store holds.
func (m *Memory) Snapshot() MemorySnapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return MemorySnapshot{maps.Clone(m.tasks)}
}

// Restore makes the store forget what was committed since the snapshot, as a Redis does that lost its writes.
func (m *Memory) Restore(s MemorySnapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tasks = maps.Clone(s.tasks)
}

// task returns the state of a task for reading. Whoever has it may keep it: a commit replaces it.
func (m *Memory) task(number int32) *memoryTask {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.tasks[number]; ok {
		return t
	}
	return new(memoryTask)
}

// Close does nothing.
func (m *Memory) Close() error { return nil }

// Forget does nothing: the store remembers nothing but the state.
func (m *Memory) Forget(int32) {}

// Checkpoint is as that of Redis.
func (m *Memory) Checkpoint(ctx context.Context, task int32) (availability.Checkpoint, error) {
	return m.task(task).checkpoint, ctx.Err()
}

// Load is as that of Redis.
func (m *Memory) Load(ctx context.Context, task int32, g *availability.Graph, wants []availability.Want) ([]availability.StockData, availability.CommitID, error) {
	if err := ctx.Err(); err != nil {
		return nil, availability.CommitID{}, fmt.Errorf("loading %d SKUs of task %d: %w", len(wants), task, err)
	}
	if len(wants) > WantsMax {
		return nil, availability.CommitID{}, fmt.Errorf("loading %d SKUs of task %d: at most %d at once", len(wants), task, WantsMax)
	}
	t := m.task(task)
	stocks := make([]availability.StockData, len(wants))
	var bad availability.CorruptError
	for i := range wants {
		s := t.stocks[wants[i].SKU]
		if s.lost() {
			bad.Add(wants[i].SKU, fmt.Errorf("loading SKU %q of task %d: %w: %w", wants[i].SKU, task, availability.ErrCorrupt, errVersion))
			continue
		}
		stocks[i] = s.load(&wants[i], g)
		d, ids := &stocks[i], wants[i].Reservations
		if n := len(s.reservations); n == 0 || wants[i].Whole || len(ids) > 0 && n <= availability.FewReservations {
			d.Every = true
			ids = slices.Collect(maps.Keys(s.reservations))
		}
		for _, id := range ids {
			d.Reservations = append(d.Reservations, availability.ReservationData{ID: id, Reservation: cloneReservation(s.reservations[id])})
		}
		if d.Every {
			inOrder(d, wants[i].Reservations)
		}
	}
	if len(bad.SKUs) > 0 {
		return nil, t.checkpoint.CommitID, &bad
	}
	return stocks, t.checkpoint.CommitID, nil
}

// Read is as that of Redis.
func (m *Memory) Read(ctx context.Context, task int32, sku availability.SKU) (availability.StockData, availability.CommitID, error) {
	t := m.task(task)
	s := t.stocks[sku]
	if s.lost() {
		return availability.StockData{}, t.checkpoint.CommitID, fmt.Errorf("reading SKU %q of task %d: %w: %w", sku, task, availability.ErrCorrupt, errVersion)
	}
	d := s.load(&availability.Want{SKU: sku, All: true}, nil)
	d.Every = true
	for _, id := range slices.Sorted(maps.Keys(s.reservations)) {
		d.Reservations = append(d.Reservations, availability.ReservationData{ID: id, Reservation: cloneReservation(s.reservations[id])})
	}
	return d, t.checkpoint.CommitID, ctx.Err()
}

// lost says whether the SKU was committed as one that exists, and did not.
func (s *memoryStock) lost() bool { return !s.stored && len(s.cells)+len(s.pools)+len(s.demand) > 0 }

func (s *memoryStock) load(w *availability.Want, g *availability.Graph) availability.StockData {
	d := availability.StockData{SKU: w.SKU, Exists: s.stored, GraphVersion: s.graphVersion}
	d.Complete = w.All || w.Whole || !s.stored || g == nil || g.Version != s.graphVersion
	for _, id := range slices.Sorted(maps.Keys(s.cells)) {
		if d.Complete || slices.Contains(w.Locations, id) {
			c := s.cells[id]
			d.Cells = append(d.Cells, cloneCell(&c))
		}
	}
	for _, number := range slices.Sorted(maps.Keys(s.pools)) {
		p := s.pools[number]
		p.Futures = cloneList(p.Futures)
		d.Pools = append(d.Pools, availability.PoolData{Number: number, Pool: p})
	}
	for _, id := range slices.Sorted(maps.Keys(s.demand)) {
		d.Demand = append(d.Demand, availability.DemandData{Group: id, Quantity: s.demand[id]})
	}
	return d
}

// IDs is as that of Redis.
func (m *Memory) IDs(ctx context.Context, task int32) ([]availability.IDBatch, error) {
	t := m.task(task)
	batches := make([]availability.IDBatch, 0, len(t.ids))
	for _, bucket := range slices.Sorted(maps.Keys(t.ids)) {
		batches = append(batches, availability.IDBatch{Bucket: bucket, IDs: slices.Clone(t.ids[bucket])})
	}
	return batches, ctx.Err()
}

// Owed is as that of Redis.
func (m *Memory) Owed(ctx context.Context, task int32) ([]availability.SKU, error) {
	return slices.Sorted(maps.Keys(m.task(task).owed)), ctx.Err()
}

// Graphs is as that of Redis.
func (m *Memory) Graphs(ctx context.Context, task int32) ([]availability.GraphData, error) {
	t := m.task(task)
	graphs := make([]availability.GraphData, 0, len(t.graphs))
	for _, version := range slices.Sorted(maps.Keys(t.graphs)) {
		graphs = append(graphs, availability.GraphData{Version: version, Bytes: slices.Clone(t.graphs[version])})
	}
	return graphs, ctx.Err()
}

// SKUs is as that of Redis.
func (m *Memory) SKUs(ctx context.Context, task int32, shard int) ([]availability.SKU, error) {
	if err := checkShard(shard); err != nil {
		return nil, err
	}
	skus := []availability.SKU{}
	for sku, s := range m.task(task).stocks {
		if s.listed && shardOf(sku) == shard {
			skus = append(skus, sku)
		}
	}
	slices.Sort(skus)
	return skus, ctx.Err()
}

// Count is as that of Redis.
func (m *Memory) Count(ctx context.Context, task int32) (int64, error) {
	var n int64
	for _, s := range m.task(task).stocks {
		if s.listed {
			n++
		}
	}
	return n, ctx.Err()
}

// Due is as that of Redis.
func (m *Memory) Due(ctx context.Context, task int32, until availability.Instant, limit int) ([]availability.Due, error) {
	var due []availability.Due
	for d := range m.task(task).due {
		if d.At <= until {
			due = append(due, d)
		}
	}
	slices.SortFunc(due, func(a, b availability.Due) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(dueMember(&a), dueMember(&b)))
	})
	return due[:min(len(due), max(limit, 0))], ctx.Err()
}

func cloneCell(c *availability.Cell) availability.Cell {
	return availability.Cell{
		Location: c.Location, Since: c.Since,
		Count: c.Count, CountedAt: c.CountedAt, Movements: cloneList(c.Movements),
		SafetyStock: c.SafetyStock, SafetyAt: c.SafetyAt, Futures: cloneList(c.Futures), FuturesAt: c.FuturesAt, Reserved: c.Reserved,
		Known: c.Known, Deleted: c.Deleted, SafetySet: c.SafetySet, FuturesSet: c.FuturesSet,
	}
}

func cloneReservation(r *availability.Reservation) *availability.Reservation {
	if r == nil {
		return nil
	}
	clone := &availability.Reservation{Lines: cloneList(r.Lines), Requests: cloneList(r.Requests)}
	for i := range clone.Requests {
		clone.Requests[i].Result.TightGroups = cloneList(clone.Requests[i].Result.TightGroups)
	}
	return clone
}

// cloneList copies a list; an empty one becomes nil, as it comes out of Redis.
func cloneList[T any](list []T) []T { return append([]T(nil), list...) }
