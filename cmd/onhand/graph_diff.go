package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"onhand/schemas"
)

// What a graphChange is about, and what happens to it.
const (
	changeLocation   = "location"
	changeGroup      = "group"
	changeMembership = "membership"

	actionAdded   = "added"
	actionRemoved = "removed"
	actionChanged = "changed"
)

// graphChange is one difference between two graphs.
type graphChange struct {
	Kind   string `json:"kind"`
	Action string `json:"action"`
	Place  string `json:"place"`           // the location or group; of a membership, the location
	Group  string `json:"group,omitempty"` // of a membership
	Field  string `json:"field,omitempty"` // of a changed place
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
}

// String is one line.
func (c graphChange) String() string {
	sign := map[string]string{actionAdded: "+", actionRemoved: "-", actionChanged: "~"}[c.Action]
	switch {
	case c.Kind == changeMembership:
		return fmt.Sprintf("%s %s in %s", sign, c.Place, c.Group)
	case c.Action == actionChanged:
		return fmt.Sprintf("%s %s %s: %s %s → %s", sign, c.Kind, c.Place, c.Field, c.From, c.To)
	}
	return fmt.Sprintf("%s %s %s", sign, c.Kind, c.Place)
}

// graphDiff is what publishing a file would change.
type graphDiff struct {
	From    int64                     `json:"from"` // published version, 0 if none
	To      int64                     `json:"to"`   // version that publishing gives; the same as From where nothing changes
	Counts  map[string]map[string]int `json:"counts"`
	Changes []graphChange             `json:"changes"`
}

// diffGraphs compares two graphs by their places, whatever the order they stand in.
func diffGraphs(from, to *schemas.LocationGraph) *graphDiff {
	d := &graphDiff{From: from.Version, To: from.Version, Changes: []graphChange{}, Counts: map[string]map[string]int{
		changeLocation: {actionAdded: 0, actionRemoved: 0, actionChanged: 0}, changeGroup: {actionAdded: 0, actionRemoved: 0, actionChanged: 0},
		changeMembership: {actionAdded: 0, actionRemoved: 0},
	}}
	pair(from.Locations, to.Locations, func(l *schemas.Location) string { return l.ExternalReference }, d.location)
	pair(from.Groups, to.Groups, func(g *schemas.LocationGroup) string { return g.ExternalReference }, d.group)
	for _, c := range d.Changes {
		d.Counts[c.Kind][c.Action]++
	}
	// A place that changed in two fields is one place.
	for _, kind := range []string{changeLocation, changeGroup} {
		places := map[string]bool{}
		for _, c := range d.Changes {
			if c.Kind == kind && c.Action == actionChanged {
				places[c.Place] = true
			}
		}
		d.Counts[kind][actionChanged] = len(places)
	}
	if len(d.Changes) > 0 {
		d.To = from.Version + 1
	}
	return d
}

// pair visits what stands in either list, in the order of ids, with nil for the list that does not have it.
func pair[P any](from, to []P, id func(*P) string, visit func(from, to *P)) {
	byID := func(a, b P) int { return strings.Compare(id(&a), id(&b)) }
	from, to = slices.SortedFunc(slices.Values(from), byID), slices.SortedFunc(slices.Values(to), byID)
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && id(&from[0]) < id(&to[0]):
			visit(&from[0], nil)
			from = from[1:]
		case len(from) == 0 || id(&to[0]) < id(&from[0]):
			visit(nil, &to[0])
			to = to[1:]
		default:
			visit(&from[0], &to[0])
			from, to = from[1:], to[1:]
		}
	}
}

func (d *graphDiff) add(c graphChange) { d.Changes = append(d.Changes, c) }

// field adds a change of one field.
func (d *graphDiff) field(kind, place, field string, from, to any) {
	if from != to {
		d.add(graphChange{Kind: kind, Action: actionChanged, Place: place, Field: field, From: fmt.Sprint(from), To: fmt.Sprint(to)})
	}
}

// location compares a location in both graphs; nil: it is not there.
func (d *graphDiff) location(from, to *schemas.Location) {
	switch {
	case from == nil:
		d.add(graphChange{Kind: changeLocation, Action: actionAdded, Place: to.ExternalReference})
	case to == nil:
		d.add(graphChange{Kind: changeLocation, Action: actionRemoved, Place: from.ExternalReference})
	default:
		id := from.ExternalReference
		d.field(changeLocation, id, "name", from.Name, to.Name)
		d.field(changeLocation, id, "locationType", from.LocationType, to.LocationType)
		d.field(changeLocation, id, "inventoryLocation", from.InventoryLocation, to.InventoryLocation)
		d.field(changeLocation, id, "sync", from.Sync, to.Sync)
	}
}

// group compares a group and its members in both graphs; nil: it is not there.
func (d *graphDiff) group(from, to *schemas.LocationGroup) {
	var id string
	var before, after []string
	switch {
	case from == nil:
		id, after = to.ExternalReference, to.Locations
		d.add(graphChange{Kind: changeGroup, Action: actionAdded, Place: id})
	case to == nil:
		id, before = from.ExternalReference, from.Locations
		d.add(graphChange{Kind: changeGroup, Action: actionRemoved, Place: id})
	default:
		id, before, after = from.ExternalReference, from.Locations, to.Locations
		d.field(changeGroup, id, "name", from.Name, to.Name)
		d.field(changeGroup, id, "enabled", from.Enabled, to.Enabled)
		d.field(changeGroup, id, "sync", from.Sync, to.Sync)
	}
	pair(before, after, func(l *string) string { return *l }, func(from, to *string) {
		if from == nil {
			d.add(graphChange{Kind: changeMembership, Action: actionAdded, Place: *to, Group: id})
		} else if to == nil {
			d.add(graphChange{Kind: changeMembership, Action: actionRemoved, Place: *from, Group: id})
		}
	})
}

// summary is the counts in words.
func (d *graphDiff) summary() string {
	if len(d.Changes) == 0 {
		return fmt.Sprintf("the file is what version %d has", d.From)
	}
	var parts []string
	for _, kind := range []string{changeLocation, changeGroup, changeMembership} {
		var counts []string
		for _, action := range []string{actionAdded, actionRemoved, actionChanged} {
			if n := d.Counts[kind][action]; n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", n, action))
			}
		}
		if counts != nil {
			parts = append(parts, kind+"s: "+strings.Join(counts, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// print writes every change and the counts.
func (d *graphDiff) print(w io.Writer) {
	for _, c := range d.Changes {
		fmt.Fprintln(w, c)
	}
	fmt.Fprintln(w, d.summary())
}

// removed are the places of a kind that the file does not have any more.
func (d *graphDiff) removed(kind string) (places []string) {
	for _, c := range d.Changes {
		if c.Kind == kind && c.Action == actionRemoved {
			places = append(places, c.Place)
		}
	}
	return places
}

// setSince gives each location the version in which it joined: the one it has if it was in the graph before, else the new.
// A location that left and comes back has no history.
func setSince(g, before *schemas.LocationGraph) {
	since := make(map[string]int64, len(before.Locations))
	for _, l := range before.Locations {
		since[l.ExternalReference] = l.Since
	}
	for i := range g.Locations {
		l := &g.Locations[i]
		if was, ok := since[l.ExternalReference]; ok {
			l.Since = was
		} else {
			l.Since = g.Version
		}
	}
}
