package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/schemas"
	"onhand/topics"
)

// asCommand makes the test binary be onhand: a benchmark runs its own binary as the processor.
const asCommand = "ONHAND_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	m.Run()
}

// benchStage is a stage whose processors can be started as processes.
func benchStage(s *stage) *stage {
	s.environ = append(slices.Clone(s.environ), asCommand+"=1")
	return s
}

// tiny makes a workload one of a second or two. The rest of it stays as it is.
var tiny = []string{"--scale", "0.0001", "--partitions", "2", "--json", "--log-level", "warn"}

// tinyRuns are the runs of all workloads that differ in more than numbers.
var tinyRuns = map[string][]string{
	"W1-uniform": {"--duplicates", "5", "--poison", "2", "--sessions", "2"},
	"W1-zipf":    nil,
	"W2-5k":      nil,
	"W3":         nil,
	"W4":         {"--skus", "100"},
	"W5":         nil,
	"W6":         {"--duration", "1s"},
	"W7":         nil,
	"W8":         nil,
	"W9":         nil,
	"W10":        {"--expiring", "40", "--duration", "1s"},
}

// TestWorkloadsRun runs each workload in small, on stand-ins in this process with processors in processes of their own,
// so that benchmarks cannot rot. What they measure here says nothing; that it comes out right does.
func TestWorkloadsRun(t *testing.T) {
	s := benchStage(fakeStage(t))
	for name, more := range tinyRuns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := onhand(t, s.environ, slices.Concat([]string{"bench", "--workload", name}, tiny, more)...)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.err)
			}
			var reports []benchReport
			if err := json.Unmarshal([]byte(r.out), &reports); err != nil || len(reports) != 1 {
				t.Fatalf("%d reports: %v\n%s", len(reports), err, r.out)
			}
			checkTinyReport(t, &reports[0])
		})
	}
}

// checkTinyReport fails where a report lacks what its plan asks for.
func checkTinyReport(t *testing.T, r *benchReport) {
	t.Helper()
	p := &r.Plan
	if r.Events == 0 || r.Check == nil || r.Check.Wrong != 0 || r.Check.Levels == 0 || r.Check.Stored == 0 || r.Outputs.Updates == 0 {
		t.Errorf("%d events, outputs %+v, check %+v", r.Events, r.Outputs, r.Check)
	}
	if r.CPU.Processor == nil || *r.CPU.Processor <= 0 || r.Allocations == nil || *r.Allocations <= 0 {
		t.Errorf("processor time %v, allocations %v", r.CPU.Processor, r.Allocations)
	}
	if r.CPU.Redis != nil || r.CPU.Broker != nil {
		t.Error("a stand-in in this process was measured as Redis or as a broker")
	}
	if (p.Poison > 0) != (r.Outputs.DeadLetters > 0) {
		t.Errorf("%v %% poison, %d dead letters", p.Poison, r.Outputs.DeadLetters)
	}
	if p.Rate > 0 && (r.Updates == nil || r.Updates.Count == 0 || r.Updates.P50 <= 0 || r.Updates.Max < r.Updates.P999) {
		t.Errorf("lateness %+v", r.Updates)
	}
	if p.Feed > 0 && (r.Outputs.Updates < int64(r.Events)/100 || r.Outputs.Updates > int64(r.Events)) {
		t.Errorf("a feed of %d records of which %v %% change brought %d updates", r.Events, p.Feed, r.Outputs.Updates)
	}
	if p.Expiring > 0 && (r.Releases == nil || r.Releases.Count != uint64(p.Expiring) || r.Releases.Max <= 0) {
		t.Errorf("%d reservations expire, released %+v", p.Expiring, r.Releases)
	}
	switch p.Incident {
	case incidentKill, incidentCold:
		if r.Restart == nil || r.Restart.FirstUpdateMS <= 0 || r.Restart.CaughtUpMS < r.Restart.FirstUpdateMS {
			t.Errorf("restart %+v", r.Restart)
		}
	case incidentJoin:
		if r.Join == nil || r.Join.Moved == 0 || r.Join.ReadyMS <= 0 || r.Join.SilenceMS < r.Join.SilenceMedianMS {
			t.Errorf("join %+v", r.Join)
		}
	case incidentGraph:
		if len(r.Changes) != 3 || r.Changes[2].SweptMS <= 0 || r.Changes[0].BeforeMS == nil || r.Changes[2].AfterMS == nil {
			t.Errorf("changes %+v", r.Changes)
		}
	case incidentNone:
	}
}

