package availability

// Ahead is a stock that will be folded into soon, and one of the locations where; "" for none.
type Ahead struct {
	Stock    *Stock
	Location LocationID
}

// Fetch reads a little of everything that folding into these stocks will need, and changes nothing. A stock is some twenty
// lines of memory, each found by the one before. Folded one after the other, stocks that are not in the processor's cache are
// waited for line by line; the reads of several stocks do not depend on each other, and the processor has them under way
// at the same time. Eight at once halve the time of a SKU that is in memory alone (BenchmarkManySKUs).
func (f *Folder) Fetch(ahead []Ahead) {
	var sum int
	for _, a := range ahead {
		s := a.Stock // some 400 bytes: something of each line
		sum += len(s.SKU) + len(s.cells) + len(s.orphans) + len(s.demand) + s.bytes + int(s.batch.first) + len(s.batch.cells) + len(s.batch.due)
	}
	for _, a := range ahead {
		s := a.Stock
		if n := len(s.locs); n > 0 {
			sum += int(s.locs[0]) + int(s.locs[n-1])
		}
		for i := range s.totals {
			sum += int(s.totals[i].members)
		}
		if len(s.pools) > 0 {
			sum += int(s.pools[0].Members)
		}
		if len(s.batch.groupAt) > 0 {
			sum += int(s.batch.groupAt[0])
		}
	}
	for _, a := range ahead {
		if loc := a.Stock.graph.location(a.Location); loc >= 0 {
			if c := a.Stock.peek(loc); c != nil {
				sum += int(c.Since) + len(c.Futures) + c.bytes
			}
		}
	}
	f.fetched += sum
}
