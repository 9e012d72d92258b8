package processor

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// A batch of records that takes too much memory uncompressed is never read: a few kilobytes can say a gigabyte. It is passed
// over, in a replay too, and of all its records there is one dead letter, at the offset of the last. Its place among the
// records is taken by one that stands for it.

// unreadKey is what the context of a record has that stands for a batch.
type unreadKey struct{}

// skip sets a consumer behind batches that it cannot read.
func skip(client *kgo.Client, unread ...*kgo.ErrDecompressTooLarge) {
	positions := make(map[string]map[int32]kgo.EpochOffset)
	for _, u := range unread {
		if positions[u.Topic] == nil {
			positions[u.Topic] = make(map[int32]kgo.EpochOffset)
		}
		positions[u.Topic][u.Partition] = kgo.EpochOffset{Epoch: u.Epoch, Offset: u.NextOffset}
	}
	client.SetOffsets(positions)
}

// passOver goes on behind batches.
func (s *session) passOver(unread []*kgo.ErrDecompressTooLarge) {
	if len(unread) == 0 {
		return
	}
	for _, u := range unread {
		s.log.Warn("batch passed over, for it is too large uncompressed", "topic", u.Topic, "partition", u.Partition, "offset", u.Offset, "next_offset", u.NextOffset)
	}
	skip(s.client, unread...)
	if s.passed.IsZero() {
		s.passed = time.Now()
	}
}

// renewAfter is how long a session that has passed a batch over lives on.
const renewAfter = 10 * time.Second

// errPassedOver ends a session so that it begins anew. A client stops fetching a partition for good when it meets such a
// batch, until it is set behind it. It tells so once, with what it has fetched; and to set one partition drops what was
// fetched of the others:
//
//	batches of partitions 1 and 2 are met ─▶ that of 1 is told ─▶ 1 is set behind it, what is fetched of 2 is dropped ─▶ 2 rests for ever
var errPassedOver = errors.New("a batch was passed over, and others may have been met that nobody was told of")

func (s *session) passedOver() bool { return !s.passed.IsZero() && time.Since(s.passed) > renewAfter }

// standIn returns the record that stands for a batch. It has no time: it is folded before what has come in the other input.
func standIn(unread *kgo.ErrDecompressTooLarge) *kgo.Record {
	return &kgo.Record{
		Topic: unread.Topic, Partition: unread.Partition, Offset: unread.NextOffset - 1, LeaderEpoch: unread.Epoch,
		Context: context.WithValue(context.Background(), unreadKey{}, unread), // a value, and nothing that ends
	}
}

// refuseUnread is the refusal of a record that stands for a batch; any other is not.
func refuseUnread(r *kgo.Record) (refusal *topics.Refusal, unread bool) {
	if r.Context == nil {
		return nil, false
	}
	u, unread := r.Context.Value(unreadKey{}).(*kgo.ErrDecompressTooLarge)
	if unread {
		refusal = topics.RefuseBatch(u.Offset, u.NextOffset-1, topics.BatchBytesMax)
	}
	return refusal, unread
}
