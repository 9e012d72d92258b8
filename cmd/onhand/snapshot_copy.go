package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
)

const (
	// copySKUs and copyBytes bound what one look at Redis asks for: it serves nobody else for some 5 ms.
	copySKUs  = 500
	copyBytes = 256 << 10
	// copyRestarts is how often the copy of a task begins anew because the task has another owner or Redis forgot.
	copyRestarts = 5
)

// spoolPattern names what is kept while a task is copied.
const spoolPattern = ".spool-*"

var (
	// errTaskMoved says that two looks at a task are of different histories: it was claimed, or Redis has forgotten.
	errTaskMoved = errors.New("the task has a new owner, or Redis has forgotten writes")
	// errCopyAgain says that what was to be copied as of a look is gone by now; the next look is of something newer.
	errCopyAgain = errors.New("a part of the state has gone meanwhile")
)

// taskCopy copies the state of one task as one checkpoint has it, while its owner goes on to write.
//
// Each look at Redis returns SKUs together with the checkpoint that they were written with. A copy of a SKU, made at
// offsets t, is also right at the offsets F of a later checkpoint of the same epoch unless something between the two has
// changed the SKU. Three things do: a record of its key in [t, F) of an input, a sweep that visits its part of the lists,
// and what is published after a recovery. All three are known: by the inputs themselves, by graph version and cursor in the
// checkpoints, and by the set of what is owed. So SKUs are read again until a look leaves none that has changed up to its
// own checkpoint. A change that was noted and did not happen costs a read; one that happened is always noted.
//
// What is kept beside the SKUs is copied after that look: ids are only appended to, so those at F are the first so many;
// graphs never change; both leave for good, and then a later look is taken. What is owed only leaves as a whole.
type taskCopy struct {
	store   *cache.Redis
	number  int32
	mine    func(key []byte) bool                                           // whether it is a SKU of the task
	changes func(from [availability.Inputs]int64) (changeLog, error)        // opened at the first change
	settled func(context.Context, *availability.Checkpoint) (string, error) // why the task cannot be copied now; empty: it can
	pace    *pace
	wait    time.Duration // for SKUs that change faster than they are read
	dir     string        // for what is read, until it is known what of it counts
	show    func(skus int)

	log     changeLog
	spool   *os.File
	writer  *cache.SnapshotWriter
	copies  int32 // in the spool
	skus    map[availability.SKU]*copiedSKU
	shards  [availability.SKUShards][]*copiedSKU
	changed map[availability.SKU]*copiedSKU
	bytes   int64 // of all copies
	first   availability.Checkpoint
	last    cache.Copy // the newest look, without its SKUs
	owed    []availability.SKU
}

// output begins the file of the task, anew at each call.
type output func(*availability.Checkpoint) (*cache.SnapshotWriter, error)

// copyTask writes the state of the task to a file, and returns the checkpoint that it is of. A task without any state has
// a zero commit id; then nothing is written.
func (t *taskCopy) copyTask(ctx context.Context, out output) (availability.Checkpoint, cache.SnapshotCounts, error) {
	for restart := 0; ; restart++ {
		counts, err := t.attempt(ctx, out)
		if !errors.Is(err, errTaskMoved) {
			return t.last.Checkpoint, counts, err
		}
		if restart == copyRestarts {
			return t.last.Checkpoint, counts, hinted(fmt.Errorf("copying task %d: %w, %d times", t.number, err, restart+1), "wait until the processors are steady: `onhand status`")
		}
	}
}

