package schemas

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of randomized tests; 0 takes one from the clock")

// newRandom prints its seed, so that a failure can be had again: go test ./schemas -run NAME -seed SEED.
func newRandom(t testing.TB) random {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return random{rand.New(rand.NewPCG(seed, 0))}
}

// random draws records: every enum, null and not null, empty and long lists, quantities and times of every length in
// bytes, strings of any valid UTF-8.
type random struct{ *rand.Rand }

func (r random) text() string {
	alphabet := []rune("abcXYZ019-_. \"\\\x00\u00e9\u6f22\U0001F642")
	var b strings.Builder
	for range r.IntN(20) {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	if r.IntN(20) == 0 {
		b.WriteString(strings.Repeat("long", 100))
	}
	return b.String()
}

func (r random) milli() Milli {
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return MilliMax
	case 2:
		return -MilliMax
	}
	q := Milli(r.Int64() >> r.IntN(63))
	if r.IntN(2) == 0 {
		q = -q
	}
	return q % (MilliMax + 1)
}

// micros stays between the years 1700 and 2200, which goavro's nanoseconds can hold.
func (r random) micros() Micros {
	const span = 230 * 365 * 24 * 3600 * 1_000_000
	return Micros(r.Int64N(2*span) - span)
}

func (r random) count() int {
	if r.IntN(10) == 0 {
		return 100 + r.IntN(100)
	}
	return r.IntN(4)
}

func optionally[T any](r random, draw func() T) Optional[T] {
	if r.IntN(2) == 0 {
		return Optional[T]{}
	}
	return Some(draw())
}

func listOf[T any](r random, draw func() T) List[T] {
	var list List[T]
	for range r.count() {
		list = append(list, draw())
	}
	return list
}

func (r random) future() Future { return Future{Quantity: r.milli(), ExpectedDate: r.micros()} }

func (r random) futures() List[Future] { return listOf(r, r.future) }

func (r random) stockDelta() StockDelta {
	return StockDelta{
		RecordID: r.text(), SKU: r.text(), Location: r.text(), Mode: Mode(r.IntN(len(modeSymbols))),
		OnHand: optionally(r, r.milli), SafetyStockCount: optionally(r, r.milli), Futures: optionally(r, r.futures),
		Cleared:       listOf(r, func() StockField { return StockField(r.IntN(len(stockFieldSymbols))) }),
		EffectiveDate: optionally(r, r.micros), ExternalRefID: optionally(r, r.text),
	}
}

func (r random) bool() bool { return r.IntN(2) == 0 }

func (r random) reservationEvent() ReservationEvent {
	return ReservationEvent{
		RequestID: r.text(), ReservationID: r.text(), SKU: r.text(), Action: Action(r.IntN(len(actionSymbols))),
		Quantity: optionally(r, r.milli), Location: optionally(r, r.text), Group: optionally(r, r.text),
		ToLocation: optionally(r, r.text), ToGroup: optionally(r, r.text),
		AllowPartial: r.bool(), FulfillOnly: r.bool(), IgnoreAvailabilityCheck: r.bool(),
		EventTime: optionally(r, r.micros), ExpiresAt: optionally(r, r.micros), ExternalRefID: optionally(r, r.text),
	}
}

func (r random) reservationResult() ReservationResult {
	return ReservationResult{
		RequestID: r.text(), ReservationID: r.text(), SKU: r.text(), Action: Action(r.IntN(len(actionSymbols))),
		Outcome: Outcome(r.IntN(len(outcomeSymbols))), Requested: r.milli(), Granted: r.milli(),
		ErrorCode: optionally(r, r.text), Message: optionally(r, r.text), TightGroups: listOf(r, r.text), Version: r.Int64(),
	}
}

func (r random) availabilityUpdate() AvailabilityUpdate {
	return AvailabilityUpdate{
		Place: r.text(), PlaceType: PlaceType(r.IntN(len(placeTypeSymbols))), SKU: r.text(),
		OnHand: r.milli(), Reserved: r.milli(), GroupReserved: r.milli(), SharedGroupReserved: r.milli(),
		SafetyStockCount: r.milli(), Futures: r.futures(), FutureQuantity: r.milli(),
		NextExpectedDate: optionally(r, r.micros), ATF: r.milli(), ATO: r.milli(), Shortfall: r.milli(),
		EffectiveDate: optionally(r, r.micros), GraphVersion: r.Int64(), Version: -r.Int64(), ComputedAt: r.micros(),
	}
}

func (r random) locationGraph() LocationGraph {
	return LocationGraph{
		Version: r.Int64(), PublishedAt: r.micros(),
		Locations: listOf(r, func() Location {
			return Location{ExternalReference: r.text(), Name: r.text(), LocationType: r.text(),
				InventoryLocation: r.bool(), Sync: r.bool(), Since: r.Int64()}
		}),
		Groups: listOf(r, func() LocationGroup {
			return LocationGroup{ExternalReference: r.text(), Name: r.text(), Enabled: r.bool(), Sync: r.bool(),
				Locations: listOf(r, r.text)}
		}),
	}
}
