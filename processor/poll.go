package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// poll returns records, or nothing when a task has something else to do, at the latest after a second. No rebalance
// begins from then on until AllowRebalance, also after a poll that returned nothing: that would not hold it off, but one
// with a context that has ended does.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	waiting, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	s.mu.Lock()
	s.wakePoll = cancel
	s.mu.Unlock()
	began := time.Now()
	var fetches kgo.Fetches
	if s.hasWork() {
		fetches = s.group.PollRecords(nil, s.shared.PollRecords) //nolint:staticcheck // nil: what is there, without waiting
	} else {
		fetches = s.group.PollRecords(waiting, s.shared.PollRecords)
	}
	fetches = s.freshen(ctx, began, fetches) // not to be woken: it is short
	s.inflated.Polled(fetches)
	s.shared.obs.pollSpan(ctx, began, fetches.NumRecords())
	cancel()
	s.group.PollRecords(waiting, 1)
	return fetches
}

// staleWithin is how soon a poll returns records that were waiting for it, and freshWait how long a fetch may take that
// brings what has come since. With more bytes than staleBytes waiting there is a backlog.
const (
	staleWithin = 500 * time.Microsecond
	freshWait   = 5 * time.Millisecond
	staleBytes  = 1 << 20
)

// freshen polls once more where records were waiting, but few. The client fetches ahead by one request, so these are of
// the beginning of the last turn; what came in the course of it would wait for the turn after this one.
func (s *session) freshen(ctx context.Context, began time.Time, fetches kgo.Fetches) kgo.Fetches {
	n, size := 0, 0
	fetches.EachRecord(func(r *kgo.Record) { n, size = n+1, size+len(r.Value) })
	if n == 0 || n >= s.shared.BatchRecords || size > staleBytes || time.Since(began) > staleWithin {
		return fetches
	}
	ctx, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	return append(fetches, s.group.PollRecords(ctx, s.shared.PollRecords-n)...)
}

// patience is how long a poll waits: until the next task that was put off is due.
func (s *session) patience() time.Duration {
	wait := time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if !t.is(running) {
			continue
		}
		if left := time.Until(t.retryAt); left > 0 {
			wait = min(wait, left)
		}
		if _, _, on := sweeping(&t.folded); on {
			wait = min(wait, sweepEvery)
		}
		wait = min(wait, max(time.Millisecond, time.Until(t.expiries.next)))
	}
	return wait
}

func (s *session) hasWork() bool {
	now := time.Now()
	for _, t := range s.list() {
		if t.is(created) || t.is(claimDone) || t.is(running) && (t.due(now) || t.committer.failed() != nil) {
			return true
		}
	}
	return false
}

// wake ends a poll that waits.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wakePoll != nil {
		s.wakePoll()
	}
}

// distribute hands the polled records to their tasks.
func (s *session) distribute(ctx context.Context, fetches kgo.Fetches) error {
	var fatal error
	var passed []*kgo.ErrDecompressTooLarge
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if unread, ok := errors.AsType[*kgo.ErrDecompressTooLarge](p.Err); ok {
			passed = append(passed, unread)
			p.Records = append(p.Records, standIn(unread))
		} else if errors.Is(p.Err, kerr.FencedInstanceID) {
			fatal = stopped("InstanceTaken", "give each process an instance name of its own", "another process runs as instance %s", s.shared.Instance)
		} else if p.Err != nil && !errors.Is(p.Err, topics.ErrInflated) && !errors.Is(p.Err, context.Canceled) && !errors.Is(p.Err, context.DeadlineExceeded) {
			fatal = errors.Join(fatal, fmt.Errorf("polling %s/%d: %w", p.Topic, p.Partition, p.Err))
		}
		s.mu.Lock()
		t := s.tasks[p.Partition]
		s.mu.Unlock()
		if t == nil || len(p.Records) == 0 {
			return
		}
		input := s.shared.inputOf(p.Records[0])
		t.take(input, p.Records)
		s.shared.obs.polled(p.Topic, p.Partition, p.HighWatermark-p.Records[len(p.Records)-1].Offset-1)
		if t.full() {
			s.rest(t.number)
			t.resting = true
		}
	})
	s.passOver(passed)
	return fatal
}
