package processor_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// TestOneInAHundredIsHostile lets two processors work under load while each hundredth record is one that can never be
// applied: every kind that a producer can send, in both inputs, keyed by SKUs whose good records come before and behind it.
// Each is one dead letter with the right code, no other record is one, all good ones are applied, and those of a SKU in
// their order: its counts have one effective date, so that the last that was met holds, and its stock for reservations
// suffices for one at a time, which is given back before the next. The seed says where the hostile ones stand.
//
//	go test -run TestOneInAHundredIsHostile ./processor -seed N
func TestOneInAHundredIsHostile(t *testing.T) {
	w := newWorld(t, 4)
	w.publish(graphOf(4, trafficGroups()))
	from := seed()
	t.Logf("seed %d", from)
	h := &hostility{world: w, rand: rand.New(rand.NewPCG(from, 0)), began: time.Now(), turn: make(map[string]int), wrong: make(map[topics.Source]hostile)}
	for n := range hostileSKUs {
		w.send(w.count("base", hostileSKU(n), "L02", 1))
	}
	w.start("a")
	w.start("b")
	const each = 1 // of every kind
	for range each {
		for _, kind := range h.kinds() {
			h.hundred(kind)
		}
	}
	w.settled()
	h.checkDead()
	h.checkCounts()
	h.checkDecisions()
	w.check()
}

// hostileSKUs is how many SKUs the traffic is about: some of each partition.
const hostileSKUs = 20

func hostileSKU(n int) string { return fmt.Sprint("SKU-", n%hostileSKUs) }

// hostile is a record that can never be applied.
type hostile struct {
	code   topics.Code
	record *kgo.Record
}

// hostility sends good records and hostile ones, and knows what must come of them.
type hostility struct {
	world *world
	rand  *rand.Rand
	began time.Time
	turn  map[string]int // by SKU: how many of its good records were made
	made  int
	wrong map[topics.Source]hostile
	good  int
}

// hundred sends 99 good records and a hostile one among them.
func (h *hostility) hundred(kind func(sku string) hostile) {
	at := h.rand.IntN(100)
	records := make([]*kgo.Record, 100)
	var bad hostile
	for i := range records {
		sku := hostileSKU(h.rand.IntN(hostileSKUs))
		if i == at {
			bad = kind(sku)
			copied := *bad.record // the client keeps records
			records[i] = &copied
		} else {
			records[i] = h.next(sku)
			h.good++
		}
	}
	h.world.send(records...)
	h.wrong[topics.SourceAt(records[at])] = bad
}

// next is the next good record of a SKU: a count, an adjustment, or one of a pair that reserves all that is there and gives
// it back.
func (h *hostility) next(sku string) *kgo.Record {
	w, n := h.world, h.turn[sku]
	h.turn[sku]++
	id := fmt.Sprint("good", n)
	switch n % 4 {
	case 0:
		return w.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: "L00", Mode: schemas.ModeUpdate, OnHand: milli(int64(n)), EffectiveDate: micros(h.began)}, time.Now())
	case 1:
		return w.reserve(id, sku, location("L02"), 1)
	case 2:
		return w.adjust(id, sku, "L01", 1)
	}
	return w.writer.Event(&availability.ReservationEvent{RequestID: id, ReservationID: fmt.Sprint("res-good", n-2), SKU: availability.SKU(sku), Action: availability.Release,
		EventAt: availability.None, ExpiresAt: availability.None, At: availability.Instant(time.Now().UnixMicro())})
}

