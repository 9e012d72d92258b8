package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// benchSlots is how many slices of time a flow is drawn in, benchSlotsMax how many there are at most of one that takes
// longer than it was to.
const (
	benchSlots    = 60
	benchSlotsMax = 100 * benchSlots
)

// benchSlot is one slice of a flow, by the time its events were to be sent.
type benchSlot struct {
	updates benchHistogram
	results benchHistogram
	unseen  int           // events sent and not seen, the most at any look
	oldest  time.Duration // age of the oldest of them, the same
}

// benchPending are the events of a partition of an input that were sent and not seen, in the order of their offsets.
type benchPending struct {
	offsets []int64
	sent    []time.Time
	head    int
	seenTo  int64 // offset that was seen last; -1: none
	seenAt  time.Time
}

// benchWatcher is a storefront: it reads what was committed of updates and results, and tells from the cause that each
// names how late it is. An event counts as seen when an output is read that it, or a later record of the same partition
// and input, has caused; what no output names, because a later event of the same batch changed the same level, counts
// when a later one is named. Lateness is from the time an event was to be sent, whenever that succeeded.
type benchWatcher struct {
	wire  *wire
	began time.Time
	width time.Duration // of a slot

	mu       sync.Mutex // guards all below
	pending  [availability.Inputs][]benchPending
	unseen   int
	slots    []benchSlot // grows
	counts   benchCounts
	epochs   []int64         // newest of each partition that was seen
	firstOf  []time.Time     // when that epoch was seen first
	lastSeen []time.Time     // when an update was seen last
	silence  []time.Duration // longest time without one since quiet was called
	lateness benchHistogram  // of releases
	granted  int             // reservations that are to expire
	released int
}

// benchCounts are the outputs that were seen.
type benchCounts struct {
	Updates     int64 `json:"updates"`
	Results     int64 `json:"results"`
	DeadLetters int64 `json:"deadLetters"`
}

func newBenchWatcher(w *wire, began time.Time, lasts time.Duration) *benchWatcher {
	b := &benchWatcher{wire: w, began: began, width: max(time.Millisecond, lasts/benchSlots)}
	for input := range b.pending {
		b.pending[input] = make([]benchPending, w.partitions)
		for n := range b.pending[input] {
			b.pending[input][n].seenTo = -1
		}
	}
	b.epochs, b.firstOf = make([]int64, w.partitions), make([]time.Time, w.partitions)
	b.lastSeen, b.silence = make([]time.Time, w.partitions), make([]time.Duration, w.partitions)
	return b
}

// slot is the slice of the flow that an instant falls into; what is before counts with the first.
func (b *benchWatcher) slot(at time.Time) *benchSlot {
	n := min(benchSlotsMax-1, max(0, int(at.Sub(b.began)/b.width)))
	if n >= len(b.slots) {
		b.slots = append(b.slots, make([]benchSlot, n+1-len(b.slots))...)
	}
	return &b.slots[n]
}

// sent notes an event that Kafka has acknowledged. Calls for a partition come in the order of its offsets.
func (b *benchWatcher) sent(input int, partition int32, offset int64, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &b.pending[input][partition]
	if offset <= p.seenTo { // its output was faster than its acknowledgement
		b.seen(input, at, p.seenAt)
		return
	}
	p.offsets, p.sent = append(p.offsets, offset), append(p.sent, at)
	b.unseen++
}

// seen counts the lateness of one event.
func (b *benchWatcher) seen(input int, sent, now time.Time) {
	if slot := b.slot(sent); input == availability.Deltas {
		slot.updates.add(now.Sub(sent))
	} else {
		slot.results.add(now.Sub(sent))
	}
}

// caused notes that an output of the record at that offset was read.
func (b *benchWatcher) caused(input int, partition int32, offset int64, now time.Time) {
	p := &b.pending[input][partition]
	if offset <= p.seenTo {
		return
	}
	p.seenTo, p.seenAt = offset, now
	for p.head < len(p.offsets) && p.offsets[p.head] <= offset {
		b.seen(input, p.sent[p.head], now)
		p.head++
		b.unseen--
	}
	if p.head > 1024 && 2*p.head > len(p.offsets) {
		p.offsets = p.offsets[:copy(p.offsets, p.offsets[p.head:])]
		p.sent = p.sent[:copy(p.sent, p.sent[p.head:])]
		p.head = 0
	}
}

// look notes how much is unseen now, and returns it.
func (b *benchWatcher) look(now time.Time) (unseen int, oldest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, input := range b.pending {
		for i := range input {
			if p := &input[i]; p.head < len(p.sent) {
				oldest = max(oldest, now.Sub(p.sent[p.head]))
			}
		}
	}
	slot := b.slot(now)
	slot.unseen, slot.oldest = max(slot.unseen, b.unseen), max(slot.oldest, oldest)
	return b.unseen, oldest
}

// quiet begins to measure how long each partition is without an update.
func (b *benchWatcher) quiet(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.silence {
		b.silence[i], b.lastSeen[i] = 0, now
	}
}

// silences are the longest times without an update since quiet, by partition.
func (b *benchWatcher) silences(now time.Time) []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	longest := make([]time.Duration, len(b.silence))
	for i := range longest {
		longest[i] = max(b.silence[i], now.Sub(b.lastSeen[i]))
	}
	return longest
}

