package topics

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// One reader reads them all in turn: nothing of a record may show in the next.
func TestDeltaMeansWhatItsRecordSays(t *testing.T) {
	at := availability.Instant(sent.UnixMicro())
	early := at - availability.Minute
	base := func(change func(*availability.Delta)) availability.Delta {
		d := availability.Delta{RecordID: "r-1", SKU: "sku-1", Location: "NJ-1", EffectiveAt: early, At: at}
		change(&d)
		return d
	}
	future := func(q schemas.Milli, day schemas.Micros) schemas.Future {
		return schemas.Future{Quantity: q, ExpectedDate: day * 86_400_000_000}
	}
	const dayLong = 24 * availability.Hour
	for _, c := range []struct {
		name   string
		change func(*schemas.StockDelta)
		want   availability.Delta
	}{
		{"count", func(*schemas.StockDelta) {}, base(func(d *availability.Delta) { d.OnHand, d.HasOnHand = 10*availability.Unit, true })},
		{"everything", func(d *schemas.StockDelta) {
			d.SafetyStockCount = schemas.Some(schemas.Milli(500))
			d.Futures = schemas.Some(schemas.List[schemas.Future]{future(3, 9), future(1, 7), future(2, 9)})
		}, base(func(d *availability.Delta) {
			d.OnHand, d.HasOnHand, d.SafetyStock, d.HasSafetyStock, d.HasFutures = 10*availability.Unit, true, 500, true, true
			d.Futures = []availability.Future{{Quantity: 1, Expected: 7 * dayLong}, {Quantity: 5, Expected: 9 * dayLong}}
		})},
		{"nothing", func(d *schemas.StockDelta) { d.OnHand = schemas.Optional[schemas.Milli]{} }, base(func(*availability.Delta) {})},
		{"all cleared", func(d *schemas.StockDelta) {
			d.OnHand = schemas.Optional[schemas.Milli]{}
			d.Cleared = schemas.List[schemas.StockField]{schemas.FieldFutures, schemas.FieldOnHand, schemas.FieldSafetyStockCount}
		}, base(func(d *availability.Delta) { d.HasOnHand, d.HasSafetyStock, d.HasFutures = true, true, true })},
		{"one cleared", func(d *schemas.StockDelta) {
			d.Cleared = schemas.List[schemas.StockField]{schemas.FieldSafetyStockCount, schemas.FieldSafetyStockCount}
		}, base(func(d *availability.Delta) {
			d.OnHand, d.HasOnHand, d.HasSafetyStock = 10*availability.Unit, true, true
		})},
		{"empty futures", func(d *schemas.StockDelta) {
			d.Futures = schemas.Some(schemas.List[schemas.Future]{})
		}, base(func(d *availability.Delta) { d.OnHand, d.HasOnHand, d.HasFutures = 10*availability.Unit, true, true })},
		{"adjustment", func(d *schemas.StockDelta) {
			d.Mode, d.OnHand = schemas.ModeAdjust, schemas.Some(schemas.Milli(-2500))
		}, base(func(d *availability.Delta) { d.Mode, d.OnHand, d.HasOnHand = availability.Adjust, -2500, true })},
		{"adjustment without a date", func(d *schemas.StockDelta) {
			d.Mode, d.EffectiveDate.Valid = schemas.ModeAdjust, false
		}, base(func(d *availability.Delta) {
			d.Mode, d.OnHand, d.HasOnHand, d.EffectiveAt = availability.Adjust, 10*availability.Unit, true, at
		})},
		{"removal", func(d *schemas.StockDelta) {
			d.Mode, d.OnHand.Valid = schemas.ModeDelete, false
		}, base(func(d *availability.Delta) { d.Mode = availability.Delete })},
		{"date five minutes ahead", func(d *schemas.StockDelta) {
			d.EffectiveDate = schemas.Some(schemas.MicrosOf(sent.Add(5 * time.Minute)))
		}, base(func(d *availability.Delta) {
			d.OnHand, d.HasOnHand, d.EffectiveAt = 10*availability.Unit, true, at+5*availability.Minute
		})},
	} {
		t.Run(c.name, func(t *testing.T) { wantDelta(t, Options{Partitions: 8}, c.change, c.want) })
	}
	for name, mode := range map[string]schemas.Mode{"count": schemas.ModeUpdate, "removal": schemas.ModeDelete} {
		t.Run(name+" without a date where that is allowed", func(t *testing.T) {
			wantDelta(t, Options{RelaxedEffectiveDate: true}, func(d *schemas.StockDelta) {
				d.Mode, d.OnHand.Valid, d.EffectiveDate.Valid = mode, false, false
			}, base(func(d *availability.Delta) { d.Mode, d.EffectiveAt = availability.DeltaMode(mode), at }))
		})
	}
}

