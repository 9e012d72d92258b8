package processor_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"onhand/processor/availability"
)

var (
	faultsFlag     = flag.Int("faults", 0, "how many faults each TestFault… inflicts; 0: a few")
	faultRateFlag  = flag.Int("faultrate", 0, "records a second while faults go on; 0: 3000 with -faults on real services, 500 without, 300 on stand-ins")
	faultWorldFlag = flag.Int("faultworld", 25, "after how many faults everything is checked and begun anew")
	faultGuardFlag = flag.String("faultguard", "", "guard that is taken out of the processors, by its name in processor.Guards: the checks must notice")
)

// trial is a world under faults: processors in processes of their own, a producer of constant traffic that keeps a ledger,
// and a follower of what is published. At rest all three must agree with a recount of the log.
type trial struct {
	*world
	rand     *rand.Rand
	members  map[string]*member
	ledger   *ledger
	follower *follower
	store    closingStore
	kind     faultKind
	usual    int64             // records, see caughtUp
	through  map[string]string // of members: see childSettings
	*recoveries
}

// recoveries are how long it took after each fault until the first update that an input sent after it had caused was
// committed, and until what was not folded yet was no more than usual, see trial.caughtUp.
type recoveries struct {
	of        map[string]*took // by what struck.what says
	idle, all int              // faults that did not do what they are meant to do; those that did
}

type took struct{ first, caughtUp []time.Duration }

func (r *recoveries) add(what string, first, caughtUp time.Duration) {
	if r.of[what] == nil {
		r.of[what] = new(took)
	}
	r.all++
	r.of[what].first, r.of[what].caughtUp = append(r.of[what].first, first), append(r.of[what].caughtUp, caughtUp)
}

// struck is a fault that was inflicted.
type struck struct {
	what string    // it was
	at   time.Time // when it began
	idle bool      // it did not do what it is meant to do, and does not count
}

// faultKind says how a kind of fault is tested.
type faultKind struct {
	few     int            // how many without -faults, half of them without real services
	members []string       // that run at the beginning
	session time.Duration  // of the members; 0: 15 s, the processor's default
	timeout time.Duration  // of the members' calls of Redis; 0: 5 s, the default
	rate    int            // records a second where -faultrate does not say; 0: see there
	slow    bool           // the services may lag by more than a second's traffic undisturbed: caught up is what is usual then
	connect func(w *world) // to other services than the usual; nil: those
	setUp   func(t *trial) // before the members start; nil: nothing
	inflict func(t *trial, n int) struck
}

// run opens worlds of some faults each, and prints how long the recoveries took.
func (k faultKind) run(t *testing.T) {
	t.Helper()
	times := recoveries{of: make(map[string]*took)}
	count, few := *faultsFlag, *faultWorldFlag
	if count == 0 && breakable() {
		count = k.few
	} else if count == 0 {
		count = (k.few + 1) / 2
	}
	for done, world := 0, 0; done < count && !t.Failed(); world++ {
		n := min(few, count-done)
		t.Run(fmt.Sprint("world", world), func(t *testing.T) { k.world(t, n, done, &times) })
		done += n
	}
	t.Logf("%d faults, %d more that did not count", times.all, times.idle)
	for _, what := range slices.Sorted(maps.Keys(times.of)) {
		of := times.of[what]
		t.Logf("%d times %s: first update committed after %s; caught up after %s", len(of.first), what, spread(of.first), spread(of.caughtUp))
	}
}

// world inflicts n faults on one world, then lets it come to rest and checks everything.
func (k faultKind) world(t *testing.T, n, before int, times *recoveries) {
	connect := k.connect
	if connect == nil {
		connect = (*world).connect
	}
	w := newWorldOn(t, 6, connect)
	if w.patience = 5 * time.Minute; w.fake != nil {
		w.patience = time.Minute
	}
	w.publish(graphOf(4, trafficGroups()))
	random := seed()
	tr := &trial{world: w, rand: rand.New(rand.NewPCG(random, 3)), members: make(map[string]*member), kind: k, recoveries: times}
	tr.store = w.open()
	w.Cleanup(func() { _ = tr.store.Close() })
	if k.setUp != nil {
		k.setUp(tr)
	}
	for _, name := range k.members {
		tr.member(name).start()
	}
	tr.follower = newFollower(w)
	tr.ledger = newLedger(w, tr.rate(), random)
	tr.usual = int64(max(tr.rate(), 100))
	if k.slow {
		tr.watchLag()
	}
	tr.recovered(tr.struck("start", time.Now(), tr.all()))
	tr.assigned()
	for i, tries := 0, 0; i < n && tries < 3*n+3; tries++ {
		<-time.After(time.Duration(tr.rand.IntN(500)) * time.Millisecond) // any moment of the work
		s := k.inflict(tr, before+i)
		first, caughtUp := tr.recovered(s)
		if s.idle {
			tr.idle++
			continue
		}
		tr.add(s.what, first, caughtUp)
		w.Logf("fault %d, %s: first update after %s, caught up after %s", before+i+1, s.what, first.Round(time.Millisecond), caughtUp.Round(time.Millisecond))
		i++
	}
	tr.rest()
	tr.judge()
}

func (t *trial) rate() int {
	switch {
	case *faultRateFlag > 0:
		return *faultRateFlag
	case t.kind.rate > 0:
		return t.kind.rate
	case t.fake != nil:
		return 300
	case *faultsFlag == 0:
		return 500
	}
	return 3000
}

