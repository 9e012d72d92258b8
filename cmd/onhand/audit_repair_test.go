package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// repair calls onhand audit --repair, which must find something, and then nothing any more.
func (s *stage) repair(skus int, args ...string) *auditReport {
	s.Helper()
	r := s.audit(0, append([]string{"--repair"}, args...)...)
	if r.Different == 0 || r.Repair == nil || r.Repair.SKUs != skus || r.Repair.Different != 0 || r.Repair.Waiting != 0 || len(r.Repair.Impossible) > 0 {
		s.Errorf("%+v\n%+v", r, r.Repair)
	}
	return &r
}

// TestAuditRepairs spoils what is derived in Redis, under a processor that has it in memory and under one that has not, and
// what the topic says, and has it repaired.
func TestAuditRepairs(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", auditFeed))
		s.status(0)
		w, b := s.wire(), s.balances()
		before := s.hash(b, s.key(w, "s", "SHIRT"))
		s.must("reserve", "SHIRT", "4", "--group", "JERSEY", "--wait-level")
		s.must("reserve", "SHIRT", "2", "--location", "NJ-1", "--wait-level")
		s.must("reserve", "HAT", "1", "--location", "NJ-1", "--wait-level")
		s.onhand("audit", "--repair").want(s.T, 0, "0 differences", "0 SKUs published anew: no difference remains")

		s.spoilShirt(w, before)
		list := fmt.Sprintf("{%s:%d}:l:%d", s.namespace, topics.PartitionOf("SHIRT", w.partitions), auditShard("SHIRT"))
		if listed := s.hash(b, list); len(listed) != 1 || b.Del(s.Context(), list).Err() != nil {
			s.Fatal(listed)
		}
		s.onhand("audit", "--repair", "--dry-run").want(s.T, 1, "pool 0 (NJ-1, NJ-2)")
		r := s.repair(1)
		if r.field("SHIRT", "NJ-1", "reserved") != "0 2 2" || r.field("SHIRT", "JERSEY", "groupReserved") != "0 4 4" {
			s.Errorf("%+v", r)
		}
		s.hash(b, list)
		if code := processor.end(); code != 0 {
			s.Fatal(code)
		}
		s.spoilShirt(w, before)
		if err := b.HSet(s.Context(), s.key(w, "s", "HAT"), "p0", "\x10no pool").Err(); err != nil {
			s.Fatal(err)
		}
		processor, _ = s.startProcessor()
		s.onhand("audit", "--repair").want(s.T, 0, "bytes", "2 SKUs published anew: no difference remains")
		s.audit(0)
		s.must("why", "HAT").want(s.T, 0, "republish", "computed anew")

		s.spoilTopic(w)
		s.repair(1)
		s.audit(0)
		s.must("reserve", "HAT", "1", "--location", "NJ-1", "--wait-level")
		if level := s.levels("HAT")["NJ-1"]; level.Version <= foreignVersions[1] || level.Reserved != 2000 {
			s.Errorf("%+v", level)
		}
		s.audit(0)
		s.cannotRepair(w, processor)
	})
}

// spoilShirt brings the cells, pools and promises of SHIRT back to what they were before anything was reserved.
func (s *stage) spoilShirt(w *wire, before map[string]string) {
	s.Helper()
	b, key := s.balances(), s.key(w, "s", "SHIRT")
	for field := range s.hash(b, key) {
		if _, ok := before[field]; !ok {
			b.HDel(s.Context(), key, field)
		}
	}
	if err := b.HSet(s.Context(), key, before).Err(); err != nil {
		s.Fatal(err)
	}
}

// foreignVersions are of records that another writer puts into the topic: one below those of the tasks, one above.
var foreignVersions = [...]int64{1, 70<<40 + 3}

// foreignLevel publishes a level of HAT that is not onhand's.
func (s *stage) foreignLevel(w *wire, place string, present bool, version int64) {
	s.Helper()
	writer, err := w.writer(s.Context(), "availability-updates")
	if err != nil {
		s.Fatal(err)
	}
	level := availability.Level{SKU: "HAT", Place: availability.Place{Type: availability.LocationPlace, ID: place}, Present: present, OnHand: 7000,
		NextExpectedAt: availability.None, EffectiveAt: availability.None}
	var r kgo.Record
	var arena topics.Arena
	writer.Update(&r, &arena, &level, topics.PartitionOf("HAT", w.partitions), &topics.Provenance{Version: version, GraphVersion: 1, ComputedAt: availability.Instant(time.Now().UnixMicro())})
	s.produce(w, &r)
}

