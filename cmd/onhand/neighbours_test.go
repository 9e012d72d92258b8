package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/schemas"
)

// TestNeighboursAreLeftAlone has keys, topics, consumer groups and schemas of others in the same services, some with names
// much like ours, and finds them as they were after everything was done that a namespace sees in its life and after.
func TestNeighboursAreLeftAlone(t *testing.T) {
	onStages(t, func(s *stage) {
		n := benchStage(s).neighbours()
		before := n.found()
		for _, step := range []struct {
			name string
			do   func()
		}{{"at work", s.live}, {"brought back", s.bringBack}, {"wiped", s.wipe}} {
			step.do()
			if after := n.found(); after != before {
				t.Errorf("%s: the neighbours were\n%s\nand are\n%s", step.name, before, after)
			}
		}
	})
}

// neighbours are what others have in the services.
type neighbours struct {
	*stage
	redis    *redis.Client
	kafka    *kadm.Client
	registry *schemas.Registry
	keys     []string
	topics   []string
	groups   []string
	others   []string // namespaces whose schemas are registered
}

// neighbours puts them there: what has our namespace in its name is not all ours.
func (s *stage) neighbours() *neighbours {
	s.Helper()
	ns := s.namespace
	n := &neighbours{stage: s, redis: s.balances(),
		keys:   []string{ns, ns + ":x", "{" + ns + "x:0}:c", "{" + ns + "}:c", "x{" + ns + ":0}c", "other-" + ns, "{" + ns + ".processor-eu:0}:c", "{" + ns + "x:schemas}"},
		topics: []string{ns + "x.stock-deltas", ns + ".stock-deltas.backup", "x." + ns + ".dead-letters", ns + ".processor-eu.stock-deltas", ns + ".processor-notes"},
		groups: []string{ns + ".processor-eu.processor", ns + ".processorx", ns}, others: []string{ns + "x", ns + ".processor-eu"}}
	for _, key := range n.keys {
		s.need(n.redis.Set(s.Context(), key, "theirs", 0).Err())
		s.Cleanup(func() { n.redis.Del(s.Context(), key) })
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	s.need(err)
	s.Cleanup(client.Close)
	n.kafka = kadm.NewClient(client)
	_, err = n.kafka.CreateTopics(s.Context(), 1, -1, nil, n.topics...)
	s.need(err)
	s.Cleanup(func() {
		_, _ = n.kafka.DeleteTopics(s.Context(), n.topics...)
		_, _ = n.kafka.DeleteGroups(s.Context(), n.groups...)
	})
	for _, topic := range n.topics {
		s.need(client.ProduceSync(s.Context(), &kgo.Record{Topic: topic, Value: []byte("theirs")}).FirstErr())
	}
	for _, group := range n.groups {
		s.need(n.kafka.CommitAllOffsets(s.Context(), group, kadm.Offsets{n.topics[0]: {0: {Topic: n.topics[0], At: 1, LeaderEpoch: -1}}}))
	}
	n.registry, err = schemas.NewRegistry(s.registry, schemas.RegistryOptions{})
	s.need(err)
	s.Cleanup(n.registry.Close)
	for _, other := range n.others {
		_, err := n.registry.RegisterAll(s.Context(), other)
		s.need(err)
		s.Cleanup(func() { _ = n.registry.Unregister(s.Context(), other) })
	}
	return n
}

func (s *stage) need(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// found is all of the neighbours, as text.
func (n *neighbours) found() string {
	n.Helper()
	all := make(map[string]any)
	for _, key := range n.keys {
		have, err := n.redis.Get(n.Context(), key).Result()
		all["key "+key] = []any{have, err}
	}
	configs, err := n.kafka.DescribeTopicConfigs(n.Context(), n.topics...)
	n.need(err)
	for _, c := range configs {
		for _, setting := range c.Configs {
			all["topic "+c.Name+" "+setting.Key] = setting.MaybeValue()
		}
	}
	ends, err := n.kafka.ListEndOffsets(n.Context(), n.topics...)
	n.need(err)
	for _, topic := range n.topics {
		end, ok := ends.Lookup(topic, 0)
		all["end of "+topic] = []any{end.Offset, ok && end.Err == nil}
	}
	for _, group := range n.groups {
		offsets, err := n.kafka.FetchOffsets(n.Context(), group)
		n.need(err)
		at, ok := offsets.Lookup(n.topics[0], 0)
		all["group "+group] = []any{at.At, ok}
	}
	for _, other := range n.others {
		for _, subject := range schemas.Subjects(other) {
			versions, err := n.registry.Versions(n.Context(), subject.Name)
			all["subject "+subject.Name] = []any{versions, err}
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	n.need(err)
	return string(text)
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
	s.must("topics", "verify")
	s.must("schemas", "check")
	s.must("graph", "publish", writeFile(s.T, "graph.yaml", strings.Replace(testGraph, "New Jersey", time.Now().String(), 1)), "--wait-swept")
	s.must("audit", "--repair")
	s.must("dlq", "replay", "--all")
	s.status(1) // the expiry leaves the marker of its transaction
	if code := processor.end(); code != 0 {
		s.Errorf("the processor ends with %d", code)
	}
}

// bringBack takes a snapshot, loses all that Redis has of the namespace, and restores it.
func (s *stage) bringBack() {
	s.Helper()
	dir := filepath.Join(s.TempDir(), "snapshot")
	s.must("snapshot", dir)
	store, err := cache.Open(s.Context(), s.redis, cache.Options{Namespace: s.namespace})
	s.need(err)
	defer closeRead(store)
	for task := range int32(4) {
		s.need(store.Erase(s.Context(), task))
	}
	s.must("restore", dir)
	processor, _ := s.startProcessor()
	s.must("audit")
	if code := processor.end(); code != 0 {
		s.Errorf("the processor ends with %d", code)
	}
}

// wipe deletes all that the namespace has, and runs there.
func (s *stage) wipe() {
	s.Helper()
	s.must("bench", "--namespace", s.namespace, "--wipe", "--events", "50", "--skus", "10", "--partitions", "2", "--log-level", "warn")
	s.wantNothing()
}
