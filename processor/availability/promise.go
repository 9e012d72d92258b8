package availability

import "slices"

// promises answers how much more can be promised in one component of overlapping groups. The promises made are sound iff
// for every set S of groups the demand of S is at most what the locations of S have free; what is left at a group g is the
// smallest such difference over the sets that contain g. By max-flow min-cut that is the most that can flow from g to the
// pools when every demand has its flow already.
//
// Only groups with demand matter beside g: adding a group without demand to a set can only add free stock.
type promises struct {
	graph  *Graph
	pools  []int32    // the component's
	slot   []int32    // by pool number of the graph: its place in pools
	free   []Quantity // by slot: what a pool has
	left   []Quantity // by slot: what it has beside the flow
	rows   []promiseRow
	unmet  Quantity // demand without flow
	demand Quantity

	// Search state, by slot and by row.
	poolFrom []int32 // row that reached the pool; -1: not reached
	rowVia   []int32 // pool through which the row was reached; -1: not reached, -2: a start
	queue    []int32

	savedLeft []Quantity
	savedFlow []Quantity
}

type promiseRow struct {
	group int32
	need  Quantity
	flow  []Quantity // by slot
}

// open reads a component of the stock: what its pools have free, as ATF or ATO, and the demand of its groups, and lets
// every demand flow.
func (p *promises) open(s *Stock, part int32, fulfill bool) {
	p.graph = s.graph
	p.pools = s.graph.parts[part].pools
	n := len(p.pools)
	p.slot = resize(p.slot, len(s.graph.pools))
	p.free, p.left = resize(p.free, n), resize(p.left, n)
	p.poolFrom = resize(p.poolFrom, n)
	for i, pool := range p.pools {
		p.slot[pool] = int32(i)
		if sums := s.sumsOf(pool); fulfill {
			p.free[i] = sums.atf
		} else {
			p.free[i] = sums.ato
		}
		p.left[i] = p.free[i]
	}
	p.rows, p.unmet, p.demand = p.rows[:0], 0, 0
	for _, d := range s.demand {
		if s.graph.groups[d.group].part == part {
			p.addRow(d.group, d.quantity)
		}
	}
	for i := range p.rows {
		p.demand += p.rows[i].need
		p.unmet += p.rows[i].need - p.push(int32(i), p.rows[i].need)
	}
}

func (p *promises) addRow(group int32, need Quantity) int32 {
	i := len(p.rows)
	if i < cap(p.rows) {
		p.rows = p.rows[:i+1]
	} else {
		p.rows = append(p.rows, promiseRow{})
	}
	r := &p.rows[i]
	r.group, r.need, r.flow = group, need, resize(r.flow, len(p.pools))
	clear(r.flow)
	p.rowVia = resize(p.rowVia, len(p.rows))
	return int32(i)
}

// available returns how much more can be promised at a group. It is below zero where counts have broken promises.
func (p *promises) available(group int32) Quantity {
	if len(p.rows) == 0 {
		var sum Quantity
		for _, pool := range p.graph.groups[group].pools {
			sum += p.free[p.slot[pool]]
		}
		return sum
	}
	extra := p.probe(group, nil)
	return extra - p.unmet
}

// tight returns a smallest set of groups that limits the group, by number.
func (p *promises) tight(group int32) []int32 {
	if len(p.rows) == 0 {
		return []int32{group}
	}
	set := []int32{group}
	p.probe(group, &set)
	slices.Sort(set)
	return slices.Compact(set)
}

// probe pushes all that can flow from the group, and undoes it. Where a set is asked for, it gets the groups that could
// still be reached afterwards, from the group or from demand without flow: the source's side of a minimal cut.
func (p *promises) probe(group int32, set *[]int32) Quantity {
	rows := len(p.rows)
	p.savedLeft = append(p.savedLeft[:0], p.left...)
	p.savedFlow = p.savedFlow[:0]
	row := int32(-1)
	for i := range p.rows {
		p.savedFlow = append(p.savedFlow, p.rows[i].flow...)
		if p.rows[i].group == group {
			row = int32(i)
		}
	}
	if row < 0 {
		row = p.addRow(group, 0)
	}
	extra := p.push(row, 1<<62)
	if set != nil {
		starts := []int32{row}
		for i := range p.rows[:rows] {
			var flow Quantity
			for _, f := range p.rows[i].flow {
				flow += f
			}
			if flow < p.rows[i].need {
				starts = append(starts, int32(i))
			}
		}
		p.reach(starts...)
		for i := range p.rows {
			if p.rowVia[i] != -1 {
				*set = append(*set, p.rows[i].group)
			}
		}
	}
	p.rows = p.rows[:rows]
	p.left = append(p.left[:0], p.savedLeft...)
	for i := range p.rows {
		copy(p.rows[i].flow, p.savedFlow[i*len(p.pools):])
	}
	return extra
}

// push lets up to need flow from a row, along shortest augmenting paths, and returns how much did.
func (p *promises) push(row int32, need Quantity) Quantity {
	var pushed Quantity
	for pushed < need {
		pool := p.reach(row)
		if pool < 0 {
			break
		}
		q := min(need-pushed, p.left[pool])
		for r := p.poolFrom[pool]; r != row; r = p.poolFrom[p.rowVia[r]] {
			q = min(q, p.rows[r].flow[p.rowVia[r]])
		}
		p.left[pool] -= q
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
// with something left, or -1 when all that can be reached was reached.
func (p *promises) reach(starts ...int32) int32 {
	for i := range p.poolFrom {
		p.poolFrom[i] = -1
	}
	for i := range p.rows {
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
			if p.left[pool] > 0 {
				return pool
			}
			for other := range p.rows {
				if p.rowVia[other] == -1 && p.rows[other].flow[pool] > 0 {
					p.rowVia[other] = pool
					p.queue = append(p.queue, int32(other))
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
