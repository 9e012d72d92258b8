package availability

import (
	"cmp"
	"slices"
)

// promises answers how much more can be promised in one component of overlapping groups. The promises made are sound iff
// for every set S of groups the demand of S is at most what the locations of S have free; what is left at a group g is the
// smallest such difference over the sets that contain g.
//
// Only groups with demand matter beside g: adding a group without demand to a set can only add free stock. The search is
// for the smallest of the sets that leave least, in two steps.
//
//   - It begins with g alone and takes in every group whose promises exceed what its pools have outside of the set. Each of
//     them belongs to every set that leaves least: what a group adds to a set it adds at most to a larger one.
//   - The other groups could only leave less together. Mostly it is plain that they cannot (see doubtful). Where it is not, the
//     promises of those in doubt have to flow into the pools outside of the set; by max-flow min-cut, what cannot is what the
//     best of their sets leaves less.
type promises struct {
	graph *Graph
	pools []int32    // the component's
	slot  []int32    // by pool number of the graph: its place in pools
	free  []Quantity // by slot: what a pool has
	rows  []promiseRow
	rowOf []int32  // by number of a group: its row, plus one; 0: it has promised nothing
	unmet Quantity // demand that no flow of all demands could meet

	// State of the search, by slot or by row.
	spare    []Quantity // what a pool has outside of the set, less what flows there
	order    []int32    // rows outside of the set, by rest
	flowing  []int32    // rows that have a flow
	poolFrom []int32    // row that reached the pool; -1: not reached
	rowVia   []int32    // pool through which the row was reached; -1: not reached, -2: a start
	queue    []int32
}

// promiseRow is a group with demand.
type promiseRow struct {
	group int32
	need  Quantity
	free  Quantity // what its pools have

	inside bool       // it belongs to the set
	rest   Quantity   // what its pools have outside of the set
	lack   Quantity   // of need, what could not flow
	flow   []Quantity // by slot
}

// open reads a component of the stock: what its pools have free, as ATF or ATO, and the demand of its groups. It says
// whether any pool has other stock to order than to fulfil.
func (p *promises) open(s *Stock, part int32, fulfill bool) (expects bool) {
	p.graph = s.graph
	p.pools = s.graph.parts[part].pools
	n := len(p.pools)
	p.slot = resize(p.slot, len(s.graph.pools))
	p.free, p.spare, p.poolFrom = resize(p.free, n), resize(p.spare, n), resize(p.poolFrom, n)
	for i, pool := range p.pools {
		p.slot[pool] = int32(i)
		atf, ato := s.freeOf(pool)
		expects = expects || atf != ato
		if p.free[i] = ato; fulfill {
			p.free[i] = atf
		}
	}
	p.rows, p.rowOf = p.rows[:0], resize(p.rowOf, len(s.graph.groups))
	clear(p.rowOf)
	for _, d := range s.demand {
		if s.graph.groups[d.group].part == part {
			p.addRow(d.group, d.quantity)
		}
	}
	p.rowVia = resize(p.rowVia, len(p.rows))
	p.unmet = -p.least(-1)
	return expects
}

func (p *promises) addRow(group int32, need Quantity) {
	i := len(p.rows)
	if i < cap(p.rows) {
		p.rows = p.rows[:i+1]
	} else {
		p.rows = append(p.rows, promiseRow{})
	}
	r := &p.rows[i]
	r.group, r.need, r.free = group, need, 0
	for _, pool := range p.graph.groups[group].pools {
		r.free += p.free[p.slot[pool]]
	}
	p.rowOf[group] = int32(i + 1)
}

// available returns how much more can be promised at a group. It is below zero where counts have broken promises.
func (p *promises) available(group int32) Quantity { return p.least(group) }

// tight returns the smallest set of groups that limits the group, by number.
func (p *promises) tight(group int32) []int32 {
	p.least(group)
	set := []int32{group}
	for i := range p.rows {
		if p.rows[i].inside && p.rows[i].group != group {
			set = append(set, p.rows[i].group)
		}
	}
	var lacking []int32
	for _, row := range p.flowing {
		if p.rows[row].lack > 0 {
			lacking = append(lacking, row)
		}
	}
	if len(lacking) > 0 {
		p.reach(lacking...)
		for _, row := range p.flowing {
			if p.rowVia[row] != -1 {
				set = append(set, p.rows[row].group)
			}
		}
	}
	slices.Sort(set)
	return set
}

// least returns what the set leaves that leaves least of all that contain the group; for -1, of all, the empty one too.
func (p *promises) least(group int32) Quantity {
	left := p.enclose(group)
	p.flowing = p.doubtful()
	for _, row := range p.flowing {
		r := &p.rows[row]
		r.flow = resize(r.flow, len(p.pools))
		clear(r.flow)
	}
	for _, row := range p.flowing {
		r := &p.rows[row]
		r.lack = r.need - p.push(row, r.need)
		left -= r.lack
	}
	return left
}

