package processor_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// sentRecord is a record as it was sent, and the words it was made of.
type sentRecord struct {
	record *kgo.Record
	words  words
}

// words are a step that sends a record:
//
//	adjust|count|misrouted|safety ID SKU LOCATION QUANTITY [ago 20s]   ago: the effective date is that long before
//	fill ID SKU LOCATION N                   N adjustments of one
//	futures ID SKU LOCATION [2@3s …] [ago 20s]
//	clear ID SKU LOCATION onHand|safety|futures [ago 20s]
//	delete ID SKU LOCATION [ago 20s]
//	drop ID SKU LOCATION 3s                  the instruction, as of a future that came due before
//	republish ID SKU [above N]               an epoch, in thousands
//	reserve ID SKU PLACE QUANTITY [whole] [now] [expires 3s] [in RESERVATION]   now: against ATF
//	transfer ID RESERVATION SKU PLACE PLACE QUANTITY [unchecked]
//	fulfill ID RESERVATION SKU LOCATION QUANTITY [ago 20s]
//	release ID RESERVATION SKU [PLACE QUANTITY]
//	poison bytes|nowhere|negative|event ID SKU
//	again N      the Nth record once more
//	other N      the same with another quantity
type words []string

func (w words) at(i int) string {
	if i < len(w) {
		return w[i]
	}
	return ""
}

func (w words) number(i int) int {
	n, _ := strconv.Atoi(w.at(i)) // 0 where there is none
	return n
}

// after returns the word after an option, "" without it.
func (w words) after(option string) string {
	if i := slices.Index(w, option); i >= 0 {
		return w.at(i + 1)
	}
	return ""
}

// span is the duration after an option, 0 without it.
func (w words) span(option string) time.Duration {
	d, _ := time.ParseDuration(w.after(option))
	return d
}

func (w words) place(i int) (availability.LocationID, availability.GroupID) {
	if p := w.at(i); strings.HasPrefix(p, "L") {
		return availability.LocationID(p), ""
	} else {
		return "", availability.GroupID(p)
	}
}

func (w words) units(i int) availability.Quantity {
	return availability.Quantity(w.number(i)) * availability.Unit
}

// least is how many words a record takes.
var least = map[string]int{"adjust": 5, "count": 5, "misrouted": 5, "safety": 5, "fill": 5, "futures": 4, "clear": 5, "delete": 4, "drop": 5, "republish": 3,
	"reserve": 5, "transfer": 7, "fulfill": 6, "release": 4, "poison": 4, "again": 2, "other": 2}

// sendRecord sends what the words say.
func (s *simulation) sendRecord(w words) error {
	if least[w.at(0)] == 0 || len(w) < least[w.at(0)] {
		return fmt.Errorf("%q is no step", strings.Join(w, " "))
	}
	if w.at(0) == "fill" {
		for i := range w.number(4) {
			if err := s.sendRecord(words{"adjust", fmt.Sprint(w.at(1), ".", i), w.at(2), w.at(3), "1"}); err != nil {
				return err
			}
		}
		return nil
	}
	sent, err := s.record(w)
	if err != nil {
		return err
	}
	s.sent = append(s.sent, sent)
	again := *sent.record
	s.send(&again)
	return nil
}

func (s *simulation) record(w words) (sentRecord, error) {
	now := s.now()
	made := func(r *kgo.Record) (sentRecord, error) { return sentRecord{r, w}, nil }
	switch w.at(0) {
	case "again", "other":
		if len(s.sent) == 0 {
			return sentRecord{}, errors.New("nothing was sent yet")
		}
		sent := s.sent[w.number(1)%len(s.sent)]
		if w.at(0) == "other" {
			return s.record(sent.words.otherwise())
		}
		r := *sent.record
		r.Timestamp = now
		return sentRecord{&r, sent.words}, nil
	case "poison":
		return made(s.poison(w.at(1), w.at(2), w.at(3), now))
	case "drop":
		d, err := time.ParseDuration(w.at(4))
		i := topics.Instruction{Kind: topics.DropOverdue, SKU: availability.SKU(w.at(2)), Location: availability.LocationID(w.at(3)), Until: availability.Instant(s.began.Add(d).UnixMicro())}
		r, _ := made(s.writer.Instruction(&i, now))
		return r, err
	case "republish":
		above, _ := strconv.ParseInt(w.after("above"), 10, 64) // 0 where there is none
		i := topics.Instruction{Kind: topics.Republish, SKU: availability.SKU(w.at(2)), Places: []string{"L01", "EAST", "GHOST"}, Above: above << 40}
		return made(s.writer.Instruction(&i, now))
	case "reserve", "transfer", "fulfill", "release":
		return made(s.writer.Event(w.event(now)))
	}
	d, err := w.delta(s.began, now)
	if err != nil {
		return sentRecord{}, err
	}
	r := s.writer.Delta(d, now)
	if w.at(0) == "misrouted" {
		r.Partition = (r.Partition + 1) % s.partitions
	}
	return made(r)
}

