package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// damage makes the first cell of every SKU whose name begins so unreadable, and returns the keys of their balances.
func (s *stage) damage(prefix string) []string {
	s.Helper()
	client := s.balances()
	var damaged []string
	for keys := client.Scan(s.Context(), 0, "{"+s.namespace+":*", 1000).Iterator(); keys.Next(s.Context()); {
		key := keys.Val()
		if client.Type(s.Context(), key).Val() != "hash" || !strings.Contains(key, prefix) {
			continue
		}
		if cell, err := client.HGet(s.Context(), key, "0").Result(); err == nil && client.HExists(s.Context(), key, "v").Val() {
			if err := client.HSet(s.Context(), key, "0", "\x1f"+cell+"\xff").Err(); err != nil {
				s.Fatal(err)
			}
			damaged = append(damaged, key)
		}
	}
	return damaged
}

const secondFeed = `{"location":"NJ-1","mode":"UPDATE"}
{"recordId":"s1","sku":"SHIRT","onHand":7,"effectiveDate":"2026-02-01T00:00:00Z"}
{"recordId":"s2","sku":"HAT","onHand":9,"effectiveDate":"2026-02-01T00:00:00Z"}
{"location":"NY-2","mode":"UPDATE"}
{"recordId":"s3","sku":"SHIRT","onHand":8,"effectiveDate":"2026-02-01T00:00:00Z"}
`

// TestADamagedSKUIsSetAside damages what Redis holds of one SKU. Its records become dead letters that name key and field,
// every other SKU goes on; once it is mended, the dead letters are put back and nothing is missing.
func TestADamagedSKUIsSetAside(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		processor, _ := s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", storyFeed))
		s.status(0)
		processor.end()
		keys := s.damage("SHIRT")
		if len(keys) != 1 {
			s.Fatalf("damaged %q", keys)
		}
		_, admin := s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", secondFeed))
		s.onhand("reserve", "SHIRT", "1", "--group", "EAST", "--request", "held", "--timeout", "1ms")
		set := func() string { return s.must("dlq", "ls", "--code", "CORRUPT_STATE", "--json").out }
		eventually(s.T, "the records of the SKU are dead letters", func() bool { return strings.Contains(set(), `"total": 3`) })
		if text := set(); !strings.Contains(text, keys[0]) || !strings.Contains(text, "checksum does not match") {
			s.Errorf("the dead letters do not name %s: %s", keys[0], text)
		}
		eventually(s.T, "the other SKU goes on", func() bool { return s.levels("HAT")["NJ-1"].OnHand == 9000 })
		if code, body := httpGet(s.T, admin+"/readyz"); code != http.StatusOK {
			s.Errorf("not ready: %s", body)
		}
		s.onhand("get", "SHIRT").want(s.T, exitFailure, keys[0], "stored bytes are corrupt")

		for _, part := range []string{":s:", ":m:", ":r:"} {
			if err := s.balances().Del(s.Context(), strings.Replace(keys[0], ":s:", part, 1)).Err(); err != nil {
				s.Fatal(err)
			}
		}
		s.must("dlq", "replay", "--code", "CORRUPT_STATE").want(s.T, 0, "3 records put back")
		s.must("reserve", "SHIRT", "1", "--group", "EAST", "--request", "asked-after").want(s.T, 0, "ACCEPTED")
		eventually(s.T, "the SKU has its levels again", func() bool {
			levels := s.levels("SHIRT")
			return levels["NJ-1"].OnHand == 7000 && levels["NY-2"].OnHand == 8000 && levels["EAST"].GroupReserved == 2000
		})
		s.must("audit").want(s.T, 0, "0 differences")
	})
}

// TestAStoreThatIsDamagedAsAWholeStopsItsTasks: setting aside is for single SKUs.
func TestAStoreThatIsDamagedAsAWholeStopsItsTasks(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		processor, _ := s.startProcessor()
		feed := func(date string) string {
			text := "{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n"
			for n := range 120 {
				text += fmt.Sprintf("{\"recordId\":\"r%d\",\"sku\":\"DAMAGED-%d\",\"onHand\":5,\"effectiveDate\":%q}\n", n, n, date)
			}
			return writeFile(s.T, "feed.ndjson", text)
		}
		s.must("import", feed("2026-01-01T00:00:00Z"))
		s.status(0)
		processor.end()
		if keys := s.damage("DAMAGED"); len(keys) != 120 {
			s.Fatalf("damaged %d", len(keys))
		}
		_, admin := s.startProcessor()
		s.must("import", feed("2026-02-01T00:00:00Z"))
		eventually(s.T, "its tasks have stopped and say why", func() bool {
			_, body := httpGet(s.T, admin+"/readyz")
			return strings.Contains(body, "SKUs that cannot be read") && strings.Contains(body, "runbook: CorruptState")
		})
	})
}
