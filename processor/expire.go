package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// Expiry is an event, not a clock: when a line of a reservation is due, the task publishes a RELEASE of it to its own
// input, and what that does is decided like any other event, so that a replay decides the same. The store's index finds
// what is due; an entry leaves with the line. A RELEASE that is published twice, after a crash, has the same request id.
//
// So it is with futures where overdue ones are dropped: the task publishes the instruction to drop them. The second of two
// finds nothing left.

const (
	// expiryMax is how many releases and drops one batch publishes: a backlog goes in bursts of this size.
	expiryMax = 500
	// expiryLook is how often the index is asked at least, and expiryAgain how soon again when it had more than was asked
	// for, or lacks something that is due.
	expiryLook  = 5 * time.Second
	expiryAgain = 100 * time.Millisecond
)

// expiries is what a task remembers of its index of expiries and futures.
type expiries struct {
	next      time.Time                 // when to ask the index
	coming    []coming                  // what commits will put there that were on their way when it was last asked
	published map[availability.Due]bool // or found to have nothing behind it
}

// coming is when the first is due of what a commit puts into the index.
type coming struct {
	commit int64
	at     time.Time
}

func expiryDue(now time.Time, e *expiries) bool { return !now.Before(e.next) }

// prepareExpired adds what is due to a batch, but for what was published already by this claim.
func (t *task) prepareExpired(ctx context.Context, b *batch) error {
	now := time.Now()
	if !expiryDue(now, &t.expiries) {
		return nil
	}
	stored, queued := t.committer.numbers()
	limit := expiryMax + len(t.expiries.published)
	due, err := t.shared.Store.Due(ctx, t.number, availability.Instant(now.Add(expiryLook).UnixMicro()), limit)
	if err != nil {
		return fmt.Errorf("asking what is due in task %d: %w", t.number, err)
	}
	next := t.expiries.look(now, stored)
	if len(due) == limit {
		next = earlier(next, now.Add(expiryAgain))
	}
	for _, d := range due {
		at := time.UnixMicro(int64(d.At))
		done := t.expiries.published[d]
		switch {
		case d.Location != "" && !t.shared.DropOverdue:
			b.idle = append(b.idle, d) // of a time when they were to be dropped
		case done:
		case !t.stillHeld(d, stored == queued):
			if stored == queued { // nothing is on its way that takes the entry out: it shall not keep others from being seen
				t.expiries.published[d] = true
			}
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

// stillHeld is false where memory knows that the line or the future is gone and the store does not yet. If the store has
// everything, a future that is in the index alone is dropped for that entry's sake.
func (t *task) stillHeld(d availability.Due, settled bool) bool {
	s := t.stocks.get(d.SKU)
	switch {
	case s == nil:
		return true
	case d.Location != "":
		return settled || s.Awaits(d.Location, d.At)
	}
	return s.Expires(d.ReservationID, d.At)
}

// look is when to ask the index again if it has nothing that is due before then: what the commits bring that were not
// stored when it was asked now may be.
func (e *expiries) look(now time.Time, stored int64) time.Time {
	next := now.Add(expiryLook)
	e.coming = slices.DeleteFunc(e.coming, func(c coming) bool { return c.commit <= stored })
	for _, c := range e.coming {
		if c.at.After(now) {
			next = earlier(next, c.at)
		} else {
			next = earlier(next, now.Add(expiryAgain))
		}
	}
	return next
}

// expect makes the task look at the index when a reservation that a commit has made, or a future it has told of, is due.
func (t *task) expect(commit int64, stocks []availability.StockData) {
	var first time.Time
	due := func(at availability.Instant) {
		if when := time.UnixMicro(int64(at)); first.IsZero() || when.Before(first) {
			first = when
		}
	}
	for i := range stocks {
		for _, r := range stocks[i].Reservations {
			for _, at := range r.DueAdded {
				due(at)
				delete(t.expiries.published, availability.Due{At: at, SKU: stocks[i].SKU, ReservationID: r.ID})
			}
			for _, at := range r.DueRemoved {
				delete(t.expiries.published, availability.Due{At: at, SKU: stocks[i].SKU, ReservationID: r.ID})
			}
		}
		for _, f := range stocks[i].FuturesDue {
			if f.Removed {
				delete(t.expiries.published, availability.Due{At: f.At, SKU: stocks[i].SKU, Location: f.Location})
			} else {
				due(f.At)
			}
		}
	}
	if !first.IsZero() {
		t.expiries.next = earlier(t.expiries.next, first)
		t.expiries.coming = append(t.expiries.coming, coming{commit, first})
	}
}

// ended is the record that ends what is due.
func (s *shared) ended(d availability.Due, now time.Time) *kgo.Record {
	if d.Location == "" {
		return s.writer.Event(release(d, now))
	}
	return s.writer.Instruction(&topics.Instruction{Kind: topics.DropOverdue, SKU: d.SKU, Location: d.Location, Until: d.At}, now)
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
