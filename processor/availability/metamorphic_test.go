package availability

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// variant is another way to fold the same operations, which must come to the same.
type variant struct {
	name    string
	batch   int  // ops in a batch, at most
	restart int  // percent of batches after which all that is in memory is lost
	sweep   int  // percent of batches before whose end every SKU is brought to the current graph
	again   int  // percent of ops that are followed by an earlier one once more
	replay  bool // decisions stand
	large   bool // the graph has hundreds of other locations, so that SKUs are loaded in part
}

var variants = []variant{
	{name: "pairs", batch: 2, sweep: 30},
	{name: "one batch", batch: 1000},
	{name: "restarts", batch: 3, restart: 60, sweep: 30},
	{name: "repeats", batch: 3, restart: 10, again: 40},
	{name: "replay", batch: 4, restart: 30, replay: true},
	{name: "partial", batch: 3, restart: 40, large: true},
	{name: "partial replay in one batch", batch: 1000, replay: true, large: true},
}

// TestAnySplitIsTheSame folds the same operations in other batches, with restarts from what commits left in the store,
// with repeats, with decisions standing, and with stocks that are loaded in part.
//
// Generated: as in TestModel. Compared, with a run of one operation per batch: the answers; in the end all levels, as they
// are and as changes published them; the lines of every reservation; the sums in the store with its cells and lines; after
// a replay, the answer to every request again.
//
// Replay:
//
//	go test ./processor/availability -run '^TestAnySplitIsTheSame$' -seed=N -cases=1
func TestAnySplitIsTheSame(t *testing.T) {
	eachCase(t, 1000, func(t *testing.T, r *rand.Rand) {
		ops := newGenerator(r).scenario(20 + r.IntN(20))
		base := newWorld(t, DefaultRules())
		var answers []answer
		for _, o := range ops {
			answers = append(answers, base.fold(o))
			base.sweep()
			base.commit()
		}
		for _, v := range variants {
			v.run(t, r, base, ops, answers)
			if t.Failed() {
				t.Fatalf("variant %q of %v", v.name, ops)
			}
		}
	})
}

func (v *variant) run(t *testing.T, r *rand.Rand, base *world, ops []op, answers []answer) {
	chance := func(percent int) bool { return r.IntN(100) < percent }
	w := newWorld(t, DefaultRules())
	left := 1 + r.IntN(v.batch)
	for i, o := range ops {
		if o.graph != nil && v.large {
			o.graph = enlarge(o.graph.Spec())
		}
		if w.standing = nil; v.replay {
			w.standing = answers
			w.folded = i
		}
		if got := w.fold(o); !v.same(got, answers[i]) {
			t.Errorf("%s: op %d: answer %+v, want %+v", v.name, i, got, answers[i])
		}
		if chance(v.again) {
			v.repeat(t, w, ops, answers, i, r.IntN(i+1))
		}
		if left--; left == 0 || i == len(ops)-1 {
			if chance(v.sweep) {
				w.sweep()
			}
			w.commit()
			left = 1 + r.IntN(v.batch)
			if chance(v.restart) {
				w.reset()
			}
		}
	}
	w.sweep()
	w.commit()
	v.compare(t, w, base)
	if v.replay {
		w.standing = nil
		for i, o := range ops {
			if o.event != nil {
				if got := w.fold(o); !got.again || !v.same(got, answer{result: answers[i].result, again: true}) {
					t.Errorf("%s: op %d once more: answer %+v, want %+v", v.name, i, got, answers[i])
				}
			}
		}
	}
}

// same says whether two answers are. A message names locations that a larger graph has more of.
func (v *variant) same(a, b answer) bool {
	return a.outcome == b.outcome && a.stale == b.stale && a.again == b.again && sameResult(a.result, b.result) &&
		slices.Equal(a.result.TightGroups, b.result.TightGroups) && (v.large || a.result.Message == b.result.Message)
}

