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
	controlsFlag = flag.Int("controls", 60, "how many schedules TestControls gives each guard")
	heldFlag     = flag.Uint64("held", heldUsual, "how many seeds TestGuardsHold gives each schedule")
	controlFlag  = flag.String("control", "", "the one guard that TestControls takes out")
)

// control is a guard and how to take it out.
type control struct {
	name   string
	out    func(*processor.Guards)
	stored func(*simulation, string, closingStore) closingStore
	plans  []func(seed uint64) *schedule // made to show the guard, tried in turn; none: those of TestSimulation
}

// TestControls takes each guard out in turn and runs the schedules that should show it until one goes wrong. A guard whose
// absence nothing notices fails the test. It prints what noticed it, and after how many schedules. One guard, with the
// schedule that shows it:
//
//	go test -run TestControls ./processor -control stable -v
func TestControls(t *testing.T) {
	for _, c := range controls() {
		if *controlFlag != "" && *controlFlag != c.name {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.out != nil {
				defer processor.Without(c.out)()
			}
			began := time.Now()
			n, o := c.notice(t, seed(), *controlsFlag)
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
		return control{name: name, out: out, plans: plans}
	}
	return []control{
		guard("kafka-first", func(g *processor.Guards) { g.KafkaFirst = true }, lostTransaction),
		{name: "compare", stored: uncompared("nothing"), plans: list(committedOnTop)},
		{name: "compare-id", stored: uncompared("sequence"), plans: list(twoBranches)},
		guard("witness-epoch", func(g *processor.Guards) { g.WitnessEpoch = true }, epochForgotten),
		guard("folded", func(g *processor.Guards) { g.Folded = true }, polledNotFolded),
		guard("unmoved-offsets", func(g *processor.Guards) { g.UnmovedOffsets = true }, sweptAndForgotten),
		guard("generation", func(g *processor.Guards) { g.Generation = true }, zombieBeforeOffsets),
		guard("metadata", func(g *processor.Guards) { g.Metadata = true }, epochForgotten),
		guard("stable", func(g *processor.Guards) { g.Stable = true }, zombieBeforeEnd),
		guard("high-watermark", func(g *processor.Guards) { g.HighWatermark = true }, markerHeldBack),
		guard("order", func(g *processor.Guards) { g.Order = true }, mergedInAnotherOrder),
		guard("decisions", func(g *processor.Guards) { g.Decisions = true }, decidedUnderAnotherGraph),
		guard("letters", func(g *processor.Guards) { g.Letters = true }, knownSince),
		guard("below", func(g *processor.Guards) { g.Below = true }, moreThanWasReplayed),
		guard("owed", func(g *processor.Guards) { g.Owed = true }, replayedWithAnotherGraph),
		guard("cold-read", func(g *processor.Guards) { g.ColdRead = true }, coldAfterRollback),
		guard("watch", func(g *processor.Guards) { g.Watch = true }, idleRollback),
		guard("duplicates", func(g *processor.Guards) { g.Duplicates = true }, repeated),
		guard("restored-ids", func(g *processor.Guards) { g.RestoredIDs = true }, repeatedLater),
		guard("assignor", func(g *processor.Guards) { g.Assignor = true }, manyMembers),
		guard("joined", func(g *processor.Guards) { g.Joined = true }, leftAndReturned),
		guard("whole-sweep", func(g *processor.Guards) { g.WholeSweep = true }, sweptAndForgotten),
	}
}

func list(plans ...func(uint64) *schedule) []func(uint64) *schedule { return plans }

// uncompared is a store that commits whatever stands there: compared is nothing, or (epoch, sequence) instead of the id.
func uncompared(compared string) func(*simulation, string, closingStore) closingStore {
	return func(sim *simulation, instance string, s closingStore) closingStore {
		return &uncomparedStore{closingStore: s, compared: compared, sim: sim, instance: instance}
	}
}

type uncomparedStore struct {
	closingStore
	compared string
	sim      *simulation
	instance string
}

type sequence struct{ epoch, seq int64 }

// sequences of the commits made by all stores, by their ids.
var sequences sync.Map

func (s *uncomparedStore) Commit(ctx context.Context, task int32, c *availability.Commit) error {
	sequences.Store(c.Checkpoint.CommitID, sequence{c.Checkpoint.Epoch, c.Checkpoint.CommitSeq})
	if f := s.sim.strike(s.instance, "compare>"); f.effect == "back" {
		s.sim.back(f.mark)
	}
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

// TestGuardsHold runs the schedules that show a missing guard, and others that once told good from bad, with every guard in
// place: nothing goes wrong. Long form:
//
//	go test -run TestGuardsHold ./processor -held 500 -timeout 1h
func TestGuardsHold(t *testing.T) {
	plans := make(map[string]func(uint64) *schedule)
	for _, c := range controls() {
		for i, plan := range c.plans {
			plans[fmt.Sprint(c.name, " ", i)] = plan
		}
	}
	for name, text := range knownSchedules {
		plans[name] = func(seed uint64) *schedule { return directed(seed, text) }
	}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := seed()
			for n := uint64(0); n < *heldFlag && !t.Failed(); n++ {
				report(t, simulate(t, plan(first+n)), fmt.Sprint(name, " seed ", first+n))
			}
		})
	}
}
