package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// recount works out levels from the whole log in the plainest way there is: from all records at once, with none of the
// arithmetic of the processor.
type recount struct {
	graph   *schemas.LocationGraph
	deltas  []schemas.StockDelta
	events  map[topics.Source]availability.ReservationEvent
	results map[topics.Source]availability.Result
	folded  map[string]map[int32]int64 // offset after the last record read, by input topic and partition
}

// recountPlace is a SKU at a place.
type recountPlace struct{ sku, place string }

// recountLevel is what a recount knows of a level.
type recountLevel struct{ onHand, reserved, atf, ato schemas.Milli }

// readRecount reads the inputs and results of a namespace to the ends that they have at the call.
func readRecount(ctx context.Context, t *testing.T, c *Config) *recount {
	t.Helper()
	a := &app{err: t.Output(), out: t.Output()}
	w, err := a.connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	graph, err := w.graph(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &recount{graph: &graph.record, events: map[topics.Source]availability.ReservationEvent{},
		results: map[topics.Source]availability.Result{}, folded: map[string]map[int32]int64{}}
	decoder := newDecoder(w.registry)
	read := func(topic string, take func(*kgo.Record) error) {
		r.folded[topic] = map[int32]int64{}
		for partition := range w.partitions {
			err := readToEnd(ctx, c, w.log, topic, partition, func(rec *kgo.Record) error {
				r.folded[topic][partition] = rec.Offset + 1
				return take(rec)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	read(w.names.StockDeltas, func(rec *kgo.Record) error {
		if topics.Instructs(rec) {
			return fmt.Errorf("an instruction, %v, where futures are kept and nobody repairs", rec.Headers)
		}
		var d schemas.StockDelta
		err := decoder.DecodeStockDelta(ctx, rec.Value, &d)
		r.deltas = append(r.deltas, d)
		return err
	})
	read(w.names.ReservationEvents, func(rec *kgo.Record) error {
		var e availability.ReservationEvent
		err := w.reader.Event(ctx, rec, &e)
		r.events[topics.SourceAt(rec)] = e
		return err
	})
	read(w.names.ReservationResults, func(rec *kgo.Record) error {
		var d topics.Decision
		err := w.reader.Result(ctx, rec, &d)
		r.results[d.Source] = d.Result
		return err
	})
	return r
}

// levels returns every level that the records lead to.
func (r *recount) levels() map[recountPlace]recountLevel {
	var skus []string
	for i := range r.deltas {
		if !slices.Contains(skus, r.deltas[i].SKU) {
			skus = append(skus, r.deltas[i].SKU)
		}
	}
	levels := map[recountPlace]recountLevel{}
	for _, sku := range skus {
		r.ofSKU(sku, levels)
	}
	return levels
}

func (r *recount) ofSKU(sku string, levels map[recountPlace]recountLevel) {
	held := r.held(sku)
	for _, l := range r.graph.Locations {
		location := l.ExternalReference
		onHand, safety, futures, known := r.stock(sku, location)
		if !known {
			continue
		}
		free := onHand - held[location] - safety
		levels[recountPlace{sku, location}] = recountLevel{onHand, held[location], max(0, free), max(0, free+futures)}
	}
	for _, g := range r.graph.Groups {
		var level recountLevel
		for _, l := range g.Locations {
			level.onHand += levels[recountPlace{sku, l}].onHand
		}
		level.atf = r.left(sku, g.ExternalReference, held, levels, func(l recountLevel) schemas.Milli { return l.atf })
		level.ato = r.left(sku, g.ExternalReference, held, levels, func(l recountLevel) schemas.Milli { return l.ato })
		levels[recountPlace{sku, g.ExternalReference}] = level
	}
}

// stock is the newest count and every movement that is not older than it; the newest safety stock and futures.
func (r *recount) stock(sku, location string) (onHand, safety, futures schemas.Milli, known bool) {
	var counted, safe, announced schemas.Micros
	for i := range r.deltas {
		d := &r.deltas[i]
		if d.SKU != sku || d.Location != location || d.Mode != schemas.ModeUpdate {
			continue
		}
		known = true
		if d.OnHand.Valid && d.EffectiveDate.Value >= counted {
			onHand, counted = d.OnHand.Value, d.EffectiveDate.Value
		}
		if d.SafetyStockCount.Valid && d.EffectiveDate.Value >= safe {
			safety, safe = d.SafetyStockCount.Value, d.EffectiveDate.Value
		}
		if d.Futures.Valid && d.EffectiveDate.Value >= announced {
			futures, announced = 0, d.EffectiveDate.Value
			for _, f := range d.Futures.Value {
				futures += f.Quantity
			}
		}
	}
	for i := range r.deltas {
		if d := &r.deltas[i]; d.SKU == sku && d.Location == location && d.Mode == schemas.ModeAdjust && d.EffectiveDate.Value >= counted {
			onHand += d.OnHand.Value
		}
	}
	for source, e := range r.events {
		if string(e.SKU) == sku && string(e.Location) == location && e.Action == availability.Fulfill && schemas.Micros(e.EventAt) >= counted {
			onHand -= schemas.Milli(r.results[source].Granted)
		}
	}
	return onHand, safety, futures, known
}

// held is what reservations hold at each location and group: what was granted there, less what left.
func (r *recount) held(sku string) map[string]schemas.Milli {
	held := map[string]schemas.Milli{}
	at := map[string]string{} // place of each order; every order of the sample has one at a time
	for _, e := range r.inOrder(sku) {
		granted := schemas.Milli(r.results[e.source].Granted)
		from := string(e.event.Location) + string(e.event.Group)
		if from == "" {
			from = at[e.event.ReservationID]
		}
		switch e.event.Action {
		case availability.Reserve:
			held[from] += granted
			at[e.event.ReservationID] = from
		case availability.Transfer:
			if granted > 0 {
				to := string(e.event.ToLocation) + string(e.event.ToGroup)
				held[from], held[to] = held[from]-granted, held[to]+granted
				at[e.event.ReservationID] = to
			}
		case availability.Fulfill, availability.Release:
			held[from] -= granted
		}
	}
	return held
}

type recountEvent struct {
	source topics.Source
	event  availability.ReservationEvent
}

func (r *recount) inOrder(sku string) []recountEvent {
	var events []recountEvent
	for source, e := range r.events {
		if string(e.SKU) == sku {
			events = append(events, recountEvent{source, e})
		}
	}
	slices.SortFunc(events, func(a, b recountEvent) int { return int(a.source.Offset - b.source.Offset) })
	return events
}

// left is what can still be promised at a group: over every set of groups with it, what the union of their locations has,
// less all that the set has promised; the least of these, and not below zero.
func (r *recount) left(sku, group string, held map[string]schemas.Milli, levels map[recountPlace]recountLevel, of func(recountLevel) schemas.Milli) schemas.Milli {
	least := schemas.MilliMax
	for set := range 1 << len(r.graph.Groups) {
		locations, promised, with := map[string]bool{}, schemas.Milli(0), false
		for i, g := range r.graph.Groups {
			if set>>i&1 == 0 {
				continue
			}
			with = with || g.ExternalReference == group
			promised += held[g.ExternalReference]
			for _, l := range g.Locations {
				locations[l] = true
			}
		}
		free := -promised
		for l := range locations {
			free += of(levels[recountPlace{sku, l}])
		}
		if with {
			least = min(least, free)
		}
	}
	return max(0, least)
}

// differences says where levels as published differ from the recount, one line each. A group's reserved is not recounted.
func (r *recount) differences(have map[recountPlace]availability.Level) []string {
	want := r.levels()
	var lines []string
	for at, w := range want {
		h, ok := have[at]
		got := recountLevel{schemas.Milli(h.OnHand), schemas.Milli(h.Reserved), schemas.Milli(h.ATF), schemas.Milli(h.ATO)}
		if h.Place.Type == availability.GroupPlace {
			got.reserved = 0
		}
		if !ok || got != w {
			lines = append(lines, fmt.Sprintf("%s at %s is %+v, want %+v", at.sku, at.place, got, w))
		}
	}
	for at := range have {
		if _, ok := want[at]; !ok {
			lines = append(lines, fmt.Sprintf("%s at %s is there and should not", at.sku, at.place))
		}
	}
	slices.Sort(lines)
	return lines
}

func shortList(lines []string) string {
	if len(lines) > 10 {
		lines = append(lines[:10:10], fmt.Sprintf("and %d more", len(lines)-10))
	}
	return strings.Join(lines, "\n")
}

// awaitEqual asks again and again until there is no difference. It fails with the last ones after a while.
func awaitEqual(ctx context.Context, t *testing.T, what string, differences func() []string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		lines := differences()
		if len(lines) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s differ:\n%s", what, shortList(lines))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}
