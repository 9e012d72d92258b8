package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"onhand/cache"
	"onhand/processor/availability"
)

// finish writes the file as of the newest look. What may be gone soon comes first.
func (t *taskCopy) finish(ctx context.Context, out output) (counts cache.SnapshotCounts, err error) {
	w, err := out(&t.last.Checkpoint)
	if err != nil {
		return counts, err
	}
	w.Due(t.last.Due)
	for _, b := range t.last.IDs {
		err := t.store.CopyIDs(ctx, t.number, b.Bucket, b.Count, func(ids []uint64) error { return w.IDs(availability.IDBatch{Bucket: b.Bucket, IDs: ids}) })
		if errors.Is(err, cache.ErrShorter) {
			return counts, errCopyAgain
		}
		if err != nil {
			return counts, err
		}
	}
	if err := t.finishGraphs(ctx, w); err != nil {
		return counts, err
	}
	if t.last.Owed > 0 {
		if int64(len(t.owed)) != t.last.Owed {
			return counts, errCopyAgain
		}
		if err := w.Owed(t.owed); err != nil {
			return counts, err
		}
	}
	// What was read after the look is of the same history if the task's is unbroken up to now.
	look := t.last
	if err := t.read(ctx, nil); err != nil {
		return counts, err
	}
	t.last = look
	if err := t.merge(w); err != nil {
		return counts, err
	}
	return w.Close()
}

func (t *taskCopy) finishGraphs(ctx context.Context, w *cache.SnapshotWriter) error {
	var kept []availability.GraphData
	err := askRedis(ctx, t.store, func(ctx context.Context) (err error) {
		kept, err = t.store.Graphs(ctx, t.number)
		return err
	})
	if err != nil {
		return err
	}
	for _, version := range t.last.Graphs {
		i := slices.IndexFunc(kept, func(g availability.GraphData) bool { return g.Version == version })
		if i < 0 {
			return errCopyAgain
		}
		if err := w.Graph(kept[i]); err != nil {
			return err
		}
	}
	return nil
}

// merge writes the newest copy of each SKU that was read.
func (t *taskCopy) merge(w *cache.SnapshotWriter) error {
	if _, err := t.writer.Close(); err != nil {
		return err
	}
	if _, err := t.spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading what was kept: %w", err)
	}
	var whole availability.StockData
	var number int32
	flush := func() error {
		if s := t.skus[whole.SKU]; s == nil || s.copy != number {
			return nil
		}
		return w.Stock(&whole)
	}
	_, _, err := cache.ReadSnapshot(t.spool, &cache.SnapshotVisitor{Stock: func(d *availability.StockData) error {
		if d.Exists {
			whole.Cells, whole.Pools = append(whole.Cells, d.Cells...), append(whole.Pools, d.Pools...)
			whole.Demand, whole.Reservations = append(whole.Demand, d.Demand...), append(whole.Reservations, d.Reservations...)
			return nil
		}
		err := flush()
		whole, number = *d, number+1
		return err
	}})
	if err != nil {
		return err
	}
	return flush()
}