// enclose begins a set with the group, unless it is -1, takes in every group that belongs to it by itself, and returns what
// the set leaves.
func (p *promises) enclose(group int32) (left Quantity) {
	copy(p.spare, p.free)
	for i := range p.rows {
		p.rows[i].inside, p.rows[i].rest = false, p.rows[i].free
	}
	if group >= 0 {
		left = p.cover(group)
		if i := p.rowOf[group] - 1; i >= 0 {
			left -= p.rows[i].need
			p.rows[i].inside = true
		}
	}
	for grows := len(p.rows) > 0; grows; {
		grows = false
		for i := range p.rows {
			if r := &p.rows[i]; !r.inside && r.rest < r.need {
				left += p.cover(r.group) - r.need
				r.inside, grows = true, true
			}
		}
	}
	return left
}

// cover moves the pools of a group into the set, and returns what they had.
func (p *promises) cover(group int32) (free Quantity) {
	for _, pool := range p.graph.groups[group].pools {
		q := p.spare[p.slot[pool]]
		if q == 0 {
			continue
		}
		p.spare[p.slot[pool]] = 0
		free += q
		for _, g := range p.graph.pools[pool].groups {
			if i := p.rowOf[g] - 1; i >= 0 {
				p.rows[i].rest -= q
			}
		}
	}
	return free
}

// needMax bounds a sum of demands, each of which fits, so that it stays within 64 bits. No group has as much.
const needMax Quantity = 1 << 62

// doubtful returns the rows outside of the set of which some may together need more than their pools have there. Let the
// rows be in the order of what their pools have. Any of them together have as much as the last of these; if the demand of
// that one and of all before it is no more, they lack nothing.
func (p *promises) doubtful() []int32 {
	p.order = p.order[:0]
	for i := range p.rows {
		if !p.rows[i].inside {
			p.order = append(p.order, int32(i))
		}
	}
	slices.SortFunc(p.order, func(a, b int32) int { return cmp.Compare(p.rows[a].rest, p.rows[b].rest) })
	var need Quantity
	doubt := 0
	for i, row := range p.order {
		if need = min(need+p.rows[row].need, needMax); need > p.rows[row].rest {
			doubt = i + 1
		}
	}
	return p.order[:doubt]
}

// push lets up to need flow from a row, into its own pools first, then along shortest augmenting paths, and returns how much
// did.
func (p *promises) push(row int32, need Quantity) Quantity {
	var pushed Quantity
	for _, pool := range p.graph.groups[p.rows[row].group].pools {
		at := p.slot[pool]
		q := min(need-pushed, p.spare[at])
		p.spare[at] -= q
		p.rows[row].flow[at] += q
		pushed += q
	}
	for pushed < need {
		pool := p.reach(row)
		if pool < 0 {
			break
		}
		q := min(need-pushed, p.spare[pool])
		for r := p.poolFrom[pool]; r != row; r = p.poolFrom[p.rowVia[r]] {
			q = min(q, p.rows[r].flow[p.rowVia[r]])
		}
		p.spare[pool] -= q
		for at, r := pool, p.poolFrom[pool]; ; {
			p.rows[r].flow[at] += q
			if r == row {
				break
			}
			at = p.rowVia[r]
			p.rows[r].flow[at] -= q
			r = p.poolFrom[at]
		}
		pushed += q
	}
	return pushed
}

// reach searches breadth first from the rows through pools and through the flow of other rows, and returns the first pool
// with something to spare, or -1 when all that can be reached was reached.
func (p *promises) reach(starts ...int32) int32 {
	for i := range p.poolFrom {
		p.poolFrom[i] = -1
	}
	for i := range p.rowVia {
		p.rowVia[i] = -1
	}
	p.queue = append(p.queue[:0], starts...)
	for _, r := range starts {
		p.rowVia[r] = -2
	}
	for head := 0; head < len(p.queue); head++ {
		r := p.queue[head]
		for _, number := range p.graph.groups[p.rows[r].group].pools {
			pool := p.slot[number]
			if p.poolFrom[pool] >= 0 {
				continue
			}
			p.poolFrom[pool] = r
			if p.spare[pool] > 0 {
				return pool
			}
			for _, other := range p.flowing {
				if p.rowVia[other] == -1 && p.rows[other].flow[pool] > 0 {
					p.rowVia[other] = pool
					p.queue = append(p.queue, other)
				}
			}
		}
	}
	return -1
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	return s[:n]
}
