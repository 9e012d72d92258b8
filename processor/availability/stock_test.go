package availability

import "testing"

// What a stock holds is newer than what a store gives out: a removed location's cell, loaded for one event and loaded
// again with all the others, stays what it is, and stays one.
func TestLoadKeepsWhatIsHeld(t *testing.T) {
	spec := GraphSpec{Version: 2, Locations: []LocationSpec{{ID: "L1", Inventory: true, Sync: true, Since: 1}}}
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	line := Line{Place: Place{LocationPlace, "GONE"}, Quantity: 5, ExpiresAt: None}
	stored := StockData{
		SKU: "sku", Exists: true, GraphVersion: 2,
		Cells:        []Cell{{Location: "GONE", CountedAt: None, SafetyAt: None, FuturesAt: None, Reserved: 5}},
		Reservations: []ReservationData{{ID: "r", Reservation: &Reservation{Lines: []Line{line}}}},
	}
	f := NewFolder(g, DefaultRules(), NewWindow(DefaultRules().Window))
	s := NewStock(g, &stored)
	release := ReservationEvent{RequestID: "q", ReservationID: "r", SKU: "sku", Action: Release, Quantity: 2, HasQuantity: true, EventAt: None, ExpiresAt: None}
	if r, _ := f.Reservation(s, &release, 1, 0); r.Granted != 2 {
		t.Fatalf("release: %+v", r)
	}
	stored.Complete = true
	s.Load(&stored, nil)
	later := GraphSpec{Version: 3, Locations: append(spec.Locations, LocationSpec{ID: "GONE", Inventory: true, Sync: true, Since: 3})}
	if g, err = later.Compile(); err != nil {
		t.Fatal(err)
	}
	f.SetGraph(g)
	f.Adopt(s, 1)
	_, data, _ := f.Finish(s, nil)
	var reserved []Quantity
	for _, c := range data.Cells {
		if c.Location == "GONE" {
			reserved = append(reserved, c.Reserved)
		}
	}
	if len(reserved) != 1 || reserved[0] != 3 {
		t.Errorf("cells of the location that returned have reserved %v, want 3 once", reserved)
	}
}
