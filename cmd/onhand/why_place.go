package main

import (
	"cmp"
	"fmt"
	"slices"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// report explains what Redis has, as of now.
func (s *whyState) report(f *whyFlags, now availability.Instant) (*whyReport, error) {
	r := &whyReport{
		SKU: string(s.sku), Exists: len(s.levels) > 0, Task: s.task, Version: s.at.Version(), GraphVersion: s.graph.Version,
		Inputs: []whyInput{}, Places: []whyPlace{}, Changes: []whyChange{}, Waiting: []whyChange{}, LookedAt: []whyLookedAt{}, Notes: []string{},
	}
	if s.data.Exists && s.at.GraphVersion != s.graph.Version {
		r.note("task %d has adopted location graph %d, and has not come to this SKU yet: `onhand graph status`", s.task, s.at.GraphVersion)
	}
	if !r.Exists {
		r.absent = hinted(fmt.Errorf("no place has SKU %s in location graph %d", s.sku, s.graph.Version),
			fmt.Sprintf("check its spelling; `onhand dlq ls --sku %s` lists records of it that were refused", s.sku))
	}
	if f.place == "" {
		s.summarize(r, f)
		return r, nil
	}
	var err error
	if r.place, err = s.place(f.place); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.levels, func(l availability.Level) bool { return l.Place == r.place })
	if i >= 0 {
		r.Places = append(r.Places, s.explain(&s.levels[i], f, now))
	} else if r.Exists {
		r.absent = hinted(fmt.Errorf("%s does not have SKU %s: nothing of it is counted, moved or reserved there%s", f.place, s.sku, s.deletedText(f.place)),
			fmt.Sprintf("`onhand why %s` lists the places that have it", s.sku))
	}
	return r, nil
}

func (s *whyState) deletedText(id string) string {
	if c := s.cell(id); c != nil && c.Deleted {
		return ", since it was deleted as of " + instantText(c.CountedAt)
	}
	return ""
}

// summarize lists the places with the most to order.
func (s *whyState) summarize(r *whyReport, f *whyFlags) {
	levels := slices.Clone(s.levels)
	slices.SortStableFunc(levels, func(a, b availability.Level) int {
		return cmp.Or(cmp.Compare(b.ATO, a.ATO), cmp.Compare(b.ATF, a.ATF), availability.ComparePlaces(a.Place, b.Place))
	})
	n := f.listed(len(levels))
	for i := range levels[:n] {
		r.Places = append(r.Places, s.level(&levels[i]))
	}
	r.OtherPlaces = len(levels) - n
}

// level is a level that nothing is said of yet.
func (s *whyState) level(l *availability.Level) whyPlace {
	p := whyPlace{level: *l, Published: whyPublished{State: publishedUnread}}
	topics.UpdateRecord(l, &topics.Provenance{Version: s.at.Version(), GraphVersion: s.graph.Version, ComputedAt: max(s.at.Newest, 0)}, &p.Level)
	return p
}

func (s *whyState) explain(l *availability.Level, f *whyFlags, now availability.Instant) whyPlace {
	p := s.level(l)
	if l.Place.Type == availability.GroupPlace {
		p.Group = s.explainGroup(l, f, now)
	} else {
		p.Location = s.explainLocation(l, f, now)
	}
	return p
}

func (s *whyState) explainLocation(l *availability.Level, f *whyFlags, now availability.Instant) *whyLocation {
	c := s.cell(l.Place.ID)
	w := &whyLocation{
		Count: schemas.Milli(c.Count), CountedAt: timeOrNull(c.CountedAt), Deleted: c.Deleted, Movements: []whyMovement{}, Futures: []whyFuture{},
		SafetyStockAt: timeOrNull(c.SafetyAt), FuturesAt: timeOrNull(c.FuturesAt), Reserved: s.reservedAt(l.Place, l.Reserved, f, now),
		ReservableATO: s.reservable(l.Place, false), ReservableATF: s.reservable(l.Place, true),
	}
	earlier := len(c.Movements) - f.listed(len(c.Movements))
	for i, m := range c.Movements {
		if i < earlier {
			w.EarlierMovements = w.EarlierMovements.add(m.At, m.Quantity)
		} else {
			w.Movements = append(w.Movements, whyMovement{schemas.Micros(m.At), schemas.Milli(m.Quantity), m.Merged})
		}
	}
	listed := f.listed(len(c.Futures))
	for i, x := range c.Futures {
		if i < listed {
			w.Futures = append(w.Futures, whyFuture{schemas.Milli(x.Quantity), schemas.Micros(x.Expected), x.Expected <= now})
		} else {
			w.OtherFutures = w.OtherFutures.add(x.Expected, x.Quantity)
		}
	}
	return w
}

