package availability

import "slices"

// wholeLocations is the size of a graph up to which a SKU is loaded whole: one HGETALL of some 10 KB at most. With more
// locations, only the cells that an event can touch are.
const wholeLocations = 256

// Wants returns what a delta needs of its SKU.
func (g *Graph) Wants(d *Delta) Want {
	w := Want{SKU: d.SKU, All: len(g.locations) <= wholeLocations || d.Mode == Delete}
	g.want(&w, placeOf(d.Location, ""))
	return w
}

// WantsOf returns what a reservation event needs of its SKU. The reservation's own places are known once it is loaded:
// s is the stock as far as it is there, or nil.
func (g *Graph) WantsOf(e *ReservationEvent, s *Stock) Want {
	w := Want{SKU: e.SKU, All: len(g.locations) <= wholeLocations, Reservations: []string{e.ReservationID}}
	g.want(&w, e.source())
	g.want(&w, e.target())
	if s != nil {
		if r := s.reservations[e.ReservationID]; r != nil {
			for _, l := range r.Lines {
				g.want(&w, l.Place)
				g.wantRemoved(&w, l.Place)
			}
		}
	}
	return w
}

// wantRemoved adds the cell of a location that the graph does not have, where something is reserved still.
func (g *Graph) wantRemoved(w *Want, p Place) {
	id := LocationID(p.ID)
	if !w.All && p.Type == LocationPlace && g.location(id) < 0 && !slices.Contains(w.Locations, id) {
		w.Locations = append(w.Locations, id)
	}
}

// want adds the cells that decide the levels which a change at a place of the graph can reach: its own, and those that are
// pools by themselves in the same component.
func (g *Graph) want(w *Want, p Place) {
	if w.All || p.Type == NoPlace {
		return
	}
	part := int32(-1)
	if p.Type == LocationPlace {
		id := LocationID(p.ID)
		loc := g.location(id)
		if loc >= 0 && !slices.Contains(w.Locations, id) {
			w.Locations = append(w.Locations, id)
		}
		if groups := g.groupsOf(loc); len(groups) > 0 {
			part = g.groups[groups[0]].part
		}
	} else if group := g.group(GroupID(p.ID)); group >= 0 {
		part = g.groups[group].part
	}
	if part < 0 {
		return
	}
	for _, number := range g.parts[part].pools {
		if int(number) >= g.shared {
			id := g.locations[g.pools[number].locations[0]].ID
			if !slices.Contains(w.Locations, id) {
				w.Locations = append(w.Locations, id)
			}
		}
	}
}
