package processor_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// ledger is a producer of constant traffic that writes down what the brokers have acknowledged. Its SKUs are of two kinds:
// those named R only ever gain stock, so that no promise on them may ever be broken and their on hand is a plain sum; the
// others, named M, also lose it, by sales and by counts.
type ledger struct {
	world  *world
	client *kgo.Client
	rate   int // records a second
	cancel context.CancelFunc
	ended  chan struct{}

	// Of the goroutine that produces.
	rand   *rand.Rand
	n      int
	open   ring[availability.ReservationEvent]
	recent ring[made]
	moved  map[string]int // by place/sku of kind M: movements since the newest count that was not late

	mu      sync.Mutex
	sent    map[topics.Source]made
	next    map[string][]int64 // by topic and partition: the offset after the last one acknowledged
	gained  map[string]int64   // by place/sku of kind R: units of what was adjusted, each record id once
	ids     map[string]bool
	unknown map[uint64]made // not acknowledged for certain: they may stand in the log or not
	counts  map[fate]int
	expires time.Time // latest of all expiries asked for
}

// movementsMax is how many movements of a cell of kind M are sent between two counts. The 16th since its count would merge
// them, minute by minute, and what they come to would depend on the order in which two topics were read.
const movementsMax = 8

// fate is what must become of a record.
type fate uint8

const (
	folded    fate = iota // applied, or answered
	poisoned              // one dead letter
	misrouted             // sent on to its partition, once
)

// made is a record as the ledger keeps it.
type made struct {
	record *kgo.Record // before it was sent; nil once it is acknowledged
	fate   fate
	hash   uint64 // of its value
	id     string
	place  string // place/sku, of an adjustment of kind R
	units  int64
}

// ring holds the newest of many.
type ring[T any] struct {
	of [2000]T
	n  int
}

func (r *ring[T]) add(v T) {
	r.of[r.n%len(r.of)] = v
	r.n++
}

func (r *ring[T]) any(random *rand.Rand) (v T, ok bool) {
	if r.n == 0 {
		return v, false
	}
	return r.of[random.IntN(min(r.n, len(r.of)))], true
}

// faultSKUs is how many SKUs of each kind the traffic is about: at 3,000 records a second each has one in 80 ms.
const faultSKUs = 120

// newLedger starts the traffic. Another run with the same seed makes the same records but for their times.
func newLedger(w *world, rate int, seed uint64) *ledger {
	w.Helper()
	w.Logf("traffic seed %d, %d records/s", seed, rate)
	l := &ledger{world: w, rate: rate, rand: rand.New(rand.NewPCG(seed, 2)), ended: make(chan struct{}), sent: make(map[topics.Source]made),
		next: map[string][]int64{w.names.StockDeltas: make([]int64, w.partitions), w.names.ReservationEvents: make([]int64, w.partitions)}, gained: make(map[string]int64),
		ids: make(map[string]bool), unknown: make(map[uint64]made), moved: make(map[string]int), counts: make(map[fate]int)}
	var err error
	l.client, err = kgo.NewClient(w.kafka(append(w.names.ProducerOpts(), kgo.ProducerLinger(5*time.Millisecond))...)...)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop
	l.cancel = cancel
	go l.run(ctx)
	w.Cleanup(l.stop)
	return l
}

// run produces at a constant rate. What a broker that is down has held up is not made up for.
func (l *ledger) run(ctx context.Context) {
	defer close(l.ended)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int(min(time.Since(last), 100*time.Millisecond).Seconds() * float64(l.rate))
		if due == 0 {
			continue
		}
		last = time.Now()
		for range due {
			l.produce(ctx)
		}
	}
}

// stop ends the traffic and waits until every record is acknowledged. It may be called twice.
func (l *ledger) stop() {
	l.cancel()
	<-l.ended
	ctx, cancel := context.WithTimeout(context.Background(), l.world.patience)
	defer cancel()
	_ = l.client.Flush(ctx) // what is left counts as not acknowledged
	l.client.Close()
}

