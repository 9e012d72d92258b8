package availability

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchGraph has n locations in six groups of a region each, which overlap in every tenth location, and a group of all.
func benchGraph(tb testing.TB, n int) *Graph {
	spec := GraphSpec{Version: 1}
	groups := make([][]LocationID, 6)
	var all []LocationID
	for i := range n {
		id := LocationID(fmt.Sprintf("store-%04d", i))
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
		all = append(all, id)
		groups[i%6] = append(groups[i%6], id)
		if i%10 == 0 {
			groups[(i+1)%6] = append(groups[(i+1)%6], id)
		}
	}
	spec.Groups = append(spec.Groups, GroupSpec{ID: "everywhere", Enabled: true, Sync: true, Locations: all})
	for i, locations := range groups {
		spec.Groups = append(spec.Groups, GroupSpec{ID: GroupID(fmt.Sprintf("region-%d", i)), Enabled: true, Sync: true, Locations: locations})
	}
	g, err := spec.Compile()
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// benchStock has 100 units at every location.
func benchStock(tb testing.TB, g *Graph) (*Folder, *Stock) {
	f := NewFolder(g, DefaultRules(), NewWindow(24*Hour))
	s := NewStock(g, &StockData{SKU: "sku", Complete: true})
	for i := range g.locations {
		d := Delta{SKU: "sku", Location: g.locations[i].ID, HasOnHand: true, OnHand: 100 * Unit, EffectiveAt: 1, At: 1}
		if outcome, _ := f.Delta(s, &d, i); outcome != Applied {
			tb.Fatalf("outcome %d", outcome)
		}
	}
	f.Finish(s, nil)
	return f, s
}

// benchLocations are the sizes of graph that an event's cost must not depend on.
var benchLocations = []int{20, 5000}

// BenchmarkCount is one UPDATE of on hand, from Delta to Finish: 1 location and 2 or 3 groups change.
func BenchmarkCount(b *testing.B) {
	for _, n := range benchLocations {
		b.Run(fmt.Sprintf("locations=%d", n), func(b *testing.B) {
			f, s := benchStock(b, benchGraph(b, n))
			d := Delta{SKU: "sku", Location: "store-0007", HasOnHand: true, EffectiveAt: 2, At: 2}
			var changes []Change
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.OnHand = Quantity(100+i%2) * Unit
				d.EffectiveAt++
				if outcome, _ := f.Delta(s, &d, i); outcome != Applied {
					b.Fatalf("outcome %d", outcome)
				}
				changes, _, _ = f.Finish(s, changes[:0])
				if i > 0 && len(changes) != 3 {
					b.Fatalf("%d changes", len(changes))
				}
			}
		})
	}
}

// BenchmarkCountWithFutures is BenchmarkCount where a hundred locations of the pool expect a restock on ten dates.
func BenchmarkCountWithFutures(b *testing.B) {
	f, s := benchStock(b, benchGraph(b, 5000))
	for i := range 100 {
		d := Delta{SKU: "sku", Location: LocationID(fmt.Sprintf("store-%04d", 7+6*i)), HasFutures: true, EffectiveAt: 1, At: 1}
		for j := range 2 {
			d.Futures = append(d.Futures, Future{Unit, Instant(i%5+5*j) * Hour})
		}
		if outcome, _ := f.Delta(s, &d, i); outcome != Applied {
			b.Fatalf("outcome %d", outcome)
		}
	}
	f.Finish(s, nil)
	d := Delta{SKU: "sku", Location: "store-0007", HasOnHand: true, EffectiveAt: 2, At: 2}
	var changes []Change
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.OnHand = Quantity(100+i%2) * Unit
		d.EffectiveAt++
		f.Delta(s, &d, i)
		if changes, _, _ = f.Finish(s, changes[:0]); i > 0 && (len(changes) != 3 || len(changes[1].After.Futures) != 10) {
			b.Fatalf("changes %+v", changes)
		}
	}
}

// BenchmarkAdjust is one ADJUST, from Delta to Finish, of a cell that has been adjusted for this many minutes since its
// count.
func BenchmarkAdjust(b *testing.B) {
	for _, minutes := range []int{1, 15, 72 * 60} {
		b.Run(fmt.Sprintf("minutes=%d", minutes), func(b *testing.B) {
			f, s := benchStock(b, benchGraph(b, 20))
			d := Delta{SKU: "sku", Location: "store-0007", Mode: Adjust, HasOnHand: true, OnHand: -1, EffectiveAt: 1}
			next := func(i int) {
				d.RecordID = fmt.Sprint(i)
				d.EffectiveAt += Minute
				f.Delta(s, &d, i)
				f.ids.Fresh()
			}
			for i := range minutes - 1 {
				next(-i - 1)
			}
			f.Finish(s, nil)
			var changes []Change
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%2 == 0 && minutes <= 15 {
					c := s.cell(s.graph.location(d.Location))
					c.setMovements(c.Movements[:minutes-1], f.rules.Horizon)
				}
				next(i)
				if changes, _, _ = f.Finish(s, changes[:0]); len(changes) != 3 {
					b.Fatalf("%d changes", len(changes))
				}
			}
		})
	}
}

