package processor

import (
	"testing"
	"time"
)

// TestTheIndexIsAskedWhenWhatWasOnItsWayIsDue asks an index while a commit is on its way to it.
func TestTheIndexIsAskedWhenWhatWasOnItsWayIsDue(t *testing.T) {
	now := time.Unix(1000, 0)
	soon, past := now.Add(time.Second), now.Add(-time.Second)
	e := expiries{coming: []coming{{commit: 5, at: soon}}}
	if next := e.look(now, 4); !next.Equal(soon) {
		t.Errorf("asked again after %s, want when what commit 5 brings is due", next.Sub(now))
	}
	if next := e.look(now, 5); next.Sub(now) != expiryLook || len(e.coming) != 0 {
		t.Errorf("asked again after %s with commit 5 stored, want %s", next.Sub(now), expiryLook)
	}
	e.coming = []coming{{commit: 6, at: past}}
	if next := e.look(now, 5); next.Sub(now) != expiryAgain {
		t.Errorf("asked again after %s for what is due and not stored, want %s", next.Sub(now), expiryAgain)
	}
}
