package processor_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"onhand/processor/availability"
	"onhand/schemas"
)

// plainCell is one location's record of a SKU, kept as a list of what was said of it.
type plainCell struct {
	count     availability.Quantity
	counted   availability.Instant
	counts    int
	movements []availability.Movement
	safety    availability.Quantity
	safetyAt  availability.Instant
	futures   map[availability.Instant]availability.Quantity
	futuresAt availability.Instant
	reserved  availability.Quantity
}

// exact says whether on hand is a matter of plain sums: few movements, or none that a count could take in.
func (c *plainCell) exact() bool { return len(c.movements) <= 15 || c.counts == 0 }

func (c *plainCell) onHand() availability.Quantity {
	sum := c.count
	for _, m := range c.movements {
		if m.At >= c.counted {
			sum += m.Quantity
		}
	}
	return sum
}

// plainly counts by the words of the contract and shares no arithmetic with the core: cells by SKU and location, what is
// reserved at groups, from the deltas in their order and from what was granted. Places are locations and groups by id.
type plainly struct {
	cells  map[string]*plainCell // SKU/location
	groups map[string]availability.Quantity
	lines  map[string][]availability.Line // SKU/reservation
}

func (p *plainly) cell(sku availability.SKU, at string) *plainCell {
	key := string(sku) + "/" + at
	if p.cells[key] == nil {
		p.cells[key] = &plainCell{counted: availability.None, safetyAt: availability.None, futuresAt: availability.None}
	}
	return p.cells[key]
}

func (p *plainly) tell(sku availability.SKU, list []told) {
	met := make(map[string]bool)
	for _, t := range list {
		if t.gone {
			if t.delta != nil && t.delta.Mode == availability.Adjust {
				met[t.delta.RecordID] = true
			}
			continue
		}
		if t.drop != nil {
			maps.DeleteFunc(p.cell(sku, string(t.drop.Location)).futures, func(at availability.Instant, _ availability.Quantity) bool { return at <= t.drop.Until })
			continue
		}
		d := t.delta
		if d.Mode == availability.Adjust && met[d.RecordID] {
			continue
		}
		met[d.RecordID] = met[d.RecordID] || d.Mode == availability.Adjust
		p.cell(sku, string(d.Location)).tell(d)
	}
}

func (c *plainCell) tell(d *availability.Delta) {
	gone := d.Mode == availability.Delete
	if d.Mode == availability.Adjust {
		c.movements = append(c.movements, availability.Movement{At: d.EffectiveAt, Quantity: d.OnHand})
		return
	}
	if (gone || d.HasOnHand) && d.EffectiveAt >= c.counted {
		c.count, c.counted, c.counts = d.OnHand, d.EffectiveAt, c.counts+1
	}
	if (gone || d.HasSafetyStock) && d.EffectiveAt >= c.safetyAt {
		c.safety, c.safetyAt = d.SafetyStock, d.EffectiveAt
	}
	if (gone || d.HasFutures) && d.EffectiveAt >= c.futuresAt {
		c.futures, c.futuresAt = make(map[availability.Instant]availability.Quantity), d.EffectiveAt
		for _, f := range d.Futures {
			c.futures[f.Expected] += f.Quantity
		}
	}
}

// decide carries out what was granted, each request once.
func (p *plainly) decide(s *simulation, sku availability.SKU, events []decided) {
	met := make(map[string]bool)
	for i := range events {
		e, granted := &events[i].event, events[i].result.Granted
		if met[e.RequestID] {
			continue
		}
		met[e.RequestID] = true
		key := string(sku) + "/" + e.ReservationID
		source, target := placeNamed(e.Location, e.Group), placeNamed(e.ToLocation, e.ToGroup)
		if e.Action == availability.Reserve {
			if granted > 0 {
				p.lines[key] = append(p.lines[key], availability.Line{Place: source, Quantity: granted, ExpiresAt: e.ExpiresAt})
			}
			continue
		}
		slices.SortStableFunc(p.lines[key], func(a, b availability.Line) int { // groups first, then by id, what expires first before
			return cmp.Or(cmp.Compare(b.Place.Type, a.Place.Type), strings.Compare(a.Place.ID, b.Place.ID), cmp.Compare(uint64(a.ExpiresAt), uint64(b.ExpiresAt)))
		})
		left := granted
		for j := range p.lines[key] {
			l := &p.lines[key][j]
			if source.ID != "" && l.Place != source || e.Action == availability.Release && e.ExpiresAt != availability.None && l.ExpiresAt != e.ExpiresAt {
				continue
			}
			part := min(left, l.Quantity)
			left, l.Quantity = left-part, l.Quantity-part
			if e.Action == availability.Transfer && part > 0 {
				moved := availability.Line{Place: target, Quantity: part, ExpiresAt: l.ExpiresAt}
				p.lines[key] = append(p.lines[key], moved)
			}
		}
		if left > 0 {
			s.Errorf("%s took %s of %s that %s does not hold", e.RequestID, left, sku, e.ReservationID)
		}
		if e.Action == availability.Fulfill && granted > 0 && !events[i].gone {
			at := e.EventAt
			if at == availability.None {
				at = e.At
			}
			c := p.cell(sku, string(e.Location))
			c.movements = append(c.movements, availability.Movement{At: at, Quantity: -granted})
		}
	}
}

