package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// batch is what a task folds in one go: records in the order of folding, and what each says.
type batch struct {
	reader   *topics.Reader
	readerOf *topics.Reader // what reader is a clone of
	records  []*kgo.Record
	entries  []entry
	deltas   []availability.Delta
	events   []availability.ReservationEvent
	tells    []topics.Instruction
	answers  []answer // to events, by number

	touched []*held            // in the order of first touch
	owed    []availability.SKU // published whatever has changed
	swept   []availability.SKU // brought to the newest graph
	sweeps  bool               // the cursor moves, to:
	cursor  int64
	expired []availability.Due // released, or dropped
	idle    []availability.Due // futures in the index that are not to be dropped
	whole   map[availability.SKU]bool
	aside   map[availability.SKU]error // SKUs that cannot be read, and why
	adopts  *published                 // graph to take over with this batch

	arena   topics.Arena // memory of the outputs
	chunks  [][]kgo.Record
	used    int           // records of the chunks
	outputs []*kgo.Record // room for the list of them
	changes []availability.Change
	ahead   []availability.Ahead // stocks that are fetched together
}

// outputsChunk is how many records are made room for at once.
const outputsChunk = 256

// record returns an empty record of the batch's memory.
func (b *batch) record() *kgo.Record {
	if b.used == len(b.chunks)*outputsChunk {
		b.chunks = append(b.chunks, make([]kgo.Record, outputsChunk))
	}
	r := &b.chunks[b.used/outputsChunk][b.used%outputsChunk]
	b.used++
	return r
}

// entry is what a record turned out to be. Exactly one of the fields but record says it.
type entry struct {
	delta   int32 // index in deltas, or -1
	tell    int32 // index in tells, or -1
	event   int32 // index in events, or -1
	forward int32 // partition that the record belongs to, or -1
	next    int32 // the next of its SKU, once they are arranged; -1: none
	refusal *topics.Refusal
	held    *held // the SKU of delta, event or instruction, once it is loaded
	silent  bool  // stands in dead-letters or was sent on already: nothing to do
}

// answer is what the result of an event needs of the order of the records: its place among the outputs, and the next offset
// of the deltas when it was met.
type answer struct {
	record *kgo.Record
	after  int64
}

// enter makes the SKU one that the batch touches.
func (b *batch) enter(h *held) *held {
	if !h.entered {
		h.entered, h.first, h.last = true, -1, -1
		b.touched = append(b.touched, h)
	}
	return h
}

// touch adds an entry to those of its SKU.
func (b *batch) touch(h *held, i int32) {
	if b.enter(h); h.last < 0 {
		h.first = i
	} else {
		b.entries[h.last].next = i
	}
	h.last, b.entries[i].next = i, -1
}

