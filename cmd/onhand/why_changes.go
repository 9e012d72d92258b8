package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// whyChange is a record of an input.
type whyChange struct {
	topics.Source
	Timestamp     schemas.Micros `json:"timestamp"`
	ID            string         `json:"id"`            // recordId or requestId; empty: the record cannot be read
	ReservationID string         `json:"reservationId"` // empty: a stock delta
	Action        string         `json:"action"`        // UPDATE, ADJUST, DELETE, RESERVE, TRANSFER, FULFILL, RELEASE, or onhand's own: drop-overdue, republish
	Place         string         `json:"place"`         // empty: a RELEASE wherever it is
	ToPlace       string         `json:"toPlace"`
	EffectiveDate whyTime        `json:"effectiveDate"` // of a stock delta
	Values        string         `json:"values"`        // what the record carries, as text
	Effect        string         `json:"effect"`        // see the constants
	Granted       schemas.Milli  `json:"granted"`       // of a decision
	Text          string         `json:"text"`          // the effect in words
	DeadLetter    *topics.Source `json:"deadLetter"`
	TraceID       string         `json:"traceId"`

	delta *availability.Delta
	event *availability.ReservationEvent
}

// Effects of a change. Of a stock delta: whether its values are in the number still. A reservation event has the outcome
// of its decision instead: ACCEPTED, PARTIAL or REJECTED.
const (
	effectStands    = "stands"
	effectOvertaken = "overtaken"
	effectRepeat    = "repeat"    // of a record that is listed too
	effectDead      = "dead"      // a dead letter
	effectUndecided = "undecided" // its result is further back than what was looked at
	effectWaiting   = "waiting"   // not yet in the number
	effectUnread    = "unread"    // the record cannot be read
)

// lookBack adds what the topics have: who runs the task, what was published, the last changes and those that wait.
func (a *app) lookBack(ctx context.Context, w *wire, s *whyState, f *whyFlags, report *whyReport) error {
	group, err := w.group(ctx)
	if err != nil {
		return err
	}
	task := &group.Tasks[s.task]
	report.Member = &task.Member
	if task.Member == "" {
		report.note("nobody runs task %d: the number stands still until a processor does, `onhand run`; see `onhand status`", s.task)
	}
	r := &backReader{w: w, partition: s.task, bound: f.back, bar: newProgress(a.err, "looking back", -1)}
	defer r.bar.end()
	report.namespace = w.names.Namespace
	for input, topic := range inputTopics(w) {
		report.Inputs = append(report.Inputs, whyInput{topic, s.at.Offsets[input]})
		if behind := task.Inputs[input].Committed - s.at.Offsets[input]; behind > 0 {
			report.note("Redis trails what is published by %s of %s", plural(int(behind), "record"), topic)
		}
	}
	if err := r.published(ctx, s, report); err != nil || f.changes == 0 {
		return err
	}
	wanted := s.relevance(report.place)
	for input, topic := range inputTopics(w) {
		if err := r.changes(ctx, s, topic, s.at.Offsets[input], f.changes, wanted, report); err != nil {
			return err
		}
		if err := r.waiting(ctx, s, topic, s.at.Offsets[input], f.changes, wanted, report); err != nil {
			return err
		}
	}
	report.Changes = newestChanges(report.Changes, f.changes)
	report.Waiting = oldestChanges(report.Waiting, f.changes)
	if err := r.decisions(ctx, report); err != nil {
		return err
	}
	if err := r.deadLetters(ctx, report); err != nil {
		return err
	}
	report.settleEffects(s, w.config.DedupeWindow)
	return nil
}

func inputTopics(w *wire) [availability.Inputs]string {
	return [availability.Inputs]string{availability.Deltas: w.names.StockDeltas, availability.Events: w.names.ReservationEvents}
}

// relevance returns whether a change has to do with a place. A location: those that name it. A group: those that name one of
// its members, or it, or a group that is connected with it through shared locations, whose promises can take from it. Of a
// RELEASE that names no place nobody knows. Without a place: all.
func (s *whyState) relevance(p availability.Place) func(*whyChange) bool {
	if p.Type == availability.NoPlace {
		return func(*whyChange) bool { return true }
	}
	places := map[string]bool{p.ID: true}
	if p.Type == availability.GroupPlace {
		s.addConnected(places, p.ID)
	}
	return func(c *whyChange) bool {
		return c.Place == "" || places[c.Place] || places[c.ToPlace]
	}
}

