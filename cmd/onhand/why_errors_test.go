package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"onhand/processor/availability"
	"onhand/schemas"
)

// whyGraph has a place of each kind that has no level.
const whyGraph = `
locations:
  - {externalReference: NJ-1}
  - {externalReference: NJ-2}
  - {externalReference: NY-3, sync: false}
  - {externalReference: SHOP, inventoryLocation: false}
groups:
  - {externalReference: EAST, locations: [NJ-1, NJ-2]}
  - {externalReference: NYC, enabled: false, locations: [NJ-2]}
  - {externalReference: NORTH, sync: false, locations: [NJ-2]}
`

// TestWhySaysWhatItCannotExplain asks for what is not there, and with half of the system away.
func TestWhySaysWhatItCannotExplain(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.onhand("why", "SHIRT").want(t, exitFailure, "holds nothing of namespace "+s.namespace, "onhand run")
	s.publishGraph(whyGraph)
	s.startProcessor()
	w := s.wire()
	s.sendDeltas(w, count("c1", "NJ-1", 9000, 3), adjustment("bad", "NOWHERE", 1000))
	dead := adjustment("bad", "NOWHERE", 1000)
	dead.SKU = "LOST"
	s.sendDeltas(w, dead)
	eventually(t, "all is folded", func() bool { return s.levels("SHIRT")["NJ-1"].OnHand == 9000 })
	s.status(0)

	for _, c := range []struct {
		args  string
		texts []string
	}{
		{"NONE", []string{"no place has SKU NONE in location graph 1", "onhand dlq ls --sku NONE"}},
		{"LOST", []string{"no place has SKU LOST", "refused, dead letter ", "UNKNOWN_LOCATION"}},
		{"SHIRT --place EAT", []string{`no location or group "EAT" in location graph 1; did you mean EAST?`, "onhand graph show"}},
		{"SHIRT --place NYC", []string{"NYC is disabled in location graph 1: it has no published level", "set enabled: true"}},
		{"SHIRT --place NORTH", []string{"NORTH is not synced in location graph 1", "set sync: true"}},
		{"SHIRT --place NY-3", []string{"NY-3 is not synced in location graph 1", "set sync: true"}},
		{"SHIRT --place SHOP", []string{"SHOP takes no stock in location graph 1", "set inventoryLocation: true"}},
		{"SHIRT --place NJ-2", []string{"NJ-2 does not have SKU SHIRT", "`onhand why SHIRT` lists the places"}},
	} {
		s.onhand(append([]string{"why"}, strings.Fields(c.args)...)...).want(t, exitFailure, c.texts...)
	}
	for _, c := range []struct{ args, want string }{
		{"a/b", "SKU"}, {"SHIRT --changes 1001", "--changes"}, {"SHIRT --changes -1", "--changes"}, {"SHIRT --look-back far", "--look-back"},
		{"SHIRT --look-back 0", "--look-back"}, {"SHIRT --look-back 5,-1h", "--look-back"}, {"", "onhand why wants SKU"},
	} {
		s.onhand(append([]string{"why"}, strings.Fields(c.args)...)...).want(t, exitUsage, c.want)
	}
	s.withoutKafka()
	s.withoutRegistry()
	s.otherKafka()
	r := onhand(t, append(s.environ, "ONHAND_REDIS=redis://"+unusedAddress(t)+"/0"), "why", "SHIRT")
	r.want(t, exitFailure, "nothing listens there", "--redis (ONHAND_REDIS)")
}

func (s *stage) withoutKafka() {
	s.Helper()
	environ := append(slices.Clone(s.environ), "ONHAND_BROKERS="+unusedAddress(s.T))
	soon(s.T, func() result { return onhand(s.T, environ, "why", "SHIRT", "--place", "NJ-1") }).
		want(s.T, 0, "9  counted, effective 2026-01-03", "ATF 9, available to fulfill", "topic: not read", "note: the topics could not be read: no Kafka broker answers", "--brokers (ONHAND_BROKERS)")
	var r whyReport
	call := onhand(s.T, environ, "why", "SHIRT", "--json")
	if err := json.Unmarshal([]byte(call.out), &r); err != nil {
		s.Fatal(err)
	}
	if r.Member != nil || len(r.Notes) != 1 || len(r.Places) != 2 || r.Places[0].Published.State != publishedUnread {
		s.Errorf("%s", call.out)
	}
}

// withoutRegistry goes on with the schemas that the processor has kept in Redis.
func (s *stage) withoutRegistry() {
	s.Helper()
	environ := append(slices.Clone(s.environ), "ONHAND_REGISTRY=http://"+unusedAddress(s.T))
	r := soon(s.T, func() result { return onhand(s.T, environ, "why", "SHIRT", "--place", "NJ-1") })
	r.want(s.T, 0, "ATF 9, available to fulfill", "topic: the same", "UPDATE", "stands: on hand")
	if r.err != "" {
		s.Error(r.err)
	}
}

