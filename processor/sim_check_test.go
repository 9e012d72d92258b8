package processor_test

import (
	"cmp"
	"time"

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
func (s *simulation) checkForwarded() {
	s.Helper()
	copies := make(map[string]int)
	for _, r := range s.read(s.names.StockDeltas, s.names.ReservationEvents) {
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
		s.explain(sku, graphs, r.deltas[sku], events)
	}
}

// moment is how many deltas a task has folded before an event, and which graph it has.
type moment struct{ deltas, graph int }

// explain looks for an order of the two inputs in which the core decides as was decided: for each event a number of deltas
// before it and a graph, neither less than for the event before.
func (s *simulation) explain(sku availability.SKU, graphs []*availability.Graph, deltas []availability.Delta, events []decided) {
	s.Helper()
	possible := []moment{{}}
	for i := range events {
		var next []moment
		for g := range graphs {
			for n := 0; n <= len(deltas); n++ {
				if !reachable(possible, moment{n, g}) {
					continue
				}
				if r := decideAt(sku, graphs[g], deltas[:n], events[:i], &events[i].event); same(&r, &events[i].result) {
					next = append(next, moment{n, g})
				}
			}
		}
		if len(next) == 0 {
			e := &events[i]
			s.Errorf("no order of the inputs explains the decision on %s: %s of %s granted %s, outcome %d %s, version %d", e.event.RequestID, e.event.Quantity, sku, e.result.Granted, e.result.Outcome, e.result.ErrorCode, e.result.Version)
			return
		}
		possible = next
	}
}

func reachable(from []moment, m moment) bool {
	for _, f := range from {
		if f.deltas <= m.deltas && f.graph <= m.graph {
			return true
		}
	}
	return false
}

// decideAt folds deltas and events and decides on one more.
func decideAt(sku availability.SKU, g *availability.Graph, deltas []availability.Delta, events []decided, e *availability.ReservationEvent) availability.Result {
	f := availability.NewFolder(g, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))
	stock := availability.NewStock(g, &availability.StockData{SKU: sku, Complete: true})
	for i := range deltas {
		f.Delta(stock, &deltas[i], 0)
	}
	for i := range events {
		f.Standing(stock, &events[i].event, events[i].result, 0)
	}
	r, _ := f.Reservation(stock, e, 0, 0)
	return r
}

func same(a, b *availability.Result) bool {
	return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Granted, b.Granted), cmp.Compare(a.ErrorCode, b.ErrorCode)) == 0
}
