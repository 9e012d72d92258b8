package availability

// apply carries out a granted quantity. r is the event's reservation, open for writing.
func (f *Folder) apply(s *Stock, r *Reservation, e *ReservationEvent, granted Quantity, cause int) {
	switch e.Action {
	case Reserve:
		f.hold(s, e.source(), granted, cause)
		r.Lines = put(r.Lines, Line{Place: e.source(), Quantity: granted, ExpiresAt: e.ExpiresAt})
	case Transfer:
		left, taken := take(r.Lines, e.source(), None, granted)
		r.Lines = left
		for _, l := range taken {
			f.hold(s, l.Place, -l.Quantity, cause)
			f.hold(s, e.target(), l.Quantity, cause)
			l.Place = e.target()
			r.Lines = put(r.Lines, l)
		}
	case Release:
		left, taken := take(r.Lines, e.source(), e.ExpiresAt, granted)
		r.Lines = left
		for _, l := range taken {
			f.hold(s, l.Place, -l.Quantity, cause)
		}
	case Fulfill:
		r.Lines, _ = take(r.Lines, e.source(), None, granted)
		f.fulfil(s, e, granted, cause)
	}
}

// hold changes what is reserved at a place.
func (f *Folder) hold(s *Stock, p Place, q Quantity, cause int) {
	if p.Type == GroupPlace {
		f.capturePart(s, s.graph.group(GroupID(p.ID)), cause)
		f.touched()
		s.promise(GroupID(p.ID), q)
		return
	}
	c := s.cellOf(LocationID(p.ID))
	f.capture(s, c, cause)
	f.touched()
	s.reserve(c, q)
}

// fulfil takes a quantity out of what is reserved and, unless the count is newer, out of what is on hand: one movement,
// from however many lines.
func (f *Folder) fulfil(s *Stock, e *ReservationEvent, q Quantity, cause int) {
	c := s.cellOf(e.Location)
	f.capture(s, c, cause)
	f.touched()
	before, futures, effectiveAt := c.sums(), c.Futures, c.effectiveAt()
	c.Reserved -= q
	if c.loc >= 0 {
		when := e.EventAt
		if when == None {
			when = e.At
		}
		c.move(-q, when, f.rules.Horizon)
	}
	s.settle(c, before, futures, effectiveAt)
}
