package availability

import (
	"cmp"
	"slices"
)

// Pool is what the locations of one pool hold of one SKU, together.
type Pool struct {
	Members     int32 // locations that have the SKU
	OnHand      Quantity
	Reserved    Quantity
	SafetyStock Quantity
	Futures     []Future // equal dates added up, sorted; replaced, never changed in place
	ATF, ATO    Quantity // sums of the locations' values, each clamped at zero
	EffectiveAt Instant  // newest of the locations; None: none was counted
}

func (p *Pool) sums() sums {
	s := sums{members: p.Members, onHand: p.OnHand, reserved: p.Reserved, safetyStock: p.SafetyStock, atf: p.ATF, ato: p.ATO}
	s.future = sumFutures(p.Futures)
	return s
}

// replace takes one location's old sums out of the pool and puts its new ones in.
func (p *Pool) replace(before, after sums) {
	p.Members += after.members - before.members
	p.OnHand += after.onHand - before.onHand
	p.Reserved += after.reserved - before.reserved
	p.SafetyStock += after.safetyStock - before.safetyStock
	p.ATF += after.atf - before.atf
	p.ATO += after.ato - before.ato
}

// sumFutures returns the total, or what does not fit if that is more than fits: a list of numbers that fit may add up to
// more than 64 bits.
func sumFutures(futures []Future) Quantity {
	var sum Quantity
	for _, f := range futures {
		sum = min(sum+f.Quantity, MaxQuantity+1)
	}
	return sum
}

// addFutures adds up two sorted lists, the second times sign; what comes to zero goes.
func addFutures(a, b []Future, sign Quantity) []Future {
	if len(b) == 0 {
		return a
	}
	sum := make([]Future, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Expected < b[0].Expected:
			sum, a = append(sum, a[0]), a[1:]
		case len(a) == 0 || b[0].Expected < a[0].Expected:
			sum, b = append(sum, Future{Quantity: sign * b[0].Quantity, Expected: b[0].Expected}), b[1:]
		default:
			if q := a[0].Quantity + sign*b[0].Quantity; q != 0 {
				sum = append(sum, Future{Quantity: q, Expected: a[0].Expected})
			}
			a, b = a[1:], b[1:]
		}
	}
	return sum
}

// SortFutures puts futures into the order a Delta needs: by date, equal dates added up, to more than MaxQuantity if they
// are, which a Folder refuses as Overflow. It changes its argument.
func SortFutures(futures []Future) []Future {
	slices.SortFunc(futures, func(a, b Future) int { return cmp.Compare(a.Expected, b.Expected) })
	sorted := futures[:0]
	for _, f := range futures {
		if last := len(sorted) - 1; last >= 0 && sorted[last].Expected == f.Expected {
			sorted[last].Quantity = min(sorted[last].Quantity+f.Quantity, MaxQuantity+1)
		} else {
			sorted = append(sorted, f)
		}
	}
	return sorted
}