func wantDelta(t *testing.T, options Options, change func(*schemas.StockDelta), want availability.Delta) {
	t.Helper()
	reader := newReader(t, options)
	full := deltaWith(t, func(d *schemas.StockDelta) {
		d.SafetyStockCount = schemas.Some(schemas.Milli(77))
		d.Futures = schemas.Some(schemas.List[schemas.Future]{{Quantity: 7, ExpectedDate: 7}})
		d.EffectiveDate = schemas.Some(schemas.MicrosOf(sent.Add(time.Second)))
	})
	if err := readDelta(t, reader, full); err != nil {
		t.Fatal(err)
	}
	var got availability.Delta
	if err := reader.Delta(t.Context(), deltaWith(t, change), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if err := readDelta(t, reader, full); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reading another record changed it to %+v", got)
	}
}

// Random events are written and read back. Replay: go test ./topics -run TestEvent -seed SEED.
func TestEventSurvivesTheRoundTrip(t *testing.T) {
	random := newRandom(t)
	text := func(options ...string) string { return options[random.IntN(len(options))] }
	yes := func() bool { return random.IntN(2) == 0 }
	reader, writer := newReader(t, Options{Partitions: 8}), newWriter(t)
	for range 2000 {
		at := availability.Instant(sent.UnixMicro() + random.Int64N(1e9)*1000)
		want := availability.ReservationEvent{
			RequestID: text("q", strings.Repeat("é", 256), "a b"), ReservationID: text("v", "42"), SKU: availability.SKU(text("s", "a-b.c", strings.Repeat("x", 250))),
			Action: availability.Action(random.IntN(4)), HasQuantity: yes(),
			Location: availability.LocationID(text("", "L1")), ToLocation: availability.LocationID(text("", "L2")),
			Group: availability.GroupID(text("", "G1")), ToGroup: availability.GroupID(text("", "G2")),
			RefusePartial: yes(), FulfillOnly: yes(), IgnoreAvailabilityCheck: yes(), EventAt: availability.None, ExpiresAt: availability.None,
			ExternalRefID: text("", "ref"), At: at,
		}
		if want.HasQuantity {
			want.Quantity = availability.Quantity(random.Int64N(2e18-1) - (1e18 - 1))
		}
		if yes() {
			want.EventAt = at + aheadMax - availability.Instant(random.Int64N(1e12))
		}
		if yes() {
			want.ExpiresAt = availability.Instant(random.Int64N(2e17) - 1e16)
		}
		rec := writer.Event(&want)
		if rec.Topic != "acme.reservation-events" || string(rec.Key) != string(want.SKU) {
			t.Fatalf("written to %s with key %s", rec.Topic, rec.Key)
		}
		var got availability.ReservationEvent
		if err := reader.Event(t.Context(), rec, &got); err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if got != want {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	}
}

func goodGraph() *schemas.LocationGraph {
	return &schemas.LocationGraph{
		Version: 7, PublishedAt: schemas.MicrosOf(sent),
		Locations: []schemas.Location{
			{ExternalReference: "NJ-1", Name: "Newark", LocationType: "WAREHOUSE", InventoryLocation: true, Sync: true, Since: 3},
			{ExternalReference: "NY-2", InventoryLocation: true, Since: 7},
			{ExternalReference: "HQ", Sync: true, Since: 1},
		},
		Groups: []schemas.LocationGroup{
			{ExternalReference: "US-EAST", Enabled: true, Locations: []string{"NJ-1", "NY-2"}},
			{ExternalReference: "US", Sync: true, Locations: []string{"NJ-1"}},
		},
	}
}

func TestGraphMeansWhatItsRecordSays(t *testing.T) {
	rec := newWriter(t).Graph(goodGraph())
	if rec.Topic != "acme.location-graph" || rec.Partition != 0 || string(rec.Key) != "graph" || !rec.Timestamp.Equal(sent) {
		t.Errorf("written as %+v", rec)
	}
	spec, graph, err := newReader(t, Options{Partitions: 8}).Graph(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	want := availability.GraphSpec{
		Version: 7,
		Locations: []availability.LocationSpec{
			{ID: "NJ-1", Inventory: true, Sync: true, Since: 3}, {ID: "NY-2", Inventory: true, Since: 7}, {ID: "HQ", Sync: true, Since: 1},
		},
		Groups: []availability.GroupSpec{
			{ID: "US-EAST", Enabled: true, Locations: []availability.LocationID{"NJ-1", "NY-2"}},
			{ID: "US", Sync: true, Locations: []availability.LocationID{"NJ-1"}},
		},
	}
	if !reflect.DeepEqual(spec, want) {
		t.Errorf("got %+v\nwant %+v", spec, want)
	}
	if !reflect.DeepEqual(&graph, goodGraph()) {
		t.Errorf("got %+v\nwant %+v", graph, goodGraph())
	}
}

func TestBadGraphIsRefused(t *testing.T) {
	with := func(change func(*schemas.LocationGraph)) *kgo.Record {
		g := goodGraph()
		change(g)
		return newWriter(t).Graph(g)
	}
	keyless := newWriter(t).Graph(goodGraph())
	keyless.Key = nil
	for _, p := range []provocation{
		{"null", &kgo.Record{Key: []byte(GraphKey)}, CodeEmptyValue, "; send a LocationGraph"},
		{"delta", deltaRecord(t, "sku-1"), CodeWrongRecordType, "; send a LocationGraph"},
		{"large", &kgo.Record{Value: make([]byte, 1<<20+1)}, CodeTooLarge, "; send less"},
		{"no key", keyless, CodeKeyMismatch, "; key every location graph by graph"},
		{"version 0", with(func(g *schemas.LocationGraph) { g.Version = 0 }), CodeConflictingFields, "; correct the graph and publish it under the next version"},
		{"unknown member", with(func(g *schemas.LocationGraph) { g.Groups[0].Locations[0] = "LA-1" }), CodeConflictingFields, `"LA-1", which is no location of this graph; correct`},
		{"malformed location", with(func(g *schemas.LocationGraph) { g.Locations[2].ExternalReference = "H Q" }), CodeMalformedID, `location "H Q"`},
		{"malformed group", with(func(g *schemas.LocationGraph) { g.Groups[1].ExternalReference = "U" }), CodeMalformedID, `group "U"`},
		{"two faults", with(func(g *schemas.LocationGraph) { g.Groups[0].Locations, g.Groups[1].Locations = nil, nil }), CodeConflictingFields, `group "US-EAST" has no location; a group needs at least one, group "US" has no location`},
	} {
		t.Run(p.name, func(t *testing.T) {
			_, _, err := newReader(t, Options{}).Graph(t.Context(), p.rec)
			p.check(t, err)
		})
	}
}

// Clones share no state that reading changes.
func TestClonesReadAtOnce(t *testing.T) {
	reader := newReader(t, Options{Partitions: 8})
	done := make(chan error)
	for _, sku := range []string{"sku-1", "sku-2", "sku-3", "sku-4"} {
		clone, rec := reader.Clone(), deltaRecord(t, sku)
		go func() {
			var err error
			for range 200 {
				var d availability.Delta
				if err = clone.Delta(t.Context(), rec, &d); err != nil || string(d.SKU) != sku {
					break
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