func (l *ledger) produce(ctx context.Context) {
	m := l.make()
	r := *m.record
	l.client.Produce(context.WithoutCancel(ctx), &r, func(r *kgo.Record, err error) { l.acknowledged(r, m, err) })
}

func (l *ledger) acknowledged(r *kgo.Record, m made, err error) {
	m.record = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unknown[m.hash] = m
		return
	}
	l.sent[topics.SourceAt(r)] = m
	l.next[r.Topic][r.Partition] = max(l.next[r.Topic][r.Partition], r.Offset+1)
	l.counts[m.fate]++
	l.gain(m)
}

// gain adds what a record brings, once for each record id.
func (l *ledger) gain(m made) {
	if m.place != "" && !l.ids[m.id] {
		l.ids[m.id] = true
		l.gained[m.place] += m.units
	}
}

// marks returns the offsets after the last records acknowledged.
func (l *ledger) marks() map[string][]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	marks := make(map[string][]int64)
	for topic, next := range l.next {
		marks[topic] = append([]int64(nil), next...)
	}
	return marks
}

func hashOf(value []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(value)
	return h.Sum64()
}

// make makes one record: 56 % deltas, 37 % reservation events, 5 % repeats, 1 % poison, 1 % in the wrong partition.
func (l *ledger) make() made {
	l.n++
	m := made{id: fmt.Sprint("id", l.n)}
	w := l.world
	sku := fmt.Sprintf("%c-%03d", "RM"[l.rand.IntN(2)], l.rand.IntN(faultSKUs))
	switch p := l.rand.IntN(100); {
	case p < 10:
		m.record = l.count(&m, sku)
	case p < 56:
		m.record = l.adjust(&m, sku)
	case p < 73:
		m.record = l.reserve(m.id, sku)
	case p < 93:
		m.record = l.follow(m.id, sku)
	case p < 98:
		again, ok := l.recent.any(l.rand)
		if !ok {
			m.record = l.adjust(&m, sku)
			break
		}
		r := *again.record
		r.Timestamp = time.Now()
		again.record = &r
		return again
	case p < 99:
		m.fate = poisoned
		m.record = l.poison(m.id, sku)
	default:
		m.fate = misrouted
		if m.record = l.reserve(m.id, sku); l.rand.IntN(2) == 0 {
			m.record = l.adjust(&m, sku)
		}
		m.record.Partition = (m.record.Partition + 1) % w.partitions
	}
	m.hash = hashOf(m.record.Value)
	l.recent.add(m)
	return m
}

func (l *ledger) location() string { return fmt.Sprintf("L0%d", l.rand.IntN(4)) }

func (l *ledger) adjust(m *made, sku string) *kgo.Record {
	location := l.location()
	if strings.HasPrefix(sku, "R") {
		m.place, m.units = location+"/"+sku, int64(1+l.rand.IntN(3))
		return l.world.adjust(m.id, sku, location, m.units)
	}
	if !l.moves(sku, location) {
		return l.countAt(m.id, sku, location)
	}
	return l.world.adjust(m.id, sku, location, int64(l.rand.IntN(9)-4))
}

// moves notes a movement of a cell, unless it has too many.
func (l *ledger) moves(sku, location string) bool {
	if strings.HasPrefix(sku, "R") {
		return true
	}
	cell := location + "/" + sku
	if l.moved[cell] >= movementsMax {
		return false
	}
	l.moved[cell]++
	return true
}

// count counts a location, or says how much of it is not for sale, or what is on its way there.
func (l *ledger) count(m *made, sku string) *kgo.Record {
	if strings.HasPrefix(sku, "R") {
		return l.adjust(m, sku)
	}
	now := time.Now()
	d := schemas.StockDelta{RecordID: m.id, SKU: sku, Location: l.location(), Mode: schemas.ModeUpdate, EffectiveDate: micros(now)}
	switch l.rand.IntN(8) {
	case 0:
		d.SafetyStockCount = milli(int64(l.rand.IntN(3)))
	case 1:
		d.Futures.Valid = true
		d.Futures.Value = append(d.Futures.Value, schemas.Future{Quantity: schemas.Milli(1000 * (1 + l.rand.Int64N(5))), ExpectedDate: schemas.Micros(now.Add(time.Hour).UnixMicro())})
	default:
		return l.countAt(m.id, sku, d.Location)
	}
	return l.world.writer.Delta(&d, now)
}

