package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/topics"
)

// A hanging transaction is one that its coordinator calls ended and that a partition still has open. Brokers of Apache Kafka
// 4.3 make them: a partition that has no leader just when the markers are to be written is taken for deleted, and gets
// none. Readers of what is committed stand still there, claims wait for the offsets, and the producer's next transaction
// in the partition gives the records its own outcome, whatever theirs was.

// states of a transaction as coordinators tell them.
const (
	txnOngoing        = "Ongoing"
	txnPrepare        = "Prepare" // PrepareCommit, PrepareAbort, PrepareEpochFence
	txnCompleteCommit = "CompleteCommit"
	txnCompleteAbort  = "CompleteAbort"
)

// endHanging gives what the session's last transaction has left open the outcome that it had: in a transaction of no
// records, of these partitions and of the group's offsets. It comes before the session's producer, whose id would hide
// the outcome.
func (s *session) endHanging(ctx context.Context) error {
	for {
		last, err := s.lastTransaction(ctx)
		if err != nil {
			return fmt.Errorf("asking for the last transaction of %s: %w", s.transactionalID(), err)
		}
		open, err := s.hangs(ctx, last.ProducerID)
		if err != nil {
			return err
		}
		ended := last.State == txnCompleteCommit || last.State == txnCompleteAbort
		if len(open) > 0 && !ended {
			return fmt.Errorf("transactions of %s hang in %s, and the coordinator does not know their outcome any more: see RUNBOOK.md, \"A transaction hangs\"", s.transactionalID(), listed(open))
		}
		if len(open) == 0 {
			if unstable, err := s.unstable(ctx); err != nil || !ended || !unstable {
				return err
			}
		} else {
			s.log.Warn("a transaction hangs, and is ended as its coordinator has ended it", "state", last.State, "partitions", listed(open))
		}
		if err := s.endAgain(ctx, last.State == txnCompleteCommit, open); err != nil {
			return fmt.Errorf("ending what the last transaction of %s has left open: %w", s.transactionalID(), err)
		}
		if len(open) == 0 {
			return nil // the offsets may be another's
		}
	}
}

// lastTransaction waits until the id's last transaction has ended, and ends it if nobody else does. Where the id is new, the
// producer is -1.
func (s *session) lastTransaction(ctx context.Context) (kadm.DescribedTransaction, error) {
	admin, id := kadm.NewClient(s.shared.admin), s.transactionalID()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		found, err := admin.DescribeTransactions(ctx, id)
		last := found[id]
		if err == nil {
			err = last.Err
		}
		switch {
		case errors.Is(err, kerr.TransactionalIDNotFound):
			return kadm.DescribedTransaction{ProducerID: -1}, nil
		case topics.IsDenied(err):
			return last, err
		case err == nil && last.State == txnOngoing:
			if _, err := s.newEpoch(ctx); err != nil && !errors.Is(err, kerr.ConcurrentTransactions) {
				return last, err
			}
		case err == nil && !strings.HasPrefix(last.State, txnPrepare):
			return last, nil
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return last, fmt.Errorf("its state is %s: %w", last.State, errors.Join(ctx.Err(), err))
		}
	}
}

// newEpoch begins an epoch of the session's transactional id: it fences whoever had it, and ends an open transaction.
func (s *session) newEpoch(ctx context.Context) (*kmsg.InitProducerIDResponse, error) {
	r := kmsg.NewPtrInitProducerIDRequest()
	id := s.transactionalID()
	r.TransactionalID, r.TransactionTimeoutMillis = &id, int32(s.shared.TransactionTimeout.Milliseconds())
	resp, err := r.RequestWith(ctx, s.shared.admin)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return resp, err
}

// everywhere is all partitions that the session may write to.
func (s *session) everywhere() kadm.TopicsSet {
	n := &s.shared.names
	all := make(kadm.TopicsSet)
	for _, topic := range [...]string{n.StockDeltas, n.ReservationEvents, n.AvailabilityUpdates, n.ReservationResults, n.DeadLetters} {
		for p := range s.shared.partitions {
			all.Add(topic, p)
		}
	}
	return all
}

// leftOpen asks partitions whether a producer has a transaction open there. Those that do not answer are unsure: they have no
// leader just now, or the brokers do not know it yet.
func (s *session) leftOpen(ctx context.Context, producer int64, in kadm.TopicsSet) (open, unsure kadm.TopicsSet, err error) {
	open, unsure = make(kadm.TopicsSet), make(kadm.TopicsSet)
	unsure.Merge(in)
	asking, cancel := context.WithTimeout(ctx, hangAsk)
	defer cancel()
	found, err := kadm.NewClient(s.shared.admin).DescribeProducers(asking, in)
	if topics.IsDenied(err) {
		return nil, nil, fmt.Errorf("asking for open transactions: %w", err)
	}
	for _, p := range found.SortedPartitions() {
		if p.Err != nil {
			continue
		}
		unsure.Delete(p.Topic, p.Partition)
		if active, ok := p.ActiveProducers[producer]; ok && active.CurrentTxnStartOffset >= 0 {
			open.Add(p.Topic, p.Partition)
		}
	}
	return open, unsure, nil
}

