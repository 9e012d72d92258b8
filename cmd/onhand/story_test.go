package main

import (
	"encoding/json"
	"strings"
	"testing"

	"onhand/schemas"
)

// storyFeed has 5 at NJ-1 and 20 at NY-2, of which one is withheld.
const storyFeed = `{"location":"NJ-1","mode":"UPDATE"}
{"recordId":"r1","sku":"SHIRT","onHand":5,"effectiveDate":"2026-01-01T00:00:00Z"}
{"recordId":"r2","sku":"HAT","onHand":3,"effectiveDate":"2026-01-01T00:00:00Z"}
{"location":"NY-2","mode":"UPDATE"}
{"recordId":"r3","sku":"SHIRT","onHand":20,"safetyStockCount":1,"effectiveDate":"2026-01-01T00:00:00Z","futures":[{"quantity":2.5,"expectedDate":"2027-01-01T00:00:00Z"}]}
`

// TestAnInstallationFromNothing is what a newcomer does: topics, schemas, a graph, the processor, a feed, reservations.
func TestAnInstallationFromNothing(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		processor, admin := s.startProcessor()
		feed := writeFile(s.T, "feed.ndjson", storyFeed)
		s.must("import", feed).want(s.T, 0, "3 lines read, 3 published, 0 refused")

		r := s.must("reserve", "SHIRT", "4", "--group", "EAST", "--reservation", "order-1", "--wait-level", "--json")
		var result schemas.ReservationResult
		if err := json.Unmarshal([]byte(r.out), &result); err != nil {
			s.Fatal(err)
		}
		if result.Outcome != schemas.OutcomeAccepted || result.Granted != 4000 || result.ReservationID != "order-1" || result.Version == 0 {
			s.Errorf("%+v", result)
		}
		levels := s.levels("SHIRT")
		if l := levels["EAST"]; l.ATO != 22_500 || l.GroupReserved != 4000 || l.PlaceType != schemas.PlaceGroup {
			s.Errorf("EAST %+v", l)
		}
		if l := levels["NY-2"]; l.ATF != 19_000 || l.ATO != 21_500 || l.SafetyStockCount != 1000 || l.GraphVersion != 1 || l.Version < result.Version {
			s.Errorf("NY-2 %+v", l)
		}
		s.must("transfer", "SHIRT", "4", "--reservation", "order-1", "--group", "EAST", "--to-location", "NJ-1").want(s.T, 0, "ACCEPTED: granted 4 of 4 SHIRT")
		s.must("fulfill", "SHIRT", "3", "--reservation", "order-1", "--location", "NJ-1").want(s.T, 0, "ACCEPTED: granted 3 of 3 SHIRT")
		s.must("release", "SHIRT", "--reservation", "order-1", "--wait-level").want(s.T, 0, "ACCEPTED: granted 1 of 1 SHIRT")
		if l := s.levels("SHIRT")["NJ-1"]; l.OnHand != 2000 || l.Reserved != 0 || l.ATF != 2000 {
			s.Errorf("NJ-1 %+v", l)
		}
		s.onhand("reserve", "SHIRT", "100", "--group", "EAST", "--no-partial").want(s.T, exitFailure, "REJECTED: granted 0 of 100 SHIRT", "InsufficientQuantity")
		s.onhand("reserve", "SHIRT", "1", "--location", "NOWHERE").want(s.T, exitFailure, "LocationDoesNotExist")

		s.must("get", "SHIRT", "--place", "EAST").want(s.T, 0, "EAST", "group", "location graph 1")
		s.must("get", "NOTHING").want(s.T, 0, "no place has SKU NOTHING")
		s.onhand("get", "SHIRT", "--min-version", "9000000000000000000", "--timeout", "10ms").want(s.T, exitFailure, "not yet 9000000000000000000", "onhand status")
		s.must("watch", "--from-start", "--count", "1", "--sku", "HAT", "--place", "NJ-1").want(s.T, 0, "HAT", "NJ-1", "atf 3")
		s.must("watch", "--from-start", "--count", "1", "--sku", "HAT", "--place", "EAST", "--json").want(s.T, 0, `"ato":"3"`, `"place":"EAST"`)

		s.status(0)
		if code, body := httpGet(s.T, admin+"/metrics"); code != 200 || !strings.Contains(body, "onhand_records") {
			s.Errorf("%d %.2000s", code, body)
		}
		if code, body := httpGet(s.T, admin+"/healthz"); code != 200 || body != "ok\n" {
			s.Error(code, body)
		}
		s.adopt()
		if code := processor.end(); code != 0 {
			_, err := processor.output()
			s.Errorf("the processor ends with %d\n%s", code, err)
		}
	})
}

