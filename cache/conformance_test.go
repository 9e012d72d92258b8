package cache

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"onhand/processor/availability"
)

// TestEveryStoreKeepsTheSamePromises runs one suite on every backend.
func TestEveryStoreKeepsTheSamePromises(t *testing.T) {
	suite := []struct {
		claim string
		test  func(*testing.T, *backend)
	}{
		{"an empty store", emptyStore},
		{"a commit counts once, and only on top of what it expects", compareAndSet},
		{"a refused commit writes nothing", refusedWritesNothing},
		{"an impossible commit writes nothing", impossibleWritesNothing},
		{"values come back exactly", exactValues},
		{"what is emptied is gone", emptied},
		{"replace forgets all but reservations", replaced},
		{"one of few reservations, and of many", fewReservations},
		{"a part of a large SKU", partOfLarge},
		{"one load is of one commit", atomicLoad},
		{"names survive rollback and other processes", namesRollBack},
		{"a commit after a rollback is fenced", fencedAfterRollback},
		{"a SKU that was never new is not overlooked", neverNew},
		{"ids by bucket", idsByBucket},
		{"expiries in order", dueInOrder},
		{"futures in the index", futuresDue},
		{"whole with reservations", wholeWithReservations},
		{"owed", owedList},
		{"graphs", graphList},
		{"SKUs by shard", skusByShard},
		{"two thousand cells in one commit", manyCells},
		{"tasks do not meet", tasksApart},
		{"nothing is shared with the caller", nothingShared},
		{"random histories", randomHistories},
	}
	stores := backends()
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		t.Run(name, func(t *testing.T) {
			for _, s := range suite {
				t.Run(s.claim, func(t *testing.T) { s.test(t, stores[name](t)) })
			}
		})
	}
}

const number int32 = 17

// chain makes commits that each expect the one before.
type chain struct {
	t    testing.TB
	last availability.CommitID
	n    int
}

// next returns a commit that carries the stocks and may be given more.
func (c *chain) next(stocks ...availability.StockData) *availability.Commit {
	c.n++
	commit := &availability.Commit{Expect: c.last, Checkpoint: availability.Checkpoint{CommitID: availability.CommitID{byte(c.n), byte(c.n >> 8), 1}, Epoch: 1, CommitSeq: int64(c.n)}, Stocks: stocks}
	c.last = commit.Checkpoint.CommitID
	return commit
}

func (c *chain) commit(s store, commit *availability.Commit) {
	c.t.Helper()
	if err := s.Commit(c.t.Context(), number, commit); err != nil {
		c.t.Fatal(err)
	}
}

// counted is a cell with a count and nothing else.
func counted(id availability.LocationID, units int) availability.Cell {
	return availability.Cell{Location: id, Since: 1, Count: availability.Quantity(units) * availability.Unit, CountedAt: year2026, SafetyAt: availability.None, FuturesAt: availability.None, Known: true}
}

func stocked(sku availability.SKU, cells ...availability.Cell) availability.StockData {
	return availability.StockData{SKU: sku, GraphVersion: 1, Cells: cells}
}

// whole loads SKUs with all they have, and fails unless they are of that commit.
func (c *chain) whole(s store, skus ...availability.SKU) []availability.StockData {
	c.t.Helper()
	var wants []availability.Want
	for _, sku := range skus {
		wants = append(wants, availability.Want{SKU: sku, All: true})
	}
	stocks, id, err := s.Load(c.t.Context(), number, nil, wants)
	if err != nil {
		c.t.Fatal(err)
	}
	if id != c.last {
		c.t.Errorf("loaded of commit %x, not of %x", id, c.last)
	}
	return stocks
}

// equal fails unless two values are the same, and says where they first differ; an empty list is the same as none.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if path, g, w, ok := difference(reflect.ValueOf(&got).Elem(), reflect.ValueOf(&want).Elem()); !ok {
		t.Errorf("%s%s: got %s, want %s", what, path, g, w)
	}
}

