package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// Limits of the simulator.
const (
	simOrdersMax     = 500              // open at once; beyond it nobody orders
	simAnswerWait    = 30 * time.Second // for the result of a reservation event; then the order is forgotten
	simOrderLife     = 10 * time.Minute // a reservation that a stopped simulator left open ends by itself
	simBasketLife    = 20 * time.Second // of a basket that is never bought
	simTries         = 12               // places looked at for one that has what an event needs
	simRateMax       = 500.0            // events a second
	simStepEvents    = 40               // least between two steps of an order
	simLowStock      = 8 * availability.Unit
	simCountMistakes = 2 // units that a count may differ from what was thought to be there
)

// simStock is what a shop knows of a SKU at a place: the newest update it has received.
type simStock struct {
	onHand, atf, ato availability.Quantity
}

// simEvent is an event of the simulator: a stock delta or a reservation event. The other one is nil.
type simEvent struct {
	delta       *schemas.StockDelta
	reservation *availability.ReservationEvent
	trace       string // traceparent
}

// simulator invents the traffic of a chain of shops: sales, receipts, counts, restocks, and orders that are reserved at a
// group or at a store, moved to a location, and fulfilled or released. It decides by what a storefront knows, so it sells
// what is shown to be there. The same seed, times, stock and answers give the same events. Several goroutines may use it.
type simulator struct {
	mu     sync.Mutex
	random *rand.Rand
	skus   []availability.SKU
	stores []availability.LocationID // sell over the counter
	depots []availability.LocationID // receive deliveries; the stores receive too
	groups []availability.GroupSpec
	stock  func(availability.SKU, string) (simStock, bool)
	number int64
	run    string  // tells the ids of one run from those of another
	rate   float64 // events a second, as asked for last
	orders map[string]*simOrder
	open   []*simOrder // orders, oldest first
}

// simOrder is an order under way.
type simOrder struct {
	id       string
	sku      availability.SKU
	quantity availability.Quantity // granted
	group    availability.GroupID  // of an order to be shipped
	location availability.LocationID
	dueAt    time.Time // of the next step; while an answer is awaited, when to give up
	asked    string    // request whose answer is awaited
	step     availability.Action
	basket   bool // left to expire
}

// newSimulator returns a simulator of SKUs, which does nothing until it has a graph. Run tells its ids from those of
// another run; stock is asked with the simulator locked.
func newSimulator(seed uint64, run string, skus []availability.SKU, stock func(availability.SKU, string) (simStock, bool)) *simulator {
	return &simulator{random: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)), run: run, skus: skus, stock: stock,
		orders: map[string]*simOrder{}}
}

// setGraph lets the traffic flow at the places of a published graph from the next event on.
func (s *simulator) setGraph(graph *schemas.LocationGraph) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stores, s.depots, s.groups = nil, nil, nil
	for _, l := range graph.Locations {
		switch id := availability.LocationID(l.ExternalReference); {
		case !l.InventoryLocation || !l.Sync:
		case l.LocationType == simStoreType:
			s.stores = append(s.stores, id)
		default:
			s.depots = append(s.depots, id)
		}
	}
	for _, g := range topics.GraphSpec(graph).Groups {
		if g.Enabled && g.Sync {
			s.groups = append(s.groups, g)
		}
	}
}

// simStoreType is the locationType of a location that sells over the counter.
const simStoreType = "Store"

// pause returns the time until the next event at so many events a second: random, as customers are.
func (s *simulator) pause(rate float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate = rate
	return time.Duration(min(5, s.random.ExpFloat64()) / rate * float64(time.Second))
}

// next invents the event of this moment: the next step of an order whose time has come, or something new. False: the
// graph has no place where anything could happen.
func (s *simulator) next(now time.Time) (simEvent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	if o := s.due(now); o != nil {
		return s.advance(o, now), true
	}
	if len(s.stores)+len(s.depots) == 0 || len(s.skus) == 0 {
		return simEvent{}, false
	}
	switch n := s.random.IntN(100); {
	case n < 46:
		return s.sale(now), true
	case n < 80:
		return s.order(now), true
	case n < 88:
		return s.receipt(now), true
	case n < 96:
		return s.count(now), true
	default:
		return s.restock(now), true
	}
}

// sku picks a SKU: some sell much better than others.
func (s *simulator) sku() availability.SKU {
	r := s.random.Float64()
	return s.skus[int(r*r*float64(len(s.skus)))]
}

