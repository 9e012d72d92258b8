package processor

import (
	"testing"
	"time"
)

// TestTheGapLeavesTheMarkersTheirTime gives a gap a broker that holds a transaction up if it comes within 6 ms of the one before,
// and then one that does not any more.
func TestTheGapLeavesTheMarkersTheirTime(t *testing.T) {
	const markers, flush = 6 * time.Millisecond, 4 * time.Millisecond
	var g gap
	held := 0
	turn := func(markers time.Duration) {
		g.ended = time.Unix(0, 0)
		took := flush
		if max(0, g.wait(g.ended)) < markers {
			took += 20 * time.Millisecond
			held++
		}
		g.flushed(took)
	}
	for range 1000 {
		turn(markers)
	}
	if g.length < markers-2*gapStep || g.length > markers+2*gapStep {
		t.Errorf("gap %s where markers take %s", g.length, markers)
	}
	if held > 120 {
		t.Errorf("held up %d times of 1,000", held)
	}
	for range 1000 {
		turn(0)
	}
	if g.length > gapStep {
		t.Errorf("gap %s where none is held up any more", g.length)
	}
	for range 3000 {
		turn(2 * gapMost)
	}
	if g.length > gapStep {
		t.Errorf("gap %s where waiting does not help", g.length)
	}
	for range 200 {
		turn(markers)
	}
	if g.length < markers-2*gapStep {
		t.Errorf("gap %s where waiting helps again", g.length)
	}
	if g.flushed(gapBehind + 1); g.length != 0 {
		t.Errorf("gap %s with a backlog, want 0", g.length)
	}
	if g.wait(g.ended.Add(time.Second)) > 0 {
		t.Error("it waits though the last transaction is long over")
	}
}
