package availability

import (
	"maps"
	"slices"
)

// plain is the arithmetic once more, written from its rules with no thought of cost: a location's SKU is the list of all
// facts ever told of it, nothing is merged, added up or remembered as a sum, a promise is tested against every set of
// groups, and every answer is computed from the lists alone. It has no horizon and no window.
type plain struct {
	spec     GraphSpec
	parts    map[GroupID][]*GroupSpec // components found, of spec
	skus     map[SKU]*plainSKU
	adjusted map[plainID]bool
}

type plainID struct {
	id  string
	sku SKU
}

type plainSKU struct {
	places   map[LocationID]*plainPlace
	lines    []plainLine // of all reservations, also at places that the graph does not have
	requests map[string]plainRequest
}

type plainLine struct {
	reservation string
	Line
}

type plainRequest struct {
	event  ReservationEvent // its time left out
	result Result
}

// plainPlace is what was said of a SKU at one location since the location joined the graph.
type plainPlace struct {
	since     int64
	counts    []plainFact
	safety    []plainFact
	futures   []plainFact
	movements []Movement
	seen      bool // said to have the SKU, and not deleted since
}

type plainFact struct {
	at       Instant
	quantity Quantity
	futures  []Future
	deletion bool
}

func newPlain() *plain { return &plain{skus: map[SKU]*plainSKU{}, adjusted: map[plainID]bool{}} }

func (p *plain) sku(sku SKU) *plainSKU {
	if p.skus[sku] == nil {
		p.skus[sku] = &plainSKU{places: map[LocationID]*plainPlace{}, requests: map[string]plainRequest{}}
	}
	return p.skus[sku]
}

// place returns what is known at a location of the graph.
func (p *plain) place(sku SKU, l *LocationSpec) *plainPlace {
	places := p.sku(sku).places
	if q := places[l.ID]; q == nil || q.since != l.Since {
		places[l.ID] = &plainPlace{since: l.Since}
	}
	return places[l.ID]
}

func (p *plain) location(id LocationID) *LocationSpec {
	for i := range p.spec.Locations {
		if p.spec.Locations[i].ID == id {
			return &p.spec.Locations[i]
		}
	}
	return nil
}

func (p *plain) group(id GroupID) *GroupSpec {
	for i := range p.spec.Groups {
		if p.spec.Groups[i].ID == id {
			return &p.spec.Groups[i]
		}
	}
	return nil
}

func (p *plain) fold(o op) answer {
	switch {
	case o.graph != nil:
		p.spec, p.parts = o.graph.Spec(), map[GroupID][]*GroupSpec{}
		return answer{}
	case o.drop != nil:
		return answer{outcome: p.drop(o.drop)}
	case o.delta != nil:
		outcome, stale := p.delta(o.delta)
		return answer{outcome: outcome, stale: stale}
	}
	result, again := p.event(o.event)
	return answer{result: result, again: again}
}

// newest returns the fact that holds: the latest date, of equal dates what was said last.
func newest(facts []plainFact) plainFact {
	n := plainFact{at: None, deletion: true}
	for _, f := range facts {
		if f.at >= n.at {
			n = f
		}
	}
	return n
}

// drop takes what is overdue out of the futures that hold. What was said before them stays as old as it was.
func (p *plain) drop(o *dropOverdue) Outcome {
	l := p.location(o.location)
	if l == nil {
		return Stale
	}
	facts := p.place(o.sku, l).futures
	holds := newest(facts)
	left := slices.DeleteFunc(slices.Clone(holds.futures), func(f Future) bool { return f.Expected <= o.until })
	if len(left) == len(holds.futures) {
		return Stale
	}
	for i := range facts {
		if facts[i].at == holds.at { // of equal dates the last one holds, and only that
			facts[i].futures = left
		}
	}
	return Applied
}

func (p *plain) delta(d *Delta) (Outcome, int) {
	l := p.location(d.Location)
	if l == nil || !l.Inventory {
		return UnknownLocation, 0
	}
	q := p.place(d.SKU, l)
	switch d.Mode {
	case Adjust:
		if p.adjusted[plainID{d.RecordID, d.SKU}] {
			return Duplicate, 0
		}
		p.adjusted[plainID{d.RecordID, d.SKU}] = true
		q.move(d.EffectiveAt, d.OnHand)
		return Applied, 0
	case Delete:
		return q.delete(d.EffectiveAt)
	case Update:
	}
	told, stale := 0, 0
	tell := func(has bool, facts *[]plainFact, f plainFact) {
		switch {
		case !has:
		case f.at < newest(*facts).at:
			stale++
		default:
			told++
			*facts = append(*facts, f)
		}
	}
	tell(d.HasOnHand, &q.counts, plainFact{at: d.EffectiveAt, quantity: d.OnHand})
	tell(d.HasSafetyStock, &q.safety, plainFact{at: d.EffectiveAt, quantity: d.SafetyStock})
	tell(d.HasFutures, &q.futures, plainFact{at: d.EffectiveAt, futures: d.Futures})
	if told == 0 && stale > 0 {
		return Stale, stale
	}
	if n := newest(q.counts); told > 0 || !n.deletion || d.EffectiveAt >= n.at {
		q.seen = true
	}
	return Applied, stale
}