func (s *simulator) location() availability.LocationID {
	i := s.random.IntN(len(s.stores) + len(s.depots))
	if i < len(s.stores) {
		return s.stores[i]
	}
	return s.depots[i-len(s.stores)]
}

// counter is a location that sells over the counter; any if there is none.
func (s *simulator) counter() availability.LocationID {
	if len(s.stores) == 0 {
		return simPick(s.random, s.depots)
	}
	return simPick(s.random, s.stores)
}

func (s *simulator) sale(now time.Time) simEvent {
	for range simTries {
		sku, store := s.sku(), s.counter()
		units := availability.Unit
		if s.random.IntN(10) == 0 {
			units = 2 * availability.Unit
		}
		if stock, ok := s.stock(sku, string(store)); ok && stock.atf >= units {
			return s.adjust(now, "sale", sku, store, -units)
		}
	}
	return s.receipt(now)
}

// receipt is a delivery to a place that has little left. Where a few looks find none, somebody counts instead: stock must
// not grow for ever.
func (s *simulator) receipt(now time.Time) simEvent {
	for range simTries {
		sku, location := s.sku(), s.location()
		if stock, ok := s.stock(sku, string(location)); !ok || stock.atf < simLowStock {
			units := availability.Quantity(6*(1+s.random.IntN(4))) * availability.Unit
			return s.adjust(now, "receipt", sku, location, units)
		}
	}
	return s.count(now)
}

func (s *simulator) adjust(now time.Time, kind string, sku availability.SKU, location availability.LocationID, units availability.Quantity) simEvent {
	return s.deltaEvent(now, kind, schemas.StockDelta{SKU: string(sku), Location: string(location), Mode: schemas.ModeAdjust,
		OnHand: milli(units)})
}

// count is a person with a list: near what was thought to be there, true from this moment on.
func (s *simulator) count(now time.Time) simEvent {
	sku, location := s.sku(), s.location()
	stock, _ := s.stock(sku, string(location))
	found := stock.onHand + availability.Quantity(s.random.IntN(2*simCountMistakes+1)-simCountMistakes)*availability.Unit
	return s.deltaEvent(now, "count", schemas.StockDelta{SKU: string(sku), Location: string(location), Mode: schemas.ModeUpdate,
		OnHand: milli(max(0, found))})
}

// restock announces a delivery to a depot: the list of futures is replaced.
func (s *simulator) restock(now time.Time) simEvent {
	days := time.Duration(2 + s.random.IntN(20))
	future := schemas.Future{Quantity: schemas.Milli(6*(1+s.random.IntN(6))) * schemas.Milli(availability.Unit),
		ExpectedDate: schemas.Micros(now.Add(days * 24 * time.Hour).Truncate(time.Hour).UnixMicro())}
	location := s.location()
	if len(s.depots) > 0 {
		location = simPick(s.random, s.depots)
	}
	return s.deltaEvent(now, "restock", schemas.StockDelta{SKU: string(s.sku()), Location: string(location), Mode: schemas.ModeUpdate,
		Futures: schemas.Some(schemas.List[schemas.Future]{future})})
}

func (s *simulator) deltaEvent(now time.Time, kind string, d schemas.StockDelta) simEvent {
	d.RecordID, d.ExternalRefID, d.EffectiveDate = s.id(kind), schemas.Some(s.reference(kind)), micros(now)
	return simEvent{delta: &d, trace: s.trace()}
}

// order reserves at a group what will be shipped, or at a store what will be fetched there.
func (s *simulator) order(now time.Time) simEvent {
	if len(s.open) >= simOrdersMax {
		return s.sale(now)
	}
	o := &simOrder{sku: s.sku(), basket: s.random.IntN(12) == 0}
	life := simOrderLife
	if o.basket {
		life = simBasketLife
	}
	o.quantity = availability.Quantity(1+s.random.IntN(3)) * availability.Unit
	if len(s.groups) > 0 && s.random.IntN(3) > 0 {
		o.group = simPick(s.random, s.groups).ID
	} else {
		o.location = s.counter()
	}
	o.id = s.id("order")
	s.orders[o.id] = o
	s.open = append(s.open, o)
	return s.ask(o, now, availability.ReservationEvent{Action: availability.Reserve, ExpiresAt: instantOf(now.Add(life))})
}

