package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// letter is a record of dead-letters, and what has become of it.
type letter struct {
	record   *kgo.Record
	dead     topics.Dead
	replayed bool
	replayOf string // the dead letter that the refused record had been replayed from; empty: it had not
}

// letters reads the dead letters that stand in the topic at the time it is opened, without joining a group.
//
// A letter that is replayed gets a mark in the same Kafka transaction that puts its record back: a record of dead-letters
// without value, whose source is the letter. It comes after the letter, in its partition, and is kept as long.
type letters struct {
	w        *wire
	filter   *letterFilter
	spans    map[int32]span
	replayed map[int32]*offsetSet
}

// span is the offsets from and before to.
type span struct{ from, to int64 }

// openLetters finds where to read and which letters were replayed. Memory: a bit for each record of the topic.
func openLetters(ctx context.Context, w *wire, f *letterFilter) (*letters, error) {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin, topic := kadm.NewClient(w.client), w.names.DeadLetters
	starts, err := admin.ListStartOffsets(asking, topic)
	if err == nil && !f.from.IsZero() {
		// The first record of that time or later: none before it can be meant, in whatever order the times are.
		starts, err = admin.ListOffsetsAfterMilli(asking, f.from.UnixMilli(), topic)
	}
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking where to begin in %s: %w", topic, err))
	}
	ends, err := admin.ListEndOffsets(asking, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, explainKafka(w.config, fmt.Errorf("asking for the end of %s: %w", topic, err))
	}
	r := &letters{w: w, filter: f, spans: make(map[int32]span), replayed: make(map[int32]*offsetSet)}
	for p := range w.partitions {
		start, _ := starts.Lookup(topic, p)
		end, _ := ends.Lookup(topic, p)
		if start.Offset < end.Offset && f.mayStandIn(p) {
			r.spans[p], r.replayed[p] = span{start.Offset, end.Offset}, &offsetSet{from: start.Offset}
		}
	}
	return r, r.readMarks(ctx)
}

// mayStandIn says whether the filter lets letters of a partition through. A letter stands in that of its record.
func (f *letterFilter) mayStandIn(partition int32) bool {
	for i := range f.only {
		if f.only[i].place.Partition == partition {
			return true
		}
	}
	return len(f.only) == 0
}

func (r *letters) readMarks(ctx context.Context) error {
	return r.w.readSpans(ctx, r.w.names.DeadLetters, r.spans, func(rec *kgo.Record) error {
		if of, ok := replayMarkOf(rec); ok {
			r.replayed[rec.Partition].add(of)
		}
		return nil
	})
}

// each calls take for every letter that the filter lets through, within a partition in order.
func (r *letters) each(ctx context.Context, take func(*letter) error) error {
	return r.w.readSpans(ctx, r.w.names.DeadLetters, r.spans, func(rec *kgo.Record) error {
		if rec.Offset >= r.spans[rec.Partition].to {
			return nil // it came after; a replay would meet what it has put back itself
		}
		l, ok, err := r.read(rec)
		if err != nil || !ok || !r.filter.wants(l) {
			return err
		}
		return take(l)
	})
}

// size is how many offsets are read.
func (r *letters) size() (n int64) {
	for _, s := range r.spans {
		n += s.to - s.from
	}
	return n
}

// read reads a record of dead-letters; not ok: it is a mark, or another program's.
func (r *letters) read(rec *kgo.Record) (*letter, bool, error) {
	dead, err := topics.ReadDead(rec)
	if errors.Is(err, topics.ErrNoSource) {
		return nil, false, nil
	}
	l := &letter{record: rec, dead: dead, replayed: r.replayed[rec.Partition].has(rec.Offset)}
	for _, h := range dead.Headers {
		if h.Key == topics.HeaderReplayed {
			l.replayOf = string(h.Value)
		}
	}
	return l, true, err
}

// replayMark is the record that says that a letter was replayed. Its source, in the headers of a dead letter, is the
// letter, so that those who look for records of the inputs pass it over.
func replayMark(l *letter, now time.Time) *kgo.Record {
	at := topics.SourceAt(l.record)
	text := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	return &kgo.Record{
		Topic: at.Topic, Partition: at.Partition, Timestamp: now, Key: l.record.Key,
		Headers: []kgo.RecordHeader{
			text(topics.HeaderConnectTopic, at.Topic),
			text(topics.HeaderConnectPartition, fmt.Sprint(at.Partition)),
			text(topics.HeaderConnectOffset, fmt.Sprint(at.Offset)),
			text(topics.HeaderReplayed, at.String()),
		},
	}
}

// replayMarkOf returns the offset of the letter that a mark is of.
func replayMarkOf(rec *kgo.Record) (offset int64, ok bool) {
	source, err := topics.SourceOf(rec)
	if err != nil || rec.Value != nil || source.Topic != rec.Topic || source.Partition != rec.Partition {
		return 0, false
	}
	return source.Offset, true
}

// offsetSet is a set of offsets, a bit for each from the first that counts.
type offsetSet struct {
	from int64
	bits []uint64
}

