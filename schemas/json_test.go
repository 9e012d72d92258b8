package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"testing"
	"time"
)

func TestQuantitiesAsText(t *testing.T) {
	for q, want := range map[Milli]string{
		0: "0", 1: "0.001", -1: "-0.001", 10: "0.01", 100: "0.1", 1000: "1", -1000: "-1", 10_000: "10", 10_250: "10.25",
		-10_250: "-10.25", 999_999: "999.999", MilliMax: "999999999999999.999", -MilliMax: "-999999999999999.999",
		math.MinInt64: "-9223372036854775.808",
	} {
		if got := q.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(q), got, want)
		}
	}
}

// TestQuantitiesKeepTheirValueAsText compares with math/big. Replay: -run TestQuantitiesKeepTheirValueAsText -seed N.
func TestQuantitiesKeepTheirValueAsText(t *testing.T) {
	r := newRandom(t)
	for range 2000 {
		q := r.milli()
		rat, ok := new(big.Rat).SetString(q.String())
		if !ok || rat.Mul(rat, big.NewRat(1000, 1)).Cmp(big.NewRat(int64(q), 1)) != 0 {
			t.Fatalf("%d became %s", int64(q), q)
		}
		var back Milli
		if err := json.Unmarshal([]byte(strconv.Quote(q.String())), &back); err != nil || back != q {
			t.Fatalf("%s became %d: %v", q, int64(back), err)
		}
	}
}

func TestReadingQuantities(t *testing.T) {
	for text, want := range map[string]Milli{
		`"10.000"`: 10_000, `"10.25"`: 10_250, `"0010"`: 10_000, `"-0"`: 0, `"1.500000"`: 1500, `"-0.001"`: -1,
	} {
		var q Milli
		if err := json.Unmarshal([]byte(text), &q); err != nil || q != want {
			t.Errorf("%s: got %d, %v; want %d", text, int64(q), err, int64(want))
		}
	}
	for text, want := range map[string]error{
		`"0.0001"`: ErrPrecision, `"1.2345"`: ErrPrecision, `"1000000000000000"`: ErrOverflow, `"99999999999999999999"`: ErrOverflow,
		`""`: strconv.ErrSyntax, `"-"`: strconv.ErrSyntax, `"+1"`: strconv.ErrSyntax, `"1."`: strconv.ErrSyntax, `".5"`: strconv.ErrSyntax,
		`"1e3"`: strconv.ErrSyntax, `"1.-5"`: strconv.ErrSyntax, `"--1"`: strconv.ErrSyntax, `"1_0"`: strconv.ErrSyntax, `" 1"`: strconv.ErrSyntax,
	} {
		var q Milli
		if err := json.Unmarshal([]byte(text), &q); !errors.Is(err, want) {
			t.Errorf("%s: got %d, %v; want %v", text, int64(q), err, want)
		}
	}
	var q Milli
	if err := json.Unmarshal([]byte(`10.25`), &q); err == nil {
		t.Error("took a bare number, which other readers round")
	}
}

func TestTimesAsText(t *testing.T) {
	for at, want := range map[Micros]string{
		0:                           `"1970-01-01T00:00:00.000000Z"`,
		-1:                          `"1969-12-31T23:59:59.999999Z"`,
		1_790_000_000_123_456:       `"2026-09-21T14:13:20.123456Z"`,
		math.MaxInt64:               `9223372036854775807`,
		math.MinInt64:               `-9223372036854775808`,
		253_402_300_799_999_999:     `"9999-12-31T23:59:59.999999Z"`,
		253_402_300_800_000_000:     `253402300800000000`,
		-62_167_219_200_000_000:     `"0000-01-01T00:00:00.000000Z"`,
		-62_167_219_200_000_000 - 1: `-62167219200000001`,
	} {
		if got := jsonOf(t, at); got != want {
			t.Errorf("%d: got %s, want %s", int64(at), got, want)
		}
		var back Micros
		if err := json.Unmarshal([]byte(want), &back); err != nil || back != at {
			t.Errorf("%s: read as %d, %v", want, int64(back), err)
		}
	}
	for _, text := range []string{`"2026-09-21"`, `"2026-09-21T14:13:20.1234567Z"`, `1.5`, `true`, `"soon"`} {
		var at Micros
		if err := json.Unmarshal([]byte(text), &at); err == nil {
			t.Errorf("took %s as %s", text, at)
		}
	}
	var at Micros
	if err := json.Unmarshal([]byte(`"2026-09-21T16:13:20+02:00"`), &at); err != nil || at != MicrosOf(time.Unix(1_790_000_000, 0)) {
		t.Errorf("a time of another zone: %s, %v", at, err)
	}
}

