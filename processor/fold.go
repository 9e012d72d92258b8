package processor

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// folded is what a batch came to: records to publish, and what the store gets once they are.
type folded struct {
	task    *task
	batch   *batch
	commit  *availability.Commit
	outputs []*kgo.Record        // carved from the batch's memory, but for dead letters and what is sent on
	cause   cause                // of the update before
	below   *standing            // nil: not a replay
	gone    []availability.Place // that the newest graph does not have, if every level of a SKU is published
	now     time.Time
	levels  int
	joins   []joined  // told of with the offsets
	oldest  time.Time // timestamp of the oldest record that changed a level
	counts  outcomes
	span    context.Context //nolint:containedctx // that of the batch, for the updates that come of it
	end     func(error)

	results, deadLetters atomic.Int64 // offset after the newest of ours, once acknowledged
}

// cause is what the updates of one record carry of it.
type cause struct {
	record *kgo.Record
	source topics.Source
	trace  topics.Trace
}

// outcomes count the records of a batch by what became of them.
type outcomes struct {
	applied, stale, duplicate, dead, forwarded, skipped int
	accepted, partial, rejected, repeated               int
	deadByCode                                          map[topics.Code]int
}

// fold applies a prepared batch to the stocks in memory. It does no I/O. The batch gets the version after the last one.
// Below is nil, or what stands already of a range that is replayed: then nothing is decided or published.
//
// It goes SKU by SKU: all records of one in their order, then what they came to, while its stock is in the processor's
// cache. SKUs know nothing of each other. What one who reads the outputs may rely on is kept: results stand in the order of
// their events, dead letters in that of their sources.
func (t *task) fold(ctx context.Context, b *batch, below *standing) (*folded, error) {
	next := t.folded
	next.CommitSeq++
	next.CommitID = newCommitID()
	b.rise(&next)
	f := &folded{task: t, batch: b, outputs: b.outputs[:0], below: below, now: time.Now(), commit: &availability.Commit{Expect: t.committer.tail()}}
	if b.adopts != nil {
		f.adopt(b.adopts, &next)
	}
	f.commit.Graphs = append(f.commit.Graphs, t.recalled...)
	f.span, f.end = t.shared.obs.batchSpan(ctx, "process", t.number, b.records)
	defer func() { f.end(nil) }()
	if f.joins = t.joins; below == nil && next.GraphVersion > t.witnessed {
		f.joins = t.join()
	}
	f.arrange(&next)
	f.owed()
	f.sweep(&next)
	f.commit.Stocks = make([]availability.StockData, 0, len(b.touched)+len(b.idle))
	for i, h := range b.touched {
		if i%fetchedAtOnce == 0 {
			f.fetch(b.touched[i:min(i+fetchedAtOnce, len(b.touched))])
		}
		if err := f.visit(h, &next); err != nil {
			for _, h := range b.touched[i:] {
				h.leave()
			}
			return nil, err
		}
	}
	f.refuseAll()
	f.idle()
	for _, d := range b.expired {
		f.outputs = append(f.outputs, t.shared.ended(d, time.Now()))
	}
	f.commit.IDs, f.commit.DropIDs = t.window.Fresh(), t.window.Expire(next.Newest)
	f.commit.Checkpoint = next
	b.outputs = f.outputs
	if without.Duplicates {
		*t.window = *availability.NewWindow(t.shared.Rules.Window)
	}
	return f, nil
}

// arrange goes through the records in their order: it moves the offsets, sends on what is in the wrong partition, keeps a
// place among the outputs for the result of each event, and sorts what is left to do by SKU.
func (f *folded) arrange(next *availability.Checkpoint) {
	b := f.batch
	for i := range b.entries {
		e, r := &b.entries[i], b.records[i]
		switch {
		case e.silent:
			f.counts.skipped++
		case e.forward >= 0:
			f.outputs = append(f.outputs, topics.Forward(r, e.forward))
			f.counts.forwarded++
		case e.refusal != nil: // after all that is refused when it is folded is known
		default:
			if e.event >= 0 {
				b.answers = append(b.answers, answer{after: next.Offsets[availability.Deltas]})
				if f.below == nil {
					b.answers[e.event].record = f.output()
				}
			}
			b.touch(e.held, int32(i))
		}
		next.Offsets[f.task.shared.inputOf(r)] = r.Offset + 1
		next.Newest = max(next.Newest, instantOf(r.Timestamp))
	}
}

