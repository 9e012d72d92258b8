package processor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// bomb produces a batch of some kilobytes whose records are good, and take 40 MiB. It has a client of its own: one that has
// just sent something may send the first of them by themselves.
func (w *world) bomb(record *kgo.Record) {
	w.Helper()
	client, err := kgo.NewClient(w.kafka(append(w.names.ProducerOpts(), kgo.ProducerBatchMaxBytesFn(func(string) int32 { return 64 << 20 }), kgo.ProducerLinger(time.Minute))...)...)
	w.must(err)
	defer client.Close()
	// A client that is told to send while it asks for a topic sends what it has so far, not a batch. So it gets to know the topic
	// by a record that it never sends.
	asks := *record
	client.Produce(w.Context(), &asks, nil)
	w.eventually("the client knows "+record.Topic, func() bool {
		leader, _, err := client.PartitionLeader(record.Topic, record.Partition)
		return err == nil && leader >= 0
	})
	w.must(client.AbortBufferedRecords(w.Context()))
	padding := kgo.RecordHeader{Key: "padding", Value: make([]byte, 200<<10)}
	for range 200 {
		r := *record
		r.Headers = []kgo.RecordHeader{padding}
		client.Produce(w.Context(), &r, func(_ *kgo.Record, err error) {
			if err != nil {
				w.Error(err)
			}
		})
	}
	w.must(client.Flush(w.Context()))
}

// TestABatchTooLargeToReadIsPassedOver puts batches that say more than a process may hold into each input and among the
// graphs. The partition goes on behind them, one dead letter stands for each, and a replay passes over them too.
func TestABatchTooLargeToReadIsPassedOver(t *testing.T) {
	w, _ := newForgetful(t)
	empty := w.memory.Snapshot()
	r := w.start("a")
	w.send(w.count("c1", "SKU-1", "L00", 5), w.count("c2", "SKU-2", "L00", 5))
	w.bomb(w.adjust("a1", "SKU-1", "L00", 1))
	w.bomb(w.reserve("r1", "SKU-1", location("L00"), 1))
	graph := w.writer.Graph(w.graph)
	w.bomb(graph)
	w.send(w.adjust("a2", "SKU-1", "L00", 2), w.adjust("a3", "SKU-2", "L00", 2), w.reserve("r2", "SKU-1", location("L00"), 1))
	right := func() {
		t.Helper()
		w.settled()
		for key, want := range map[string]availability.Level{
			"L00/SKU-1": {OnHand: 7 * availability.Unit, ATO: 6 * availability.Unit}, "L00/SKU-2": {OnHand: 7 * availability.Unit, ATO: 7 * availability.Unit},
		} {
			if have := w.published()[key].level; have.OnHand != want.OnHand || have.ATO != want.ATO {
				t.Errorf("%s is %+v, want %+v", key, have, want)
			}
		}
		letters := w.read(w.names.DeadLetters)
		for _, r := range letters {
			dead, err := topics.ReadDead(r)
			w.must(err)
			if dead.Code != topics.CodeTooLarge || dead.Omitted != "value,headers,key" || !strings.Contains(dead.Message, "are one batch") {
				t.Errorf("dead letter %+v", dead)
			}
			if _, err := w.writer.Replay(r); err == nil {
				t.Error("the dead letter can be put back, though nothing of its records was kept")
			}
		}
		if len(letters) != 2 {
			t.Errorf("%d dead letters, want one for each batch", len(letters))
		}
	}
	right()
	w.publish(graphOf(5, trafficGroups()))
	w.send(w.count("c3", "SKU-1", "L04", 3))
	w.eventually("a graph behind the batch is adopted", func() bool { return w.published()["L04/SKU-1"].level.OnHand == 3*availability.Unit })
	r.stop()
	w.memory.Restore(empty)
	w.start("a")
	right()
	if have := w.published()["L04/SKU-1"].level.OnHand; have != 3*availability.Unit {
		t.Errorf("on hand %s at the new location after the replay, want 3", have)
	}
}

// TestBatchesTooLargeToReadInEveryPartition meets many at once: none keeps a partition.
func TestBatchesTooLargeToReadInEveryPartition(t *testing.T) {
	w := newWorld(t, 4)
	w.publish(graphOf(3, overlap()))
	skus := make(map[int32]string)
	for n := 0; len(skus) < int(w.partitions); n++ {
		sku := fmt.Sprint("SKU-", n)
		if p := topics.PartitionOf(sku, w.partitions); skus[p] == "" {
			skus[p] = sku
		}
	}
	for _, sku := range skus {
		w.send(w.count("f"+sku, sku, "L00", 1), w.reserve("f"+sku, sku, location("L00"), 1))
	}
	for range 2 {
		for n, sku := range skus {
			w.bomb(w.adjust(fmt.Sprint("bomb", n), sku, "L00", 1))
			w.bomb(w.reserve(fmt.Sprint("bomb", n), sku, location("L00"), 1))
		}
	}
	for _, sku := range skus {
		w.send(w.count("c"+sku, sku, "L00", 5))
	}
	w.start("a")
	w.eventually("the records behind the batches are folded", func() bool {
		levels := w.published()
		for _, sku := range skus {
			if levels["L00/"+sku].level.OnHand != 5*availability.Unit {
				return false
			}
		}
		return true
	})
	if n := len(w.read(w.names.DeadLetters)); n != 2*2*4 {
		t.Errorf("%d dead letters, want one for each batch", n)
	}
}