func (q *plainPlace) move(at Instant, change Quantity) {
	q.movements = append(q.movements, Movement{At: at, Quantity: change})
	if n := newest(q.counts); at >= n.at || !n.deletion {
		q.seen = true
	}
}

func (q *plainPlace) delete(at Instant) (outcome Outcome, stale int) {
	did := false
	for _, facts := range []*[]plainFact{&q.counts, &q.safety, &q.futures} {
		if at >= newest(*facts).at {
			*facts, did = append(*facts, plainFact{at: at, deletion: true}), true
		}
	}
	if !did {
		return Stale, 3
	}
	q.seen = q.seen && (q.live() > 0 || !newest(q.counts).deletion || !newest(q.safety).deletion || !newest(q.futures).deletion)
	return Applied, 0
}

// live is how many movements are not part of the count.
func (q *plainPlace) live() (n int) {
	for _, m := range q.movements {
		if m.At >= newest(q.counts).at {
			n++
		}
	}
	return n
}

func (q *plainPlace) onHand() Quantity {
	n := newest(q.counts)
	sum := n.quantity
	for _, m := range q.movements {
		if m.At >= n.at {
			sum += m.Quantity
		}
	}
	return sum
}

// reserved is what reservations hold at a place.
func (s *plainSKU) reserved(at Place) (sum Quantity) {
	for _, l := range s.lines {
		if l.Place == at {
			sum += l.Quantity
		}
	}
	return sum
}

// locationLevel computes a location's level, also where it is not published.
func (p *plain) locationLevel(sku SKU, l *LocationSpec) Level {
	q := p.place(sku, l)
	level := Level{SKU: sku, Place: Place{LocationPlace, string(l.ID)}, EffectiveAt: None, NextExpectedAt: None}
	level.Reserved = p.sku(sku).reserved(level.Place)
	if level.Present = q.seen || level.Reserved > 0; !level.Present {
		return level
	}
	level.OnHand, level.SafetyStock = q.onHand(), newest(q.safety).quantity
	if n := newest(q.counts); !n.deletion {
		level.EffectiveAt = n.at
	}
	setFutures(&level, [][]Future{newest(q.futures).futures})
	free := level.OnHand - level.Reserved - level.SafetyStock
	level.ATF, level.ATO = max(0, free), max(0, free+level.FutureQuantity)
	level.Shortfall = max(0, -free)
	return level
}

func setFutures(level *Level, lists [][]Future) {
	byDate := map[Instant]Quantity{}
	for _, list := range lists {
		for _, f := range list {
			byDate[f.Expected] += f.Quantity
			level.FutureQuantity += f.Quantity
		}
	}
	for _, at := range slices.Sorted(maps.Keys(byDate)) {
		level.Futures = append(level.Futures, Future{byDate[at], at})
	}
	if len(level.Futures) > 0 {
		level.NextExpectedAt = level.Futures[0].Expected
	}
}

// inSums says whether a location counts.
func inSums(l *LocationSpec) bool { return l != nil && l.Sync && l.Inventory }

// members are the locations of a group that count.
func (p *plain) members(g *GroupSpec) (members []*LocationSpec) {
	for _, id := range g.Locations {
		if l := p.location(id); inSums(l) {
			members = append(members, l)
		}
	}
	return members
}

// component returns the groups that count and are connected with one of them through locations that count.
func (p *plain) component(of *GroupSpec) []*GroupSpec {
	if part := p.parts[of.ID]; part != nil {
		return part
	}
	part, reached := []*GroupSpec{of}, map[LocationID]bool{}
	for grown := true; grown; {
		grown = false
		for _, g := range part {
			for _, l := range p.members(g) {
				reached[l.ID] = true
			}
		}
		for i := range p.spec.Groups {
			g := &p.spec.Groups[i]
			shares := slices.ContainsFunc(p.members(g), func(l *LocationSpec) bool { return reached[l.ID] })
			if g.Enabled && g.Sync && shares && !slices.Contains(part, g) {
				part, grown = append(part, g), true
			}
		}
	}
	p.parts[of.ID] = part
	return part
}

