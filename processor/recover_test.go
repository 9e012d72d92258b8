package processor_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"onhand/cache"
)

var seedFlag = flag.Uint64("seed", 0, "seed of randomized tests; 0: the time")

func seed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return uint64(time.Now().UnixNano())
}

// newForgetful is a world whose store can be made to forget.
func newForgetful(t *testing.T) (*world, *traffic) {
	w := newWorld(t, 2)
	w.memory = cache.NewMemory()
	w.publish(graphOf(4, trafficGroups()))
	return w, newTraffic(w, seed())
}

// TestReplaysWhatTheStoreForgot stops, makes the store forget back to each of several moments, the empty one included, and
// starts anew. The traffic is random; the recount is compared. Replay:
//
//	go test -run ReplaysWhat ./processor -seed N
func TestReplaysWhatTheStoreForgot(t *testing.T) {
	w, traffic := newForgetful(t)
	snapshots := []cache.MemorySnapshot{w.memory.Snapshot()}
	r := w.start("a")
	for range 4 {
		traffic.send(60)
		w.settled()
		snapshots = append(snapshots, w.memory.Snapshot())
	}
	r.stop()
	w.check()
	for i, s := range snapshots {
		w.memory.Restore(s)
		r := w.start("a")
		traffic.send(10)
		w.settled()
		r.stop()
		w.check()
		if t.Failed() {
			t.Fatalf("after forgetting back to moment %d of %d", i, len(snapshots))
		}
	}
}

// TestNoticesThatTheStoreForgot rolls the store back under a processor that is idle, and under one that is busy.
func TestNoticesThatTheStoreForgot(t *testing.T) {
	w, traffic := newForgetful(t)
	w.start("a")
	traffic.send(50)
	w.settled()
	early := w.memory.Snapshot()
	traffic.send(50)
	w.settled()
	w.memory.Restore(early)
	w.settled() // without any traffic
	w.check()
	for range 5 {
		traffic.send(30)
		w.memory.Restore(early)
		traffic.send(30)
	}
	w.settled()
	w.check()
}

// TestSurvivesCrashes cuts the processor off at random moments, as kill -9 would, and starts it anew under the same name.
func TestSurvivesCrashes(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(4, trafficGroups()))
	traffic := newTraffic(w, seed())
	for i := range 6 {
		r := w.start("a")
		traffic.send(20 + traffic.rand.IntN(60))
		time.Sleep(time.Duration(traffic.rand.IntN(300)) * time.Millisecond) // a moment of the real clients' work, any
		r.cut()
		w.Logf("cut %d", i)
	}
	w.start("a")
	traffic.send(20)
	w.settled()
	w.check()
}

// TestMembersShareThePartitions lets members come, go in order and die.
func TestMembersShareThePartitions(t *testing.T) {
	w := newWorld(t, 4)
	w.publish(graphOf(4, trafficGroups()))
	traffic := newTraffic(w, seed())
	running := map[string]*runner{"m0": w.start("m0")}
	for i := 1; i < 5; i++ {
		traffic.send(40)
		running[fmt.Sprint("m", i)] = w.start(fmt.Sprint("m", i))
		traffic.send(40)
		if i%2 == 0 {
			running[fmt.Sprint("m", i-1)].stop()
		}
		if i == 3 {
			running["m0"].cut()
		}
	}
	traffic.send(40)
	w.settled()
	w.check()
}

// TestReturnsAfterBeingLost freezes a member for longer than its session lasts, so that the group forgets it in the middle
// of its work; it comes back by itself, soon.
func TestReturnsAfterBeingLost(t *testing.T) {
	w := newWorld(t, 2)
	w.publish(graphOf(4, trafficGroups()))
	traffic := newTraffic(w, seed())
	w.start("a")
	traffic.send(30)
	w.settled()
	admin := kadm.NewClient(w.client)
	for range 3 {
		traffic.send(20)
		left, err := admin.LeaveGroup(t.Context(), kadm.LeaveGroup(w.names.ConsumerGroup()).Reason("thrown out by a test").InstanceIDs("a-0"))
		w.must(err)
		w.must(left.Error())
		began := time.Now()
		traffic.send(20)
		w.settled()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("back after %s", took)
		}
	}
	w.check()
}

// TestOwedSKUsArePublished replays under a graph that came while nobody ran: what the replay touched is computed with it
// already, so no sweep would publish it.
func TestOwedSKUsArePublished(t *testing.T) {
	w, traffic := newForgetful(t)
	r := w.start("a")
	traffic.send(40)
	w.swept()
	w.settled()
	early := w.memory.Snapshot()
	traffic.send(60)
	w.settled()
	r.stop()
	w.memory.Restore(early)
	w.publish(moved())
	w.start("a")
	w.swept()
	w.settled()
	w.check()
}

// TestDeadLettersStand forgets a record that was refused for its location, and replays it under a graph that has the
// location: it stays a dead letter, once, and is not applied.
func TestDeadLettersStand(t *testing.T) {
	w, _ := newForgetful(t)
	empty := w.memory.Snapshot()
	r := w.start("a")
	w.send(w.count("good", "SKU-1", "L00", 5), w.count("early", "SKU-1", "L04", 7))
	w.settled()
	r.stop()
	w.memory.Restore(empty)
	w.publish(moved()) // has L04
	w.start("a")
	w.swept()
	w.settled()
	w.check()
	if l, ok := w.published()["L04/SKU-1"]; ok && l.level.Present {
		t.Errorf("the dead letter was applied: %+v", l.level)
	}
	if n := len(w.read(w.names.DeadLetters)); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}
