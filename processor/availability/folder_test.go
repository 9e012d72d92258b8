package availability

import "testing"

// TestDocumentedOverlap is OCI's own example: A={L1:5,L2:5}, B={L2:5,L3:15}, 17 reserved at B.
func TestDocumentedOverlap(t *testing.T) {
	spec := GraphSpec{Version: 1}
	for _, id := range []LocationID{"L1", "L2", "L3"} {
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true})
	}
	spec.Groups = []GroupSpec{
		{ID: "AA", Enabled: true, Sync: true, Locations: []LocationID{"L1", "L2"}},
		{ID: "BB", Enabled: true, Sync: true, Locations: []LocationID{"L2", "L3"}},
	}
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFolder(g, DefaultRules(), NewWindow(24*Hour))
	s := NewStock(g, &StockData{SKU: "s", Complete: true})
	for i, n := range []Quantity{5, 5, 15} {
		d := Delta{SKU: "s", Location: spec.Locations[i].ID, HasOnHand: true, OnHand: n * Unit, EffectiveAt: 1, At: 1}
		if outcome, _ := f.Delta(s, &d, i); outcome != Applied {
			t.Fatal(outcome)
		}
	}
	reserve := func(id string, at Place, q Quantity) Result {
		e := ReservationEvent{RequestID: id, ReservationID: id, SKU: "s", Quantity: q * Unit, HasQuantity: true, EventAt: None, ExpiresAt: None, At: 2}
		if at.Type == GroupPlace {
			e.Group = GroupID(at.ID)
		} else {
			e.Location = LocationID(at.ID)
		}
		r, _ := f.Reservation(s, &e, 1, 9)
		return r
	}
	if r := reserve("r1", Place{GroupPlace, "BB"}, 17); r.Granted != 17*Unit {
		t.Fatalf("%+v", r)
	}
	for _, l := range f.Levels(s) {
		t.Logf("%+v", l)
	}
	a := f.groupLevel(s, 0)
	b := f.groupLevel(s, 1)
	if a.ATO != 8*Unit || b.ATO != 3*Unit || a.SharedGroupReserved != 2*Unit {
		t.Fatalf("A %+v\nB %+v", a, b)
	}
	r := reserve("r2", Place{LocationPlace, "L2"}, 5)
	if r.Granted != 3*Unit || r.Outcome != Partial {
		t.Fatalf("%+v", r)
	}
	t.Log(r.Message, r.TightGroups)
}