// addConnected adds the members of a group, and the groups that are connected with it.
func (s *whyState) addConnected(places map[string]bool, id string) {
	reached := make(map[availability.LocationID]bool)
	reach := func(g *availability.GroupSpec) {
		places[string(g.ID)] = true
		for _, l := range g.Locations {
			reached[l] = s.counts[l]
		}
	}
	for i := range s.spec.Groups {
		if g := &s.spec.Groups[i]; string(g.ID) == id {
			reach(g)
			for _, l := range g.Locations {
				places[string(l)] = true
			}
		}
	}
	for before := 0; before < len(places); {
		before = len(places)
		for i := range s.spec.Groups {
			g := &s.spec.Groups[i]
			if g.Enabled && g.Sync && !places[string(g.ID)] && slices.ContainsFunc(g.Locations, func(l availability.LocationID) bool { return reached[l] }) {
				reach(g)
			}
		}
	}
}

// changes lists the newest records of the SKU before an offset.
func (r *backReader) changes(ctx context.Context, s *whyState, topic string, end int64, n int, wanted func(*whyChange) bool, report *whyReport) error {
	var list, stretch []whyChange
	looked, err := r.back(ctx, topic, end, func(rec *kgo.Record) error {
		c, ok, err := r.change(ctx, s, rec, wanted)
		if ok {
			if stretch = append(stretch, c); len(stretch) > 2*n {
				stretch = slices.Delete(stretch, 0, len(stretch)-n)
			}
		}
		return err
	}, func() bool {
		list = append(stretch, list...)
		list = list[max(0, len(list)-n):]
		stretch = nil
		return len(list) == n
	})
	report.Changes = append(report.Changes, list...)
	report.LookedAt = append(report.LookedAt, looked)
	return err
}

// waiting lists the oldest records of the SKU from an offset on, and counts all, up to the end of what is visible.
func (r *backReader) waiting(ctx context.Context, s *whyState, topic string, from int64, n int, wanted func(*whyChange) bool, report *whyReport) error {
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	admin := kadm.NewClient(r.w.client)
	ends, err := admin.ListCommittedOffsets(asking, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return explainKafka(r.w.config, fmt.Errorf("asking for the end of %s: %w", topic, err))
	}
	last, _ := ends.Lookup(topic, r.partition)
	start, end, _, err := r.bounds(ctx, topic, last.Offset)
	if err != nil {
		return err
	}
	if from > end {
		report.note("%s ends at %d, and %s were folded of it: it is not the log that Redis is of; see `onhand status`", topic, end, plural(int(from), "record"))
	}
	if start > from {
		report.note("%s begins at %d, and task %d has come to %d: records were deleted before they were in any number; see `onhand status`", topic, start, r.partition, from)
	}
	to := last.Offset
	if r.bound.records > 0 && to-from > r.bound.records {
		to = from + r.bound.records
		report.note("%s of %s are not in the number; the first %d were looked at for this SKU", plural(int(last.Offset-from), "record"), topic, r.bound.records)
	}
	if from >= to {
		return nil
	}
	listed := 0
	_, err = r.stretch(ctx, topic, span{from, to}, func(rec *kgo.Record) error {
		c, ok, err := r.change(ctx, s, rec, wanted)
		if ok {
			c.Effect, c.Text = effectWaiting, "not yet in the number"
			if report.WaitingCount++; listed < n {
				listed++
				report.Waiting = append(report.Waiting, c)
			}
		}
		return err
	})
	return err
}

