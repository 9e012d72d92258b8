package availability

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var (
	seed  = flag.Uint64("seed", 1, "first seed of the randomized tests; case n has seed+n")
	cases = flag.Int("cases", 0, "cases of each randomized test; 0: its own default")
)

// eachCase runs a randomized test: one random source per case, so that a case is replayed by its own seed.
func eachCase(t *testing.T, ordinary int, run func(t *testing.T, r *rand.Rand)) {
	n := ordinary
	if *cases > 0 {
		n = *cases
	}
	t.Logf("seed %d, %d cases", *seed, n)
	at := *seed
	defer func() { // A case that fails ends the test where it stands.
		if t.Failed() {
			t.Logf("replay the case: go test ./processor/availability -run '^%s$' -seed=%d -cases=1", t.Name(), at)
		}
	}()
	for ; at < *seed+uint64(n); at++ {
		if run(t, rand.New(rand.NewPCG(at, 0))); t.Failed() {
			return
		}
	}
}

// generator makes what may happen to a few SKUs, without knowing what happened of it: graphs of a few overlapping groups,
// and events that mostly make sense. Times stand still enough for dates to meet; of one cell there are fewer movements than
// merge, and all are within the horizon and the window.
type generator struct {
	r          *rand.Rand
	locations  []LocationSpec
	groups     []GroupSpec
	version    int64
	clock      Instant
	ops        []op
	movements  map[plainPlaceID]int
	lines      []plainLine // places that reservations may be at
	repeatable bool        // earlier events come again
}

type plainPlaceID struct {
	sku SKU
	at  LocationID
}

const generatorStart = Instant(1_700_000_000_000_000) / Minute * Minute

