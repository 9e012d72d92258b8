package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// auditGraph has two groups that overlap at NY-2, so that three pools and promises between groups come about.
const auditGraph = `
locations:
  - {externalReference: NJ-1}
  - {externalReference: NJ-2}
  - {externalReference: NY-1}
  - {externalReference: NY-2}
groups:
  - {externalReference: JERSEY, locations: [NJ-1, NJ-2, NY-2]}
  - {externalReference: YORK, locations: [NY-1, NY-2]}
`

// auditFeed has two SKUs at locations of one pool.
const auditFeed = `{"location":"NJ-1","mode":"UPDATE"}
{"recordId":"r1","sku":"SHIRT","onHand":5,"effectiveDate":"2026-01-01T00:00:00Z"}
{"recordId":"r2","sku":"HAT","onHand":3,"effectiveDate":"2026-01-01T00:00:00Z"}
{"location":"NJ-2","mode":"UPDATE"}
{"recordId":"r3","sku":"SHIRT","onHand":20,"safetyStockCount":1,"effectiveDate":"2026-01-01T00:00:00Z","futures":[{"quantity":2.5,"expectedDate":"2027-01-01T00:00:00Z"}]}
`

// audit calls onhand audit and reads what it found.
func (s *stage) audit(code int, args ...string) (r auditReport) {
	s.Helper()
	call := s.onhand(append([]string{"audit", "--json"}, args...)...)
	if call.code != code {
		s.Errorf("audit %v: exit code %d, want %d\n%s%s", args, call.code, code, call.out, call.err)
	}
	if err := json.Unmarshal([]byte(call.out), &r); err != nil {
		s.Fatalf("%v in %s%s", err, call.out, call.err)
	}
	return r
}

// field finds a difference.
func (r *auditReport) field(sku, place, field string) string {
	for _, d := range r.Differences {
		if d.SKU == sku && strings.HasPrefix(d.Place, place) && d.Field == field {
			return textOrDash(d.Stored) + " " + d.Computed + " " + textOrDash(d.Published)
		}
	}
	return "nothing"
}

// balances is the Redis of the stage.
func (s *stage) balances() *redis.Client {
	s.Helper()
	options, err := redis.ParseURL(s.redis)
	if err != nil {
		s.Fatal(err)
	}
	client := redis.NewClient(options)
	s.Cleanup(func() { _ = client.Close() })
	return client
}

// key is a key of the SKU in Redis: its balances (s) or its reservations (r).
func (s *stage) key(w *wire, kind, sku string) string {
	return fmt.Sprintf("{%s:%d}:%s:%s", s.namespace, topics.PartitionOf(sku, w.partitions), kind, sku)
}

// TestAuditFindsWhatIsWrong spoils one thing after the other, in Redis and in the topic, and sees each found, and nothing
// else.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(auditGraph)
		s.startProcessor()
		s.must("import", writeFile(s.T, "feed.ndjson", auditFeed))
		s.must("reserve", "SHIRT", "4", "--group", "JERSEY", "--wait-level")
		s.must("reserve", "HAT", "1", "--location", "NJ-1", "--wait-level")
		w := s.wire()
		if r := s.audit(0); r.Tasks != 4 || r.SKUs != 2 || r.Levels != 5 {
			s.Errorf("%+v", r)
		}
		s.must("audit", "--sku", "HAT,NONE", "--sample", "50%").want(s.T, 0, "0 differences")

		s.spoilPool(w)
		s.spoilLevels(w)
		s.spoilReservations(w)
		if r := s.audit(0, "--sku", "OTHER"); r.SKUs != 1 || r.Levels != 0 {
			s.Errorf("%+v", r)
		}
	})
}

func (s *stage) spoilPool(w *wire) {
	s.Helper()
	b, ctx := s.balances(), s.Context()
	pools := map[string]string{}
	for field, value := range s.hash(b, s.key(w, "s", "HAT")) {
		if field[0] == 'p' {
			pools[field] = value
		}
	}
	if len(pools) != 1 {
		s.Fatalf("pools of HAT: %q", pools)
	}
	for field, value := range pools {
		was := s.hash(b, s.key(w, "s", "SHIRT"))[field]
		if err := b.HSet(ctx, s.key(w, "s", "SHIRT"), field, value).Err(); err != nil {
			s.Fatal(err)
		}
		r := s.audit(1)
		if r.field("SHIRT", "pool 0 (NJ-1, NJ-2)", "onHand") != "3 25 -" || r.field("SHIRT", "JERSEY", "onHand") != "3 25 25" || r.field("HAT", "", "onHand") != "nothing" {
			s.Errorf("%+v", r)
		}
		s.onhand("audit").want(s.T, 1, "COMPUTED", "pool 0 (NJ-1, NJ-2)", "JERSEY")
		if err := b.HSet(ctx, s.key(w, "s", "SHIRT"), field, "\x10no pool").Err(); err != nil {
			s.Fatal(err)
		}
		if r := s.audit(1); r.Different != 1 || r.Differences[0].Field != "bytes" {
			s.Errorf("%+v", r)
		}
		if err := b.HSet(ctx, s.key(w, "s", "SHIRT"), field, was).Err(); err != nil {
			s.Fatal(err)
		}
	}
	s.audit(0)
}