// leave returns the first of the SKU's entries, -1 if there is none, and whether all its levels are to be published. The
// next batch may touch it.
func (h *held) leave() (first int32, everything bool) {
	first, everything = h.first, h.everything
	h.entered, h.everything = false, false
	return first, everything
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(reader *topics.Reader) *batch {
	b := batches.Get().(*batch)
	if b.readerOf != reader {
		b.reader, b.readerOf = reader.Clone(), reader
	}
	b.records, b.entries, b.deltas, b.events = b.records[:0], b.entries[:0], b.deltas[:0], b.events[:0]
	b.tells, b.answers = b.tells[:0], b.answers[:0]
	b.touched, b.owed, b.adopts, b.whole, b.aside = b.touched[:0], nil, nil, nil, nil
	b.swept, b.sweeps, b.expired, b.idle = nil, false, nil, nil
	return b
}

// release gives the batch's memory back. What was produced of it is acknowledged, or given up.
func (b *batch) release() {
	b.arena.Reset()
	for i := range b.used {
		b.chunks[i/outputsChunk][i%outputsChunk] = kgo.Record{}
	}
	b.used = 0
	clear(b.outputs)
	clear(b.records)
	clear(b.touched)
	clear(b.entries)
	clear(b.deltas)
	clear(b.events)
	clear(b.tells)
	clear(b.answers)
	batches.Put(b)
}

// prepare decodes records and loads what they need. A record whose schema cannot be asked for ends the batch before it;
// the error is then nil unless nothing is left.
func (t *task) prepare(ctx context.Context, records []*kgo.Record, below *standing) (*batch, error) {
	b := newBatch(t.shared.reader)
	ctx, end := t.shared.obs.batchSpan(ctx, "load", t.number, nil)
	err := t.prepareInto(ctx, b, records, below)
	end(err)
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

func (t *task) prepareInto(ctx context.Context, b *batch, records []*kgo.Record, below *standing) error {
	for _, r := range records {
		e, err := t.decode(ctx, b, r, below)
		if err != nil && len(b.records) == 0 {
			return err
		} else if err != nil {
			break
		}
		b.records, b.entries = append(b.records, r), append(b.entries, e)
	}
	if err := t.ready(ctx, b, below == nil); err != nil {
		return err
	}
	b.refuseAside(below != nil)
	return nil
}

// ready takes over the newest graph and loads what the batch needs. Before a location is called unknown, the graphs have
// been read to their current end. A task that has recovered and owes nothing goes on with its sweep and its expiries.
func (t *task) ready(ctx context.Context, b *batch, quiet bool) error {
	if t.unknownLocation(b) {
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := t.shared.graphs.sync(wait); err != nil {
			return err
		}
	}
	if b.adopts = t.newer(); b.adopts != nil {
		t.folder.SetGraph(b.adopts.graph)
	} else if quiet {
		if err := t.prepareOwn(ctx, b); err != nil {
			return err
		}
	}
	return t.load(ctx, b)
}

// decode reads one record. Below the committed offset nothing is refused or sent on again: what stands in dead-letters is
// passed over, and so is what was in the wrong partition.
func (t *task) decode(ctx context.Context, b *batch, r *kgo.Record, below *standing) (entry, error) {
	e := entry{delta: -1, event: -1, tell: -1, forward: -1}
	if below != nil && below.dead(r) && !without.Letters {
		e.silent = true
		return e, nil
	}
	if refusal, unread := refuseUnread(r); unread {
		e.refusal = refusal
		return e, nil
	}
	var err error
	if to, misplaced := b.reader.Misplaced(r); misplaced {
		e.forward, e.silent = to, below != nil
		return e, nil
	}
	switch {
	case t.shared.inputOf(r) == availability.Events:
		b.events = append(b.events, availability.ReservationEvent{})
		e.event = int32(len(b.events) - 1)
		err = b.reader.Event(ctx, r, &b.events[e.event])
	case topics.Instructs(r):
		b.tells = append(b.tells, topics.Instruction{})
		e.tell = int32(len(b.tells) - 1)
		err = b.reader.Instruction(r, &b.tells[e.tell])
	default:
		b.deltas = append(b.deltas, availability.Delta{})
		e.delta = int32(len(b.deltas) - 1)
		err = b.reader.Delta(ctx, r, &b.deltas[e.delta])
	}
	if err = t.patient(r, err); err == nil {
		return e, nil
	}
	if !errors.As(err, &e.refusal) {
		return e, err
	}
	b.unread(&e)
	e.silent = below != nil
	return e, nil
}

// unread takes back what was made room for to decode a record that is none.
func (b *batch) unread(e *entry) {
	switch {
	case e.delta >= 0:
		b.deltas = b.deltas[:e.delta]
	case e.event >= 0:
		b.events = b.events[:e.event]
	default:
		b.tells = b.tells[:e.tell]
	}
	e.delta, e.event, e.tell = -1, -1, -1
}

// patient waits for a registry that cannot be asked up to the configured limit; then the schema is called unknown.
func (t *task) patient(r *kgo.Record, err error) error {
	var refusal *topics.Refusal
	if err == nil || errors.As(err, &refusal) {
		t.registryAsked = time.Time{}
		return err
	}
	if t.registryAsked.IsZero() {
		t.registryAsked = time.Now()
	}
	if waited := time.Since(t.registryAsked); waited > t.shared.RegistryWait {
		t.registryAsked = time.Time{}
		return topics.RefuseUnavailable(fmt.Errorf("the registry could not be asked for %s: %w", waited.Round(time.Second), err))
	}
	return fmt.Errorf("decoding offset %d of %s/%d: %w", r.Offset, r.Topic, r.Partition, err)
}

// unknownLocation says whether a delta names a location that the newest graph read so far does not have.
func (t *task) unknownLocation(b *batch) bool {
	g := t.shared.graphs.newest.Load().graph
	for i := range b.deltas {
		if _, stock := g.Location(b.deltas[i].Location); !stock {
			return true
		}
	}
	return false
}

// prepareOwed readies a batch of no records that publishes SKUs whatever has changed.
func (t *task) prepareOwed(ctx context.Context, skus []availability.SKU) (*batch, error) {
	b := newBatch(t.shared.reader)
	b.owed = skus
	if err := t.ready(ctx, b, false); err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

// prepareOwn adds to a batch what the task does by itself.
func (t *task) prepareOwn(ctx context.Context, b *batch) error {
	if t.sweepDue(time.Now()) {
		if err := t.prepareSweep(ctx, b); err != nil {
			return err
		}
	}
	return t.prepareExpired(ctx, b)
}

// nothing says whether publishing the batch would change nothing.
func (b *batch) nothing() bool {
	return len(b.records) == 0 && len(b.owed) == 0 && b.adopts == nil && !b.sweeps && len(b.expired)+len(b.idle) == 0
}
