package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// levelsDiff is what another graph would do to the levels, computed from what Redis holds.
type levelsDiff struct {
	SKUs        int           `json:"skus"`        // all that the namespace has
	SKUsChanged int           `json:"skusChanged"` // those with a level that moves, comes or goes
	Places      []placeLevels `json:"places"`      // those with such a level, by id
}

// placeLevels sums up one place.
type placeLevels struct {
	Place     string             `json:"place"`
	PlaceType schemas.PlaceType  `json:"placeType"`
	SKUs      int                `json:"skus"`      // whose level there moves, comes or goes
	ATOBefore schemas.Milli      `json:"atoBefore"` // Σ over these SKUs
	ATOAfter  schemas.Milli      `json:"atoAfter"`
	Broken    []availability.SKU `json:"promisesBroken"` // whose promises there would lack more than they do, the first reservedSample
	BrokenN   int                `json:"promisesBrokenCount"`
}

// diffLevels computes every SKU with the graph of the file, as tasks will once it is published. It reads all of Redis.
func (a *app) diffLevels(ctx context.Context, w *wire, before publishedGraph, g schemas.LocationGraph) (*levelsDiff, error) {
	g.Version = before.spec.Version + 1
	g.Locations = slices.Clone(g.Locations)
	setSince(&g, &before.record)
	spec := topics.GraphSpec(&g)
	graph, err := spec.Compile()
	if err != nil {
		return nil, err
	}
	store, err := openRedis(ctx, w.config, nil)
	if err != nil {
		return nil, err
	}
	defer closeRead(store)
	d := &levelsDiff{Places: []placeLevels{}}
	places := make(map[string]*placeLevels)
	p := newProgress(a.err, "computing levels", w.partitions)
	defer p.end()
	for task := range w.partitions {
		p.set(int(task))
		if err := w.diffTask(ctx, store, task, graph, d, places); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(places)) {
		d.Places = append(d.Places, *places[id])
	}
	return d, nil
}

// diffTask adds the SKUs of one task.
func (w *wire) diffTask(ctx context.Context, store *cache.Redis, task int32, graph *availability.Graph, d *levelsDiff, places map[string]*placeLevels) error {
	s := &stockReader{config: w.config, store: store, reader: w.reader, task: task}
	folder := availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(0))
	return eachStock(ctx, store, task, func(data *availability.StockData) error {
		old, err := s.graph(ctx, data.GraphVersion)
		if errors.Is(err, errGraphGone) {
			// The task has swept since the last look.
			s.graphs = nil
			old, err = s.graph(ctx, data.GraphVersion)
		}
		if err != nil {
			return err
		}
		stock := availability.NewStock(old, data)
		folder.Adopt(stock, 0)
		changes, _, _ := folder.Finish(stock, nil)
		d.SKUs++
		if len(changes) > 0 {
			d.SKUsChanged++
		}
		for i := range changes {
			addChange(places, &changes[i])
		}
		return nil
	})
}

// addChange counts a level that moves at its place.
func addChange(places map[string]*placeLevels, c *availability.Change) {
	id := c.After.Place.ID
	p := places[id]
	if p == nil {
		p = &placeLevels{Place: id, Broken: []availability.SKU{}}
		if c.After.Place.Type == availability.GroupPlace {
			p.PlaceType = schemas.PlaceGroup
		}
		places[id] = p
	}
	p.SKUs++
	p.ATOBefore += schemas.Milli(c.Before.ATO)
	p.ATOAfter += schemas.Milli(c.After.ATO)
	if p.PlaceType == schemas.PlaceGroup && c.After.Shortfall > c.Before.Shortfall {
		if p.BrokenN++; len(p.Broken) < reservedSample {
			p.Broken = append(p.Broken, c.After.SKU)
		}
	}
}

// print writes a line for each place.
func (d *levelsDiff) print(w io.Writer) error {
	fmt.Fprintf(w, "\n%d of %s have levels that change\n", d.SKUsChanged, plural(d.SKUs, "SKU"))
	if len(d.Places) == 0 {
		return nil
	}
	t := newTable("PLACE", "TYPE", ">SKUS", ">ATO NOW", ">ATO THEN", "PROMISES THAT WOULD BREAK")
	for _, p := range d.Places {
		broken := "-"
		if p.BrokenN > 0 {
			broken = fmt.Sprintf("%s, such as %v", plural(p.BrokenN, "SKU"), p.Broken)
		}
		t.add(p.Place, p.PlaceType, p.SKUs, p.ATOBefore, p.ATOAfter, broken)
	}
	return t.print(w)
}
