package availability

import (
	"math/rand/v2"
	"testing"
)

// TestMergingDoesNotShow folds more movements than a cell keeps apart, over more time than its horizon.
//
// Generated: 300 movements and counts within the last three hours of a clock that advances, in any order, counts at whole
// minutes and not older than the horizon of two hours. Compared, after each: what is on hand, with the plain list of
// facts. The cell's list stays as short as the horizon has minutes.
//
// Replay:
//
//	go test ./processor/availability -run '^TestMergingDoesNotShow$' -seed=N -cases=1
func TestMergingDoesNotShow(t *testing.T) {
	const horizon = 2 * Hour
	eachCase(t, 300, func(t *testing.T, r *rand.Rand) {
		c, p := newCell("L1", 1, 0), &plainPlace{}
		clock, newest, longest := generatorStart, None, 0
		for i := range 300 {
			clock += Instant(r.Int64N(int64(4 * Minute)))
			d := Delta{Mode: Adjust, HasOnHand: true, OnHand: Quantity(r.IntN(9) - 4), EffectiveAt: clock - Instant(r.Int64N(int64(3*Hour)))}
			if r.IntN(12) == 0 {
				d.Mode = Update
				d.EffectiveAt = max(floorMinute(d.EffectiveAt), floorMinute(newest-horizon)+Minute)
			}
			newest = max(newest, d.EffectiveAt)
			c.apply(&d, horizon)
			if d.Mode == Adjust {
				p.move(d.EffectiveAt, d.OnHand)
			} else if d.EffectiveAt >= c.CountedAt {
				p.counts = append(p.counts, plainFact{at: d.EffectiveAt, quantity: d.OnHand})
			}
			if c.onHand() != p.onHand() {
				t.Fatalf("after %d of %+v: on hand %d, want %d; %+v", i, d, c.onHand(), p.onHand(), c)
			}
			longest = max(longest, len(c.Movements))
		}
		if most := int(horizon/Minute) + movementsKept + 1; longest > most {
			t.Errorf("%d movements kept, want at most %d", longest, most)
		}
	})
}
