package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"onhand/processor/availability"
)

// write collects the operations of a commit, each on one key.
type write struct {
	layout  keys
	names   namer
	listed  func(availability.SKU) bool // whether the SKU may have a sibling key
	c       *availability.Commit
	ops     []operation
	due     []string // members changed, in order
	changes map[string]dueChange
	lists   []availability.SKU // that get a sibling key
}

type operation struct {
	command, key string
	args         []any
}

type dueChange struct {
	at    availability.Instant
	added bool
}

// pack turns a commit into operations. It fails, before anything is written, on what the layout cannot hold.
func pack(k keys, names *dictionary, listed func(availability.SKU) bool, c *availability.Commit) (*write, error) {
	w := &write{layout: k, names: namer{dictionary: names}, listed: listed, c: c, ops: make([]operation, 0, 2*len(c.Stocks)+8)}
	for i := range c.Stocks {
		if err := w.stock(&c.Stocks[i]); err != nil {
			return nil, fmt.Errorf("SKU %q: %w", c.Stocks[i].SKU, err)
		}
	}
	w.flushDue()
	w.ids()
	w.owed()
	w.graphs()
	var added []any
	for i, name := range w.names.added {
		if len(name) < 2 {
			return nil, errors.New("a location or group without a name")
		}
		added = append(added, strconv.Itoa(len(names.names)+i), name)
	}
	w.op("HSET", k.names(), added)
	return w, nil
}

// op adds an operation, in several parts if it has many arguments. A command but DEL does nothing without any.
func (w *write) op(command, key string, args []any) {
	if command == "DEL" {
		w.ops = append(w.ops, operation{command: command, key: key})
		return
	}
	for len(args) > 0 {
		n := min(len(args), argsMax)
		w.ops = append(w.ops, operation{command, key, args[:n]})
		args = args[n:]
	}
}

// keyTypes is the order of the keys by the type that a command needs.
var keyTypes = map[string]int{"HSET": 0, "HDEL": 0, "SADD": 1, "SREM": 1, "ZADD": 2, "ZREM": 2, "APPEND": 3, "DEL": 4}

// call returns the keys and arguments of the commit script.
func (w *write) call() (names []string, args []any) {
	names = append(make([]string, 0, 2+len(w.ops)), w.layout.checkpoint(), w.layout.names())
	numbers := make(map[string]int, 2+len(w.ops))
	numbers[names[0]], numbers[names[1]] = 1, 2
	var counts [5]int
	for t := range counts {
		before := len(names)
		for i := range w.ops {
			if op := &w.ops[i]; keyTypes[op.command] == t && numbers[op.key] == 0 {
				names = append(names, op.key)
				numbers[op.key] = len(names)
			}
		}
		counts[t] = len(names) - before
	}
	expect, before := "", ""
	if w.c.Expect != (availability.CommitID{}) {
		expect, before = string(w.c.Expect[:]), string(w.names.mark.append(nil))
	}
	after := w.names.mark
	for _, name := range w.names.added {
		after = after.next(name)
	}
	n := 8
	for i := range w.ops {
		n += 3 + len(w.ops[i].args)
	}
	args = append(make([]any, 0, n), expect, w.c.Checkpoint.CommitID[:], before, packCheckpoint(&w.c.Checkpoint, after), counts[0], counts[1], counts[2], counts[3])
	for _, op := range w.ops {
		args = append(append(args, op.command, numbers[op.key], len(op.args)), op.args...)
	}
	return names, args
}