// spoilTopic puts records of another writer over levels of HAT, and beside them.
func (s *stage) spoilTopic(w *wire) {
	s.Helper()
	s.foreignLevel(w, "NJ-1", false, foreignVersions[1])
	s.foreignLevel(w, "NJ-1", true, foreignVersions[0])
	s.foreignLevel(w, "JERSEY", true, foreignVersions[0])
	s.foreignLevel(w, "NY-1", true, foreignVersions[1])
	s.foreignLevel(w, "GHOST", true, foreignVersions[0])
	s.produce(w, &kgo.Record{Topic: w.names.AvailabilityUpdates, Partition: topics.PartitionOf("HAT", w.partitions), Key: []byte("a b/HAT"), Value: []byte("x")})
	r := s.audit(1)
	for place, fields := range map[string][]string{"NJ-1": {"version"}, "NY-1": {"version"}, "GHOST": {"level"}, "JERSEY": {"version"}, "a b": {"level"}} {
		for _, field := range fields {
			if r.field("HAT", place, field) == "nothing" {
				s.Errorf("%s of %s is not told: %+v", field, place, r.Differences)
			}
		}
	}
}

// cannotRepair is about what no task can be told to repair, and about nobody to tell.
func (s *stage) cannotRepair(w *wire, processor *running) {
	s.Helper()
	b := s.balances()
	s.foreignLevel(w, "NJ-2", true, 1<<62)
	stray := &kgo.Record{Topic: w.names.AvailabilityUpdates, Partition: (topics.PartitionOf("CAP", w.partitions) + 1) % w.partitions, Key: []byte("NJ-1/CAP"), Value: []byte("x")}
	s.produce(w, stray)
	cells := s.hash(b, s.key(w, "s", "SHIRT"))
	for field := range cells {
		if field[0] >= '0' && field[0] <= '9' {
			if err := b.HSet(s.Context(), s.key(w, "s", "SHIRT"), field, "\x10no cell").Err(); err != nil {
				s.Fatal(err)
			}
		}
	}
	s.onhand("audit", "--repair").want(s.T, 1, "HAT: not repaired: version 4611686018427387904", "CAP: not repaired: its records stand in a partition",
		"SHIRT: not repaired", "restore a snapshot", "0 SKUs published anew: 3 differences remain")

	if code := processor.end(); code != 0 {
		s.Fatal(code)
	}
	if err := b.HSet(s.Context(), s.key(w, "s", "SHIRT"), cells).Err(); err != nil {
		s.Fatal(err)
	}
	s.spoilShirt(w, map[string]string{"p0": cells["p0"], "v": cells["v"]})
	s.onhand("audit", "--repair", "--sku", "SHIRT", "--timeout", "100ms").want(s.T, 2, "has not folded", "onhand status")
	// A member that stopped keeps its tasks until its session is over, or somebody puts it out of the group.
	leave := kadm.LeaveGroup(w.names.ConsumerGroup()).InstanceIDs("one-0")
	if _, err := kadm.NewClient(w.client).LeaveGroup(s.Context(), leave); err != nil {
		s.Fatal(err)
	}
	s.onhand("audit", "--repair", "--sku", "SHIRT").want(s.T, 2, "no processor runs", "onhand run")
	s.startProcessor()
	s.must("audit", "--repair", "--sku", "SHIRT").want(s.T, 0, "0 differences") // it did what it was told before
}

// TestAuditRepairsUnderTraffic spoils Redis and the topic again and again while stock and reservations move.
func TestAuditRepairsUnderTraffic(t *testing.T) {
	onStages(t, func(s *stage) {
		seed := uint64(time.Now().UnixNano())
		s.Logf("seed %d", seed)
		s.setUp()
		s.publishGraph(auditGraph)
		s.startProcessor()
		stop := s.traffic(seed)
		eventually(s.T, "every SKU is in Redis", func() bool { return s.audit(0).SKUs == 6 })
		w, b := s.wire(), s.balances()
		for range 2 {
			old := s.hash(b, s.key(w, "s", "SKU-0"))
			eventually(s.T, "it has changed", func() bool { return s.hash(b, s.key(w, "s", "SKU-0"))["p0"] != old["p0"] })
			if err := b.HSet(s.Context(), s.key(w, "s", "SKU-0"), "p0", old["p0"]).Err(); err != nil {
				s.Fatal(err)
			}
			s.foreignLevel(w, "GHOST", true, foreignVersions[0])
			s.repair(1, "--sku", "HAT")
			if r := s.audit(0, "--repair"); r.SKUs < 6 || r.Repair.Different != 0 {
				s.Errorf("%+v %+v", r, r.Repair)
			}
		}
		stop()
		s.status(0)
		s.audit(0)
	})
}