// checkDead holds the dead letters against the hostile records.
func (h *hostility) checkDead() {
	w := h.world
	found := make(map[topics.Source]int)
	codes := make(map[topics.Code]bool)
	for _, r := range w.read(w.names.DeadLetters) {
		dead, err := topics.ReadDead(r)
		w.must(err)
		found[dead.Source]++
		codes[dead.Code] = true
		sent, hostile := h.wrong[dead.Source]
		switch {
		case !hostile:
			w.Errorf("the record at %s is good, and a dead letter: %s", dead.Source, dead.Message)
		case dead.Code != sent.code:
			w.Errorf("the record at %s is a dead letter for %s (%s), want %s", dead.Source, dead.Code, dead.Message, sent.code)
		case !bytes.Equal(r.Key, sent.record.Key) || !bytes.Equal(r.Value, sent.record.Value) || len(dead.Headers) != len(sent.record.Headers):
			w.Errorf("%s at %s: the record was touched", dead.Code, dead.Source)
		}
	}
	for source, sent := range h.wrong {
		if found[source] != 1 {
			w.Errorf("%d dead letters of the record at %s, %s, want one", found[source], source, sent.code)
		}
	}
	for _, code := range topics.Codes() {
		if !codes[code] && code != topics.CodeCorruptState { // that one is not the record's fault
			w.Errorf("%s is no code of any dead letter", code)
		}
	}
	if len(h.wrong)*99 != h.good {
		w.Errorf("%d hostile records and %d good ones, want 1 in 100", len(h.wrong), h.good)
	}
}

// checkCounts holds what was published of each SKU against what it was told: the last count, every adjustment once, and
// counts that only rise, for they were sent so.
func (h *hostility) checkCounts() {
	w := h.world
	reader := topics.NewReader(w.decoder, topics.Options{})
	highest := make(map[availability.SKU]availability.Quantity)
	for _, r := range w.read(w.names.AvailabilityUpdates) {
		var l availability.Level
		var from topics.Provenance
		w.must(reader.Update(w.Context(), r, &l, &from))
		if l.Place != location("L00") {
			continue
		}
		if l.OnHand < highest[l.SKU] {
			w.Errorf("%s: on hand %s was published after %s, and counts were sent that rise", l.SKU, l.OnHand, highest[l.SKU])
		}
		highest[l.SKU] = l.OnHand
	}
	have := w.published()
	for sku, turns := range h.turn {
		counted := availability.Quantity((turns-1)/4*4) * availability.Unit
		adjusted := availability.Quantity((turns+1)/4) * availability.Unit
		if l := have["L00/"+sku].level; l.OnHand != counted {
			w.Errorf("%s: on hand %s at L00, the last count is %s", sku, l.OnHand, counted)
		}
		if l := have["L01/"+sku].level; l.OnHand != adjusted {
			w.Errorf("%s: on hand %s at L01, the adjustments come to %s", sku, l.OnHand, adjusted)
		}
	}
}

// checkDecisions expects one result of each event, in the order of the events of its SKU, and all of them granted: so they
// were decided in that order.
func (h *hostility) checkDecisions() {
	w := h.world
	reader := topics.NewReader(w.decoder, topics.Options{})
	decided := make(map[availability.SKU]int)
	for _, r := range w.read(w.names.ReservationResults) {
		var d topics.Decision
		w.must(reader.Result(w.Context(), r, &d))
		want := fmt.Sprint("good", 2*decided[d.SKU]+1)
		if d.RequestID != want || d.Result.Outcome != availability.Accepted || d.Result.Granted != availability.Unit {
			w.Errorf("%s: result %d is of %s, %+v, want %s granted in full", d.SKU, decided[d.SKU]+1, d.RequestID, d.Result, want)
		}
		decided[d.SKU]++
	}
	for sku, turns := range h.turn {
		if have := decided[availability.SKU(sku)]; have != turns/2 {
			w.Errorf("%s: %d results of %d events", sku, have, turns/2)
		}
	}
}

// kinds are all kinds of record that are refused.
func (h *hostility) kinds() (kinds []func(sku string) hostile) {
	for _, of := range []map[topics.Code][]func(sku string) *kgo.Record{h.badDeltas(), h.badQuantities(), h.badEvents(), h.badBytes(h.world.names.StockDeltas), h.badBytes(h.world.names.ReservationEvents)} {
		for _, code := range topics.Codes() {
			for _, record := range of[code] {
				kinds = append(kinds, func(sku string) hostile { return hostile{code, record(sku)} })
			}
		}
	}
	return kinds
}

// delta makes a count and changes it. No two have one id.
func (h *hostility) delta(change func(*schemas.StockDelta)) func(sku string) *kgo.Record {
	return func(sku string) *kgo.Record {
		h.made++
		now := time.Now()
		d := schemas.StockDelta{RecordID: fmt.Sprint("hostile", h.made), SKU: sku, Location: "L00", Mode: schemas.ModeUpdate, OnHand: milli(1 << 20), EffectiveDate: micros(now)}
		change(&d)
		r := h.world.writer.Delta(&d, now)
		r.Key, r.Partition = []byte(sku), topics.PartitionOf(sku, h.world.partitions)
		return r
	}
}