// plainSet is a set of groups with what its locations have free, and that less what its groups have promised.
type plainSet struct {
	part  []*GroupSpec
	mask  int // of part
	free  Quantity
	slack Quantity
}

func (s *plainSet) contains(id GroupID) bool {
	j := slices.IndexFunc(s.part, func(g *GroupSpec) bool { return g.ID == id })
	return j >= 0 && s.mask&(1<<j) != 0
}

// demanded returns the groups of the set that have promised something.
func (p *plain) demanded(sku SKU, s plainSet) (demanded []GroupID) {
	for _, g := range s.part {
		if s.contains(g.ID) && p.sku(sku).reserved(Place{GroupPlace, string(g.ID)}) > 0 {
			demanded = append(demanded, g.ID)
		}
	}
	slices.Sort(demanded)
	return demanded
}

// sets returns every non-empty set of the component's groups, with ATF or ATO as what is free.
func (p *plain) sets(sku SKU, of *GroupSpec, fulfill bool) []plainSet {
	part := p.component(of)
	sets := make([]plainSet, 1<<len(part))
	for mask := range sets {
		sets[mask] = plainSet{part: part, mask: mask}
	}
	for i := range p.spec.Locations {
		l := &p.spec.Locations[i]
		in := 0 // the groups that it is in
		for j, g := range part {
			if slices.Contains(g.Locations, l.ID) {
				in |= 1 << j
			}
		}
		if in == 0 || !inSums(l) {
			continue
		}
		free := p.locationLevel(sku, l).ATO
		if fulfill {
			free = p.locationLevel(sku, l).ATF
		}
		for mask := range sets {
			if in&mask != 0 {
				sets[mask].free += free
				sets[mask].slack += free
			}
		}
	}
	for j, g := range part {
		demand := p.sku(sku).reserved(Place{GroupPlace, string(g.ID)})
		for mask := range sets {
			if mask&(1<<j) != 0 {
				sets[mask].slack -= demand
			}
		}
	}
	return sets[1:]
}

// containing keeps the sets that have one of the groups in them.
func containing(sets []plainSet, groups []GroupID) []plainSet {
	return slices.DeleteFunc(slices.Clone(sets), func(s plainSet) bool { return !slices.ContainsFunc(groups, s.contains) })
}

// least returns the smallest slack.
func least(sets []plainSet) Quantity {
	return slices.MinFunc(sets, func(a, b plainSet) int { return int(max(-1, min(1, a.slack-b.slack))) }).slack
}

func (p *plain) groupLevel(sku SKU, g *GroupSpec) Level {
	level := Level{SKU: sku, Place: Place{GroupPlace, string(g.ID)}, EffectiveAt: None, NextExpectedAt: None}
	var lists [][]Future
	var ato, reserved Quantity
	for _, l := range p.members(g) {
		m := p.locationLevel(sku, l)
		if !m.Present {
			continue
		}
		level.Present = true
		level.OnHand += m.OnHand
		level.SafetyStock += m.SafetyStock
		level.EffectiveAt = max(level.EffectiveAt, m.EffectiveAt)
		ato, reserved, lists = ato+m.ATO, reserved+m.Reserved, append(lists, m.Futures)
	}
	level.GroupReserved = p.sku(sku).reserved(level.Place)
	if level.Present = level.Present || level.GroupReserved > 0; !level.Present {
		return level
	}
	setFutures(&level, lists)
	order, fulfill := p.sets(sku, g, false), p.sets(sku, g, true)
	level.ATO = max(0, least(containing(order, []GroupID{g.ID})))
	level.ATF = max(0, least(containing(fulfill, []GroupID{g.ID})))
	level.Shortfall = max(0, -least(order)) // what a flow of all promises would lack
	level.SharedGroupReserved = max(0, ato-level.GroupReserved-level.ATO)
	level.Reserved = reserved + level.GroupReserved + level.SharedGroupReserved
	return level
}

// levels returns the published levels of a SKU.
func (p *plain) levels(sku SKU) map[Place]Level {
	levels := map[Place]Level{}
	for i := range p.spec.Locations {
		if l := &p.spec.Locations[i]; inSums(l) {
			if level := p.locationLevel(sku, l); level.Present {
				levels[level.Place] = level
			}
		}
	}
	for i := range p.spec.Groups {
		if g := &p.spec.Groups[i]; g.Enabled && g.Sync {
			if level := p.groupLevel(sku, g); level.Present {
				levels[level.Place] = level
			}
		}
	}
	return levels
}
