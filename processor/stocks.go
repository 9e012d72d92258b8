package processor

import "onhand/processor/availability"

// stocks are the SKUs that a task holds in memory, bounded in bytes. A hand goes round them and drops those that nobody has
// used since it came by last; to use one is to set a flag, where a list in the order of use would touch its neighbours as
// well. A SKU that the store does not have in its newest form yet stays whatever the bound.
type stocks struct {
	bytesMax int64
	bytes    int64
	bySKU    map[availability.SKU]*held
	ring     []*held
	hand     int // in ring
}

// held is one SKU in memory.
type held struct {
	stock  *availability.Stock
	bytes  int64
	commit int64 // number of the newest commit that wrote it
	used   bool  // since the hand came by

	// What the batch under way does with it, between enter and leave.
	entered     bool
	everything  bool  // publish every level, changed or not
	first, last int32 // entries
}

func newStocks(bytesMax int64) *stocks {
	return &stocks{bytesMax: bytesMax, bySKU: make(map[availability.SKU]*held)}
}

// get returns the stock of a SKU, or nil.
func (s *stocks) get(sku availability.SKU) *availability.Stock {
	if h := s.bySKU[sku]; h != nil {
		return h.stock
	}
	return nil
}

func (s *stocks) put(stock *availability.Stock) {
	if h := s.bySKU[stock.SKU]; h != nil {
		h.stock = stock
		return
	}
	h := &held{stock: stock}
	s.bySKU[stock.SKU] = h
	s.ring = append(s.ring, h)
	s.use(h)
}

// use notes that the SKU is in use, and what it has come to take.
func (s *stocks) use(h *held) {
	h.used = true
	bytes := int64(h.stock.Bytes())
	s.bytes += bytes - h.bytes
	h.bytes = bytes
}

// settle drops what a stored commit makes dispensable: a closed reservation is read again if anyone asks for it.
func (s *stocks) settle(c *availability.Commit) {
	for i := range c.Stocks {
		if d := &c.Stocks[i]; len(d.Reservations) > 0 {
			if h := s.bySKU[d.SKU]; h != nil {
				h.stock.ForgetClosed(d.Reservations)
			}
		}
	}
}

// evict drops SKUs until the rest fits, except those written by a commit after stored. It goes round once at most. On its way it
// passes over those of the few commits that wait for the store, and clears flags, each of which a use has set.
func (s *stocks) evict(stored int64) {
	for left := len(s.ring); s.bytes > s.bytesMax && left > 0; left-- {
		s.hand %= len(s.ring)
		h := s.ring[s.hand]
		if h.used || h.commit > stored {
			h.used = false
			s.hand++
			continue
		}
		last := len(s.ring) - 1
		s.ring[s.hand], s.ring[last] = s.ring[last], nil
		s.ring = s.ring[:last]
		s.bytes -= h.bytes
		delete(s.bySKU, h.stock.SKU)
	}
}

// forgetCommits starts counting commits anew: every SKU is in the store as it is here.
func (s *stocks) forgetCommits() {
	for _, h := range s.bySKU { // order-free: each by itself
		h.commit = 0
	}
}
