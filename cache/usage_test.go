package cache

import (
	"reflect"
	"testing"

	"onhand/processor/availability"
)

// otherNumber is a task beside number.
const otherNumber = number + 1

// TestErasedTasksLeaveNothing erases a task that has a key of every kind, and looks at what else is in the namespace.
func TestErasedTasksLeaveNothing(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), &chain{t: t}
		if err := s.Commit(t.Context(), otherNumber, c.next(stocked("neighbour", counted("L1", 5)))); err != nil {
			t.Fatal(err)
		}
		c.last = availability.CommitID{}
		neighbour := dump(t, s)
		if err := s.LearnSchema(t.Context(), 7, "{}"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c.commit(s, everyKey(c))
			if err := s.Erase(t.Context(), number); err != nil {
				t.Fatal(err)
			}
			c.last = availability.CommitID{}
		}
		if err := s.EraseSchemas(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := dump(t, s); !reflect.DeepEqual(left, neighbour) {
			t.Errorf("left are %v; want those of the other task, %v", left, neighbour)
		}
	})
}

// everyKey is a commit that writes a key of every kind.
func everyKey(c *chain) *availability.Commit {
	commit := c.next(stocked("a", long("L1")), stocked("b", counted("L1", 5)))
	commit.Stocks[1].Reservations = []availability.ReservationData{{
		ID: "order", DueAdded: []availability.Instant{year2026},
		Reservation: &availability.Reservation{Lines: []availability.Line{{Place: availability.Place{Type: availability.LocationPlace, ID: "L1"}, Quantity: 1, ExpiresAt: year2026}}},
	}}
	commit.IDs = []availability.IDBatch{{Bucket: 4, IDs: []uint64{1, 2}}, {Bucket: 5, IDs: []uint64{3}}}
	commit.OwedAdded = []availability.SKU{"a"}
	commit.Graphs = []availability.GraphData{{Version: 1, Bytes: []byte("graph")}}
	return commit
}

// TestFootprintIsTheMemoryOfAllKeys looks at every SKU, then at some of SKUs that are alike.
func TestFootprintIsTheMemoryOfAllKeys(t *testing.T) {
	onEveryServer(t, func(t *testing.T, url string) {
		s, c := openRedis(t, url, Options{}), &chain{t: t}
		c.commit(s, everyKey(c))
		var want int64
		for _, key := range allKeys(t, s) {
			want += s.client.MemoryUsage(t.Context(), key).Val()
		}
		f, err := s.Footprint(t.Context(), number, 10)
		if err != nil || f.SKUs != 2 || f.Bytes != want || want == 0 {
			t.Errorf("2 SKUs in %d bytes: got %+v, %v", want, f, err)
		}
	})
}

// TestUsageGrowsWithWork asks real servers; a miniredis does not know, and that must be said. Others may free memory there
// meanwhile, so that only the processor time is sure to grow.
func TestUsageGrowsWithWork(t *testing.T) {
	for name, url := range servers(t) {
		s := openRedis(t, url, Options{})
		before, err := s.Usage(t.Context())
		if name == "miniredis" {
			if err == nil {
				t.Errorf("a server that does not say what it uses: %+v", before)
			}
			continue
		}
		if err != nil || before.MemoryBytes <= 0 || before.CPU <= 0 {
			t.Fatalf("%s: %+v, %v", name, before, err)
		}
		c := &chain{t: t}
		c.fill(s, newRandom(t))
		if after, err := s.Usage(t.Context()); err != nil || after.CPU <= before.CPU {
			t.Errorf("%s: after %d SKUs %+v, before %+v, %v", name, sampleSKUs, after, before, err)
		}
	}
}
