package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"onhand/processor/availability"
)

// write collects the operations of a commit, each on one key. All that they say is put in one text first: a commit of 8,000
// records has 40,000 arguments.
type write struct {
	layout  keys
	names   namer
	listed  func(availability.SKU) bool // whether the SKU may have a sibling key
	c       *availability.Commit
	text    []byte
	ops     [keyTypes][]operation
	args    []part   // of the operations, one after the other
	due     []string // members changed, in order
	changes map[string]dueChange
	lists   []availability.SKU // that get a sibling key
	fields  fields             // of the SKU under way
	packed  []byte             // the value under way
}

// The types of keys, in the order in which the script gets them. A key that is deleted may be of any.
const (
	typeDeleted = iota
	typeHash
	typeSet
	typeSortedSet
	typeString
	keyTypes
)

// operation is an addition to a key or a removal from it, or its deletion.
type operation struct {
	key      part
	remove   bool
	from, to int // its arguments
}

// part is where something stands in the text of a write.
type part struct{ from, to int }

type dueChange struct {
	at    availability.Instant
	added bool
}

// pack turns a commit into operations. It fails, before anything is written, on what the layout cannot hold.
func pack(k keys, names *dictionary, listed func(availability.SKU) bool, c *availability.Commit) (*write, error) {
	w := &write{layout: k, names: namer{dictionary: names}, listed: listed, c: c, packed: make([]byte, 0, 4*listpackBytes)}
	w.text = make([]byte, 0, 256*len(c.Stocks)+1024)
	w.args = make([]part, 0, 8*len(c.Stocks)+64)
	w.ops[typeHash] = make([]operation, 0, 2*len(c.Stocks)+8)
	for i := range c.Stocks {
		if err := w.stock(&c.Stocks[i]); err != nil {
			return nil, fmt.Errorf("SKU %q: %w", c.Stocks[i].SKU, err)
		}
	}
	w.flushDue()
	w.ids()
	w.owed()
	w.graphs()
	var added []part
	for i, name := range w.names.added {
		if len(name) < 2 {
			return nil, errors.New("a location or group without a name")
		}
		added = append(added, w.number(int64(len(names.names)+i)), w.say(name))
	}
	w.add(typeHash, w.say(k.names()), added)
	return w, nil
}

// since is the part of the text from there to its end.
func (w *write) since(from int) part { return part{from, len(w.text)} }

func (w *write) say(s string) part {
	from := len(w.text)
	w.text = append(w.text, s...)
	return w.since(from)
}

func (w *write) sayBytes(b []byte) part {
	from := len(w.text)
	w.text = append(w.text, b...)
	return w.since(from)
}

func (w *write) number(n int64) part {
	from := len(w.text)
	w.text = strconv.AppendInt(w.text, n, 10)
	return w.since(from)
}

// field is the name of a field: a number, after a letter unless that is 0.
func (w *write) field(letter byte, n uint64) part {
	from := len(w.text)
	if letter != 0 {
		w.text = append(w.text, letter)
	}
	w.text = strconv.AppendUint(w.text, n, 10)
	return w.since(from)
}

// keyOf is a key of a SKU.
func (w *write) keyOf(kind string, sku availability.SKU) part {
	from := len(w.text)
	w.text = append(append(append(w.text, w.layout.prefix...), kind...), sku...)
	return w.since(from)
}

// add puts arguments into a key, remove takes them out; several times if they are many, and not at all if there are none.
func (w *write) add(keyType int, key part, args []part)    { w.op(keyType, key, args, false) }
func (w *write) remove(keyType int, key part, args []part) { w.op(keyType, key, args, true) }
func (w *write) delete(key part) {
	w.ops[typeDeleted] = append(w.ops[typeDeleted], operation{key: key})
}

func (w *write) op(keyType int, key part, args []part, remove bool) {
	for len(args) > 0 {
		n := min(len(args), argsMax)
		from := len(w.args)
		w.args = append(w.args, args[:n]...)
		w.ops[keyType] = append(w.ops[keyType], operation{key, remove, from, len(w.args)})
		args = args[n:]
	}
}

