package processor_test

import (
	"fmt"
	"testing"

	"onhand/processor/availability"
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
