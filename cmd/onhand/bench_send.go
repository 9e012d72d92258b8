package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// benchBuffered is how many records wait for Kafka at most. Sending one more waits; its lateness counts all the same.
const benchBuffered = 200_000

// benchSender sends the records of a run and remembers what Kafka has acknowledged.
type benchSender struct {
	client *kgo.Client
	names  topics.Names

	mu      sync.Mutex // guards all below
	acked   int        // records
	good    int        // of them, neither poison nor sent before
	poison  int
	next    [availability.Inputs][]int64 // offset after the last that was acknowledged, by partition
	failed  error
	watcher *benchWatcher // nil: nobody watches
}

func newBenchSender(w *wire, client *kgo.Client) *benchSender {
	s := &benchSender{client: client, names: w.names}
	for input := range s.next {
		s.next[input] = make([]int64, w.partitions)
	}
	return s
}

// watchedBy tells a watcher of each record from now on; nil: nobody.
func (s *benchSender) watchedBy(w *benchWatcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = w
}

// send hands a record to the client, and waits only while too many wait for Kafka. What goes wrong flush says.
func (s *benchSender) send(ctx context.Context, r benchRecord) {
	at := r.Timestamp
	s.client.Produce(ctx, r.Record, func(sent *kgo.Record, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			if s.failed == nil {
				s.failed = fmt.Errorf("sending to %s: %w", sent.Topic, err)
			}
			return
		}
		input := availability.Deltas
		if sent.Topic == s.names.ReservationEvents {
			input = availability.Events
		}
		s.acked++
		s.next[input][sent.Partition] = max(s.next[input][sent.Partition], sent.Offset+1)
		switch r.kind {
		case benchPoison:
			s.poison++
		case benchDelta, benchEvent:
			s.good++
			if s.watcher != nil {
				s.watcher.sent(input, sent.Partition, sent.Offset, at)
			}
		case benchRepeat, benchAside:
		}
	})
}

// flush waits until Kafka has everything, and returns the first error of all that was sent.
func (s *benchSender) flush(ctx context.Context) error {
	if err := s.client.Flush(ctx); err != nil {
		return fmt.Errorf("waiting for Kafka to take what was sent: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// totals are how many records were acknowledged so far, how many of them should have an effect, and how many are poison.
func (s *benchSender) totals() (acked, good, poison int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.good, s.poison
}

// adopt takes the records that stand in stock-deltas for its own, and returns how many there are.
func (s *benchSender) adopt(ends kadm.ListedOffsets) (records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.next[availability.Deltas] {
		end, _ := ends.Lookup(s.names.StockDeltas, int32(n))
		s.next[availability.Deltas][n] = end.Offset
		records += int(end.Offset)
	}
	s.acked, s.good = records, records
	return records
}

// ends are the offsets after the last record that was acknowledged, by input and partition.
func (s *benchSender) ends() (ends [availability.Inputs][]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for input := range ends {
		ends[input] = append([]int64(nil), s.next[input]...)
	}
	return ends
}

// preload sends as many records as fast as Kafka takes them.
func (s *benchSender) preload(ctx context.Context, p *progress, records int, record func(i int, at time.Time) benchRecord) error {
	for i := range records {
		if i%1000 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.show(int64(i), fmt.Sprintf("%s: %d of %d records", p.what, i, records))
		}
		s.send(ctx, record(i, time.Now()))
	}
	return s.flush(ctx)
}

// benchTick is how long the sender of a flow sleeps when it is ahead of its times.
const benchTick = time.Millisecond

// flow sends records at their times: the i-th is due i/rate after the start, whatever became of those before. It returns
// when Kafka has all that are due while lasts says yes to their distance from the start, or when ctx ends.
func (s *benchSender) flow(ctx context.Context, began time.Time, rate float64, lasts func(time.Duration) bool, record func(at time.Time) benchRecord) error {
	each := float64(time.Second) / rate
	for i := 0; ; i++ {
		due := time.Duration(float64(i) * each)
		if !lasts(due) {
			return s.flush(ctx)
		}
		at := began.Add(due)
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			if err := sleep(ctx, max(wait, benchTick)); err != nil {
				return err
			}
		}
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s.send(ctx, record(at))
	}
}