// BenchmarkReserve is RESERVE and RELEASE at a location, with a Finish after each, while other reservations are open at the
// same place: their number must not matter. Half of what is promised is promised by groups.
func BenchmarkReserve(b *testing.B) {
	for _, n := range benchLocations {
		for _, open := range []int{10, 100_000} {
			b.Run(fmt.Sprintf("locations=%d/open=%d", n, open), func(b *testing.B) {
				f, s := benchStock(b, benchGraph(b, n))
				id := 0
				event := func(action Action, reservation string, group GroupID, at LocationID) Result {
					id++
					e := ReservationEvent{
						RequestID: fmt.Sprint(id), ReservationID: reservation, SKU: "sku", Action: action, Quantity: 1, HasQuantity: true,
						Group: group, Location: at, EventAt: None, ExpiresAt: None, At: Instant(id) * Second,
					}
					r, _ := f.Reservation(s, &e, 1, id)
					return r
				}
				for i := range open {
					if i%2 == 0 {
						event(Reserve, fmt.Sprint("r", i), "region-3", "")
					} else {
						event(Reserve, fmt.Sprint("r", i), "", "store-0007")
					}
				}
				f.Finish(s, nil)
				var changes []Change
				b.ReportAllocs()
				for b.Loop() {
					if r := event(Reserve, "mine", "", "store-0007"); r.Outcome != Accepted {
						b.Fatalf("%+v", r)
					}
					changes, _, _ = f.Finish(s, changes[:0])
					if r := event(Release, "mine", "", "store-0007"); r.Outcome != Accepted {
						b.Fatalf("%+v", r)
					}
					if changes, _, _ = f.Finish(s, changes[:0]); len(changes) < 3 || s.Bytes() < 1000 {
						b.Fatalf("%d changes, %d bytes", len(changes), s.Bytes())
					}
					f.ids.Fresh()
					delete(s.reservations, "mine")
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/event")
			})
		}
	}
}

// BenchmarkRefuse is a RESERVE of what is sold out, at a group of all locations and at one of them: most of what happens to
// a SKU in a flash sale.
func BenchmarkRefuse(b *testing.B) {
	for _, n := range benchLocations {
		for _, p := range []Place{{GroupPlace, "everywhere"}, {LocationPlace, "store-0007"}} {
			b.Run(fmt.Sprintf("locations=%d/at=%s", n, p.ID), func(b *testing.B) {
				f, s := benchStock(b, benchGraph(b, n))
				e := ReservationEvent{ReservationID: "r", SKU: "sku", Quantity: 1 << 50, HasQuantity: true, Group: "everywhere", EventAt: None, ExpiresAt: None}
				if r, _ := f.Reservation(s, &e, 1, 0); r.Granted != Quantity(n)*100*Unit {
					b.Fatalf("%+v", r)
				}
				f.Finish(s, nil)
				if e.Group = GroupID(p.ID); p.Type == LocationPlace {
					e.Group, e.Location = "", LocationID(p.ID)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					e.RequestID, e.At = fmt.Sprint(i), Instant(i)*Second
					if r, _ := f.Reservation(s, &e, 1, i); r.Outcome != Rejected || len(r.TightGroups) != 1 {
						b.Fatalf("%+v", r)
					}
					f.Finish(s, nil)
					f.ids.Fresh()
					delete(s.reservations, "r")
				}
			})
		}
	}
}

// BenchmarkPromises is what one group of twelve, which overlap in a ring and share a pool each with their neighbours, has
// left: a flow of all promises and a search for more.
func BenchmarkPromises(b *testing.B) {
	for _, demanded := range []int{1, 3, 12} {
		b.Run(fmt.Sprintf("demanded=%d", demanded), func(b *testing.B) {
			f, s := ringOfPromises(b, demanded)
			want := 110 * Unit
			b.ReportAllocs()
			for b.Loop() {
				f.touched()
				if got := f.promisesOf(s, 0, false).available(0); got != want {
					b.Fatalf("%s left, want %s", got, want)
				}
			}
		})
	}
}

// BenchmarkCountBesidePromises is BenchmarkCount where all groups of the component have promised something: every one of
// them may change.
func BenchmarkCountBesidePromises(b *testing.B) {
	for _, demanded := range []int{1, 3, 12} {
		b.Run(fmt.Sprintf("demanded=%d", demanded), func(b *testing.B) {
			f, s := ringOfPromises(b, demanded)
			f.Finish(s, nil)
			d := Delta{SKU: "sku", Location: "store-00", HasOnHand: true, EffectiveAt: 2, At: 2}
			var changes []Change
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.OnHand = Quantity(100+i%2) * Unit
				d.EffectiveAt++
				f.Delta(s, &d, i)
				if changes, _, _ = f.Finish(s, changes[:0]); i > 0 && len(changes) < 3 {
					b.Fatalf("%d changes", len(changes))
				}
			}
		})
	}
}

