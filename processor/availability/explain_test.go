package availability

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestReservableNamesWhatLimitsIt compares what can be reserved at every place with the minimum over every set of groups,
// and the bound that is named with that.
//
// Generated: as in TestPromisesAreExact. Compared: the quantity, on ATO and on ATF, at groups and at locations; that the
// bound leaves just that; that its promises are what its groups have promised, and that a location without a bound is limited
// by its own stock.
//
// Replay:
//
//	go test ./processor/availability -run '^TestReservableNamesWhatLimitsIt$' -seed=N -cases=1
func TestReservableNamesWhatLimitsIt(t *testing.T) {
	eachCase(t, 400, func(t *testing.T, r *rand.Rand) {
		f, s := randomPromises(t, r)
		for _, p := range f.graph.Places() {
			for _, fulfill := range []bool{false, true} {
				compareBound(t, f, s, p, fulfill)
			}
		}
	})
}

func compareBound(t *testing.T, f *Folder, s *Stock, p Place, fulfill bool) {
	t.Helper()
	q, bound := f.Reservable(s, p, fulfill)
	want, own := bruteReservable(f, s, p, fulfill)
	if q != want {
		t.Errorf("%s at %s, want %s", q, p.ID, want)
	}
	if bound == nil {
		if p.Type == GroupPlace || want != own {
			t.Errorf("%s has %s of its own and %s can be reserved, and nothing is named", p.ID, own, want)
		}
		return
	}
	if bound.Left() != want {
		t.Errorf("%s: %s; want %s", p.ID, bound, want)
	}
	for _, d := range bound.Promised {
		if d.Quantity <= 0 || d.Quantity != s.lostDemand(d.Group) {
			t.Errorf("%s: %s has promised %s, not %s", p.ID, d.Group, s.lostDemand(d.Group), d.Quantity)
		}
	}
	if len(bound.Locations) > messageLocations || !slices.IsSorted(bound.Locations) || len(bound.Locations) < messageLocations && bound.Others > 0 {
		t.Errorf("%s: %v and %d more", p.ID, bound.Locations, bound.Others)
	}
}

// bruteReservable is the minimum over all sets of groups that contain the place, and, of a location, what it has itself.
func bruteReservable(f *Folder, s *Stock, p Place, fulfill bool) (least, own Quantity) {
	var in []int32
	least = 1 << 62
	if p.Type == GroupPlace {
		in = []int32{f.graph.group(GroupID(p.ID))}
	} else {
		loc := f.graph.location(LocationID(p.ID))
		in = f.graph.groupsOf(loc)
		least = 0
		if c := s.peek(loc); c != nil {
			if least = c.sums().ato; fulfill {
				least = c.sums().atf
			}
		}
	}
	own = least
	if len(in) == 0 || p.Type == LocationPlace && !f.demanded(s, f.graph.groups[in[0]].part) {
		return least, own
	}
	groups := f.graph.parts[f.graph.groups[in[0]].part].groups
	for set := range 1 << len(groups) {
		for i, g := range groups {
			if set&(1<<i) != 0 && slices.Contains(in, g) {
				free, demand := bruteSet(f, s, groups, set, fulfill)
				least = min(least, free-demand)
			}
		}
	}
	return least, own
}

func TestABoundIsASentence(t *testing.T) {
	b := Bound{Free: 20 * Unit, Locations: []LocationID{"NJ-1", "NY-2"}, Others: 3}
	for _, c := range []struct {
		promised []DemandData
		want     string
	}{
		{nil, "nobody has promised 0 of the 20 in {NJ-1, NY-2 and 3 more}; 20 left"},
		{[]DemandData{{"EAST", 17 * Unit}}, "EAST has promised 17 of the 20 in {NJ-1, NY-2 and 3 more}; 3 left"},
		{[]DemandData{{"EAST", 17 * Unit}, {"NORTH", 500}, {"WEST", 4 * Unit}}, "EAST, NORTH and WEST have promised 21.5 of the 20 in {NJ-1, NY-2 and 3 more}; -1.5 left"},
	} {
		if b.Promised = c.promised; b.String() != c.want {
			t.Errorf("%s\nwant\n%s", &b, c.want)
		}
	}
	g, err := (&GraphSpec{Version: 1}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	if q, bound := NewFolder(g, DefaultRules(), NewWindow(Hour)).Reservable(&Stock{}, Place{GroupPlace, "EAST"}, false); q != 0 || bound != nil {
		t.Error(q, bound)
	}
}