// TestBenchLeavesNothing looks for topics, groups, subjects and keys after a run that ends well, and after one that is
// interrupted in the middle.
func TestBenchLeavesNothing(t *testing.T) {
	onStages(t, func(s *stage) {
		benchStage(s)
		flow := []string{"bench", "--namespace", s.namespace, "--skus", "20", "--locations", "4", "--groups", "3", "--groups-per-location", "2",
			"--partitions", "2", "--rate", "300", "--log-level", "warn"}
		s.must(append(flow, "--duration", "200ms")...)
		s.wantNothing()
		r := s.start(append(flow, "--duration", "10m")...)
		client := s.kafka()
		eventually(s.T, "levels are published", func() bool {
			ends, err := kadm.NewClient(client).ListEndOffsets(s.Context(), s.topics().AvailabilityUpdates)
			n := int64(0)
			ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
			return err == nil && ends.Error() == nil && n > 20
		})
		if code := r.end(); code != exitInterrupted {
			out, err := r.output()
			s.Errorf("exit code %d, want %d\n%s%s", code, exitInterrupted, out, err)
		}
		s.wantNothing()
	})
}

func (s *stage) topics() topics.Names {
	names, err := topics.NamesOf(s.namespace)
	if err != nil {
		s.Fatal(err)
	}
	return names
}

func (s *stage) kafka() *kgo.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(client.Close)
	return client
}

