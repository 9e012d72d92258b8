package availability

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Reservation decides on an event and carries the decision out. The version is that of the batch. A repeat of a request
// gets the original's result; again says so, and that nothing was done.
func (f *Folder) Reservation(s *Stock, e *ReservationEvent, version int64, cause int) (result Result, again bool) {
	id, content := hashID(requestID, e.RequestID, e.SKU), e.content()
	if original, other := f.met(s, e, id, content); original != nil {
		return *original, true
	} else if other != "" {
		return Result{Outcome: Rejected, Requested: e.Quantity, ErrorCode: DuplicateEventID, Message: other, Version: version}, true
	}
	result = f.decide(s, e)
	result.Version = version
	f.carryOut(s, e, result, id, content, cause)
	return result, false
}

// Standing carries out a decision that was published before, without testing it. A repeat of a request does nothing, as it
// did when it was decided.
func (f *Folder) Standing(s *Stock, e *ReservationEvent, result Result, cause int) {
	id, content := hashID(requestID, e.RequestID, e.SKU), e.content()
	if original, other := f.met(s, e, id, content); original != nil || other != "" {
		return
	}
	f.carryOut(s, e, result, id, content, cause)
}

// met looks for an earlier decision on the same request id and SKU: the original result for the same content, or a message
// for other content.
func (f *Folder) met(s *Stock, e *ReservationEvent, id, content uint64) (original *Result, other string) {
	if q := s.reservations[e.ReservationID].request(id, e.At, f.ids); q != nil {
		if q.Content == content {
			return &q.Result, ""
		}
		return nil, fmt.Sprintf("request %s of %s was decided before with other content; use a new requestId", e.RequestID, e.SKU)
	}
	if f.ids.Has(id, e.At) {
		return nil, fmt.Sprintf("request %s of %s was decided before for another reservation; use a new requestId", e.RequestID, e.SKU)
	}
	return nil, ""
}

func (f *Folder) carryOut(s *Stock, e *ReservationEvent, result Result, id, content uint64, cause int) {
	r := s.change(e.ReservationID)
	if result.Granted > 0 {
		f.apply(s, r, e, result.Granted, cause)
	}
	r.remember(Request{ID: id, Content: content, At: e.At, Result: result}, f.rules.Window)
	f.ids.Add(id, e.At)
}

// source is the place that the event takes from, or reserves at.
func (e *ReservationEvent) source() Place { return placeOf(e.Location, e.Group) }

// target is where a transfer goes.
func (e *ReservationEvent) target() Place { return placeOf(e.ToLocation, e.ToGroup) }

func placeOf(l LocationID, g GroupID) Place {
	switch {
	case l != "":
		return Place{LocationPlace, string(l)}
	case g != "":
		return Place{GroupPlace, string(g)}
	}
	return Place{}
}

// content is a hash of all that a repeat of the request must have in common with it.
func (e *ReservationEvent) content() uint64 {
	b := make([]byte, 0, 256)
	text := func(t string) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	for _, t := range []string{e.ReservationID, string(e.Location), string(e.Group), string(e.ToLocation), string(e.ToGroup), e.ExternalRefID} {
		text(t)
	}
	flags := byte(e.Action)
	for i, on := range []bool{e.HasQuantity, e.RefusePartial, e.FulfillOnly, e.IgnoreAvailabilityCheck} {
		if on {
			flags |= 16 << i
		}
	}
	b = append(b, flags)
	for _, n := range []int64{int64(e.Quantity), int64(e.EventAt), int64(e.ExpiresAt)} {
		b = binary.AppendVarint(b, n)
	}
	return xxhash.Sum64(b)
}

// decide tests an event in the documented order. It changes nothing.
func (f *Folder) decide(s *Stock, e *ReservationEvent) Result {
	if e.HasQuantity && e.Quantity <= 0 {
		return refuse(e, PositiveQuantityRequired, fmt.Sprintf("quantity is %s; it must be above zero", e.Quantity))
	}
	if why := e.malformed(); why != "" {
		return refuse(e, InvalidRequest, why)
	}
	r := s.reservations[e.ReservationID]
	if code, why := f.unknownPlace(e, r); code != "" {
		return refuse(e, code, why)
	}
	if e.Action == Reserve {
		return f.decideReserve(s, e)
	}
	if r.closed() {
		return refuse(e, EntityNotFound, fmt.Sprintf("reservation %s holds nothing of %s", e.ReservationID, e.SKU))
	}
	if e.Action == Transfer {
		if why := f.notMember(e); why != "" {
			return refuse(e, LocationNotInGroup, why)
		}
	}
	held := r.held(e.source(), e.releasing())
	asked := e.Quantity
	if !e.HasQuantity {
		asked = held
	}
	if held == 0 || asked > held {
		return refuse(e, InsufficientQuantity, fmt.Sprintf("reservation %s holds %s of %s%s", e.ReservationID, held, e.SKU, at(e.source())))
	}
	if e.Action == Transfer && !e.IgnoreAvailabilityCheck {
		return f.decideTransfer(s, e)
	}
	return Result{Outcome: Accepted, Requested: asked, Granted: asked}
}

