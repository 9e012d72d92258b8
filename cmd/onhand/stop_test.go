package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// stopMax is how long a processor may take to end in order. On a machine of its own it takes less than a second; it has 5
// for a Redis and a Kafka that are slow, and here a factor for machines that are.
const stopMax = 15 * time.Second

// tasks is what onhand status shows.
func (s *stage) tasks() []storedTask {
	s.Helper()
	var state struct {
		Tasks []storedTask `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(s.must("status", "--json").out), &state); err != nil {
		s.Fatal(err)
	}
	return state.Tasks
}

// process starts `onhand run` as a process of its own and waits until its tasks run.
func (s *stage) process(instance string) *benchProcess {
	s.Helper()
	p, err := startBenchProcess(s.Context(), benchStage(s).environ, nil, instance)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
	})
	if err := p.ready(s.Context()); err != nil {
		s.Fatal(err)
	}
	return p
}

// signal sends a signal to a process.
func (s *stage) signal(p *benchProcess, signal os.Signal) {
	s.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		s.Fatal(err)
	}
}

// TestAStopUnderLoadLeavesNothingToReplay tells a processor to end while it works off a backlog. It ends well and soon, Redis
// has all that Kafka has as folded, and the next one replays nothing.
func TestAStopUnderLoadLeavesNothingToReplay(t *testing.T) {
	onStages(t, func(s *stage) {
		s.setUp()
		s.publishGraph(testGraph)
		var feed strings.Builder
		feed.WriteString("{\"location\":\"NJ-1\",\"mode\":\"UPDATE\"}\n")
		const lines = 60_000
		for n := range lines {
			fmt.Fprintf(&feed, "{\"recordId\":\"%d\",\"sku\":\"SKU-%d\",\"onHand\":%d,\"effectiveDate\":\"2026-01-01T00:00:00Z\"}\n", n, n, n)
		}
		s.must("import", writeFile(s.T, "feed.ndjson", feed.String()))
		p := s.process("one")
		folded := func() (records, lag, behind int64) {
			for _, task := range s.tasks() {
				records += task.Inputs[0].Committed
				lag += task.Inputs[0].Lag
				if task.Redis == nil {
					behind++
				} else {
					behind += task.Redis.Behind
				}
			}
			return records, lag, behind
		}
		eventually(s.T, "the processor is at work", func() bool { records, _, _ := folded(); return records > 0 })
		began := time.Now()
		s.signal(p, syscall.SIGTERM)
		<-p.ended
		took := time.Since(began)
		if p.err != nil || took > stopMax {
			s.Errorf("it ended after %s with %v", took, p.err)
		}
		records, lag, behind := folded()
		if records == lines || lag == 0 {
			s.Fatalf("all %d records were folded before it was told to end", records)
		}
		if behind != 0 {
			s.Errorf("Redis lacks %d records that are folded", behind)
		}
		s.Logf("%d of %d records folded; ended in %s", records, lines, took.Round(time.Millisecond))
		again := s.process("one")
		text, err := again.ask(s.Context(), "/metrics")
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(line, "onhand_replayed_total") && !strings.HasSuffix(line, " 0") || strings.HasPrefix(line, "onhand_recoveries_total") && !strings.Contains(line, `case="equal"`) {
				s.Errorf("the next one replays: %s", line)
			}
		}
		if !strings.Contains(text, `case="equal"`) {
			s.Errorf("no claim is counted: %s", text)
		}
	})
}

// TestASecondSignalEndsAtOnce has a Redis that does not answer any more, which a stop in order waits for some seconds for.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := fakeStage(t)
	mini := miniredis.RunT(t)
	s.redis = "redis://" + mini.Addr() + "/0"
	s.settle()
	s.setUp()
	s.publishGraph(testGraph)
	p := s.process("one")
	var hangs atomic.Bool
	release := make(chan struct{})
	defer close(release)
	mini.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		hangs.Store(true)
		<-release
		return false
	})
	s.must("import", writeFile(s.T, "feed.ndjson", storyFeed))
	eventually(s.T, "a call of Redis hangs", hangs.Load)
	began := time.Now()
	for ended := false; !ended; {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			break // it has ended
		}
		select {
		case <-p.ended:
			ended = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	<-p.ended
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		s.Errorf("it ended after %s with %v, not by the second signal", time.Since(began), p.cmd.ProcessState)
	}
}
