package processor

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
)

// recover replays [r, k) of both inputs: what Kafka has as folded and the store has forgotten. Decisions and dead letters
// that stand are read along, not made again; nothing at or past k of either input comes in between; nothing is published.
// The SKUs touched are owed, and published when the replay is over.
func (t *task) recover(ctx context.Context) error {
	began := time.Now()
	from, to := t.folded.Offsets, t.claim.committed
	replay, err := t.openReplay(from, to)
	if err != nil {
		return err
	}
	defer replay.close()
	below, err := t.openStanding()
	if err != nil {
		return err
	}
	defer below.close()
	if err := below.readDead(ctx); err != nil {
		return err
	}
	t.owes = make(map[availability.SKU]bool)
	for _, sku := range t.owed {
		t.owes[sku] = true
	}
	records := 0
	for !replay.over() {
		polled, err := replay.poll(ctx, t.shared.BatchRecords)
		if err != nil {
			return err
		}
		records += len(polled)
		if err := t.replayBatch(ctx, polled, replay, below); err != nil {
			return err
		}
		t.shared.obs.replayed(t.number, len(polled), replay.left())
	}
	t.owed = slices.Sorted(maps.Keys(t.owes))
	t.owes = nil
	t.log.Info("task recovered", "records", records, "skus_owed", len(t.owed), "seconds", time.Since(began).Seconds())
	return nil
}

// replayBatch folds records below k and commits them to the store. An empty one still moves the position over the holes
// that transactions leave.
func (t *task) replayBatch(ctx context.Context, records []*kgo.Record, replay *replay, below *standing) error {
	for done := false; !done; {
		b, err := t.prepare(ctx, records, below)
		if err != nil {
			return err
		}
		part := len(b.records)
		done = part == len(records)
		if err := below.readTo(ctx, b.records); err != nil {
			b.release()
			return err
		}
		f, err := t.fold(ctx, b, below)
		if err != nil {
			b.release()
			return err
		}
		records = records[part:]
		if done {
			f.commit.Checkpoint.Offsets = replay.position()
		}
		t.keepReplayed(f)
		b.release()
		if err := t.waitStored(ctx); err != nil {
			return err
		}
	}
	return nil
}

// keepReplayed makes a replayed batch the task's newest and gives it to the store.
func (t *task) keepReplayed(f *folded) {
	t.folded = f.commit.Checkpoint
	t.recalled = nil
	number := t.committer.enqueue(f.commit)
	for _, h := range f.batch.touched {
		t.owes[h.stock.SKU] = true
		t.stocks.wrote(h, number)
	}
	stored, _ := t.committer.numbers()
	t.stocks.evict(stored)
}

// waitStored waits until one more commit may be enqueued.
func (t *task) waitStored(ctx context.Context) error {
	for _, c := range t.committer.settled() {
		t.stocks.settle(c)
	}
	for !t.committer.room() {
		if err := t.committer.failed(); err != nil {
			return err
		}
		if pause(ctx, time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return t.committer.failed()
}

// replay reads a range of both inputs outside the group.
type replay struct {
	client *kgo.Client
	inputs [availability.Inputs]string
	task   *task
	next   [availability.Inputs]int64 // position: everything below was returned or is a hole
	end    [availability.Inputs]int64
	queued [availability.Inputs][]*kgo.Record
}

func (t *task) openReplay(from, to [availability.Inputs]int64) (*replay, error) {
	r := &replay{inputs: t.shared.inputs(), task: t, next: from, end: to}
	positions := make(map[string]map[int32]kgo.Offset)
	for input, topic := range r.inputs {
		if from[input] < to[input] {
			positions[topic] = map[int32]kgo.Offset{t.number: kgo.NewOffset().At(from[input])}
		}
	}
	var err error
	r.client, err = t.reader(positions)
	return r, err
}

// reader opens a client that reads partitions from given positions, read committed. It keeps control records: the
// position is known across the holes that transactions leave.
func (t *task) reader(positions map[string]map[int32]kgo.Offset) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, t.shared.Client...),
		kgo.ClientID(fmt.Sprintf("onhand-%s-recover-%d", t.shared.Instance, t.number)),
		kgo.ConsumePartitions(positions),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(250*time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("opening a reader of task %d: %w", t.number, err)
	}
	return client, nil
}

func (r *replay) close() { r.client.Close() }

func (r *replay) over() bool {
	for input := range r.next {
		if r.next[input] < r.end[input] {
			return false
		}
	}
	return true
}

func (r *replay) left() int64 {
	var left int64
	for input := range r.next {
		left += max(0, r.end[input]-r.next[input])
	}
	return left
}

// position is the offsets that the replay has reached, never past k.
func (r *replay) position() [availability.Inputs]int64 { return r.next }

// poll returns up to max records below k, merged by timestamp, and moves the position past them and the holes behind them.
func (r *replay) poll(ctx context.Context, max int) ([]*kgo.Record, error) {
	fetches := r.client.PollRecords(ctx, max)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		failed = fmt.Errorf("reading %s/%d: %w", topic, partition, err)
	})
	if failed != nil {
		return nil, failed
	}
	fetches.EachRecord(func(record *kgo.Record) {
		input := r.task.shared.inputOf(record)
		beyond := without.Below && input == availability.Deltas
		if (beyond || record.Offset < r.end[input]) && !record.Attrs.IsControl() {
			r.queued[input] = append(r.queued[input], record)
		}
		if r.next[input] = record.Offset + 1; !beyond {
			r.next[input] = min(r.next[input], r.end[input])
		}
	})
	records := merge(r.queued[availability.Deltas], r.queued[availability.Events], len(r.queued[0])+len(r.queued[1]), math.MaxInt)
	clear(r.queued[:])
	return records, nil
}