// releasing is the expiry that selects the lines of a release.
func (e *ReservationEvent) releasing() Instant {
	if e.Action == Release {
		return e.ExpiresAt
	}
	return None
}

func at(p Place) string {
	if p.Type == NoPlace {
		return ""
	}
	return " at " + p.ID
}

func refuse(e *ReservationEvent, code, message string) Result {
	return Result{Outcome: Rejected, Requested: e.Quantity, ErrorCode: code, Message: message}
}

// malformed says what makes the request one that no state could grant.
func (e *ReservationEvent) malformed() string {
	both := e.Location != "" && e.Group != ""
	none := e.Location == "" && e.Group == ""
	target := e.target()
	switch {
	case e.Action != Release && !e.HasQuantity:
		return "quantity is missing; only a RELEASE may leave it out"
	case both:
		return "both location and group are given; give one"
	case e.Action == Fulfill && e.Location == "":
		return "FULFILL needs a location"
	case none && e.Action != Release:
		return "neither location nor group is given; give one"
	case e.Action != Transfer && target.Type != NoPlace:
		return "toLocation and toGroup belong to a TRANSFER"
	case e.Action == Transfer && target.Type == NoPlace:
		return "TRANSFER needs toLocation or toGroup"
	case e.ToLocation != "" && e.ToGroup != "":
		return "both toLocation and toGroup are given; give one"
	case e.Action == Transfer && target == e.source():
		return "TRANSFER needs a target other than its source"
	case e.Action == Transfer && e.Group != "" && e.ToGroup != "":
		return "TRANSFER from group to group is not possible; go by a location"
	case e.IgnoreAvailabilityCheck && (e.Action != Transfer || e.Group == ""):
		return "ignoreAvailabilityCheck is for a TRANSFER from a group to a location"
	case e.Action == Reserve && e.ExpiresAt != None && e.ExpiresAt <= e.At:
		return "expiresAt is not after the record's timestamp"
	}
	return ""
}

// unknownPlace tests the places in the order source, target. Stock can be reserved at, or moved to, places of the graph
// that are in the sums; it can leave any place that the graph has or the reservation holds something at.
func (f *Folder) unknownPlace(e *ReservationEvent, r *Reservation) (code, message string) {
	if p := e.source(); p.Type != NoPlace && !f.usable(p, e.Action == Reserve) && !(e.Action != Reserve && r != nil && r.holds(p)) {
		return doesNotExist(p)
	}
	if p := e.target(); p.Type != NoPlace && !f.usable(p, true) {
		return doesNotExist(p)
	}
	return "", ""
}

func doesNotExist(p Place) (code, message string) {
	if p.Type == GroupPlace {
		return GroupDoesNotExist, fmt.Sprintf("group %s is not in the location graph, or is disabled or not synced", p.ID)
	}
	return LocationDoesNotExist, fmt.Sprintf("location %s is not in the location graph, or is not synced or no inventory location", p.ID)
}

// usable says whether the graph has the place and, if asked, whether it is in the sums.
func (f *Folder) usable(p Place, active bool) bool {
	if p.Type == GroupPlace {
		g := f.graph.group(GroupID(p.ID))
		return g >= 0 && (!active || f.graph.groups[g].active)
	}
	l := f.graph.location(LocationID(p.ID))
	return l >= 0 && (!active || f.graph.locations[l].active)
}

// notMember says that a transfer goes between a group and a location that is not its member.
func (f *Folder) notMember(e *ReservationEvent) string {
	location, group := e.Location, e.ToGroup
	if e.Group != "" {
		location, group = e.ToLocation, e.Group
	}
	if group == "" {
		return ""
	}
	if g := f.graph.group(group); g >= 0 {
		if _, member := slices.BinarySearch(f.graph.groups[g].Locations, location); member {
			return ""
		}
	}
	return fmt.Sprintf("location %s is not in group %s", location, group)
}

