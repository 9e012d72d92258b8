package processor

import (
	"container/list"

	"onhand/processor/availability"
)

// stocks are the SKUs that a task holds in memory, least recently used last, bounded in bytes. A SKU that the store does
// not have in its newest form yet stays whatever the bound.
type stocks struct {
	bytesMax int64
	bytes    int64
	bySKU    map[availability.SKU]*held
	recent   *list.List // of *held
}

// held is one SKU in memory.
type held struct {
	stock  *availability.Stock
	place  *list.Element
	bytes  int64
	commit int64 // number of the newest commit that wrote it

	// What the batch under way does with it, between enter and leave.
	entered     bool
	everything  bool  // publish every level, changed or not
	first, last int32 // entries
}

func newStocks(bytesMax int64) *stocks {
	return &stocks{bytesMax: bytesMax, bySKU: make(map[availability.SKU]*held), recent: list.New()}
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
	h.place = s.recent.PushFront(h)
	s.bySKU[stock.SKU] = h
}

// used makes the SKU the most recently used.
func (s *stocks) used(h *held) { s.recent.MoveToFront(h.place) }

// wrote notes the commit that has the newest form of a SKU.
func (s *stocks) wrote(h *held, commit int64) {
	h.commit = commit
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

// evictLook bounds how many SKUs one eviction passes over because the store does not have them yet.
const evictLook = 1000

// evict drops the least recently used SKUs until the rest fits, except those written by a commit after stored.
func (s *stocks) evict(stored int64) {
	passed := 0
	for e := s.recent.Back(); e != nil && s.bytes > s.bytesMax && passed < evictLook; {
		h, next := e.Value.(*held), e.Prev()
		if h.commit <= stored {
			s.bytes -= h.bytes
			delete(s.bySKU, h.stock.SKU)
			s.recent.Remove(e)
		} else {
			passed++
		}
		e = next
	}
}

// forgetCommits starts counting commits anew: every SKU is in the store as it is here.
func (s *stocks) forgetCommits() {
	for _, h := range s.bySKU { // order-free: each by itself
		h.commit = 0
	}
}