// ringOfPromises has twelve groups of two locations, one shared with either neighbour, 100 units each, and 90 promised at
// each of the first: the first group has 110 left, by itself, whoever else has promised.
func ringOfPromises(tb testing.TB, demanded int) (*Folder, *Stock) {
	spec := GraphSpec{Version: 1}
	for i := range 12 {
		spec.Locations = append(spec.Locations, LocationSpec{ID: LocationID(fmt.Sprintf("store-%02d", i)), Inventory: true, Sync: true, Since: 1})
	}
	for i := range 12 {
		spec.Groups = append(spec.Groups, GroupSpec{
			ID: GroupID(fmt.Sprintf("region-%02d", i)), Enabled: true, Sync: true,
			Locations: []LocationID{spec.Locations[i].ID, spec.Locations[(i+1)%12].ID},
		})
	}
	g, err := spec.Compile()
	if err != nil {
		tb.Fatal(err)
	}
	f, s := benchStock(tb, g)
	for i := range demanded {
		s.promise(spec.Groups[i].ID, 90*Unit)
	}
	return f, s
}

// BenchmarkCountInPools is BenchmarkCount where each location is in three of twelve groups, which makes 220 pools of 5,000
// locations, and all groups have promised something: little of what there is, or nine tenths.
func BenchmarkCountInPools(b *testing.B) {
	for _, n := range benchLocations {
		for _, tenths := range []Quantity{0, 9} {
			b.Run(fmt.Sprintf("locations=%d/promised=%d0%%", n, tenths), func(b *testing.B) {
				f, s := benchStock(b, scatteredGraph(b, n))
				for _, g := range s.graph.groups {
					s.promise(g.ID, max(Unit, Quantity(n)*100*Unit/12*tenths/10))
				}
				f.Finish(s, nil)
				d := Delta{SKU: "sku", Location: "store-0007", HasOnHand: true, EffectiveAt: 2, At: 2}
				var changes []Change
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					d.OnHand = Quantity(100+i%2) * Unit
					d.EffectiveAt++
					f.Delta(s, &d, i)
					if changes, _, _ = f.Finish(s, changes[:0]); i > 0 && len(changes) < 4 {
						b.Fatalf("%d changes", len(changes))
					}
				}
			})
		}
	}
}

// scatteredGraph has n locations, each in another three of twelve groups than its neighbours.
func scatteredGraph(tb testing.TB, n int) *Graph {
	spec := GraphSpec{Version: 1}
	for i := range 12 {
		spec.Groups = append(spec.Groups, GroupSpec{ID: GroupID(fmt.Sprintf("region-%02d", i)), Enabled: true, Sync: true})
	}
	var threes [][3]int
	for a := range 12 {
		for b := range a {
			for c := range b {
				threes = append(threes, [3]int{a, b, c})
			}
		}
	}
	for i := range n {
		id := LocationID(fmt.Sprintf("store-%04d", i))
		spec.Locations = append(spec.Locations, LocationSpec{ID: id, Inventory: true, Sync: true, Since: 1})
		for _, g := range threes[i*89%len(threes)] {
			spec.Groups[g].Locations = append(spec.Groups[g].Locations, id)
		}
	}
	g, err := spec.Compile()
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

var benchSKUs = flag.Int("benchskus", 1000, "SKUs of BenchmarkManySKUs, at 20 locations each; with 100,000 they are far more than a processor's cache")

// BenchmarkManySKUs is one count of a SKU that others have driven out of the processor's cache, from Delta to Finish, where this
// many SKUs are fetched together. For the figures that count:
//
//	go test -run '^$' -bench ManySKUs -benchtime 500000x ./processor/availability -benchskus 100000
func BenchmarkManySKUs(b *testing.B) {
	g := benchGraph(b, 20)
	f := NewFolder(g, DefaultRules(), NewWindow(24*Hour))
	stocks := make([]*Stock, *benchSKUs)
	at := Instant(1)
	count := func(s *Stock, location LocationID, q Quantity) {
		d := Delta{SKU: s.SKU, Location: location, HasOnHand: true, OnHand: q, EffectiveAt: at, At: at}
		if outcome, _ := f.Delta(s, &d, 0); outcome != Applied {
			b.Fatalf("outcome %d", outcome)
		}
	}
	for i := range stocks {
		stocks[i] = NewStock(g, &StockData{SKU: SKU(fmt.Sprintf("SKU-%07d", i)), Complete: true})
		for l := range g.locations {
			count(stocks[i], g.locations[l].ID, 100*Unit)
		}
		f.Finish(stocks[i], nil)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, atOnce := range []int{1, 8} {
		b.Run(fmt.Sprintf("fetched=%d", atOnce), func(b *testing.B) {
			var changes []Change
			next := make([]Ahead, atOnce)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%atOnce == 0 {
					for j := range next {
						next[j] = Ahead{stocks[random.IntN(len(stocks))], g.locations[random.IntN(20)].ID}
					}
					if atOnce > 1 {
						f.Fetch(next)
					}
				}
				at++
				a := &next[i%atOnce]
				count(a.Stock, a.Location, Quantity(at)*Unit)
				if changes, _, _ = f.Finish(a.Stock, changes[:0]); len(changes) < 2 {
					b.Fatalf("%d changes", len(changes))
				}
			}
		})
	}
}
