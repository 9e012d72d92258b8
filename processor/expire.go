package processor

import (
	"context"
	"fmt"
	"time"

	"onhand/processor/availability"
)

// Expiry is an event, not a clock: when a line of a reservation is due, the task publishes a RELEASE of it to its own
// input, and what that does is decided like any other event, so that a replay decides the same. The store's index finds
// what is due; an entry leaves with the line. A RELEASE that is published twice, after a crash, has the same request id.

const (
	// expiryMax is how many releases one batch publishes: a backlog is released in bursts of this size.
	expiryMax = 500
	// expiryLook is how often the index is asked at least, and how soon again when commits were on their way to it.
	expiryLook  = 5 * time.Second
	expiryAgain = 100 * time.Millisecond
)

// expiries is what a task remembers of its index of expiries.
type expiries struct {
	next      time.Time // when to ask the index
	published map[availability.Due]bool
}

func expiryDue(now time.Time, e *expiries) bool { return !now.Before(e.next) }

// prepareExpired adds what is due to a batch, but for what was published already by this claim.
func (t *task) prepareExpired(ctx context.Context, b *batch) error {
	now := time.Now()
	if !expiryDue(now, &t.expiries) {
		return nil
	}
	stored, queued := t.committer.numbers()
	due, err := t.shared.Store.Due(ctx, t.number, availability.Instant(now.Add(expiryLook).UnixMicro()), expiryMax+len(t.expiries.published))
	if err != nil {
		return fmt.Errorf("asking what is due in task %d: %w", t.number, err)
	}
	next := now.Add(expiryLook)
	if stored != queued {
		next = now.Add(expiryAgain)
	}
	for _, d := range due {
		at := time.UnixMicro(int64(d.At))
		done := t.expiries.published[d]
		switch {
		case done || !t.stillHeld(d):
		case at.After(now):
			next = earlier(next, at)
		case len(b.expired) == expiryMax:
			next = now
		default:
			b.expired = append(b.expired, d)
		}
	}
	t.expiries.next = next
	return nil
}

// stillHeld is false where memory knows that the line is gone and the store does not yet.
func (t *task) stillHeld(d availability.Due) bool {
	s := t.stocks.get(d.SKU)
	return s == nil || s.Expires(d.ReservationID, d.At)
}

// expect makes the task look at the index when a reservation that was just made is due.
func (t *task) expect(stocks []availability.StockData) {
	for i := range stocks {
		for _, r := range stocks[i].Reservations {
			for _, at := range r.DueAdded {
				t.expiries.next = earlier(t.expiries.next, time.UnixMicro(int64(at)))
			}
			for _, at := range r.DueRemoved {
				delete(t.expiries.published, availability.Due{At: at, SKU: stocks[i].SKU, ReservationID: r.ID})
			}
		}
	}
}

// release is the event that ends what is due.
func release(d availability.Due, now time.Time) *availability.ReservationEvent {
	return &availability.ReservationEvent{
		RequestID: expiryID(d), ReservationID: d.ReservationID, SKU: d.SKU, Action: availability.Release,
		EventAt: availability.None, ExpiresAt: d.At, At: availability.Instant(now.UnixMicro()),
	}
}

func expiryID(d availability.Due) string {
	return fmt.Sprintf("expire:%s:%d", d.ReservationID, int64(d.At))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
