package availability

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// op is one thing that happens to a world: exactly one of its fields is set.
type op struct {
	delta *Delta
	event *ReservationEvent
	graph *Graph
	drop  *dropOverdue
}

// dropOverdue drops what is overdue at a location.
type dropOverdue struct {
	sku      SKU
	location LocationID
	until    Instant
}

// answer is what an op came to.
type answer struct {
	outcome Outcome
	stale   int
	result  Result
	again   bool
}

// world is a task without its inputs and outputs: a Folder, the stocks it holds in memory, a store that keeps what
// commits bring, and the levels that were published. It checks after every batch that the changes are exactly the
// difference between what was published and what is true.
type world struct {
	t         testing.TB
	rules     Rules
	graphs    map[int64]*Graph
	folder    *Folder
	stocks    map[SKU]*Stock
	store     *memory
	published map[SKU]map[Place]Level
	version   int64
	standing  []answer // not nil: the decisions to carry out, one per op
	folded    int
}

func newWorld(t testing.TB, rules Rules) *world {
	w := &world{t: t, rules: rules, graphs: map[int64]*Graph{}, store: newMemory(), published: map[SKU]map[Place]Level{}, version: 1}
	w.reset()
	return w
}

// reset forgets all that is in memory, as a restart does.
func (w *world) reset() {
	ids := NewWindow(w.rules.Window)
	for _, bucket := range slices.Sorted(maps.Keys(w.store.ids)) {
		ids.Restore(IDBatch{Bucket: bucket, IDs: w.store.ids[bucket]})
	}
	w.folder = NewFolder(w.graphs[w.store.graph], w.rules, ids)
	w.stocks = map[SKU]*Stock{}
}

// fold does one op. Its number is its cause.
func (w *world) fold(o op) (a answer) {
	cause := w.folded
	w.folded++
	switch {
	case o.graph != nil:
		w.graphs[o.graph.Version], w.store.graph = o.graph, o.graph.Version
		w.folder.SetGraph(o.graph)
	case o.drop != nil:
		d := &Delta{SKU: o.drop.sku, Location: o.drop.location}
		s := w.load(d.SKU, func(*Stock) Want { return w.folder.Graph().Wants(d) })
		a.outcome = w.folder.DropOverdue(s, d.Location, o.drop.until, cause)
	case o.delta != nil:
		s := w.load(o.delta.SKU, func(*Stock) Want { return w.folder.Graph().Wants(o.delta) })
		a.outcome, a.stale = w.folder.Delta(s, o.delta, cause)
	case w.standing != nil:
		s := w.load(o.event.SKU, func(s *Stock) Want { return w.folder.Graph().WantsOf(o.event, s) })
		a = w.standing[cause]
		w.folder.Standing(s, o.event, a.result, cause)
	default:
		s := w.load(o.event.SKU, func(s *Stock) Want { return w.folder.Graph().WantsOf(o.event, s) })
		a.result, a.again = w.folder.Reservation(s, o.event, w.version, cause)
	}
	return a
}

// load brings what is wanted of a SKU into memory, and its stock to the current graph.
func (w *world) load(sku SKU, want func(*Stock) Want) *Stock {
	s := w.stocks[sku]
	if s == nil {
		first := want(nil)
		d := w.store.load(&first)
		g := w.graphs[d.GraphVersion]
		if !d.Exists {
			g = w.folder.Graph()
		}
		s = NewStock(g, &d)
		s.Load(&StockData{}, first.Locations)
		w.stocks[sku] = s
	}
	if s.GraphVersion() != w.folder.Graph().Version {
		w.complete(s)
		w.folder.Adopt(s, w.folded-1)
	}
	for {
		wanted := want(s)
		missing, any := s.Missing(&wanted)
		if !any {
			return s
		}
		d := w.store.load(&missing)
		s.Load(&d, missing.Locations)
	}
}

func (w *world) complete(s *Stock) {
	all := Want{SKU: s.SKU, All: true}
	if missing, any := s.Missing(&all); any {
		d := w.store.load(&missing)
		s.Load(&d, nil)
	}
}

// whole returns the complete stock of a SKU, of the current graph.
func (w *world) whole(sku SKU) *Stock {
	s := w.load(sku, func(*Stock) Want { return Want{SKU: sku, All: true} })
	w.complete(s)
	return s
}

// sweep brings every SKU to the current graph.
func (w *world) sweep() {
	for _, sku := range w.skus() {
		w.whole(sku)
	}
}

func (w *world) skus() []SKU {
	all := maps.Clone(w.stocks)
	for sku := range w.store.skus {
		all[sku] = nil
	}
	return slices.Sorted(maps.Keys(all))
}