func (w *write) stock(d *availability.StockData) error {
	stock, lists := w.layout.stock(d.SKU), w.layout.lists(d.SKU)
	if d.SKU == "" {
		return errors.New("it has no name")
	}
	if d.Replace {
		w.op("DEL", stock, nil)
		w.op("DEL", lists, nil)
	}
	if !d.Exists {
		w.op("HSET", w.layout.shard(shardOf(d.SKU)), []any{string(d.SKU), ""})
	}
	f := fields{replace: d.Replace}
	if d.Replace || !d.Exists {
		f.set = append(f.set, fieldGraphVersion, strconv.FormatInt(d.GraphVersion, 10))
	}
	for i := range d.Cells {
		c := &d.Cells[i]
		if emptyCell(c) {
			if id, ok := w.names.known(kindLocation, string(c.Location)); ok {
				f.drop(cellField(id))
			}
			continue
		}
		packed, listed := packCell(c)
		f.put(cellField(w.names.id(kindLocation, string(c.Location))), packed, listed)
	}
	for i := range d.Pools {
		p := &d.Pools[i]
		field := poolField(p.Number)
		if emptyPool(&p.Pool) {
			f.drop(field)
			continue
		}
		w.names.id(kindPool, field[1:])
		packed, listed := packPool(&p.Pool)
		f.put(field, packed, listed)
	}
	for _, q := range d.Demand {
		if q.Quantity == 0 {
			if id, ok := w.names.known(kindGroup, string(q.Group)); ok {
				f.drop(demandField(id))
			}
			continue
		}
		f.put(demandField(w.names.id(kindGroup, string(q.Group))), packDemand(q.Quantity), nil)
	}
	w.op("HDEL", stock, f.gone)
	w.op("HSET", stock, f.set)
	if w.listed(d.SKU) {
		w.op("HDEL", lists, f.listsGone)
	}
	if len(f.lists) > 0 {
		w.op("HSET", lists, f.lists)
		w.lists = append(w.lists, d.SKU)
	}
	return w.reservations(d)
}

// fields are the changes of a SKU's hash and of its sibling.
type fields struct {
	replace                     bool
	set, gone, lists, listsGone []any
}

func (f *fields) put(field string, packed, lists []byte) {
	f.set = append(f.set, field, packed)
	if lists != nil {
		f.lists = append(f.lists, field, lists)
	} else if !f.replace && field[0] != fieldDemand {
		f.listsGone = append(f.listsGone, field)
	}
}

func (f *fields) drop(field string) {
	if f.replace {
		return
	}
	f.gone = append(f.gone, field)
	if field[0] != fieldDemand {
		f.listsGone = append(f.listsGone, field)
	}
}

func (w *write) reservations(d *availability.StockData) error {
	key := w.layout.reservations(d.SKU)
	var set, gone []any
	for i := range d.Reservations {
		r := &d.Reservations[i]
		w.changeDue(d.SKU, r)
		if r.Reservation == nil {
			gone = append(gone, r.ID)
			continue
		}
		packed, err := packReservation(r.Reservation, &w.names)
		if err != nil {
			return fmt.Errorf("reservation %q: %w", r.ID, err)
		}
		set = append(set, r.ID, packed)
	}
	w.op("HDEL", key, gone)
	w.op("HSET", key, set)
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
	var added, removed []any
	for _, member := range w.due {
		if change := w.changes[member]; change.added {
			added = append(added, strconv.FormatInt(int64(change.at), 10), member)
		} else {
			removed = append(removed, member)
		}
	}
	w.op("ZREM", w.layout.due(), removed)
	w.op("ZADD", w.layout.due(), added)
}

func (w *write) ids() {
	dropped := make(map[int64]bool, len(w.c.DropIDs))
	var gone, kept []any
	for _, n := range w.c.DropIDs {
		dropped[n] = true
		gone = append(gone, strconv.FormatInt(n, 10))
		w.op("DEL", w.layout.bucket(n), nil)
	}
	for _, b := range w.c.IDs {
		if dropped[b.Bucket] || len(b.IDs) == 0 {
			continue
		}
		packed := make([]byte, 0, 8*len(b.IDs))
		for _, id := range b.IDs {
			packed = binary.LittleEndian.AppendUint64(packed, id)
		}
		kept = append(kept, strconv.FormatInt(b.Bucket, 10))
		w.op("APPEND", w.layout.bucket(b.Bucket), []any{packed})
	}
	w.op("SREM", w.layout.buckets(), gone)
	w.op("SADD", w.layout.buckets(), kept)
}

func (w *write) owed() {
	if w.c.OwedCleared {
		w.op("DEL", w.layout.owed(), nil)
	}
	var skus []any
	for _, sku := range w.c.OwedAdded {
		skus = append(skus, string(sku))
	}
	w.op("SADD", w.layout.owed(), skus)
}

func (w *write) graphs() {
	var set, gone []any
	for _, g := range w.c.Graphs {
		set = append(set, strconv.FormatInt(g.Version, 10), packGraph(g.Bytes))
	}
	for _, version := range w.c.DropGraphs {
		gone = append(gone, strconv.FormatInt(version, 10))
	}
	w.op("HSET", w.layout.graphs(), set)
	w.op("HDEL", w.layout.graphs(), gone)
}
