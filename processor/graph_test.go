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
	if w.Failed() {
		return
	}
	checkPlaces(w)
}

// checkPlaces compares without the recount, which knows one graph: what the store holds is what is published.
func checkPlaces(w *world) {
	w.Helper()
	want := make(map[string]availability.Level)
	for key, l := range w.published() {
		if l.level.Present {
			want[key] = l.level
		}
	}
	w.checkStore(want)
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
