package cache

import (
	"onhand/processor/availability"
)

// A packed pool.
//
//	format, parts (4 bits: EffectiveAt, futures, ATO other than ATF) · Members · OnHand · Reserved · SafetyStock · ATF ·
//	[ATO] · [EffectiveAt] · [futures, or 0: they stand in the sibling key] · checksum
const (
	poolEffective = iota
	poolFutures
	poolOrder
)

// emptyPool says whether a pool is what a SKU without one has.
func emptyPool(p *availability.Pool) bool {
	return p.Members == 0 && p.OnHand == 0 && p.Reserved == 0 && p.SafetyStock == 0 && len(p.Futures) == 0 && p.ATF == 0 && p.ATO == 0 &&
		p.EffectiveAt == availability.None
}

// packPool returns the pool, in the room of b, which is empty, and, if they do not fit into it, its futures.
func packPool(b []byte, p *availability.Pool) (packed, lists []byte) {
	effective := p.EffectiveAt != availability.None
	b = append(b, format<<4|bit(effective, poolEffective)|bit(len(p.Futures) > 0, poolFutures)|bit(p.ATO != p.ATF, poolOrder))
	b = appendSigned(b, int64(p.Members))
	for _, q := range []availability.Quantity{p.OnHand, p.Reserved, p.SafetyStock, p.ATF} {
		b = appendQuantity(b, q)
	}
	if p.ATO != p.ATF {
		b = appendQuantity(b, p.ATO)
	}
	base := epoch
	if effective {
		b = appendInstant(b, p.EffectiveAt, epoch, false)
		base = p.EffectiveAt
	}
	if len(p.Futures) > 0 {
		b, lists = appendLists(b, base, nil, p.Futures)
	}
	return seal(b), lists
}

// unpackPool reads a pool; lists is what the sibling key has for it, nil if nothing.
func unpackPool(packed, lists []byte) (p availability.Pool, err error) {
	u, parts, err := unpackSealed(packed)
	if err != nil {
		return p, err
	}
	members := u.signed()
	if p.Members = int32(members); int64(p.Members) != members {
		u.bad = true
	}
	p.OnHand, p.Reserved, p.SafetyStock, p.ATF = u.quantity(), u.quantity(), u.quantity(), u.quantity()
	p.ATO, p.EffectiveAt = p.ATF, availability.None
	if parts>>poolOrder&1 != 0 {
		p.ATO = u.quantity()
	}
	base := epoch
	if parts>>poolEffective&1 != 0 {
		p.EffectiveAt, _ = u.instant(epoch)
		base = p.EffectiveAt
	}
	if parts>>poolFutures&1 != 0 {
		var movements []availability.Movement
		if movements, p.Futures, err = u.lists(base, lists); err != nil {
			return p, err
		}
		u.bad = u.bad || len(movements) > 0
	}
	return p, u.end()
}

// packDemand returns what is reserved at a group, in the room of b, which is empty: format, quantity, checksum.
func packDemand(b []byte, q availability.Quantity) []byte {
	return seal(appendQuantity(append(b, format<<4), q))
}

func unpackDemand(packed []byte) (availability.Quantity, error) {
	u, _, err := unpackSealed(packed)
	if err != nil {
		return 0, err
	}
	q := u.quantity()
	return q, u.end()
}
