package availability

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWindow compares a window with a list of what was met when.
//
// Generated: ids of a small range, met at times that mostly advance and sometimes fall back by less than two buckets;
// spans from the shortest; what expires is told to the window at random, and a restart puts back what it handed out.
// Compared, before each id is met: whether it is a duplicate, which it is if it was met within the span before, and not if
// that is more than the span and a bucket ago. In between, whatever the window says must be said again.
//
// Replay:
//
//	go test ./processor/availability -run '^TestWindow$' -seed=N -cases=1
func TestWindow(t *testing.T) {
	type meeting struct {
		id uint64
		at Instant
	}
	eachCase(t, 300, func(t *testing.T, r *rand.Rand) {
		span := Minute + Instant(r.Int64N(int64(3*Hour)))
		w := NewWindow(span)
		width := (span + 23) / 24
		stored := map[int64][]uint64{}
		var met []meeting
		newest := Instant(r.Int64N(int64(Hour))) - 30*Minute // around the epoch, where division changes its direction
		for range 400 {
			newest += Instant(r.Int64N(int64(width)))
			m := meeting{1 + r.Uint64N(100), newest - Instant(r.Int64N(int64(2*width)))}
			recent, old := false, false
			for _, n := range met {
				recent = recent || n.id == m.id && n.at >= m.at-span
				old = old || n.id == m.id && n.at >= m.at-span-width
			}
			if got := w.Has(m.id, m.at); got && !old || !got && recent {
				t.Fatalf("Has(%d, %d) = %v, met %v, span %d", m.id, m.at, got, met, span)
			} else if got != slices.ContainsFunc(met, func(n meeting) bool { return n.id == m.id && w.covers(n.at, m.at) }) {
				t.Fatalf("Has(%d, %d) = %v, and covers says otherwise", m.id, m.at, got)
			}
			w.Add(m.id, m.at)
			met = append(met, m)
			if r.IntN(10) == 0 {
				for _, b := range w.Fresh() {
					stored[b.Bucket] = append(stored[b.Bucket], b.IDs...)
				}
				for _, gone := range w.Expire(newest) {
					delete(stored, gone)
				}
				if kept := len(w.buckets); kept > windowBuckets+4 {
					t.Errorf("%d buckets kept", kept)
				}
			}
			if r.IntN(50) == 0 && len(w.fresh) == 0 {
				n := w.Len()
				w = NewWindow(span)
				for bucket, ids := range stored {
					w.Restore(IDBatch{Bucket: bucket, IDs: ids})
				}
				if w.Len() != n {
					t.Fatalf("%d ids after a restart, want %d", w.Len(), n)
				}
			}
		}
	})
}

func TestWindowForgets(t *testing.T) {
	w := NewWindow(24 * Hour)
	for i := range uint64(1000) {
		w.Add(i+1, Instant(i)*Minute)
	}
	if got := w.Len(); got != 1000 {
		t.Errorf("%d ids, want 1000", got)
	}
	if gone := w.Expire(1000 * Minute); len(gone) != 0 {
		t.Errorf("forgot %v within the span", gone)
	}
	// Minute 999 is in the bucket of hour 16: 24 h and two buckets later it is still kept, an hour after that it is not.
	if gone := w.Expire(43*Hour - 1); !slices.Equal(gone, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) || w.Len() != 40 {
		t.Errorf("forgot %v, kept %d ids", gone, w.Len())
	}
	if gone := w.Expire(43 * Hour); !slices.Equal(gone, []int64{16}) || w.Len() != 0 {
		t.Errorf("forgot %v, kept %d ids", gone, w.Len())
	}
}