func (s *stage) hash(b *redis.Client, key string) map[string]string {
	s.Helper()
	fields, err := b.HGetAll(s.Context(), key).Result()
	if err != nil || len(fields) == 0 {
		s.Fatalf("%s: %v %v", key, fields, err)
	}
	return fields
}

// spoilLevels publishes a wrong level, one of a place without the SKU, a tombstone too many, and what is no level.
func (s *stage) spoilLevels(w *wire) {
	s.Helper()
	writer, err := w.writer(s.Context(), "availability-updates")
	if err != nil {
		s.Fatal(err)
	}
	hat := s.levels("HAT")["NJ-1"]
	publish := func(place string, atf availability.Quantity, present bool) {
		s.Helper()
		level := availability.Level{
			SKU: "HAT", Place: availability.Place{Type: availability.LocationPlace, ID: place}, Present: present, OnHand: 3000, Reserved: 1000,
			ATF: atf, ATO: 2000, NextExpectedAt: availability.None, EffectiveAt: availability.Instant(hat.EffectiveDate.Value),
		}
		var r kgo.Record
		var arena topics.Arena
		writer.Update(&r, &arena, &level, topics.PartitionOf("HAT", w.partitions), &topics.Provenance{Version: hat.Version, GraphVersion: 1, ComputedAt: availability.Instant(time.Now().UnixMicro())})
		s.produce(w, &r)
	}
	publish("NJ-1", 9000, true)
	if r := s.audit(1); r.field("HAT", "NJ-1", "atf") != "2 2 9" || r.Different != 1 {
		s.Errorf("%+v", r)
	}
	if r := s.audit(0, "--sku", "SHIRT"); r.SKUs != 1 {
		s.Errorf("%+v", r)
	}
	publish("NJ-1", 0, false)
	publish("NY-2", 1000, true)
	if r := s.audit(1); r.field("HAT", "NJ-1", "level") != "present present none" || r.field("HAT", "NY-2", "level") != "none none present" || r.Different != 2 {
		s.Errorf("%+v", r)
	}
	publish("NY-2", 0, false)
	s.produce(w, &kgo.Record{Topic: w.names.AvailabilityUpdates, Partition: topics.PartitionOf("HAT", w.partitions), Key: []byte("NJ-1/HAT"), Value: []byte("x")})
	if r := s.audit(1); !strings.Contains(r.field("HAT", "NJ-1", "level"), "cannot be read") || r.Different != 1 {
		s.Errorf("%+v", r)
	}
	publish("NJ-1", 2000, true)
	s.audit(0)
}

// spoilReservations takes the reservations away: what is reserved at a location and at a group is nobody's.
func (s *stage) spoilReservations(w *wire) {
	s.Helper()
	b := s.balances()
	for _, sku := range []string{"SHIRT", "HAT"} {
		s.hash(b, s.key(w, "r", sku))
		if err := b.Del(s.Context(), s.key(w, "r", sku)).Err(); err != nil {
			s.Fatal(err)
		}
	}
	r := s.audit(1)
	if r.field("SHIRT", "JERSEY", "groupReserved") != "4 0 4" || r.field("HAT", "NJ-1", "reserved") != "1 0 1" || r.field("HAT", "pool 0", "reserved") != "1 0 -" {
		s.Errorf("%+v", r)
	}
}

// TestAuditRaisesNoFalseAlarm audits again and again while stock and reservations of a few hot SKUs move, a graph is
// published and swept, and Redis forgets what it acknowledged.
func TestAuditRaisesNoFalseAlarm(t *testing.T) {
	onStages(t, func(s *stage) {
		seed := uint64(time.Now().UnixNano())
		s.Logf("seed %d", seed)
		s.setUp()
		s.publishGraph(auditGraph)
		processor, _ := s.startProcessor()
		stop := s.traffic(seed)
		eventually(s.T, "every SKU is in Redis", func() bool { return s.audit(0).SKUs == 6 })
		for i := range 6 {
			if i == 3 {
				file := writeFile(s.T, "graph.yaml", strings.Replace(auditGraph, "[NY-1, NY-2]", "[NY-1, NY-2, NJ-1]", 1))
				s.must("graph", "publish", file, "--no-wait")
			}
			if r := s.audit(0); r.SKUs != 6 {
				s.Errorf("%+v", r)
			}
		}
		kept, version := s.remember(), s.levels("SKU-0")["NJ-1"].Version
		eventually(s.T, "there is traffic that Redis will have forgotten", func() bool { return s.levels("SKU-0")["NJ-1"].Version > version+10 })
		stop()
		s.status(0)
		s.audit(0)

		if code := processor.end(); code != 0 {
			s.Fatal(code)
		}
		s.forget(kept)
		if r := s.audit(2, "--wait", "100ms"); r.Waiting == 0 || r.Different != 0 {
			s.Errorf("%+v", r)
		}
		s.startProcessor()
		if r := s.audit(0); r.SKUs != 6 {
			s.Errorf("%+v", r)
		}
	})
}