// wantNothing fails where the namespace has left something.
func (s *stage) wantNothing() {
	s.Helper()
	admin := kadm.NewClient(s.kafka())
	all, err := admin.ListTopics(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, name := range s.topics().All() {
		if all.Has(name) {
			s.Errorf("topic %s is there", name)
		}
	}
	groups, err := admin.ListGroups(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, ok := groups[s.topics().ConsumerGroup()]; ok {
		s.Error("the consumer group is there")
	}
	registry, err := schemas.NewRegistry(s.registry, schemas.RegistryOptions{})
	if err != nil {
		s.Fatal(err)
	}
	defer registry.Close()
	for _, subject := range schemas.Subjects(s.namespace) {
		if versions, err := registry.Versions(s.Context(), subject.Name); err != nil || len(versions) > 0 {
			s.Errorf("subject %s has versions %v, %v", subject.Name, versions, err)
		}
	}
	store, err := cache.Open(s.Context(), s.redis, cache.Options{Namespace: s.namespace})
	if err != nil {
		s.Fatal(err)
	}
	defer closeRead(store)
	for task := range int32(2) {
		if f, err := store.Footprint(s.Context(), task, 1000); err != nil || f.Bytes > 0 {
			s.Errorf("task %d has %+v in Redis, %v", task, f, err)
		}
	}
}

// TestBenchTouchesNoNamespaceInUse runs where somebody else's data is.
func TestBenchTouchesNoNamespaceInUse(t *testing.T) {
	s := benchStage(fakeStage(t))
	s.setUp()
	s.publishGraph(testGraph)
	run := []string{"bench", "--events", "50", "--skus", "10", "--partitions", "2", "--log-level", "warn"}
	s.onhand(append(run, "--namespace", s.namespace)...).want(t, exitFailure, "is in use", "--wipe")
	s.must("graph", "show") // still there
	// The variable names a namespace in use; a run makes one of its own, and leaves this one alone.
	s.must(run...)
	s.must("graph", "show")
	s.onhand(append(run, "--wipe")...).want(t, exitUsage, "--wipe wants a --namespace")
	s.must(append(run, "--namespace", s.namespace, "--wipe", "--keep")...)
	s.onhand("get", "SKU-000001").want(t, 0, "LOC-")
	s.onhand("audit").want(t, 0, "0 differences")
}

// TestBenchMeasuresAProcessorElsewhere runs beside a processor that is not its own, and leaves it and its namespace alone.
func TestBenchMeasuresAProcessorElsewhere(t *testing.T) {
	s := fakeStage(t)
	s.setUp()
	r := s.start("run", "--admin", "127.0.0.1:0", "--instance", "one", "--log-level", "warn")
	admin := ""
	eventually(t, "metrics and health are printed", func() bool {
		out, _ := r.output()
		_, after, ok := strings.Cut(out, "metrics and health on ")
		admin = strings.TrimSpace(after)
		return ok
	})
	run := s.must("bench", "--external", "--namespace", s.namespace, "--metrics", admin+"/metrics", "--rate", "500", "--duration", "300ms",
		"--skus", "20", "--fill", "--expiring", "20", "--json")
	var reports []benchReport
	if err := json.Unmarshal([]byte(run.out), &reports); err != nil {
		t.Fatal(err)
	}
	if report := &reports[0]; report.Plan.Partitions != 4 {
		t.Errorf("%d partitions, found are 4", report.Plan.Partitions)
	}
	checkTinyReport(t, &reports[0])
	if code := r.end(); code != 0 {
		t.Errorf("the processor ended with %d", code)
	}
	s.onhand("audit").want(t, 0, "0 differences")
	s.onhand("bench", "--external", "--namespace", s.namespace, "--rate", "500").want(t, exitFailure, "is in use")
}

// TestBenchFindsWrongLevels folds a run's inputs anew after levels were tampered with.
func TestBenchFindsWrongLevels(t *testing.T) {
	s := benchStage(fakeStage(t))
	s.must("bench", "--namespace", s.namespace, "--events", "400", "--skus", "10", "--partitions", "2", "--keep", "--log-level", "warn")
	check := func() *benchCheck {
		r, close := s.benchRun()
		defer close()
		checker, err := r.checker(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := checker.check(t.Context(), newProgress(&strings.Builder{}, "", 2), 400, 0); err != nil {
			t.Fatal(err)
		}
		return &checker.found
	}
	if c := check(); c.Wrong != 0 || c.Levels == 0 {
		t.Fatalf("nothing was tampered with: %+v", c)
	}
	// One more sale that no processor has folded: the levels of its SKU are old.
	w, done := s.benchRun()
	defer done()
	ids := topics.IDs{}
	var err error
	if ids.StockDelta, err = schemaID(t.Context(), w.config, w.wire.registry, "stock-deltas"); err != nil {
		t.Fatal(err)
	}
	plan := basicPlan("test")
	plan.SKUs = 10
	traffic := newBenchTraffic(&plan, topics.NewWriter(w.wire.names, ids, 2), benchGraph(&plan))
	sale := traffic.adjust("late", "SKU-000001", "LOC-0001", -1000, time.Now())
	if err := w.wire.client.ProduceSync(t.Context(), sale.Record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := check()
	text := strings.Join(c.Examples, "\n")
	for _, want := range []string{"LOC-0001/SKU-000001 is published as", "LOC-0001/SKU-000001 is stored as", "the inputs hold 401 records that were sent; Kafka has acknowledged 400"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestWrongRunsDoNotCount puts a level into the topic that no processor has published, in the middle of a run.
func TestWrongRunsDoNotCount(t *testing.T) {
	s := benchStage(fakeStage(t))
	r := s.start("bench", "--namespace", s.namespace, "--rate", "500", "--duration", "2s", "--skus", "20", "--partitions", "2", "--log-level", "warn")
	client, admin := s.kafka(), kadm.NewClient(s.kafka())
	eventually(t, "levels are published", func() bool {
		ends, err := admin.ListEndOffsets(t.Context(), s.topics().AvailabilityUpdates)
		end, ok := ends.Lookup(s.topics().AvailabilityUpdates, topics.PartitionOf("SKU-000001", 2))
		return err == nil && ok && end.Offset > 10
	})
	forged := &kgo.Record{Topic: s.topics().AvailabilityUpdates, Key: []byte("LOC-0000/SKU-000001"), Headers: []kgo.RecordHeader{
		{Key: topics.HeaderVersion, Value: fmt.Append(nil, int64(1)<<60)},
	}}
	if err := client.ProduceSync(t.Context(), forged).FirstErr(); err != nil {
		t.Fatal(err)
	}
	code := <-r.done
	r.stopped = true
	out, err := r.output()
	result{code, out, err}.want(t, exitFailure, "WRONG", "LOC-0000/SKU-000001", "the figures do not count")
	s.wantNothing()
}

// TestFlowsAreLateFromTheirTimes sends events whose times have all passed, as after a stall of the sender: their lateness
// counts from when they were to be sent.
func TestFlowsAreLateFromTheirTimes(t *testing.T) {
	s := fakeStage(t)
	s.setUp()
	r, done := s.benchRun()
	defer done()
	plan := basicPlan("test")
	plan.SKUs = 20
	began := time.Now().Add(-20 * time.Second) // the client of the stage gives a record 30 s
	watcher := newBenchWatcher(r.wire, began, time.Second)
	sender := newBenchSender(r.wire, r.wire.client)
	sender.watchedBy(watcher)
	traffic := newBenchTraffic(&plan, topics.NewWriter(r.wire.names, topics.IDs{StockDelta: 1, ReservationEvent: 2}, r.wire.partitions), benchGraph(&plan))
	if err := sender.flow(t.Context(), began, 100, func(since time.Duration) bool { return since < time.Second }, traffic.next); err != nil {
		t.Fatal(err)
	}
	acked, good, poison := sender.totals()
	if acked != 100 || good != 100 || poison != 0 {
		t.Errorf("%d acknowledged, %d good, %d poison; want 100 events", acked, good, poison)
	}
	now := began.Add(2 * time.Hour)
	for input, ends := range sender.ends() {
		for partition, end := range ends {
			watcher.caused(input, int32(partition), end-1, now)
		}
	}
	h := watcher.between(began, now)
	if unseen, _ := watcher.look(now); unseen != 0 || h.count < 50 || h.percentile(0) < 2*time.Hour-time.Second || h.longest != 2*time.Hour {
		t.Errorf("%d unseen, %d seen, from %s to %s late; want all, from 1h59m59s to 2h", unseen, h.count, h.percentile(0), h.longest)
	}
}

// benchRun is a run in the namespace of the stage, as it stands.
func (s *stage) benchRun() (r *benchRun, done func()) {
	s.Helper()
	c, err := loadConfig("", s.environ, nil)
	if err != nil {
		s.Fatal(err)
	}
	a := &app{in: strings.NewReader(""), out: &strings.Builder{}, err: &strings.Builder{}, environ: s.environ}
	r = &benchRun{app: a, config: c.Config}
	if r.wire, err = a.connect(s.Context(), c.Config); err != nil {
		s.Fatal(err)
	}
	if r.store, err = openRedis(s.Context(), c.Config, nil); err != nil {
		s.Fatal(err)
	}
	return r, func() { closeRead(r.store); r.wire.close() }
}

func TestPlansThatCannotBeAreRefused(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--workload", "W11"}, `no workload "W11"`},
		{[]string{"--scale", "0"}, "--scale is 0"},
		{[]string{"--sales", "80"}, "come to 110 %"},
		{[]string{"--skew", "zipf:1"}, "zipf:S with S above 1"},
		{[]string{"--skew", "hot:200"}, "hot:P"},
		{[]string{"--incident", "kil", "--rate", "10"}, "did you mean kill"},
		{[]string{"--incident", "kill"}, "need a --rate"},
		{[]string{"--expiring", "5", "--rate", "10"}, "--expiring needs --fill"},
		{[]string{"--feed", "5"}, "--feed needs --fill"},
		{[]string{"--groups", "100"}, "do not fill them"},
		{[]string{"--rate", "10", "--external"}, "wants one run and the --namespace"},
		{[]string{"--rate", "10", "--external", "--namespace", "x", "--incident", "kill"}, "not bench's to start and stop"},
		{[]string{"--poison", "101"}, "--poison is 101"},
		{[]string{"--system", "x"}, "--system wants counts, sales and receipts alone"},
		{[]string{"--system", "x", "--rate", "10"}, "--system drains --events"},
		{[]string{"--system", "x", "--sales", "95", "--reservations", "0", "--receipts", "0", "--incident", "join"}, "it can be killed, and nothing else"},
		{[]string{"--reuse", "--namespace", "x"}, "--reuse wants one run of a --system"},
		{[]string{"--reuse", "--system", "x", "--sales", "95", "--reservations", "0", "--receipts", "0"}, "--reuse wants one run of a --system"},
	} {
		onhand(t, nil, append([]string{"bench"}, test.args...)...).want(t, exitUsage, test.want)
	}
}

// TestTrafficIsThePlan counts what the generator makes of a plan, and makes it twice.
func TestTrafficIsThePlan(t *testing.T) {
	p := basicPlan("test")
	p.SKUs, p.Duplicates, p.Poison, p.Skew.Hot, p.Seed = 1000, 4, 1, 50, 7
	names, err := topics.NamesOf("test")
	if err != nil {
		t.Fatal(err)
	}
	make := func() *benchTraffic {
		return newBenchTraffic(&p, topics.NewWriter(names, topics.IDs{StockDelta: 1, ReservationEvent: 2}, 16), benchGraph(&p))
	}
	first, second := make(), make()
	const n = 50_000
	kinds, hot, at := map[benchKind]int{}, 0, time.UnixMicro(1_750_000_000_000_000)
	for i := range n {
		r, again := first.next(at), second.next(at)
		if r.kind != again.kind || string(r.Key) != string(again.Key) || string(r.Value) != string(again.Value) || r.Partition != again.Partition {
			t.Fatalf("record %d differs between two generators of one seed", i)
		}
		if kinds[r.kind]++; string(r.Key) == first.skus[0] {
			hot++
		}
	}
	for _, want := range []struct {
		what      string
		have      int
		low, high float64 // percent
	}{
		{"repeats", kinds[benchRepeat], 3.5, 4.5}, {"poison", kinds[benchPoison], 0.8, 1.2},
		{"reservations", kinds[benchEvent], 13.2, 15.3}, {"deltas", kinds[benchDelta], 79, 82.5}, {"the hot SKU", hot, 48, 52},
	} {
		if percent := 100 * float64(want.have) / n; percent < want.low || percent > want.high {
			t.Errorf("%s are %.2f %%, want %v to %v", want.what, percent, want.low, want.high)
		}
	}
}

// TestHistogramKnowsPercentiles compares with a sorted list. It prints its seed.
func TestHistogramKnowsPercentiles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var h, half benchHistogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * float64(20*time.Millisecond)).Truncate(time.Microsecond)
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			half.add(d)
		}
	}
	h.merge(&half)
	slices.Sort(all)
	for _, percent := range []float64{1, 50, 90, 99, 99.9, 100} {
		want := all[max(1, int(percent/100*float64(len(all))+0.5))-1]
		if have := h.percentile(percent); have < want || float64(have) > 1.016*float64(want)+float64(2*time.Microsecond) {
			t.Errorf("p%v is %s, want %s or at most 1.6 %% more", percent, have, want)
		}
	}
	if h.longest != all[len(all)-1] || h.count != uint64(len(all)) {
		t.Errorf("longest %s of %d, want %s of %d", h.longest, h.count, all[len(all)-1], len(all))
	}
}

func TestBucketsHoldWhatTheyCount(t *testing.T) {
	last := -1
	for us := range 1 << 16 {
		d := time.Duration(us) * time.Microsecond
		n := benchBucket(d)
		if n < last || n > last+1 || benchBucketTop(n) < d || n > 0 && benchBucketTop(n-1) >= d {
			t.Fatalf("%s is in bucket %d, after %d, which ends with %s", d, n, last, benchBucketTop(n))
		}
		last = n
	}
}

func TestSparklines(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, ""}, {[]float64{0, 0}, "  "}, {[]float64{1, 2, 4, 8}, "▂▃▅█"}, {[]float64{8, 0, 0.1}, "█ ▁"},
	} {
		if have := sparkline(test.values); have != test.want {
			t.Errorf("%v is drawn %q, want %q", test.values, have, test.want)
		}
	}
}

