package processor_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	simulationsFlag = flag.Int("simulations", simulationsUsual, "how many schedules TestSimulation runs")
	simSeedFlag     = flag.Uint64("simseed", 0, "seed of the one schedule that TestSimulation runs; 0: many")
	simScriptFlag   = flag.String("simscript", "", "file of the one schedule that TestSimulation runs")
)

// TestSimulation runs processors in virtual time through schedules of traffic and faults made from a seed, and compares
// what is left at rest with a plain recount: levels, state, results and dead letters, versions, promises, expiries. A
// schedule that goes wrong is printed with its seed. Replay, and the long form:
//
//	go test -run TestSimulation ./processor -simseed N
//	go test -run TestSimulation ./processor -simscript FILE
//	go test -run TestSimulation ./processor -simulations 10000 -timeout 2h
func TestSimulation(t *testing.T) {
	if *simScriptFlag != "" {
		text, err := os.ReadFile(*simScriptFlag)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseSchedule(string(text))
		if err != nil {
			t.Fatal(err)
		}
		report(t, simulate(t, s), *simScriptFlag)
		return
	}
	if *simSeedFlag != 0 {
		report(t, simulate(t, planned(*simSeedFlag)), fmt.Sprint("seed ", *simSeedFlag))
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a simulation leaves little behind; collecting was a quarter of the time
	first := seed()
	began := time.Now()
	var next sync.Mutex
	left := uint64(*simulationsFlag)
	t.Run("seeds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for {
					next.Lock()
					n := left
					left--
					if n == 0 {
						left = 0
					}
					next.Unlock()
					if n == 0 || t.Failed() {
						return
					}
					report(t, simulate(t, planned(first+n)), fmt.Sprint("seed ", first+n))
				}
			})
		}
	})
	t.Logf("%d schedules from seed %d in %s", *simulationsFlag, first+1, time.Since(began).Round(time.Millisecond))
}

func report(t *testing.T, o *outcome, name string) {
	if len(o.failures) > 0 {
		t.Errorf("%s:\n%s\nthe schedule\n%s\nwhat happened\n%s\n%s", name, strings.Join(o.failures, "\n"), o.schedule, strings.Join(o.story, "\n"), strings.Join(o.logs, "\n"))
	} else if testing.Verbose() && (*simSeedFlag != 0 || *simScriptFlag != "") {
		t.Logf("%s\n%s", o.schedule, strings.Join(o.story, "\n"))
	}
}

// outcome is what became of a schedule.
type outcome struct {
	schedule *schedule
	failures []string
	story    []string
	logs     []string
}

// bubble stands for the test in a simulation: its failures are noted, and end the simulation, not the test.
type bubble struct {
	testing.TB
	ctx      context.Context //nolint:containedctx // that of the simulation, for those who ask the test for one
	mu       sync.Mutex
	failures []string
	logs     []string
	cleanups []func()
}

// over is what a fatal failure panics with.
type over struct{}

func (b *bubble) Helper()                  {}
func (b *bubble) Context() context.Context { return b.ctx }
func (b *bubble) Cleanup(f func())         { b.cleanups = append(b.cleanups, f) }
func (b *bubble) Log(args ...any)          { b.Logf("%s", fmt.Sprint(args...)) }
func (b *bubble) Error(args ...any)        { b.Errorf("%s", fmt.Sprint(args...)) }
func (b *bubble) Fatal(args ...any)        { b.Fatalf("%s", fmt.Sprint(args...)) }

func (b *bubble) Logf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logs = append(b.logs, fmt.Sprintf(format, args...))
}

func (b *bubble) Errorf(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, fmt.Sprintf(format, args...))
}

func (b *bubble) Fatalf(format string, args ...any) {
	b.Errorf(format, args...)
	panic(over{})
}

func (b *bubble) Failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.failures) > 0
}

// finish ends what was begun, the newest first.
func (b *bubble) finish() {
	for len(b.cleanups) > 0 {
		last := b.cleanups[len(b.cleanups)-1]
		b.cleanups = b.cleanups[:len(b.cleanups)-1]
		last()
	}
}

// simulationMax is how long a simulation may take in real time, of which it needs some 50 ms: one that takes longer goes
// round and round at one moment of its own time.
const simulationMax = 3 * time.Minute

// simulate runs a schedule and checks what is left.
func simulate(t *testing.T, s *schedule) *outcome { return simulateWith(t, s, nil) }

// simulateWith is simulate with something around the processes' stores.
func simulateWith(t *testing.T, s *schedule, stored func(*simulation, string, closingStore) closingStore) *outcome {
	o := &outcome{schedule: s}
	guard := time.AfterFunc(simulationMax, func() {
		stacks := make([]byte, 1<<20)
		panic(fmt.Sprintf("no end within %s of real time; the schedule\n%s\n%s", simulationMax, s, stacks[:runtime.Stack(stacks, true)]))
	})
	defer guard.Stop()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := &bubble{TB: t, ctx: ctx}
		var sim *simulation
		func() {
			defer func() {
				if r := recover(); r != nil && r != (over{}) {
					panic(r)
				}
			}()
			sim = newSimulation(b, s.settings)
			if stored != nil {
				sim.stored = func(instance string, store closingStore) closingStore { return stored(sim, instance, store) }
			}
			sim.run(s)
		}()
		cancel()
		b.finish()
		o.failures, o.logs = b.failures, b.logs
		if sim != nil {
			o.story = sim.story
		}
	})
	return o
}

