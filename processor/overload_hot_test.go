package processor_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// TestHalfOfTheTrafficInOnePartition sends half of all records to one SKU, or to many of one partition, first at a rate that
// can be carried, then at one that brokers this slow do not take. Meanwhile each record of another partition is published
// soon after it was sent, what the processor has polled of the busy partition and not published stays bounded, and the
// partition has caught up soon after the rush is over, with nobody's help.
func TestHalfOfTheTrafficInOnePartition(t *testing.T) {
	for _, of := range []struct {
		name    string
		skus    int
		perByte time.Duration // of what processors send: so that some 150 records of the busy partition are published in a second
	}{{"one SKU", 1, 14 * time.Microsecond}, {"many SKUs", 100, 5 * time.Microsecond}} {
		t.Run(of.name, func(t *testing.T) {
			virtually(t, settings{partitions: 8, batch: hotBatch, cache: 1 << 20}, func(s *simulation) { newHot(s, of.skus).run(of.perByte) })
		})
	}
}

const (
	hotBatch   = 20
	hotTick    = 100 * time.Millisecond
	hotCalm    = 3 * time.Second // 10 records a second to the busy partition, and 10 to the others
	hotRush    = 4 * time.Second // 400 a second to each
	hotPadding = 1 << 10         // bytes of a record of the busy partition that mean nothing: a fetch brings up to 1,000

	// hotQuietMax is how long a record of another partition takes at most. A transaction has a batch of each partition, and
	// takes some 150 ms; the record waits for the one under way and is in the next.
	hotQuietMax = time.Second
	// hotAheadMax is how many records are polled and not published at most: the batch under way, two that wait, and what the
	// last poll brought beyond them, ten batches.
	hotAheadMax = 13 * hotBatch
	// hotBehind is how far behind the busy partition must be after the rush, or nothing is shown.
	hotBehind = 2 * hotAheadMax
)

// hot is one run.
type hot struct {
	*simulation
	busy, quiet []string // SKUs
	made        int

	mu     sync.Mutex
	sent   map[topics.Source]time.Time // of records of quiet partitions
	asked  map[string]int64            // by input: the highest offset asked for of partition 0
	folded map[string]int64            // by input: the offset of partition 0 last published
	ahead  int64                       // the most that was polled of it and not published
}

func newHot(s *simulation, busy int) *hot {
	h := &hot{simulation: s, sent: make(map[topics.Source]time.Time), asked: make(map[string]int64), folded: make(map[string]int64)}
	quiet := make(map[int32]bool) // partitions that have their SKU
	for n := 0; len(h.busy) < busy || len(h.quiet) < int(s.partitions)-1; n++ {
		sku := fmt.Sprint("SKU-", n)
		if in := topics.PartitionOf(sku, s.partitions); in == 0 && len(h.busy) < busy {
			h.busy = append(h.busy, sku)
		} else if in != 0 && !quiet[in] {
			h.quiet, quiet[in] = append(h.quiet, sku), true
		}
	}
	return h
}

func (h *hot) run(perByte time.Duration) {
	h.slow(false, 0, perByte)
	h.tick = hotTick
	h.process("a", 0)
	h.settled()
	h.watchFetches()
	arrived, stop := h.follow()
	defer stop()
	h.traffic(hotCalm, 1)
	if n := h.behind(); n > hotBatch {
		h.Errorf("%d records behind at a rate that can be carried", n)
	}
	h.traffic(hotRush, 40)
	over, behind := time.Now(), h.behind()
	if behind < hotBehind {
		h.Errorf("%d records behind after the rush, want more than %d for it to be one", behind, hotBehind)
	}
	h.eventually("the busy partition has caught up", func() bool { return h.behind() == 0 })
	took := time.Since(over)
	if took > 2*hotRush {
		h.Errorf("the busy partition has caught up %s after a rush of %s, want twice that at most", took, hotRush)
	}
	stop()
	h.mu.Lock()
	ahead := h.ahead
	h.mu.Unlock()
	if ahead > hotAheadMax || ahead == 0 {
		h.Errorf("%d records of the busy partition polled and not published, want up to %d", ahead, hotAheadMax)
	}
	worst := h.checkQuiet(arrived)
	h.settled()
	h.checkCells()
	h.check()
	h.TB.Logf("%d records behind, caught up in %s; %d polled ahead; the slowest record of another partition took %s", behind, took, ahead, worst)
}

// traffic sends as many records to the busy partition as to all others, for that long.
func (h *hot) traffic(d time.Duration, perTick int) {
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(hotTick) {
		var busy, quiet []*kgo.Record
		for range perTick {
			busy, quiet = append(busy, h.nextBusy()), append(quiet, h.nextQuiet())
		}
		at := time.Now()
		h.send(append(busy, quiet...)...)
		h.mu.Lock()
		for _, r := range quiet {
			h.sent[topics.SourceAt(r)] = at
		}
		h.mu.Unlock()
	}
}

