package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// standing is what was published of a range that is replayed: the decisions in reservation-results and the sources in
// dead-letters, from the positions in the checkpoint up to the high watermarks asked for after k. To the end of what is
// visible would not do: offsets become visible before the marker of their transaction reaches another partition.
type standing struct {
	task     *task
	client   *kgo.Client
	inflated *topics.Inflater
	reader   *topics.Reader
	decision map[int64]decision // by offset of the event; those read and not yet asked for
	next     int64              // position in reservation-results
	end      int64
	read     int64                               // highest offset of an event whose result was read; -1: none
	letters  [availability.Inputs]map[int64]bool // offsets that stand in dead-letters
}

// decision is one that stands, and the next offset of the deltas when it was made.
type decision struct {
	result availability.Result
	after  int64
}

func (t *task) openStanding() (*standing, error) {
	s := &standing{task: t, reader: t.shared.reader.Clone(), decision: make(map[int64]decision), next: t.folded.Results, end: t.claim.results, read: -1}
	for input := range s.letters {
		s.letters[input] = make(map[int64]bool)
	}
	var err error
	s.client, s.inflated, err = t.reader(map[string]map[int32]kgo.Offset{
		t.shared.names.ReservationResults: {t.number: kgo.NewOffset().At(s.next)},
		t.shared.names.DeadLetters:        {t.number: kgo.NewOffset().At(t.folded.DeadLetters)},
	})
	return s, err
}

func (s *standing) close() { s.client.Close() }

// readDead reads all dead letters of the range. Their sources take 8 bytes each.
func (s *standing) readDead(ctx context.Context) error {
	names := &s.task.shared.names
	results := map[string][]int32{names.ReservationResults: {s.task.number}}
	s.client.PauseFetchPartitions(results)
	for next := s.task.folded.DeadLetters; next < s.task.claim.dead; {
		err := s.poll(ctx, func(r *kgo.Record) error {
			next = r.Offset + 1
			if r.Attrs.IsControl() || r.Offset >= s.task.claim.dead {
				return nil
			}
			source, err := topics.SourceOf(r)
			if errors.Is(err, topics.ErrNoSource) {
				s.task.log.Warn("dead letter of another writer passed over", "offset", r.Offset, "err", err)
				return nil
			}
			if input := slices.Index(inputNames(s.task.shared), source.Topic); input >= 0 && source.Partition == s.task.number {
				s.letters[input][source.Offset] = true
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("reading dead letters of task %d: %w", s.task.number, err)
		}
	}
	s.client.PauseFetchPartitions(map[string][]int32{names.DeadLetters: {s.task.number}})
	s.client.ResumeFetchPartitions(results)
	return nil
}

func inputNames(s *shared) []string {
	names := s.inputs()
	return names[:]
}

// after returns the next offset of the deltas when an event was decided, 0 if no decision stands: of poison, or of a record
// in the wrong partition. It reads results until that of the event is known, or there are no more. They stand in the order of
// their events.
func (s *standing) after(ctx context.Context, event *kgo.Record) (int64, error) {
	d, known := s.decision[event.Offset]
	for !known && s.read < event.Offset && s.next < s.end {
		if err := s.poll(ctx, func(r *kgo.Record) error { return s.decided(ctx, r) }); err != nil {
			return 0, fmt.Errorf("reading results of task %d: %w", s.task.number, err)
		}
		d, known = s.decision[event.Offset]
	}
	return d.after, nil
}

func (s *standing) decided(ctx context.Context, r *kgo.Record) error {
	if r.Topic != s.task.shared.names.ReservationResults {
		return nil
	}
	s.next = r.Offset + 1
	if r.Attrs.IsControl() || r.Offset >= s.end {
		return nil
	}
	var d topics.Decision
	err := s.reader.Result(ctx, r, &d)
	var refusal *topics.Refusal
	if errors.As(err, &refusal) {
		s.task.log.Warn("result of another writer passed over", "offset", r.Offset, "err", err)
		return nil
	}
	if err == nil && d.Source.Topic == s.task.shared.names.ReservationEvents && d.Source.Partition == s.task.number {
		s.decision[d.Source.Offset], s.read = decision{d.Result, d.After}, d.Source.Offset
	}
	return err
}

func (s *standing) poll(ctx context.Context, each func(*kgo.Record) error) error {
	fetches := s.client.PollFetches(ctx)
	s.inflated.Polled(fetches)
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, topics.ErrInflated) {
			return
		}
		failed = fmt.Errorf("polling %s/%d: %w", topic, partition, err)
	})
	for iter := fetches.RecordIter(); !iter.Done() && failed == nil; {
		failed = each(iter.Next())
	}
	return failed
}

// dead says whether the record stands in dead-letters.
func (s *standing) dead(r *kgo.Record) bool {
	return s.letters[s.task.shared.inputOf(r)][r.Offset]
}

// result returns the decision that stands on an event, and forgets it.
func (s *standing) result(r *kgo.Record) (decision, bool) {
	d, ok := s.decision[r.Offset]
	delete(s.decision, r.Offset)
	return d, ok
}

// checkUnsure stops a task that takes its checkpoint for k, for want of committed offsets, where results tell of decisions
// past it.
func (t *task) checkUnsure(ctx context.Context) error {
	s, err := t.openStanding()
	if err != nil {
		return err
	}
	defer s.close()
	for s.next < s.end {
		if err := s.poll(ctx, func(r *kgo.Record) error { return s.decided(ctx, r) }); err != nil {
			return fmt.Errorf("reading results of task %d: %w", t.number, err)
		}
		clear(s.decision)
	}
	if k := t.claim.committed[availability.Events]; s.read >= k {
		return offsetsDeleted(topics.Source{Topic: t.shared.names.ReservationEvents, Partition: t.number, Offset: k}, fmt.Sprintf("offset %d was decided", s.read))
	}
	return nil
}