// due returns the order whose next step is longest overdue, nil if none is. Orders that got no answer are forgotten.
func (s *simulator) due(now time.Time) *simOrder {
	s.open = slices.DeleteFunc(s.open, func(o *simOrder) bool {
		if o.asked != "" && now.After(o.dueAt) {
			delete(s.orders, o.id)
		}
		return s.orders[o.id] != o
	})
	var first *simOrder
	for _, o := range s.open {
		if o.asked == "" && !o.dueAt.After(now) && (first == nil || o.dueAt.Before(first.dueAt)) {
			first = o
		}
	}
	return first
}

// advance takes the next step of an order: to a location that has the goods, out of the door, or back.
func (s *simulator) advance(o *simOrder, now time.Time) simEvent {
	to, ok := s.source(o)
	switch {
	case o.step == availability.Release || s.random.IntN(8) == 0 || o.location == "" && !ok:
		return s.ask(o, now, availability.ReservationEvent{Action: availability.Release})
	case o.location == "":
		event := s.ask(o, now, availability.ReservationEvent{Action: availability.Transfer, ToLocation: to})
		o.location = to
		return event
	default:
		return s.ask(o, now, availability.ReservationEvent{Action: availability.Fulfill, EventAt: instantOf(now)})
	}
}

// source is the member of the order's group that has most of what was ordered, if it has enough.
func (s *simulator) source(o *simOrder) (best availability.LocationID, ok bool) {
	most := o.quantity - 1
	for _, g := range s.groups {
		if g.ID != o.group {
			continue
		}
		for _, l := range g.Locations {
			if stock, known := s.stock(o.sku, string(l)); known && stock.ato > most {
				best, most, ok = l, stock.ato, true
			}
		}
	}
	return best, ok
}

// ask completes an event with what the order is and where it stands.
func (s *simulator) ask(o *simOrder, now time.Time, event availability.ReservationEvent) simEvent {
	event.RequestID, event.ReservationID, event.SKU = s.id("request"), o.id, o.sku
	event.Quantity, event.HasQuantity, event.ExternalRefID = o.quantity, true, s.reference("order")
	event.At, event.EventAt = instantOf(now), cmp.Or(event.EventAt, availability.None)
	event.ExpiresAt = cmp.Or(event.ExpiresAt, availability.None)
	if event.Location = o.location; o.location == "" {
		event.Group = o.group
	}
	o.asked, o.step, o.dueAt = event.RequestID, event.Action, now.Add(simAnswerWait)
	return simEvent{reservation: &event, trace: s.trace()}
}

// answered tells the simulator the result of a reservation event: how much was granted, 0 where it was rejected. Answers
// to requests that are not its own are ignored.
func (s *simulator) answered(reservationID, requestID string, granted availability.Quantity, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.orders[reservationID]
	if !ok || o.asked != requestID {
		return
	}
	o.asked, o.dueAt = "", now.Add(s.patience())
	switch o.step {
	case availability.Reserve:
		o.quantity = granted
		if granted == 0 || o.basket {
			delete(s.orders, o.id)
		}
	case availability.Transfer:
		if granted == 0 {
			o.location, o.step = "", availability.Release
		}
	case availability.Fulfill, availability.Release:
		delete(s.orders, o.id)
	}
}

// patience is the time between two steps of an order, in which some other events happen: 2 to 7 s at 20 events a second.
func (s *simulator) patience() time.Duration {
	others := float64(simStepEvents + s.random.IntN(100))
	return time.Duration(others / max(1, s.rate) * float64(time.Second))
}

func (s *simulator) id(kind string) string {
	return fmt.Sprintf("%s%s-%s-%d", simIDPrefix, s.run, kind, s.number)
}

func (s *simulator) reference(kind string) string {
	return fmt.Sprintf("%s%s/%d", simReference, kind, s.number)
}

// simReference begins the externalRefId of each event of the simulator, simIDPrefix its ids.
const (
	simReference = "dev/"
	simIDPrefix  = "dev-"
)

// trace is a W3C traceparent of a sampled trace.
func (s *simulator) trace() string {
	high, low, span := cmp.Or(s.random.Uint64(), 1), s.random.Uint64(), cmp.Or(s.random.Uint64(), 1)
	return fmt.Sprintf("00-%016x%016x-%016x-01", high, low, span)
}

func simPick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

func milli(q availability.Quantity) schemas.Optional[schemas.Milli] {
	return schemas.Some(schemas.Milli(q))
}

func micros(t time.Time) schemas.Optional[schemas.Micros] {
	return schemas.Some(schemas.Micros(t.UnixMicro()))
}

func instantOf(t time.Time) availability.Instant { return availability.Instant(t.UnixMicro()) }