// add sums up one more, in order of time.
func (m *whyMovements) add(at availability.Instant, q availability.Quantity) *whyMovements {
	if m == nil {
		m = &whyMovements{From: schemas.Micros(at)}
	}
	m.Number++
	m.Quantity += schemas.Milli(q)
	m.To = schemas.Micros(at)
	return m
}

// reservedAt finds who holds what at a place.
func (s *whyState) reservedAt(p availability.Place, total availability.Quantity, f *whyFlags, now availability.Instant) whyReserved {
	w := whyReserved{Unexplained: schemas.Milli(total)}
	lines := []whyLine{}
	s.eachLine(func(reservation string, l availability.Line) {
		if l.Place == p {
			lines = append(lines, whyLine{reservation, schemas.Milli(l.Quantity), timeOrNull(l.ExpiresAt), l.ExpiresAt != availability.None && l.ExpiresAt <= now})
			w.Unexplained -= schemas.Milli(l.Quantity)
		}
	})
	slices.SortStableFunc(lines, func(a, b whyLine) int {
		return cmp.Or(cmp.Compare(b.Quantity, a.Quantity), cmp.Compare(a.ReservationID, b.ReservationID))
	})
	n := f.listed(len(lines))
	for _, l := range lines[n:] {
		w.Others += l.Quantity
	}
	w.Lines, w.OtherLines = slices.Clone(lines[:n]), len(lines)-n
	return w
}

func (s *whyState) explainGroup(l *availability.Level, f *whyFlags, now availability.Instant) *whyGroup {
	w := &whyGroup{
		Members: []whyMember{}, Reserved: s.reservedAt(l.Place, l.GroupReserved, f, now),
		ATO: s.reservable(l.Place, false), ATF: s.reservable(l.Place, true),
	}
	member := make(map[string]bool)
	for _, id := range s.spec.Groups[slices.IndexFunc(s.spec.Groups, func(g availability.GroupSpec) bool { return string(g.ID) == l.Place.ID })].Locations {
		if member[string(id)] = s.counts[id]; s.counts[id] {
			w.Locations++
		} else {
			w.Excluded++
		}
	}
	members := []whyMember{}
	for i := range s.levels {
		if m := &s.levels[i]; m.Place.Type == availability.LocationPlace && member[m.Place.ID] {
			members = append(members, memberOf(m))
			w.Total.add(memberOf(m))
		}
	}
	slices.SortStableFunc(members, func(a, b whyMember) int { return cmp.Or(cmp.Compare(b.ATO, a.ATO), cmp.Compare(b.ATF, a.ATF)) })
	n := f.listed(len(members))
	for _, m := range members[n:] {
		w.Others.add(m)
	}
	w.Members, w.OtherMembers = slices.Clone(members[:n]), len(members)-n
	w.SharedATF = max(0, w.Total.ATF-schemas.Milli(l.GroupReserved+l.ATF))
	return w
}

func memberOf(l *availability.Level) whyMember {
	return whyMember{
		Place: l.Place.ID, OnHand: schemas.Milli(l.OnHand), Reserved: schemas.Milli(l.Reserved), SafetyStock: schemas.Milli(l.SafetyStock),
		Future: schemas.Milli(l.FutureQuantity), ATF: schemas.Milli(l.ATF), ATO: schemas.Milli(l.ATO),
	}
}

func (m *whyMember) add(n whyMember) {
	m.OnHand += n.OnHand
	m.Reserved += n.Reserved
	m.SafetyStock += n.SafetyStock
	m.Future += n.Future
	m.ATF += n.ATF
	m.ATO += n.ATO
}

// reservable is what can be promised at a place, tested against ATO or ATF.
func (s *whyState) reservable(p availability.Place, fulfill bool) whyReservable {
	q, b := s.folder.Reservable(s.stock, p, fulfill)
	w := whyReservable{Quantity: schemas.Milli(q)}
	if b == nil || len(b.Promised) == 0 {
		return w
	}
	w.Bound = &whyBound{Free: schemas.Milli(b.Free), Locations: []string{}, OtherLocations: b.Others, Text: b.String()}
	for _, d := range b.Promised {
		w.Bound.Promised = append(w.Bound.Promised, whyPromise{string(d.Group), schemas.Milli(d.Quantity)})
	}
	for _, id := range b.Locations {
		w.Bound.Locations = append(w.Bound.Locations, string(id))
	}
	return w
}

func timeOrNull(at availability.Instant) whyTime {
	if at == availability.None {
		return whyTime{}
	}
	return schemas.Some(schemas.Micros(at))
}