// event makes a reservation of all that there is, and changes it.
func (h *hostility) event(change func(*schemas.ReservationEvent)) func(sku string) *kgo.Record {
	return func(sku string) *kgo.Record {
		h.made++
		id := fmt.Sprint("hostile", h.made)
		e := schemas.ReservationEvent{RequestID: id, ReservationID: id, SKU: sku, Quantity: milli(1), Location: schemas.Some("L02"), AllowPartial: true}
		change(&e)
		w := h.world
		return &kgo.Record{Topic: w.names.ReservationEvents, Partition: topics.PartitionOf(sku, w.partitions), Key: []byte(sku),
			Value: schemas.AppendReservationEvent(nil, w.ids.ReservationEvent, &e), Timestamp: time.Now()}
	}
}

// changed makes a record and changes it.
func changed(record func(sku string) *kgo.Record, change func(*kgo.Record)) func(sku string) *kgo.Record {
	return func(sku string) *kgo.Record {
		r := record(sku)
		change(r)
		return r
	}
}

func (h *hostility) badDeltas() map[topics.Code][]func(string) *kgo.Record {
	good := h.delta(func(*schemas.StockDelta) {})
	return map[topics.Code][]func(string) *kgo.Record{
		topics.CodeMalformedID: {
			h.delta(func(d *schemas.StockDelta) { d.Location = "no place" }),
			h.delta(func(d *schemas.StockDelta) { d.RecordID = "" }),
		},
		topics.CodeUnknownLocation: {h.delta(func(d *schemas.StockDelta) { d.Location = "NOWHERE" }), h.delta(func(d *schemas.StockDelta) { d.Location = "EAST" })},
		topics.CodeMissingEffectiveDate: {
			h.delta(func(d *schemas.StockDelta) { d.EffectiveDate.Valid = false }),
			h.delta(func(d *schemas.StockDelta) {
				d.Mode, d.OnHand.Valid, d.EffectiveDate.Valid = schemas.ModeDelete, false, false
			}),
		},
		topics.CodeFutureDate: {h.delta(func(d *schemas.StockDelta) { d.EffectiveDate = micros(time.Now().Add(time.Hour)) })},
		topics.CodeConflictingFields: {
			h.delta(func(d *schemas.StockDelta) { d.Mode, d.SafetyStockCount = schemas.ModeAdjust, milli(1) }),
			h.delta(func(d *schemas.StockDelta) { d.Mode = schemas.ModeDelete }),
			h.delta(func(d *schemas.StockDelta) { d.Cleared = schemas.List[schemas.StockField]{schemas.FieldOnHand} }),
		},
		topics.CodeKeyMismatch: {h.delta(func(d *schemas.StockDelta) { d.SKU += "-other" }), changed(good, func(r *kgo.Record) { r.Key = nil })},
		topics.CodeWrongRecordType: {changed(h.event(func(*schemas.ReservationEvent) {}), func(r *kgo.Record) {
			r.Topic = h.world.names.StockDeltas
		})},
		topics.CodeEmptyValue: {changed(good, func(r *kgo.Record) {
			r.Value, r.Headers = nil, []kgo.RecordHeader{{Key: topics.HeaderInstruction, Value: []byte("empty-the-shelves/L00")}}
		})},
		topics.CodePrecision: {changed(h.delta(func(d *schemas.StockDelta) { d.OnHand.Value = 12345 }), func(r *kgo.Record) { r.Value[4] = fourDigits })},
	}
}

