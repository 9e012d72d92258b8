package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/topics"
)

// twice calls a command two times at once.
func (s *stage) twice(args ...string) (results [2]result) {
	s.Helper()
	var both sync.WaitGroup
	for i := range results {
		both.Go(func() { results[i] = s.onhand(args...) })
	}
	both.Wait()
	return results
}

// TestTwoOperatorsAtOnce: both imports, repairs and restores end, and what they leave is right; of two snapshots into one
// directory one does it.
func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(auditGraph)
	processor, _ := s.startProcessor()
	w := s.wire()
	const lines = 300
	file := writeFile(t, "feed.ndjson", longFeed(lines))
	for _, r := range s.twice("import", file) {
		r.want(t, 0, "300 lines read")
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	eventually(t, "all lines are in", func() bool { return s.levels(fmt.Sprint("S", lines-1))["NJ-1"].OnHand == 1000*(lines-1) })
	if got := s.levels("S7")["NJ-1"].OnHand; got != 7000 {
		t.Errorf("7 counted twice is %s", got)
	}
	s.must("import", writeFile(t, "audit.ndjson", auditFeed))
	eventually(t, "the others are in too", func() bool { return s.levels("HAT")["NJ-1"].OnHand == 3000 })
	s.status(0)
	s.spoilTopic(w)
	for _, r := range s.twice("audit", "--repair") {
		r.want(t, 0, "no difference remains")
	}
	s.audit(0)

	dir := filepath.Join(t.TempDir(), "snapshot")
	slow := s.start("snapshot", dir, "--rate", "200")
	eventually(t, "the first snapshot is under way", func() bool {
		_, err := os.Stat(filepath.Join(dir, ".lock"))
		return err == nil
	})
	s.onhand("snapshot", dir).want(t, exitFailure, "another onhand snapshot writes into "+dir, "let it end, or name another directory")
	eventually(t, "the first snapshot is whole", func() bool { return s.onhand("restore", dir, "--verify").code == 0 })
	if code := <-slow.done; code != 0 {
		t.Errorf("the first snapshot ends with %d", code)
	}
	slow.stopped = true
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("%v %v", entries, err)
	}
	s.endProcessor(w, processor)
	s.emptyRedis(t.Context())
	s.restoreTwice(dir)
}

// restoreTwice lets two restores write the same tasks; each commit of one is refused, or found done, by the other.
func (s *stage) restoreTwice(dir string) {
	s.Helper()
	for _, r := range s.twice("restore", dir) {
		if r.code != 0 {
			r.want(s.T, exitFailure, "another restore, which was interrupted or is under way", "let that one end")
		}
	}
	s.must("restore", dir)
	s.startProcessor()
	s.status(0)
	s.audit(0)
	if got := s.levels("S7")["NJ-1"].OnHand; got != 7000 {
		s.Errorf("7 restored twice is %s", got)
	}
}

// outage makes the brokers of a stage hang up on everybody while away is true. Once armed, the first request
// that produces begins one of a second.
type outage struct {
	away, armed atomic.Bool
	produced    atomic.Int64
}

func (s *stage) outage() *outage {
	o := new(outage)
	s.broker.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.broker.KeepControl()
		if _, produce := r.(*kmsg.ProduceRequest); produce && o.armed.Load() && o.produced.Add(1) == 1 {
			o.away.Store(true)
			time.AfterFunc(time.Second, func() { o.away.Store(false) })
		}
		if o.away.Load() {
			return nil, errors.New("the broker is away"), true
		}
		return nil, nil, false
	})
	return o
}

