package cache

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"onhand/processor/availability"
)

// TestUnreadableValuesAreNamed damages one value at a time, and reads everything.
func TestUnreadableValuesAreNamed(t *testing.T) {
	type damage struct {
		key, field string
		do         func(m *miniredis.Miniredis, key, field string)
	}
	garble := func(m *miniredis.Miniredis, key, field string) {
		m.HSet(key, field, "\x1f\xff\xff\xff\xff\xff\xff\xff")
	}
	replace := func(m *miniredis.Miniredis, key, _ string) { m.Del(key); must2(m.Set(key, "a hand's")) }
	rename := func(m *miniredis.Miniredis, key, field string) { m.HSet(key, field, m.HGet(key, "0")) }
	k := keysOf("onhand", number)
	for _, d := range []damage{
		{k.stock("a"), "0", garble},
		{k.stock("a"), "v", garble},
		{k.stock("a"), "v", func(m *miniredis.Miniredis, key, field string) { m.HDel(key, field) }},
		{k.stock("a"), "p0", garble},
		{k.stock("a"), "g2", garble},
		{k.stock("a"), "77", rename},
		{k.stock("a"), "g0", rename},
		{k.stock("a"), "pool", rename},
		{k.stock("a"), "-1", rename},
		{k.stock("z"), "0", func(m *miniredis.Miniredis, _, field string) { m.HSet(k.lists("z"), field, "\x10xxx") }},
		{k.stock("z"), "0", func(m *miniredis.Miniredis, _, field string) { m.HDel(k.lists("z"), field) }},
		{k.reservations("a"), "r", garble},
		{k.stock("a"), "", replace},
		{k.lists("a"), "", replace},
		{k.reservations("a"), "", replace},
		{k.names(), "", func(m *miniredis.Miniredis, key, _ string) { m.HSet(key, "0", "lL9") }},
		{k.names(), "", func(m *miniredis.Miniredis, key, _ string) { m.HDel(key, "0") }},
		{k.names(), "", func(m *miniredis.Miniredis, key, _ string) { m.HSet(key, "x", "lL9") }},
		{k.checkpoint(), "", func(m *miniredis.Miniredis, key, _ string) { must2(m.Set(key, "nonsense")) }},
		{k.checkpoint(), "", func(m *miniredis.Miniredis, key, _ string) { v, _ := m.Get(key); must2(m.Set(key, v[:len(v)-1])) }},
		{k.checkpoint(), "", func(m *miniredis.Miniredis, key, _ string) { m.Del(key) }},
		{k.graphs(), "1", garble},
		{k.graphs(), "one", garble},
		{k.buckets(), "many", func(m *miniredis.Miniredis, key, field string) { _, err := m.SAdd(key, field); must2(err) }},
		{k.bucket(1), "", func(m *miniredis.Miniredis, key, _ string) { must2(m.Set(key, "four")) }},
		{k.due(), "SKU", func(m *miniredis.Miniredis, key, field string) { _, err := m.ZAdd(key, 1, field); must2(err) }},
	} {
		t.Run(d.key+" "+d.field, func(t *testing.T) {
			m := miniredis.RunT(t)
			s, c := openRedis(t, "redis://"+m.Addr(), Options{Namespace: "onhand"}), chain{t: t}
			commit := full(*c.next(stocked("z", long("L1"))))
			c.commit(s, &commit)
			d.do(m, d.key, d.field)
			err := readAll(t, openRedis(t, "redis://"+m.Addr(), Options{Namespace: "onhand"}))
			if !errors.Is(err, availability.ErrCorrupt) || !strings.Contains(err.Error(), d.key) || d.field != "" && !strings.Contains(err.Error(), fmt.Sprintf("field %q", d.field)) {
				t.Errorf("read as %v", err)
			}
		})
	}
}

// TestDerivedValuesThatAreUnreadableAreLeftOut loads a SKU whole where a pool and a demand cannot be read; a cell must be.
func TestDerivedValuesThatAreUnreadableAreLeftOut(t *testing.T) {
	m := miniredis.RunT(t)
	s, c := openRedis(t, "redis://"+m.Addr(), Options{Namespace: "onhand"}), chain{t: t}
	commit := full(*c.next(stocked("z", long("L1"))))
	c.commit(s, &commit)
	key := keysOf("onhand", number).stock("a")
	before := c.whole(s, "a")[0]
	fields, err := m.HKeys(key)
	must2(err)
	damaged := 0
	for _, field := range append(fields, "g77", "pool") {
		if field[0] == fieldPool || field[0] == fieldDemand {
			m.HSet(key, field, "\x1f\xff\xff\xff")
			damaged++
		}
	}
	load := func() (availability.StockData, error) {
		got, _, err := s.Load(t.Context(), number, nil, []availability.Want{{SKU: "a", Whole: true}})
		return append(got, availability.StockData{})[0], err
	}
	got, err := load()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "cells", got.Cells, before.Cells)
	if damaged != 4 || len(got.Pools)+len(got.Demand) > 0 {
		t.Errorf("of %d fields, all damaged, there is %+v and %+v", damaged, got.Pools, got.Demand)
	}
	m.HSet(key, "0", "\x1f\xff\xff\xff")
	if _, err := load(); !errors.Is(err, availability.ErrCorrupt) {
		t.Errorf("a cell that is unreadable: %v", err)
	}
}