// epochsSeen are the newest epochs of the partitions, and when each was seen first.
func (b *benchWatcher) epochsSeen() ([]int64, []time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int64(nil), b.epochs...), append([]time.Time(nil), b.firstOf...)
}

// progress is what was seen so far.
func (b *benchWatcher) progress() (counts benchCounts, granted, released int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts, b.granted, b.released
}

// between is the lateness of the updates of events that were to be sent from one time to another, by the slots that both
// fall into, the second apart.
func (b *benchWatcher) between(from, to time.Time) benchHistogram {
	b.mu.Lock()
	defer b.mu.Unlock()
	var h benchHistogram
	for i := range b.slots {
		at := b.began.Add(time.Duration(i) * b.width)
		if at.Add(b.width).After(from) && at.Before(to) {
			h.merge(&b.slots[i].updates)
		}
	}
	return h
}

// open makes the client that run reads with, from where the outputs end.
func (b *benchWatcher) open(ctx context.Context) (*kgo.Client, error) {
	names := b.wire.names
	positions := make(map[string]map[int32]kgo.Offset)
	for _, topic := range []string{names.AvailabilityUpdates, names.ReservationResults, names.DeadLetters} {
		positions[topic] = make(map[int32]kgo.Offset, b.wire.partitions)
		for n := range b.wire.partitions {
			_, end, err := b.ends(ctx, topic, n)
			if err != nil {
				return nil, err
			}
			positions[topic][n] = kgo.NewOffset().At(end)
		}
	}
	return connectKafka(ctx, b.wire.config, b.wire.log, kgo.ConsumePartitions(positions), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(time.Second), kgo.FetchMaxBytes(32<<20))
}

func (b *benchWatcher) ends(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return logBounds(asking, b.wire.config, b.wire.client, topic, partition)
}

// run reads until ctx ends, or something goes wrong, and returns which.
func (b *benchWatcher) run(ctx context.Context, client *kgo.Client) error {
	for {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readError(client, fetches); err != nil {
			return fmt.Errorf("reading what is published: %w", explainKafka(b.wire.config, err))
		}
		if err := b.take(ctx, fetches, now); err != nil {
			return err
		}
	}
}

func (b *benchWatcher) take(ctx context.Context, fetches kgo.Fetches, now time.Time) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		switch p.Topic {
		case b.wire.names.AvailabilityUpdates:
			b.takeUpdates(p.Partition, p.Records, now)
		case b.wire.names.ReservationResults:
			err = b.takeResults(ctx, p.Records, now)
		default:
			b.counts.DeadLetters += int64(len(p.Records))
		}
	})
	return err
}

func (b *benchWatcher) takeUpdates(partition int32, records []*kgo.Record, now time.Time) {
	newest := [availability.Inputs]int64{-1, -1}
	for _, r := range records {
		for _, h := range r.Headers {
			switch h.Key {
			case topics.HeaderCause:
				if input, offset, ok := b.cause(h.Value); ok {
					newest[input] = max(newest[input], offset)
				}
			case topics.HeaderVersion:
				if version, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil && version>>40 > b.epochs[partition] {
					b.epochs[partition], b.firstOf[partition] = version>>40, now
				}
			}
		}
	}
	b.counts.Updates += int64(len(records))
	// An update that a reservation event has caused says nothing of when the event's result is read.
	b.caused(availability.Deltas, partition, newest[availability.Deltas], now)
	b.silence[partition] = max(b.silence[partition], now.Sub(b.lastSeen[partition]))
	b.lastSeen[partition] = now
}

// cause is the input and offset of a cause, topic/partition/offset.
func (b *benchWatcher) cause(text []byte) (input int, offset int64, ok bool) {
	source := string(text)
	at := strings.LastIndexByte(source, '/')
	offset, err := strconv.ParseInt(source[at+1:], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	if strings.HasPrefix(source, b.wire.names.ReservationEvents+"/") {
		return availability.Events, offset, true
	}
	return availability.Deltas, offset, true
}

// takeResults looks into the results for reservations that are to expire.
func (b *benchWatcher) takeResults(ctx context.Context, records []*kgo.Record, now time.Time) error {
	for _, r := range records {
		b.counts.Results++
		var d topics.Decision
		if err := b.wire.reader.Result(ctx, r, &d); err != nil {
			return fmt.Errorf("reading %s: %w", topics.SourceAt(r), err)
		}
		b.caused(availability.Events, d.Source.Partition, d.Source.Offset, now)
		due, isRelease := expiryOf(d.RequestID)
		switch {
		case strings.HasPrefix(d.RequestID, benchHold+"-") && d.Result.Granted > 0:
			b.granted++
		case isRelease && d.Result.Granted > 0:
			b.released++
			b.lateness.add(now.Sub(due))
		}
	}
	return nil
}

// expiryOf reads the request id of a release that the processor published: expire:<reservation id>:<µs>.
func expiryOf(requestID string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(requestID, "expire:")
	us, err := strconv.ParseInt(rest[strings.LastIndexByte(rest, ':')+1:], 10, 64)
	return time.UnixMicro(us), ok && err == nil
}
