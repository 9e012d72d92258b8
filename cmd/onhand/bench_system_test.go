package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// systemBench is a small drain of the namespace of the stage by a system, which is onhand itself.
func (s *stage) systemBench(more ...string) []string {
	program, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	return append([]string{"bench", "--namespace", s.namespace, "--system", program + " run --log-level warn", "--sales", "80", "--receipts", "15",
		"--reservations", "0", "--counts", "5", "--events", "600", "--skus", "20", "--partitions", "2", "--log-level", "warn"}, more...)
}

// systemReport reads the one report of a run.
func systemReport(t *testing.T, r result) *benchReport {
	t.Helper()
	var reports []benchReport
	if err := json.Unmarshal([]byte(r.out), &reports); err != nil || len(reports) != 1 || reports[0].System == nil || reports[0].Check.Differences == nil {
		t.Fatalf("%v\n%s%s", err, r.out, r.err)
	}
	return &reports[0]
}

// TestSystemsAreMeasured drains the same input twice, and looks for what the runs leave.
func TestSystemsAreMeasured(t *testing.T) {
	onStages(t, func(s *stage) {
		benchStage(s)
		first := systemReport(s.T, s.must(s.systemBench("--json", "--keep", "--reuse")...))
		s.wantInOrderOfTime(600)
		table := s.topics().ConsumerGroup() + "-table"
		admin := kadm.NewClient(s.kafka())
		if _, err := admin.CreateTopic(s.Context(), 1, 1, nil, table); err != nil {
			s.Fatal(err)
		}
		second := systemReport(s.T, s.must(s.systemBench("--json", "--keep", "--reuse", "--incident", "kill")...))
		for _, r := range []*benchReport{first, second} {
			if r.Events != 600 || r.Check.Inputs != 600 || r.Check.Levels == 0 || r.Check.Wrong != 0 || r.Outputs.Updates == 0 || r.EventsSecond <= 0 {
				s.Errorf("%d events, outputs %+v, check %+v", r.Events, r.Outputs, r.Check)
			}
			if r.System.FirstOutput <= 0 || r.System.FirstOutput > r.Seconds {
				s.Errorf("first output after %v of %v s", r.System.FirstOutput, r.Seconds)
			}
			if timeOf(os.Getpid()) != nil && (r.CPU.Processor == nil || *r.CPU.Processor <= 0 || *r.Resident <= 0 || r.Allocations != nil) {
				s.Errorf("processor time %v, memory %v, allocations %v", r.CPU.Processor, r.Resident, r.Allocations)
			}
		}
		if k := second.System.Killed; first.System.Killed != nil || k == nil || k.Left > 300 {
			s.Errorf("killed: %+v, then %+v", first.System.Killed, k)
		}
		if first.Check.Levels != second.Check.Levels {
			s.Errorf("%d levels, then %d of the same input", first.Check.Levels, second.Check.Levels)
		}
		s.onhand(s.systemBench("--reuse", "--events", "601")...).want(s.T, exitFailure, "the input holds 600 events", "--wipe")
		s.must(s.systemBench("--wipe")...)
		s.wantNothing()
		if all, err := admin.ListTopics(s.Context()); err != nil || all.Has(table) {
			s.Errorf("the table of the system is there, %v", err)
		}
	})
}

// wantInOrderOfTime fails unless the input holds so many events of different times, each partition in their order, and
// every count is of the time of its record.
func (s *stage) wantInOrderOfTime(events int) {
	s.Helper()
	r, done := s.benchRun()
	defer done()
	seen := map[availability.Instant]bool{}
	for n := range r.wire.partitions {
		last := availability.Instant(0)
		err := readToEnd(s.Context(), r.config, r.wire.log, r.wire.names.StockDeltas, n, func(record *kgo.Record) error {
			var d availability.Delta
			if err := r.wire.reader.Delta(s.Context(), record, &d); err != nil {
				return err
			}
			if d.At <= last || d.EffectiveAt != d.At {
				s.Errorf("an event of %v, effective %v, comes after one of %v", d.At, d.EffectiveAt, last)
			}
			last, seen[d.At] = d.At, true
			return nil
		})
		if err != nil {
			s.Fatal(err)
		}
	}
	if len(seen) != events {
		s.Errorf("%d times of %d events", len(seen), events)
	}
}