// run does what the schedule says, ends all faults, and checks what is left once everything is at rest.
func (s *simulation) run(plan *schedule) {
	s.publishGraph("first")
	for _, step := range plan.steps {
		if wait := step.at - time.Since(s.began); wait > 0 {
			<-time.After(wait)
		}
		if err := s.do(step.words); err != nil {
			s.Fatalf("%s: %v", strings.Join(step.words, " "), err)
		}
	}
	<-time.After(time.Second)
	s.heal()
	if len(s.alive()) == 0 {
		s.process("z", 0)
	}
	s.note("all faults end")
	s.rest()
	s.note("at rest")
	inputs, published := s.read(s.names.StockDeltas, s.names.ReservationEvents), s.world.published()
	r := s.recounted(inputs)
	s.compare(r.levels(), published)
	s.checkExpired(r)
	s.checkPromises(r)
	s.checkRepeats(r)
	s.checkForwarded(inputs)
	s.checkPlainly(r, published)
}

func (s *simulation) alive() []*simProcess {
	var alive []*simProcess
	for _, p := range s.processes {
		if p.lives() {
			alive = append(alive, p)
		}
	}
	return alive
}

// rest waits until everything sent is folded, published and stored, no sweep is under way and nothing is due.
func (s *simulation) rest() {
	store := s.open()
	defer func() { _ = store.Close() }()
	<-time.After(25 * time.Second) // the longest reservation
	s.bury()
	for range 3 {
		s.settled()
		s.swept()
		if !s.due(store) {
			break
		}
		<-time.After(5 * time.Second)
	}
	s.settled()
}

// do takes one step of a schedule.
func (s *simulation) do(words []string) error {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(arg(i)) // 0 where there is none
		return n
	}
	span := func(i int) time.Duration {
		d, _ := time.ParseDuration(arg(i)) // 0 where there is none
		return d
	}
	switch arg(0) {
	case "start":
		s.process(arg(1), number(2))
	case "stop", "cut", "freeze":
		return s.end(arg(0), arg(1), span(2))
	case "kick":
		s.kick(arg(1))
	case "arm":
		s.mu.Lock()
		s.faults = append(s.faults, &fault{process: arg(1), step: arg(2), nth: number(3), effect: arg(4), wait: span(5), mark: arg(5)})
		s.mu.Unlock()
	case "fail":
		return s.fail(arg(1), number(2), arg(3))
	case "rollback":
		s.mu.Lock()
		to := len(s.history) - 1 - number(1)
		s.mu.Unlock()
		s.rollBack(to)
	case "state":
		s.rollBack(number(1))
	case "mark":
		s.mark(arg(1))
	case "back":
		s.back(arg(1))
	case "empty":
		s.rollBack(0)
	case "leaders":
		s.fake.ShufflePartitionLeaders()
		s.fake.RehashCoordinators()
	case "graph":
		s.publishGraph(arg(1))
	case "forget-offsets":
		s.forgetOffsets(arg(1))
	case "registry":
		s.registry.set(arg(1) == "down")
	case "skew":
		s.skew = span(1)
	default:
		return s.sendRecord(words)
	}
	return nil
}

func (s *simulation) end(how, name string, d time.Duration) error {
	p := s.processes[name]
	if p == nil {
		return fmt.Errorf("there is no process %s", name)
	}
	switch how {
	case "freeze":
		p.freeze(d)
	case "cut":
		p.cut()
	case "stop":
		p.mu.Lock()
		r, live := p.runner, p.live
		p.live = false
		p.mu.Unlock()
		if live {
			s.note("%s stops", name)
			p.stopping = true
			r.cancel()
		}
	}
	return nil
}

// fail makes the brokers refuse requests of the processors.
func (s *simulation) fail(key string, count int, with string) error {
	var is *kerr.Error
	for code := int16(-1); code < 140; code++ {
		if e := kerr.TypedErrorForCode(code); e != nil && e.Message == with {
			is = e
		}
	}
	if is == nil {
		return fmt.Errorf("there is no error %s", with)
	}
	f := kfake.Fault{Keys: []kmsg.Key{kmsg.Key(keyOf(key))}, Err: is, Count: count}
	switch key {
	case "Produce":
		f.When = func(r kmsg.Request) bool { return r.(*kmsg.ProduceRequest).TransactionID != nil }
	case "ListOffsets", "Fetch":
		f.Topic = s.names.ReservationResults
	}
	handle := s.fake.Fault(f)
	time.AfterFunc(20*time.Second, handle.Remove)
	return nil
}

func keyOf(name string) int16 {
	for key := range kmsg.MaxKey {
		if kmsg.NameForKey(int16(key)) == name {
			return int16(key)
		}
	}
	return -1
}

// publishGraph publishes one of four graphs: another has a location more and other groups, more a group more, and in closed
// a location takes no stock.
func (s *simulation) publishGraph(name string) {
	g := graphOf(4, trafficGroups())
	switch name {
	case "other":
		g = moved()
	case "more":
		g = graphOf(5, map[string][]int{"EAST": {0, 1}, "WEST": {1, 2}, "ALL": {0, 1, 2, 3}, "NORTH": {0, 2, 4}})
	case "closed":
		g = closed()
	}
	s.note("graph %s", name)
	s.publish(g)
	s.published = append(s.published, *s.graph)
}
