package main

import (
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
)

func TestReservationsThatCannotBeAskedForAreUsageErrors(t *testing.T) {
	t.Parallel()
	environ := []string{"ONHAND_BROKERS=127.0.0.1:1"} // nothing is connected to
	for _, test := range []struct{ args, want string }{
		{"reserve S 1", "one of --location and --group is missing"},
		{"reserve S 1 --location A1 --group B1", "--location and --group exclude each other"},
		{"reserve S one --group B1", `"one" is not a decimal number`},
		{"reserve S 1.0001 --group B1", "more than three fraction digits"},
		{"reserve a/b 1 --group B1", `SKU "a/b"`},
		{"reserve S 1 --group B", `place "B"`},
		{"reserve S --group B1", "wants SKU QUANTITY, not 1"},
		{"reserve S 1 --group B1 --expires-at tomorrow", `--expires-at "tomorrow" is no time`},
		{"reserve S 1 --group B1 --expires-in 1m --expires-at 2026-01-01T00:00:00Z", "exclude each other"},
		{"reserve S 1 --group B1 --expires-in -1m", "--expires-in must be above 0"},
		{"transfer S 1 --group B1 --to-location A1", "--reservation is missing"},
		{"transfer S 1 --group B1 --reservation r", "one of --to-location and --to-group is needed"},
		{"transfer S 1 --group B1 --reservation r --to-location A1 --to-group B1", "one of --to-location and --to-group is needed"},
		{"fulfill S 1 --reservation r", "--location is missing"},
		{"fulfill S 1 --reservation r --location A1 --event-time now", `--event-time "now" is no time`},
		{"release S", "--reservation is missing"},
		{"release", "wants SKU QUANTITY, not 0"},
		{"get a/b", `SKU "a/b"`},
		{"get", "wants SKU"},
	} {
		onhand(t, environ, strings.Fields(test.args)...).want(t, exitUsage, test.want)
	}
}

func TestReservationEventsSayWhatTheFlagsSay(t *testing.T) {
	now := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	f := &reservationFlags{request: "q", reservation: "r", group: "EAST", noPartial: true, fulfillOnly: true, expiresIn: time.Minute, reference: "ref"}
	e, err := f.event(availability.Reserve, []string{"S", "1.5"}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := availability.ReservationEvent{
		RequestID: "q", ReservationID: "r", SKU: "S", Action: availability.Reserve, Quantity: 1500, HasQuantity: true, Group: "EAST", RefusePartial: true,
		FulfillOnly: true, EventAt: availability.None, ExpiresAt: availability.Instant(now.Add(time.Minute).UnixMicro()), ExternalRefID: "ref", At: availability.Instant(now.UnixMicro()),
	}
	if *e != want {
		t.Errorf("%+v\nwant\n%+v", *e, want)
	}
	f = &reservationFlags{location: "NY-2"}
	if e, err = f.event(availability.Reserve, []string{"S", "1"}, now); err != nil || len(e.RequestID) != 36 || len(e.ReservationID) != 36 || e.RequestID == e.ReservationID {
		t.Errorf("%+v %v", e, err)
	}
	f = &reservationFlags{reservation: "r"}
	if e, err = f.event(availability.Release, []string{"S"}, now); err != nil || e.HasQuantity || e.Location != "" {
		t.Errorf("%+v %v", e, err)
	}
}

func TestAReservationWithoutAProcessorSaysSo(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	s.onhand("reserve", "S", "1", "--group", "EAST", "--timeout", "300ms", "--request", "q1", "--reservation", "r1").
		want(t, exitFailure, "no result for request q1 within 300ms", "no processor runs", "--request q1 --reservation r1")
	// The event stands: a processor that comes later decides it, and the same request gets that decision.
	s.startProcessor()
	s.must("import", writeFile(t, "feed.ndjson", strings.ReplaceAll(storyFeed, "SHIRT", "S")))
	first := s.onhand("reserve", "S", "1", "--group", "EAST", "--request", "q1", "--reservation", "r1")
	again := s.onhand("reserve", "S", "1", "--group", "EAST", "--request", "q1", "--reservation", "r1")
	if first.code != again.code || first.out != again.out {
		t.Errorf("%d %s\nand again\n%d %s", first.code, first.out, again.code, again.out)
	}
	other := s.onhand("reserve", "S", "2", "--group", "EAST", "--request", "q1", "--reservation", "r1")
	other.want(t, exitFailure, "DuplicateEventId")
}

func TestWatchEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	s.startProcessor()
	watch := s.start("watch", "--from-start", "--json")
	s.must("import", writeFile(t, "feed.ndjson", storyFeed))
	eventually(t, "a level is printed", func() bool {
		out, _ := watch.output()
		return strings.Contains(out, `"place":"EAST"`)
	})
	// The location leaves the graph: its levels are gone.
	s.must("graph", "publish", writeFile(t, "graph.yaml", "locations: [{externalReference: NY-2}]"), "--wait-swept")
	eventually(t, "a tombstone is printed", func() bool {
		out, _ := watch.output()
		return strings.Contains(out, `{"place":"NJ-1","sku":"SHIRT","tombstone":true,"version":`)
	})
	if code := watch.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.must("watch", "--from-start", "--count", "50", "--sku", "SHIRT", "--place", "NJ-1", "--count", "2").want(t, 0, "SHIRT", "NJ-1", "gone")
}