// countAt makes a count; one in four is late, by up to half a second: movements after it are kept.
func (l *ledger) countAt(id, sku, location string) *kgo.Record {
	now := time.Now()
	at := now
	if l.rand.IntN(4) == 0 {
		at = now.Add(-time.Duration(l.rand.IntN(500)) * time.Millisecond)
	} else {
		l.moved[location+"/"+sku] = 0
	}
	return l.world.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: location, Mode: schemas.ModeUpdate, OnHand: milli(int64(l.rand.IntN(20))), EffectiveDate: micros(at)}, now)
}

// reserve reserves at a location or at one of three groups that overlap; one in ten expires within three seconds.
func (l *ledger) reserve(id, sku string) *kgo.Record {
	now := time.Now()
	e := availability.ReservationEvent{RequestID: id, ReservationID: "res-" + id, SKU: availability.SKU(sku), Quantity: availability.Quantity(1+l.rand.IntN(8)) * availability.Unit,
		HasQuantity: true, RefusePartial: l.rand.IntN(2) == 0, FulfillOnly: l.rand.IntN(8) == 0, EventAt: availability.None, ExpiresAt: availability.None, At: availability.Instant(now.UnixMicro())}
	if l.rand.IntN(10) == 0 {
		at := now.Add(time.Second + time.Duration(l.rand.IntN(2000))*time.Millisecond)
		e.ExpiresAt = availability.Instant(at.UnixMicro())
		l.expires = at
	}
	if l.rand.IntN(2) == 0 {
		e.Group = availability.GroupID([]string{"EAST", "WEST", "ALL"}[l.rand.IntN(3)])
	} else {
		e.Location = availability.LocationID(l.location())
	}
	l.open.add(e)
	return l.world.writer.Event(&e)
}

// follow makes a transfer, fulfilment or release of an earlier reservation, which may hold nothing any more.
func (l *ledger) follow(id, sku string) *kgo.Record {
	e, ok := l.open.any(l.rand)
	if !ok {
		return l.reserve(id, sku)
	}
	e.RequestID, e.RefusePartial, e.FulfillOnly, e.ExpiresAt, e.Quantity, e.At = id, false, false, availability.None, availability.Unit, availability.Instant(time.Now().UnixMicro())
	switch {
	case e.Group != "" && l.rand.IntN(3) > 0:
		e.Action, e.ToLocation = availability.Transfer, availability.LocationID(l.location())
		moved := e
		moved.Location, moved.Group, moved.ToLocation = e.ToLocation, "", ""
		l.open.add(moved)
	case e.Location != "" && l.rand.IntN(2) == 0 && l.moves(string(e.SKU), string(e.Location)):
		e.Action = availability.Fulfill
	default:
		e.Action, e.Location, e.Group = availability.Release, "", ""
		if e.HasQuantity = l.rand.IntN(2) == 0; !e.HasQuantity {
			e.Quantity = 0
		}
	}
	return l.world.writer.Event(&e)
}

func (l *ledger) poison(id, sku string) *kgo.Record {
	w := l.world
	switch now := time.Now(); l.rand.IntN(4) {
	case 0:
		return &kgo.Record{Topic: w.names.StockDeltas, Partition: topics.PartitionOf(sku, w.partitions), Key: []byte(sku), Value: []byte("no avro " + id), Timestamp: now}
	case 1:
		return &kgo.Record{Topic: w.names.ReservationEvents, Partition: topics.PartitionOf(sku, w.partitions), Key: []byte(sku), Value: []byte("no avro " + id), Timestamp: now}
	case 2:
		return w.adjust(id, sku, "NOWHERE", 1)
	default:
		return w.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: l.location(), Mode: schemas.ModeUpdate, OnHand: milli(-1), EffectiveDate: micros(now)}, now)
	}
}