func (t *taskCopy) attempt(ctx context.Context, out output) (counts cache.SnapshotCounts, err error) {
	t.copies, t.bytes, t.owed, t.first, t.last = 0, 0, nil, availability.Checkpoint{}, cache.Copy{}
	t.skus, t.changed = make(map[availability.SKU]*copiedSKU), make(map[availability.SKU]*copiedSKU)
	clear(t.shards[:])
	if t.spool, err = os.CreateTemp(t.dir, spoolPattern); err != nil {
		return counts, fmt.Errorf("keeping what is read: %w", err)
	}
	defer func() {
		if t.log != nil {
			t.log.close()
			t.log = nil
		}
		err = errors.Join(err, t.spool.Close(), os.Remove(t.spool.Name()))
	}()
	if t.writer, err = cache.NewSnapshotWriter(t.spool, new(cache.SnapshotHead)); err != nil {
		return counts, err
	}
	if err = t.begin(ctx); err != nil || t.first.CommitID == (availability.CommitID{}) {
		return counts, err
	}
	if err = t.readAll(ctx); err != nil {
		return counts, err
	}
	for deadline := time.Now().Add(t.wait); ; {
		if err = t.settle(ctx, deadline); err != nil {
			return counts, err
		}
		if counts, err = t.finish(ctx, out); !errors.Is(err, errCopyAgain) {
			return counts, err
		}
		if time.Now().After(deadline) {
			return counts, fmt.Errorf("copying task %d: %w", t.number, err)
		}
		if err = t.read(ctx, nil); err != nil {
			return counts, err
		}
	}
}

// begin takes the first look, once the task has recovered what Redis had forgotten. From then on its epoch only changes
// with its owner, and what is owed only leaves.
func (t *taskCopy) begin(ctx context.Context) error {
	for deadline := time.Now().Add(t.wait); ; {
		t.last = cache.Copy{}
		if err := t.read(ctx, nil); err != nil {
			return err
		}
		t.first = t.last.Checkpoint
		blocked, err := t.settled(ctx, &t.first)
		if err != nil || blocked == "" {
			return err
		}
		if time.Now().After(deadline) {
			return hinted(fmt.Errorf("task %d cannot be copied: %s", t.number, blocked), "`onhand status` says how it is; try again when it runs")
		}
		if err := sleep(ctx, copyPause); err != nil {
			return err
		}
	}
}

// copyPause is how long a task that cannot be copied is left alone.
const copyPause = 100 * time.Millisecond

