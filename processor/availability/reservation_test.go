package availability

import "testing"

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
