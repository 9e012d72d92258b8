package main

import (
	"strings"
	"testing"
)

// TestProcessorStartsWhileTheRegistryIsDown: the ids of the schemas that were met before are in Redis, so a start and the
// records that wait need no registry. Without anything kept the start is refused, and says why.
func TestProcessorStartsWhileTheRegistryIsDown(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		dead := *s
		dead.environ = append([]string{}, s.environ...)
		for i, v := range dead.environ {
			if strings.HasPrefix(v, "ONHAND_REGISTRY=") {
				dead.environ[i] = "ONHAND_REGISTRY=http://" + unusedAddress(s.T)
			}
		}
		if r := dead.onhand("run", "--admin", "127.0.0.1:0"); r.code != 1 || !strings.Contains(r.err, "does not answer") {
			s.Fatalf("exit code %d\n%s", r.code, r.err)
		}
		first, _ := s.startProcessor()
		first.end()
		s.must("import", writeFile(s.T, "feed.ndjson", `{"recordId":"k1","sku":"KEPT","locationId":"NJ-1","onHand":7,"effectiveDate":"2026-01-02T03:04:05Z"}`+"\n"))
		dead.startProcessor()
		eventually(s.T, "the record that waited is folded", func() bool {
			r := s.onhand("get", "KEPT", "--place", "NJ-1", "--json")
			return r.code == 0 && strings.Contains(r.out, `"atf": "7"`)
		})
	})
}
