package levels

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"onhand/schemas"
)

func TestLevelsAreSumsOfWhatLocationsHold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "places")
	if err := os.WriteFile(name, []byte("L1 A B\nL2 B\nL3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := ReadGraph(name)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.Places, []string{"L1", "L2", "L3", "A", "B"}) || g.Locations != 3 {
		t.Fatalf("%d locations of %v", g.Locations, g.Places)
	}
	stock := g.Stock()
	apply := func(location string, mode schemas.Mode, onHand schemas.Milli, want ...int) {
		t.Helper()
		l, err := g.Apply(stock, &schemas.StockDelta{Location: location, Mode: mode, OnHand: schemas.Some(onHand)})
		if err != nil || !slices.Equal(g.Touched[l], want) {
			t.Errorf("%s touches %v, %v; want %v", location, g.Touched[l], err, want)
		}
	}
	apply("L1", schemas.ModeAdjust, -4000, 0, 3, 4)
	apply("L2", schemas.ModeUpdate, 9000, 1, 4)
	apply("L2", schemas.ModeAdjust, -2500, 1, 4)
	if _, err := g.Apply(stock, &schemas.StockDelta{Location: "L4"}); err == nil {
		t.Error("a location that there is not was changed")
	}
	for place, want := range []schemas.AvailabilityUpdate{
		{Place: "L1", PlaceType: schemas.PlaceLocation, OnHand: -4000, Shortfall: 4000},
		{Place: "L2", PlaceType: schemas.PlaceLocation, OnHand: 6500, ATF: 6500, ATO: 6500},
		{Place: "L3", PlaceType: schemas.PlaceLocation},
		{Place: "A", PlaceType: schemas.PlaceGroup, OnHand: -4000},
		{Place: "B", PlaceType: schemas.PlaceGroup, OnHand: 2500, ATF: 6500, ATO: 6500},
	} {
		var have schemas.AvailabilityUpdate
		g.Level("S", stock, place, time.UnixMicro(5), &have)
		if have.Place != want.Place || have.PlaceType != want.PlaceType || have.SKU != "S" || have.OnHand != want.OnHand ||
			have.ATF != want.ATF || have.ATO != want.ATO || have.Shortfall != want.Shortfall {
			t.Errorf("%+v, want %+v", have, want)
		}
	}
}