// TestWatcherCountsFromTheIntendedTime plays acknowledgements and outputs in both orders.
func TestWatcherCountsFromTheIntendedTime(t *testing.T) {
	names, err := topics.NamesOf("test")
	if err != nil {
		t.Fatal(err)
	}
	began := time.UnixMicro(1_750_000_000_000_000)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	w := newBenchWatcher(&wire{names: names, partitions: 2}, began, time.Minute)
	update := func(partition int32, offset, version int64) *kgo.Record {
		return &kgo.Record{Topic: names.AvailabilityUpdates, Partition: partition, Headers: []kgo.RecordHeader{
			{Key: topics.HeaderVersion, Value: fmt.Append(nil, version)},
			{Key: topics.HeaderCause, Value: fmt.Appendf(nil, "%s/%d/%d", names.StockDeltas, partition, offset)},
		}}
	}
	for offset := range int64(10) {
		w.sent(0, 1, offset, at(int(offset)))
	}
	w.takeUpdates(1, []*kgo.Record{update(1, 7, 3<<40+1), update(1, 4, 3<<40+1)}, at(107)) // 0 to 7
	if unseen, oldest := w.look(at(200)); unseen != 2 || oldest != 192*time.Millisecond {
		t.Errorf("%d unseen, the oldest for %s; want 2 for 192 ms", unseen, oldest)
	}
	w.takeUpdates(1, []*kgo.Record{update(1, 12, 4<<40+1)}, at(300))
	w.sent(0, 1, 10, at(250)) // acknowledged after its output was read
	h := w.between(began, at(1000))
	if h.count != 11 || h.longest != 292*time.Millisecond || h.percentile(1) != 50*time.Millisecond+w.rounding(50*time.Millisecond) {
		t.Errorf("%d seen, from %s to %s; want 11 from 50 ms to 292 ms", h.count, h.percentile(1), h.longest)
	}
	if epochs, firstOf := w.epochsSeen(); !slices.Equal(epochs, []int64{0, 4}) || !firstOf[1].Equal(at(300)) {
		t.Errorf("epochs %v, seen %v", epochs, firstOf)
	}
}

