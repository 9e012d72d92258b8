package main

import (
	"strings"
	"testing"
	"time"

	"onhand/processor/availability"
)

// whyWorld is one SKU of a task without Kafka and Redis.
type whyWorld struct {
	*testing.T
	graph    *availability.Graph
	folder   *availability.Folder
	stock    *availability.Stock
	refusals int
}

// newWhyWorld makes a world of locations that all take stock, and of groups that name theirs: "EAST: NJ-1 NY-2".
func newWhyWorld(t *testing.T, groups ...string) *whyWorld {
	t.Helper()
	spec := availability.GraphSpec{Version: 7}
	known := make(map[string]bool)
	for _, text := range groups {
		id, members, _ := strings.Cut(text, ": ")
		g := availability.GroupSpec{ID: availability.GroupID(id), Enabled: true, Sync: true}
		for m := range strings.FieldsSeq(members) {
			if !known[m] {
				spec.Locations = append(spec.Locations, availability.LocationSpec{ID: availability.LocationID(m), Inventory: true, Sync: true, Since: 1})
			}
			known[m] = true
			g.Locations = append(g.Locations, availability.LocationID(m))
		}
		spec.Groups = append(spec.Groups, g)
	}
	return newWhyWorldOf(t, &spec)
}

func newWhyWorldOf(t *testing.T, spec *availability.GraphSpec) *whyWorld {
	t.Helper()
	graph, err := spec.Compile()
	if err != nil {
		t.Fatal(err)
	}
	w := &whyWorld{T: t, graph: graph, folder: availability.NewFolder(graph, availability.DefaultRules(), availability.NewWindow(24*availability.Hour))}
	w.stock = availability.NewStock(graph, &availability.StockData{SKU: "SHIRT", Complete: true})
	return w
}

// instant reads a time such as "01-31 08:00" of the year 2026.
func instant(text string) availability.Instant {
	at, err := time.Parse("2006-01-02 15:04", "2026-"+text)
	if err != nil {
		panic(err)
	}
	return availability.Instant(at.UnixMicro())
}

// units is a number of whole units.
func units(n int) availability.Quantity { return availability.Quantity(n) * availability.Unit }

// delta folds a stock delta, which must be applied.
func (w *whyWorld) delta(d availability.Delta) {
	w.Helper()
	d.SKU, d.At = "SHIRT", max(d.At, d.EffectiveAt)
	if outcome, _ := w.folder.Delta(w.stock, &d, 0); outcome != availability.Applied {
		w.Fatalf("%+v: outcome %d", d, outcome)
	}
}

func (w *whyWorld) count(location string, q int, at string) {
	w.Helper()
	w.delta(availability.Delta{Location: availability.LocationID(location), HasOnHand: true, OnHand: units(q), EffectiveAt: instant(at)})
}

func (w *whyWorld) adjust(id, location string, q int, at string) {
	w.Helper()
	w.delta(availability.Delta{RecordID: id, Mode: availability.Adjust, Location: availability.LocationID(location), HasOnHand: true, OnHand: units(q), EffectiveAt: instant(at)})
}

// reserve reserves at a location or a group of the graph, or what there is of it.
func (w *whyWorld) reserve(reservation, place string, q int, expires string) availability.Result {
	w.Helper()
	e := availability.ReservationEvent{RequestID: "q-" + reservation, ReservationID: reservation, SKU: "SHIRT", Quantity: units(q), HasQuantity: true,
		EventAt: availability.None, ExpiresAt: availability.None, At: instant("01-02 00:00")}
	if known, _ := w.graph.Location(availability.LocationID(place)); known {
		e.Location = availability.LocationID(place)
	} else {
		e.Group = availability.GroupID(place)
	}
	if expires != "" {
		e.ExpiresAt = instant(expires)
	}
	result, _ := w.folder.Reservation(w.stock, &e, 1, 0)
	if result.Outcome == availability.Rejected {
		w.refusals++
	}
	return result
}

// state is the world as Redis would have it.
func (w *whyWorld) state() *whyState {
	_, data, _ := w.folder.Finish(w.stock, nil)
	data.SKU, data.Exists, data.Complete, data.GraphVersion = "SHIRT", true, true, w.graph.Version
	at := availability.Checkpoint{Epoch: 1, CommitSeq: 5, GraphVersion: w.graph.Version, Partitions: 4}
	return newWhyState(2, at, data, w.graph)
}

// why explains the world as of a day, and prints it.
func (s *whyState) why(t *testing.T, f *whyFlags) (r *whyReport, text string) {
	t.Helper()
	r, err := s.report(f, instant("03-01 00:00"))
	if err != nil {
		t.Fatal(err)
	}
	var out, notes strings.Builder
	if err := (&app{out: &out, err: &notes}).printWhy(r); err != nil {
		t.Fatal(err)
	}
	return r, out.String() + notes.String()
}
