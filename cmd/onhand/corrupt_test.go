package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
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

// TestNeighboursAreLeftAlone has keys and topics of others in the same Redis and Kafka, some with names much like ours, and
// finds them as they were after everything was done that a namespace sees in its life.
func TestNeighboursAreLeftAlone(t *testing.T) {
	onStages(t, func(s *stage) {
		client := s.balances()
		foreign := map[string]string{
			s.namespace: "1", s.namespace + ":x": "2", "{" + s.namespace + "x:0}:c": "3", "{" + s.namespace + "}:c": "4", "x{" + s.namespace + ":0}c": "5", "other-" + s.namespace: "6",
		}
		for key, value := range foreign {
			if err := client.Set(s.Context(), key, value, 0).Err(); err != nil {
				s.Fatal(err)
			}
			s.Cleanup(func() { client.Del(s.Context(), key) })
		}
		kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			s.Fatal(err)
		}
		defer kafka.Close()
		admin := kadm.NewClient(kafka)
		neighbours := []string{s.namespace + "x.stock-deltas", s.namespace + ".stock-deltas.backup", "x." + s.namespace + ".dead-letters"}
		if _, err := admin.CreateTopics(s.Context(), 1, -1, nil, neighbours...); err != nil {
			s.Fatal(err)
		}
		defer func() { _, _ = admin.DeleteTopics(s.Context(), neighbours...) }()
		for _, topic := range neighbours {
			if err := kafka.ProduceSync(s.Context(), &kgo.Record{Topic: topic, Value: []byte("theirs")}).FirstErr(); err != nil {
				s.Fatal(err)
			}
		}
		configs := func() string {
			found, err := admin.DescribeTopicConfigs(s.Context(), neighbours...)
			if err != nil {
				s.Fatal(err)
			}
			texts := make(map[string]string)
			for _, c := range found {
				for _, setting := range c.Configs {
					texts[c.Name+" "+setting.Key] = setting.MaybeValue()
				}
			}
			text, err := json.Marshal(texts)
			if err != nil {
				s.Fatal(err)
			}
			return string(text)
		}
		before := configs()

		s.live()

		for key, value := range maps.All(foreign) {
			if have, err := client.Get(s.Context(), key).Result(); err != nil || have != value {
				s.Errorf("%s is %q (%v), want %q", key, have, err, value)
			}
		}
		if after := configs(); after != before {
			s.Errorf("settings were\n%s\nand are\n%s", before, after)
		}
		ends, err := admin.ListEndOffsets(s.Context(), neighbours...)
		if err != nil {
			s.Fatal(err)
		}
		for _, topic := range neighbours {
			if end, ok := ends.Lookup(topic, 0); !ok || end.Offset != 1 {
				s.Errorf("%s ends at %d, want 1", topic, end.Offset)
			}
		}
	})
}

// live is the life of a namespace: it is set up, works, is audited and repaired, and its dead letters are put back.
func (s *stage) live() {
	s.Helper()
	s.setUp()
	s.publishGraph(testGraph)
	processor, _ := s.startProcessor()
	s.must("import", writeFile(s.T, "feed.ndjson", storyFeed))
	s.must("reserve", "SHIRT", "1", "--group", "EAST", "--expires-in", "1s", "--wait-level")
	s.must("topics", "apply")
	s.must("graph", "publish", writeFile(s.T, "graph.yaml", strings.Replace(testGraph, "New Jersey", time.Now().String(), 1)), "--wait-swept")
	s.must("audit")
	s.must("dlq", "replay", "--all")
	s.status(1) // the expiry leaves the marker of its transaction
	if code := processor.end(); code != 0 {
		s.Errorf("the processor ends with %d", code)
	}
}
