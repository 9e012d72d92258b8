package availability

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestModel folds random events and compares with the plain model.
//
// Generated: graphs of 2–7 locations and 2–7 overlapping groups, some of them disabled, unsynced, taking no stock, leaving
// or returning; 12–40 stock and reservation events of two SKUs at few dates, with repeats and with what breaks a rule.
// Compared, after every event: its outcome; after every batch, of three on average: all levels, the changes as the exact
// difference, the expiries that the store watches. Nothing is generated that merging, the horizon or the window would show
// in.
//
// Replay:
//
//	go test ./processor/availability -run '^TestModel$' -seed=N -cases=1. The long run: -cases=1000000 -timeout=0.
func TestModel(t *testing.T) {
	eachCase(t, 10_000, func(t *testing.T, r *rand.Rand) {
		ops := newGenerator(r).scenario(12 + r.IntN(29))
		w, p := newWorld(t, DefaultRules()), newPlain()
		for i, o := range ops {
			compareFold(t, w, p, o)
			if r.IntN(3) == 0 || i == len(ops)-1 {
				w.sweep()
				w.commit()
				compareStates(t, w, p)
			}
			if t.Failed() {
				t.Fatalf("after op %d of %v", i, ops[:i+1])
			}
		}
	})
}

// compareFold folds an op both ways and compares the answers.
func compareFold(t *testing.T, w *world, p *plain, o op) {
	t.Helper()
	var why tightness
	if o.event != nil {
		if result, again := p.ask(o.event); !again {
			why = p.tight(o.event, result)
		}
	}
	want, got := p.fold(o), w.fold(o)
	if got.outcome != want.outcome || got.stale != want.stale || got.again != want.again || !sameResult(got.result, want.result) {
		t.Errorf("answer %+v, want %+v", got, want)
	}
	groups := got.result.TightGroups
	named := slices.ContainsFunc(why.sets, func(s []GroupID) bool { return slices.Equal(s, groups) })
	// Where nothing is free and promises are broken as well, they may be named.
	if !got.again && (len(groups) == 0 && why.limited || len(groups) > 0 && (!named || !why.limited && !why.broken)) {
		t.Errorf("tight groups %v; want those of %+v", groups, why)
	}
}

// compareStates compares levels and watched expiries. What was published is compared with the levels by the world.
func compareStates(t *testing.T, w *world, p *plain) {
	t.Helper()
	for sku, s := range p.skus {
		if diff := diffLevels(w.levels(sku), p.levels(sku)); diff != "" {
			t.Errorf("levels of %s:\n%s", sku, diff)
		}
		due := map[string][]Instant{}
		for _, l := range s.lines {
			if l.ExpiresAt != None && !slices.Contains(due[l.reservation], l.ExpiresAt) {
				due[l.reservation] = append(due[l.reservation], l.ExpiresAt)
			}
		}
		k := w.store.skus[sku]
		if k == nil {
			continue
		}
		for id := range k.reservations {
			slices.Sort(due[id])
			if got := k.dueOf(id); !slices.Equal(got, due[id]) {
				t.Errorf("the store watches %v of %s, its lines expire at %v", got, id, due[id])
			}
		}
	}
}

func sameResult(a, b Result) bool {
	return a.Outcome == b.Outcome && a.Requested == b.Requested && a.Granted == b.Granted && a.ErrorCode == b.ErrorCode
}
