package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"onhand/processor"
	"onhand/processor/availability"
)

// devGap is what was committed before the start, and where Redis had to begin, by partition and input.
type devGap map[int32]*[availability.Inputs]struct{ origin, committed int64 }

// gap asks Kafka what the processor had committed.
func (s *devSystem) gap(ctx context.Context) (devGap, error) {
	offsets, err := s.admin.FetchOffsets(ctx, s.wire.names.ConsumerGroup())
	gap := devGap{}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return gap, nil // the first start
	}
	if err != nil {
		return nil, fmt.Errorf("asking what is committed: %w", err)
	}
	for input, topic := range []string{availability.Deltas: s.wire.names.StockDeltas, availability.Events: s.wire.names.ReservationEvents} {
		for partition := range int32(devPartitions) {
			committed, ok := offsets.Lookup(topic, partition)
			if !ok || committed.Err != nil || committed.At < 0 {
				continue
			}
			metadata, err := processor.ParseMetadata(committed.Metadata)
			if err != nil {
				return nil, err
			}
			if gap[partition] == nil {
				gap[partition] = new([availability.Inputs]struct{ origin, committed int64 })
			}
			gap[partition][input].origin, gap[partition][input].committed = metadata.Origin, committed.At
		}
	}
	return gap, nil
}

// devRebuildPause is the time between two looks at how far Redis is.
const devRebuildPause = 50 * time.Millisecond

// rebuild waits until Redis has what was committed before the start, and shows how far it is.
func (s *devSystem) rebuild(ctx context.Context, gap devGap) error {
	ticker := time.NewTicker(devRebuildPause)
	defer ticker.Stop()
	for started := time.Now(); ; {
		p := devProgress{}
		for partition, inputs := range gap {
			checkpoint, err := s.store.Checkpoint(ctx, partition)
			if err != nil {
				return err
			}
			for input, of := range inputs {
				p.total += of.committed - of.origin
				p.done += min(of.committed, max(of.origin, checkpoint.Offsets[input])) - of.origin
			}
		}
		s.board.rebuilt(p)
		if p.done == p.total {
			if p.total > 0 {
				s.board.say(fmt.Sprintf("Redis rebuilt from the log: %s records in %.1f s", thousands(p.total), time.Since(started).Seconds()), time.Now())
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
