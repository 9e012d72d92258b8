package main

import (
	"slices"
	"testing"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
)

// TestWhySaysWhatOfARecordIsInTheNumber reads records against a location that was counted on the 4th, whose safety stock is
// of the 5th and whose futures were never set, with movements of one minute merged.
func TestWhySaysWhatOfARecordIsInTheNumber(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1 NY-2")
	for i := range 20 {
		w.adjust(string(rune('a'+i)), "NJ-1", 1, "01-04 08:00")
	}
	w.delta(availability.Delta{Location: "NJ-1", HasOnHand: true, OnHand: units(5), EffectiveAt: instant("01-04 08:00") + 30*availability.Second})
	w.delta(availability.Delta{Location: "NJ-1", HasSafetyStock: true, SafetyStock: units(1), EffectiveAt: instant("01-05 00:00")})
	s := w.state()
	adjust := func(at availability.Instant) availability.Delta {
		return availability.Delta{Location: "NJ-1", Mode: availability.Adjust, HasOnHand: true, OnHand: 1, EffectiveAt: at}
	}
	all := func(at string) availability.Delta {
		return availability.Delta{Location: "NJ-1", HasOnHand: true, HasSafetyStock: true, HasFutures: true, EffectiveAt: instant(at)}
	}
	counted := s.cell("NJ-1").CountedAt
	tie := availability.Delta{Location: "NJ-1", HasOnHand: true, EffectiveAt: counted}
	elsewhere, remove := adjust(counted), all("01-04 12:00")
	elsewhere.Location, remove.Mode = "NY-2", availability.Delete
	for _, c := range []struct {
		deltas []availability.Delta
		want   []string
	}{
		{[]availability.Delta{adjust(counted)}, []string{"stands: moves on hand since the count"}},
		{[]availability.Delta{adjust(counted - 1)}, []string{"stands: moves on hand since the count"}}, // its minute was merged, and stays whole
		{[]availability.Delta{adjust(counted - availability.Minute)}, []string{"overtaken: the count is newer and has it"}},
		{[]availability.Delta{elsewhere}, []string{"overtaken: the location has no history of the SKU"}},
		{[]availability.Delta{all("01-03 00:00")}, []string{"stands: futures; a newer record has on hand, safety stock"}},
		{[]availability.Delta{all("01-05 00:00")}, []string{"stands: on hand, safety stock, futures"}},
		{[]availability.Delta{remove}, []string{"stands: on hand, futures; a newer record has safety stock"}},
		{[]availability.Delta{tie, tie}, []string{"overtaken: a newer record has on hand", "stands: on hand"}},
		{[]availability.Delta{{Location: "NJ-1", EffectiveAt: counted}}, []string{"overtaken: it carries no value"}},
	} {
		r := &whyReport{}
		for _, d := range c.deltas {
			var change whyChange
			d.RecordID = "id"
			change.takeDelta(&d)
			r.Changes = append(r.Changes, change)
		}
		r.settleEffects(s, time.Hour)
		for i, want := range c.want {
			if got := r.Changes[i].effectText(); got != want {
				t.Errorf("%+v: %q, want %q", c.deltas[i], got, want)
			}
		}
	}
}

// TestWhyTellsRepeatsWithinTheWindow has the same ids again, of an adjustment within the window and after it.
func TestWhyTellsRepeatsWithinTheWindow(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1")
	w.count("NJ-1", 5, "01-01 00:00")
	r := &whyReport{}
	for _, hour := range []availability.Instant{0, 2, 4} {
		var c whyChange
		c.takeDelta(&availability.Delta{RecordID: "a", Location: "NJ-1", Mode: availability.Adjust, HasOnHand: true, EffectiveAt: instant("01-02 00:00")})
		c.Timestamp = schemas.Micros(hour * availability.Hour)
		r.Changes = append(r.Changes, c)
	}
	r.settleEffects(w.state(), 3*time.Hour)
	if got := effects(r.Changes); !slices.Equal(got, []string{"ADJUST NJ-1 on hand +0: stands: moves on hand since the count", "ADJUST NJ-1 on hand +0: repeat: counted once",
		"ADJUST NJ-1 on hand +0: stands: moves on hand since the count"}) {
		t.Error(got)
	}
}

// TestWhyListsChangesOfConnectedGroups asks which changes have to do with a place: BB shares L2 with AA, CC shares L3 with BB,
// DD shares L9 with nobody who counts.
func TestWhyListsChangesOfConnectedGroups(t *testing.T) {
	spec := availability.GraphSpec{Version: 1}
	for _, id := range []availability.LocationID{"L1", "L2", "L3", "L4", "L8", "L9"} {
		spec.Locations = append(spec.Locations, availability.LocationSpec{ID: id, Inventory: true, Sync: id != "L9"})
	}
	group := func(id availability.GroupID, enabled bool, members ...availability.LocationID) {
		spec.Groups = append(spec.Groups, availability.GroupSpec{ID: id, Enabled: enabled, Sync: true, Locations: members})
	}
	group("CC", true, "L3", "L4")
	group("AA", true, "L1", "L2", "L9")
	group("BB", true, "L2", "L3")
	group("DD", true, "L9", "L8")
	group("EE", false, "L1")
	s := newWhyWorldOf(t, &spec).state()
	for _, c := range []struct {
		place availability.Place
		want  string
	}{
		{availability.Place{}, "AA BB CC DD EE L1 L2 L3 L4 L8 L9"},
		{availability.Place{Type: availability.LocationPlace, ID: "L2"}, "L2"},
		{availability.Place{Type: availability.GroupPlace, ID: "AA"}, "AA BB CC L1 L2 L9"},
		{availability.Place{Type: availability.GroupPlace, ID: "CC"}, "AA BB CC L3 L4"},
		{availability.Place{Type: availability.GroupPlace, ID: "DD"}, "DD L8 L9"},
	} {
		wanted, got := s.relevance(c.place), ""
		for _, id := range []string{"AA", "BB", "CC", "DD", "EE", "L1", "L2", "L3", "L4", "L8", "L9"} {
			if wanted(&whyChange{Place: id}) {
				got += " " + id
			}
			if !wanted(&whyChange{Place: "XX", ToPlace: id}) != !wanted(&whyChange{Place: id}) {
				t.Errorf("%s counts as a source alone", id)
			}
		}
		if got != " "+c.want || !wanted(&whyChange{}) {
			t.Errorf("%s: %s, want %s", c.place.ID, got, c.want)
		}
	}
}
