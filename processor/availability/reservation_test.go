package availability

import (
	"strconv"
	"testing"
)

// TestClosedReservationsLeaveMemory: one that holds nothing goes once the store has it as it is; one that was written
// again since, or holds something, stays.
func TestClosedReservationsLeaveMemory(t *testing.T) {
	closed, open, rewritten := &Reservation{Requests: []Request{{ID: 1}}}, &Reservation{Lines: []Line{{Quantity: 1}}}, &Reservation{}
	g, err := (&GraphSpec{Version: 1}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	stored := []ReservationData{{ID: "closed", Reservation: closed}, {ID: "open", Reservation: open}, {ID: "rewritten", Reservation: rewritten}}
	s := NewStock(g, &StockData{SKU: "S", Complete: true, Reservations: stored})
	before := s.Bytes()
	s.reservations["rewritten"] = &Reservation{}
	s.ForgetClosed(stored)
	if _, ok := s.reservations["closed"]; ok || len(s.reservations) != 2 {
		t.Errorf("left: %v", s.reservations)
	}
	if after := s.Bytes(); after >= before {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

// TestKnownReservationsAreNotAskedFor: a stock whose every reservation was here asks for those alone that it has dropped,
// until they are too many to remember.
func TestKnownReservationsAreNotAskedFor(t *testing.T) {
	g, err := (&GraphSpec{Version: 1}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	s := NewStock(g, &StockData{SKU: "S", Complete: true})
	asks := func(id string) bool {
		_, any := s.Missing(&Want{SKU: "S", Reservations: []string{id}})
		return any
	}
	if !asks("new") {
		t.Error("does not ask a store that may have it")
	}
	s.Load(&StockData{SKU: "S", Every: true}, nil)
	if asks("new") {
		t.Error("asks for one that the store does not have")
	}
	for i := range forgottenMax + 1 {
		if asks("new") {
			t.Fatalf("asks for a new one after %d were dropped", i)
		}
		closed := ReservationData{ID: strconv.Itoa(i), Reservation: &Reservation{Requests: []Request{{ID: 1}}}}
		s.reservations[closed.ID] = closed.Reservation
		s.ForgetClosed([]ReservationData{closed})
		if !asks(closed.ID) {
			t.Fatalf("does not ask for the one that was dropped as number %d", i)
		}
	}
	if !asks("new") {
		t.Error("does not ask although more were dropped than it remembers")
	}
}
