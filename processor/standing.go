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
	reader   *topics.Reader
	decision map[int64]availability.Result // by offset of the event; those read and not yet asked for
	next     int64                         // position in reservation-results
	end      int64
	letters  [availability.Inputs]map[int64]bool // offsets that stand in dead-letters
}

func (t *task) openStanding() (*standing, error) {
	s := &standing{task: t, reader: t.shared.reader.Clone(), decision: make(map[int64]availability.Result), next: t.folded.Results, end: t.claim.results}
	for input := range s.letters {
		s.letters[input] = make(map[int64]bool)
	}
	var err error
	s.client, err = t.reader(map[string]map[int32]kgo.Offset{
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

// readTo reads results until those of all the given events are known, or there are no more. They stand in the order of
// their events.
func (s *standing) readTo(ctx context.Context, records []*kgo.Record) error {
	last := int64(-1)
	for _, r := range records {
		if s.task.shared.inputOf(r) == availability.Events {
			last = max(last, r.Offset)
		}
	}
	for _, known := s.decision[last]; last >= 0 && !known && s.next < s.end; _, known = s.decision[last] {
		if err := s.poll(ctx, func(r *kgo.Record) error { return s.decided(ctx, r) }); err != nil {
			return fmt.Errorf("reading results of task %d: %w", s.task.number, err)
		}
	}
	return nil
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
		s.decision[d.Source.Offset] = d.Result
	}
	return err
}

func (s *standing) poll(ctx context.Context, each func(*kgo.Record) error) error {
	fetches := s.client.PollFetches(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
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
func (s *standing) result(r *kgo.Record) (availability.Result, bool) {
	result, ok := s.decision[r.Offset]
	delete(s.decision, r.Offset)
	return result, ok
}