func placeNamed(l availability.LocationID, g availability.GroupID) availability.Place {
	switch {
	case l != "":
		return location(string(l))
	case g != "":
		return group(string(g))
	}
	return availability.Place{}
}

// checkPlainly compares what is published of the locations that the newest graph has and that take stock, and what groups have
// reserved, with a count by plain sums.
func (s *simulation) checkPlainly(r *recounted, published map[string]last) {
	s.Helper()
	p := &plainly{make(map[string]*plainCell), make(map[string]availability.Quantity), make(map[string][]availability.Line)}
	for sku, list := range r.told {
		p.tell(sku, list)
	}
	for sku, events := range r.events {
		p.decide(s, sku, events)
	}
	for key, lines := range p.lines {
		sku, _, _ := strings.Cut(key, "/")
		for _, l := range lines {
			if l.Place.Type == availability.GroupPlace {
				p.groups[sku+"/"+l.Place.ID] += l.Quantity
			} else {
				p.cell(availability.SKU(sku), l.Place.ID).reserved += l.Quantity
			}
		}
	}
	now := availability.Instant(time.Now().UnixMicro())
	for key, c := range p.cells {
		sku, at, _ := strings.Cut(key, "/")
		if !slices.ContainsFunc(s.graph.Locations, func(l schemas.Location) bool { return l.ExternalReference == at && l.InventoryLocation }) {
			continue
		}
		l := published[at+"/"+sku].level
		var futures availability.Quantity
		for _, q := range c.futures {
			futures += q
		}
		if c.exact() && l.OnHand != c.onHand() || l.SafetyStock != c.safety || l.FutureQuantity != futures || l.Reserved != c.reserved {
			s.Errorf("%s: published %s on hand, %s safety stock, %s expected, %s reserved; plain sums are %s, %s, %s, %s", key, l.OnHand, l.SafetyStock, l.FutureQuantity, l.Reserved,
				c.onHand(), c.safety, futures, c.reserved)
		}
		if s.settings.drop && len(l.Futures) > 0 && l.Futures[0].Expected < now {
			s.Errorf("%s still expects what was due %s ago", key, time.Duration(now-l.Futures[0].Expected)*time.Microsecond)
		}
	}
	for i := range s.graph.Groups {
		id := s.graph.Groups[i].ExternalReference
		for sku := range r.stocks {
			if have, want := published[id+"/"+string(sku)].level.GroupReserved, p.groups[string(sku)+"/"+id]; have != want {
				s.Errorf("%s at %s: %s promised, plain sums are %s", sku, id, have, want)
			}
		}
	}
}

// checkRepeats fails where a request that came again was not answered as before, or one with other content under its id was
// not refused.
func (s *simulation) checkRepeats(r *recounted) {
	s.Helper()
	for sku, events := range r.events {
		first := make(map[string]*decided)
		for i := range events {
			d := &events[i]
			before := first[d.event.RequestID]
			if before == nil {
				first[d.event.RequestID] = d
				continue
			}
			again, once := d.event, before.event
			again.At, once.At = 0, 0
			switch {
			case again == once && !same(&d.result, &before.result):
				s.Errorf("%s of %s was answered %+v, and then %+v", once.RequestID, sku, before.result, d.result)
			case again != once && (d.result.Granted != 0 || d.result.ErrorCode != availability.DuplicateEventID):
				s.Errorf("%s of %s came with two contents, and the second was answered %+v", once.RequestID, sku, d.result)
			}
		}
	}
}
