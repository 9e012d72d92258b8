package schemas

import "fmt"

// goavro has no bound on what a whole value takes in memory: its limits are per block, and a value may have any number of
// blocks of elements that take no byte at all. So every value is measured before goavro sees it: the same walk over the
// same bytes, adding up what goavro is going to allocate, and ending when that passes genericBytesMax.
//
// The costs below are upper bounds for goavro 2.15 on a 64-bit machine; a test compares them with what is allocated.
const (
	genericBytesMax = 12 << 20
	dataDepthMax    = 64 // nesting of a value, which a recursive schema leaves open

	costLong       = 16            // a number boxed into an interface; counts, lengths and branches are boxed too
	costSlot       = 16            // an interface
	costSlotGrown  = 100           // a slot appended: all the smaller arrays it was copied through
	costSlice      = 32            // a slice header boxed
	costMap        = 48 + 320      // a map of up to 8 entries
	costEntry      = 100           // each entry of a larger one
	costEntryGrown = 2 * costEntry // an entry put into a map that is too small
)

// meter measures one value.
type meter struct {
	reader
	cost int
}

// measure reads one value whole. Its errors are ErrDecode, where the bytes are not what the schema says, and ErrTooLarge.
func measure(n *node, body []byte) error {
	m := meter{reader: newReader(body)}
	m.node("value", n, 0)
	return m.finish()
}

func (m *meter) charge(at string, cost int) {
	if m.cost += cost; m.cost > genericBytesMax {
		m.fail(at, fmt.Errorf("%w: takes more than %d bytes of memory with this writer's schema", ErrTooLarge, genericBytesMax))
	}
}

func (m *meter) node(at string, n *node, depth int) {
	if depth > dataDepthMax {
		m.fail(at, fmt.Errorf("%w: nested more than %d deep", ErrTooLarge, dataDepthMax))
	}
	m.charge(at, costSlot) // also for what takes no bytes, which bounds the time
	if m.err != nil {
		return
	}
	switch n.kind {
	case kindNull:
	case kindBoolean:
		m.bool(at)
	case kindInt:
		m.charge(at, costLong)
		m.int(at)
	case kindLong:
		m.charge(at, costLong)
		m.long(at)
	case kindFloat:
		m.charge(at, costLong)
		m.take(at, 4)
	case kindDouble:
		m.charge(at, costLong)
		m.take(at, 8)
	case kindBytes:
		m.charge(at, costLong+costSlice)
		m.bytes(at)
	case kindString:
		m.text(at)
	case kindFixed:
		m.charge(at, costSlice)
		m.take(at, int64(n.size))
	case kindEnum:
		m.charge(at, costLong+costSlot)
		m.index(at, len(n.symbols))
	case kindRecord:
		m.record(n, depth)
	case kindArray:
		m.array(at, n, depth)
	case kindMap:
		m.mapping(at, n, depth)
	case kindUnion:
		m.charge(at, costLong+costMap)
		if i := m.index(at, len(n.branches)); m.err == nil {
			m.node(at, n.branches[i], depth+1)
		}
	}
}

func (m *meter) text(at string) {
	b := m.bytes(at)
	m.charge(at, costLong+costSlice+costSlot+len(b)+len(b)/4+16)
}

func (m *meter) record(n *node, depth int) {
	m.charge(n.name, costMap+costEntry*max(0, len(n.fields)-8))
	for i := range n.fields {
		m.node(n.fields[i].name, n.fields[i].node, depth+1)
	}
}

func (m *meter) array(at string, n *node, depth int) {
	m.charge(at, costSlice)
	cost := costSlot
	for count := m.elements(at); count > 0; count = m.elements(at) {
		m.charge(at, cost*count)
		for ; count > 0 && m.err == nil; count-- {
			m.node(at, n.element, depth+1)
		}
		cost = costSlotGrown
	}
}

func (m *meter) mapping(at string, n *node, depth int) {
	m.charge(at, costMap)
	cost := costEntry
	for count := m.elements(at); count > 0; count = m.elements(at) {
		m.charge(at, cost*count)
		for ; count > 0 && m.err == nil; count-- {
			m.text(at)
			m.node(at, n.element, depth+1)
		}
		cost = costEntryGrown
	}
}

// elements is the size of the next block, 0 at the end, and no more than goavro is told to read.
func (m *meter) elements(at string) int {
	n := m.long(at)
	m.charge(at, costLong)
	if n < 0 {
		m.charge(at, costLong)
		m.blockSize(at)
		n = -n
	}
	if n < 0 || n > elementsMax {
		m.fail(at, fmt.Errorf("%w: block of %d elements, at most %d are read", ErrTooLarge, uint64(n), elementsMax))
		return 0
	}
	return int(n)
}