// TestRecordsKeepTheirValueAsJSON reads the JSON of random records back. Replay: -run TestRecordsKeepTheirValueAsJSON -seed N.
func TestRecordsKeepTheirValueAsJSON(t *testing.T) {
	r := newRandom(t)
	for _, c := range codecs(t) {
		for range 100 {
			rec, back := c.draw(r), c.empty()
			d := json.NewDecoder(bytes.NewReader([]byte(jsonOf(t, rec))))
			d.DisallowUnknownFields()
			if err := d.Decode(back); err != nil {
				t.Fatalf("%s: %v\n%s", c.record, err, jsonOf(t, rec))
			}
			if got, want := c.append(nil, 1, back), c.append(nil, 1, rec); !bytes.Equal(got, want) {
				t.Fatalf("%s: %s\n%s", c.record, diffBytes(got, want), jsonOf(t, rec))
			}
		}
	}
}

func TestSymbolsAreThoseOfTheSchemas(t *testing.T) {
	delta := embeddedNode(t, recordStockDelta)
	event, result := embeddedNode(t, recordReservationEvent), embeddedNode(t, recordReservationResult)
	for _, c := range []struct {
		name string
		node *node
		ours []string
	}{
		{"Mode", delta.field("mode"), modeSymbols},
		{"StockField", delta.field("cleared").element, stockFieldSymbols},
		{"Action of events", event.field("action"), actionSymbols},
		{"Action of results", result.field("action"), actionSymbols},
		{"Outcome", result.field("outcome"), outcomeSymbols},
		{"PlaceType", embeddedNode(t, recordAvailabilityUpdate).field("placeType"), placeTypeSymbols},
	} {
		if got, want := jsonOf(t, c.ours), jsonOf(t, c.node.symbols); got != want {
			t.Errorf("%s: %s, in the schema %s", c.name, got, want)
		}
	}
	for _, c := range []struct {
		got  interface{ String() string }
		want string
	}{
		{ModeUpdate, "UPDATE"}, {ModeAdjust, "ADJUST"}, {ModeDelete, "DELETE"},
		{FieldOnHand, "ON_HAND"}, {FieldSafetyStockCount, "SAFETY_STOCK_COUNT"}, {FieldFutures, "FUTURES"},
		{ActionReserve, "RESERVE"}, {ActionTransfer, "TRANSFER"}, {ActionFulfill, "FULFILL"}, {ActionRelease, "RELEASE"},
		{OutcomeAccepted, "ACCEPTED"}, {OutcomePartial, "PARTIAL"}, {OutcomeRejected, "REJECTED"},
		{PlaceLocation, "LOCATION"}, {PlaceGroup, "GROUP"}, {PlaceType(9), "9"},
	} {
		if c.got.String() != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	if _, err := json.Marshal(Mode(9)); err == nil {
		t.Error("wrote a mode that does not exist")
	}
	var mode Mode
	if err := json.Unmarshal([]byte(`"UPSERT"`), &mode); err == nil {
		t.Error("read a mode that does not exist")
	}
}

func embeddedNode(t testing.TB, of record) *node {
	t.Helper()
	root, err := parseSchema(of.text())
	if err != nil {
		t.Fatal(err)
	}
	return root
}
