package availability

import (
	"fmt"
	"slices"
	"testing"
)

// wideGraph has more locations than a SKU is loaded whole with: A1 and A2 are pools by themselves in two overlapping groups,
// B1 is one in another component, all others share a pool.
func wideGraph(t *testing.T) *Graph {
	spec := GraphSpec{Version: 1}
	var many []LocationID
	for i := range wholeLocations {
		many = append(many, LocationID(fmt.Sprintf("shared-%03d", i)))
	}
	for _, id := range append([]LocationID{"A1", "A2", "B1", "ALONE"}, many...) {
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
	}
	for id, locations := range map[GroupID][]LocationID{"AA": slices.Concat(many, []LocationID{"A1"}), "AB": slices.Concat(many, []LocationID{"A2"}), "BB": {"B1"}} {
		spec.Groups = append(spec.Groups, GroupSpec{ID: id, Enabled: true, Sync: true, Locations: locations})
	}
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// What a change at a place can reach is the place itself and the pools of one location in its component: nothing grows with
// the number of locations in the others.
func TestWantsAreFew(t *testing.T) {
	g := wideGraph(t)
	s := NewStock(g, &StockData{SKU: "sku", Exists: true, Reservations: []ReservationData{{ID: "held", Reservation: &Reservation{Lines: []Line{
		{Place: Place{GroupPlace, "BB"}, Quantity: 1}, {Place: Place{GroupPlace, "GONE"}, Quantity: 1},
		{Place: Place{LocationPlace, "REMOVED"}, Quantity: 1, ExpiresAt: 5}, {Place: Place{LocationPlace, "REMOVED"}, Quantity: 1, ExpiresAt: None},
	}}}}})
	for _, c := range []struct {
		name string
		want Want
		all  bool
		at   []LocationID
	}{
		{"a count in a shared pool", g.Wants(&Delta{Location: "shared-007"}), false, []LocationID{"A1", "A2", "shared-007"}},
		{"a count in a pool of its own", g.Wants(&Delta{Location: "A1", Mode: Adjust}), false, []LocationID{"A1", "A2"}},
		{"a count outside of groups", g.Wants(&Delta{Location: "ALONE"}), false, []LocationID{"ALONE"}},
		{"a count where there is no location", g.Wants(&Delta{Location: "NOWHERE"}), false, nil},
		{"a deletion, which may have to find the newest count that is left", g.Wants(&Delta{Location: "A1", Mode: Delete}), true, nil},
		{"a reservation at a group", g.WantsOf(&ReservationEvent{Group: "AB", ReservationID: "new"}, nil), false, []LocationID{"A1", "A2"}},
		{"a transfer", g.WantsOf(&ReservationEvent{Group: "BB", ToLocation: "ALONE", ReservationID: "new"}, s), false, []LocationID{"ALONE", "B1"}},
		{"a release wherever it is", g.WantsOf(&ReservationEvent{Action: Release, ReservationID: "held"}, s), false, []LocationID{"B1", "REMOVED"}},
		{"a reservation where there is no location", g.WantsOf(&ReservationEvent{Location: "NOWHERE", ReservationID: "new"}, s), false, nil},
		{"a reservation at no group", g.WantsOf(&ReservationEvent{Group: "NONE", ReservationID: "new"}, s), false, nil},
	} {
		slices.Sort(c.want.Locations)
		if c.want.All != c.all || !slices.Equal(c.want.Locations, c.at) {
			t.Errorf("%s wants all %v, %v; want all %v, %v", c.name, c.want.All, c.want.Locations, c.all, c.at)
		}
	}
}