// readAll reads every SKU that the lists have, once.
func (t *taskCopy) readAll(ctx context.Context) error {
	var batch []availability.SKU
	for shard := range availability.SKUShards {
		var skus []availability.SKU
		err := askRedis(ctx, t.store, func(ctx context.Context) (err error) {
			skus, err = t.store.SKUs(ctx, t.number, shard)
			return err
		})
		if err != nil {
			return err
		}
		for _, sku := range skus {
			if batch = append(batch, sku); len(batch) >= t.atOnce() {
				if err := t.read(ctx, batch); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
	}
	return t.read(ctx, batch)
}

// atOnce is how many SKUs a look asks for, by the size of those read before.
func (t *taskCopy) atOnce() int {
	const bytesGuessed = 16 << 10
	mean := (t.bytes + bytesGuessed) / int64(t.copies+1)
	return int(min(max(copyBytes/max(mean, 1), 1), copySKUs))
}

// read takes a look at SKUs, and keeps it.
func (t *taskCopy) read(ctx context.Context, skus []availability.SKU) error {
	if err := t.pace.take(ctx, len(skus)); err != nil {
		return err
	}
	var c cache.Copy
	err := askRedis(ctx, t.store, func(ctx context.Context) (err error) {
		c, err = t.store.Copy(ctx, t.number, skus)
		return err
	})
	if err == nil {
		err = t.observe(&c)
	}
	if err != nil {
		return err
	}
	for i := range c.Stocks {
		if err := t.keep(&c.Stocks[i], c.Bytes[i], &c.Checkpoint); err != nil {
			return err
		}
	}
	if t.last.Owed > 0 && int64(len(t.owed)) != t.last.Owed {
		err = askRedis(ctx, t.store, func(ctx context.Context) (err error) {
			t.owed, err = t.store.Owed(ctx, t.number)
			return err
		})
	}
	if t.show != nil {
		t.show(len(t.skus))
	}
	return err
}

// keep takes a copy of a SKU. What had changed it before is in it.
func (t *taskCopy) keep(d *availability.StockData, bytes int64, at *availability.Checkpoint) error {
	if !d.Exists && len(d.Reservations) > 0 {
		return fmt.Errorf("copying SKU %s of task %d: %w: it has reservations and no stock", d.SKU, t.number, availability.ErrCorrupt)
	}
	s := t.sku(d.SKU)
	s.looked, s.swept, s.copy, s.at = true, false, 0, at.Offsets
	for input := range s.at {
		if s.lastAt[input] < s.at[input] {
			s.lastAt[input], s.firstAt[input] = -1, math.MaxInt64
		}
		s.firstAt[input] = max(s.firstAt[input], s.at[input])
	}
	if s.lastAt == [availability.Inputs]int64{-1, -1} {
		delete(t.changed, s.sku)
	}
	if !d.Exists {
		return nil
	}
	t.copies++
	t.bytes += bytes
	s.copy, s.bytes = t.copies, int32(min(bytes, math.MaxInt32))
	return t.writer.Stock(d)
}

// observe compares a look with the one before: it has to be of the same history, and a sweep has changed the SKUs that it
// has visited in between.
func (t *taskCopy) observe(c *cache.Copy) error {
	before, now := &t.last.Checkpoint, &c.Checkpoint
	if before.CommitID != (availability.CommitID{}) && before.CommitID != now.CommitID {
		back := now.CommitSeq < before.CommitSeq
		for input := range now.Offsets {
			back = back || now.Offsets[input] < before.Offsets[input]
		}
		if back || now.Epoch != before.Epoch || now.Partitions != before.Partitions {
			return errTaskMoved
		}
		from, to := sweptShards(before, now)
		for shard := from; shard < to; shard++ {
			for _, s := range t.shards[shard] {
				t.touch(s)
			}
		}
		for _, sku := range t.owed {
			t.touch(t.sku(sku))
		}
	}
	if c.Owed == 0 {
		t.owed = nil
	}
	t.last = cache.Copy{Checkpoint: c.Checkpoint, IDs: c.IDs, Owed: c.Owed, Due: c.Due, Graphs: c.Graphs}
	return nil
}

// settle reads what has changed again, until a look leaves nothing that has changed up to its own checkpoint.
func (t *taskCopy) settle(ctx context.Context, deadline time.Time) error {
	for {
		waiting, err := t.unsettled(ctx)
		if err != nil || waiting == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return hinted(fmt.Errorf("the SKUs of task %d change faster than they are read: after %s more, %s to be read again", t.number, shortDuration(t.wait), plural(waiting, "SKU")),
				"take the snapshot when less is going on, or allow more with --rate and --wait")
		}
		if err := t.read(ctx, t.next()); err != nil {
			return err
		}
	}
}

// unsettled is how many SKUs have changed since they were read, up to the checkpoint of the newest look.
func (t *taskCopy) unsettled(ctx context.Context) (waiting int, err error) {
	at := &t.last.Checkpoint
	if at.CommitID == t.first.CommitID {
		return 0, nil
	}
	if t.log == nil {
		if t.log, err = t.changes(t.first.Offsets); err != nil {
			return 0, err
		}
	}
	if err := t.log.reach(ctx, at.Offsets, t.note); err != nil {
		return 0, err
	}
	for _, s := range t.changed {
		if s.stale(at) {
			waiting++
		}
	}
	return waiting, nil
}

// next chooses what to read again: what has changed, then what is about to, so that a look which is of a later commit has
// it too. A SKU that a sweep is at may change with the next commit.
func (t *taskCopy) next() []availability.SKU {
	at := &t.last.Checkpoint
	var waiting []*copiedSKU
	for _, s := range t.changed {
		waiting = append(waiting, s)
	}
	slices.SortFunc(waiting, func(a, b *copiedSKU) int {
		return cmp.Or(cmp.Compare(a.due(at), b.due(at)), cmp.Compare(a.sku, b.sku))
	})
	if at.SweepCursor != availability.SweepDone {
		waiting = append(waiting, t.shards[at.SweepCursor&^processor.SweepWhole]...)
	}
	var skus []availability.SKU
	var bytes int64
	for _, s := range waiting {
		if len(skus) == copySKUs || len(skus) > 0 && bytes+int64(s.bytes) > copyBytes {
			break
		}
		skus, bytes = append(skus, s.sku), bytes+int64(s.bytes)
	}
	return skus
}