// member returns the member of that name.
func (t *trial) member(name string) *member {
	if t.members[name] == nil {
		session := t.kind.session
		if session == 0 {
			session = 15 * time.Second
		}
		t.members[name] = t.newMember(childSettings{Instance: name, Session: session, Without: *faultGuardFlag, Through: t.through, RedisTimeout: t.kind.timeout})
	}
	return t.members[name]
}

// strikes begins to look for what tells that a fault which begins now is over, for faults after which tasks are claimed
// anew: an update of a later epoch in one of the partitions.
func (t *trial) strikes(what string, partitions []int32) struck {
	t.follower.await(nil, partitions)
	return struck{what: what, at: time.Now()}
}

// struck does so for other faults, when they have had their effect: it looks for an update that an input caused which was
// sent after now, in one of the partitions.
func (t *trial) struck(what string, at time.Time, partitions []int32) struck {
	t.follower.await(t.ledger.marks(), partitions)
	return struck{what: what, at: at}
}

func (t *trial) all() (partitions []int32) {
	for n := range t.partitions {
		partitions = append(partitions, n)
	}
	return partitions
}

// recovered waits until the work goes on as before.
func (t *trial) recovered(s struck) (first, caughtUp time.Duration) {
	t.Helper()
	t.eventually("an update after the fault", func() bool {
		at, came := t.follower.came()
		first = at.Sub(s.at)
		return came
	})
	t.eventually("caught up after the fault", t.caughtUp)
	return first, time.Since(s.at)
}

// caughtUp says whether the store lacks no more of what was acknowledged than usual: the traffic of a second.
func (t *trial) caughtUp() bool {
	lag := t.lag()
	return lag >= 0 && lag < t.usual
}

// watchLag waits until what the store lacks grows no more, and takes twice that for usual if it is more than a second's
// traffic.
func (t *trial) watchLag() {
	t.Helper()
	const spell = 5 * time.Second
	before := int64(-1)
	t.eventually("a lag that does not grow", func() bool {
		var most int64
		for end := time.Now().Add(spell); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
			most = max(most, t.lag())
		}
		stable := before >= 0 && most <= max(t.usual, before+before/4)
		if before = most; stable {
			t.usual = max(t.usual, 2*most)
		}
		return stable
	})
	t.Logf("caught up is a lag of less than %d records, %d a second", t.usual, t.rate())
}

// spread prints the percentiles of durations.
func spread(of []time.Duration) string {
	of = slices.Sorted(slices.Values(of))
	at := func(percent int) time.Duration { return of[(len(of)-1)*percent/100].Round(time.Millisecond) }
	return fmt.Sprintf("p50 %s, p90 %s, max %s", at(50), at(90), at(100))
}

// checkpoint asks the store, and does not wait for one that is down.
func (t *trial) checkpoint(n int32) (availability.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return t.store.Checkpoint(ctx, n)
}

// TestFaultKills kills one of two members, at times both, with SIGKILL at any moment of their work and starts them anew at
// once. Replay, and the long form:
//
//	go test -run TestFaultKills ./processor -seed N
//	go test -run TestFaultKills ./processor -faults 500 -timeout 3h
func TestFaultKills(t *testing.T) {
	faultKind{few: 4, members: []string{"a", "b"}, inflict: func(t *trial, _ int) struck {
		victims := [][]string{{"a"}, {"b"}, {"a"}, {"b"}, {"a", "b"}}[t.rand.IntN(5)]
		s := t.strikes("SIGKILL", t.assigned(victims...))
		for _, name := range victims {
			t.members[name].kill()
		}
		for _, name := range victims {
			t.members[name].start()
		}
		return s
	}}.run(t)
}

// TestFaultRollbacks takes Redis back to what it held a moment before, as a restored backup or a lost machine does: it is
// killed, and comes back with an older dump. Only rollbacks that lost commits count. The stand-in forgets everything.
//
//	go test -run TestFaultRollbacks ./processor -faults 100 -timeout 3h
func TestFaultRollbacks(t *testing.T) {
	faultKind{few: 3, members: []string{"a", "b"}, connect: connectToBreak, inflict: rollBack}.run(t)
}

func rollBack(t *trial, _ int) struck {
	if t.mini == nil {
		t.services("snapshot")
	}
	kept := t.checkpoints()
	<-time.After(time.Duration(t.rand.IntN(2500)) * time.Millisecond)
	before := t.checkpoints()
	s := t.strikes("rollback", t.all())
	if t.mini == nil {
		t.services("rollback")
	} else {
		t.mini.FlushAll()
	}
	if !forgot(kept, before) {
		s = t.struck("", s.at, t.all())
		s.idle = true
	}
	return s
}

// checkpoints of all tasks. A dump made before they were asked for holds nothing newer.
func (t *trial) checkpoints() []availability.Checkpoint {
	t.Helper()
	all := make([]availability.Checkpoint, t.partitions)
	for n := range t.partitions {
		t.eventually("a checkpoint", func() (ok bool) {
			var err error
			all[n], err = t.checkpoint(n)
			return err == nil
		})
	}
	return all
}

// forgot says whether what was acknowledged before is more than what was kept, for any task.
func forgot(kept, before []availability.Checkpoint) bool {
	for n := range kept {
		for input := range kept[n].Offsets {
			if before[n].Offsets[input] > kept[n].Offsets[input] {
				return true
			}
		}
	}
	return false
}