// owed makes the batch publish what a replay owes.
func (f *folded) owed() {
	t, b := f.task, f.batch
	if len(b.owed) == 0 {
		return
	}
	f.gone = t.gone() // the replay may have brought the SKU to a newer graph without a word to anyone
	for _, sku := range b.owed {
		if b.aside[sku] == nil {
			b.enter(t.stocks.bySKU[sku]).everything = !without.Owed
		}
	}
}

func (f *folded) adopt(p *published, next *availability.Checkpoint) {
	t := f.task
	if _, whole, _ := sweeping(next); whole {
		next.SweepCursor = wholeSweep
	} else if next.GraphVersion == 0 {
		next.SweepCursor = availability.SweepDone // no SKU was computed with any graph
	} else if next.GraphVersion != p.graph.Version {
		next.SweepCursor = 0
	}
	next.GraphVersion = p.graph.Version
	t.graphs[p.graph.Version] = p.graph
	t.graphIn = true
	f.commit.Graphs = append(f.commit.Graphs, availability.GraphData{Version: p.graph.Version, Bytes: p.bytes})
}

// sweep brings SKUs to the newest graph, and moves the cursor.
func (f *folded) sweep(next *availability.Checkpoint) {
	t, b := f.task, f.batch
	if !b.sweeps {
		return
	}
	_, whole, _ := sweeping(next)
	if whole {
		f.gone = t.gone()
	}
	for _, sku := range b.swept {
		if b.aside[sku] == nil {
			h := b.enter(t.stocks.bySKU[sku])
			h.everything = h.everything || whole
		}
	}
	if next.SweepCursor = b.cursor; next.SweepCursor == availability.SweepDone {
		for version := range t.graphs { // order-free: a set
			if version != next.GraphVersion {
				f.commit.DropGraphs = append(f.commit.DropGraphs, version)
			}
		}
	}
}

// fetchedAtOnce is how many SKUs are fetched into the processor's cache together, and fetchedEach of how many of their records
// the cells: 8 SKUs of some kilobytes fit into the smallest one.
const (
	fetchedAtOnce = 8
	fetchedEach   = 4
)

// fetch gets the next SKUs into the processor's cache.
func (f *folded) fetch(next []*held) {
	b := f.batch
	b.ahead = b.ahead[:0]
	for _, h := range next {
		b.ahead = append(b.ahead, availability.Ahead{Stock: h.stock})
		for i, n := h.first, 0; i >= 0 && n < fetchedEach; i, n = b.entries[i].next, n+1 {
			if e := &b.entries[i]; e.delta >= 0 {
				b.ahead = append(b.ahead, availability.Ahead{Stock: h.stock, Location: b.deltas[e.delta].Location})
			}
		}
	}
	f.task.folder.Fetch(b.ahead)
	clear(b.ahead)
}

// visit folds all that the batch has for one SKU, which it brings to the newest graph, and gathers what changed.
func (f *folded) visit(h *held, next *availability.Checkpoint) error {
	t := f.task
	i, everything := h.leave()
	t.folder.Adopt(h.stock, -1)
	for ; i >= 0; i = f.batch.entries[i].next {
		if err := f.foldEntry(h.stock, i, next); err != nil {
			return err
		}
		if f.below != nil {
			r := f.batch.records[i]
			t.folder.Void(h.stock, t.voidFrom(t.shared.inputOf(r), r.Offset), int(i))
		}
	}
	if everything {
		t.folder.Touch(h.stock, f.gone, -1)
	}
	f.finish(h.stock, next)
	t.stocks.use(h)
	return nil
}

func (f *folded) foldEntry(s *availability.Stock, i int32, next *availability.Checkpoint) error {
	b := f.batch
	switch e := &b.entries[i]; {
	case e.delta >= 0:
		fold := f.task.folder.Delta
		if f.below != nil {
			fold = f.task.folder.Again
		}
		outcome, _ := fold(s, &b.deltas[e.delta], int(i))
		f.count(e, outcome)
	case e.tell >= 0:
		f.instruct(s, int(i))
	default:
		return f.foldEvent(s, int(i), next)
	}
	return nil
}

func (f *folded) count(e *entry, outcome availability.Outcome) {
	switch outcome {
	case availability.Applied:
		f.counts.applied++
	case availability.Stale:
		f.counts.stale++
	case availability.Duplicate:
		f.counts.duplicate++
	case availability.UnknownLocation, availability.Overflow:
		d := &f.batch.deltas[e.delta]
		if f.below != nil { // the graph has lost the location since, and with it what it held, but the record counted
			f.task.folder.Remember(d)
			f.counts.skipped++
		} else if outcome == availability.Overflow {
			e.refusal = topics.RefuseOverflow(d)
		} else {
			e.refusal = topics.RefuseUnknownLocation(d)
		}
	}
}