// difference walks two values of a type until they differ, and returns the way there and both.
func difference(a, b reflect.Value) (path, got, want string, ok bool) {
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && !b.IsNil() {
			return difference(a.Elem(), b.Elem())
		}
	case reflect.Slice:
		for i := range min(a.Len(), b.Len()) {
			if path, got, want, ok := difference(a.Index(i), b.Index(i)); !ok {
				return fmt.Sprintf("[%d]%s", i, path), got, want, false
			}
		}
		if a.Len() == b.Len() {
			return "", "", "", true
		}
		return "", fmt.Sprint(a.Len(), " entries"), fmt.Sprint(b.Len(), " entries"), false
	case reflect.Struct:
		for i := range a.NumField() {
			if path, got, want, ok := difference(a.Field(i), b.Field(i)); !ok {
				return "." + a.Type().Field(i).Name + path, got, want, false
			}
		}
		return "", "", "", true
	}
	got, want = fmt.Sprintf("%v", a), fmt.Sprintf("%v", b)
	return "", got, want, got == want
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func emptyStore(t *testing.T, b *backend) {
	s, ctx := b.open(t), t.Context()
	equal(t, "checkpoint", must(s.Checkpoint(ctx, number))(t), availability.Checkpoint{})
	stocks, id, err := s.Load(ctx, number, nil, []availability.Want{{SKU: "a", All: true}, {SKU: "b", Locations: []availability.LocationID{"L"}, Reservations: []string{"r"}}})
	if err != nil || id != (availability.CommitID{}) {
		t.Errorf("load: commit %x, %v", id, err)
	}
	equal(t, "load", stocks, []availability.StockData{{SKU: "a", Complete: true, Every: true}, {SKU: "b", Complete: true, Every: true, Reservations: []availability.ReservationData{{ID: "r"}}}})
	equal(t, "ids", must(s.IDs(ctx, number))(t), nil)
	equal(t, "owed", must(s.Owed(ctx, number))(t), nil)
	equal(t, "graphs", must(s.Graphs(ctx, number))(t), nil)
	equal(t, "SKUs", must(s.SKUs(ctx, number, 0))(t), nil)
	equal(t, "count", must(s.Count(ctx, number))(t), 0)
	equal(t, "due", must(s.Due(ctx, number, year2026, 10))(t), nil)
}

func compareAndSet(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	first := c.next(stocked("a", counted("L1", 5)))
	first.IDs = []availability.IDBatch{{Bucket: 3, IDs: []uint64{1, 2}}}
	for range 2 {
		c.commit(s, first)
	}
	equal(t, "ids after the same commit twice", must(s.IDs(t.Context(), number))(t), first.IDs)
	equal(t, "checkpoint", must(s.Checkpoint(t.Context(), number))(t), first.Checkpoint)

	again := *first
	again.Checkpoint.CommitID[5]++
	if err := s.Commit(t.Context(), number, &again); !errors.Is(err, availability.ErrFenced) {
		t.Errorf("a second first commit: %v", err)
	}
	second := c.next(stocked("a", counted("L1", 6)))
	c.commit(s, second)
	if err := s.Commit(t.Context(), number, first); !errors.Is(err, availability.ErrFenced) {
		t.Errorf("the first commit after the second: %v", err)
	}
	other := b.open(t)
	c.commit(other, second)
	third := c.next(stocked("a", counted("L1", 7)))
	c.commit(other, third)
	late := &availability.Commit{Expect: second.Checkpoint.CommitID, Checkpoint: availability.Checkpoint{CommitID: availability.CommitID{99}}}
	if err := s.Commit(t.Context(), number, late); !errors.Is(err, availability.ErrFenced) {
		t.Errorf("a commit of the owner before: %v", err)
	}
	equal(t, "stock", c.whole(s, "a")[0].Cells, []availability.Cell{counted("L1", 7)})
}

func refusedWritesNothing(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	c.commit(s, c.next(stocked("a", counted("L1", 5))))
	stale := full(availability.Commit{Expect: availability.CommitID{77}, Checkpoint: availability.Checkpoint{CommitID: availability.CommitID{78}}})
	if err := s.Commit(t.Context(), number, &stale); !errors.Is(err, availability.ErrFenced) {
		t.Fatalf("a commit on top of another: %v", err)
	}
	onlyFirst(t, s, &c)
}

