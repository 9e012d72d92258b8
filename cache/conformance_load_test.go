package cache

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"onhand/processor/availability"
)

// largeGraph has more locations than a SKU is loaded whole with.
func largeGraph(t *testing.T, version int64) *availability.Graph {
	t.Helper()
	spec := availability.GraphSpec{Version: version, Groups: []availability.GroupSpec{{ID: "G1", Enabled: true, Sync: true}}}
	for i := range 300 {
		id := availability.LocationID(fmt.Sprintf("location-%03d", i))
		spec.Locations = append(spec.Locations, availability.LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
		spec.Groups[0].Locations = append(spec.Groups[0].Locations, id)
	}
	spec.Groups[0].ID = "group-1"
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func partOfLarge(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := stocked("a")
	for i := range 300 {
		id := availability.LocationID(fmt.Sprintf("location-%03d", i))
		if i%3 == 0 {
			d.Cells = append(d.Cells, long(id))
		} else {
			d.Cells = append(d.Cells, counted(id, i))
		}
	}
	far := make([]availability.Future, 20)
	for i := range far {
		far[i] = availability.Future{Quantity: 1, Expected: year2026 + availability.Instant(i)*7654321}
	}
	d.Pools = []availability.PoolData{{Number: 0, Pool: availability.Pool{Members: 300, EffectiveAt: year2026}}, {Number: 7, Pool: availability.Pool{Members: 2, Futures: far, EffectiveAt: year2026}}}
	d.Demand = []availability.DemandData{{Group: "gone-group", Quantity: 3}, {Group: "group-1", Quantity: 5}}
	d.Reservations = []availability.ReservationData{{ID: "r", Reservation: &availability.Reservation{}}}
	c.commit(s, c.next(d))
	want := availability.Want{SKU: "a", Locations: []availability.LocationID{"location-299", "unknown", "location-003"}, Reservations: []string{"r"}}
	other := availability.Want{SKU: "b", Locations: want.Locations}
	for what, s := range map[string]store{"the process that wrote": s, "another": b.open(t)} {
		stocks, id, err := s.Load(t.Context(), number, largeGraph(t, 1), []availability.Want{want, other})
		if err != nil || id != c.last {
			t.Fatalf("%s: commit %x, %v", what, id, err)
		}
		part := d
		part.Exists, part.Every, part.Cells = true, true, []availability.Cell{d.Cells[3], d.Cells[299]}
		equal(t, "the part asked for", stocks[0], part)
		equal(t, "a SKU that is not there", stocks[1], availability.StockData{SKU: "b", Complete: true, Every: true})
		all := d
		all.Exists, all.Complete, all.Every = true, true, true
		stocks, _, err = s.Load(t.Context(), number, largeGraph(t, 2), []availability.Want{want})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "a part of a SKU that was computed with another graph", stocks[0], all)
	}
}

// atomicLoad commits the same number to two SKUs again and again, while the same process and another load both.
func atomicLoad(t *testing.T, b *backend) {
	const rounds = 150
	writer, reader, c := b.open(t), b.open(t), chain{t: t}
	numbered := func(n int) *availability.Commit {
		commit := c.next(stocked("a", counted(availability.LocationID(fmt.Sprintf("L%d", n)), n)), stocked("b", counted(availability.LocationID(fmt.Sprintf("L%d", n)), n)))
		commit.Stocks[0].Replace, commit.Stocks[1].Replace = true, true
		return commit
	}
	c.commit(writer, numbered(0))
	done := make(chan error, 1)
	go func() {
		for n := 1; n <= rounds; n++ {
			if err := writer.Commit(t.Context(), number, numbered(n)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for loads := 0; ; loads++ {
		from := []store{reader, writer}[loads%2]
		stocks, id, err := from.Load(t.Context(), number, nil, []availability.Want{{SKU: "a", All: true}, {SKU: "b", All: true}})
		if err != nil {
			t.Fatal(err)
		}
		n := int(id[0]) - 1
		want := []availability.Cell{counted(availability.LocationID(fmt.Sprintf("L%d", n)), n)}
		equal(t, "first SKU", stocks[0].Cells, want)
		equal(t, "second SKU", stocks[1].Cells, want)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d loads beside %d commits", loads, rounds)
			return
		default:
		}
	}
}

// namesRollBack gives two locations their numbers twice, the second time the other way round, and asks processes that
// learned them the first time.
func namesRollBack(t *testing.T, b *backend) {
	s, bystander, c := b.open(t), b.open(t), chain{t: t}
	first := c.next(stocked("a", counted("L1", 1)))
	first.Stocks[0].Pools = []availability.PoolData{{Number: 3, Pool: availability.Pool{Members: 1, EffectiveAt: year2026}}}
	c.commit(s, first)
	roll := b.snapshot(t)
	before := c
	c.commit(s, c.next(stocked("a", counted("L2", 2), counted("L3", 3))))
	equal(t, "before the rollback", c.whole(bystander, "a")[0].Cells, []availability.Cell{counted("L1", 1), counted("L2", 2), counted("L3", 3)})

	roll()
	c = before
	equal(t, "after it", c.whole(bystander, "a")[0].Cells, []availability.Cell{counted("L1", 1)})
	next := b.open(t)
	c.n = 50
	c.commit(next, c.next(stocked("a", counted("L3", 33), counted("L2", 22))))
	want := []availability.Cell{counted("L1", 1), counted("L2", 22), counted("L3", 33)}
	for what, s := range map[string]store{"who wrote before": s, "who read before": bystander, "who wrote after": next, "a new process": b.open(t)} {
		equal(t, what, c.whole(s, "a")[0].Cells, want)
		part, _, err := s.Load(t.Context(), number, largeGraph(t, 1), []availability.Want{{SKU: "a", Locations: []availability.LocationID{"L2"}}})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, what+", in part", part[0].Cells, want[1:2])
	}
	// Who wrote before goes on, with what it remembers and then without.
	c.commit(s, c.next(stocked("a", counted("L3", 333), counted("L4", 4))))
	s.Forget(number)
	c.commit(s, c.next(stocked("a", counted("L2", 222))))
	equal(t, "after more commits", c.whole(next, "a")[0].Cells, []availability.Cell{counted("L1", 1), counted("L2", 222), counted("L3", 333), counted("L4", 4)})
}

func fencedAfterRollback(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	c.commit(s, c.next(stocked("a", counted("L1", 1))))
	roll := b.snapshot(t)
	before := c
	second := c.next(stocked("a", counted("L1", 2)))
	c.commit(s, second)
	third := c.next(stocked("a", counted("L1", 3)))
	roll()
	if err := s.Commit(t.Context(), number, third); !errors.Is(err, availability.ErrFenced) {
		t.Errorf("a commit on top of one that was forgotten: %v", err)
	}
	equal(t, "stock", before.whole(s, "a")[0].Cells, []availability.Cell{counted("L1", 1)})
	if err := s.Commit(t.Context(), number, second); err != nil {
		t.Errorf("the forgotten commit once more: %v", err)
	}
}

func idsByBucket(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	many := make([]uint64, 150_000) // more than one piece of 1 MiB
	for i := range many {
		many[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	first := c.next()
	first.IDs = []availability.IDBatch{{Bucket: 12, IDs: many}, {Bucket: -3, IDs: []uint64{7}}, {Bucket: 5, IDs: []uint64{1}}, {Bucket: 6}}
	c.commit(s, first)
	second := c.next()
	second.IDs = []availability.IDBatch{{Bucket: 5, IDs: []uint64{2, 3}}, {Bucket: 5, IDs: []uint64{1 << 63}}, {Bucket: 4, IDs: []uint64{9}}}
	second.DropIDs = []int64{-3, 4, 99}
	c.commit(s, second)
	equal(t, "ids", must(b.open(t).IDs(t.Context(), number))(t), []availability.IDBatch{{Bucket: 5, IDs: []uint64{1, 2, 3, 1 << 63}}, {Bucket: 12, IDs: many}})
}

// futuresDue has futures and expiries in one index, and takes in their changes one after the other.
func futuresDue(t *testing.T, b *backend) {
	s, c, ctx := b.open(t), chain{t: t}, t.Context()
	at := func(n int) availability.Instant { return year2026 + availability.Instant(n) }
	due := func(n int, location availability.LocationID) availability.Due {
		return availability.Due{At: at(n), SKU: "a", Location: location}
	}
	d := stocked("a")
	d.FuturesDue = []availability.FutureDue{{Location: "L1", At: at(2)}, {Location: "L2", At: at(1)}, {Location: "L2", At: at(1), Removed: true}, {Location: "L2", At: at(3)}, {Location: "L3", At: at(9)}}
	d.Reservations = []availability.ReservationData{{ID: "L1", Reservation: &availability.Reservation{}, DueAdded: []availability.Instant{at(2)}}}
	c.commit(s, c.next(d))
	expiry := availability.Due{At: at(2), SKU: "a", ReservationID: "L1"}
	equal(t, "due", must(s.Due(ctx, number, at(3), 10))(t), []availability.Due{due(2, "L1"), expiry, due(3, "L2")})
	c.commit(s, c.next(availability.StockData{SKU: "a", Exists: true, FuturesDue: []availability.FutureDue{
		{Location: "L1", At: at(2), Removed: true}, {Location: "L2", At: at(3), Removed: true}, {Location: "L2", At: at(3)}, {Location: "L4", At: at(1), Removed: true},
	}}))
	equal(t, "due after changes", must(b.open(t).Due(ctx, number, at(3), 10))(t), []availability.Due{expiry, due(3, "L2")})
}

// wholeWithReservations asks for everything there is of a SKU.
func wholeWithReservations(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	d := stocked("a", counted("L1", 1))
	line := &availability.Reservation{Lines: []availability.Line{{Place: availability.Place{Type: availability.LocationPlace, ID: "L1"}, Quantity: 5, ExpiresAt: availability.None}}}
	d.Reservations = []availability.ReservationData{{ID: "r2", Reservation: line}, {ID: "r1", Reservation: line}}
	c.commit(s, c.next(d))
	g := largeGraph(t, d.GraphVersion)
	got, _, err := b.open(t).Load(t.Context(), number, g, []availability.Want{{SKU: "b", Whole: true}, {SKU: "a", Whole: true, Reservations: []string{"r9"}}, {SKU: "a", Reservations: []string{"r9"}}})
	if err != nil {
		t.Fatal(err)
	}
	if !got[0].Every || !got[0].Complete || got[0].Exists || !got[1].Every || !got[1].Complete || got[2].Complete {
		t.Errorf("%+v", got)
	}
	equal(t, "cells", got[1].Cells, []availability.Cell{counted("L1", 1)})
	equal(t, "reservations", got[1].Reservations, []availability.ReservationData{{ID: "r1", Reservation: line}, {ID: "r2", Reservation: line}, {ID: "r9"}})
}

func dueInOrder(t *testing.T, b *backend) {
	s, c, ctx := b.open(t), chain{t: t}, t.Context()
	at := func(n availability.Instant) availability.Instant { return year2026 + n }
	with := func(sku availability.SKU, id string, added, removed []availability.Instant) availability.StockData {
		d := stocked(sku)
		d.Reservations = []availability.ReservationData{{ID: id, Reservation: &availability.Reservation{}, DueAdded: added, DueRemoved: removed}}
		return d
	}
	c.commit(s, c.next(
		with("b", "r\x001", []availability.Instant{at(3), at(1)}, nil),
		with("a", "r", []availability.Instant{at(3)}, nil),
		with("c", "", []availability.Instant{at(2)}, nil),
		with("d", "later", []availability.Instant{at(4)}, nil),
	))
	want := []availability.Due{{At: at(1), SKU: "b", ReservationID: "r\x001"}, {At: at(2), SKU: "c"}, {At: at(3), SKU: "a", ReservationID: "r"}, {At: at(3), SKU: "b", ReservationID: "r\x001"}}
	equal(t, "due", must(s.Due(ctx, number, at(3), 10))(t), want)
	equal(t, "due of all", must(s.Due(ctx, number, at(3), 2))(t), want[:2])
	equal(t, "due before all", must(s.Due(ctx, number, at(0), 10))(t), nil)
	equal(t, "no more than none", must(s.Due(ctx, number, at(3), 0))(t), nil)
	// Two changes of one SKU in a commit: the later counts.
	c.commit(s, c.next(
		with("b", "r\x001", nil, []availability.Instant{at(1)}), with("b", "r\x001", []availability.Instant{at(1)}, []availability.Instant{at(3)}),
		with("a", "r", []availability.Instant{at(3)}, nil), with("a", "r", nil, []availability.Instant{at(3)}),
	))
	equal(t, "due after changes", must(s.Due(ctx, number, at(3), 10))(t), want[:2])
}

func owedList(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	var many []availability.SKU
	for i := range 2500 {
		many = append(many, availability.SKU(fmt.Sprintf("SKU-%05d", i)))
	}
	for _, part := range [][]availability.SKU{many[1000:], many[:1500]} {
		commit := c.next()
		commit.OwedAdded = part
		c.commit(s, commit)
	}
	equal(t, "owed", must(s.Owed(t.Context(), number))(t), many)
	commit := c.next()
	commit.OwedCleared, commit.OwedAdded = true, many[:1]
	c.commit(s, commit)
	equal(t, "owed after it was cleared", must(s.Owed(t.Context(), number))(t), many[:1])
}

func graphList(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	large := slices.Repeat([]byte("a location and another "), 20_000)
	commit := c.next()
	commit.Graphs = []availability.GraphData{{Version: 10, Bytes: large}, {Version: 9, Bytes: []byte("small")}, {Version: 2, Bytes: []byte{0}}}
	c.commit(s, commit)
	commit = c.next()
	commit.DropGraphs = []int64{9, 77}
	c.commit(s, commit)
	equal(t, "graphs", must(s.Graphs(t.Context(), number))(t), []availability.GraphData{{Version: 2, Bytes: []byte{0}}, {Version: 10, Bytes: large}})
}

func skusByShard(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	var all, got []availability.SKU
	commit := c.next()
	for i := range 1500 {
		sku := availability.SKU(fmt.Sprintf("SKU-%05d", i))
		all = append(all, sku)
		commit.Stocks = append(commit.Stocks, stocked(sku))
	}
	c.commit(s, commit)
	again := stocked(all[0], counted("L", 1))
	again.Exists = true
	c.commit(s, c.next(again))
	for shard := range availability.SKUShards {
		part := must(s.SKUs(t.Context(), number, shard))(t)
		if !slices.IsSorted(part) {
			t.Errorf("shard %d is not sorted: %q", shard, part)
		}
		for _, sku := range part {
			if shardOf(sku) != shard {
				t.Errorf("SKU %q is in shard %d, not in %d", sku, shard, shardOf(sku))
			}
		}
		got = append(got, part...)
	}
	slices.Sort(got)
	equal(t, "SKUs of all shards", got, all)
	equal(t, "count", must(s.Count(t.Context(), number))(t), 1500)
	for _, shard := range []int{-1, availability.SKUShards} {
		if _, err := s.SKUs(t.Context(), number, shard); err == nil {
			t.Errorf("shard %d: no error", shard)
		}
	}
}

func manyCells(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	one := stocked("one")
	for i := range 1000 {
		one.Cells = append(one.Cells, counted(availability.LocationID(fmt.Sprintf("location-%04d", i)), i))
	}
	commit := c.next(one)
	for i := range 1000 {
		commit.Stocks = append(commit.Stocks, stocked(availability.SKU(fmt.Sprintf("SKU-%04d", i)), counted("location-0007", i)))
	}
	c.commit(s, commit)
	skus := []availability.SKU{"one"}
	for i := range WantsMax - 1 {
		skus = append(skus, availability.SKU(fmt.Sprintf("SKU-%04d", i)))
	}
	stocks := c.whole(s, skus...)
	equal(t, "one SKU at a thousand locations", stocks[0].Cells, one.Cells)
	for i := range 1000 {
		equal(t, "one of a thousand SKUs", stocks[1+i].Cells, commit.Stocks[1+i].Cells)
	}
	equal(t, "one that is not there", stocks[1001], availability.StockData{SKU: skus[1001], Complete: true, Every: true})
	if _, _, err := s.Load(t.Context(), number, nil, make([]availability.Want, WantsMax+1)); err == nil {
		t.Error("more wants than may be: no error")
	}
}

func tasksApart(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	commit := full(*c.next())
	c.commit(s, &commit)
	for _, other := range []int32{1, 7, 170} {
		equal(t, "checkpoint of another task", must(s.Checkpoint(t.Context(), other))(t), availability.Checkpoint{})
		equal(t, "owed of another task", must(s.Owed(t.Context(), other))(t), nil)
		stocks, _, err := s.Load(t.Context(), other, nil, []availability.Want{{SKU: "a", All: true}})
		if err != nil || stocks[0].Exists {
			t.Errorf("SKU of another task: %+v, %v", stocks, err)
		}
	}
}

func nothingShared(t *testing.T, b *backend) {
	s, c := b.open(t), chain{t: t}
	commit := full(*c.next(stocked("z", long("L1"))))
	want := commit.Stocks[0].Cells[0].Movements[0]
	c.commit(s, &commit)
	commit.Stocks[0].Cells[0].Movements[0].Quantity = 12345
	commit.Stocks[1].Reservations[0].Reservation.Lines[0].Quantity = 12345
	commit.Graphs[0].Bytes[0] = 'X'
	commit.IDs[0].IDs[0] = 12345
	for range 2 {
		got := c.whole(s, "z")[0]
		equal(t, "movement", got.Cells[0].Movements[0], want)
		got.Cells[0].Movements[0].Quantity = 54321
		r, _, err := s.Read(t.Context(), number, "a")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "line", r.Reservations[0].Reservation.Lines[0].Quantity, 1)
		r.Reservations[0].Reservation.Lines[0].Quantity = 54321
		graphs := must(s.Graphs(t.Context(), number))(t)
		equal(t, "graph", string(graphs[0].Bytes), "graph")
		graphs[0].Bytes[0] = 'Y'
		ids := must(s.IDs(t.Context(), number))(t)
		equal(t, "id", ids[0].IDs[0], 1)
		ids[0].IDs[0] = 54321
	}
}
