package availability

import (
	"cmp"
	"slices"
)

// event answers a reservation event as the design says, and does it.
func (p *plain) event(e *ReservationEvent) (result Result, again bool) {
	if result, again = p.ask(e); again {
		return result, true
	}
	s := p.sku(e.SKU)
	if result.Granted > 0 {
		p.carryOut(s, e, result.Granted)
	}
	s.requests[e.RequestID] = plainRequest{contentOf(e), result}
	return result, false
}

// contentOf is what a repeat has in common with a request.
func contentOf(e *ReservationEvent) ReservationEvent {
	content := *e
	content.At = 0
	return content
}

// ask returns the answer to an event, and does nothing. It has no message, and TightGroups are left to tight.
func (p *plain) ask(e *ReservationEvent) (result Result, again bool) {
	met, ok := p.sku(e.SKU).requests[e.RequestID]
	switch {
	case ok && met.event == contentOf(e):
		return met.result, true
	case ok:
		return Result{Outcome: Rejected, Requested: e.Quantity, ErrorCode: DuplicateEventID}, true
	}
	return p.judge(p.sku(e.SKU), e), false
}

// held is what the reservation holds of what the event takes, and whether it holds anything at all.
func (p *plain) held(e *ReservationEvent) (held Quantity, anything bool) {
	for _, l := range p.sku(e.SKU).lines {
		if l.reservation == e.ReservationID {
			anything = true
			if p.takes(e, l) {
				held += l.Quantity
			}
		}
	}
	return held, anything
}

func (p *plain) judge(s *plainSKU, e *ReservationEvent) Result {
	refused := func(code string) Result { return Result{Outcome: Rejected, Requested: e.Quantity, ErrorCode: code} }
	held, anything := p.held(e)
	switch {
	case e.HasQuantity && e.Quantity <= 0:
		return refused(PositiveQuantityRequired)
	case invalid(e):
		return refused(InvalidRequest)
	}
	for _, test := range []struct {
		place  Place
		active bool // it must be in the sums
	}{{e.source(), e.Action == Reserve}, {e.target(), true}} {
		known := p.known(test.place, test.active) || !test.active && slices.ContainsFunc(s.lines, func(l plainLine) bool {
			return l.reservation == e.ReservationID && l.Place == test.place
		})
		switch {
		case known || test.place.Type == NoPlace:
		case test.place.Type == GroupPlace:
			return refused(GroupDoesNotExist)
		default:
			return refused(LocationDoesNotExist)
		}
	}
	if e.Action == Reserve {
		return p.judgeReserve(s, e)
	}
	wanted := e.Quantity
	if !e.HasQuantity {
		wanted = held
	}
	switch {
	case !anything:
		return refused(EntityNotFound)
	case e.Action == Transfer && !p.related(e):
		return refused(LocationNotInGroup)
	case held == 0 || wanted > held:
		return refused(InsufficientQuantity)
	case e.Action == Transfer && !e.IgnoreAvailabilityCheck && !p.transferable(s, e):
		return refused(InsufficientQuantity)
	}
	return Result{Outcome: Accepted, Requested: wanted, Granted: wanted}
}

func invalid(e *ReservationEvent) bool {
	source := e.Location != "" != (e.Group != "")
	target := e.ToLocation != "" != (e.ToGroup != "")
	noTarget := e.ToLocation == "" && e.ToGroup == ""
	switch e.Action {
	case Reserve:
		return !e.HasQuantity || !source || !noTarget || e.IgnoreAvailabilityCheck || e.ExpiresAt != None && e.ExpiresAt <= e.At
	case Transfer:
		ignorable := e.Group != "" && e.ToLocation != ""
		return !e.HasQuantity || !source || !target || e.Group != "" && e.ToGroup != "" || e.Location != "" && e.Location == e.ToLocation ||
			e.IgnoreAvailabilityCheck && !ignorable
	case Fulfill:
		return !e.HasQuantity || e.Location == "" || e.Group != "" || !noTarget || e.IgnoreAvailabilityCheck
	case Release:
		return e.Location != "" && e.Group != "" || !noTarget || e.IgnoreAvailabilityCheck
	}
	return true
}

func (p *plain) known(at Place, active bool) bool {
	if at.Type == GroupPlace {
		g := p.group(GroupID(at.ID))
		return g != nil && (!active || g.Enabled && g.Sync)
	}
	l := p.location(LocationID(at.ID))
	return l != nil && (!active || inSums(l))
}

// related says whether a transfer between a group and a location is one between a group and its member.
func (p *plain) related(e *ReservationEvent) bool {
	g, l := p.group(e.Group+e.ToGroup), e.Location+e.ToLocation
	return e.Group+e.ToGroup == "" || g != nil && slices.Contains(g.Locations, l)
}

// groupsAround are the groups whose sets a change at the place is tested against.
func (p *plain) groupsAround(at Place) (groups []GroupID) {
	for i := range p.spec.Groups {
		g := &p.spec.Groups[i]
		if g.Enabled && g.Sync && (at.Type == GroupPlace && string(g.ID) == at.ID || at.Type == LocationPlace && slices.Contains(g.Locations, LocationID(at.ID))) {
			groups = append(groups, g.ID)
		}
	}
	return groups
}

// around returns the sets that contain the place.
func (p *plain) around(sku SKU, at Place, fulfill bool) []plainSet {
	groups := p.groupsAround(at)
	if len(groups) == 0 {
		return nil
	}
	return containing(p.sets(sku, p.group(groups[0]), fulfill), groups)
}