// TestSystemsThatEndAreReported says why a system has ended by itself.
func TestSystemsThatEndAreReported(t *testing.T) {
	s := benchStage(fakeStage(t))
	run := s.systemBench()
	run[slices.Index(run, "--system")+1] = `sh -c 'echo "no $ONHAND_NAMESPACE in $BENCH_PARTITIONS" >&2; exit 3'`
	s.onhand(run...).want(t, exitFailure, "has ended, exit status 3", "no "+s.namespace+" in 2")
	s.wantNothing()
}

// TestWrongLevelsOfSystemsAreFound changes the output after a run and checks again.
func TestWrongLevelsOfSystemsAreFound(t *testing.T) {
	s := benchStage(fakeStage(t))
	s.must(s.systemBench("--keep", "--events", "4000")...) // so many that every location has every SKU
	r, done := s.benchRun()
	defer done()
	r.plan.System = "any"
	check := func() *benchCheck {
		checker, err := r.checker(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := checker.check(t.Context(), newProgress(&strings.Builder{}, "", 2), 4000, 0); err != nil {
			t.Fatal(err)
		}
		return &checker.found
	}
	if c := check(); c.Wrong != 0 || c.Levels == 0 || *c.Differences != (benchDifferences{}) {
		t.Fatalf("nothing was changed: %+v", c)
	}
	put := func(key string, value []byte) {
		_, sku, _ := strings.Cut(key, "/")
		record := &kgo.Record{Topic: s.topics().AvailabilityUpdates, Partition: topics.PartitionOf(sku, 2), Key: []byte(key), Value: value}
		if err := r.wire.client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	forge := func(key, value string) { put(key, []byte(value)) }
	const form = `{"place":"%s","placeType":"%s","sku":"SKU-000001","onHand":"%s","atf":"%s","ato":"%s","shortfall":"%s"}`
	forge("LOC-0001/SKU-000001", fmt.Sprintf(form, "LOC-0001", "LOCATION", "9000000.5", "9000000.5", "9000000.5", "0"))
	forge("LOC-0002/SKU-000001", fmt.Sprintf(form, "LOC-0002", "LOCATION", "-9000000", "0", "0", "9000000"))
	forge("GROUP-01/SKU-000001", fmt.Sprintf(form, "GROUP-01", "GROUP", "9000000", "9000000", "9000000", "0"))
	forge("LOC-0003/SKU-000001", fmt.Sprintf(form, "LOC-0004", "LOCATION", "1", "1", "1", "0"))
	forge("LOC-0005/SKU-000001", "nonsense")
	forge("LOC-9999/SKU-000001", fmt.Sprintf(form, "LOC-9999", "LOCATION", "1", "1", "1", "0"))
	put("LOC-8888/SKU-000001", nil) // which is right: it has no level
	put("LOC-0006/SKU-000001", nil)
	c := check()
	text := strings.Join(c.Examples, "\n")
	for _, want := range []string{
		"LOC-0001/SKU-000001 is published as on hand 9000000.5", "LOC-0002/SKU-000001 is published as on hand -9000000", "GROUP-01/SKU-000001 is published as",
		"LOC-0003/SKU-000001 is the key of a level of SKU-000001 at LOC-0004", "the value of LOC-0005/SKU-000001 cannot be read",
		"LOC-9999/SKU-000001 is published and has no level", "LOC-0006/SKU-000001 is not published and is",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	// The stock there is some hundreds of units at most.
	d := c.Differences
	if c.Wrong != 7 || d.Higher != 1 || d.Lower != 1 || d.Missing != 1 || d.UnitsHigher < 8_990_000_000 || d.UnitsLower < 8_990_000_000 {
		t.Errorf("%d wrong, %+v", c.Wrong, d)
	}
	// A sale that no system has taken: the location and its groups lack a level.
	writer, err := r.wire.writer(t.Context(), "stock-deltas")
	if err != nil {
		t.Fatal(err)
	}
	plan := basicPlan("test")
	traffic := newBenchTraffic(&plan, writer, benchGraph(&plan))
	if err := r.wire.client.ProduceSync(t.Context(), traffic.adjust("late", "SKU-000099", "LOC-0001", -1000, time.Now()).Record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if d := check().Differences; d.Missing != 1+4 {
		t.Errorf("%d levels are missing, want the one before and those of a location and its 3 groups", d.Missing)
	}
}
