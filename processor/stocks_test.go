package processor

import (
	"fmt"
	"testing"

	"onhand/processor/availability"
)

// TestMemoryKeepsWhatIsUsed fills the memory for SKUs over and over, by much and by little at a time, while a few of them are in
// use all the time.
func TestMemoryKeepsWhatIsUsed(t *testing.T) {
	for _, each := range []int{5_000, 100} {
		t.Run(fmt.Sprint(each), func(t *testing.T) { memoryKeeps(t, each) })
	}
}

func memoryKeeps(t *testing.T, each int) {
	const kept = 10_000
	rounds := 25 * kept / each
	g, err := (&availability.GraphSpec{Version: 1}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	stock := func(n int) *availability.Stock {
		return availability.NewStock(g, &availability.StockData{SKU: availability.SKU(fmt.Sprintf("SKU-%08d", n)), Complete: true})
	}
	bytes := int64(stock(0).Bytes())
	s := newStocks(kept * bytes)
	for round := range rounds {
		stored := int64(round) // the commits of this round and the next are not stored yet
		for n := range each {
			if n < 10 { // of every round
				s.put(stock(n))
				s.use(s.bySKU[stock(n).SKU])
			}
			fresh := stock(1_000_000 + round*each + n)
			s.put(fresh)
			s.bySKU[fresh.SKU].commit = stored + 1
		}
		s.evict(stored)
		for n := range 10 {
			if s.get(stock(n).SKU) == nil {
				t.Fatalf("round %d: SKU %d is gone, which every round uses", round, n)
			}
		}
		for n := range each {
			if s.get(stock(1_000_000+round*each+n).SKU) == nil {
				t.Fatalf("round %d: a SKU is gone that the store does not have yet", round)
			}
		}
		if s.bytes != int64(len(s.ring))*bytes || len(s.ring) != len(s.bySKU) {
			t.Fatalf("round %d: %d bytes in %d SKUs, %d of them by name", round, s.bytes, len(s.ring), len(s.bySKU))
		}
		if s.bytes > s.bytesMax+2*int64(each)*bytes {
			t.Fatalf("round %d: %d bytes, of %d", round, s.bytes, s.bytesMax)
		}
	}
}
