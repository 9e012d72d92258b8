package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// benchKind is what a record of a benchmark is expected to come to.
type benchKind uint8

const (
	benchDelta  benchKind = iota // an update
	benchEvent                   // a result
	benchRepeat                  // nothing new: a record that was sent before
	benchPoison                  // a dead letter
	benchAside                   // a result that is not measured
)

// benchRecord is a record to send.
type benchRecord struct {
	*kgo.Record
	kind benchKind
}

// benchGarbage begins the value of each poisoned record: no schema frames its values so.
const benchGarbage = "no record "

// benchRecentMax is how many of the last records may be sent again.
const benchRecentMax = 1024

// benchStock is what a fill counts at each place: enough for a run's sales and reservations.
const benchStock = 10_000 * availability.Unit

// benchPlaces are the places that traffic goes to. They are replaced as a whole.
type benchPlaces struct {
	locations []availability.LocationID
	groups    []availability.GroupID
}

// benchTraffic makes the records of a run: the same plan, writer and times give the same records. One goroutine asks for
// records; another may replace the places.
type benchTraffic struct {
	plan   *benchPlan
	writer *topics.Writer
	random *rand.Rand
	zipf   *rand.Zipf
	skus   []string
	places atomic.Pointer[benchPlaces]
	number int
	recent []*kgo.Record
	oldest int // of recent, once it is full
}

func newBenchTraffic(p *benchPlan, w *topics.Writer, g *schemas.LocationGraph) *benchTraffic {
	t := &benchTraffic{plan: p, writer: w, random: rand.New(rand.NewPCG(p.Seed, p.Seed^0x9e3779b97f4a7c15)), skus: make([]string, p.SKUs)}
	for i := range t.skus {
		t.skus[i] = fmt.Sprintf("SKU-%06d", i)
	}
	if p.Skew.Zipf > 0 {
		t.zipf = rand.NewZipf(t.random, p.Skew.Zipf, 1, uint64(p.SKUs-1))
	}
	t.setPlaces(g)
	return t
}

// setPlaces makes the traffic go to the places of a graph.
func (t *benchTraffic) setPlaces(g *schemas.LocationGraph) {
	places := &benchPlaces{}
	for _, l := range g.Locations {
		places.locations = append(places.locations, availability.LocationID(l.ExternalReference))
	}
	for _, group := range g.Groups {
		places.groups = append(places.groups, availability.GroupID(group.ExternalReference))
	}
	t.places.Store(places)
}

// sku picks by the skew.
func (t *benchTraffic) sku() string {
	switch {
	case t.zipf != nil:
		return t.skus[t.zipf.Uint64()]
	case t.plan.Skew.Hot > 0 && t.random.Float64()*100 < t.plan.Skew.Hot:
		return t.skus[0]
	}
	return t.skus[t.random.IntN(len(t.skus))]
}

func (t *benchTraffic) id(kind string) string {
	t.number++
	return kind + "-" + strconv.Itoa(t.number)
}

// next is the record of an event at that time.
func (t *benchTraffic) next(at time.Time) benchRecord {
	switch share := t.random.Float64() * 100; {
	case share < t.plan.Poison:
		return t.poison(at)
	case share < t.plan.Poison+t.plan.Duplicates && len(t.recent) > 0:
		again := *t.recent[t.random.IntN(len(t.recent))]
		again.Timestamp = at
		return benchRecord{&again, benchRepeat}
	}
	r := t.fresh(at)
	if t.plan.Duplicates > 0 {
		copied := *r.Record
		if len(t.recent) < benchRecentMax {
			t.recent = append(t.recent, &copied)
		} else {
			t.recent[t.oldest] = &copied
			t.oldest = (t.oldest + 1) % benchRecentMax
		}
	}
	return r
}

// fresh is a record of the mix.
func (t *benchTraffic) fresh(at time.Time) benchRecord {
	places := t.places.Load()
	sku, location := t.sku(), places.locations[t.random.IntN(len(places.locations))]
	switch share := t.random.Float64() * 100; {
	case share < t.plan.Sales:
		return t.adjust("sale", sku, location, -availability.Unit, at)
	case share < t.plan.Sales+t.plan.Receipts:
		return t.adjust("receipt", sku, location, availability.Quantity(10+t.random.IntN(40))*availability.Unit, at)
	case share < t.plan.Sales+t.plan.Receipts+t.plan.Reservations:
		e := availability.ReservationEvent{SKU: availability.SKU(sku), Location: location, ExpiresAt: availability.None}
		if len(places.groups) > 0 && t.random.Float64()*100 < t.plan.AtGroups {
			e.Location, e.Group = "", places.groups[t.random.IntN(len(places.groups))]
		}
		return t.reserve("order", &e, at)
	}
	return t.count("count", sku, location, availability.Quantity(t.random.IntN(100))*availability.Unit, at, at)
}