func newGenerator(r *rand.Rand) *generator {
	g := &generator{r: r, clock: generatorStart, movements: map[plainPlaceID]int{}, repeatable: true}
	for i := range 2 + r.IntN(6) {
		g.locations = append(g.locations, LocationSpec{ID: LocationID(fmt.Sprintf("L%d", i)), Inventory: true, Sync: true})
	}
	for i := range 2 + r.IntN(6) {
		g.groups = append(g.groups, GroupSpec{ID: GroupID(fmt.Sprintf("G%d", i)), Enabled: true, Sync: true, Locations: g.someLocations()})
	}
	return g
}

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *generator) someLocations() []LocationID {
	some := []LocationID{pick(g.r, g.locations).ID}
	for _, l := range g.locations {
		if g.chance(30) && !slices.Contains(some, l.ID) {
			some = append(some, l.ID)
		}
	}
	return some
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// scenario returns a graph and n operations after it.
func (g *generator) scenario(n int) []op {
	g.publish()
	for len(g.ops) < n+1 {
		g.clock += Instant(g.r.IntN(90)) * Second
		switch roll := g.r.IntN(100); {
		case roll < 4:
			g.publish()
		case roll < 44:
			g.stock()
		case roll < 48:
			g.drop()
		default:
			g.reservation()
		}
	}
	return g.ops
}

// publish changes a few places and publishes the graph. Locations that are away have Since 0.
func (g *generator) publish() {
	g.version++
	spec := GraphSpec{Version: g.version}
	here := map[LocationID]bool{}
	for i := range g.locations {
		l := &g.locations[i]
		if away := g.chance(5); away {
			l.Since = 0
		} else if l.Since == 0 {
			l.Since = g.version
		}
		l.Sync, l.Inventory = !g.chance(7), !g.chance(4)
		if l.Since > 0 {
			spec.Locations = append(spec.Locations, *l)
			here[l.ID] = l.Inventory
		}
	}
	for i := range g.groups {
		p := g.groups[i]
		p.Enabled, p.Sync = !g.chance(6), !g.chance(6)
		p.Locations = slices.DeleteFunc(slices.Clone(p.Locations), func(id LocationID) bool { return !here[id] })
		if len(p.Locations) > 0 && !g.chance(4) {
			spec.Groups = append(spec.Groups, p)
		}
		if g.chance(15) {
			g.groups[i].Locations = g.someLocations()
		}
	}
	graph, err := spec.Compile()
	if err != nil {
		panic(err)
	}
	g.ops = append(g.ops, op{graph: graph})
}

func (g *generator) sku() SKU { return pick(g.r, []SKU{"red", "red", "blue"}) }

func (g *generator) anyLocation() LocationID {
	if g.chance(2) {
		return "NOWHERE"
	}
	return pick(g.r, g.locations).ID
}

func (g *generator) anyGroup() GroupID {
	if g.chance(2) {
		return "NONE"
	}
	return pick(g.r, g.groups).ID
}

// date is one of the last few minutes, so that dates meet.
func (g *generator) date() Instant {
	return g.clock/Minute*Minute - Instant(g.r.IntN(12))*Minute + Instant(g.r.IntN(3))*20*Second
}

func (g *generator) futures() (futures []Future) {
	for range g.r.IntN(3) {
		futures = append(futures, Future{Quantity(1 + g.r.IntN(6)), generatorStart + Instant(1+g.r.IntN(4))*24*Hour})
	}
	return SortFutures(futures)
}

// drop takes futures up to one of the dates that they have.
func (g *generator) drop() {
	g.ops = append(g.ops, op{drop: &dropOverdue{g.sku(), g.anyLocation(), generatorStart + Instant(g.r.IntN(5))*24*Hour}})
}

func (g *generator) stock() {
	if again := g.again(); again.delta != nil {
		if d := *again.delta; d.Mode == Adjust {
			d.At = g.clock
			g.ops = append(g.ops, op{delta: &d})
			return
		}
	}
	d := &Delta{RecordID: fmt.Sprintf("a%d", len(g.ops)), SKU: g.sku(), Location: g.anyLocation(), EffectiveAt: g.date(), At: g.clock}
	cell := plainPlaceID{d.SKU, d.Location}
	switch roll := g.r.IntN(100); {
	case roll < 10:
		d.Mode = Delete
	case roll < 35 && g.movements[cell] < movementsKept:
		g.movements[cell]++
		d.Mode, d.HasOnHand, d.OnHand = Adjust, true, Quantity(g.r.IntN(13)-5)
	default:
		if d.HasOnHand = g.chance(75); d.HasOnHand {
			d.OnHand = Quantity(g.r.IntN(14))
		}
		if d.HasSafetyStock = g.chance(20); d.HasSafetyStock {
			d.SafetyStock = Quantity(g.r.IntN(4))
		}
		if d.HasFutures = g.chance(25); d.HasFutures {
			d.Futures = g.futures()
		}
	}
	g.ops = append(g.ops, op{delta: d})
}

// again returns an earlier op, or none.
func (g *generator) again() op {
	if g.repeatable && g.chance(8) {
		return pick(g.r, g.ops)
	}
	return op{}
}

func (g *generator) reservation() {
	if again := g.again(); again.event != nil {
		e := *again.event
		e.At = g.clock
		switch g.r.IntN(6) {
		case 0:
			e.Quantity++
		case 1:
			e.ReservationID += "x"
		case 2:
			e.FulfillOnly = !e.FulfillOnly
		}
		if e.Action != Fulfill || g.room(&e) {
			g.ops = append(g.ops, op{event: &e})
		}
		return
	}
	e := &ReservationEvent{
		RequestID: fmt.Sprintf("q%d", len(g.ops)), ReservationID: fmt.Sprintf("r%d", g.r.IntN(6)), SKU: g.sku(),
		Quantity: Quantity(1 + g.r.IntN(8)), HasQuantity: true, EventAt: None, ExpiresAt: None, At: g.clock,
		RefusePartial: g.chance(20), FulfillOnly: g.chance(15),
	}
	roll := g.r.IntN(100)
	if len(g.lines) == 0 || roll < 40 {
		g.reserve(e)
	} else {
		g.handle(e, roll)
	}
	g.spoil(e)
	if e.Action != Fulfill || g.room(e) {
		g.ops = append(g.ops, op{event: e})
	}
}

// room says whether a fulfilment's movement can be told apart from the others of its cell, and counts it.
func (g *generator) room(e *ReservationEvent) bool {
	cell := plainPlaceID{e.SKU, e.Location}
	if g.movements[cell] < movementsKept {
		g.movements[cell]++
		return true
	}
	return false
}

func (g *generator) reserve(e *ReservationEvent) {
	if g.chance(60) {
		e.Group = g.anyGroup()
	} else {
		e.Location = g.anyLocation()
	}
	if g.chance(25) {
		e.ExpiresAt = generatorStart + Instant(20+g.r.IntN(3))*Hour
	}
	g.at(e, e.source())
}

func (g *generator) at(e *ReservationEvent, p Place) {
	g.lines = append(g.lines, plainLine{e.ReservationID, Line{Place: p}})
}

// handle transfers, fulfils or releases what may be there.
func (g *generator) handle(e *ReservationEvent, roll int) {
	line := pick(g.r, g.lines)
	e.ReservationID = line.reservation
	if line.Place.Type == GroupPlace {
		e.Group = GroupID(line.Place.ID)
	} else {
		e.Location = LocationID(line.Place.ID)
	}
	switch {
	case roll < 65:
		e.Action = Transfer
		if e.ToLocation = g.anyLocation(); e.Location != "" && g.chance(40) {
			e.ToLocation, e.ToGroup = "", g.anyGroup()
		}
		e.IgnoreAvailabilityCheck = e.Group != "" && g.chance(15)
		g.at(e, e.target())
	case roll < 80 && e.Location != "":
		e.Action = Fulfill
		if g.chance(60) {
			e.EventAt = g.date()
		}
	default:
		e.Action = Release
		e.HasQuantity = g.chance(60)
		if g.chance(30) {
			e.Location, e.Group = "", ""
		}
		if g.chance(15) {
			e.ExpiresAt = generatorStart + Instant(20+g.r.IntN(3))*Hour
		}
	}
	if !e.HasQuantity {
		e.Quantity = 0
	}
}

// spoil breaks a rule now and then.
func (g *generator) spoil(e *ReservationEvent) {
	if !g.chance(4) {
		return
	}
	switch g.r.IntN(8) {
	case 0:
		e.Quantity, e.HasQuantity = Quantity(-g.r.IntN(2)), true
	case 1:
		e.Quantity, e.HasQuantity = 0, false
	case 2:
		e.Group = g.anyGroup()
	case 3:
		e.Location = g.anyLocation()
	case 4:
		e.ToGroup = g.anyGroup()
	case 5:
		e.ToLocation = g.anyLocation()
	case 6:
		e.IgnoreAvailabilityCheck = true
	case 7:
		e.ExpiresAt = e.At - Instant(g.r.IntN(2))
	}
}

func (o op) String() string {
	switch {
	case o.graph != nil:
		return fmt.Sprintf("graph %+v", o.graph.Spec())
	case o.drop != nil:
		return fmt.Sprintf("drop %+v", *o.drop)
	case o.delta != nil:
		return fmt.Sprintf("delta %+v", *o.delta)
	}
	return fmt.Sprintf("event %+v", *o.event)
}
