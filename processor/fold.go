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
	outputs []*kgo.Record // carved from the batch's memory, but for dead letters and what is sent on
	cause   cause         // of the update before
	levels  int
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
func (t *task) fold(ctx context.Context, b *batch, below *standing) (*folded, error) {
	next := t.folded
	next.CommitSeq++
	next.CommitID = newCommitID()
	b.rise(&next)
	f := &folded{task: t, batch: b, outputs: b.outputs[:0], commit: &availability.Commit{Expect: t.committer.tail()}}
	if b.adopts != nil {
		f.adopt(b.adopts, &next)
	}
	f.commit.Graphs = append(f.commit.Graphs, t.recalled...)
	f.span, f.end = t.shared.obs.batchSpan(ctx, "process", t.number, b.records)
	defer func() { f.end(nil) }()
	for i := range b.entries {
		if err := t.foldEntry(f, i, &next, below); err != nil {
			return nil, err
		}
		r := b.records[i]
		next.Offsets[t.shared.inputOf(r)] = r.Offset + 1
		next.Newest = max(next.Newest, instantOf(r.Timestamp))
	}
	if len(b.owed) > 0 {
		gone := t.gone() // the replay may have brought the SKU to a newer graph without a word to anyone
		for _, sku := range b.owed {
			if b.aside[sku] != nil {
				continue
			}
			if without.Owed {
				t.use(b, t.stocks.bySKU[sku])
				continue
			}
			t.folder.Touch(t.use(b, t.stocks.bySKU[sku]), gone, -1)
		}
	}
	f.sweep(&next)
	for _, d := range b.expired {
		f.outputs = append(f.outputs, t.shared.ended(d, time.Now()))
	}
	f.finish(&next, below == nil)
	f.commit.IDs, f.commit.DropIDs = t.window.Fresh(), t.window.Expire(next.Newest)
	f.commit.Checkpoint = next
	b.outputs = f.outputs
	if without.Duplicates {
		*t.window = *availability.NewWindow(t.shared.Rules.Window)
	}
	return f, nil
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
	var gone []availability.Place
	if whole {
		gone = t.gone()
	}
	for _, sku := range b.swept {
		if b.aside[sku] != nil {
			continue
		}
		s := t.use(b, t.stocks.bySKU[sku])
		if whole {
			t.folder.Touch(s, gone, -1)
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

// use returns the stock of a SKU, of the newest graph, and notes that the batch touches it.
func (t *task) use(b *batch, h *held) *availability.Stock {
	if h.stock.Begin() {
		b.touched = append(b.touched, h)
		t.stocks.used(h)
		t.folder.Adopt(h.stock, -1)
	}
	return h.stock
}

func (t *task) foldEntry(f *folded, i int, next *availability.Checkpoint, below *standing) error {
	b := f.batch
	e, r := &b.entries[i], b.records[i]
	switch {
	case e.silent:
		f.counts.skipped++
	case e.forward >= 0:
		f.outputs = append(f.outputs, topics.Forward(r, e.forward))
		f.counts.forwarded++
	case e.refusal != nil:
		f.refuse(r, e.refusal)
	case e.delta >= 0:
		d := &b.deltas[e.delta]
		outcome, _ := t.folder.Delta(t.use(b, e.held), d, i)
		f.count(r, d, outcome, below != nil)
	case e.tell >= 0:
		t.instruct(f, i)
	default:
		return t.foldEvent(f, i, next, below)
	}
	return nil
}

func (f *folded) count(r *kgo.Record, d *availability.Delta, outcome availability.Outcome, replayed bool) {
	switch outcome {
	case availability.Applied:
		f.counts.applied++
	case availability.Stale:
		f.counts.stale++
	case availability.Duplicate:
		f.counts.duplicate++
	case availability.UnknownLocation, availability.Overflow:
		if replayed { // the graph has lost the location since, and with it what it held
			f.counts.skipped++
			return
		}
		if outcome == availability.Overflow {
			f.refuse(r, topics.RefuseOverflow(d))
		} else {
			f.refuse(r, topics.RefuseUnknownLocation(d))
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
func (t *task) foldEvent(f *folded, i int, next *availability.Checkpoint, below *standing) error {
	b := f.batch
	r := b.records[i]
	event := &b.events[b.entries[i].event]
	s := t.use(b, b.entries[i].held)
	if below != nil && !without.Decisions {
		d, ok := below.result(r)
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
	t.shared.writer.Result(f.output(), &b.arena, &topics.Decision{
		Source: topics.SourceAt(r), After: next.Offsets[availability.Deltas], RequestID: event.RequestID, ReservationID: event.ReservationID, SKU: event.SKU, Action: event.Action, Result: result,
	}, instantOf(time.Now()))
	return nil
}

// finish gathers what the batch changed. During a replay the SKUs are owed: they are published when it is over.
func (f *folded) finish(next *availability.Checkpoint, publish bool) {
	t := f.task
	var changes []availability.Change
	now := time.Now()
	f.commit.Stocks = make([]availability.StockData, 0, len(f.batch.touched))
	for _, h := range f.batch.touched {
		var data availability.StockData
		var wrote bool
		changes, data, wrote = t.folder.Finish(h.stock, changes[:0])
		data.FuturesDue = t.indexed(data.FuturesDue)
		if wrote {
			f.commit.Stocks = append(f.commit.Stocks, data)
		}
		if !publish {
			f.commit.OwedAdded = append(f.commit.OwedAdded, h.stock.SKU)
			continue
		}
		for i := range changes {
			f.update(&changes[i], next, now)
		}
	}
	for _, d := range f.batch.idle {
		f.commit.Stocks = append(f.commit.Stocks, availability.StockData{
			SKU: d.SKU, Exists: true, FuturesDue: []availability.FutureDue{{Location: d.Location, At: d.At, Removed: true}},
		})
	}
}

func (f *folded) update(c *availability.Change, next *availability.Checkpoint, now time.Time) {
	from := topics.Provenance{Version: next.Version(), GraphVersion: next.GraphVersion, ComputedAt: instantOf(now)}
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
