package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestGraphIsPublishedPlannedAndShown(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		file := writeFile(s.T, "graph.yaml", testGraph)
		s.must("graph", "plan", file).want(s.T, 0, "+ location NJ-1", "+ NY-2 in EAST", "locations: 4 added; groups: 2 added; memberships: 4 added")
		s.must("graph", "publish", file).want(s.T, 0, "version 1 is published", "no processor has joined its group; tasks adopt version 1 as they start")
		s.must("graph", "publish", file, "--no-wait", "--json").want(s.T, 0, `"from": 1`, `"to": 1`, `"changes": []`, `"adoption": "not awaited"`)
		s.must("graph", "show").want(s.T, 0, "# version 1, published", "externalReference: NJ-1", "locationType: WAREHOUSE", "sync: false")
		var shown struct {
			Version   int64
			Locations []struct {
				ExternalReference string
				Since             int64
			}
		}
		if err := json.Unmarshal([]byte(s.must("graph", "show", "--json").out), &shown); err != nil || shown.Version != 1 || shown.Locations[0].Since != 1 {
			s.Errorf("%+v %v", shown, err)
		}
		again := onhandIn(s.Context(), s.must("graph", "show").out, s.environ, "graph", "plan", "-", "--json")
		again.want(s.T, 0, `"changes": []`)
		s.must("graph", "status").want(s.T, 0, "version 1: adopted by 0 of 4 tasks, swept by 0", "no processor runs")
		s.must("graph", "status", "--json").want(s.T, 0, `"adopted": 0`, `"state": "Empty"`)

		more := writeFile(s.T, "more.yaml", strings.Replace(testGraph, "locations:", "locations:\n  - {externalReference: LA-9}", 1))
		s.onhand("graph", "publish", more, "--expect-version", "7").want(s.T, exitFailure, "version 1 is published, not 7", "onhand graph plan")
		s.must("graph", "publish", more, "--expect-version", "1", "--json").want(s.T, 0, `"to": 2`, `"adoption": "nobody runs"`)
	})
}

func TestGraphThatBreaksARuleIsRefused(t *testing.T) {
	t.Parallel()
	broken := writeFile(t, "graph.yaml", `
locations: [{externalReference: A1}, {externalReference: A1}, {externalReference: SHOP, inventoryLocation: false}, {externalReference: "x y"}]
groups: [{externalReference: A1, locations: [NOBODY]}, {externalReference: EMPTY}, {externalReference: G1, locations: [SHOP]}]
`)
	// Nothing is connected to: the address of Kafka is one where nothing listens.
	environ := []string{"ONHAND_BROKERS=127.0.0.1:1"}
	for _, command := range []string{"plan", "publish"} {
		onhand(t, environ, "graph", command, broken).want(t, exitFailure, "breaks these rules", `external reference "A1" is used by a location and by a location`,
			`location "x y"`, `member "NOBODY"`, `group "EMPTY" has no location`, `member "SHOP", which is no inventory location`, "nothing was published")
	}
	onhand(t, environ, "graph", "plan", writeFile(t, "two.yaml", testGraph), "--single").want(t, exitFailure, "4 locations and 2 groups; --single allows one of each")
	onhand(t, environ, "graph", "plan", "/nowhere.yaml").want(t, exitFailure, "reading the graph file /nowhere.yaml: no such file")
	onhand(t, environ, "graph", "plan", writeFile(t, "typo.yaml", "locatons: []")).want(t, exitFailure, `field "locatons" is unknown; did you mean locations?`)
	onhand(t, environ, "graph", "publish").want(t, exitUsage, "wants FILE")
}

// TestOneOfSeveralPublishersWins publishes different files at the same time: each version comes from one of them, follows
// the one before, and has seen it.
func TestOneOfSeveralPublishersWins(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph("locations: [{externalReference: BASE}]")
		const publishers = 4
		results := make([]result, publishers)
		var all sync.WaitGroup
		for i := range publishers {
			file := writeFile(s.T, "graph.yaml", "locations: [{externalReference: BASE}, {externalReference: LOC-"+string(rune('A'+i))+"}]")
			all.Go(func() { results[i] = s.onhand("graph", "publish", file, "--no-wait", "--expect-version", "1") })
		}
		all.Wait()
		won := 0
		for _, r := range results {
			switch r.code {
			case 0:
				won++
				r.want(s.T, 0, "version 2 is published")
			default:
				if !strings.Contains(r.err, errPublishing.Error()) && !strings.Contains(r.err, "version 2 is published, not 1") {
					s.Errorf("%d %s", r.code, r.err)
				}
			}
		}
		if won > 1 {
			s.Errorf("%d publishers have published version 2", won)
		}
	})
}

// TestAPublisherThatWasOvertakenIsRefused holds one publisher between its reading and its writing, and lets another pass.
func TestAPublisherThatWasOvertakenIsRefused(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph("locations: [{externalReference: BASE}]")
		c, err := loadConfig("", s.environ, nil)
		if err != nil {
			s.Fatal(err)
		}
		slow, err := (&app{}).connect(s.Context(), c.Config, kgo.TransactionalID(s.namespace+".graph-publisher"))
		if err != nil {
			s.Fatal(err)
		}
		defer slow.close()
		if _, _, err := slow.client.ProducerID(s.Context()); err != nil {
			s.Fatal(err)
		}
		before, err := slow.graph(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		s.must("graph", "publish", writeFile(s.T, "graph.yaml", "locations: [{externalReference: QUICK}]"), "--no-wait", "--force").want(s.T, 0, "version 2 is published")
		late := before.record
		late.Version = before.record.Version + 1
		late.Locations = append(late.Locations, before.record.Locations[0])
		late.Locations[1].ExternalReference = "SLOW"
		if err := slow.publish(s.Context(), &late); err == nil || !strings.Contains(err.Error(), errPublishing.Error()) {
			s.Errorf("the late publisher: %v", err)
		}
		s.must("graph", "show").want(s.T, 0, "# version 2", "QUICK")
	})
}

func TestPlacesWithReservationsAreNotRemoved(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", storyFeed))
		s.must("reserve", "SHIRT", "1", "--location", "NJ-1", "--reservation", "a")
		s.must("reserve", "SHIRT", "2", "--group", "EAST", "--reservation", "b", "--wait-level")
		file := writeFile(s.T, "graph.yaml", "locations: [{externalReference: NY-2}, {externalReference: NY-3, sync: false}, {externalReference: SHOP, inventoryLocation: false}]\n"+
			"groups: [{externalReference: NYC, enabled: false, locations: [NY-2]}]")
		s.onhand("graph", "publish", file).want(s.T, exitFailure, "NJ-1 has reservations of 1 SKU", "EAST has reservations of 1 SKU", "1 of SHIRT at NJ-1", "2 of SHIRT at EAST", "--force")
		s.must("release", "SHIRT", "--reservation", "a")
		s.must("release", "SHIRT", "--reservation", "b", "--wait-level")
		s.must("graph", "publish", file).want(s.T, 0, "- location NJ-1", "- group EAST", "version 2 is published")
	})
}
