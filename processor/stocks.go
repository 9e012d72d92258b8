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
	bySKU    map[availability.SKU]*list.Element
	recent   *list.List // of *stockEntry
}

type stockEntry struct {
	stock  *availability.Stock
	bytes  int64
	commit int64 // number of the newest commit that wrote it
}

func newStocks(bytesMax int64) *stocks {
	return &stocks{bytesMax: bytesMax, bySKU: make(map[availability.SKU]*list.Element), recent: list.New()}
}

// get returns the stock of a SKU, or nil, and makes it the most recently used.
func (s *stocks) get(sku availability.SKU) *availability.Stock {
	e := s.bySKU[sku]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*stockEntry).stock
}

func (s *stocks) put(stock *availability.Stock) {
	if e := s.bySKU[stock.SKU]; e != nil {
		e.Value.(*stockEntry).stock = stock
		return
	}
	s.bySKU[stock.SKU] = s.recent.PushFront(&stockEntry{stock: stock})
}

// wrote notes the commit that has the newest form of a SKU, and its size.
func (s *stocks) wrote(sku availability.SKU, commit int64) {
	e := s.bySKU[sku].Value.(*stockEntry)
	e.commit = commit
	bytes := int64(e.stock.Bytes())
	s.bytes += bytes - e.bytes
	e.bytes = bytes
}

// evict drops the least recently used SKUs until the rest fits, except those written by a commit after stored.
func (s *stocks) evict(stored int64) {
	for e := s.recent.Back(); e != nil && s.bytes > s.bytesMax; {
		entry, next := e.Value.(*stockEntry), e.Prev()
		if entry.commit <= stored {
			s.bytes -= entry.bytes
			delete(s.bySKU, entry.stock.SKU)
			s.recent.Remove(e)
		}
		e = next
	}
}

// forgetCommits starts counting commits anew: every SKU is in the store as it is here.
func (s *stocks) forgetCommits() {
	for e := s.recent.Front(); e != nil; e = e.Next() {
		e.Value.(*stockEntry).commit = 0
	}
}