// full gives a commit something for every key there is.
func full(commit availability.Commit) availability.Commit {
	r := &availability.Reservation{Lines: []availability.Line{{Place: availability.Place{Type: availability.GroupPlace, ID: "G"}, Quantity: 1, ExpiresAt: year2026}}}
	changed := stocked("a", counted("L1", 99), counted("L2", 99))
	changed.Pools = []availability.PoolData{{Number: 0, Pool: availability.Pool{Members: 1, EffectiveAt: availability.None}}}
	changed.Demand = []availability.DemandData{{Group: "G", Quantity: 1}}
	changed.Reservations = []availability.ReservationData{{ID: "r", Reservation: r, DueAdded: []availability.Instant{year2026}}}
	replaced := stocked("b", counted("L1", 99))
	replaced.Replace = true
	commit.Stocks = append(commit.Stocks, changed, replaced)
	commit.IDs = []availability.IDBatch{{Bucket: 1, IDs: []uint64{1}}}
	commit.OwedAdded = []availability.SKU{"a"}
	commit.Graphs = []availability.GraphData{{Version: 1, Bytes: []byte("graph")}}
	return commit
}

// onlyFirst fails unless the store has the first commit of refusedWritesNothing and nothing else.
func onlyFirst(t *testing.T, s store, c *chain) {
	t.Helper()
	want := stocked("a", counted("L1", 5))
	want.Exists, want.Complete, want.Every = true, true, true
	equal(t, "stocks", c.whole(s, "a", "b"), []availability.StockData{want, {SKU: "b", Complete: true, Every: true}})
	got, _, err := s.Read(t.Context(), number, "a")
	if err != nil || len(got.Reservations) > 0 {
		t.Errorf("reservations %v: %v", got.Reservations, err)
	}
	equal(t, "ids", must(s.IDs(t.Context(), number))(t), nil)
	equal(t, "owed", must(s.Owed(t.Context(), number))(t), nil)
	equal(t, "graphs", must(s.Graphs(t.Context(), number))(t), nil)
	equal(t, "count", must(s.Count(t.Context(), number))(t), 1)
	equal(t, "due", must(s.Due(t.Context(), number, year2026, 10))(t), nil)
}

func impossibleWritesNothing(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	c.commit(s, c.next(stocked("a", counted("L1", 5))))
	nowhere := stocked("c")
	nowhere.Reservations = []availability.ReservationData{{ID: "r", Reservation: &availability.Reservation{Lines: []availability.Line{{Quantity: 1}}}}}
	nameless := stocked("c", counted("", 1))
	for what, commit := range map[string]availability.Commit{
		"a line without a place":  {Stocks: []availability.StockData{nowhere}},
		"a cell without location": {Stocks: []availability.StockData{nameless}},
		"a SKU without a name":    {Stocks: []availability.StockData{stocked("", counted("L1", 1))}},
		"no commit id":            {Checkpoint: availability.Checkpoint{}},
		"the id it expects":       {Checkpoint: availability.Checkpoint{CommitID: c.last}},
	} {
		commit = full(commit)
		commit.Expect = c.last
		if len(commit.Stocks) > 2 {
			commit.Checkpoint.CommitID = availability.CommitID{55}
		}
		if err := s.Commit(t.Context(), number, &commit); err == nil || errors.Is(err, availability.ErrFenced) {
			t.Errorf("%s: %v", what, err)
		}
	}
	onlyFirst(t, s, &c)
}

func exactValues(t *testing.T, b *backend) {
	s, c, r := b.open(t), chain{t: t}, newRandom(t)
	d := stocked("a")
	for i := range 300 {
		if cell := r.cell(availability.LocationID(fmt.Sprintf("location-%03d", i))); !emptyCell(&cell) {
			d.Cells = append(d.Cells, cell)
		}
		if p := r.pool(); !emptyPool(&p) {
			d.Pools = append(d.Pools, availability.PoolData{Number: int32(i), Pool: p})
		}
		if q := r.quantity(); q != 0 {
			d.Demand = append(d.Demand, availability.DemandData{Group: availability.GroupID(fmt.Sprintf("group-%03d", i)), Quantity: q})
		}
		d.Reservations = append(d.Reservations, availability.ReservationData{ID: fmt.Sprintf("order %03d\x00é", i), Reservation: r.reservation()})
	}
	commit := c.next(d)
	commit.Checkpoint = r.checkpoint()
	c.last = commit.Checkpoint.CommitID
	c.commit(s, commit)
	equal(t, "checkpoint", must(s.Checkpoint(t.Context(), number))(t), commit.Checkpoint)
	d.Exists, d.Complete, d.Every = true, true, true
	got, id, err := b.open(t).Read(t.Context(), number, "a")
	if err != nil || id != c.last {
		t.Fatalf("reading commit %x: %v", id, err)
	}
	equal(t, "SKU", got, d)
	w := availability.Want{SKU: "a", All: true, Reservations: []string{d.Reservations[7].ID, "none", d.Reservations[3].ID}}
	stocks, _, err := s.Load(t.Context(), number, nil, []availability.Want{w})
	if err != nil {
		t.Fatal(err)
	}
	d.Every, d.Reservations = false, []availability.ReservationData{d.Reservations[7], {ID: "none"}, d.Reservations[3]}
	equal(t, "SKU with some reservations", stocks[0], d)
}

