package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"onhand/schemas"
)

// benchChange is a change of the location graph under load.
type benchChange struct {
	Change   string   `json:"change"`
	At       float64  `json:"atSeconds"`   // of the flow
	SweptMS  float64  `json:"sweptMs"`     // until every SKU was computed with it
	BeforeMS *float64 `json:"p99BeforeMs"` // lateness of updates since the change before; nil: none
	DuringMS *float64 `json:"p99DuringMs"` // from the publication until everything is swept
	AfterMS  *float64 `json:"p99AfterMs"`  // from then until the next change, or the end
}

// benchAdded is how many locations come, in a workload that is not scaled.
const benchAdded = 500

// changeGraph publishes three graphs, a quarter of the flow apart: a tenth of the locations moves between groups, a group
// goes, locations come.
func (r *benchRun) changeGraph(ctx context.Context, watcher *benchWatcher, wait func(part float64) error) error {
	added := max(2, int(benchAdded*min(1, r.plan.Scale)))
	steps := []struct {
		name   string
		change func(*schemas.LocationGraph)
	}{
		{fmt.Sprintf("%s moved to another group", plural(max(1, r.plan.Locations/10), "location")), func(g *schemas.LocationGraph) { moveLocations(g, max(1, r.plan.Locations/10)) }},
		{"a group removed", func(g *schemas.LocationGraph) { g.Groups = g.Groups[:len(g.Groups)-1] }},
		{fmt.Sprintf("%s added", plural(added, "location")), func(g *schemas.LocationGraph) { addLocations(g, added, r.plan.GroupsEach) }},
	}
	type span struct{ published, swept time.Time }
	spans := make([]span, len(steps))
	for i, step := range steps {
		if err := wait(float64(i+1) / float64(len(steps)+1)); err != nil {
			return err
		}
		if i > 0 { // a sweep may take longer than it should; what comes after it is to be seen all the same
			if err := sleep(ctx, time.Until(spans[i-1].swept.Add(r.plan.Duration/8))); err != nil {
				return err
			}
		}
		g := copyGraph(r.graph)
		step.change(g)
		spans[i].published = time.Now()
		if err := r.namespace.publish(ctx, g, true); err != nil {
			return err
		}
		spans[i].swept = time.Now()
		r.graph = g
		r.traffic.setPlaces(g)
	}
	if err := errors.Join(wait(1), sleep(ctx, time.Until(spans[len(spans)-1].swept.Add(r.plan.Duration/8)))); err != nil {
		return err
	}
	for i, step := range steps {
		from, to := watcher.began, time.Now()
		if i > 0 {
			from = spans[i-1].swept
		}
		if i+1 < len(spans) {
			to = spans[i+1].published
		}
		s := spans[i]
		r.report.Changes = append(r.report.Changes, benchChange{
			Change: step.name, At: s.published.Sub(watcher.began).Seconds(), SweptMS: millis(s.swept.Sub(s.published)),
			BeforeMS: watcher.p99(from, s.published), DuringMS: watcher.p99(s.published, s.swept), AfterMS: watcher.p99(s.swept, to),
		})
	}
	return nil
}

// p99 is the lateness of a span of time, nil where nothing was to be sent in it.
func (b *benchWatcher) p99(from, to time.Time) *float64 {
	h := b.between(from, to)
	if h.count == 0 {
		return nil
	}
	ms := millis(h.percentile(99))
	return &ms
}

// copyGraph is the graph with lists of its own.
func copyGraph(g *schemas.LocationGraph) *schemas.LocationGraph {
	c := *g
	c.Locations, c.Groups = slices.Clone(g.Locations), slices.Clone(g.Groups)
	for i := range c.Groups {
		c.Groups[i].Locations = slices.Clone(c.Groups[i].Locations)
	}
	return &c
}

// moveLocations takes so many locations out of a group each and puts them into the next one that they are not in. A group
// keeps a location.
func moveLocations(g *schemas.LocationGraph, count int) {
	for i := 0; i < len(g.Locations) && count > 0; i++ {
		name := g.Locations[len(g.Locations)-1-i].ExternalReference
		from := slices.IndexFunc(g.Groups, func(group schemas.LocationGroup) bool {
			return len(group.Locations) > 1 && slices.Contains(group.Locations, name)
		})
		to := slices.IndexFunc(g.Groups, func(group schemas.LocationGroup) bool { return !slices.Contains(group.Locations, name) })
		if from < 0 || to < 0 {
			continue
		}
		g.Groups[from].Locations = slices.DeleteFunc(g.Groups[from].Locations, func(l string) bool { return l == name })
		g.Groups[to].Locations = append(g.Groups[to].Locations, name)
		count--
	}
}

// addLocations adds locations behind those that are there, each to so many groups.
func addLocations(g *schemas.LocationGraph, count, groupsEach int) {
	first := len(g.Locations)
	for i := range count {
		name := benchLocation(first + i)
		g.Locations = append(g.Locations, schemas.Location{ExternalReference: name, Name: name, LocationType: simStoreType, InventoryLocation: true, Sync: true})
		for n := range min(groupsEach, len(g.Groups)) {
			group := &g.Groups[(i+n)%len(g.Groups)]
			group.Locations = append(group.Locations, name)
		}
	}
}
