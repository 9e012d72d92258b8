package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// said is what the inputs of a namespace say, each record once however often it was sent: what stage.traffic publishes
// needs no more to be counted by hand.
type said struct {
	onHand   map[recountPlace]schemas.Milli
	reserved map[recountPlace]schemas.Milli // at groups
	records  []*kgo.Record                  // of both inputs
}

// listen reads the inputs and results of the stage.
func (s *stage) listen(w *wire) *said {
	s.Helper()
	c := &said{onHand: map[recountPlace]schemas.Milli{}, reserved: map[recountPlace]schemas.Milli{}}
	decoder, met := newDecoder(w.registry), map[string]bool{}
	events, results := map[string][]availability.ReservationEvent{}, map[topics.Source]availability.Quantity{}
	sources := map[string]topics.Source{}
	each := func(topic string, take func(*kgo.Record) error) {
		for partition := range w.partitions {
			if err := readToEnd(s.Context(), w.config, w.log, topic, partition, take); err != nil {
				s.Fatal(err)
			}
		}
	}
	each(w.names.StockDeltas, func(r *kgo.Record) error {
		var d schemas.StockDelta
		err := decoder.DecodeStockDelta(s.Context(), r.Value, &d)
		if c.records = append(c.records, r); !met[d.RecordID+" "+d.SKU] {
			c.onHand[recountPlace{d.SKU, d.Location}] += d.OnHand.Value
		}
		met[d.RecordID+" "+d.SKU] = true
		return err
	})
	each(w.names.ReservationEvents, func(r *kgo.Record) error {
		var e availability.ReservationEvent
		err := w.reader.Event(s.Context(), r, &e)
		c.records = append(c.records, r)
		if key := e.RequestID + " " + string(e.SKU); !met[key] {
			met[key] = true
			sources[key] = topics.SourceAt(r)
			of := string(e.SKU) + " " + e.ReservationID
			events[of] = append(events[of], e)
		}
		return err
	})
	each(w.names.ReservationResults, func(r *kgo.Record) error {
		var d topics.Decision
		err := w.reader.Result(s.Context(), r, &d)
		results[d.Source] = d.Result.Granted
		return err
	})
	for _, list := range events {
		held := map[recountPlace]schemas.Milli{}
		for _, e := range list {
			switch e.Action {
			case availability.Reserve:
				held[recountPlace{string(e.SKU), string(e.Group)}] += schemas.Milli(results[sources[e.RequestID+" "+string(e.SKU)]])
			default: // traffic releases all of a reservation
				clear(held)
			}
		}
		for at, q := range held {
			c.reserved[at] += q
		}
	}
	return c
}

// check compares what Redis and the topic have with what was said.
func (s *stage) check(c *said) {
	s.Helper()
	s.status(0)
	s.audit(0)
	for at, want := range c.onHand {
		if strings.HasPrefix(at.sku, "FILL-") {
			continue // they rest, and the audit has them
		}
		if got := s.levels(at.sku)[at.place]; got.OnHand != want {
			s.Errorf("%s at %s: %s on hand, the log says %s", at.sku, at.place, got.OnHand, want)
		}
	}
	for _, sku := range []string{"SKU-0", "SKU-1", "SKU-2", "SKU-3", "SKU-4", "SKU-5"} {
		for _, group := range []string{"JERSEY", "YORK"} {
			if got, want := s.levels(sku)[group].GroupReserved, c.reserved[recountPlace{sku, group}]; got != want {
				s.Errorf("%s at %s: %s reserved, the log says %s", sku, group, got, want)
			}
		}
	}
}

// repeat sends records again, as of now.
func (s *stage) repeat(w *wire, records []*kgo.Record) {
	s.Helper()
	var again []*kgo.Record
	for _, r := range records {
		topic := w.names.StockDeltas
		if strings.HasSuffix(r.Topic, ".reservation-events") {
			topic = w.names.ReservationEvents
		}
		again = append(again, &kgo.Record{Topic: topic, Partition: topics.PartitionOf(r.Key, w.partitions), Key: r.Key, Value: r.Value, Timestamp: time.Now()})
	}
	s.produce(w, again...)
}