// traffic publishes adjustments and reservations of six SKUs until the function it returns is called.
func (s *stage) traffic(seed uint64) (stop func()) {
	s.Helper()
	w, r := s.wire(), rand.New(rand.NewPCG(seed, 1))
	deltas, err := w.writer(s.Context(), "stock-deltas")
	if err != nil {
		s.Fatal(err)
	}
	events, err := w.writer(s.Context(), "reservation-events")
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() { // ended by stop, which waits for it
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			sku, now := fmt.Sprintf("SKU-%d", r.IntN(6)), time.Now()
			location := []string{"NJ-1", "NJ-2", "NY-1", "NY-2"}[r.IntN(4)]
			record := deltas.Delta(&schemas.StockDelta{RecordID: fmt.Sprint("d", n), SKU: sku, Location: location, Mode: schemas.ModeAdjust,
				OnHand: schemas.Some(schemas.Milli(1000 * (r.IntN(5) - 1)))}, now)
			if r.IntN(3) == 0 {
				e := &availability.ReservationEvent{RequestID: fmt.Sprint("q", n), ReservationID: fmt.Sprint("v", r.IntN(40)), SKU: availability.SKU(sku), Action: availability.Reserve,
					Quantity: 500, HasQuantity: true, Group: availability.GroupID([]string{"JERSEY", "YORK"}[r.IntN(2)]), EventAt: availability.None,
					ExpiresAt: availability.None, At: availability.Instant(now.UnixMicro())}
				if r.IntN(3) == 0 {
					e.Action, e.Group, e.HasQuantity = availability.Release, "", false
				}
				record = events.Event(e)
			}
			if err := w.client.ProduceSync(ctx, record).FirstErr(); err != nil && ctx.Err() == nil {
				s.Error(err)
				return
			}
		}
	}()
	stop = func() { cancel(); <-done }
	s.Cleanup(stop)
	return stop
}

func TestAuditThatCannotLookSaysSo(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.onhand("audit").want(t, 2, "topics", "are missing")
	s.setUp()
	s.must("audit").want(t, 0, "0 SKUs of 4 tasks, 0 levels: 0 differences")
	r := onhand(t, append(s.environ, "ONHAND_REDIS=redis://"+unusedAddress(t)+"/0"), "audit")
	r.want(t, 2, "--redis")
	s.onhand("audit", "--sku", "SHIRT", "--wait", "1ms").want(t, 2, "SKU SHIRT: not compared: Redis has no checkpoint", "1 SKU not compared")
	for _, c := range []struct{ args, want string }{
		{"audit --task 4", "there are tasks 0 to 3"},
		{"audit --sample 0%", "above 0"},
		{"audit --sample many", "--sample"},
		{"audit --wait 0s", "--wait"},
		{"audit --sku a/b", "SKU"},
	} {
		s.onhand(strings.Fields(c.args)...).want(t, exitUsage, c.want)
	}
}

// TestRecordsAsOfAVersion reads the history of a key at versions that are known more or less exactly.
func TestRecordsAsOfAVersion(t *testing.T) {
	level := func(version int64) publishedLevel {
		return publishedLevel{version: version, digest: uint64(10 + version)}
	}
	key := &publishedKey{before: []publishedLevel{level(2), level(4)}, newest: level(6)}
	for _, c := range []struct {
		low, high int64
		version   int64
		ok        bool
	}{{9, 9, 6, true}, {6, 6, 6, true}, {5, 5, 4, true}, {4, 5, 4, true}, {2, 3, 2, true}, {1, 1, 0, false}, {5, 6, 0, false}, {3, 8, 0, false}} {
		if got, ok := key.asOf(c.low, c.high); ok != c.ok || got.version != c.version {
			t.Errorf("as of %d to %d: %d %v, want %d %v", c.low, c.high, got.version, ok, c.version, c.ok)
		}
	}
	if got, ok := (*publishedKey)(nil).asOf(1, 1); !ok || got.digest != digestGone {
		t.Error(got, ok)
	}
	for n := range int64(100) {
		key.add(level(10+n), true)
	}
	if len(key.before) != recordsWatched || key.newest.version != 109 || key.before[0].version != 109-recordsWatched {
		t.Errorf("%d records, from %d to %d", len(key.before), key.before[0].version, key.newest.version)
	}
}