// commit ends the batch: it publishes what changed and lets the store have what was written.
func (w *world) commit() (changes []Change) {
	for _, sku := range slices.Sorted(maps.Keys(w.stocks)) {
		of, data, wrote := w.folder.Finish(w.stocks[sku], nil)
		w.weigh(w.stocks[sku])
		w.publish(sku, of)
		if wrote {
			w.store.merge(&data)
			w.stocks[sku].ForgetClosed(data.Reservations)
		} else if len(of) > 0 {
			w.t.Errorf("%s has %d changes, and nothing to write", sku, len(of))
		}
		changes = append(changes, of...)
	}
	for _, b := range w.folder.ids.Fresh() {
		w.store.ids[b.Bucket] = append(w.store.ids[b.Bucket], b.IDs...)
	}
	w.version++
	return changes
}

// weigh compares the estimate of a stock's memory, which is kept up to date with every change, with one from scratch.
func (w *world) weigh(s *Stock) {
	w.t.Helper()
	n := 0
	for _, c := range slices.Concat(s.cells, s.orphans) {
		n += 216 + 24*len(c.Movements) + 16*len(c.Futures)
	}
	for id, r := range s.reservations {
		n += reservationBytes(id) + r.bytes()
	}
	if s.bytes != n {
		w.t.Errorf("the estimate of %s is %d bytes, want %d", s.SKU, s.bytes, n)
	}
}

func (w *world) publish(sku SKU, changes []Change) {
	w.t.Helper()
	levels := w.published[sku]
	if levels == nil {
		levels = map[Place]Level{}
		w.published[sku] = levels
	}
	seen := map[Place]bool{}
	for i := range changes {
		before, after := &changes[i].Before, &changes[i].After
		p := before.Place
		old, ok := levels[p]
		if !ok {
			old = Level{SKU: sku, Place: p, EffectiveAt: None, NextExpectedAt: None}
		}
		if after.Place != p || before.SKU != sku || after.SKU != sku || seen[p] || before.Equal(after) || !before.Equal(&old) {
			w.t.Errorf("change of %s at %s\nbefore    %s\nafter     %s\npublished %s\nseen %v", sku, p.ID, show(before), show(after), show(&old), seen[p])
		}
		if changes[i].Cause < 0 || changes[i].Cause >= w.folded {
			w.t.Errorf("change of %s at %s has the cause %d", sku, p.ID, changes[i].Cause)
		}
		seen[p] = true
		if after.Present {
			levels[p] = *after
		} else {
			delete(levels, p)
		}
	}
}

// levels returns the levels of a SKU. It fails the test if what was published differs.
func (w *world) levels(sku SKU) []Level {
	w.t.Helper()
	levels := w.folder.Levels(w.whole(sku))
	if diff := diffLevels(levels, w.published[sku]); diff != "" {
		w.t.Errorf("published levels of %s differ from the stock's:\n%s", sku, diff)
	}
	return levels
}

// diffLevels says where levels differ from those of a map, place by place.
func diffLevels(got []Level, want map[Place]Level) string {
	var b strings.Builder
	seen := map[Place]bool{}
	for i := range got {
		seen[got[i].Place] = true
		w, ok := want[got[i].Place]
		if !ok {
			fmt.Fprintf(&b, "got  %s\nwant no level\n", show(&got[i]))
		} else if !got[i].Equal(&w) || got[i].FutureQuantity != w.FutureQuantity || got[i].NextExpectedAt != w.NextExpectedAt {
			fmt.Fprintf(&b, "got  %s\nwant %s\n", show(&got[i]), show(&w))
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(want), ComparePlaces) {
		if l := want[p]; !seen[p] {
			fmt.Fprintf(&b, "got  no level\nwant %s\n", show(&l))
		}
	}
	return b.String()
}

// show is what a script prints of a level: what is zero is left out, but for on hand, ATF and ATO.
func show(l *Level) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", l.Place.ID)
	if !l.Present {
		return b.String() + " gone"
	}
	fmt.Fprintf(&b, " onHand %s", l.OnHand)
	for _, field := range []struct {
		name string
		q    Quantity
	}{{"reserved", l.Reserved}, {"groupReserved", l.GroupReserved}, {"shared", l.SharedGroupReserved}, {"safety", l.SafetyStock}} {
		if field.q != 0 {
			fmt.Fprintf(&b, " %s %s", field.name, field.q)
		}
	}
	if len(l.Futures) > 0 {
		fmt.Fprintf(&b, " futures %s", showFutures(l.Futures))
	}
	fmt.Fprintf(&b, " atf %s ato %s", l.ATF, l.ATO)
	if l.Shortfall != 0 {
		fmt.Fprintf(&b, " short %s", l.Shortfall)
	}
	if l.EffectiveAt != None {
		fmt.Fprintf(&b, " @%s", showInstant(l.EffectiveAt))
	}
	return b.String()
}