// refuseAll makes dead letters, in the order of the records.
func (f *folded) refuseAll() {
	for i := range f.batch.entries {
		if e := &f.batch.entries[i]; e.refusal != nil && !e.silent {
			f.refuse(f.batch.records[i], e.refusal)
		}
	}
}

func (f *folded) refuse(r *kgo.Record, refusal *topics.Refusal) {
	letter := f.task.shared.writer.DeadLetter
	if _, unread := refuseUnread(r); unread {
		letter = f.task.shared.writer.DeadBatch
	}
	f.outputs = append(f.outputs, letter(r, refusal))
	f.counts.dead++
	if f.counts.deadByCode == nil {
		f.counts.deadByCode = make(map[topics.Code]int)
	}
	f.counts.deadByCode[refusal.Code]++
}

// foldEvent decides on a reservation event, or carries out the decision that stands.
func (f *folded) foldEvent(s *availability.Stock, i int, next *availability.Checkpoint) error {
	t, b := f.task, f.batch
	r := b.records[i]
	number := b.entries[i].event
	event := &b.events[number]
	if f.below != nil && !without.Decisions {
		d, ok := f.below.result(r)
		if !ok {
			return stopped("TaskStopped", "its result was deleted by retention or the topic was changed; restore a snapshot that is newer than it", "offset %d of %s/%d was decided before but reservation-results has no decision on it", r.Offset, r.Topic, r.Partition)
		}
		t.folder.Standing(s, event, d.result, i)
		f.counts.skipped++
		return nil
	}
	result, again := t.folder.Reservation(s, event, next.Version(), i)
	switch {
	case again:
		f.counts.repeated++
	case result.Outcome == availability.Rejected:
		f.counts.rejected++
	case result.Outcome == availability.Partial:
		f.counts.partial++
	default:
		f.counts.accepted++
	}
	answer := &b.answers[number]
	if answer.record == nil { // of a replay without the guard
		return nil
	}
	t.shared.writer.Result(answer.record, &b.arena, &topics.Decision{
		Source: topics.SourceAt(r), After: answer.after, RequestID: event.RequestID, ReservationID: event.ReservationID, SKU: event.SKU, Action: event.Action, Result: result,
	}, instantOf(f.now))
	return nil
}

// finish gathers what the batch changed of a SKU. During a replay it is owed: it is published when that is over.
func (f *folded) finish(s *availability.Stock, next *availability.Checkpoint) {
	b := f.batch
	changes, data, wrote := f.task.folder.Finish(s, b.changes[:0])
	b.changes = changes[:0]
	defer clear(changes) // here, not all that there is room for when the batch is released: one SKU may once have had thousands
	data.FuturesDue = f.task.indexed(data.FuturesDue)
	if wrote {
		f.commit.Stocks = append(f.commit.Stocks, data)
	}
	if f.below != nil {
		f.commit.OwedAdded = append(f.commit.OwedAdded, s.SKU)
		return
	}
	for i := range changes {
		f.update(&changes[i], next)
	}
}

// idle takes what is not due after all out of the index of futures.
func (f *folded) idle() {
	for _, d := range f.batch.idle {
		f.commit.Stocks = append(f.commit.Stocks, availability.StockData{
			SKU: d.SKU, Exists: true, FuturesDue: []availability.FutureDue{{Location: d.Location, At: d.At, Removed: true}},
		})
	}
}

func (f *folded) update(c *availability.Change, next *availability.Checkpoint) {
	from := topics.Provenance{Version: next.Version(), GraphVersion: next.GraphVersion, ComputedAt: instantOf(f.now)}
	if c.Cause >= 0 {
		if r := f.batch.records[c.Cause]; f.cause.record != r {
			f.cause = cause{r, topics.SourceAt(r), topics.TraceOf(r)}
			if f.oldest.IsZero() || r.Timestamp.Before(f.oldest) {
				f.oldest = r.Timestamp
			}
		}
		from.Cause, from.Trace = f.cause.source, f.task.shared.obs.carryOn(f.span, f.cause.trace)
	}
	f.levels++
	f.task.shared.writer.Update(f.output(), &f.batch.arena, &c.After, f.task.number, &from)
}

// output returns an empty record to fill in.
func (f *folded) output() *kgo.Record {
	r := f.batch.record()
	f.outputs = append(f.outputs, r)
	return r
}

func instantOf(t time.Time) availability.Instant { return availability.Instant(t.UnixMicro()) }
