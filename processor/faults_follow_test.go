package processor_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// follower reads everything that is published, read committed, as it is published: as a storefront's cache does. It keeps
// the last record of every key and notices a version that goes back.
type follower struct {
	world  *world
	client *kgo.Client
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	last    map[string]followed
	back    []string // versions that went back
	next    []int64  // position, by partition
	updates int

	epochs  []int64 // newest seen, by partition
	awaited awaited
	first   time.Time // when the first update that is awaited was there
}

// awaited tells an update by which a fault is over.
type awaited struct {
	marks      map[string][]int64 // caused by an input at or after these offsets; nil: of a later epoch than epochs
	epochs     []int64
	partitions []int32
}

type followed struct {
	record  *kgo.Record
	version int64
}

func newFollower(w *world) *follower {
	w.Helper()
	f := &follower{world: w, ended: make(chan struct{}), last: make(map[string]followed), next: make([]int64, w.partitions), epochs: make([]int64, w.partitions)}
	positions := make(map[int32]kgo.Offset)
	for n := range w.partitions {
		positions[n] = kgo.NewOffset().AtStart()
	}
	var err error
	f.client, err = kgo.NewClient(w.kafka(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.names.AvailabilityUpdates: positions}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(250*time.Millisecond))...)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background()) // ended by the clean-up
	f.cancel = cancel
	go f.run(ctx)
	w.Cleanup(func() {
		f.cancel()
		<-f.ended
		f.client.Close()
	})
	return f
}

func (f *follower) run(ctx context.Context) {
	defer close(f.ended)
	for ctx.Err() == nil {
		fetches := f.client.PollFetches(ctx)
		now := time.Now()
		f.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { f.take(r, now) })
		f.mu.Unlock()
	}
}

func (f *follower) take(r *kgo.Record, now time.Time) {
	f.next[r.Partition] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	f.updates++
	key := string(r.Key)
	version, err := strconv.ParseInt(headerOf(r, topics.HeaderVersion), 10, 64)
	if before := f.last[key]; err != nil || version <= before.version {
		f.back = append(f.back, fmt.Sprintf("%s at %d/%d: version %d comes after %d: %v", key, r.Partition, r.Offset, version, before.version, err))
	}
	f.last[key] = followed{r, version}
	f.epochs[r.Partition] = max(f.epochs[r.Partition], version>>40)
	if f.first.IsZero() && f.awaited.is(r, version) {
		f.first = now
	}
}

func (a *awaited) is(r *kgo.Record, version int64) bool {
	if !slices.Contains(a.partitions, r.Partition) {
		return false
	}
	if a.marks == nil {
		return version>>40 > a.epochs[r.Partition]
	}
	cause, err := topics.ParseSource(headerOf(r, topics.HeaderCause))
	return err == nil && cause.Offset >= a.marks[cause.Topic][cause.Partition]
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// await begins to look for an update in one of the partitions: one that an input caused which stands at or after the
// marks, or without marks one of a later epoch than were seen.
func (f *follower) await(marks map[string][]int64, partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.awaited, f.first = awaited{marks, slices.Clone(f.epochs), partitions}, time.Time{}
}

// came says when that update was there.
func (f *follower) came() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first, !f.first.IsZero()
}

// finish waits until all that is committed was read, and returns the last level of every key. A version that went back is
// an error.
func (f *follower) finish() map[string]last {
	w := f.world
	w.Helper()
	admin := kadm.NewClient(w.client)
	w.eventually("everything that was published is read", func() bool {
		ends, err := admin.ListCommittedOffsets(w.Context(), w.names.AvailabilityUpdates)
		if err != nil {
			return false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for n := range w.partitions {
			if end, ok := ends.Lookup(w.names.AvailabilityUpdates, n); !ok || f.next[n] < end.Offset {
				return false
			}
		}
		return true
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.back[:min(len(f.back), 10)] {
		w.Error(line)
	}
	levels := make(map[string]last)
	reader := topics.NewReader(w.decoder, topics.Options{})
	for key, r := range f.last {
		var l last
		var from topics.Provenance
		w.must(reader.Update(w.Context(), r.record, &l.level, &from))
		l.version = from.Version
		levels[key] = l
	}
	return levels
}