// otherKafka is one whose topics have another partition count than the state in Redis.
func (s *stage) otherKafka() {
	s.Helper()
	other := fakeStage(s.T)
	other.environ[2], other.environ[3] = s.environ[2], s.environ[3]
	other.must("topics", "apply", "--partitions", "8")
	other.onhand("why", "SHIRT").want(s.T, exitFailure, "Redis has the state of 4 partitions, the topics have 8", "--brokers, --redis and --namespace")
}

// TestWhySaysWhatIsHeldWhereThereIsNoLevel has reservations at a place that the graph has lost.
func TestWhySaysWhatIsHeldWhereThereIsNoLevel(t *testing.T) {
	w := newWhyWorld(t, "EAST: NJ-1 NY-2")
	w.count("NJ-1", 9, "01-01 00:00")
	w.reserve("order-1", "NJ-1", 2, "")
	s := w.state()
	s.data.Reservations[0].Reservation.Lines[0].Place.ID = "GONE"
	_, err := s.report(&whyFlags{place: "GONE"}, 0)
	if err == nil || !strings.Contains(err.Error(), `no location or group "GONE" in location graph 7; reservations still hold 2 of SHIRT there`) {
		t.Error(err)
	}
	s.at.GraphVersion = 8
	_, err = s.report(&whyFlags{place: "GONE"}, 0)
	if err == nil || !strings.Contains(err.Error(), "was computed; the task has adopted version 8 since; reservations still hold 2") {
		t.Error(err)
	}
	r, err := s.report(&whyFlags{}, 0)
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "has adopted location graph 8, and has not come to this SKU yet") {
		t.Error(r, err)
	}
}

// TestWhyKeepsTheShapeOfItsJSON compares every field that --json has with those that programs read already.
func TestWhyKeepsTheShapeOfItsJSON(t *testing.T) {
	w := newWhyWorld(t, "AA: L1 L2", "BB: L2 L3")
	for _, id := range []string{"L1", "L2", "L3"} {
		w.count(id, 5, "01-01 00:00")
		w.adjust(id, id, 1, "01-01 10:00")
	}
	w.delta(availability.Delta{Location: "L2", HasFutures: true, Futures: []availability.Future{{Quantity: units(3), Expected: instant("04-01 00:00")}}, EffectiveAt: instant("01-01 00:00")})
	w.reserve("order-1", "BB", 9, "")
	w.reserve("order-2", "L2", 1, "04-01 00:00")
	s := w.state()
	r, _ := s.why(t, &whyFlags{place: "BB"})
	location, _ := s.why(t, &whyFlags{place: "L2"})
	r.Places = append(r.Places, location.Places...)
	r.Places[0].Published.Differences = []whyDifference{{}}
	r.Inputs, r.LookedAt = []whyInput{{}}, []whyLookedAt{{}}
	r.Changes = []whyChange{{}}
	var out strings.Builder
	if err := printJSON(&out, r); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal([]byte(out.String()), &v); err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]bool)
	collectFields(fields, "", v)
	var got []string
	for field := range fields {
		got = append(got, field)
	}
	slices.Sort(got)
	want := strings.Fields(whyFields)
	for _, field := range got {
		if !slices.Contains(want, field) {
			t.Errorf("%s is new: add it to whyFields", field)
		}
	}
	for _, field := range want {
		if !fields[field] {
			t.Errorf("%s is gone; programs read it", field)
		}
	}
}

// collectFields lists the paths of all fields, of lists those of their elements.
func collectFields(into map[string]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			into[path+name] = true
			collectFields(into, path+name+".", value)
		}
	case []any:
		for _, value := range v {
			collectFields(into, path, value)
		}
	}
}