// nextBusy gives a SKU of the busy partition two units, or reserves one.
func (h *hot) nextBusy() *kgo.Record {
	h.made++
	id, sku, padding := fmt.Sprint("b", h.made), h.busy[h.made/4%len(h.busy)], strings.Repeat("x", hotPadding)
	if h.made/2%2 == 0 {
		return h.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: "L00", Mode: schemas.ModeAdjust, OnHand: milli(2), ExternalRefID: schemas.Some(padding)}, time.Now())
	}
	return h.writer.Event(&availability.ReservationEvent{RequestID: id, ReservationID: id, SKU: availability.SKU(sku), Quantity: availability.Unit, HasQuantity: true, Group: "EAST",
		EventAt: availability.None, ExpiresAt: availability.None, ExternalRefID: padding, At: availability.Instant(time.Now().UnixMicro())})
}

// nextQuiet adjusts a SKU of another partition.
func (h *hot) nextQuiet() *kgo.Record {
	h.made++
	return h.adjust(fmt.Sprint("q", h.made), h.quiet[h.made/2%len(h.quiet)], "L00", 1)
}

// watchFetches notes how far partition 0 is polled ahead of what is published: the client asks for
// what follows what was polled.
func (h *hot) watchFetches() {
	names := map[[16]byte]string{}
	for _, input := range []string{h.names.StockDeltas, h.names.ReservationEvents} {
		names[h.fake.TopicInfo(input).TopicID] = input
	}
	h.fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, topic := range r.(*kmsg.FetchRequest).Topics {
			input := names[topic.TopicID]
			for _, p := range topic.Partitions {
				if p.Partition == 0 && input != "" {
					h.asked[input] = max(h.asked[input], p.FetchOffset)
				}
			}
		}
		var ahead int64
		for input, asked := range h.asked {
			ahead += asked - h.folded[input]
		}
		h.ahead = max(h.ahead, ahead)
		return nil, nil, false
	})
	h.fake.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, topic := range r.(*kmsg.TxnOffsetCommitRequest).Topics {
			for _, p := range topic.Partitions {
				if p.Partition == 0 {
					h.folded[cmp.Or(topic.Topic, names[topic.TopicID])] = p.Offset
				}
			}
		}
		return nil, nil, false
	})
}

// arrival is when an update could be read, and the newest record that it reflects.
type arrival struct {
	cause topics.Source
	at    time.Time
}

// follow reads updates as a storefront does, until stop is called, which returns when it has ended.
func (h *hot) follow() (arrived *[]arrival, stop func()) {
	client, err := kgo.NewClient(h.kafka(kgo.ConsumeTopics(h.names.AvailabilityUpdates), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	h.must(err)
	ctx, cancel := context.WithCancel(h.Context())
	arrived = new([]arrival)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				cause, err := topics.ParseSource(headerOf(r, topics.HeaderCause))
				if err != nil {
					h.Errorf("update at %s: %v", topics.SourceAt(r), err)
				}
				*arrived = append(*arrived, arrival{cause, time.Now()})
			})
		}
	}()
	return arrived, func() {
		cancel()
		<-ended
		client.Close()
	}
}

// checkQuiet expects each record of a quiet partition in an update soon after it was sent: one whose newest record is it or
// a later one.
func (h *hot) checkQuiet(arrived *[]arrival) (worst time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	late := 0
	for source, at := range h.sent {
		took := time.Duration(1<<63 - 1)
		for _, a := range *arrived {
			if a.cause.Topic == source.Topic && a.cause.Partition == source.Partition && a.cause.Offset >= source.Offset {
				took = a.at.Sub(at)
				break
			}
		}
		if worst = max(worst, took); took > hotQuietMax {
			late++
		}
	}
	if late > 0 {
		h.Errorf("%d of %d records of other partitions took more than %s, the slowest %s", late, len(h.sent), hotQuietMax, worst)
	}
	return worst
}

// behind is how many records of the busy partition are not published.
func (h *hot) behind() (records int64) {
	ends, err := kadm.NewClient(h.client).ListEndOffsets(h.Context(), h.names.StockDeltas, h.names.ReservationEvents)
	h.must(err)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Partition == 0 {
			records += o.Offset
		}
	})
	return records - h.simulation.folded(0)
}

// checkCells expects that what is kept of a SKU does not grow with its events: of movements, 16 and one for each minute.
func (h *hot) checkCells() {
	store := h.open()
	defer func() { _ = store.Close() }()
	for _, sku := range h.busy {
		data, _, err := store.Load(h.Context(), 0, h.compiled(), []availability.Want{{SKU: availability.SKU(sku), All: true}})
		h.must(err)
		for _, c := range data[0].Cells {
			if most := 16 + int(time.Since(h.began)/time.Minute) + 1; len(c.Movements) > most {
				h.Errorf("%s at %s keeps %d movements, want up to %d", sku, c.Location, len(c.Movements), most)
			}
		}
	}
}
