package processor_test

import (
	"math"
	"strings"
	"testing"

	"onhand/cache"
	"onhand/processor"
	"onhand/processor/availability"
)

// metadataMax is how much a broker takes beside an offset unless it is told otherwise (offset.metadata.max.bytes).
const metadataMax = 4096

// TestMetadataTellsWhatJoined writes and reads the text beside an offset: with joins and without, as an older binary does, and
// at its longest.
func TestMetadataTellsWhatJoined(t *testing.T) {
	const older = "v1 epoch=1 seq=2 graph=3 sweep=-1 origin=4"
	m, err := processor.ParseMetadata(older)
	if err != nil || m.Epoch != 1 || len(m.Joined) != 0 || m.String() != older {
		t.Errorf("%q: %+v, %v", older, m, err)
	}
	m.Joined = []processor.Joined{{Version: 2, At: 70}, {Version: 3, At: 80}}
	text := m.String()
	if text != older+" joined=2@70,3@80" {
		t.Errorf("written as %q", text)
	}
	read, err := processor.ParseMetadata(text)
	if err != nil || read.String() != text {
		t.Errorf("%q was read as %+v, %v", text, read, err)
	}
	if _, err := processor.ParseMetadata(older + " joined=2@"); err == nil || !strings.Contains(err.Error(), "reading offset metadata") {
		t.Errorf("a position that is missing: %v", err)
	}
	longest := processor.Metadata{Epoch: math.MaxInt64, CommitSeq: math.MaxInt64, GraphVersion: math.MaxInt64, SweepCursor: math.MaxInt64, Origin: math.MaxInt64}
	for range processor.JoinedMax {
		longest.Joined = append(longest.Joined, processor.Joined{Version: math.MaxInt64, At: math.MaxInt64})
	}
	if n := len(longest.String()); n > metadataMax/2 {
		t.Errorf("the longest text has %d bytes", n)
	}
}

// TestManyVersionsLeaveTheNewestJoins publishes more versions with a new location each than are remembered: the offsets tell
// of the newest, and are committed all along.
func TestManyVersionsLeaveTheNewestJoins(t *testing.T) {
	w, _ := newForgetful(t)
	empty := w.memory.Snapshot()
	r := w.start("a")
	w.send(w.adjust("a1", "SKU-0", "L00", 1))
	w.settled()
	w.publish(graphOf(4, trafficGroups()))
	const versions = processor.JoinedMax + 3
	for n := range versions {
		w.publish(graphOf(5+n, trafficGroups()))
		w.swept()
	}
	w.send(w.adjust("a2", "SKU-0", "L00", 1))
	w.settled()
	if r := w.published()["L00/SKU-0"].level; r.OnHand != 2*availability.Unit {
		t.Errorf("on hand %s, want 2", r.OnHand)
	}
	for n, joins := range w.joins() {
		if len(joins) != processor.JoinedMax || joins[len(joins)-1].version != w.graph.Version {
			t.Errorf("task %d tells of %d versions, the newest %v of %d", n, len(joins), joins[len(joins)-1].version, w.graph.Version)
		}
	}
	newest := w.memory.Snapshot()
	for _, of := range []struct {
		name  string
		state cache.MemorySnapshot
		warns bool
	}{{"the newest state", newest, false}, {"no state", empty, true}} {
		r.stop()
		w.memory.Restore(of.state)
		r = w.start("a")
		w.settled()
		if r.log.said("may have their old stock back") != of.warns {
			t.Errorf("after a replay from %s the log warns %v, want %v", of.name, !of.warns, of.warns)
		}
	}
	r.stop()
}
