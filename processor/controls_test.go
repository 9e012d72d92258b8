package processor_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"onhand/processor"
	"onhand/processor/availability"
)

var (
	controlsFlag = flag.Int("controls", 0, "how many schedules TestControls gives each guard; 0: a few")
	controlFlag  = flag.String("control", "", "the one guard that TestControls takes out")
)

// control is a guard and how to take it out.
type control struct {
	name   string
	quick  bool // noticed within a few schedules: part of every run of the tests
	out    func(*processor.Guards)
	stored func(closingStore) closingStore
	plans  []func(seed uint64) *schedule // made to show the guard, tried in turn; none: those of TestSimulation
}

// TestControls takes each guard out in turn and runs the schedules that should show it until one goes wrong. A guard whose
// absence nothing notices fails the test. It prints what noticed it, and after how many schedules. Long form, one guard:
//
//	go test -run TestControls ./processor -controls 2000 -timeout 1h -v
//	go test -run TestControls ./processor -control stable -controls 2000 -v
func TestControls(t *testing.T) {
	most := *controlsFlag
	if most == 0 {
		most = 60
	}
	for _, c := range controls() {
		if *controlFlag != "" && *controlFlag != c.name || *controlFlag == "" && *controlsFlag == 0 && !c.quick {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.out != nil {
				defer processor.Without(c.out)()
			}
			began := time.Now()
			n, o := c.notice(t, seed(), most)
			if o == nil {
				t.Errorf("nothing notices that the guard is gone: %d schedules, %s", n, time.Since(began).Round(time.Millisecond))
				return
			}
			t.Logf("noticed by schedule %d after %s: %s", n, time.Since(began).Round(time.Millisecond), firstLine(o.failures[0]))
			if *controlFlag != "" {
				t.Logf("%s\n%s\n%s", strings.Join(o.failures, "\n"), o.schedule, strings.Join(o.story, "\n"))
			}
		})
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// notice runs schedules, several at once, until one goes wrong.
func (c *control) notice(t *testing.T, seed uint64, most int) (n int, found *outcome) {
	var mu sync.Mutex
	t.Run("schedules", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for {
					mu.Lock()
					n++
					i := n
					done := found != nil || n > most
					mu.Unlock()
					if done {
						return
					}
					plan := planned
					if len(c.plans) > 0 {
						plan = c.plans[i%len(c.plans)]
					}
					o := simulateWith(t, plan(seed+uint64(i)), c.stored)
					if len(o.failures) > 0 {
						mu.Lock()
						if found == nil {
							found, most = o, i
						}
						mu.Unlock()
					}
				}
			})
		}
	})
	return min(n, most), found
}

func controls() []control {
	guard := func(name string, out func(*processor.Guards), plans ...func(uint64) *schedule) control {
		return control{name: name, quick: name == "witness-epoch" || name == "metadata", out: out, plans: plans}
	}
	return []control{
		guard("kafka-first", func(g *processor.Guards) { g.KafkaFirst = true }),
		{name: "compare", quick: true, stored: uncompared("nothing")},
		{name: "compare-id", stored: uncompared("sequence")},
		guard("witness-epoch", func(g *processor.Guards) { g.WitnessEpoch = true }),
		guard("folded", func(g *processor.Guards) { g.Folded = true }),
		guard("unmoved-offsets", func(g *processor.Guards) { g.UnmovedOffsets = true }),
		guard("generation", func(g *processor.Guards) { g.Generation = true }),
		guard("metadata", func(g *processor.Guards) { g.Metadata = true }),
		guard("stable", func(g *processor.Guards) { g.Stable = true }),
		guard("high-watermark", func(g *processor.Guards) { g.HighWatermark = true }),
		guard("decisions", func(g *processor.Guards) { g.Decisions = true }),
		guard("letters", func(g *processor.Guards) { g.Letters = true }),
		guard("below", func(g *processor.Guards) { g.Below = true }),
		guard("owed", func(g *processor.Guards) { g.Owed = true }),
		guard("cold-read", func(g *processor.Guards) { g.ColdRead = true }),
		guard("watch", func(g *processor.Guards) { g.Watch = true }),
		guard("duplicates", func(g *processor.Guards) { g.Duplicates = true }),
		guard("restored-ids", func(g *processor.Guards) { g.RestoredIDs = true }),
		guard("assignor", func(g *processor.Guards) { g.Assignor = true }),
		guard("whole-sweep", func(g *processor.Guards) { g.WholeSweep = true }),
	}
}

// uncompared is a store that commits whatever stands there: compared is nothing, or (epoch, sequence) instead of the id.
func uncompared(compared string) func(closingStore) closingStore {
	return func(s closingStore) closingStore {
		return &uncomparedStore{closingStore: s, compared: compared}
	}
}

type uncomparedStore struct {
	closingStore
	compared string
}

type sequence struct{ epoch, seq int64 }

// sequences of the commits made by all stores, by their ids.
var sequences sync.Map

func (s *uncomparedStore) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	sequences.Store(c.Checkpoint.CommitID, sequence{c.Checkpoint.Epoch, c.Checkpoint.CommitSeq})
	stands, err := s.Checkpoint(ctx, task)
	if err != nil {
		return fmt.Errorf("looking at the checkpoint: %w", err)
	}
	commit := *c
	if s.compared == "nothing" {
		commit.Expect = stands.CommitID
	} else if expected, ok := sequences.Load(c.Expect); ok && expected == (sequence{stands.Epoch, stands.CommitSeq}) {
		commit.Expect = stands.CommitID
	}
	if commit.Expect == commit.Checkpoint.CommitID {
		return nil
	}
	return s.closingStore.Commit(ctx, task, &commit)
}
