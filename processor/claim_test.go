package processor_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/cache"
	"onhand/processor"
)

// TestGoesOnFromTheCheckpointWithoutOffsets deletes the consumer group: the checkpoint alone says how far the inputs are
// folded, and nothing is folded twice.
func TestGoesOnFromTheCheckpointWithoutOffsets(t *testing.T) {
	w, traffic := newForgetful(t)
	r := w.start("a")
	traffic.send(60)
	w.settled()
	r.stop()
	admin := kadm.NewClient(w.client)
	w.eventually("the group is empty and can be deleted", func() bool {
		deleted, err := admin.DeleteGroups(t.Context(), w.names.ConsumerGroup())
		return err == nil && deleted.Error() == nil
	})
	w.start("a")
	traffic.send(30)
	w.settled()
	w.check()
}

// TestStopsWhereNoRecoveryIsPossible sets up each state that no crash leads to. The task stops, says why and what to do,
// and changes nothing.
func TestStopsWhereNoRecoveryIsPossible(t *testing.T) {
	t.Run("checkpoint ahead of the committed offsets", func(t *testing.T) {
		w, traffic := newForgetful(t)
		r := w.start("a")
		traffic.send(60)
		w.settled()
		r.stop()
		setBack(w, 1)
		wantStopped(w, w.start("a"), "checkpoint stands at offset", "put the offsets back")
	})
	t.Run("log begins after the checkpoint", func(t *testing.T) {
		w, traffic := newForgetful(t)
		empty := w.memory.Snapshot()
		r := w.start("a")
		traffic.send(80)
		w.settled()
		r.stop()
		admin := kadm.NewClient(w.client)
		_, err := admin.DeleteRecords(t.Context(), offsetsAt(w, 5))
		w.must(err)
		w.memory.Restore(empty)
		wantStopped(w, w.start("a"), "begins at offset", "restore a snapshot")
	})
	t.Run("a decision is missing", func(t *testing.T) {
		w, traffic := newForgetful(t)
		empty := w.memory.Snapshot()
		r := w.start("a")
		traffic.send(80)
		w.settled()
		r.stop()
		admin := kadm.NewClient(w.client)
		ends, err := admin.ListEndOffsets(t.Context(), w.names.ReservationResults)
		w.must(err)
		_, err = admin.DeleteRecords(t.Context(), ends.Offsets())
		w.must(err)
		w.memory.Restore(empty)
		wantStopped(w, w.start("a"), "no decision", "restore a snapshot")
	})
	t.Run("another partition count", func(t *testing.T) {
		w, traffic := newForgetful(t)
		r := w.start("a")
		traffic.send(20)
		w.settled()
		r.stop()
		admin := kadm.NewClient(w.client)
		var inputs []string
		for _, topic := range w.names.Table() {
			if topic.CoPartitioned() {
				inputs = append(inputs, topic.Name)
			}
		}
		_, err := admin.UpdatePartitions(t.Context(), 4, inputs...)
		w.must(err)
		wantStopped(w, w.start("a"), "written with 2 partitions", "go back to 2 partitions")
	})
}

// TestStopsWhereOffsetsAreDeletedAndTheStoreGoesBack: then nobody knows how far the inputs were decided on.
func TestStopsWhereOffsetsAreDeletedAndTheStoreGoesBack(t *testing.T) {
	for name, inputs := range map[string][]string{"all offsets are deleted, and the store goes back": {"d", "e"}, "those of the deltas": {"d"}, "those of the events": {"e"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for the session of a member that left
			w, traffic := newForgetful(t)
			r := w.start("a")
			traffic.send(20)
			w.settled()
			before := w.memory.Snapshot()
			traffic.send(60)
			w.settled()
			r.stop()
			now := w.memory.Snapshot()
			w.memory.Restore(before)
			w.deleteOffsets(inputs...)
			r = w.start("a")
			wantStopped(w, r, "is not the newest", "restore a snapshot")
			r.stop()
			w.memory.Restore(now)
			w.start("a")
			traffic.send(20)
			w.settled()
			w.check()
		})
	}
}