// call returns the keys and arguments of the commit script.
func (w *write) call() (names []string, args []any) {
	said := string(w.text)
	of := func(p part) string { return said[p.from:p.to] }
	keys, numbers := 2, 9
	for t := range w.ops {
		keys += len(w.ops[t])
	}
	names = append(make([]string, 0, keys), w.layout.checkpoint(), w.layout.names())
	expect, before := "", ""
	if w.c.Expect != (availability.CommitID{}) {
		expect, before = string(w.c.Expect[:]), string(w.names.mark.append(nil))
	}
	after := w.names.mark
	for _, name := range w.names.added {
		after = after.next(name)
	}
	args = append(make([]any, 0, numbers+keys+len(w.args)), expect, w.c.Checkpoint.CommitID[:], before, packCheckpoint(&w.c.Checkpoint, after))
	for t := range w.ops {
		args = append(args, len(w.ops[t]))
	}
	values := make([]string, len(w.args)) // an argument is a pointer into it, which is no memory of its own
	for t := range w.ops {
		for _, op := range w.ops[t] {
			names = append(names, of(op.key))
			if t == typeDeleted {
				continue
			}
			n := op.to - op.from
			if op.remove {
				n = -n
			}
			args = append(args, n)
			for i := op.from; i < op.to; i++ {
				values[i] = of(w.args[i])
				args = append(args, &values[i])
			}
		}
	}
	return names, args
}

func (w *write) stock(d *availability.StockData) error {
	if d.SKU == "" {
		return errors.New("it has no name")
	}
	stock, listed := w.keyOf(keyStock, d.SKU), w.listed(d.SKU)
	f := &w.fields
	f.reset(d.Replace)
	if d.Replace {
		w.delete(stock)
		w.delete(w.keyOf(keyLists, d.SKU))
	}
	if !d.Exists {
		w.add(typeHash, w.say(w.layout.shard(shardOf(d.SKU))), []part{w.say(string(d.SKU)), {}})
	}
	if d.Replace || !d.Exists {
		f.set = append(f.set, w.say(fieldGraphVersion), w.number(d.GraphVersion))
	}
	w.cells(d.Cells)
	w.pools(d.Pools)
	w.demand(d.Demand)
	w.remove(typeHash, stock, f.gone)
	w.add(typeHash, stock, f.set)
	if listed {
		w.remove(typeHash, w.keyOf(keyLists, d.SKU), f.listsGone)
	}
	if len(f.lists) > 0 {
		w.add(typeHash, w.keyOf(keyLists, d.SKU), f.lists)
		w.lists = append(w.lists, d.SKU)
	}
	return w.reservations(d)
}

func (w *write) cells(cells []availability.Cell) {
	for i := range cells {
		c := &cells[i]
		if emptyCell(c) {
			if id, ok := w.names.known(kindLocation, string(c.Location)); ok {
				w.fields.drop(w.field(0, uint64(id)), true)
			}
			continue
		}
		packed, lists := packCell(w.packed[:0], c)
		w.put(w.field(0, uint64(w.names.id(kindLocation, string(c.Location)))), packed, lists, true)
	}
}

func (w *write) pools(pools []availability.PoolData) {
	for i := range pools {
		p := &pools[i]
		field := w.field(fieldPool, uint64(p.Number))
		if emptyPool(&p.Pool) {
			w.fields.drop(field, true)
			continue
		}
		w.names.id(kindPool, strconv.Itoa(int(p.Number)))
		packed, lists := packPool(w.packed[:0], &p.Pool)
		w.put(field, packed, lists, true)
	}
}

func (w *write) demand(demand []availability.DemandData) {
	for _, q := range demand {
		if q.Quantity == 0 {
			if id, ok := w.names.known(kindGroup, string(q.Group)); ok {
				w.fields.drop(w.field(fieldDemand, uint64(id)), false)
			}
			continue
		}
		w.put(w.field(fieldDemand, uint64(w.names.id(kindGroup, string(q.Group)))), packDemand(w.packed[:0], q.Quantity), nil, false)
	}
}

// put sets a field, and its lists in the sibling key where that may have some.
func (w *write) put(field part, packed, lists []byte, mayList bool) {
	f := &w.fields
	f.set = append(f.set, field, w.sayBytes(packed))
	if lists != nil {
		f.lists = append(f.lists, field, w.sayBytes(lists))
	} else if mayList && !f.replace {
		f.listsGone = append(f.listsGone, field)
	}
}

// fields are the changes of a SKU's hash and of its sibling.
type fields struct {
	replace                     bool
	set, gone, lists, listsGone []part
}

func (f *fields) reset(replace bool) {
	*f = fields{replace, f.set[:0], f.gone[:0], f.lists[:0], f.listsGone[:0]}
}

