package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
)

var simulatorSeed = flag.Uint64("simulator.seed", 0, "seed of TestSimulatorTellsAPossibleStory; 0 takes a new one")

// simWorld has endless stock everywhere and grants every request at once.
type simWorld struct {
	simulator *simulator
	graph     *schemas.LocationGraph
	now       time.Time
	events    []simEvent
}

func newSimWorld(t *testing.T, seed uint64) *simWorld {
	t.Helper()
	w := &simWorld{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	graph, err := sampleGraph(w.now)
	if err != nil {
		t.Fatal(err)
	}
	deltas, err := sampleFeed(graph, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.graph = graph
	plenty := simStock{onHand: 50 * availability.Unit, atf: 50 * availability.Unit, ato: 50 * availability.Unit}
	w.simulator = newSimulator(seed, "test", sampleSKUs(deltas), func(availability.SKU, string) (simStock, bool) { return plenty, true })
	w.simulator.setGraph(graph)
	return w
}

// run lets so many events happen, 20 a second.
func (w *simWorld) run(t *testing.T, events int) {
	t.Helper()
	for range events {
		w.now = w.now.Add(w.simulator.pause(20))
		event, ok := w.simulator.next(w.now)
		if !ok {
			t.Fatal("nothing happens")
		}
		w.events = append(w.events, event)
		if e := event.reservation; e != nil {
			w.simulator.answered(e.ReservationID, e.RequestID, e.Quantity, w.now.Add(3*time.Millisecond))
		}
	}
}

func TestSimulatorRepeatsItself(t *testing.T) {
	first, second, other := newSimWorld(t, 7), newSimWorld(t, 7), newSimWorld(t, 8)
	first.run(t, 500)
	second.run(t, 500)
	other.run(t, 500)
	if !reflect.DeepEqual(first.events, second.events) {
		t.Error("two runs of one seed differ")
	}
	if reflect.DeepEqual(first.events, other.events) {
		t.Error("runs of two seeds are the same")
	}
}

// TestSimulatorTellsAPossibleStory invents some minutes of traffic from a random seed and checks that every event could
// be: ids are unique, an order is reserved before it moves, stands at one place, and is closed once. Replay a failure by
// go test ./cmd/onhand -run PossibleStory -simulator.seed=N.
func TestSimulatorTellsAPossibleStory(t *testing.T) {
	seed := *simulatorSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	w := newSimWorld(t, seed)
	w.run(t, 4000)
	ids, kinds, at := map[string]bool{}, map[string]int{}, map[string]string{}
	unique := func(id string) {
		if ids[id] {
			t.Errorf("id %s comes twice", id)
		}
		ids[id] = true
	}
	for _, event := range w.events {
		if len(event.trace) != 55 || !strings.HasPrefix(event.trace, "00-") {
			t.Errorf("traceparent is %q", event.trace)
		}
		if d := event.delta; d != nil {
			kind, ok := simKind(d.ExternalRefID.Value)
			if !ok || d.OnHand.Valid && d.OnHand.Value < 0 && d.Mode != schemas.ModeAdjust {
				t.Errorf("delta %+v", d)
			}
			unique(d.RecordID)
			kinds[kind]++
			continue
		}
		e := event.reservation
		unique(e.RequestID)
		kinds[schemas.Action(e.Action).String()]++
		if problem := advanceOrder(at, e); problem != "" {
			t.Errorf("%s: %+v", problem, e)
		}
	}
	for _, kind := range []string{"SALE", "COUNT", "RESTOCK", "RESERVE", "TRANSFER", "FULFILL", "RELEASE"} {
		if kinds[kind] < 20 {
			t.Errorf("%d events of kind %s in 4,000, want at least 20; all: %v", kinds[kind], kind, kinds)
		}
	}
}

// advanceOrder moves an order in at, the places of open orders, and says what is impossible about the event.
func advanceOrder(at map[string]string, e *availability.ReservationEvent) string {
	place := string(e.Location) + string(e.Group)
	if (e.Location == "") == (e.Group == "") || e.Quantity <= 0 {
		return "not one place, or no quantity"
	}
	if _, open := at[e.ReservationID]; open != (e.Action != availability.Reserve) {
		return fmt.Sprintf("order is open: %v", open)
	}
	if e.Action != availability.Reserve && at[e.ReservationID] != place {
		return "order stands at " + at[e.ReservationID]
	}
	switch e.Action {
	case availability.Reserve:
		if e.ExpiresAt <= e.At {
			return "never expires, and would stay if the simulator stopped"
		}
		at[e.ReservationID] = place
	case availability.Transfer:
		if e.Group == "" || e.ToLocation == "" {
			return "not from a group to a location"
		}
		at[e.ReservationID] = string(e.ToLocation)
	case availability.Fulfill:
		if e.Location == "" {
			return "fulfilled at a group"
		}
		delete(at, e.ReservationID)
	case availability.Release:
		delete(at, e.ReservationID)
	}
	return ""
}

func TestSimulatorSellsOnlyWhatIsThere(t *testing.T) {
	w := newSimWorld(t, 3)
	w.simulator.stock = func(availability.SKU, string) (simStock, bool) { return simStock{}, false }
	w.run(t, 500)
	for _, event := range w.events {
		if d := event.delta; d != nil && d.Mode == schemas.ModeAdjust && d.OnHand.Value < 0 {
			t.Fatalf("sold from nothing: %+v", d)
		}
	}
}

func TestSimulatorFollowsTheGraph(t *testing.T) {
	w := newSimWorld(t, 5)
	w.run(t, 100)
	w.simulator.setGraph(&schemas.LocationGraph{Version: 2, Locations: []schemas.Location{
		{ExternalReference: "KIOSK", LocationType: simStoreType, InventoryLocation: true, Sync: true},
		{ExternalReference: "OFFICE", LocationType: simStoreType, Sync: true},
	}})
	w.events = nil
	w.run(t, 300)
	for _, event := range w.events {
		if d := event.delta; d != nil && d.Location != "KIOSK" {
			t.Fatalf("an event at a place that has none: %+v", d)
		}
		if e := event.reservation; e != nil && e.Action == availability.Reserve && e.Location != "KIOSK" {
			t.Fatalf("an order at a place that takes none: %+v", e)
		}
	}
	w.simulator.setGraph(&schemas.LocationGraph{Version: 3})
	w.simulator.open, w.simulator.orders = nil, map[string]*simOrder{}
	if event, ok := w.simulator.next(w.now); ok {
		t.Errorf("%+v in an empty graph", event)
	}
}

func TestSampleIsWhole(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	graph, err := sampleGraph(now)
	if err != nil {
		t.Fatal(err)
	}
	deltas, err := sampleFeed(graph, now)
	if err != nil {
		t.Fatal(err)
	}
	if skus, locations := sampleSKUs(deltas), len(graph.Locations); len(skus) != 40 || locations != 8 || len(deltas) != 40*8 {
		t.Errorf("%d records of %d SKUs at %d locations, want every one of 40 at each of 8", len(deltas), len(skus), locations)
	}
	ids := map[string]bool{}
	for _, d := range deltas {
		ids[d.RecordID] = true
	}
	if len(ids) != len(deltas) {
		t.Errorf("%d record ids in %d records", len(ids), len(deltas))
	}
	members := map[string]int{}
	for _, g := range graph.Groups {
		for _, l := range g.Locations {
			members[l]++
		}
	}
	if members["STORE-MIAMI"] != 0 || members["DC-NEWARK"] < 2 {
		t.Errorf("groups that a location is in: %v; want none for STORE-MIAMI, several for DC-NEWARK", members)
	}
}