func (t *benchTraffic) adjust(kind, sku string, location availability.LocationID, q availability.Quantity, at time.Time) benchRecord {
	d := schemas.StockDelta{RecordID: t.id(kind), SKU: sku, Location: string(location), Mode: schemas.ModeAdjust, OnHand: milli(q)}
	return benchRecord{t.writer.Delta(&d, at), benchDelta}
}

// count says that so much was there at a time of its own.
func (t *benchTraffic) count(kind, sku string, location availability.LocationID, q availability.Quantity, counted, at time.Time) benchRecord {
	d := schemas.StockDelta{RecordID: t.id(kind), SKU: sku, Location: string(location), Mode: schemas.ModeUpdate, OnHand: milli(q), EffectiveDate: micros(counted)}
	return benchRecord{t.writer.Delta(&d, at), benchDelta}
}

// reserve completes a reservation of one unit.
func (t *benchTraffic) reserve(kind string, e *availability.ReservationEvent, at time.Time) benchRecord {
	e.RequestID = t.id(kind)
	e.ReservationID, e.Action, e.Quantity, e.HasQuantity = "of-"+e.RequestID, availability.Reserve, availability.Unit, true
	e.EventAt, e.At = availability.None, instantOf(at)
	return benchRecord{t.writer.Event(e), benchEvent}
}

func (t *benchTraffic) poison(at time.Time) benchRecord {
	r := t.adjust("poison", t.sku(), "nowhere", 0, at).Record
	r.Value = []byte(benchGarbage + strconv.Itoa(t.number))
	return benchRecord{r, benchPoison}
}

// fill is the i-th of SKUs × locations counts, one for each balance, all of one time.
func (t *benchTraffic) fill(i int, counted, at time.Time) benchRecord {
	places := t.places.Load()
	sku, location := t.skus[i/len(places.locations)], places.locations[i%len(places.locations)]
	return t.count("fill", sku, location, benchStock, counted, at)
}

// feed is the i-th record of a full feed: what fill counted at the same time, but for the share that differs.
func (t *benchTraffic) feed(i int, counted, at time.Time) benchRecord {
	if t.random.Float64()*100 >= t.plan.Feed {
		return t.fill(i, counted, at)
	}
	places := t.places.Load()
	sku, location := t.skus[i/len(places.locations)], places.locations[i%len(places.locations)]
	return t.count("feed", sku, location, benchStock-availability.Quantity(1+t.random.IntN(50))*availability.Unit, at, at)
}

// benchHold begins the request ids of reservations that are to expire.
const benchHold = "hold"

// hold is a reservation that expires.
func (t *benchTraffic) hold(at, expires time.Time) benchRecord {
	places := t.places.Load()
	e := availability.ReservationEvent{SKU: availability.SKU(t.skus[t.random.IntN(len(t.skus))]), ExpiresAt: instantOf(expires),
		Location: places.locations[t.random.IntN(len(places.locations))]}
	r := t.reserve(benchHold, &e, at)
	r.kind = benchAside
	return r
}

// benchGraph spreads locations over overlapping groups, the same for the same numbers.
func benchGraph(p *benchPlan) *schemas.LocationGraph {
	random := rand.New(rand.NewPCG(p.Seed, 7))
	g := &schemas.LocationGraph{}
	members := make([]schemas.List[string], p.Groups)
	for l := range p.Locations {
		name := benchLocation(l)
		g.Locations = append(g.Locations, schemas.Location{ExternalReference: name, Name: name, LocationType: simStoreType, InventoryLocation: true, Sync: true})
		for _, group := range random.Perm(p.Groups)[:p.GroupsEach] {
			members[group] = append(members[group], name)
		}
	}
	for i := range members {
		if members[i] == nil { // few locations, many groups: every group has one
			members[i] = schemas.List[string]{benchLocation(i % p.Locations)}
		}
		name := fmt.Sprintf("GROUP-%02d", i)
		g.Groups = append(g.Groups, schemas.LocationGroup{ExternalReference: name, Name: name, Enabled: true, Sync: true, Locations: members[i]})
	}
	return g
}

func benchLocation(n int) string { return fmt.Sprintf("LOC-%04d", n) }
