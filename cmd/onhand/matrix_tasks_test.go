package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/topics"
)

// asleep joins the group of the processor as another would, and does nothing. It returns the tasks that it was given, and
// what makes it leave.
func (s *stage) asleep(w *wire) (tasks []int32, leave func()) {
	s.Helper()
	member, err := kgo.NewClient(kgo.SeedBrokers(s.brokers), kgo.ClientID("asleep"), kgo.ConsumerGroup(w.names.ConsumerGroup()), kgo.ConsumeTopics(w.inputTopics()...),
		kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(member.Close)
	eventually(s.T, "one task or more of each member", func() bool {
		tasks = nil
		var state groupState
		if err := json.Unmarshal([]byte(s.must("status", "--json").out), &state); err != nil {
			s.Fatal(err)
		}
		awake := 0
		for _, t := range state.Tasks {
			switch t.Member {
			case "asleep":
				tasks = append(tasks, t.Task)
			case "":
			default:
				awake++
			}
		}
		return len(tasks) > 0 && awake > 0
	})
	return tasks, member.Close
}

// skusOf are SKUs, each of another of the tasks.
func skusOf(tasks []int32, partitions int32) (skus []string) {
	for _, task := range tasks {
		for n := 0; ; n++ {
			if sku := fmt.Sprintf("SKU-%d", n); topics.PartitionOf(sku, partitions) == task {
				skus = append(skus, sku)
				break
			}
		}
	}
	return skus
}

// TestHalfOfTheTasksDown has a member in the group that does nothing: every command says which tasks that concerns, does what
// it can, and goes on when they run again. Then none runs.
func TestHalfOfTheTasksDown(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	processor, _ := s.startProcessor()
	w := s.wire()
	all := skusOf([]int32{0, 1, 2, 3}, 4)
	feed := "{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n"
	for n, sku := range all {
		feed += fmt.Sprintf("{\"recordId\":\"r%d\",\"sku\":%q,\"onHand\":9,\"effectiveDate\":\"2026-01-01T00:00:00Z\"}\n", n, sku)
	}
	s.must("import", writeFile(t, "feed.ndjson", feed))
	for _, sku := range all {
		eventually(t, sku+" is in", func() bool { return s.levels(sku)["NJ-1"].OnHand == 9000 })
	}
	tasks, leave := s.asleep(w)
	down := skusOf(tasks, 4)[0]
	up := all[slices.IndexFunc([]int32{0, 1, 2, 3}, func(task int32) bool { return !slices.Contains(tasks, task) })]

	more := strings.Replace(testGraph, "locations:", "locations:\n  - {externalReference: LA-9}", 1)
	file := writeFile(t, "more.yaml", more)
	named := fmt.Sprintf("%d", tasks[0])
	for _, flags := range [][]string{nil, {"--wait-swept"}} {
		r := s.onhand(append([]string{"graph", "publish", file, "--timeout", "1500ms"}, flags...)...)
		r.want(t, exitFailure, "version 2 is published", "not every task has", "asleep (task", named, "`onhand status`")
		if strings.Contains(r.err, "one-") {
			t.Errorf("a task that runs is said to be late: %s", r.err)
		}
	}
	s.must("graph", "status").want(t, 0, "adopted by "+fmt.Sprint(4-len(tasks))+" of 4 tasks", "not adopted by asleep (task")
	s.must("reserve", up, "1", "--group", "EAST")
	s.onhand("reserve", down, "1", "--group", "EAST", "--timeout", "500ms", "--request", "q", "--reservation", "r").
		want(t, exitFailure, "no result for request q", "1 event of task "+named, "which asleep runs", "--request q --reservation r asks again")
	s.must("get", down).want(t, 0, "NJ-1")
	s.must("why", down).want(t, 0, "not yet in the number: 1 record", "RESERVE")
	s.audit(0)
	s.must("audit", "--repair", "--sku", down)
	s.must("snapshot", filepath.Join(t.TempDir(), "half")).want(t, 0, "4 files of 4 tasks", "1 records are in the topics alone")

	leave()
	s.must("graph", "publish", file, "--wait-swept")
	s.must("reserve", down, "1", "--group", "EAST", "--request", "q", "--reservation", "r", "--wait-level").want(t, 0, "ACCEPTED")
	if l := s.levels(down)["EAST"]; l.GroupReserved != 1000 {
		t.Errorf("reserved once: %+v", l)
	}
	s.endProcessor(w, processor)
	s.noTaskRuns(down, file)
}

func (s *stage) noTaskRuns(sku, graph string) {
	s.Helper()
	s.onhand("reserve", sku, "1", "--group", "EAST", "--timeout", "300ms").want(s.T, exitFailure, "no processor runs", "onhand run", "asks again")
	s.must("graph", "publish", graph).want(s.T, 0, "no processor has joined its group")
	s.must("graph", "status").want(s.T, 0, "no processor runs")
	s.must("get", sku)
	s.must("why", sku).want(s.T, 0, "nobody runs task")
	s.audit(0)
	s.must("snapshot", filepath.Join(s.TempDir(), "none"))
}

// TestATaskWithoutStateIsNotASKUWithoutPlaces: a processor has claimed some tasks, and never the one that is asked about.
func TestATaskWithoutStateIsNotASKUWithoutPlaces(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	tasks, leave := s.asleep(s.wireWithProcessor())
	defer leave()
	down := skusOf(tasks, 4)[0]
	for _, key := range s.memory.Keys() {
		if strings.HasPrefix(key, fmt.Sprintf("{%s:%d}", s.namespace, tasks[0])) {
			s.memory.Del(key)
		}
	}
	s.onhand("get", down).want(t, exitFailure, "has no state in Redis", "onhand status")
	s.onhand("why", down).want(t, exitFailure, "has no state in Redis", "onhand status")
}

// wireWithProcessor connects beside a processor that runs.
func (s *stage) wireWithProcessor() *wire {
	s.Helper()
	s.startProcessor()
	return s.wire()
}

// quickly is soon for what a person waits for at a terminal; it says how long each took.
func (s *stage) quickly(args ...string) result {
	s.Helper()
	began := time.Now()
	r := soon(s.T, func() result { return s.onhand(args...) })
	if r.code != 0 {
		s.Errorf("onhand %s: exit code %d\n%.2000s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	s.Logf("onhand %s: %s", args[0]+" "+args[1], time.Since(began).Round(time.Millisecond))
	return r
}

// wideGraph has so many locations, in one group of all and one of each tenth.
func wideGraph(locations int) string {
	var b strings.Builder
	b.WriteString("locations:\n")
	var all []string
	tenths := make([][]string, 10)
	for n := range locations {
		id := fmt.Sprintf("LOC-%05d", n)
		fmt.Fprintf(&b, "  - {externalReference: %s}\n", id)
		all, tenths[n%10] = append(all, id), append(tenths[n%10], id)
	}
	fmt.Fprintf(&b, "groups:\n  - {externalReference: ALL, locations: [%s]}\n", strings.Join(all, ", "))
	for n, tenth := range tenths {
		fmt.Fprintf(&b, "  - {externalReference: TENTH-%d, locations: [%s]}\n", n, strings.Join(tenth, ", "))
	}
	return b.String()
}

// TestFiveThousandLocations: what a person asks about them takes no longer than a look.
func TestFiveThousandLocations(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	const locations = 5000
	file, next := writeFile(t, "wide.yaml", wideGraph(locations)), writeFile(t, "wider.yaml", wideGraph(locations+1))
	s.quickly("graph", "plan", file).want(t, 0, "locations: 5000 added")
	s.quickly("graph", "publish", file, "--no-wait").want(t, 0, "version 1 is published")
	if shown := s.quickly("graph", "show"); strings.Count(shown.out, "externalReference: LOC-") != locations {
		t.Error("graph show does not show all")
	}
	s.startProcessor()
	var feed strings.Builder
	for n := range locations {
		fmt.Fprintf(&feed, `{"recordId":"r%d","sku":"WIDE","locationId":"LOC-%05d","onHand":2,"effectiveDate":"2026-01-01T00:00:00Z"}`+"\n", n, n)
	}
	s.quickly("import", writeFile(t, "feed.ndjson", feed.String()))
	eventually(t, "all is in", func() bool { return s.levels("WIDE")["ALL"].OnHand == 2*locations*1000 })
	s.quickly("reserve", "WIDE", "9000", "--group", "ALL", "--wait-level").want(t, 0, "ACCEPTED")
	s.quickly("reserve", "WIDE", "900", "--group", "TENTH-3", "--wait-level").want(t, 0, "ACCEPTED")
	s.quickly("reserve", "WIDE", "200", "--group", "TENTH-4", "--wait-level").want(t, 0, "PARTIAL: granted 100 of 200", "limited by what is promised at [ALL TENTH-3]")
	if shown := s.quickly("get", "WIDE"); strings.Count(shown.out, "LOC-") != locations {
		t.Error("get does not show all")
	}
	s.quickly("why", "WIDE").want(t, 0, "WIDE at 5011 places")
	s.quickly("why", "WIDE", "--place", "ALL").want(t, 0, "ATO 0")
	s.quickly("audit", "--json").want(t, 0, `"levels": 5011`, `"different": 0`)
	s.quickly("graph", "plan", next, "--levels").want(t, 0, "locations: 1 added", "0 of 1 SKU")
	s.quickly("graph", "publish", next, "--wait-swept").want(t, 0, "version 2 is published")
	s.quickly("graph", "status").want(t, 0, "adopted by 4 of 4 tasks, swept by 4")
	s.quickly("snapshot", filepath.Join(t.TempDir(), "wide")).want(t, 0, "1 SKUs, 5000 balances")
}
