package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
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
	if t.overlooks(from) {
		t.log.Warn("locations that left and joined again may have their old stock back: count them", "before_graph", t.joins[0].version, "replays_from", from, "remembers_from", t.joins[0].at)
		t.shared.obs.overlooked()
	}
	t.owes = make(map[availability.SKU]bool)
	for _, sku := range t.owed {
		t.owes[sku] = true
	}
	records := 0
	for !replay.over() {
		polled, err := replay.records(ctx, t.shared.BatchRecords, below)
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
		h.commit = number
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
	client   *kgo.Client
	inflated *topics.Inflater
	inputs   [availability.Inputs]string
	task     *task
	next     [availability.Inputs]int64 // position of the client: everything below was read or is a hole
	end      [availability.Inputs]int64
	queued   [availability.Inputs][]*kgo.Record // read and not yet returned
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
	r.client, r.inflated, err = t.reader(positions)
	return r, err
}

// reader opens a client that reads partitions from given positions, read committed. It keeps control records: the
// position is known across the holes that transactions leave.
func (t *task) reader(positions map[string]map[int32]kgo.Offset) (*kgo.Client, *topics.Inflater, error) {
	inflated, err := t.shared.newInflater(readerInflatedMax)
	if err != nil {
		return nil, nil, err
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, t.shared.Client...),
		kgo.ClientID(fmt.Sprintf("onhand-%s-recover-%d", t.shared.Instance, t.number)),
		kgo.ConsumePartitions(positions),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.WithDecompressor(inflated),
		kgo.FetchMaxBytes(fetchBytesMax),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytesMax),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(250*time.Millisecond),
	)...)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a reader of task %d: %w", t.number, err)
	}
	return client, inflated, nil
}

func (r *replay) close() { r.client.Close() }

func (r *replay) over() bool { return r.left() == 0 }

func (r *replay) left() int64 {
	var left int64
	for input := range r.next {
		left += max(0, r.end[input]-r.next[input]) + int64(len(r.queued[input]))
	}
	return left
}

// position is the offsets below which everything was returned or is a hole, never past k.
func (r *replay) position() [availability.Inputs]int64 {
	at := r.next
	for input, queued := range r.queued {
		if len(queued) > 0 {
			at[input] = queued[0].Offset
		}
	}
	return at
}

// records returns some records below k, up to max, in the order in which they were folded first, none if that moves the
// position over holes alone. What a cell has depends on that order, once its movements are merged.
func (r *replay) records(ctx context.Context, max int, below *standing) ([]*kgo.Record, error) {
	from := r.position()
	for {
		records, err := r.take(ctx, max, below)
		if err != nil || len(records) > 0 || r.position() != from || r.over() {
			return records, err
		}
		if err := r.poll(ctx, max); err != nil {
			return nil, err
		}
	}
}

// take removes up to max records from the queues. An event comes after the deltas that were folded before it, which its
// result tells, and before all others.
func (r *replay) take(ctx context.Context, max int, below *standing) (taken []*kgo.Record, _ error) {
	deltas, events := &r.queued[availability.Deltas], &r.queued[availability.Events]
	for len(taken) < max {
		if len(*events) == 0 && r.unread(availability.Events) {
			return taken, nil // what comes next is not known yet
		}
		after := int64(math.MaxInt64)
		if len(*events) > 0 {
			decidedAfter, err := below.after(ctx, (*events)[0])
			if err != nil {
				return nil, err
			}
			if !without.Order {
				after = decidedAfter
			}
		}
		switch {
		case len(*deltas) > 0 && (*deltas)[0].Offset < after:
			taken, *deltas = append(taken, (*deltas)[0]), (*deltas)[1:]
		case len(*deltas) == 0 && r.next[availability.Deltas] < after && r.unread(availability.Deltas):
			return taken, nil
		case len(*events) > 0:
			taken, *events = append(taken, (*events)[0]), (*events)[1:]
		default:
			return taken, nil
		}
	}
	return taken, nil
}

// unread says whether records of the input that are to be replayed may not have been read yet.
func (r *replay) unread(input int) bool { return r.next[input] < r.end[input] }

// replayPatience is how long a replay waits for records, which are all there. Where none come, another client is tried: this
// one may rest at a batch that it could not read, and that nobody was told of, see errPassedOver.
const replayPatience = 30 * time.Second

// poll puts records below k into the queues. An input whose queue has max already waits for the other; so does one that has
// been read to its end.
func (r *replay) poll(ctx context.Context, max int) error {
	for input, topic := range r.inputs {
		partition := map[string][]int32{topic: {r.task.number}}
		if !r.unread(input) || len(r.queued[input]) >= max {
			r.client.PauseFetchPartitions(partition)
		} else {
			r.client.ResumeFetchPartitions(partition)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, replayPatience)
	defer cancel()
	fetches := r.client.PollRecords(waiting, max)
	r.inflated.Polled(fetches)
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed error
	passed := make(map[string]*kgo.ErrDecompressTooLarge)
	fetches.EachError(func(topic string, partition int32, err error) {
		if unread, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok {
			passed[topic] = unread
		} else if !errors.Is(err, topics.ErrInflated) {
			failed = fmt.Errorf("reading %s/%d: %w", topic, partition, err)
		}
	})
	if failed != nil {
		return failed
	}
	for input, topic := range r.inputs {
		if unread := passed[topic]; unread != nil {
			skip(r.client, unread)
			r.next[input] = min(unread.NextOffset, r.end[input])
		}
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
	return nil
}