// TestUnreadableSKUsAreToldApart: others that were asked for together with them are not to blame, and can be loaded.
func TestUnreadableSKUsAreToldApart(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), chain{t: t}
		k := keysOf(s.namespace, number)
		c.commit(s, c.next(stocked("a", counted("L1", 1)), stocked("b", counted("L1", 2)), stocked("c", counted("L1", 3)), stocked("d", counted("L1", 4))))
		ctx := t.Context()
		for _, err := range []error{
			s.client.HSet(ctx, k.stock("a"), "0", "\x1f\xff\xff").Err(), s.client.Set(ctx, k.stock("c"), "a hand's", 0).Err(), s.client.Set(ctx, k.lists("d"), "a hand's", 0).Err(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		g, err := (&availability.GraphSpec{Version: 1}).Compile()
		if err != nil {
			t.Fatal(err)
		}
		for _, graph := range []*availability.Graph{nil, g} {
			var wants []availability.Want
			for _, sku := range []availability.SKU{"a", "b", "c", "d", "e"} {
				wants = append(wants, availability.Want{SKU: sku, Locations: []availability.LocationID{"L1"}, Reservations: []string{"r"}})
			}
			_, _, err := s.Load(ctx, number, graph, wants)
			bad, ok := errors.AsType[*availability.CorruptError](err)
			if !ok || !errors.Is(err, availability.ErrCorrupt) {
				t.Fatalf("loaded with %v", err)
			}
			equal(t, "SKUs", bad.SKUs, []availability.SKU{"a", "c", "d"})
			for i, key := range []string{k.stock("a"), k.stock("c"), k.lists("d")} {
				if !errors.Is(bad.Errs[i], availability.ErrCorrupt) || !strings.Contains(bad.Errs[i].Error(), key) {
					t.Errorf("%s: %v", key, bad.Errs[i])
				}
			}
		}
		equal(t, "the SKU in between", c.whole(s, "b")[0].Cells, []availability.Cell{counted("L1", 2)})
	})
}

func must2(err error) {
	if err != nil {
		panic(err)
	}
}

// readAll reads everything and returns what went wrong.
func readAll(t *testing.T, s store) error {
	t.Helper()
	ctx := t.Context()
	_, _, loaded := s.Load(ctx, number, nil, []availability.Want{{SKU: "z", All: true}})
	_, _, read := s.Read(ctx, number, "a")
	_, checkpoint := s.Checkpoint(ctx, number)
	_, ids := s.IDs(ctx, number)
	_, graphs := s.Graphs(ctx, number)
	_, due := s.Due(ctx, number, year2026, 10)
	return errors.Join(loaded, read, checkpoint, ids, graphs, due)
}

// TestStateWithoutACheckpointIsNotBuiltUpon: adding to it would count everything twice.
func TestStateWithoutACheckpointIsNotBuiltUpon(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), chain{t: t}
		c.commit(s, c.next(stocked("a", counted("L1", 5))))
		if err := s.client.Del(t.Context(), keysOf(s.namespace, number).checkpoint()).Err(); err != nil {
			t.Fatal(err)
		}
		first := chain{t: t, n: 100}
		commit := first.next(stocked("a", counted("L1", 7)))
		before := dump(t, s)
		for range 2 { // with what it remembers, and without
			if err := s.Commit(t.Context(), number, commit); !errors.Is(err, availability.ErrCorrupt) || !strings.Contains(err.Error(), "restore a snapshot") {
				t.Errorf("a first commit: %v", err)
			}
			if _, err := s.Checkpoint(t.Context(), number); !errors.Is(err, availability.ErrCorrupt) {
				t.Errorf("the checkpoint: %v", err)
			}
		}
		equal(t, "keys", len(dump(t, s)), len(before))
	})
}

// TestListsThatFitAgainLeaveNothingBehind looks for the sibling key.
func TestListsThatFitAgainLeaveNothingBehind(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), chain{t: t}
		key := keysOf(s.namespace, number).lists("a")
		pool := availability.PoolData{Number: 0, Pool: availability.Pool{Members: 2, EffectiveAt: year2026}}
		for i := range availability.Instant(20) {
			pool.Futures = append(pool.Futures, availability.Future{Quantity: 1, Expected: year2026 + i*7654321})
		}
		big := stocked("a", long("L1"), long("L2"))
		big.Pools = []availability.PoolData{pool}
		c.commit(s, c.next(big))
		equal(t, "fields of the sibling", s.client.HLen(t.Context(), key).Val(), 3)
		small := availability.StockData{SKU: "a", Exists: true, GraphVersion: 1, Cells: []availability.Cell{counted("L1", 1)}}
		c.commit(s, c.next(small))
		equal(t, "fields of the sibling after one cell", s.client.HLen(t.Context(), key).Val(), 2)

		// Another process, which has loaded the SKU, does the same.
		other := openRedis(t, url, Options{Namespace: s.namespace})
		c.whole(other, "a")
		small.Cells = []availability.Cell{counted("L2", 1)}
		pool.Futures = nil
		small.Pools = []availability.PoolData{pool}
		c.commit(other, c.next(small))
		equal(t, "the sibling in the end", s.client.Exists(t.Context(), key).Val(), 0)

		// Replacing a SKU deletes it, whatever the process knows.
		c.commit(s, c.next(big))
		small.Replace = true
		c.commit(openRedis(t, url, Options{Namespace: s.namespace}), c.next(small))
		equal(t, "the sibling of a SKU that was replaced", s.client.Exists(t.Context(), key).Val(), 0)
	})
}