const whyFields = `
changes changes.action changes.deadLetter changes.effect changes.effectiveDate changes.granted changes.id changes.offset changes.partition changes.place
changes.reservationId changes.text changes.timestamp changes.toPlace changes.topic changes.traceId changes.values
exists graphVersion inputs inputs.next inputs.topic
lookedAt lookedAt.from lookedAt.logStart lookedAt.since lookedAt.stopped lookedAt.to lookedAt.topic
member notes otherPlaces places
places.group places.group.ato places.group.ato.bound places.group.ato.bound.free places.group.ato.bound.locations places.group.ato.bound.otherLocations
places.group.ato.bound.promised places.group.ato.bound.promised.group places.group.ato.bound.promised.quantity places.group.ato.bound.text places.group.ato.quantity
places.group.atf places.group.atf.bound places.group.atf.bound.free places.group.atf.bound.locations places.group.atf.bound.otherLocations
places.group.atf.bound.promised places.group.atf.bound.promised.group places.group.atf.bound.promised.quantity places.group.atf.bound.text places.group.atf.quantity
places.group.excluded places.group.locations
places.group.members places.group.members.atf places.group.members.ato places.group.members.futureQuantity places.group.members.onHand places.group.members.place
places.group.members.reserved places.group.members.safetyStockCount places.group.otherMembers
places.group.others places.group.others.atf places.group.others.ato places.group.others.futureQuantity places.group.others.onHand places.group.others.place
places.group.others.reserved places.group.others.safetyStockCount
places.group.total places.group.total.atf places.group.total.ato places.group.total.futureQuantity places.group.total.onHand places.group.total.place
places.group.total.reserved places.group.total.safetyStockCount
places.group.reserved places.group.reserved.lines places.group.reserved.lines.expired places.group.reserved.lines.expiresAt places.group.reserved.lines.quantity
places.group.reserved.lines.reservationId places.group.reserved.otherLines places.group.reserved.otherQuantity places.group.reserved.unexplained
places.group.sharedOnAtf
places.level places.level.atf places.level.ato places.level.computedAt places.level.effectiveDate places.level.futureQuantity places.level.futures
places.level.futures.expectedDate places.level.futures.quantity places.level.graphVersion places.level.groupReserved places.level.nextExpectedDate
places.level.onHand places.level.place places.level.placeType places.level.reserved places.level.safetyStockCount places.level.sharedGroupReserved
places.level.shortfall places.level.sku places.level.version
places.location places.location.count places.location.countedAt places.location.deleted places.location.earlierMovements
places.location.futures places.location.futures.expectedDate places.location.futures.overdue places.location.futures.quantity places.location.futuresAt
places.location.movements places.location.movements.at places.location.movements.merged places.location.movements.quantity places.location.otherFutures
places.location.reservableAtf places.location.reservableAtf.bound places.location.reservableAtf.quantity places.location.reservableAto
places.location.reservableAto.bound places.location.reservableAto.quantity
places.location.reservableAtf.bound.free places.location.reservableAtf.bound.locations places.location.reservableAtf.bound.otherLocations
places.location.reservableAtf.bound.promised places.location.reservableAtf.bound.promised.group places.location.reservableAtf.bound.promised.quantity
places.location.reservableAtf.bound.text
places.location.reservableAto.bound.free places.location.reservableAto.bound.locations places.location.reservableAto.bound.otherLocations
places.location.reservableAto.bound.promised places.location.reservableAto.bound.promised.group places.location.reservableAto.bound.promised.quantity
places.location.reservableAto.bound.text
places.location.reserved places.location.reserved.lines places.location.reserved.lines.expired places.location.reserved.lines.expiresAt
places.location.reserved.lines.quantity places.location.reserved.lines.reservationId places.location.reserved.otherLines
places.location.reserved.otherQuantity places.location.reserved.unexplained places.location.safetyStockAt
places.published places.published.atf places.published.ato places.published.cause places.published.differences places.published.differences.computed
places.published.differences.field places.published.differences.published places.published.offset places.published.present places.published.state
places.published.timestamp places.published.traceId places.published.version
sku task version waiting waitingCount
`

// TestWhyTakesEveryKindOfChange reads what producers of all kinds send.
func TestWhyTakesEveryKindOfChange(t *testing.T) {
	at := instant("01-02 00:00")
	for _, c := range []struct {
		delta *availability.Delta
		event *availability.ReservationEvent
		want  string
	}{
		{delta: &availability.Delta{RecordID: "r", Location: "L1", Mode: availability.Adjust, HasOnHand: true, OnHand: -500}, want: "ADJUST L1  on hand -0.5"},
		{delta: &availability.Delta{Location: "L1", Mode: availability.Delete}, want: "DELETE L1  "},
		{delta: &availability.Delta{Location: "L1", HasOnHand: true, HasSafetyStock: true, SafetyStock: 2000, HasFutures: true}, want: "UPDATE L1  on hand 0, safety stock 2, 0 futures of 0"},
		{event: &availability.ReservationEvent{Action: availability.Release}, want: "RELEASE   all that is left"},
		{event: &availability.ReservationEvent{Action: availability.Transfer, Group: "EAST", ToLocation: "L1", HasQuantity: true, Quantity: 1500}, want: "TRANSFER EAST L1 1.5"},
	} {
		var change whyChange
		if c.delta != nil {
			c.delta.EffectiveAt, c.delta.At = at, at
			change.takeDelta(c.delta)
			if change.EffectiveDate != schemas.Some(schemas.Micros(at)) {
				t.Errorf("%+v", change)
			}
		} else {
			change.takeEvent(c.event)
		}
		if got := strings.Join([]string{change.Action, change.Place, change.ToPlace, change.Values}, " "); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