// rounding is how much a histogram says more than what it counted.
func (b *benchWatcher) rounding(d time.Duration) time.Duration {
	return benchBucketTop(benchBucket(d)) - d
}

func TestReleasesTellWhenTheyWereDue(t *testing.T) {
	if due, ok := expiryOf("expire:of:hold-3:1750000000000001"); !ok || due.UnixMicro() != 1_750_000_000_000_001 {
		t.Errorf("%v, %v", due, ok)
	}
	for _, id := range []string{"hold-3", "expire:x", ""} {
		if due, ok := expiryOf(id); ok {
			t.Errorf("%q is a release due %v", id, due)
		}
	}
}

// TestGraphChangesKeepTheRules makes every change to graphs of several sizes and compiles what comes of it.
func TestGraphChangesKeepTheRules(t *testing.T) {
	for _, p := range []benchPlan{{Locations: 20, Groups: 12, GroupsEach: 3, Seed: 1}, {Locations: 3, Groups: 3, GroupsEach: 1, Seed: 2}, {Locations: 1, Groups: 3, GroupsEach: 3, Seed: 3}} {
		before := benchGraph(&p)
		g := copyGraph(before)
		moveLocations(g, max(1, p.Locations/10))
		if p.Locations == 20 && len(diffGraphs(before, g).Changes) == 0 {
			t.Error("no location has moved")
		}
		g.Groups = g.Groups[:len(g.Groups)-1]
		addLocations(g, 50, p.GroupsEach)
		g.Version = 1
		spec := topics.GraphSpec(g)
		if _, err := spec.Compile(); err != nil || len(g.Locations) != p.Locations+50 {
			t.Errorf("%d locations, %v", len(g.Locations), err)
		}
		spec = topics.GraphSpec(before)
		if spec.Version = 1; spec.Validate() != nil {
			t.Errorf("a change has changed the graph before: %v", spec.Validate())
		}
	}
}

func TestListenersAreFound(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:71A4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:71A4 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: 0100007F:71A5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`
	if found := listening(text, 29092); !slices.Equal(found, []string{"socket:[4711]"}) {
		t.Errorf("on port 29092 listens %v", found)
	}
}

func TestProcessMetricsAreRead(t *testing.T) {
	c := parseProcessCost("# TYPE x counter\nprocess_cpu_seconds_total 1.5\ngo_memstats_alloc_bytes_total 3e+06\ngo_memstats_mallocs_total 7\nprocess_resident_memory_bytes 4096\nother{a=\"b c\"} 9\n")
	if want := (processCost{CPU: 1500 * time.Millisecond, AllocBytes: 3e6, Allocations: 7, Resident: 4096}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

// TestProcessorThatEndsIsTold starts a processor that is refused: a run must not wait for it.
func TestProcessorThatEndsIsTold(t *testing.T) {
	s := benchStage(fakeStage(t))
	p, err := startBenchProcess(t.Context(), s.environ, []string{"--namespace", s.namespace}, "alone")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.ready(ctx); err == nil || !strings.Contains(err.Error(), "processor alone has ended") || !strings.Contains(err.Error(), "topics apply") {
		t.Errorf("a namespace without topics: %v", err)
	}
}
