package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
)

// inputLog reads the inputs of one task outside the group, for the keys of their records. It sees records before their
// transaction ends, and those of one that is aborted: what it tells may not happen, but all that happens it tells.
type inputLog struct {
	config *Config
	client *kgo.Client
	inputs [availability.Inputs]string
	next   [availability.Inputs]int64
}

const (
	// inputLogAhead is how many records it is told beyond what was asked for, at most: what the task folds next.
	inputLogAhead = 10_000
	// inputLogBytes is how much of a partition comes at once.
	inputLogBytes = 1 << 20
)

func (w *wire) inputs() [availability.Inputs]string {
	return [availability.Inputs]string{availability.Deltas: w.names.StockDeltas, availability.Events: w.names.ReservationEvents}
}

// openInputLog begins at the offsets. The caller closes it.
func (w *wire) openInputLog(ctx context.Context, task int32, from [availability.Inputs]int64) (*inputLog, error) {
	l := &inputLog{config: w.config, inputs: w.inputs(), next: from}
	positions := make(map[string]map[int32]kgo.Offset)
	for input, topic := range l.inputs {
		positions[topic] = map[int32]kgo.Offset{task: kgo.NewOffset().At(from[input])}
	}
	var err error
	l.client, err = connectKafka(ctx, w.config, w.log,
		kgo.ConsumePartitions(positions),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.KeepControlRecords(), // a position may be behind one
		kgo.FetchMaxPartitionBytes(inputLogBytes), kgo.FetchMaxBytes(availability.Inputs*inputLogBytes), kgo.MaxConcurrentFetches(1),
		kgo.FetchMaxWait(100*time.Millisecond))
	return l, err
}

func (l *inputLog) close() { l.client.Close() }

// reach is that of changeLog.
func (l *inputLog) reach(ctx context.Context, to [availability.Inputs]int64, see func(input int, offset int64, key []byte)) error {
	for behind := true; behind; {
		if behind = l.behind(to); !behind {
			ended, cancel := context.WithCancel(ctx)
			cancel() // what lies ready, and no waiting
			l.take(l.client.PollRecords(ended, inputLogAhead), see)
			return ctx.Err()
		}
		asking, cancel := context.WithTimeout(ctx, spanPatience)
		fetches := l.client.PollRecords(asking, inputLogAhead)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		err := readError(l.client, fetches)
		if unread := unreadable(fetches); unread != nil {
			l.take(fetches, see)
			l.passOver(unread)
			continue
		}
		if err != nil {
			return explainKafka(l.config, fmt.Errorf("reading what has changed: %w", err))
		}
		l.take(fetches, see)
	}
	return nil
}

// passOver goes on behind a batch that the task does not read either. What else was fetched is dropped, and comes again.
func (l *inputLog) passOver(unread *kgo.ErrDecompressTooLarge) {
	positions := make(map[string]map[int32]kgo.EpochOffset)
	for input, topic := range l.inputs {
		if topic == unread.Topic {
			l.next[input] = max(l.next[input], unread.NextOffset)
		}
		positions[topic] = map[int32]kgo.EpochOffset{unread.Partition: {Epoch: -1, Offset: l.next[input]}}
	}
	l.client.SetOffsets(positions)
}

func (l *inputLog) behind(to [availability.Inputs]int64) bool {
	for input := range to {
		if l.next[input] < to[input] {
			return true
		}
	}
	return false
}

func (l *inputLog) take(fetches kgo.Fetches, see func(input int, offset int64, key []byte)) {
	fetches.EachRecord(func(r *kgo.Record) {
		for input, topic := range l.inputs {
			if r.Topic == topic {
				if l.next[input] = r.Offset + 1; !r.Attrs.IsControl() {
					see(input, r.Offset, r.Key)
				}
			}
		}
	})
}