func (f *Folder) decideReserve(s *Stock, e *ReservationEvent) Result {
	available, limit := f.reservable(s, e.source(), e.FulfillOnly)
	available = max(0, available)
	result := Result{Outcome: Accepted, Requested: e.Quantity, Granted: min(e.Quantity, available)}
	if result.Granted == e.Quantity {
		return result
	}
	result.TightGroups, result.Message = f.explain(s, e, limit, available)
	if result.Granted == 0 || e.RefusePartial {
		result.Outcome, result.Granted, result.ErrorCode = Rejected, 0, InsufficientQuantity
	} else {
		result.Outcome = Partial
	}
	return result
}

// reservable returns what can be reserved at a place, and the group whose promises limit it; -1: none does, the stock of
// the place itself is the limit. It is below zero where counts have broken promises.
func (f *Folder) reservable(s *Stock, p Place, fulfill bool) (Quantity, int32) {
	if p.Type == GroupPlace {
		g := s.graph.group(GroupID(p.ID))
		return f.promisesOf(s, s.graph.groups[g].part, fulfill).available(g), g
	}
	loc := s.graph.location(LocationID(p.ID))
	n := s.cell(loc).sums()
	free, limit := n.ato, int32(-1)
	if fulfill {
		free = n.atf
	}
	groups := s.graph.groupsOf(loc)
	if len(groups) == 0 || !f.demanded(s, s.graph.groups[groups[0]].part) {
		return free, limit
	}
	promises := f.promisesOf(s, s.graph.groups[groups[0]].part, fulfill)
	for _, g := range groups {
		if left := promises.available(g); left < free {
			free, limit = left, g
		}
	}
	return free, limit
}

func (f *Folder) promisesOf(s *Stock, part int32, fulfill bool) *promises {
	order, fulfillable := f.opened(s, part)
	if fulfill {
		return fulfillable
	}
	return order
}

// decideTransfer tests whether the promises that contain the target hold afterwards, by trying and taking back.
func (f *Folder) decideTransfer(s *Stock, e *ReservationEvent) Result {
	from, to, q := e.source(), e.target(), e.Quantity
	if to.Type == LocationPlace {
		n := s.cellOf(LocationID(to.ID)).sums()
		free := n.ato
		if e.FulfillOnly {
			free = n.atf
		}
		if free < q {
			return refuse(e, InsufficientQuantity, fmt.Sprintf("%s has %s available", to.ID, free))
		}
	}
	undo := s.trial(from, to, q)
	f.touched()
	sound, limit := f.soundAt(s, to, e.FulfillOnly)
	result := Result{Outcome: Accepted, Requested: q, Granted: q}
	if !sound {
		tight, message := f.explain(s, e, limit, 0)
		result = refuse(e, InsufficientQuantity, "after the transfer: "+message)
		result.TightGroups = tight
	}
	undo()
	f.touched()
	return result
}

// trial moves a quantity between places in the numbers alone, and returns how to take it back.
func (s *Stock) trial(from, to Place, q Quantity) (undo func()) {
	move := func(p Place, q Quantity) func() {
		if p.Type == GroupPlace {
			before := append([]demand(nil), s.demand...)
			lost := append([]DemandData(nil), s.lost...)
			marks := len(s.batch.demand)
			s.promise(GroupID(p.ID), q)
			return func() { s.demand, s.lost, s.batch.demand = before, lost, s.batch.demand[:marks] }
		}
		c := s.cellOf(LocationID(p.ID))
		cell, marks := *c, len(s.batch.pools)
		var pool *Pool
		var old Pool
		if c.loc >= 0 {
			if n := s.graph.locations[c.loc].pool; n >= 0 && int(n) < len(s.pools) {
				pool, old = &s.pools[n], s.pools[n]
			}
		}
		s.reserve(c, q)
		return func() {
			s.totals = nil
			*c, s.batch.pools = cell, s.batch.pools[:marks]
			if pool != nil {
				*pool = old
			}
		}
	}
	first := move(from, -q)
	second := move(to, q)
	return func() { second(); first() }
}

// soundAt says whether every set of groups that contains the place keeps its promises, and names a group of the one that
// lacks most.
func (f *Folder) soundAt(s *Stock, p Place, fulfill bool) (sound bool, limit int32) {
	var groups []int32
	if p.Type == GroupPlace {
		groups = []int32{s.graph.group(GroupID(p.ID))}
	} else {
		groups = s.graph.groupsOf(s.graph.location(LocationID(p.ID)))
	}
	if len(groups) == 0 || !f.demanded(s, s.graph.groups[groups[0]].part) {
		return true, -1
	}
	promises := f.promisesOf(s, s.graph.groups[groups[0]].part, fulfill)
	limit = -1
	var least Quantity
	for _, g := range groups {
		if left := promises.available(g); left < least {
			least, limit = left, g
		}
	}
	return limit < 0, limit
}