// fewReservations asks for one reservation of many, and of few: then all come, and the store says so.
func fewReservations(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := stocked("a", counted("L1", 5))
	for i := range availability.FewReservations + 1 {
		d.Reservations = append(d.Reservations, availability.ReservationData{ID: fmt.Sprintf("r%02d", i), Reservation: &availability.Reservation{}})
	}
	many := d
	d.SKU, d.Reservations = "b", d.Reservations[:availability.FewReservations]
	c.commit(s, c.next(many, d))
	some, gone, none := d.Reservations[7], availability.ReservationData{ID: "a gone one"}, []string(nil)
	for _, of := range []struct {
		sku   availability.SKU
		asked []string
		every bool
		want  []availability.ReservationData
	}{
		{"a", []string{some.ID, gone.ID}, false, []availability.ReservationData{some, gone}},
		{"b", []string{some.ID, gone.ID}, true, append(slices.Clone(d.Reservations), gone)},
		{"b", none, false, nil},
	} {
		stocks, _, err := s.Load(t.Context(), number, nil, []availability.Want{{SKU: of.sku, All: true, Reservations: of.asked}})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("every reservation of %s, asked for %q", of.sku, of.asked), stocks[0].Every, of.every)
		equal(t, fmt.Sprintf("reservations of %s, asked for %q", of.sku, of.asked), stocks[0].Reservations, of.want)
	}
}

func emptied(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := full(availability.Commit{}).Stocks[0]
	c.commit(s, c.next(d))
	none := availability.Cell{Location: "L1", Since: 1, CountedAt: availability.None, SafetyAt: availability.None, FuturesAt: availability.None}
	d.Exists, d.Cells = true, []availability.Cell{none}
	d.Pools = []availability.PoolData{{Number: 0, Pool: availability.Pool{EffectiveAt: availability.None}}}
	d.Demand[0].Quantity, d.Reservations[0] = 0, availability.ReservationData{ID: "r", DueRemoved: []availability.Instant{year2026}}
	c.commit(s, c.next(d))
	got, _, err := s.Read(t.Context(), number, "a")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "SKU", got, availability.StockData{SKU: "a", Exists: true, Complete: true, Every: true, GraphVersion: 1, Cells: []availability.Cell{counted("L2", 99)}})
	equal(t, "due", must(s.Due(t.Context(), number, year2026, 10))(t), nil)
}

// long is a cell whose lists do not fit into 64 bytes.
func long(id availability.LocationID) availability.Cell {
	c := counted(id, 5)
	for i := range availability.Instant(15) {
		c.Movements = append(c.Movements, availability.Movement{At: year2026 + i*1234567, Quantity: -availability.Unit})
	}
	return c
}

func replaced(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := full(availability.Commit{}).Stocks[0]
	d.Cells = append(d.Cells, long("L3"))
	c.commit(s, c.next(d))
	next := availability.StockData{SKU: "a", Exists: true, Replace: true, GraphVersion: 2, Cells: []availability.Cell{counted("L9", 1)}}
	c.commit(s, c.next(next))
	got, _, err := s.Read(t.Context(), number, "a")
	if err != nil {
		t.Fatal(err)
	}
	next.Replace, next.Complete, next.Every, next.Reservations = false, true, true, []availability.ReservationData{{ID: "r", Reservation: d.Reservations[0].Reservation}}
	equal(t, "SKU", got, next)
	equal(t, "count", must(s.Count(t.Context(), number))(t), 1)
}

// neverNew commits a SKU as one that exists already, which it does not.
func neverNew(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := stocked("a", counted("L1", 1))
	d.Exists = true
	c.commit(s, c.next(d))
	if _, _, err := s.Load(t.Context(), number, nil, []availability.Want{{SKU: "a", All: true}}); !errors.Is(err, availability.ErrCorrupt) {
		t.Errorf("load: %v", err)
	}
	if _, _, err := s.Read(t.Context(), number, "a"); !errors.Is(err, availability.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
}