// deleteOffsets deletes the committed offsets of deltas, d, and events, e, once nobody is in the group.
func (w *world) deleteOffsets(inputs ...string) {
	w.Helper()
	var offsets kadm.TopicsSet
	for _, input := range inputs {
		for n := range w.partitions {
			offsets.Add(map[string]string{"d": w.names.StockDeltas, "e": w.names.ReservationEvents}[input], n)
		}
	}
	w.eventually("offsets can be deleted", func() bool {
		deleted, err := kadm.NewClient(w.client).DeleteOffsets(w.Context(), w.names.ConsumerGroup(), offsets)
		return err == nil && deleted.Error() == nil
	})
}

// wantStopped waits until a task has stopped, with a reason and a way out.
func wantStopped(w *world, r *runner, reason, wayOut string) {
	w.Helper()
	var err error
	w.eventually("a task stops: "+reason, func() bool {
		err = r.Ready()
		return err != nil && strings.Contains(err.Error(), reason)
	})
	if !strings.Contains(err.Error(), wayOut) {
		w.Errorf("%q does not tell the way out: %q", err, wayOut)
	}
}

// offsetsAt are the inputs' partitions with one offset for all.
func offsetsAt(w *world, at int64) kadm.Offsets {
	var o kadm.Offsets
	for _, topic := range []string{w.names.StockDeltas, w.names.ReservationEvents} {
		for n := range w.partitions {
			o.AddOffset(topic, n, at, -1)
		}
	}
	return o
}

func setBack(w *world, to int64) {
	w.Helper()
	admin := kadm.NewClient(w.client)
	w.eventually("the group's offsets can be set", func() bool {
		return admin.CommitAllOffsets(w.Context(), w.names.ConsumerGroup(), offsetsAt(w, to)) == nil
	})
}

// TestTransactionTimeoutMustBeBelowSessionTimeout is the one relation that New checks.
func TestTransactionTimeoutMustBeBelowSessionTimeout(t *testing.T) {
	_, err := processor.New(processor.Options{Namespace: "x", TransactionTimeout: 9e9, SessionTimeout: 8e9, Store: cache.NewMemory()})
	if err == nil || !strings.Contains(err.Error(), "below session timeout") {
		t.Fatal(err)
	}
}

// TestInstanceNamesAreUnique starts a second process under the name of one that runs: one of them ends, and says why.
func TestInstanceNamesAreUnique(t *testing.T) {
	w := newWorld(t, 1)
	w.publish(graphOf(3, overlap()))
	first := w.start("same")
	w.send(w.count("c", "SKU-1", "L00", 5))
	w.settled()
	second := w.start("same")
	var err error
	select {
	case err = <-first.done:
		first.done <- nil
	case err = <-second.done:
		second.done <- nil
	case <-time.After(20 * time.Second):
		t.Fatal("both run")
	}
	if err == nil || !strings.Contains(err.Error(), "another process runs as instance same") {
		t.Fatal(err)
	}
	w.send(w.count("d", "SKU-1", "L01", 5))
	w.settled()
	w.check()
}

// TestAStopWhileItStartsIsNoError stops a processor at each of the first connections it opens, which fail just then.
func TestAStopWhileItStartsIsNoError(t *testing.T) {
	w := newWorld(t, 1)
	w.publish(graphOf(1, nil))
	for open := range 4 {
		hanging, stopped := make(chan struct{}), make(chan struct{})
		var dials atomic.Int32
		r := w.start("a", func(o *processor.Options) {
			o.Client = w.kafka(kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
				if n := int(dials.Add(1)); n > open {
					if n == open+1 {
						close(hanging)
					}
					<-stopped
					return nil, context.Canceled
				}
				return w.dialer(ctx, network, address)
			}))
		})
		select {
		case <-hanging:
		case err := <-r.done:
			t.Fatalf("ended by itself: %v", err)
		}
		r.cancel()
		close(stopped)
		r.stop()
	}
}
