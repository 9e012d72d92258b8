package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// devWatch follows the topics of a namespace as a storefront cache would, read committed, and puts what they say on a
// board. It also reads the inputs, results and dead letters, to tell who moved what.
type devWatch struct {
	board    *devBoard
	names    topics.Names
	decoder  *schemas.Decoder
	reader   *topics.Reader
	client   *kgo.Client
	news     map[string]map[int32]int64   // first offset of availability-updates that is no history
	behind   map[int32]int64              // the same, of partitions whose history is not read yet
	caughtUp chan struct{}                // closed when all history is on the board
	answered func(*topics.Decision)       // told every result
	graph    func(*schemas.LocationGraph) // told every graph published

	delta schemas.StockDelta
}

// newDevWatch returns a watch that reads availability-updates from its start, and all else from what is written next.
func newDevWatch(ctx context.Context, o devWatchOptions) (*devWatch, error) {
	w := &devWatch{board: o.board, names: o.names, decoder: o.decoder, answered: o.answered, graph: o.graph,
		reader: topics.NewReader(o.decoder, topics.Options{}), news: map[string]map[int32]int64{}, behind: map[int32]int64{}, caughtUp: make(chan struct{})}
	ends, err := o.admin.ListEndOffsets(ctx, o.names.StockDeltas, o.names.ReservationEvents, o.names.AvailabilityUpdates,
		o.names.ReservationResults, o.names.DeadLetters, o.names.LocationGraph)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking where the topics end: %w", err)
	}
	from := map[string]map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		if from[end.Topic] == nil {
			from[end.Topic], w.news[end.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		w.news[end.Topic][end.Partition] = end.Offset
		from[end.Topic][end.Partition] = kgo.NewOffset().At(end.Offset)
		if end.Topic == o.names.AvailabilityUpdates {
			from[end.Topic][end.Partition] = kgo.NewOffset().AtStart()
			if end.Offset > 0 {
				w.behind[end.Partition] = end.Offset
			}
		}
	})
	if len(w.behind) == 0 {
		close(w.caughtUp)
	}
	w.client, err = kgo.NewClient(append(o.client, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record of the history is one
		kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("following the topics: %w", err)
	}
	return w, nil
}

// devWatchOptions are what a devWatch needs.
type devWatchOptions struct {
	board    *devBoard
	names    topics.Names
	decoder  *schemas.Decoder
	admin    *kadm.Client
	client   []kgo.Opt
	answered func(*topics.Decision)
	graph    func(*schemas.LocationGraph)
}

