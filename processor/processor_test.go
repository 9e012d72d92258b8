package processor_test

import (
	"fmt"
	"testing"

	"onhand/processor/availability"
	"onhand/topics"
)

func group(id string) availability.Place {
	return availability.Place{Type: availability.GroupPlace, ID: id}
}

func location(id string) availability.Place {
	return availability.Place{Type: availability.LocationPlace, ID: id}
}

// overlap is OCI's example: two groups that share a location.
func overlap() map[string][]int { return map[string][]int{"EAST": {0, 1}, "WEST": {1, 2}} }

func TestLevelsFollowDeltasAndReservations(t *testing.T) {
	w := newWorld(t, 4)
	w.publish(graphOf(3, overlap()))
	w.start("a")
	for i, n := range []int64{5, 5, 15} {
		w.send(w.count(fmt.Sprint("c", i), "SKU-1", fmt.Sprintf("L0%d", i), n))
	}
	w.settled()
	w.send(w.reserve("r1", "SKU-1", group("WEST"), 17))
	w.settled()
	w.check()
	levels := w.published()
	for key, ato := range map[string]int64{"WEST/SKU-1": 3, "EAST/SKU-1": 8, "L01/SKU-1": 5} {
		if have := levels[key].level.ATO; have != availability.Quantity(ato)*availability.Unit {
			t.Errorf("%s: ATO %s, want %d", key, have, ato)
		}
	}
}

// TestRepeatsCountOnce sends an adjustment and a reservation again: in the same batch, later, and after a restart. Each
// counts once, and the reservation gets its first answer each time.
func TestRepeatsCountOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.publish(graphOf(3, overlap()))
	r := w.start("a")
	w.send(w.count("c", "SKU-1", "L00", 10))
	again := func() {
		w.send(w.adjust("sold", "SKU-1", "L00", -1), w.adjust("sold", "SKU-1", "L00", -1), w.reserve("held", "SKU-1", location("L00"), 2), w.reserve("held", "SKU-1", location("L00"), 2))
		w.settled()
	}
	again()
	again()
	r.stop()
	w.start("a")
	again()
	w.check()
	l := w.published()["L00/SKU-1"].level
	if l.OnHand != 9*availability.Unit || l.Reserved != 2*availability.Unit {
		t.Errorf("on hand %s and reserved %s, want 9 and 2", l.OnHand, l.Reserved)
	}
	reader := topics.NewReader(w.decoder, topics.Options{})
	versions := make(map[int64]int)
	for _, record := range w.read(w.names.ReservationResults) {
		var d topics.Decision
		w.must(reader.Result(t.Context(), record, &d))
		if d.Result.Outcome != availability.Accepted || d.Result.Granted != 2*availability.Unit {
			t.Errorf("answered %+v", d.Result)
		}
		versions[d.Result.Version]++
	}
	if len(versions) != 1 {
		t.Errorf("answers of versions %v, want the first six times", versions)
	}
}
