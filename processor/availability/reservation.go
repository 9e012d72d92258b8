package availability

import (
	"cmp"
	"slices"
)

// Reservation is what one reservation id holds of one SKU, and the requests that made it so. It is replaced, never
// changed in place.
type Reservation struct {
	Lines    []Line    // quantity > 0, sorted by place and expiry; none: closed
	Requests []Request // within the window, in the order they were decided
}

// Line is a quantity held at a place until ExpiresAt.
type Line struct {
	Place     Place
	Quantity  Quantity
	ExpiresAt Instant // None: until fulfilled or released
}

// Request is a decision that a repeat of the same request is answered with.
type Request struct {
	ID      uint64 // hash of request id and SKU
	Content uint64 // hash of everything else in the event but the record's timestamp
	At      Instant
	Result  Result
}

// reservationBytes is what a reservation takes beside what it holds and remembers, which is its own bytes.
func reservationBytes(id string) int { return 64 + len(id) }

func (r *Reservation) bytes() int {
	if r == nil {
		return 0
	}
	n := 48 + 56*len(r.Lines)
	for i := range r.Requests {
		n += 120 + len(r.Requests[i].Result.Message) + 16*len(r.Requests[i].Result.TightGroups)
	}
	return n
}

// held is what the reservation holds at a place; for no place, everywhere. An expiry other than None selects lines.
func (r *Reservation) held(p Place, expiresAt Instant) Quantity {
	var sum Quantity
	if r != nil {
		for _, l := range r.Lines {
			if l.at(p, expiresAt) {
				sum += l.Quantity
			}
		}
	}
	return sum
}

func (l *Line) at(p Place, expiresAt Instant) bool {
	return (p.Type == NoPlace || l.Place == p) && (expiresAt == None || l.ExpiresAt == expiresAt)
}

// holds says whether the reservation has anything at the place.
func (r *Reservation) holds(p Place) bool { return r.held(p, None) > 0 }

func (r *Reservation) closed() bool { return r == nil || len(r.Lines) == 0 }

// request returns the remembered request with that id, if the window covers it at the given time.
func (r *Reservation) request(id uint64, at Instant, w *Window) *Request {
	if r == nil {
		return nil
	}
	for i := range r.Requests {
		if q := &r.Requests[i]; q.ID == id && w.covers(q.At, at) {
			return q
		}
	}
	return nil
}

// ComparePlaces orders groups before locations, then by id.
func ComparePlaces(a, b Place) int {
	return cmp.Or(cmp.Compare(b.Type, a.Type), cmp.Compare(a.ID, b.ID))
}

func compareLines(a, b Line) int {
	expiry := func(at Instant) Instant {
		if at == None {
			return 1<<63 - 1
		}
		return at
	}
	return cmp.Or(ComparePlaces(a.Place, b.Place), cmp.Compare(expiry(a.ExpiresAt), expiry(b.ExpiresAt)))
}

// put adds a line; the same place and expiry become one.
func put(lines []Line, l Line) []Line {
	i, ok := slices.BinarySearchFunc(lines, l, compareLines)
	if ok {
		lines[i].Quantity += l.Quantity
		return lines
	}
	return slices.Insert(lines, i, l)
}

// take removes up to q from the lines that match, groups first, then by id and by expiry, and returns what it took.
func take(lines []Line, p Place, expiresAt Instant, q Quantity) (left, taken []Line) {
	for _, l := range lines {
		if q > 0 && l.at(p, expiresAt) {
			part := l
			part.Quantity = min(q, l.Quantity)
			q -= part.Quantity
			l.Quantity -= part.Quantity
			taken = append(taken, part)
		}
		if l.Quantity > 0 {
			left = append(left, l)
		}
	}
	return left, taken
}

// expiries returns the distinct expiries of the lines, sorted.
func (r *Reservation) expiries() []Instant {
	if r == nil {
		return nil
	}
	var at []Instant
	for _, l := range r.Lines {
		if l.ExpiresAt != None && !slices.Contains(at, l.ExpiresAt) {
			at = append(at, l.ExpiresAt)
		}
	}
	slices.Sort(at)
	return at
}

// ForgetClosed drops reservations from memory that hold nothing, where what the store was given is still what they are. If
// one is asked for again, it is loaded.
func (s *Stock) ForgetClosed(stored []ReservationData) {
	for i := range stored {
		d := &stored[i]
		if d.Reservation != nil && d.Reservation.closed() && s.reservations[d.ID] == d.Reservation {
			s.bytes -= reservationBytes(d.ID) + d.Reservation.bytes()
			delete(s.reservations, d.ID)
			s.forget(d.ID)
		}
	}
}

// forgottenMax is how many dropped reservations a stock knows to be in the store; with more it asks for each id that it
// does not hold.
const forgottenMax = 256

func (s *Stock) forget(id string) {
	if !s.known || s.mayHave(id) {
		return
	}
	if s.forgotten = append(s.forgotten, s.shortHash(id)); len(s.forgotten) > forgottenMax {
		s.known, s.forgotten = false, nil
	}
}

// mayHave says whether the store may have a reservation that memory does not hold.
func (s *Stock) mayHave(id string) bool {
	return !s.known || len(s.forgotten) > 0 && slices.Contains(s.forgotten, s.shortHash(id))
}

func (s *Stock) shortHash(id string) uint32 { return uint32(hashID(reservationID, id, s.SKU)) }

// Expires says whether a reservation of the stock has a line with that expiry, as far as memory knows: one that is not
// loaded may have.
func (s *Stock) Expires(reservation string, at Instant) bool {
	r, loaded := s.reservations[reservation]
	if !loaded {
		return s.mayHave(reservation)
	}
	return slices.Contains(r.expiries(), at)
}

// change returns the reservation for writing, as a copy, and keeps what it was before the batch.
func (s *Stock) change(id string) *Reservation {
	old, held := s.reservations[id]
	if !held {
		s.bytes += reservationBytes(id)
	}
	if s.batch.changed == nil {
		s.batch.changed = make(map[string]*Reservation)
	}
	if _, ok := s.batch.changed[id]; !ok {
		s.batch.changed[id] = old
	}
	r := new(Reservation)
	if old != nil {
		r.Lines, r.Requests = slices.Clone(old.Lines), slices.Clone(old.Requests)
	}
	s.reservations[id] = r
	return r
}

// remember adds a decision and forgets those that no repeat of now can ask for.
func (r *Reservation) remember(q Request, window Instant) {
	r.Requests = slices.DeleteFunc(r.Requests, func(old Request) bool { return q.At-old.At > window+window/8 })
	r.Requests = append(r.Requests, q)
}

func (s *Stock) flushReservations() []ReservationData {
	var data []ReservationData
	for id, before := range s.batch.changed { // order-free: sorted below
		after := s.reservations[id]
		s.bytes += after.bytes() - before.bytes()
		d := ReservationData{ID: id, Reservation: after}
		was, is := before.expiries(), after.expiries()
		for _, at := range is {
			if !slices.Contains(was, at) {
				d.DueAdded = append(d.DueAdded, at)
			}
		}
		for _, at := range was {
			if !slices.Contains(is, at) {
				d.DueRemoved = append(d.DueRemoved, at)
			}
		}
		data = append(data, d)
	}
	slices.SortFunc(data, func(a, b ReservationData) int { return cmp.Compare(a.ID, b.ID) })
	return data
}