func (h *hostility) badQuantities() map[topics.Code][]func(string) *kgo.Record {
	huge := schemas.Milli(availability.MaxQuantity)
	futures := func(quantities ...schemas.Milli) schemas.Optional[schemas.List[schemas.Future]] {
		var list schemas.List[schemas.Future]
		for n, q := range quantities {
			list = append(list, schemas.Future{Quantity: q, ExpectedDate: schemas.MicrosOf(h.began.Add(time.Duration(n+1) * time.Hour))})
		}
		return schemas.Some(list)
	}
	return map[topics.Code][]func(string) *kgo.Record{
		topics.CodeNegativeCount:       {h.delta(func(d *schemas.StockDelta) { d.OnHand = milli(-1) })},
		topics.CodeNegativeSafetyStock: {h.delta(func(d *schemas.StockDelta) { d.SafetyStockCount = milli(-1) })},
		topics.CodeBadFuture: {
			h.delta(func(d *schemas.StockDelta) { d.Futures = futures(1000, 0) }),
			h.delta(func(d *schemas.StockDelta) { d.Futures = futures(-1000) }),
		},
		topics.CodeOverflow: {
			h.delta(func(d *schemas.StockDelta) { d.OnHand.Value, d.Futures = huge, futures(huge) }),
			h.delta(func(d *schemas.StockDelta) { d.Futures = futures(huge, 1) }),
			h.delta(func(d *schemas.StockDelta) { d.EffectiveDate.Value = -1 << 62 }),
			// The first that is above what a total can carry is good by itself, not with what L02 has.
			h.delta(func(d *schemas.StockDelta) { d.Mode, d.Location, d.OnHand.Value = schemas.ModeAdjust, "L02", huge }),
		},
	}
}

func (h *hostility) badEvents() map[topics.Code][]func(string) *kgo.Record {
	return map[topics.Code][]func(string) *kgo.Record{
		topics.CodeMalformedID: {
			h.event(func(e *schemas.ReservationEvent) { e.RequestID = "" }),
			h.event(func(e *schemas.ReservationEvent) { e.ReservationID = strings.Repeat("x", 257) }),
			h.event(func(e *schemas.ReservationEvent) { e.Location = schemas.Some("a/b") }),
		},
		topics.CodeFutureDate: {h.event(func(e *schemas.ReservationEvent) { e.EventTime = micros(time.Now().Add(time.Hour)) })},
		topics.CodeOverflow: {
			h.event(func(e *schemas.ReservationEvent) {
				e.ExpiresAt = schemas.Optional[schemas.Micros]{Value: 1 << 62, Valid: true}
			}),
		},
		topics.CodeKeyMismatch: {
			h.event(func(e *schemas.ReservationEvent) { e.SKU += "-other" }),
			changed(h.event(func(*schemas.ReservationEvent) {}), func(r *kgo.Record) { r.Key = nil }),
		},
		topics.CodeWrongRecordType: {changed(h.delta(func(*schemas.StockDelta) {}), func(r *kgo.Record) { r.Topic = h.world.names.ReservationEvents })},
		topics.CodePrecision: {changed(h.event(func(e *schemas.ReservationEvent) { e.Quantity.Value = 12345 }), func(r *kgo.Record) {
			r.Value[4] = fourDigitsEvent
		})},
	}
}

// badBytes are records of an input of which no reader can make anything.
func (h *hostility) badBytes(topic string) map[topics.Code][]func(string) *kgo.Record {
	good := h.delta(func(*schemas.StockDelta) {})
	if topic == h.world.names.ReservationEvents {
		good = h.event(func(*schemas.ReservationEvent) {})
	}
	value := func(change func(value []byte) []byte) func(string) *kgo.Record {
		return changed(good, func(r *kgo.Record) { r.Value = change(r.Value) })
	}
	return map[topics.Code][]func(string) *kgo.Record{
		topics.CodeDecode: {
			value(func([]byte) []byte { return []byte("no avro") }),
			value(func(v []byte) []byte { return v[:len(v)-2] }),
			value(func(v []byte) []byte { return append(v, 0) }),
			value(func(v []byte) []byte { return v[:3] }),
		},
		topics.CodeUnknownSchema: {value(func(v []byte) []byte { v[4] = 99; return v })},
		topics.CodeEmptyValue:    {value(func([]byte) []byte { return nil })},
		topics.CodeTooLarge: {
			value(func([]byte) []byte { return make([]byte, 1<<20+1) }),
			changed(good, func(r *kgo.Record) { r.Headers = []kgo.RecordHeader{{Key: "padding", Value: make([]byte, 300<<10)}} }),
		},
	}
}
