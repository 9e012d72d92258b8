package availability

import (
	"fmt"
	"slices"
	"strings"
)

// messageLocations is how many locations a message names before it counts the rest.
const messageLocations = 6

// explain names the tight set that limits a reservation, where promises do.
func (f *Folder) explain(s *Stock, e *ReservationEvent, limit int32, available Quantity) (tight []GroupID, message string) {
	kind := "to order"
	if e.FulfillOnly {
		kind = "to fulfill"
	}
	if limit < 0 {
		return nil, fmt.Sprintf("%s has %s available %s", e.source().ID, available, kind)
	}
	promises := f.promisesOf(s, s.graph.groups[limit].part, e.FulfillOnly)
	var promised, free Quantity
	var names []string
	var pools []int32
	for _, g := range promises.tight(limit) {
		if q := s.demandOf(g); q > 0 {
			promised += q
			tight = append(tight, s.graph.groups[g].ID)
			names = append(names, string(s.graph.groups[g].ID))
		}
		for _, pool := range s.graph.groups[g].pools {
			if !slices.Contains(pools, pool) {
				pools = append(pools, pool)
				free += promises.free[promises.slot[pool]]
			}
		}
	}
	if len(tight) == 0 {
		return nil, fmt.Sprintf("%s has %s available %s", e.source().ID, available, kind)
	}
	return tight, fmt.Sprintf("%s promised %s of the %s in {%s}; %s left", whoHas(names), promised, free, s.graph.membersOf(pools), available)
}

// whoHas reads "US-EAST has", or "NORTH, EAST and WEST have".
func whoHas(names []string) string {
	has := "has"
	who := names[0]
	if n := len(names); n > 1 {
		has = "have"
		who = strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return who + " " + has
}

// membersOf names the first locations of the pools by id, and counts the others. It looks at those alone that it may name.
func (g *Graph) membersOf(pools []int32) string {
	var first []int32
	count := 0
	for _, pool := range pools {
		locations := g.pools[pool].locations
		count += len(locations)
		first = append(first, locations[:min(len(locations), messageLocations)]...)
	}
	slices.Sort(first)
	var names []string
	for _, l := range first[:min(len(first), messageLocations)] {
		names = append(names, string(g.locations[l].ID))
	}
	text := strings.Join(names, ", ")
	if more := count - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
