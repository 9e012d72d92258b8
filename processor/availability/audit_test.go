package availability

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// auditOf audits a SKU as the store of a world has it.
func auditOf(w *world, sku SKU) (Audit, StockData) {
	wanted := Want{SKU: sku, All: true}
	if k := w.store.skus[sku]; k != nil {
		wanted.Reservations = slices.Sorted(maps.Keys(k.reservations))
	}
	d := w.store.load(&wanted)
	g := w.graphs[d.GraphVersion]
	if !d.Exists {
		g = w.folder.Graph()
	}
	return NewFolder(g, w.rules, NewWindow(w.rules.Window)).Audit(&d), d
}

// TestAuditFindsNothingInWhatWasFolded folds random events, as TestModel generates them, and audits every SKU after every
// batch: with the graph it was computed with, the levels are those published and no number differs. A failure says how to
// replay its case.
func TestAuditFindsNothingInWhatWasFolded(t *testing.T) {
	eachCase(t, 1000, func(t *testing.T, r *rand.Rand) {
		ops := newGenerator(r).scenario(12 + r.IntN(29))
		w := newWorld(t, DefaultRules())
		for i, o := range ops {
			w.fold(o)
			if r.IntN(3) != 0 && i < len(ops)-1 {
				continue
			}
			w.commit()
			for _, sku := range w.skus() {
				a, d := auditOf(w, sku)
				if diff := diffLevels(a.Levels, w.published[sku]); diff != "" || len(a.Pools)+len(a.Reserved) > 0 {
					t.Fatalf("after op %d of %v\npools %+v\nreserved %+v\n%s", i, ops[:i+1], a.Pools, a.Reserved, diff)
				}
				if !d.Exists && len(a.Levels) > 0 {
					t.Fatalf("levels %v of a SKU that is not stored", a.Levels)
				}
			}
		}
	})
}

// auditedStock has 5 at L1 and 7 at L2, which share a pool, 2 reserved at L1 and 3 at GG.
func auditedStock(t *testing.T) (*Folder, StockData) {
	t.Helper()
	spec := GraphSpec{Version: 1,
		Locations: []LocationSpec{{ID: "L1", Inventory: true, Sync: true, Since: 1}, {ID: "L2", Inventory: true, Sync: true, Since: 1}},
		Groups:    []GroupSpec{{ID: "GG", Enabled: true, Sync: true, Locations: []LocationID{"L1", "L2"}}}}
	g, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFolder(g, DefaultRules(), NewWindow(Hour))
	s := NewStock(g, &StockData{SKU: "red", Complete: true})
	for location, q := range map[LocationID]Quantity{"L1": 5 * Unit, "L2": 7 * Unit} { // order-free: sums
		f.Delta(s, &Delta{RecordID: "r", SKU: "red", Location: location, HasOnHand: true, OnHand: q, EffectiveAt: 1, At: 1}, 0)
	}
	s.Load(&StockData{Reservations: []ReservationData{{ID: "a"}, {ID: "b"}}}, nil)
	f.Reservation(s, &ReservationEvent{RequestID: "q1", ReservationID: "a", SKU: "red", Action: Reserve, Quantity: 2 * Unit, HasQuantity: true, Location: "L1", EventAt: None, ExpiresAt: None, At: 2}, 1, 1)
	f.Reservation(s, &ReservationEvent{RequestID: "q2", ReservationID: "b", SKU: "red", Action: Reserve, Quantity: 3 * Unit, HasQuantity: true, Group: "GG", EventAt: None, ExpiresAt: None, At: 2}, 1, 2)
	_, d, _ := f.Finish(s, nil)
	d.Exists, d.Complete = true, true
	if a := f.Audit(&d); len(a.Pools)+len(a.Reserved) > 0 || len(a.Levels) != 3 || a.Levels[2].ATO != 7*Unit {
		t.Fatalf("%+v", a)
	}
	return f, d
}

// TestAuditNamesWhatDiffers changes one stored number at a time.
func TestAuditNamesWhatDiffers(t *testing.T) {
	t.Run("pool", func(t *testing.T) {
		f, d := auditedStock(t)
		d.Pools[0].ATO -= Unit
		a := f.Audit(&d)
		if len(a.Reserved) > 0 || len(a.Pools) != 1 || a.Pools[0].Stored.ATO != 9*Unit || a.Pools[0].Computed.ATO != 10*Unit || !slices.Equal(a.Pools[0].Locations, []LocationID{"L1", "L2"}) {
			t.Errorf("%+v", a)
		}
		if a.Stored[2].ATO != 6*Unit || a.Levels[2].ATO != 7*Unit {
			t.Errorf("group levels %+v and %+v", a.Stored[2], a.Levels[2])
		}
	})
	t.Run("pool missing", func(t *testing.T) {
		f, d := auditedStock(t)
		d.Pools = nil
		if a := f.Audit(&d); len(a.Pools) != 1 || a.Pools[0].Stored.Members != 0 || a.Pools[0].Computed.Members != 2 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("pool too many", func(t *testing.T) {
		f, d := auditedStock(t)
		d.Pools = append(d.Pools, PoolData{Number: 3, Pool: Pool{Members: 1, EffectiveAt: None}})
		if a := f.Audit(&d); len(a.Pools) != 1 || a.Pools[0].Number != 3 || a.Pools[0].Locations != nil {
			t.Errorf("%+v", a)
		}
	})
	t.Run("reserved at a location", func(t *testing.T) {
		f, d := auditedStock(t)
		for i := range d.Cells {
			if d.Cells[i].Location == "L1" {
				d.Cells[i].Reserved += Unit
			}
		}
		a := f.Audit(&d)
		if len(a.Pools) > 0 || !slices.Equal(a.Reserved, []HeldAudit{{Place{LocationPlace, "L1"}, 3 * Unit, 2 * Unit}}) {
			t.Errorf("%+v", a)
		}
		if a.Stored[0].ATF != 2*Unit || a.Levels[0].ATF != 3*Unit {
			t.Errorf("levels of L1 %+v and %+v", a.Stored[0], a.Levels[0])
		}
	})
	t.Run("demand and a cell missing", func(t *testing.T) {
		f, d := auditedStock(t)
		d.Demand = nil
		d.Cells = slices.DeleteFunc(d.Cells, func(c Cell) bool { return c.Location == "L1" })
		want := []HeldAudit{{Place{GroupPlace, "GG"}, 0, 3 * Unit}, {Place{LocationPlace, "L1"}, 0, 2 * Unit}}
		if a := f.Audit(&d); !slices.Equal(a.Reserved, want) || len(a.Pools) != 1 {
			t.Errorf("%+v", a)
		}
	})
	t.Run("reservation missing", func(t *testing.T) {
		f, d := auditedStock(t)
		d.Reservations = d.Reservations[:1]
		if a := f.Audit(&d); !slices.Equal(a.Reserved, []HeldAudit{{Place{GroupPlace, "GG"}, 3 * Unit, 0}}) {
			t.Errorf("%+v", a)
		}
	})
}
