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
	b := f.bound(s, limit, e.FulfillOnly)
	for _, d := range b.Promised {
		tight = append(tight, d.Group)
	}
	if len(tight) == 0 {
		return nil, fmt.Sprintf("%s has %s available %s", e.source().ID, available, kind)
	}
	return tight, b.sentence(available)
}

// Bound is what limits a further promise at a place: of all sets of groups that contain it, one whose locations have the
// least left when the promises of the set are kept.
type Bound struct {
	Promised  []DemandData // groups of the set that have promised something, by id; none: no promise limits
	Free      Quantity     // what the locations of the set have, together: to order, or to fulfill
	Locations []LocationID // those, by id: the first messageLocations
	Others    int          // how many more they are
}

// Taken is what the groups of the set have promised.
func (b *Bound) Taken() Quantity {
	var sum Quantity
	for _, d := range b.Promised {
		sum += d.Quantity
	}
	return sum
}

// Left is what can be promised beside it. It is below zero where counts have broken promises.
func (b *Bound) Left() Quantity { return b.Free - b.Taken() }

// String is the bound as a sentence: "US-EAST has promised 17 of the 20 in {NJ-1, NY-2}; 3 left".
func (b *Bound) String() string { return b.sentence(b.Left()) }

func (b *Bound) sentence(left Quantity) string {
	who := "nobody has"
	if len(b.Promised) > 0 {
		var names []string
		for _, d := range b.Promised {
			names = append(names, string(d.Group))
		}
		who = whoHas(names)
	}
	var names []string
	for _, l := range b.Locations {
		names = append(names, string(l))
	}
	where := strings.Join(names, ", ")
	if b.Others > 0 {
		where += fmt.Sprintf(" and %d more", b.Others)
	}
	return fmt.Sprintf("%s promised %s of the %s in {%s}; %s left", who, b.Taken(), b.Free, where, left)
}

// bound reads the tight set of a group.
func (f *Folder) bound(s *Stock, group int32, fulfill bool) Bound {
	var b Bound
	var pools []int32
	promises := f.promisesOf(s, s.graph.groups[group].part, fulfill)
	for _, g := range promises.tight(group) {
		if q := s.demandOf(g); q > 0 {
			b.Promised = append(b.Promised, DemandData{s.graph.groups[g].ID, q})
		}
		for _, pool := range s.graph.groups[g].pools {
			if !slices.Contains(pools, pool) {
				pools = append(pools, pool)
				b.Free += promises.free[promises.slot[pool]]
			}
		}
	}
	b.Locations, b.Others = s.graph.membersOf(pools)
	return b
}

// Reservable returns how much can be reserved at a place of a complete stock, tested against ATO or, to fulfill, ATF; it is
// below zero where counts have broken promises. The bound is the set of groups that limits it; nil: what the place itself
// has does, or it is a place at which nothing can be reserved.
func (f *Folder) Reservable(s *Stock, p Place, fulfill bool) (Quantity, *Bound) {
	if p.Type == NoPlace || !f.usable(p, true) {
		return 0, nil
	}
	f.openStock = nil
	available, limit := f.reservable(s, p, fulfill)
	if limit < 0 {
		return available, nil
	}
	b := f.bound(s, limit, fulfill)
	return available, &b
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

// membersOf returns the first locations of the pools by id, and how many others there are. It looks at those alone that it
// may name.
func (g *Graph) membersOf(pools []int32) (names []LocationID, others int) {
	var first []int32
	count := 0
	for _, pool := range pools {
		locations := g.pools[pool].locations
		count += len(locations)
		first = append(first, locations[:min(len(locations), messageLocations)]...)
	}
	slices.Sort(first)
	for _, l := range first[:min(len(first), messageLocations)] {
		names = append(names, g.locations[l].ID)
	}
	return names, count - len(names)
}