// repeat folds op j once more after op i: what has an id at any time, what has a date at once.
func (v *variant) repeat(t *testing.T, w *world, ops []op, answers []answer, i, j int) {
	o := ops[j]
	switch {
	case o.graph != nil:
	case o.drop != nil:
		if j == i { // told twice, as after a crash between publishing it and the store's commit
			if got := w.fold(o); got.outcome != Stale {
				t.Errorf("%s: op %d once more: outcome %d", v.name, j, got.outcome)
			}
		}
	case o.event != nil:
		if got := w.fold(o); !got.again || !v.same(got, answer{result: answers[j].result, again: true}) {
			t.Errorf("%s: op %d once more: answer %+v, want %+v", v.name, j, got, answers[j])
		}
	case o.delta.Mode == Adjust && answers[j].outcome == Applied:
		if got := w.fold(o); got.outcome != Duplicate && got.outcome != UnknownLocation {
			t.Errorf("%s: op %d once more: outcome %d", v.name, j, got.outcome)
		}
	case j == i:
		w.fold(o)
	}
}

// compare compares what two worlds came to.
func (v *variant) compare(t *testing.T, w, base *world) {
	for _, sku := range base.skus() {
		levels := base.published[sku]
		if diff := diffLevels(w.levels(sku), levels); diff != "" {
			t.Errorf("%s: levels of %s:\n%s", v.name, sku, diff)
		}
		k, l := base.store.skus[sku], w.store.skus[sku]
		if k == nil || l == nil {
			if k != l {
				t.Errorf("%s: one store has %s, one has not", v.name, sku)
			}
			continue
		}
		d := w.store.load(&Want{SKU: sku, All: true, Reservations: slices.Sorted(maps.Keys(l.reservations))})
		if a := w.folder.Audit(&d); len(a.Pools)+len(a.Reserved) > 0 {
			t.Errorf("%s: what the store has of %s is not what its cells and reservations come to: %+v", v.name, sku, a)
		}
		v.compareFutures(t, k, l, sku)
		for id, r := range k.reservations {
			if s := l.reservations[id]; s == nil || !slices.Equal(r.Lines, s.Lines) || !slices.Equal(k.dueOf(id), l.dueOf(id)) {
				t.Errorf("%s: reservation %s of %s: %+v due %v, want %+v due %v", v.name, id, sku, s, l.dueOf(id), r, k.dueOf(id))
			}
		}
	}
}

// compareFutures compares the indexes of futures, which have the earliest of each location.
func (v *variant) compareFutures(t *testing.T, k, l *kept, sku SKU) {
	want := map[LocationID]Instant{}
	for id, c := range k.cells {
		if len(c.Futures) > 0 {
			want[id] = c.Futures[0].Expected
		}
	}
	if !maps.Equal(k.futures, want) || !maps.Equal(l.futures, want) {
		t.Errorf("%s: the stores watch %v and %v of %s, its cells expect %v", v.name, k.futures, l.futures, sku, want)
	}
}

// enlarge adds locations that never get stock: a twin to every other location, in the sums and groups where it is, so that there are pools
// of several, and more than a SKU is loaded whole with.
func enlarge(spec GraphSpec) *Graph {
	for i, l := range spec.Locations {
		if i%2 == 0 && l.Inventory {
			spec.Locations = append(spec.Locations, LocationSpec{ID: l.ID + "-twin", Inventory: true, Sync: l.Sync, Since: 1})
			for j, g := range spec.Groups {
				if slices.Contains(g.Locations, l.ID) {
					spec.Groups[j].Locations = append(slices.Clone(spec.Groups[j].Locations), l.ID+"-twin")
				}
			}
		}
	}
	for i := range wholeLocations {
		id := LocationID(fmt.Sprintf("empty-%d", i))
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
		if g := i % 10; g < len(spec.Groups) {
			spec.Groups[g].Locations = append(slices.Clone(spec.Groups[g].Locations), id)
		}
	}
	g, err := spec.Compile()
	if err != nil {
		panic(err)
	}
	return g
}
