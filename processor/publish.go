package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// publish folds the batches and publishes them with their offsets in one transaction. A stop does not cut it short: it
// ends within the transaction's time-out.
func (s *session) publish(ctx context.Context, batches []*prepared) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shared.TransactionTimeout)
	defer cancel()
	s.mu.Lock()
	s.giveUp = cancel
	s.mu.Unlock()
	began, most := time.Now(), 0
	for _, p := range batches {
		most = max(most, len(p.batch.records), len(p.batch.owed), len(p.batch.swept))
	}
	defer func() { s.pace.took(time.Since(began), most) }()
	ctx, end := s.shared.obs.span(ctx, "publish", -1)
	results, err := s.foldAll(ctx, batches)
	committed := false
	if without.KafkaFirst && err == nil {
		s.stand(results)
	}
	for try := 0; err == nil && !committed && try < publishTries; try++ {
		if try > 0 {
			pause(ctx, time.Duration(try)*5*time.Millisecond)
			var stands bool
			if stands, err = results[0].stands(ctx); stands || err != nil {
				break
			}
		}
		committed, err = s.transact(ctx, results)
	}
	end(err)
	if err != nil {
		s.takeBack(err)
		return fmt.Errorf("publishing: %w", err) // the client may still hold records: their memory is not used again
	}
	if committed && !without.KafkaFirst {
		s.stand(results)
	}
	for _, f := range results {
		f.batch.release()
	}
	if !committed {
		s.takeBack(nil)
	}
	return nil
}

// stands says whether the transaction of a batch has committed though the client calls it aborted: where a broker answers
// the end with an unknown error, the client aborts what has ended, and that succeeds.
func (f *folded) stands(ctx context.Context) (bool, error) {
	committed, err := f.task.committedOffsets(ctx)
	if err != nil {
		return false, fmt.Errorf("asking whether a transaction stands: %w", err)
	}
	for _, o := range committed {
		if m := o.metadata; m != nil && m.Epoch == f.commit.Checkpoint.Epoch && m.CommitSeq == f.commit.Checkpoint.CommitSeq {
			return true, nil
		}
	}
	return false, nil
}

func (s *session) stand(results []*folded) {
	for _, f := range results {
		s.published(f)
	}
}

// publishTries is how often a transaction that was aborted is tried: a broker that still writes the markers of
// the one before refuses the offsets of one that comes within a millisecond.
const publishTries = 4

// takeBack drops what the session's tasks hold in memory: it is ahead of what stands. Where the answer of End was lost,
// only a claim finds out what stands; the session begins anew then.
func (s *session) takeBack(err error) {
	s.log.Info("transaction does not stand; its tasks claim again", "err", err)
	for _, t := range s.list() {
		if !t.is(running) {
			continue
		}
		if err == nil {
			s.reclaim(t)
		} else {
			t.setState(closed)
		}
	}
}

// transact publishes what was folded in one transaction. Neither committed nor an error: it was aborted, or, after an
// unknown error of a broker, the client takes it for that.
func (s *session) transact(ctx context.Context, results []*folded) (committed bool, err error) {
	if err := s.makeSure(ctx); err != nil {
		return false, err
	}
	defer func() {
		if !committed {
			s.aborted = aborted{written(results), results[0].task}
		}
	}()
	if err := s.group.Begin(); err != nil {
		return false, fmt.Errorf("beginning a transaction: %w", err)
	}
	var failed firstError
	began := time.Now()
	for _, f := range results {
		s.produce(ctx, f, &failed)
	}
	if err := s.client.Flush(ctx); err != nil {
		return false, err
	}
	s.gap.flushed(time.Since(began))
	defer func() { s.gap.ended = time.Now() }()
	if err := failed.get(); err != nil {
		_, abortErr := s.group.End(ctx, kgo.TryAbort)
		return false, errors.Join(err, abortErr)
	}
	return s.end(ctx, results)
}

// foldAll folds the batches in parallel.
func (s *session) foldAll(ctx context.Context, batches []*prepared) ([]*folded, error) {
	results := make([]*folded, len(batches))
	var group errgroup.Group
	group.SetLimit(s.shared.Workers)
	for i, p := range batches {
		group.Go(func() (err error) {
			results[i], err = p.task.fold(ctx, p.batch, nil)
			return err
		})
	}
	return results, group.Wait()
}

func (s *session) produce(ctx context.Context, f *folded, failed *firstError) {
	names := &s.shared.names
	acknowledged := func(r *kgo.Record, err error) {
		switch {
		case err != nil:
			failed.set(fmt.Errorf("producing to %s/%d: %w", r.Topic, r.Partition, err))
		case r.Topic == names.ReservationResults:
			f.results.Store(max(f.results.Load(), r.Offset+1))
		case r.Topic == names.DeadLetters:
			f.deadLetters.Store(max(f.deadLetters.Load(), r.Offset+1))
		}
	}
	for _, r := range f.outputs {
		s.group.Produce(ctx, r, acknowledged)
	}
}

// end commits the offsets that were folded, not those that were polled: both inputs of every task in the transaction,
// moved or not, with the witness of its checkpoint. Generation and member fence a session that has lost its partitions.
func (s *session) end(ctx context.Context, results []*folded) (bool, error) {
	return s.group.End(kgo.PreTxnCommitFnContext(ctx, func(r *kmsg.TxnOffsetCommitRequest) error {
		if without.fence(results) {
			r.Generation, r.MemberID, r.InstanceID = -1, "", nil
		}
		if without.Folded && len(r.Topics) > 0 {
			return nil
		}
		inputs := s.shared.inputs()
		r.Topics = r.Topics[:0]
		for input, topic := range inputs {
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic, t.TopicID = topic, s.shared.topicIDs[topic]
			for _, f := range results {
				checkpoint := &f.commit.Checkpoint
				p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
				p.Partition, p.Offset, p.LeaderEpoch = f.task.number, checkpoint.Offsets[input], -1
				if metadata := metadataOf(checkpoint, f.joins, input).String(); !without.witness(results) {
					p.Metadata = &metadata
				}
				t.Partitions = append(t.Partitions, p)
			}
			r.Topics = append(r.Topics, t)
		}
		return nil
	}), kgo.TryCommit)
}

// published makes a batch that stands in Kafka the task's newest, and hands it to the store.
func (s *session) published(f *folded) {
	t := f.task
	next := &f.commit.Checkpoint
	next.Results = max(next.Results, f.results.Load())
	next.DeadLetters = max(next.DeadLetters, f.deadLetters.Load())
	if n := len(f.batch.owed); n > 0 {
		t.owed = t.owed[n:]
		f.commit.OwedCleared = len(t.owed) == 0
	}
	if f.batch.adopts != nil {
		t.restartSweep()
	}
	t.swept(f.batch)
	t.recalled = nil
	for _, version := range f.commit.DropGraphs {
		delete(t.graphs, version)
	}
	for _, d := range f.batch.expired {
		t.expiries.published[d] = true
	}
	t.folded, t.joins, t.witnessed = *next, f.joins, next.GraphVersion
	t.drop(next.Offsets)
	t.lastCommit = time.Now()
	number := t.committer.enqueue(f.commit)
	t.expect(number, f.commit.Stocks)
	for _, h := range f.batch.touched {
		h.commit = number
	}
	stored, _ := t.committer.numbers()
	t.stocks.evict(stored)
	s.shared.obs.published(f, time.Now())
}

// firstError keeps the first of many errors.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (e *firstError) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

func (e *firstError) get() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