// otherwise is the same record with one unit more, or with a quantity where there was none.
func (w words) otherwise() words {
	other := slices.Clone(w)
	at, by := map[string]int{"adjust": 4, "count": 4, "misrouted": 4, "safety": 4, "reserve": 4, "transfer": 6, "fulfill": 5}[w.at(0)], 1
	switch {
	case at > 0:
		other[at] = strconv.Itoa(w.number(at) + by)
	case w.at(0) == "release" && len(w) == 4:
		return append(other, "any", "1")
	}
	return other
}

func (w words) delta(began, now time.Time) (*schemas.StockDelta, error) {
	d := &schemas.StockDelta{RecordID: w.at(1), SKU: w.at(2), Location: w.at(3), Mode: schemas.ModeUpdate, EffectiveDate: micros(now.Add(-w.span("ago")))}
	switch w.at(0) {
	case "adjust", "misrouted":
		if d.Mode, d.OnHand = schemas.ModeAdjust, milli(int64(w.number(4))); w.span("ago") == 0 {
			d.EffectiveDate = schemas.Optional[schemas.Micros]{}
		}
	case "count":
		d.OnHand = milli(int64(w.number(4)))
	case "safety":
		d.SafetyStockCount = milli(int64(w.number(4)))
	case "delete":
		d.Mode = schemas.ModeDelete
	case "clear":
		field, ok := map[string]schemas.StockField{"onHand": schemas.FieldOnHand, "safety": schemas.FieldSafetyStockCount, "futures": schemas.FieldFutures}[w.at(4)]
		if !ok {
			return nil, fmt.Errorf("there is no %s to clear", w.at(4))
		}
		d.Cleared = schemas.List[schemas.StockField]{field}
	case "futures":
		list := schemas.List[schemas.Future]{}
		for _, word := range w[4:] {
			if quantity, when, is := strings.Cut(word, "@"); is {
				n, _ := strconv.Atoi(quantity)
				after, err := time.ParseDuration(when)
				if err != nil {
					return nil, err
				}
				list = append(list, schemas.Future{Quantity: schemas.Milli(n * 1000), ExpectedDate: schemas.MicrosOf(began.Add(after))})
			}
		}
		d.Futures = schemas.Some(list)
	default:
		return nil, fmt.Errorf("%s is no step", w.at(0))
	}
	return d, nil
}

func (w words) event(now time.Time) *availability.ReservationEvent {
	e := &availability.ReservationEvent{RequestID: w.at(1), ReservationID: w.at(2), SKU: availability.SKU(w.at(3)), EventAt: availability.None, ExpiresAt: availability.None,
		At: availability.Instant(now.UnixMicro()), HasQuantity: true}
	switch w.at(0) {
	case "reserve":
		e.ReservationID, e.SKU, e.Quantity = cmp.Or(w.after("in"), "res-"+w.at(1)), availability.SKU(w.at(2)), w.units(4)
		e.Location, e.Group = w.place(3)
		e.RefusePartial, e.FulfillOnly = slices.Contains(w, "whole"), slices.Contains(w, "now")
		if d := w.span("expires"); d > 0 {
			e.ExpiresAt = availability.Instant(now.Add(d).UnixMicro())
		}
	case "transfer":
		e.Action, e.Quantity, e.IgnoreAvailabilityCheck = availability.Transfer, w.units(6), slices.Contains(w, "unchecked")
		e.Location, e.Group = w.place(4)
		e.ToLocation, e.ToGroup = w.place(5)
	case "fulfill":
		e.Action, e.Location, e.Quantity = availability.Fulfill, availability.LocationID(w.at(4)), w.units(5)
		if d := w.span("ago"); d > 0 {
			e.EventAt = availability.Instant(now.Add(-d).UnixMicro())
		}
	case "release":
		e.Action, e.HasQuantity = availability.Release, len(w) > 5
		if w.at(4) != "any" && w.at(4) != "" {
			e.Location, e.Group = w.place(4)
		}
		e.Quantity = w.units(5)
	}
	return e
}

func (s *simulation) poison(kind, id, sku string, now time.Time) *kgo.Record {
	switch kind {
	case "nowhere":
		return s.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: "NOWHERE", Mode: schemas.ModeAdjust, OnHand: milli(1)}, now)
	case "negative":
		return s.writer.Delta(&schemas.StockDelta{RecordID: id, SKU: sku, Location: "L00", Mode: schemas.ModeUpdate, OnHand: milli(-1), EffectiveDate: micros(now)}, now)
	case "event":
		return &kgo.Record{Topic: s.names.ReservationEvents, Partition: topics.PartitionOf(sku, s.partitions), Key: []byte(sku), Value: []byte("no avro"), Timestamp: now}
	}
	return &kgo.Record{Topic: s.names.StockDeltas, Partition: topics.PartitionOf(sku, s.partitions), Key: []byte(sku), Value: []byte("no avro"), Timestamp: now}
}
