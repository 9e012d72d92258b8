package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"onhand/processor/availability"
)

// load brings the stocks that the batch needs into memory, in one read for all; a second one where reservations that came
// with the first name further places.
func (t *task) load(ctx context.Context, b *batch) error {
	for round := 0; ; round++ {
		wants := t.missing(b)
		if len(wants) == 0 {
			return nil
		}
		if round > 3 {
			return fmt.Errorf("loading %d SKUs of task %d: the store does not return what it is asked for", len(wants), t.number)
		}
		if err := t.read(ctx, b, wants); err != nil {
			return err
		}
	}
}

func (t *task) missing(b *batch) []availability.Want {
	g := t.folder.Graph()
	var wants []availability.Want
	var at map[availability.SKU]int
	need := func(w availability.Want, stock *availability.Stock) {
		if b.aside[w.SKU] != nil {
			return
		}
		w.All = w.All || b.whole[w.SKU]
		if stock != nil {
			w.All = w.All || stock.GraphVersion() != g.Version
			rest, any := stock.Missing(&w)
			if !any {
				return
			}
			w = rest
		}
		i, ok := at[w.SKU]
		if !ok {
			if at == nil {
				at = make(map[availability.SKU]int)
			}
			at[w.SKU] = len(wants)
			wants = append(wants, w)
			return
		}
		wants[i].All, wants[i].Whole = wants[i].All || w.All, wants[i].Whole || w.Whole
		wants[i].Locations = union(wants[i].Locations, w.Locations)
		wants[i].Reservations = union(wants[i].Reservations, w.Reservations)
	}
	for _, list := range [][]availability.SKU{b.owed, b.swept} {
		for _, sku := range list {
			need(availability.Want{SKU: sku, All: true}, t.stocks.get(sku))
		}
	}
	for i := range b.entries {
		switch e := &b.entries[i]; {
		case e.delta >= 0:
			d := &b.deltas[e.delta]
			if t.find(e, d.SKU) == nil || !e.held.stock.Complete() {
				need(g.Wants(d), t.find(e, d.SKU))
			}
		case e.event >= 0:
			event := &b.events[e.event]
			stock := t.find(e, event.SKU)
			need(g.WantsOf(event, stock), stock)
		case e.tell >= 0:
			need(wantsOf(g, &b.tells[e.tell]), t.find(e, b.tells[e.tell].SKU))
		}
	}
	return wants
}

// find returns the stock that an entry is about, or nil while it is not loaded.
func (t *task) find(e *entry, sku availability.SKU) *availability.Stock {
	if e.held == nil {
		if e.held = t.stocks.bySKU[sku]; e.held == nil {
			return nil
		}
	}
	return e.held.stock
}

func union[T comparable](a, b []T) []T {
	for _, x := range b {
		if !slices.Contains(a, x) {
			a = append(a, x)
		}
	}
	return a
}

// loadMax is how many SKUs one read of the store asks for: it answers in a few milliseconds, others wait no longer.
const loadMax = 1000

// read loads SKUs. What comes with another checkpoint than the last one acknowledged is not used: the store has
// forgotten, or another owner has written.
func (t *task) read(ctx context.Context, b *batch, wants []availability.Want) error {
	g := t.folder.Graph()
	for len(wants) > 0 {
		part := wants[:min(len(wants), loadMax)]
		wants = wants[len(part):]
		known := t.committer.known()
		data, id, err := t.shared.Store.Load(ctx, t.number, g, part)
		var bad *availability.CorruptError
		if errors.As(err, &bad) {
			if err = t.setAside(b, bad); err != nil {
				return err
			}
			wants = append(b.readable(part), wants...)
			continue
		}
		if err != nil {
			return fmt.Errorf("loading %d SKUs of task %d: %w", len(part), t.number, err)
		}
		if !slices.Contains(known, id) && !without.ColdRead {
			return fmt.Errorf("loading %d SKUs of task %d: %w", len(part), t.number, errForgotten)
		}
		for i := range data {
			t.keep(b, &data[i], &part[i])
		}
	}
	return nil
}

// keep puts loaded data in memory. A SKU that was computed with another graph is needed whole; where that graph is not to
// be had any more, it is taken as one of no places, and every level of the SKU will count as changed.
func (t *task) keep(b *batch, d *availability.StockData, w *availability.Want) {
	t.mended(d.SKU)
	if stock := t.stocks.get(d.SKU); stock != nil {
		stock.Load(d, w.Locations)
		return
	}
	g := t.folder.Graph()
	if d.Exists && d.GraphVersion != g.Version {
		if !d.Complete {
			if b.whole == nil {
				b.whole = make(map[availability.SKU]bool)
			}
			b.whole[d.SKU] = true
			return
		}
		g = t.graphs[d.GraphVersion]
		if g == nil {
			g, _ = (&availability.GraphSpec{Version: d.GraphVersion}).Compile() // no places, no rule to break
		}
	}
	stock := availability.NewStock(g, d)
	stock.Load(&availability.StockData{}, w.Locations)
	t.stocks.put(stock)
}