// TestServicesThatGoAwayAndComeBack: what is under way waits for them and is whole in the end; what cannot wait says so, and
// the next call works.
func TestServicesThatGoAwayAndComeBack(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(auditGraph)
	processor, _ := s.startProcessor()
	o := s.outage()
	const lines = 8_000
	o.armed.Store(true)
	s.must("import", writeFile(t, "feed.ndjson", longFeed(lines)))
	if o.produced.Load() < 2 { // it was sent again
		t.Error("there was no outage")
	}
	eventually(t, "all lines are in", func() bool { return s.levels(fmt.Sprint("S", lines-1))["NJ-1"].OnHand == 1000*(lines-1) })
	s.status(0)

	dir := filepath.Join(t.TempDir(), "slow")
	slow := s.start("snapshot", dir, "--rate", "4000")
	eventually(t, "the snapshot is under way", func() bool {
		begun, err := filepath.Glob(filepath.Join(dir, ".spool-*"))
		return err == nil && len(begun) > 0
	})
	address := s.memory.Addr()
	s.memory.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	<-ctx.Done()
	if err := s.memory.StartAddr(address); err != nil {
		t.Fatal(err)
	}
	if code := <-slow.done; code != 0 {
		_, text := slow.output()
		t.Errorf("snapshot: exit code %d\n%s", code, text)
	}
	slow.stopped = true

	o.away.Store(true)
	for _, args := range [][]string{{"status"}, {"graph", "show"}, {"audit", "--sku", "S1"}, {"dlq", "ls"}, {"reserve", "S1", "1", "--group", "EAST"}} {
		if r := soon(t, func() result { return s.onhand(args...) }); r.code == 0 || !strings.Contains(r.err, "Kafka at ") && !strings.Contains(r.err, "no Kafka broker answers") {
			t.Errorf("onhand %v: exit code %d\n%s", args, r.code, r.err)
		}
	}
	s.onhand("why", "S1").want(t, 0, "the topics could not be read")
	o.away.Store(false)
	s.must("reserve", "S1", "1", "--location", "NJ-1", "--wait-level")
	s.audit(0, "--sample", "5%")
	if code := processor.end(); code != 0 {
		t.Errorf("the processor ends with %d", code)
	}
}

// TestWhatWasBegunIsToldWhenInterrupted: an event that is published, a version that tasks have yet to adopt.
func TestWhatWasBegunIsToldWhenInterrupted(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	s.setUp()
	s.publishGraph(testGraph)
	interrupted := func(until func() bool, args ...string) string {
		t.Helper()
		r := s.start(args...)
		eventually(t, "it waits", until)
		code := r.end()
		_, text := r.output()
		if code != exitInterrupted {
			t.Errorf("onhand %v: exit code %d\n%s", args, code, text)
		}
		return text
	}
	w := s.wire()
	asked := interrupted(func() bool {
		_, end, err := logBounds(t.Context(), w.config, w.client, w.names.ReservationEvents, topics.PartitionOf("SHIRT", w.partitions))
		return err == nil && end > 0
	}, "reserve", "SHIRT", "1", "--group", "EAST", "--request", "q", "--reservation", "r")
	if want := "onhand: interrupted; it is published and will be decided; the same command with --request q --reservation r asks again"; !strings.Contains(asked, want) {
		t.Errorf("%q", asked)
	}
	s.startProcessor()
	s.must("import", writeFile(t, "feed.ndjson", storyFeed))
	s.onhand("reserve", "SHIRT", "1", "--group", "EAST", "--request", "q", "--reservation", "r").want(t, exitFailure, "REJECTED")

	tasks, _ := s.asleep(w)
	more := writeFile(t, "more.yaml", strings.Replace(testGraph, "locations:", "locations:\n  - {externalReference: LA-9}", 1))
	published := interrupted(func() bool { return strings.Contains(s.onhand("graph", "show").out, "# version 2") }, "graph", "publish", more)
	if !strings.Contains(published, "interrupted; version 2 is published; tasks adopt it all the same") {
		t.Errorf("%q, with %v asleep", published, tasks)
	}
	// A decision is told, whatever becomes of waiting for its level.
	up := skusOf([]int32{(tasks[0] + 2) % 4}, 4)[0]
	environ := append(s.environ[:2:2], "ONHAND_REDIS=redis://"+unusedAddress(t), s.environ[3])
	r := onhand(t, environ, "reserve", up, "1", "--group", "EAST", "--wait-level")
	r.want(t, exitFailure, "REJECTED: granted 0 of 1", "waiting for the level", "--redis (ONHAND_REDIS)")
}
