package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"onhand/processor/availability"
)

// random makes state of every shape that the types allow, common ones often and extreme ones sometimes.
type random struct {
	*rand.Rand
	nextID uint64
}

// newRandom seeds from ONHAND_TEST_SEED, or anew, and logs the seed.
func newRandom(t testing.TB) *random {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ONHAND_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ONHAND_TEST_SEED: %v", err)
		}
	}
	t.Logf("again with ONHAND_TEST_SEED=%d", seed)
	return &random{Rand: rand.New(rand.NewPCG(seed, 0))}
}

func (r *random) one(in int) bool { return r.IntN(in) == 0 }

func (r *random) quantity() availability.Quantity {
	switch r.IntN(12) {
	case 0, 1, 2:
		return 0
	case 3:
		return -availability.Quantity(r.IntN(50)) * availability.Unit
	case 4:
		return availability.Quantity(r.IntN(200_000) - 100_000)
	case 5:
		return availability.Quantity(r.Uint64())
	case 6:
		return []availability.Quantity{math.MaxInt64, math.MinInt64, availability.MaxQuantity, -availability.MaxQuantity}[r.IntN(4)]
	}
	return availability.Quantity(r.IntN(5000)) * availability.Unit
}

const year2026 availability.Instant = 1767225600 * availability.Second

func (r *random) instant() availability.Instant {
	at := year2026 + availability.Instant(r.Int64N(int64(365*24*availability.Hour)))
	switch r.IntN(10) {
	case 0:
		return availability.Instant(r.Uint64())
	case 1:
		return []availability.Instant{0, -1, math.MaxInt64, math.MinInt64 + 1}[r.IntN(4)]
	case 2, 3:
		return at - at%availability.Minute
	case 4, 5:
		return at - at%availability.Second
	}
	return at
}

func (r *random) maybe() availability.Instant {
	if r.one(3) {
		return availability.None
	}
	return r.instant()
}

func (r *random) futures() (list []availability.Future) {
	for range r.IntN(4) * r.IntN(2) {
		list = append(list, availability.Future{Quantity: r.quantity(), Expected: r.instant()})
	}
	return list
}

func (r *random) movements() (list []availability.Movement) {
	n := r.IntN(4) * r.IntN(2)
	if r.one(8) {
		n = r.IntN(40)
	}
	for range n {
		list = append(list, availability.Movement{At: r.instant(), Quantity: r.quantity(), Merged: r.one(3)})
	}
	return list
}

func (r *random) cell(id availability.LocationID) availability.Cell {
	c := availability.Cell{
		Location: id, Since: int64(r.IntN(3)), Count: r.quantity(), CountedAt: r.maybe(), Movements: r.movements(),
		SafetyStock: r.quantity(), SafetyAt: r.maybe(), Futures: r.futures(), FuturesAt: r.maybe(), Reserved: r.quantity(),
		Known: r.one(2), Deleted: r.one(2), SafetySet: r.one(2), FuturesSet: r.one(2),
	}
	if r.one(4) {
		c.SafetyAt = c.CountedAt
	}
	if r.one(4) {
		c.FuturesAt = []availability.Instant{c.CountedAt, c.SafetyAt}[r.IntN(2)]
	}
	if r.one(20) {
		c.Since = int64(r.Uint64())
	}
	return c
}

func (r *random) pool() availability.Pool {
	p := availability.Pool{
		Members: int32(r.IntN(6000)), OnHand: r.quantity(), Reserved: r.quantity(), SafetyStock: r.quantity(), Futures: r.futures(), ATF: r.quantity(),
		EffectiveAt: r.maybe(),
	}
	if p.ATO = p.ATF; r.one(2) {
		p.ATO = r.quantity()
	}
	if r.one(10) {
		p.Members = int32(r.Uint32())
	}
	return p
}

func (r *random) place() availability.Place {
	if r.one(2) {
		return availability.Place{Type: availability.GroupPlace, ID: fmt.Sprintf("group-%d", r.IntN(8))}
	}
	return availability.Place{Type: availability.LocationPlace, ID: fmt.Sprintf("location-%d", r.IntN(300))}
}

func (r *random) reservation() *availability.Reservation {
	v := new(availability.Reservation)
	for range r.IntN(4) {
		v.Lines = append(v.Lines, availability.Line{Place: r.place(), Quantity: r.quantity(), ExpiresAt: r.maybe()})
	}
	for range r.IntN(4) {
		v.Requests = append(v.Requests, availability.Request{ID: r.Uint64(), Content: r.Uint64(), At: r.instant(), Result: r.result()})
	}
	return v
}

func (r *random) result() availability.Result {
	v := availability.Result{Requested: r.quantity(), Version: 1<<40 + r.Int64N(1000)}
	v.Granted = v.Requested
	if r.one(20) {
		v.Version = int64(r.Uint64())
	}
	if r.one(2) {
		return v
	}
	v.Outcome = availability.ResultOutcome(r.IntN(3))
	v.Granted = r.quantity()
	v.ErrorCode = slices.Concat(errorCodes, []string{"", "SomethingElse"})[r.IntN(len(errorCodes)+2)]
	if r.one(2) {
		v.Message = "US-EAST has promised 17 of the 20 in {NJ-1, NY-2}; 3 left"
	}
	for range r.IntN(3) {
		v.TightGroups = append(v.TightGroups, availability.GroupID(fmt.Sprintf("group-%d", r.IntN(8))))
	}
	return v
}

func (r *random) checkpoint() availability.Checkpoint {
	c := availability.Checkpoint{CommitID: r.commitID(), SweepCursor: availability.SweepDone, Partitions: int32(r.Uint32()), Newest: r.maybe()}
	for _, n := range []*int64{&c.Epoch, &c.CommitSeq, &c.Offsets[0], &c.Offsets[1], &c.Origin[0], &c.Origin[1], &c.Results, &c.DeadLetters, &c.GraphVersion} {
		if *n = int64(r.IntN(1000)); r.one(4) {
			*n = int64(r.Uint64())
		}
	}
	return c
}

func (r *random) commitID() (id availability.CommitID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	r.nextID++
	id[0], id[1] = byte(r.nextID), byte(r.nextID>>8)
	id[2] |= 1
	return id
}