func (f *fields) drop(field part, mayList bool) {
	if f.replace {
		return
	}
	f.gone = append(f.gone, field)
	if mayList {
		f.listsGone = append(f.listsGone, field)
	}
}

func (w *write) reservations(d *availability.StockData) error {
	w.fields.reset(false)
	f := &w.fields
	for i := range d.Reservations {
		r := &d.Reservations[i]
		w.changeDue(d.SKU, r)
		if r.Reservation == nil {
			f.gone = append(f.gone, w.say(r.ID))
			continue
		}
		packed, err := packReservation(w.packed[:0], r.Reservation, &w.names)
		if err != nil {
			return fmt.Errorf("reservation %q: %w", r.ID, err)
		}
		f.set = append(f.set, w.say(r.ID), w.sayBytes(packed))
	}
	if len(f.gone)+len(f.set) > 0 {
		key := w.keyOf(keyReservations, d.SKU)
		w.remove(typeHash, key, f.gone)
		w.add(typeHash, key, f.set)
	}
	for _, f := range d.FuturesDue {
		w.noteDue(dueMember(&availability.Due{At: f.At, SKU: d.SKU, Location: f.Location}), dueChange{f.At, !f.Removed})
	}
	return nil
}

// dueMember names one expiry, or one future of a location: it begins with NUL then, which no SKU does. The date stands in it
// as well: the score is a double.
func dueMember(d *availability.Due) string {
	member := string(d.SKU) + "\x00" + d.ReservationID
	if d.Location != "" {
		member = "\x00" + string(d.SKU) + "\x00" + string(d.Location)
	}
	return member + "\x00" + strconv.FormatInt(int64(d.At), 10)
}

// changeDue notes expiries. Of a SKU that comes twice in a commit the later word counts.
func (w *write) changeDue(sku availability.SKU, r *availability.ReservationData) {
	for _, at := range r.DueRemoved {
		w.noteDue(dueMember(&availability.Due{At: at, SKU: sku, ReservationID: r.ID}), dueChange{at, false})
	}
	for _, at := range r.DueAdded {
		w.noteDue(dueMember(&availability.Due{At: at, SKU: sku, ReservationID: r.ID}), dueChange{at, true})
	}
}

func (w *write) noteDue(member string, change dueChange) {
	if w.changes == nil {
		w.changes = make(map[string]dueChange)
	}
	if _, ok := w.changes[member]; !ok {
		w.due = append(w.due, member)
	}
	w.changes[member] = change
}

func (w *write) flushDue() {
	var added, removed []part
	for _, member := range w.due {
		if change := w.changes[member]; change.added {
			added = append(added, w.number(int64(change.at)), w.say(member))
		} else {
			removed = append(removed, w.say(member))
		}
	}
	key := w.say(w.layout.due())
	w.remove(typeSortedSet, key, removed)
	w.add(typeSortedSet, key, added)
}

func (w *write) ids() {
	dropped := make(map[int64]bool, len(w.c.DropIDs))
	var gone, kept []part
	for _, n := range w.c.DropIDs {
		dropped[n] = true
		gone = append(gone, w.number(n))
		w.delete(w.say(w.layout.bucket(n)))
	}
	for _, b := range w.c.IDs {
		if dropped[b.Bucket] || len(b.IDs) == 0 {
			continue
		}
		from := len(w.text)
		for _, id := range b.IDs {
			w.text = binary.LittleEndian.AppendUint64(w.text, id)
		}
		packed := w.since(from)
		kept = append(kept, w.number(b.Bucket))
		w.add(typeString, w.say(w.layout.bucket(b.Bucket)), []part{packed})
	}
	key := w.say(w.layout.buckets())
	w.remove(typeSet, key, gone)
	w.add(typeSet, key, kept)
}

func (w *write) owed() {
	key := w.say(w.layout.owed())
	if w.c.OwedCleared {
		w.delete(key)
	}
	var skus []part
	for _, sku := range w.c.OwedAdded {
		skus = append(skus, w.say(string(sku)))
	}
	w.add(typeSet, key, skus)
}

func (w *write) graphs() {
	var kept, gone []part
	for _, g := range w.c.Graphs {
		kept = append(kept, w.number(g.Version), w.sayBytes(packGraph(g.Bytes)))
	}
	for _, version := range w.c.DropGraphs {
		gone = append(gone, w.number(version))
	}
	key := w.say(w.layout.graphs())
	w.add(typeHash, key, kept)
	w.remove(typeHash, key, gone)
}