// freeAt is what a location shows, without limit for a group.
func (p *plain) freeAt(sku SKU, at Place, fulfill bool) Quantity {
	if at.Type == GroupPlace {
		return 1 << 62
	}
	level := p.locationLevel(sku, p.location(LocationID(at.ID)))
	if fulfill {
		return level.ATF
	}
	return level.ATO
}

func (p *plain) judgeReserve(s *plainSKU, e *ReservationEvent) Result {
	available := p.freeAt(e.SKU, e.source(), e.FulfillOnly)
	if sets := p.around(e.SKU, e.source(), e.FulfillOnly); len(sets) > 0 {
		available = min(available, least(sets))
	}
	granted := min(e.Quantity, max(0, available))
	switch {
	case granted == e.Quantity:
		return Result{Outcome: Accepted, Requested: e.Quantity, Granted: granted}
	case granted == 0 || e.RefusePartial:
		return Result{Outcome: Rejected, Requested: e.Quantity, ErrorCode: InsufficientQuantity}
	}
	return Result{Outcome: Partial, Requested: e.Quantity, Granted: granted}
}

func (p *plain) transferable(s *plainSKU, e *ReservationEvent) bool {
	if p.freeAt(e.SKU, e.target(), e.FulfillOnly) < e.Quantity {
		return false
	}
	sound := true
	p.afterwards(s, e, func() {
		sets := p.around(e.SKU, e.target(), e.FulfillOnly)
		sound = len(sets) == 0 || least(sets) >= 0
	})
	return sound
}

// afterwards calls f in the state that the event leads to if it is granted whole.
func (p *plain) afterwards(s *plainSKU, e *ReservationEvent, f func()) {
	lines := slices.Clone(s.lines)
	p.moveLines(s, e, e.Quantity)
	f()
	s.lines = lines
}

// tightness is why less is granted than asked for.
type tightness struct {
	sets    [][]GroupID // the groups that have promised something of each set with the least slack of those around the place
	limited bool        // without promises, more would be granted
	broken  bool        // the least slack is below zero
}

// tight returns why an event is granted less than it asks for.
func (p *plain) tight(e *ReservationEvent, granted Result) (why tightness) {
	s, at := p.sku(e.SKU), e.source()
	held, _ := p.held(e)
	short := granted.Outcome == Partial || granted.ErrorCode == InsufficientQuantity
	if !short || e.Action != Reserve && (e.Action != Transfer || held < e.Quantity) {
		return why
	}
	var all []plainSet
	look := func() {
		if all = p.around(e.SKU, at, e.FulfillOnly); len(all) == 0 {
			return
		}
		why.broken = least(all) < 0
		for _, set := range all {
			if set.slack == least(all) {
				why.sets = append(why.sets, p.demanded(e.SKU, set))
			}
		}
	}
	if e.Action == Transfer {
		at = e.target()
		p.afterwards(s, e, look)
		why.limited = len(all) > 0 && p.freeAt(e.SKU, at, e.FulfillOnly) >= e.Quantity
		return why
	}
	if look(); len(all) > 0 {
		without := p.freeAt(e.SKU, at, e.FulfillOnly)
		for _, set := range all {
			without = min(without, set.free)
		}
		why.limited = min(e.Quantity, without) > min(e.Quantity, max(0, least(all)))
	}
	return why
}

// takes says whether an event takes from a line.
func (p *plain) takes(e *ReservationEvent, l plainLine) bool {
	at := e.source()
	return e.Action != Reserve && l.reservation == e.ReservationID && (at.Type == NoPlace || l.Place == at) &&
		(e.Action != Release || e.ExpiresAt == None || l.ExpiresAt == e.ExpiresAt)
}

// carryOut does what was granted.
func (p *plain) carryOut(s *plainSKU, e *ReservationEvent, granted Quantity) {
	p.moveLines(s, e, granted)
	gains := e.source()
	if e.Action == Transfer {
		gains = e.target()
	}
	l := p.location(LocationID(gains.ID))
	switch {
	case gains.Type != LocationPlace || l == nil:
	case e.Action == Reserve || e.Action == Transfer:
		p.place(e.SKU, l).seen = true
	case e.Action == Fulfill && e.EventAt == None:
		p.place(e.SKU, l).move(e.At, -granted)
	case e.Action == Fulfill:
		p.place(e.SKU, l).move(e.EventAt, -granted)
	}
}

// moveLines changes what reservations hold where.
func (p *plain) moveLines(s *plainSKU, e *ReservationEvent, granted Quantity) {
	if e.Action == Reserve {
		s.lines = append(s.lines, plainLine{e.ReservationID, Line{e.source(), granted, e.ExpiresAt}})
		return
	}
	slices.SortStableFunc(s.lines, func(a, b plainLine) int {
		// Groups first, then by id, then the earliest expiry; None is the smallest Instant and comes last.
		return cmp.Or(-cmp.Compare(a.Place.Type, b.Place.Type), cmp.Compare(a.Place.ID, b.Place.ID), cmp.Compare(uint64(a.ExpiresAt-1), uint64(b.ExpiresAt-1)))
	})
	var kept, moved []plainLine
	for _, l := range s.lines {
		if part := min(granted, l.Quantity); p.takes(e, l) && part > 0 {
			granted -= part
			l.Quantity -= part
			moved = append(moved, plainLine{e.ReservationID, Line{e.target(), part, l.ExpiresAt}})
		}
		if l.Quantity > 0 {
			kept = append(kept, l)
		}
	}
	if s.lines = kept; e.Action == Transfer {
		s.lines = append(s.lines, moved...)
	}
}