// levels are the levels of a SKU by place.
func (s *stage) levels(sku string) map[string]schemas.AvailabilityUpdate {
	s.Helper()
	var list []schemas.AvailabilityUpdate
	if err := json.Unmarshal([]byte(s.must("get", sku, "--json").out), &list); err != nil {
		s.Fatal(err)
	}
	levels := make(map[string]schemas.AvailabilityUpdate)
	for _, l := range list {
		levels[l.Place] = l
	}
	return levels
}

// status checks that every task runs, has that lag, and stands in Redis as in Kafka.
func (s *stage) status(lag int64) {
	s.Helper()
	type shown struct {
		Members int          `json:"members"`
		Tasks   []storedTask `json:"tasks"`
	}
	eventually(s.T, "all tasks are equal in Kafka and Redis", func() bool {
		var state shown
		if err := json.Unmarshal([]byte(s.must("status", "--json").out), &state); err != nil {
			s.Fatal(err)
		}
		if state.Members != 1 || len(state.Tasks) != 4 {
			s.Fatalf("%+v", state)
		}
		for _, task := range state.Tasks {
			if task.Member == "" || task.Redis == nil || task.Redis.Behind != 0 || task.Inputs[0].Lag > lag || task.Inputs[1].Lag > lag {
				return false
			}
		}
		return true
	})
	s.must("status").want(s.T, 0, "MEMBER", "equal", "is Stable: 1 member")
}

// adopt publishes a second version while the processor runs.
func (s *stage) adopt() {
	s.Helper()
	file := writeFile(s.T, "graph.yaml", strings.Replace(testGraph, "locations: [NJ-1, NY-2, NY-3]", "locations: [NJ-1]", 1))
	s.must("graph", "plan", file).want(s.T, 0, "- NY-2 in EAST", "memberships: 2 removed")
	// 2 of SHIRT at NJ-1 and 19 with 2.5 to come at NY-2; HAT is at NJ-1 alone.
	var plan struct{ Levels levelsDiff }
	if err := json.Unmarshal([]byte(s.must("graph", "plan", file, "--levels", "--json").out), &plan); err != nil {
		s.Fatal(err)
	}
	if l := plan.Levels; l.SKUs != 2 || l.SKUsChanged != 1 || len(l.Places) != 1 || l.Places[0].Place != "EAST" || l.Places[0].ATOBefore != 23_500 || l.Places[0].ATOAfter != 2000 || l.Places[0].BrokenN != 0 {
		s.Errorf("%+v", l)
	}
	s.must("reserve", "SHIRT", "5", "--group", "EAST", "--reservation", "order-2", "--wait-level")
	s.must("graph", "plan", file, "--levels").want(s.T, 0, "1 of 2 SKUs have levels that change", "EAST", "18.5", "1 SKU, such as [SHIRT]")
	s.must("release", "SHIRT", "--reservation", "order-2", "--wait-level")
	s.must("graph", "publish", file, "--expect-version", "1", "--wait-swept").want(s.T, 0, "version 2 is published")
	s.must("graph", "status").want(s.T, 0, "version 2: adopted by 4 of 4 tasks")
	eventually(s.T, "EAST is NJ-1 alone", func() bool { return s.levels("SHIRT")["EAST"].ATF == 2000 })
}
