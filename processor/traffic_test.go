package processor_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// traffic makes records of every kind over few SKUs, so that they meet: counts, adjustments, reservations at locations and
// groups and what becomes of them, futures, instructions, repeats, poison, and records in the wrong partition.
type traffic struct {
	world *world
	rand  *rand.Rand
	n     int
	open  []*availability.ReservationEvent
	sent  []*kgo.Record
}

// newTraffic prints its seed. Another run with the same seed makes the same records but for their times.
func newTraffic(w *world, seed uint64) *traffic {
	w.Logf("traffic seed %d", seed)
	return &traffic{world: w, rand: rand.New(rand.NewPCG(seed, 0))}
}

func (t *traffic) sku() string      { return fmt.Sprintf("SKU-%d", t.rand.IntN(6)) }
func (t *traffic) location() string { return fmt.Sprintf("L0%d", t.rand.IntN(4)) }

func (t *traffic) place() availability.Place {
	if t.rand.IntN(2) == 0 {
		return group([]string{"EAST", "WEST", "ALL"}[t.rand.IntN(3)])
	}
	return location(t.location())
}

// groups of the graph that the traffic is for, of four locations.
func trafficGroups() map[string][]int {
	return map[string][]int{"EAST": {0, 1}, "WEST": {1, 2}, "ALL": {0, 1, 2, 3}}
}

// next makes one record.
func (t *traffic) next() *kgo.Record {
	t.n++
	id := fmt.Sprint("id", t.n)
	w := t.world
	var r *kgo.Record
	switch p := t.rand.IntN(100); {
	case p < 4:
		r = t.futures(id)
	case p < 8:
		r = t.instruct()
	case p < 19:
		r = w.count(id, t.sku(), t.location(), int64(t.rand.IntN(20)))
	case p < 55:
		r = w.adjust(id, t.sku(), t.location(), int64(t.rand.IntN(9)-4))
	case p < 75:
		r = t.reserve(id)
	case p < 88:
		r = t.follow(id)
	case p < 92 && len(t.sent) > 0:
		again := *t.sent[t.rand.IntN(len(t.sent))]
		again.Timestamp = time.Now()
		r = &again
	case p < 96:
		r = t.poison(id)
	default:
		r = w.adjust(id, t.sku(), t.location(), 1)
		r.Partition = (r.Partition + 1) % w.partitions
	}
	t.sent = append(t.sent, r)
	return r
}

func (t *traffic) reserve(id string) *kgo.Record {
	e := &availability.ReservationEvent{RequestID: id, ReservationID: "res-" + id, SKU: availability.SKU(t.sku()), Quantity: availability.Quantity(1+t.rand.IntN(8)) * availability.Unit,
		HasQuantity: true, RefusePartial: t.rand.IntN(2) == 0, EventAt: availability.None, ExpiresAt: availability.None, At: availability.Instant(time.Now().UnixMicro())}
	if p := t.place(); p.Type == availability.GroupPlace {
		e.Group = availability.GroupID(p.ID)
	} else {
		e.Location = availability.LocationID(p.ID)
	}
	t.open = append(t.open, e)
	return t.world.writer.Event(e)
}

// follow makes a transfer, fulfilment or release of an earlier reservation, which may hold nothing.
func (t *traffic) follow(id string) *kgo.Record {
	if len(t.open) == 0 {
		return t.reserve(id)
	}
	e := *t.open[t.rand.IntN(len(t.open))]
	e.RequestID, e.RefusePartial, e.Quantity, e.At = id, false, availability.Unit, availability.Instant(time.Now().UnixMicro())
	switch {
	case e.Group != "":
		e.Action, e.ToLocation = availability.Transfer, availability.LocationID(t.location())
		moved := e
		moved.Location, moved.Group, moved.ToLocation = e.ToLocation, "", ""
		t.open = append(t.open, &moved)
	case t.rand.IntN(2) == 0:
		e.Action = availability.Fulfill
	default:
		e.Action, e.Location = availability.Release, ""
		e.HasQuantity = t.rand.IntN(2) == 0
		if !e.HasQuantity {
			e.Quantity = 0
		}
	}
	return t.world.writer.Event(&e)
}

// futures tells of up to three restocks on six days to come.
func (t *traffic) futures(id string) *kgo.Record {
	now := time.Now()
	var list schemas.List[schemas.Future]
	for range t.rand.IntN(4) {
		list = append(list, schemas.Future{Quantity: schemas.Milli(1000 + t.rand.IntN(9000)), ExpectedDate: schemas.MicrosOf(t.day())})
	}
	return t.world.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: t.sku(), Location: t.location(), Mode: schemas.ModeUpdate, Futures: schemas.Some(list), EffectiveDate: micros(now)}, now)
}

func (t *traffic) day() time.Time {
	return time.Date(2100, 1, 1+t.rand.IntN(6), 0, 0, 0, 0, time.UTC)
}

// instruct drops futures up to one of their days, or publishes a SKU anew.
func (t *traffic) instruct() *kgo.Record {
	i := topics.Instruction{Kind: topics.DropOverdue, SKU: availability.SKU(t.sku()), Location: availability.LocationID(t.location()), Until: availability.Instant(t.day().UnixMicro())}
	if t.rand.IntN(3) == 0 {
		i = topics.Instruction{Kind: topics.Republish, SKU: i.SKU, Places: []string{string(i.Location), "EAST", "GHOST"}, Above: int64(t.rand.IntN(2)) * int64(t.rand.IntN(9)) << 40}
	}
	return t.world.writer.Instruction(&i, time.Now())
}

func (t *traffic) poison(id string) *kgo.Record {
	w := t.world
	sku := t.sku()
	switch t.rand.IntN(3) {
	case 0:
		return &kgo.Record{Topic: w.names.StockDeltas, Partition: topics.PartitionOf(sku, w.partitions), Key: []byte(sku), Value: []byte("no avro"), Timestamp: time.Now()}
	case 1:
		return w.adjust(id, sku, "NOWHERE", 1)
	default:
		now := time.Now()
		return w.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: t.location(), Mode: schemas.ModeUpdate, OnHand: milli(-1), EffectiveDate: micros(now)}, now)
	}
}

// send produces n records.
func (t *traffic) send(n int) {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = t.next()
	}
	for len(records) > 0 {
		part := records[:min(len(records), 1+t.rand.IntN(20))]
		records = records[len(part):]
		copies := make([]*kgo.Record, len(part))
		for i, r := range part {
			c := *r
			copies[i] = &c
		}
		t.world.send(copies...)
	}
}