// run follows the topics until the context ends.
func (w *devWatch) run(ctx context.Context) error {
	defer w.close()
	for {
		fetches := w.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		_ = readError(w.client, fetches) // each error is looked at below
		if unread := unreadable(fetches); unread != nil {
			w.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{unread.Topic: {unread.Partition: {Epoch: -1, Offset: unread.NextOffset}}})
		}
		for _, e := range fetches.Errors() {
			var moved *kgo.ErrDataLoss // the client goes on where the log has something
			var unread *kgo.ErrDecompressTooLarge
			if !errors.As(e.Err, &moved) && !errors.As(e.Err, &unread) && !errors.Is(e.Err, topics.ErrInflated) {
				return fmt.Errorf("following %s/%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		now := time.Now()
		// Inputs first: what they moved may have come with them.
		for _, topic := range w.names.All() {
			fetches.EachTopic(func(t kgo.FetchTopic) {
				if t.Topic == topic {
					t.EachRecord(func(r *kgo.Record) {
						if !r.Attrs.IsControl() {
							w.take(ctx, r, now)
						}
						w.passed(r)
					})
				}
			})
		}
	}
}

func (w *devWatch) close() { w.client.Close() }

// passed notes how far the history has been read.
func (w *devWatch) passed(r *kgo.Record) {
	end, ok := w.behind[r.Partition]
	if !ok || r.Topic != w.names.AvailabilityUpdates || r.Offset+1 < end {
		return
	}
	if delete(w.behind, r.Partition); len(w.behind) == 0 {
		close(w.caughtUp)
	}
}

// take puts one record on the board. One that cannot be read is the processor's to judge: it becomes a dead letter.
func (w *devWatch) take(ctx context.Context, r *kgo.Record, now time.Time) {
	switch r.Topic {
	case w.names.StockDeltas:
		if w.decoder.DecodeStockDelta(ctx, r.Value, &w.delta) == nil {
			w.board.input(topics.SourceAt(r).String(), deltaEvent(&w.delta, r.Timestamp), now)
		}
	case w.names.ReservationEvents:
		var e availability.ReservationEvent
		if w.reader.Event(ctx, r, &e) == nil {
			w.board.input(topics.SourceAt(r).String(), reservationEvent(&e, r.Timestamp), now)
		}
	case w.names.AvailabilityUpdates:
		w.update(ctx, r, now)
	case w.names.ReservationResults:
		var d topics.Decision
		if w.reader.Result(ctx, r, &d) != nil {
			return
		}
		if d.Result.Outcome != availability.Accepted {
			w.board.refused(d.Source.String(), refusedText(&d), now)
		}
		w.answered(&d)
	case w.names.LocationGraph:
		if _, g, err := w.reader.Graph(ctx, r); err == nil {
			w.graph(&g)
		}
	case w.names.DeadLetters:
		if dead, err := topics.ReadDead(r); err == nil {
			w.board.deadLetter(dead.Source.String(), fmt.Sprintf("dead letter %s: %s", dead.Code, dead.Message), now)
		}
	}
}

func (w *devWatch) update(ctx context.Context, r *kgo.Record, now time.Time) {
	var level availability.Level
	var from topics.Provenance
	if w.reader.Update(ctx, r, &level, &from) != nil {
		return
	}
	cause := ""
	if r.Offset >= w.news[r.Topic][r.Partition] && from.Cause.Topic != "" {
		cause = from.Cause.String()
	}
	w.board.update(string(level.SKU), devLevel{place: level.Place.ID, group: level.Place.Type == availability.GroupPlace,
		onHand: level.OnHand, atf: level.ATF, ato: level.ATO, reserved: level.Reserved, version: from.Version},
		level.Present, cause, now)
}

// deltaEvent tells a stock delta in a few words. The simulator says in externalRefId what it meant; of other events only
// the mode is known.
func deltaEvent(d *schemas.StockDelta, at time.Time) devEvent {
	e := devEvent{at: at, kind: d.Mode.String(), sku: d.SKU, place: d.Location, foreign: true}
	if kind, ok := simKind(d.ExternalRefID.Value); ok {
		e.kind, e.foreign = kind, false
	}
	switch {
	case d.Mode == schemas.ModeAdjust:
		e.amount = signed(d.OnHand.Value)
	case d.OnHand.Valid:
		e.amount = d.OnHand.Value.String()
	case d.Futures.Valid:
		var sum schemas.Milli
		for _, f := range d.Futures.Value {
			sum += f.Quantity
		}
		e.amount = sum.String() + " to come"
	}
	return e
}

// simKind is what the simulator calls an event of its own.
func simKind(reference string) (kind string, ok bool) {
	rest, ok := strings.CutPrefix(reference, simReference)
	kind, _, numbered := strings.Cut(rest, "/")
	return strings.ToUpper(kind), ok && numbered
}

// signed is the quantity with its sign, a proper minus among them.
func signed(q schemas.Milli) string {
	if q < 0 {
		return "−" + strings.TrimPrefix(q.String(), "-")
	}
	return "+" + q.String()
}

func reservationEvent(e *availability.ReservationEvent, at time.Time) devEvent {
	_, own := simKind(e.ExternalRefID)
	event := devEvent{at: at, kind: schemas.Action(e.Action).String(), sku: string(e.SKU), place: string(e.Location) + string(e.Group), foreign: !own}
	if e.HasQuantity {
		event.amount = e.Quantity.String()
	}
	if to := string(e.ToLocation) + string(e.ToGroup); to != "" {
		event.place += " to " + to
	}
	if strings.HasPrefix(e.RequestID, expiryPrefix) {
		event.kind, event.foreign = "EXPIRE", !strings.HasPrefix(e.ReservationID, simIDPrefix)
	}
	return event
}

// expiryPrefix begins the requestId of a release that the processor asks for when a reservation expires.
const expiryPrefix = "expire:"

func refusedText(d *topics.Decision) string {
	if d.Result.Outcome == availability.Partial {
		return fmt.Sprintf("granted %s of %s", d.Result.Granted, d.Result.Requested)
	}
	text := "refused: " + d.Result.ErrorCode
	if len(d.Result.TightGroups) > 0 {
		groups := make([]string, len(d.Result.TightGroups))
		for i, g := range d.Result.TightGroups {
			groups[i] = string(g)
		}
		text += ", promised by " + strings.Join(groups, ", ")
	}
	return text
}