// hangAsk is for all partitions to answer.
const hangAsk = 2 * time.Second

// hangs returns the partitions in which a transaction of the producer hangs, once all have answered: the outcome is known
// now, and not any more when a next transaction has ended. A producer that is new, -1, has none.
func (s *session) hangs(ctx context.Context, producer int64) (kadm.TopicsSet, error) {
	all, unsure := make(kadm.TopicsSet), s.everywhere()
	for {
		open, left, err := s.leftOpen(ctx, producer, unsure)
		if err != nil {
			return nil, err
		}
		all.Merge(open)
		if unsure = left; len(unsure) == 0 || producer < 0 {
			return all, nil
		}
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return nil, fmt.Errorf("no leader tells whether a transaction hangs in %s: %w", listed(unsure), ctx.Err())
		}
	}
}

// makeSure waits until nothing of the transaction that the session has aborted is open: what is would end with the next one. It
// fails where something stays open; a session that begins anew ends it.
func (s *session) makeSure(ctx context.Context) error {
	if s.aborted.task == nil || without.Hanging {
		return nil
	}
	producer, _, err := s.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("asking for the producer id: %w", err)
	}
	for len(s.aborted.partitions) > 0 {
		open, unsure, err := s.leftOpen(ctx, producer, s.aborted.partitions)
		if err != nil {
			return err
		}
		unsure.Merge(open)
		if s.aborted.partitions = unsure; len(unsure) == 0 {
			break
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("a transaction that was aborted may be open in %s: %w", listed(unsure), ctx.Err())
		}
	}
	_, err = s.aborted.task.committedOffsets(ctx)
	if err == nil {
		s.aborted = aborted{}
	}
	return err
}

// aborted is where a transaction that was aborted may be open: in partitions, and in the group's offsets, of all its tasks or of none.
type aborted struct {
	partitions kadm.TopicsSet
	task       *task // one of them; nil: no transaction was aborted
}

// written are the partitions that batches write to.
func written(results []*folded) kadm.TopicsSet {
	partitions := make(kadm.TopicsSet)
	for _, f := range results {
		for _, r := range f.outputs {
			partitions.Add(r.Topic, r.Partition)
		}
	}
	return partitions
}

// unstable says whether the group has offsets whose transaction is open, whosesoever it is.
func (s *session) unstable(ctx context.Context) (bool, error) {
	all := make([]int32, s.shared.partitions)
	for p := range all {
		all[p] = int32(p)
	}
	group, err := s.shared.fetchOffsets(ctx, all)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("fetching the committed offsets of the group: %w", err)
	}
	for _, t := range group.Topics {
		if slices.ContainsFunc(t.Partitions, func(p kmsg.OffsetFetchResponseGroupTopicPartition) bool {
			return p.ErrorCode == kerr.UnstableOffsetCommit.Code
		}) {
			return true, nil
		}
	}
	return false, nil
}

// endAgain commits or aborts a transaction of the partitions and the group's offsets in which nothing is written: of what
// is open there, only what this producer has left is ended by it.
func (s *session) endAgain(ctx context.Context, commit bool, open kadm.TopicsSet) error {
	admin, id := s.shared.admin, s.transactionalID()
	var producer *kmsg.InitProducerIDResponse
	err := insist(ctx, func() (err error) {
		producer, err = s.newEpoch(ctx)
		return err
	})
	if err == nil && len(open) > 0 {
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch = id, producer.ProducerID, producer.ProducerEpoch
		for _, t := range open.IntoList() {
			topic := kmsg.NewAddPartitionsToTxnRequestTopic()
			topic.Topic, topic.Partitions = t.Topic, t.Partitions
			r.Topics = append(r.Topics, topic)
		}
		err = insist(ctx, func() error {
			resp, err := r.RequestWith(ctx, admin)
			for i := 0; err == nil && i < len(resp.Topics); i++ {
				for _, p := range resp.Topics[i].Partitions {
					err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
				}
			}
			return err
		})
	}
	if err == nil {
		r := kmsg.NewPtrAddOffsetsToTxnRequest()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = id, producer.ProducerID, producer.ProducerEpoch, s.shared.names.ConsumerGroup()
		err = insist(ctx, func() error {
			resp, err := r.RequestWith(ctx, admin)
			if err == nil {
				err = kerr.ErrorForCode(resp.ErrorCode)
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	r := kmsg.NewPtrEndTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = id, producer.ProducerID, producer.ProducerEpoch, commit
	return insist(ctx, func() error {
		resp, err := r.RequestWith(ctx, admin)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return err
	})
}

// insist asks again while the coordinator is busy with the transaction before.
func insist(ctx context.Context, ask func() error) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := ask()
		if err == nil || !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// listed names the first of the partitions.
func listed(open kadm.TopicsSet) string {
	const most = 5
	var names []string
	all := 0
	for _, t := range open.Sorted() {
		for _, p := range t.Partitions {
			if all++; all <= most {
				names = append(names, fmt.Sprintf("%s/%d", t.Topic, p))
			}
		}
	}
	text := strings.Join(names, ", ")
	if all > most {
		text += fmt.Sprintf(" and %d more", all-most)
	}
	return text
}
