package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/processor/availability"
)

// settle waits until everything that was sent is folded and Redis has it. progressed, where it is not nil, hears how many
// records are left. It gives up when nothing moves for settleWait.
func (r *benchRun) settle(ctx context.Context, shown *progress, progressed func(left int64)) error {
	ends := r.sender.ends()
	least, moved := int64(-1), time.Now()
	for {
		left, err := r.left(ctx, ends)
		if err == nil {
			err = r.failed()
		}
		if err != nil {
			return err
		}
		if progressed != nil {
			progressed(left)
		}
		if left == 0 {
			break
		}
		shown.show(max(0, shown.total-left), fmt.Sprintf("%s: %d records left", shown.what, left))
		if least < 0 || left < least {
			least, moved = left, time.Now()
		} else if time.Since(moved) > settleWait {
			return hinted(fmt.Errorf("%d records are left and none was folded for %s", left, settleWait), "the processor's log says why; with --external, see that it runs in this namespace")
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	if err := r.stored(ctx); err != nil {
		return err
	}
	return r.marked(ctx)
}

// stored waits until Redis is where Kafka's offsets are: the processor's own events count too.
func (r *benchRun) stored(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for {
		state, err := r.wire.group(waiting)
		if err != nil {
			return err
		}
		var ends [availability.Inputs][]int64
		for i := range state.Tasks {
			for input := range ends {
				ends[input] = append(ends[input], state.Tasks[i].Inputs[input].Committed)
			}
		}
		left, err := r.left(waiting, ends)
		if err != nil || left == 0 {
			return err
		}
		if err := sleep(waiting, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for Redis to have what is published: %w", err)
		}
	}
}

// left is how many records up to the ends are not in Redis yet, by offsets.
func (r *benchRun) left(ctx context.Context, ends [availability.Inputs][]int64) (left int64, err error) {
	for task := range r.wire.partitions {
		var c availability.Checkpoint
		err := askRedis(ctx, r.store, func(ctx context.Context) (err error) {
			c, err = r.store.Checkpoint(ctx, task)
			return err
		})
		if err != nil {
			return 0, err
		}
		for input := range ends {
			left += max(0, ends[input][task]-c.Offsets[input])
		}
	}
	return left, nil
}

// marked waits until every transaction has ended in the outputs: its markers come after its offsets, in one partition
// after the other.
func (r *benchRun) marked(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	outputs := []string{r.wire.names.AvailabilityUpdates, r.wire.names.ReservationResults, r.wire.names.DeadLetters}
	for {
		ends, err := r.admin.ListEndOffsets(waiting, outputs...)
		var stable kadm.ListedOffsets
		if err == nil {
			stable, err = r.admin.ListCommittedOffsets(waiting, outputs...)
		}
		if err != nil {
			return explainKafka(r.config, fmt.Errorf("asking for the ends of the outputs: %w", err))
		}
		ended := true
		ends.Each(func(end kadm.ListedOffset) {
			s, ok := stable.Lookup(end.Topic, end.Partition)
			ended = ended && ok && s.Err == nil && end.Err == nil && s.Offset == end.Offset
		})
		if ended {
			return nil
		}
		if err := sleep(waiting, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the last transactions to end: %w", err)
		}
	}
}
