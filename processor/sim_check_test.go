package processor_test

import (
	"cmp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// checkExpired fails where a line is held beyond its expiry.
func (s *simulation) checkExpired(r *recounted) {
	s.Helper()
	now := availability.Instant(time.Now().UnixMicro())
	for sku, events := range r.events {
		for _, d := range events {
			e := &d.event
			if e.ExpiresAt != availability.None && e.ExpiresAt < now && e.Action == availability.Reserve && d.result.Granted > 0 && r.stocks[sku].Expires(e.ReservationID, e.ExpiresAt) {
				s.Errorf("%s of %s is held beyond its expiry", e.ReservationID, sku)
			}
		}
	}
}

// checkForwarded fails where a record in the wrong partition was not sent on, or not once.
func (s *simulation) checkForwarded(inputs []*kgo.Record) {
	s.Helper()
	copies := make(map[string]int)
	for _, r := range inputs {
		name := r.Topic + " " + string(r.Value) + " " + r.Timestamp.String()
		if topics.PartitionOf(r.Key, s.partitions) != r.Partition {
			copies[name]++
		}
		for _, h := range r.Headers {
			if h.Key == topics.HeaderForwarded {
				copies[name]--
			}
		}
	}
	for name, n := range copies {
		if n != 0 {
			s.Errorf("%q was sent on once too often or not at all: %d copies are missing", name, n)
		}
	}
}

// checkPromises fails where promises cannot be kept though stock never shrank, and where a decision is none that the core
// would have taken on any state that a task can have met its event in.
func (s *simulation) checkPromises(r *recounted) {
	s.Helper()
	if s.settings.rising {
		for sku, stock := range r.stocks {
			for _, l := range r.folder.Levels(stock) {
				if l.Shortfall != 0 {
					s.Errorf("%s at %s lacks %s of what was promised", sku, l.Place.ID, l.Shortfall)
				}
			}
		}
	}
	if !s.settings.rising && len(s.published) > 1 {
		return // a location that leaves takes its history along: what a decision saw cannot be told from what is left
	}
	var graphs []*availability.Graph
	for i := range s.published {
		spec := topics.GraphSpec(&s.published[i])
		g, err := spec.Compile()
		s.must(err)
		graphs = append(graphs, g)
	}
	for sku, events := range r.events {
		s.explain(sku, graphs, r.told[sku], events)
	}
}

// explain looks for graphs with which the core decides as was decided, after as many deltas as the results tell: one for
// each event, none older than that of the event before.
func (s *simulation) explain(sku availability.SKU, graphs []*availability.Graph, deltas []told, events []decided) {
	s.Helper()
	g := 0
	for i := range events {
		e := &events[i]
		for ; g < len(graphs); g++ {
			if r := decideAt(sku, graphs[g], deltas, events[:i], e); same(&r, &e.result) {
				break
			}
		}
		if g == len(graphs) {
			s.Errorf("no graph explains the decision on %s: %s of %s granted %s, outcome %d %s, version %d, after %d deltas", e.event.RequestID, e.event.Quantity, sku, e.result.Granted,
				e.result.Outcome, e.result.ErrorCode, e.result.Version, e.after)
			return
		}
	}
}

// decideAt folds the events before one, and the deltas between them, and decides on it.
func decideAt(sku availability.SKU, g *availability.Graph, deltas []told, before []decided, e *decided) availability.Result {
	f := availability.NewFolder(g, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))
	stock := availability.NewStock(g, &availability.StockData{SKU: sku, Complete: true})
	next := 0
	upTo := func(n int) {
		for ; next < n; next++ {
			deltas[next].fold(f, stock)
		}
	}
	for i := range before {
		upTo(before[i].after)
		f.Standing(stock, &before[i].event, before[i].result, 0)
	}
	upTo(e.after)
	r, _ := f.Reservation(stock, &e.event, 0, 0)
	return r
}

func same(a, b *availability.Result) bool {
	return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Granted, b.Granted), cmp.Compare(a.ErrorCode, b.ErrorCode)) == 0
}
