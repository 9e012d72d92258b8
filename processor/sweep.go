package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"onhand/processor/availability"
)

// A sweep brings the SKUs that no event touches to a new graph: shard by shard of the store's lists of SKUs, at a bounded
// rate, in batches like any other, so that it is published before the cursor moves and a crash repeats at most a shard.
//
// The cursor is the next shard to visit. In a whole sweep every level is published, changed or not: Kafka has seen a
// graph, or a part of a sweep, that the store has forgotten.

// SweepWhole is added to the cursor of a whole sweep. By itself it is the cursor of one at its start.
const SweepWhole = 1 << 20

const (
	sweepWhole = SweepWhole
	wholeSweep = SweepWhole
)

// sweeping says whether SKUs are left to visit, which shard is next, and whether every level is published.
func sweeping(c *availability.Checkpoint) (shard int, whole, on bool) {
	if c.SweepCursor == availability.SweepDone {
		return 0, false, false
	}
	return int(c.SweepCursor &^ sweepWhole), c.SweepCursor&sweepWhole != 0, true
}

// sweep is what a task remembers of its sweep in memory.
type sweep struct {
	from    int64              // the number of commits that must be stored before the lists of SKUs are complete
	skus    []availability.SKU // of the shard under way, those left
	listed  bool               // skus holds what was left of the shard
	credit  float64
	counted time.Time
}

// sweepEvery is how long a poll waits while a sweep is under way.
const sweepEvery = 50 * time.Millisecond

// sweepBatchMax is how many SKUs one batch of a sweep visits.
const sweepBatchMax = 500

// sweepDue says whether the sweep may take a step now: something is left, and the rate allows it.
func (t *task) sweepDue(now time.Time) bool {
	if _, _, on := sweeping(&t.folded); !on {
		return false
	}
	stored, _ := t.committer.numbers()
	rate := float64(t.shared.SweepRate)
	t.sweep.credit = min(t.sweep.credit+rate*now.Sub(t.sweep.counted).Seconds(), rate)
	t.sweep.counted = now
	return stored >= t.sweep.from && t.sweep.credit >= max(1, min(sweepBatchMax, rate)/20)
}

// restartSweep begins anew, after another graph was taken over.
func (t *task) restartSweep() {
	_, queued := t.committer.numbers()
	t.sweep = sweep{from: queued, counted: time.Now()}
}

// prepareSweep adds the next SKUs of the sweep to a batch, and where the cursor stands after them.
func (t *task) prepareSweep(ctx context.Context, b *batch) error {
	shard, _, on := sweeping(&t.folded)
	if !on {
		return nil
	}
	cursor := t.folded.SweepCursor
	for empty := 0; !t.sweep.listed && empty < 64; empty++ {
		skus, err := t.shared.Store.SKUs(ctx, t.number, shard)
		if err != nil {
			return fmt.Errorf("listing SKUs of task %d: %w", t.number, err)
		}
		if len(skus) > 0 {
			t.sweep.skus, t.sweep.listed = skus, true
			break
		}
		if cursor, shard = nextShard(cursor), shard+1; cursor == availability.SweepDone {
			break
		}
	}
	n := min(len(t.sweep.skus), sweepBatchMax, t.atOnce, max(1, int(t.sweep.credit)))
	b.swept = slices.Clone(t.sweep.skus[:n])
	if t.sweep.listed && n == len(t.sweep.skus) {
		cursor = nextShard(cursor)
	}
	b.sweeps, b.cursor = true, cursor
	return nil
}

func nextShard(cursor int64) int64 {
	if cursor++; cursor&^sweepWhole == availability.SKUShards {
		return availability.SweepDone
	}
	return cursor
}

// swept moves the sweep past what a batch has published.
func (t *task) swept(b *batch) {
	if !b.sweeps {
		return
	}
	t.sweep.credit -= float64(len(b.swept))
	t.sweep.skus = t.sweep.skus[len(b.swept):]
	if len(t.sweep.skus) == 0 {
		t.sweep.listed = false
	}
}

// gone are the places that SKUs may have levels at from an older graph, and that the newest does not have, or has anew: the store
// keeps no cell of a location without a history, so that a SKU that comes from there does not know that it had a level.
func (t *task) gone() []availability.Place {
	newest := t.folder.Graph()
	var places []availability.Place
	for _, g := range t.graphs { // order-free: sorted below
		if g == newest {
			continue
		}
		for _, p := range g.Places() {
			if !newest.Keeps(g, p) && !slices.Contains(places, p) {
				places = append(places, p)
			}
		}
	}
	slices.SortFunc(places, availability.ComparePlaces)
	return places
}