func (s *offsetSet) add(offset int64) {
	if offset < s.from {
		return
	}
	at := (offset - s.from) / 64
	for int64(len(s.bits)) <= at {
		s.bits = append(s.bits, 0)
	}
	s.bits[at] |= 1 << uint((offset-s.from)%64)
}

func (s *offsetSet) has(offset int64) bool {
	at := (offset - s.from) / 64
	return offset >= s.from && at < int64(len(s.bits)) && s.bits[at]>>uint((offset-s.from)%64)&1 != 0
}

// readSpans calls take for each record of the spans of a topic, by partition, read committed. Where a transaction is open
// it waits for its end. Partitions come in any order, the records of one in theirs.
func (w *wire) readSpans(ctx context.Context, topic string, spans map[int32]span, take func(*kgo.Record) error) error {
	reader, err := w.openSpans(ctx, topic, spans)
	if err != nil {
		return err
	}
	defer reader.close()
	return reader.read(ctx, take)
}

// spanReader reads partitions of a topic up to ends that can be moved on.
type spanReader struct {
	wire   *wire
	client *kgo.Client
	topic  string
	next   map[int32]int64 // everything before was returned, or is a hole
	ends   map[int32]int64
}

func (w *wire) openSpans(ctx context.Context, topic string, spans map[int32]span) (*spanReader, error) {
	r := &spanReader{wire: w, topic: topic, next: make(map[int32]int64), ends: make(map[int32]int64)}
	from := make(map[int32]kgo.Offset, len(spans))
	for p, s := range spans {
		r.next[p], r.ends[p], from[p] = s.from, s.to, kgo.NewOffset().At(s.from)
	}
	var err error
	r.client, err = connectKafka(ctx, w.config, w.log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // retention may take the first records meanwhile
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record may be one
		kgo.FetchMaxWait(100*time.Millisecond))
	return r, err
}

func (r *spanReader) close() { r.client.Close() }

// over says whether every partition was read to its end.
func (r *spanReader) over() bool {
	for p, end := range r.ends {
		if r.next[p] < end {
			return false
		}
	}
	return true
}

// spanPatience is how long a read waits for the next record below an end: as long as a transaction may stay open.
const spanPatience = 30 * time.Second

// read calls take for each record below the ends. It may be called again after the ends have moved on; what was fetched
// beyond them is read then.
func (r *spanReader) read(ctx context.Context, take func(*kgo.Record) error) error {
	for !r.over() {
		asking, cancel := context.WithTimeout(ctx, spanPatience)
		fetches := r.client.PollRecords(asking, 2000)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		err := readError(r.client, fetches)
		unread := unreadable(fetches)
		if unread == nil && err != nil {
			return explainKafka(r.wire.config, fmt.Errorf("reading %s to its end: %w", r.topic, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			rec := records.Next()
			if rec.Offset < r.next[rec.Partition] {
				continue
			}
			r.next[rec.Partition] = rec.Offset + 1
			if rec.Attrs.IsControl() {
				continue
			}
			if err := take(rec); err != nil {
				return err
			}
		}
		if unread != nil {
			r.passOver(unread)
		}
	}
	return nil
}

// passOver goes on behind a batch that nobody reads, the processor neither. Every partition is set, for another one may have
// met such a batch too: the client tells of it once, and drops what it has fetched when positions are set.
func (r *spanReader) passOver(unread *kgo.ErrDecompressTooLarge) {
	r.wire.log.Warn("batch passed over, for it is too large uncompressed", "topic", unread.Topic, "partition", unread.Partition, "offset", unread.Offset, "next_offset", unread.NextOffset)
	r.wire.unread[topics.Source{Topic: unread.Topic, Partition: unread.Partition, Offset: unread.Offset}] = true
	r.next[unread.Partition] = max(r.next[unread.Partition], unread.NextOffset)
	positions := make(map[int32]kgo.EpochOffset, len(r.next))
	for p, next := range r.next { // order-free: a set
		positions[p] = kgo.EpochOffset{Epoch: -1, Offset: next}
	}
	r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.topic: positions})
}

// unreadBatches are those that were passed over, in the order of their places.
func (w *wire) unreadBatches() []topics.Source {
	batches := slices.Collect(maps.Keys(w.unread))
	slices.SortFunc(batches, func(a, b topics.Source) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return append([]topics.Source{}, batches...)
}

// unreadShown is how many of them a note names.
const unreadShown = 5

// unreadNote tells of batches that were passed over, and what follows. There is at least one.
func unreadNote(batches []topics.Source, follows string) string {
	word, more := "batch", ""
	if len(batches) > 1 {
		word = "batches"
	}
	var places []string
	for _, b := range batches[:min(len(batches), unreadShown)] {
		places = append(places, b.String())
	}
	if len(batches) > unreadShown {
		more = " and more"
	}
	return fmt.Sprintf("%d %s not read, for more than %d MiB uncompressed: %s%s; %s", len(batches), word, topics.BatchBytesMax>>20, strings.Join(places, ", "), more, follows)
}