// processed is how many records the processor has folded, by the offsets that it has committed.
func (s *stage) processed() (n int64) {
	s.Helper()
	group, err := s.wire().group(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, task := range group.Tasks {
		for _, input := range task.Inputs {
			n += max(0, input.Committed)
		}
	}
	return n
}

// snapshot calls onhand snapshot.
func (s *stage) snapshot(dir string, args ...string) (m manifest) {
	s.Helper()
	r := s.must(append([]string{"snapshot", dir, "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.out), &m); err != nil {
		s.Fatal(err)
	}
	return m
}

// otherRedis makes the stage go on with a Redis Cluster where there is one. What it leaves there is deleted.
func (s *stage) otherRedis() {
	s.Helper()
	url := os.Getenv("ONHAND_TEST_REDIS_CLUSTER")
	if url == "" || !s.real {
		return
	}
	for i, variable := range s.environ {
		if strings.HasPrefix(variable, "ONHAND_REDIS=") {
			s.environ = slices.Clone(s.environ)
			s.environ[i] = "ONHAND_REDIS=" + url
		}
	}
	s.Cleanup(func() { s.emptyRedis(context.WithoutCancel(s.Context())) })
}

// emptyRedis deletes the state of the namespace.
func (s *stage) emptyRedis(ctx context.Context) {
	s.Helper()
	config, err := loadConfig("", s.environ, nil)
	if err != nil {
		s.Fatal(err)
	}
	store, err := cache.Open(ctx, string(config.Redis), cache.Options{Namespace: s.namespace})
	if err != nil {
		s.Fatal(err)
	}
	defer store.Close()
	for task := range int32(8) {
		if err := store.Erase(ctx, task); err != nil {
			s.Error(err)
		}
	}
}

const fillers = 400

// TestASnapshotUnderTrafficBringsBackTheTruth takes a snapshot while stock and reservations move, lets them move on, brings
// it back into a Redis that was emptied, or into a Redis Cluster, and compares with what the whole log says; also after
// every record was sent again.
func TestASnapshotUnderTrafficBringsBackTheTruth(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		// So many SKUs at rest that each task takes several looks, between which the others move.
		feed := "{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n"
		for n := range fillers {
			feed += fmt.Sprintf("{\"recordId\":\"f%d\",\"sku\":\"FILL-%d\",\"onHand\":1,\"effectiveDate\":\"2026-01-01T00:00:00Z\"}\n", n, n)
		}
		s.must("import", writeFile(s.T, "feed.ndjson", feed))
		stop := s.traffic(testSeed(s.T))
		eventually(s.T, "there is something to copy", func() bool { return s.processed() > fillers+100 })
		dir := filepath.Join(s.TempDir(), "snapshot")
		m := s.snapshot(dir, "--rate", "500")
		if sum, files, _ := m.sums(); sum.SKUs != 6+fillers || files == 0 || m.Partitions != 4 || m.GraphVersion != 1 || sum.IDs == 0 {
			s.Errorf("%+v", m)
		}
		s.onhand("snapshot", dir).want(s.T, exitFailure, "has a whole snapshot already")
		s.must("restore", dir, "--verify").want(s.T, 0, "is good: 4 tasks, 406 SKUs")
		at := s.processed()
		eventually(s.T, "there is traffic that the snapshot does not have", func() bool { return s.processed() > at+100 })
		stop()
		w := s.wire()
		s.check(s.listen(w))
		s.onhand("restore", dir, "--wait", "0s").want(s.T, exitFailure, "1 processor of namespace")
		s.endProcessor(w, processor)
		s.onhand("restore", dir).want(s.T, exitFailure, "has state in Redis", "--replace "+s.namespace)
		s.onhand("restore", dir, "--replace", "another").want(s.T, exitUsage, "--replace names")

		s.otherRedis()
		var report restoreReport
		for run := range 2 {
			r := s.must("restore", dir, "--replace", s.namespace, "--json")
			if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.Moved || report.Resumed != (run > 0) || report.SKUs != 6+fillers {
				s.Errorf("%+v %v", report, err)
			}
		}
		s.startProcessor()
		all := s.listen(w)
		s.check(all)
		s.repeat(w, all.records)
		again := s.listen(w)
		if !maps.Equal(again.onHand, all.onHand) || len(again.records) < 2*len(all.records) {
			s.Error("the test itself counts twice")
		}
		s.check(again)
		publishedLevels(s.T, w.config, w.names) // fails where a version goes back
	})
}

// endProcessor stops the processor and takes it out of its group, where it would stay until its session is over.
func (s *stage) endProcessor(w *wire, processor *running) {
	s.Helper()
	if code := processor.end(); code != 0 {
		s.Fatal(code)
	}
	leave := kadm.LeaveGroup(w.names.ConsumerGroup()).InstanceIDs("one-0", "one-1")
	if _, err := kadm.NewClient(w.client).LeaveGroup(s.Context(), leave); err != nil {
		s.Fatal(err)
	}
}

// move is a stage in another namespace with so many partitions, as the runbook has it.
func (s *stage) move(partitions string) *stage {
	s.Helper()
	to := (&stage{T: s.T, brokers: s.brokers, registry: s.registry, redis: s.redis, real: s.real}).settle()
	if s.real {
		s.Cleanup(to.clear)
	}
	to.must("topics", "apply", "--partitions", partitions)
	to.must("schemas", "register")
	return to
}

// TestThePartitionCountChanges follows the steps of the runbook from 4 partitions to 6, whose tasks share SKUs with two of
// the old ones each. Every level is the same in the new topics, with a version above the old; what was said before and is
// said again counts once.
func TestThePartitionCountChanges(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph("locations: [{externalReference: BEFORE}]")
		s.publishGraph(auditGraph)
		s.startProcessor()
		stop := s.traffic(testSeed(s.T))
		eventually(s.T, "there is something to copy", func() bool { return s.processed() > 100 })
		early := filepath.Join(s.TempDir(), "early")
		flowing := s.snapshot(early)
		stop()
		s.status(0)
		drained := filepath.Join(s.TempDir(), "drained")
		if _, _, unread := func() (manifestTask, int, int64) { m := s.snapshot(drained); return m.sums() }(); unread != 0 {
			s.Errorf("%d records are unread", unread)
		}

		to := s.move("6")
		if _, _, unread := flowing.sums(); unread > 0 {
			to.onhand("restore", early, "--partitions", "6").want(s.T, exitFailure, "not drained", "stop the producers")
		}
		to.onhand("restore", drained, "--partitions", "5").want(s.T, exitFailure, "have 6 partitions, not 5", "topics apply")
		s.onhand("restore", drained, "--partitions", "4", "--wait", "0s").want(s.T, exitFailure, "1 processor")
		to.must("restore", drained, "--partitions", "6").want(s.T, 0, "6 tasks", "location graph 2 is published")
		to.must("restore", drained, "--partitions", "6")
		processor, _ := to.startProcessor()
		eventually(s.T, "everything is published", func() bool {
			return strings.Contains(to.must("graph", "status").out, "swept by 6")
		})
		old, moved := s.wire(), to.wire()
		was, is := publishedLevels(s.T, old.config, old.names), publishedLevels(s.T, moved.config, moved.names)
		if len(was) == 0 || !maps.EqualFunc(was, is, sameText) {
			s.Errorf("levels\n%+v, were\n%+v", is, was)
		}
		if a, b := s.levels("SKU-0")["NJ-1"].Version, to.levels("SKU-0")["NJ-1"].Version; b <= a {
			s.Errorf("version %d follows %d", b, a)
		}
		to.repeat(moved, s.listen(old).records)
		to.sixTasksEqual()
		if is := publishedLevels(s.T, moved.config, moved.names); !maps.EqualFunc(was, is, sameText) {
			s.Errorf("after everything was said again\n%+v, were\n%+v", is, was)
		}
		to.audit(0)

		to.endProcessor(moved, processor)
		to.emptyRedis(s.Context())
		lost := to.start("run", "--admin", "127.0.0.1:0", "--instance", "one", "--log-level", "warn")
		eventually(s.T, "tasks whose state came with the move do not begin without it", func() bool {
			_, log := lost.output()
			return strings.Contains(log, "is needed")
		})
	})
}

func sameText(a, b availability.Level) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// sixTasksEqual waits until all that was sent is folded and stored.
func (s *stage) sixTasksEqual() {
	s.Helper()
	eventually(s.T, "all tasks are equal in Kafka and Redis", func() bool {
		var state struct {
			Tasks []storedTask `json:"tasks"`
		}
		if err := json.Unmarshal([]byte(s.must("status", "--json").out), &state); err != nil {
			s.Fatal(err)
		}
		return !slices.ContainsFunc(state.Tasks, func(t storedTask) bool {
			return t.Redis == nil || t.Redis.Behind != 0 || t.Inputs[0].Lag > 0 || t.Inputs[1].Lag > 0
		})
	})
}