// change reads a record of an input; not ok: it is of another SKU, or has nothing to do with the place.
func (r *backReader) change(ctx context.Context, s *whyState, rec *kgo.Record, wanted func(*whyChange) bool) (c whyChange, ok bool, err error) {
	if string(rec.Key) != string(s.sku) {
		return c, false, nil
	}
	c = whyChange{Source: topics.SourceAt(rec), Timestamp: schemas.MicrosOf(rec.Timestamp), TraceID: traceID(topics.TraceOf(rec))}
	switch {
	case rec.Topic == r.w.names.StockDeltas && topics.Instructs(rec):
		var i topics.Instruction
		if err = r.w.reader.Instruction(rec, &i); err == nil {
			c.takeInstruction(&i)
		}
	case rec.Topic == r.w.names.StockDeltas:
		d := &availability.Delta{}
		if err = r.w.reader.Delta(ctx, rec, d); err == nil {
			c.takeDelta(d)
		}
	default:
		e := &availability.ReservationEvent{}
		if err = r.w.reader.Event(ctx, rec, e); err == nil {
			c.takeEvent(e)
		}
	}
	if isRefusal(err) {
		c.Effect, c.Text = effectUnread, err.Error()
		return c, true, nil
	}
	return c, err == nil && wanted(&c), explainRegistry(r.w.config, err)
}

// decisions finds the results of the reservation events that are listed.
func (r *backReader) decisions(ctx context.Context, report *whyReport) error {
	_, open := report.wanted(func(c *whyChange) bool { return c.event != nil })
	if len(open) == 0 {
		return nil
	}
	looked, err := r.back(ctx, r.w.names.ReservationResults, toTheEnd, func(rec *kgo.Record) error {
		if string(rec.Key) != report.SKU {
			return nil
		}
		var d topics.Decision
		if err := r.w.reader.Result(ctx, rec, &d); err != nil {
			if isRefusal(err) {
				return nil // another writer's
			}
			return explainRegistry(r.w.config, err)
		}
		if c := open[d.Source]; c != nil {
			c.decide(&d.Result)
			delete(open, d.Source)
		}
		return nil
	}, func() bool { return len(open) == 0 })
	report.LookedAt = append(report.LookedAt, looked)
	return err
}

// deadLetters finds the changes listed that were refused. Dead letters stand in the order of their records, by topic, so that
// one of any SKU that came before says that there are no more.
func (r *backReader) deadLetters(ctx context.Context, report *whyReport) error {
	first, open := report.wanted(func(*whyChange) bool { return true })
	if len(open) == 0 {
		return nil
	}
	replayed := make(map[int64]bool) // of the SKU alone
	looked, err := r.back(ctx, r.w.names.DeadLetters, toTheEnd, func(rec *kgo.Record) error {
		if of, ok := replayMarkOf(rec); ok {
			if string(rec.Key) == report.SKU {
				replayed[of] = true
			}
			return nil
		}
		dead, err := topics.ReadDead(rec)
		if errors.Is(err, topics.ErrNoSource) {
			return nil // another writer's
		}
		if err != nil {
			return err
		}
		if c := open[dead.Source]; c != nil {
			at := topics.SourceAt(rec)
			c.Effect, c.DeadLetter = effectDead, &at
			c.Text = fmt.Sprintf("refused, dead letter %d/%d: %s", at.Partition, at.Offset, dead.Code)
		}
		if dead.Source.Offset <= first[dead.Source.Topic] {
			delete(first, dead.Source.Topic)
		}
		return nil
	}, func() bool { return len(first) == 0 })
	for _, c := range open { // order-free: each is changed for itself
		if c.DeadLetter != nil && replayed[c.DeadLetter.Offset] {
			c.Text += ", replayed since"
		}
	}
	report.LookedAt = append(report.LookedAt, looked)
	return err
}

// wanted returns the changes listed that a function says true of, by where they stand, and the first offset of each topic.
func (r *whyReport) wanted(is func(*whyChange) bool) (first map[string]int64, open map[topics.Source]*whyChange) {
	first, open = make(map[string]int64), make(map[topics.Source]*whyChange)
	for i := range r.Changes {
		c := &r.Changes[i]
		if !is(c) {
			continue
		}
		open[c.Source] = c
		if offset, ok := first[c.Topic]; !ok || c.Offset < offset {
			first[c.Topic] = c.Offset
		}
	}
	return first, open
}

func compareChanges(a, b whyChange) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(b.Topic, a.Topic), cmp.Compare(a.Offset, b.Offset))
}

// newestChanges are the last n by time, in order.
func newestChanges(list []whyChange, n int) []whyChange {
	slices.SortStableFunc(list, compareChanges)
	return list[max(0, len(list)-n):]
}

// oldestChanges are the first n by time, in order.
func oldestChanges(list []whyChange, n int) []whyChange {
	slices.SortStableFunc(list, compareChanges)
	return list[:min(len(list), n)]
}