// memory is a store: it keeps what commits bring and gives out what is asked for, by value.
type memory struct {
	graph int64 // version adopted
	skus  map[SKU]*kept
	ids   map[int64][]uint64
}

// kept is a SKU in memory.
type kept struct {
	graph        int64
	cells        map[LocationID]Cell
	pools        map[int32]Pool
	demand       map[GroupID]Quantity
	reservations map[string]*Reservation
	due          map[string][]Instant
	futures      map[LocationID]Instant
}

func newMemory() *memory { return &memory{skus: map[SKU]*kept{}, ids: map[int64][]uint64{}} }

// plainCopy is a cell as bytes would carry it: its exported fields, nothing shared.
func plainCopy(c Cell) Cell {
	return Cell{
		Location: c.Location, Since: c.Since, Count: c.Count, CountedAt: c.CountedAt, Movements: slices.Clone(c.Movements),
		SafetyStock: c.SafetyStock, SafetyAt: c.SafetyAt, Futures: slices.Clone(c.Futures), FuturesAt: c.FuturesAt,
		Reserved: c.Reserved, Known: c.Known, Deleted: c.Deleted, SafetySet: c.SafetySet, FuturesSet: c.FuturesSet,
	}
}

func copyPool(p Pool) Pool {
	p.Futures = slices.Clone(p.Futures)
	return p
}

func copyReservation(r *Reservation) *Reservation {
	if r == nil {
		return nil
	}
	return &Reservation{Lines: slices.Clone(r.Lines), Requests: slices.Clone(r.Requests)}
}

func (m *memory) merge(d *StockData) {
	k := m.skus[d.SKU]
	if k == nil {
		k = &kept{reservations: map[string]*Reservation{}, due: map[string][]Instant{}, futures: map[LocationID]Instant{}}
	}
	if k.cells == nil || d.Replace {
		k.cells, k.pools, k.demand = map[LocationID]Cell{}, map[int32]Pool{}, map[GroupID]Quantity{}
	}
	m.skus[d.SKU], k.graph = k, d.GraphVersion
	for i := range d.Cells {
		k.cells[d.Cells[i].Location] = plainCopy(d.Cells[i])
	}
	for _, p := range d.Pools {
		k.pools[p.Number] = copyPool(p.Pool)
	}
	for _, q := range d.Demand {
		if k.demand[q.Group] = q.Quantity; q.Quantity == 0 {
			delete(k.demand, q.Group)
		}
	}
	for _, r := range d.Reservations {
		k.reservations[r.ID] = copyReservation(r.Reservation)
		k.due[r.ID] = slices.DeleteFunc(k.due[r.ID], func(at Instant) bool { return slices.Contains(r.DueRemoved, at) })
		k.due[r.ID] = append(k.due[r.ID], r.DueAdded...)
	}
	for _, f := range d.FuturesDue {
		if !f.Removed {
			k.futures[f.Location] = f.At
		} else if k.futures[f.Location] == f.At {
			delete(k.futures, f.Location)
		}
	}
}

// fewInMemory is FewReservations of the store of the tests, so that random SKUs have more and fewer.
const fewInMemory = 3

func (m *memory) load(w *Want) StockData {
	d := StockData{SKU: w.SKU}
	k := m.skus[w.SKU]
	if k == nil {
		d.Complete, d.Every = true, true
		for _, id := range w.Reservations {
			d.Reservations = append(d.Reservations, ReservationData{ID: id})
		}
		return d
	}
	d.Exists, d.GraphVersion, d.Complete = true, k.graph, w.All || w.Whole
	for _, id := range slices.Sorted(maps.Keys(k.cells)) {
		if d.Complete || slices.Contains(w.Locations, id) {
			d.Cells = append(d.Cells, plainCopy(k.cells[id]))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(k.pools)) {
		d.Pools = append(d.Pools, PoolData{n, copyPool(k.pools[n])})
	}
	for _, g := range slices.Sorted(maps.Keys(k.demand)) {
		d.Demand = append(d.Demand, DemandData{g, k.demand[g]})
	}
	ids := w.Reservations
	if n := len(k.reservations); n == 0 || w.Whole || len(ids) > 0 && n <= fewInMemory {
		d.Every = true
		ids = slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(k.reservations)), ids...))))
	}
	for _, id := range ids {
		d.Reservations = append(d.Reservations, ReservationData{ID: id, Reservation: copyReservation(k.reservations[id])})
	}
	return d
}

// dueOf returns the expiries that the store was told to watch for a reservation, sorted.
func (k *kept) dueOf(id string) []Instant { return slices.Sorted(slices.Values(k.due[id])) }
