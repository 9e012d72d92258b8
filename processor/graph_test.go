package processor_test

import (
	"fmt"
	"testing"
	"time"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
	"onhand/schemas"
)

// swept waits until every task has taken over the newest graph and has visited every SKU with it.
func (w *world) swept() {
	w.Helper()
	store := w.open()
	defer func() { _ = store.Close() }()
	w.eventually("every task swept", func() bool {
		for n := range w.partitions {
			c, err := store.Checkpoint(w.Context(), n)
			if err != nil || c.GraphVersion != w.graph.Version || c.SweepCursor != availability.SweepDone {
				return false
			}
		}
		return true
	})
}

// moved is the traffic's graph with one location less in EAST, WEST gone, and a new group and location.
func moved() schemas.LocationGraph {
	return graphOf(5, map[string][]int{"EAST": {1, 3}, "NORTH": {0, 2, 4}, "ALL": {0, 1, 2, 3}})
}

// TestGraphReachesEverySKU changes the graph between and under traffic: afterwards every level is that of the new graph,
// also of SKUs that nothing touched, and places that left have tombstones.
func TestGraphReachesEverySKU(t *testing.T) {
	w, traffic := newForgetful(t)
	w.start("a")
	for i := range 40 {
		w.send(w.count(fmt.Sprint("c", i), fmt.Sprint("QUIET-", i), fmt.Sprintf("L0%d", i%4), int64(i)))
	}
	traffic.send(60)
	w.settled()
	w.publish(moved())
	traffic.send(60)
	w.swept()
	w.settled()
	w.check()
	removed := graphOf(4, trafficGroups())
	removed.Locations = removed.Locations[1:]
	removed.Groups = graphOf(4, map[string][]int{"EAST": {1}, "ALL": {1, 2, 3}}).Groups
	for _, g := range []schemas.LocationGraph{removed, graphOf(4, trafficGroups())} {
		w.publish(g)
		traffic.send(30)
	}
	w.swept()
	w.settled()
	w.check()
}

// TestReplayKnowsWhenALocationJoined lets a location leave and return, and the store go back to each of several moments, the
// empty one included: what the location had before it returned does not count, what is reserved there does.
func TestReplayKnowsWhenALocationJoined(t *testing.T) {
	w, traffic := newForgetful(t)
	r := w.start("a")
	snapshots := []cache.MemorySnapshot{w.memory.Snapshot()}
	reach := func() {
		w.swept()
		w.settled()
		snapshots = append(snapshots, w.memory.Snapshot())
	}
	w.publish(moved())
	w.swept()
	for i := range 6 {
		sku := fmt.Sprint("SKU-", i)
		w.send(w.adjust(fmt.Sprint("a", i), sku, "L04", 7), w.count(fmt.Sprint("c", i), sku, "L04", 5), w.reserve(fmt.Sprint("r", i), sku, location("L04"), 2))
	}
	traffic.send(30)
	reach()
	w.publish(graphOf(4, trafficGroups()))
	w.swept()
	traffic.send(30)
	reach()
	w.publish(moved())
	w.swept()
	w.send(w.adjust("new", "SKU-0", "L04", 3))
	traffic.send(30)
	reach()
	r.stop()
	w.check()
	for i, s := range snapshots {
		w.memory.Restore(s)
		r := w.start("a")
		w.settled()
		w.swept()
		r.stop()
		w.check()
		published := w.published()
		if w.Failed() {
			t.Fatalf("after the store went back to moment %d", i)
		}
		for sku, want := range map[string]availability.Quantity{"SKU-0": 3 * availability.Unit, "SKU-1": 0} {
			if l := published["L04/"+sku].level; l.OnHand != want || l.Reserved != 2*availability.Unit {
				t.Errorf("moment %d: %s has %s on hand, %s reserved, want %s and 2", i, sku, l.OnHand, l.Reserved, want)
			}
		}
	}
}

// closed is the traffic's graph where L01 takes no stock, and so is in no group.
func closed() schemas.LocationGraph {
	g := graphOf(4, map[string][]int{"EAST": {0}, "WEST": {2}, "ALL": {0, 2, 3}})
	g.Locations[1].InventoryLocation = false
	return g
}

// TestReplayKeepsWhatALocationHadThatTakesNoStock closes a location and opens it again, and lets the store go back behind
// what it had: while it is closed its stock stays and new one is refused, whichever graph a replay knows.
func TestReplayKeepsWhatALocationHadThatTakesNoStock(t *testing.T) {
	w, traffic := newForgetful(t)
	empty := w.memory.Snapshot()
	r := w.start("a")
	w.send(w.adjust("a", "SHIRT", "L01", 5), w.adjust("b", "SHIRT", "L01", 2), w.reserve("r", "SHIRT", location("L01"), 1))
	traffic.send(30)
	w.settled()
	before := w.memory.Snapshot()
	refused := w.adjust("refused", "SHIRT", "L01", 100)
	for _, s := range []cache.MemorySnapshot{empty, before, empty} {
		w.publish(closed())
		w.swept()
		w.send(refused)
		traffic.send(20)
		w.settled()
		r.stop()
		w.memory.Restore(s)
		r = w.start("a")
		w.settled()
		w.swept()
		w.check()
		w.publish(graphOf(4, trafficGroups()))
		w.swept()
		w.settled()
		w.check()
		if l := w.published()["L01/SHIRT"].level; w.Failed() || l.OnHand != 7*availability.Unit || l.Reserved != availability.Unit {
			t.Fatalf("L01 has %s on hand, %s reserved, want 7 and 1", l.OnHand, l.Reserved)
		}
	}
	r.stop()
}

// TestSweepSurvivesForgetting rolls the store back behind a graph that was adopted, swept and published, with another one
// published meanwhile: what was published of the forgotten graph is taken back.
func TestSweepSurvivesForgetting(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			w, traffic := newForgetful(t)
			r := w.start("a")
			traffic.send(60)
			w.swept()
			w.settled()
			old := w.memory.Snapshot()
			w.publish(moved())
			w.swept()
			w.settled()
			if !running {
				r.stop()
			}
			w.memory.Restore(old)
			w.publish(graphOf(4, trafficGroups()))
			if !running {
				w.start("a")
			}
			traffic.send(5)
			w.swept()
			w.settled()
			w.check()
		})
	}
}

// TestSweepKeepsItsRate visits few SKUs a second, and none is left out.
func TestSweepKeepsItsRate(t *testing.T) {
	w := newWorld(t, 1)
	w.memory = cache.NewMemory()
	w.publish(graphOf(4, trafficGroups()))
	w.start("a", func(o *processor.Options) { o.SweepRate = 100 })
	for i := range 200 {
		w.send(w.count(fmt.Sprint("c", i), fmt.Sprint("QUIET-", i), "L01", 5))
	}
	w.settled()
	w.publish(moved())
	began := time.Now()
	w.swept()
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("200 SKUs swept in %s at 100 a second, of which one second may be saved up", took)
	}
	w.check()
}
