package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/processor/availability"
)

// offsets are what is committed for one input.
type offsets struct {
	offset   int64 // -1: nothing
	metadata *Metadata
}

// committedOffsets asks for stable offsets: those of a transaction whose outcome is open are waited for, for twice as long
// as a transaction can last. The error then says what was waited for; whoever claims asks again.
func (t *task) committedOffsets(ctx context.Context) ([availability.Inputs]offsets, error) {
	for began := time.Now(); ; {
		found, err := t.askOffsets(ctx)
		if !errors.Is(err, kerr.UnstableOffsetCommit) || time.Since(began) > 2*t.shared.TransactionTimeout {
			return found, err
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return found, ctx.Err()
		}
	}
}

func (t *task) askOffsets(ctx context.Context) ([availability.Inputs]offsets, error) {
	var found [availability.Inputs]offsets
	group, err := t.shared.fetchOffsets(ctx, []int32{t.number})
	if err != nil {
		return found, fmt.Errorf("fetching committed offsets of task %d: %w", t.number, err)
	}
	for input, name := range t.shared.inputs() {
		found[input].offset = -1
		for _, topic := range group.Topics {
			if topic.Topic != name && topic.TopicID != t.shared.topicIDs[name] || len(topic.Partitions) != 1 {
				continue
			}
			p := topic.Partitions[0]
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return found, fmt.Errorf("fetching the committed offset of %s/%d: %w", name, t.number, err)
			}
			found[input].offset = p.Offset
			if p.Metadata != nil && p.Offset >= 0 {
				if m, err := ParseMetadata(*p.Metadata); err == nil {
					found[input].metadata = &m
				}
			}
		}
	}
	return found, nil
}

// fetchOffsets asks for what the group has committed of partitions of both inputs.
func (s *shared) fetchOffsets(ctx context.Context, partitions []int32) (*kmsg.OffsetFetchResponseGroup, error) {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable = !without.Stable
	r.Group = s.names.ConsumerGroup()
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = r.Group
	for _, name := range s.inputs() {
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.TopicID, topic.Partitions = name, s.topicIDs[name], partitions
		group.Topics = append(group.Topics, topic)
	}
	r.Groups = append(r.Groups, group)
	resp, err := r.RequestWith(ctx, s.admin)
	if err != nil {
		return nil, err
	}
	if len(resp.Groups) != 1 {
		return nil, fmt.Errorf("the answer has %d groups, not one", len(resp.Groups))
	}
	return &resp.Groups[0], kerr.ErrorForCode(resp.Groups[0].ErrorCode)
}

// starts returns the log starts of the task's partitions.
func (t *task) starts(ctx context.Context) (map[string]int64, error) {
	n := &t.shared.names
	return t.list(ctx, -2, n.StockDeltas, n.ReservationEvents, n.ReservationResults, n.DeadLetters)
}

// watermarks returns the high watermarks of the task's results and dead letters.
func (t *task) watermarks(ctx context.Context) (results, dead int64, err error) {
	n := &t.shared.names
	ends, err := t.list(ctx, -1, n.ReservationResults, n.DeadLetters)
	return ends[n.ReservationResults], ends[n.DeadLetters], err
}

// list asks for the offset at a timestamp, or for the start (-2) or the high watermark (-1), of the task's partition of
// each topic.
func (t *task) list(ctx context.Context, timestamp int64, names ...string) (map[string]int64, error) {
	r := kmsg.NewPtrListOffsetsRequest()
	r.ReplicaID = -1
	if without.HighWatermark {
		r.IsolationLevel = 1
	}
	for _, name := range names {
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = name
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = t.number, timestamp, -1
		topic.Partitions = append(topic.Partitions, p)
		r.Topics = append(r.Topics, topic)
	}
	resp, err := r.RequestWith(ctx, t.shared.admin)
	if err != nil {
		return nil, fmt.Errorf("listing offsets of task %d: %w", t.number, err)
	}
	found := make(map[string]int64, len(names))
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("listing the offset of %s/%d: %w", topic.Topic, p.Partition, err)
			}
			found[topic.Topic] = p.Offset
		}
	}
	if len(found) != len(names) {
		return nil, fmt.Errorf("listing offsets of task %d: %d of %d partitions answered", t.number, len(found), len(names))
	}
	return found, nil
}
