package cache

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onhand/processor/availability"
)

// loading is one call of loadScript.
type loading struct {
	keys         keys
	names        *dictionary
	graphVersion string
	wants        []availability.Want
	reservations bool     // all of them
	common       []string // fields that every part needs: pools and demand
	stocks       []availability.StockData
	listed       []availability.SKU // that have a sibling key
}

func (l *loading) request() (names []string, args []any) {
	l.common = l.common[:0]
	for id, name := range l.names.names {
		switch name[0] {
		case kindGroup:
			l.common = append(l.common, demandField(uint32(id)))
		case kindPool:
			l.common = append(l.common, name)
		}
	}
	names = append(make([]string, 0, 2+3*len(l.wants)), l.keys.checkpoint(), l.keys.names())
	args = append(args, l.names.mark.append(nil), l.graphVersion, availability.FewReservations, len(l.common))
	for _, field := range l.common {
		args = append(args, field)
	}
	for i := range l.wants {
		w := &l.wants[i]
		names = append(names, l.keys.stock(w.SKU), l.keys.lists(w.SKU), l.keys.reservations(w.SKU))
		if w.All || w.Whole {
			args = append(args, -1)
		} else {
			fields := l.cells(w)
			args = append(args, len(fields))
			for _, id := range fields {
				args = append(args, cellField(id))
			}
		}
		if l.reservations || w.Whole {
			args = append(args, -1)
			continue
		}
		args = append(args, len(w.Reservations))
		for _, id := range w.Reservations {
			args = append(args, id)
		}
	}
	return names, args
}

// parts says whether a want was asked for by fields, which depend on the dictionary.
func (l *loading) parts() bool {
	return slices.ContainsFunc(l.wants, func(w availability.Want) bool { return !w.All && !w.Whole })
}

// unpackNames takes in the dictionary that came with the reply, if the one at hand is another.
func (l *loading) unpackNames(reply []any) (availability.CommitID, error) {
	head := text(reply[0])
	id, m, err := unpackHead([]byte(head))
	if err != nil {
		return id, corrupt(l.keys.checkpoint(), "", err)
	}
	var pairs []string
	for _, s := range list(reply[1]) {
		pairs = append(pairs, text(s))
	}
	if head == "" && len(pairs) > 0 {
		return id, leftover(l.keys)
	}
	if m == l.names.mark {
		return id, nil
	}
	if l.names, err = readNames(pairs, m); err != nil {
		return id, corrupt(l.keys.names(), "", err)
	}
	return id, nil
}

// cells returns the short ids of the locations wanted. One without has no cell of any SKU.
func (l *loading) cells(w *availability.Want) []uint32 {
	ids := make([]uint32, 0, len(w.Locations))
	for _, location := range w.Locations {
		if id, ok := l.names.ids[string(rune(kindLocation))+string(location)]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// unpack reads every SKU. Those that cannot be read make an availability.CorruptError together; a format of another version
// of onhand is no matter of single SKUs.
func (l *loading) unpack(replies []any) error {
	l.stocks = make([]availability.StockData, len(l.wants))
	var bad availability.CorruptError
	for i := range l.wants {
		reply, ok := replies[i].([]any)
		if !ok || len(reply) != 5 {
			return corrupt(l.keys.stock(l.wants[i].SKU), "", errContent)
		}
		err := l.unpackStock(&l.wants[i], reply, &l.stocks[i])
		if errors.Is(err, errFormat) {
			return err
		}
		if err != nil {
			bad.Add(l.wants[i].SKU, err)
		}
	}
	if len(bad.SKUs) > 0 {
		return &bad
	}
	return nil
}

func (l *loading) unpackStock(w *availability.Want, reply []any, d *availability.StockData) error {
	d.SKU = w.SKU
	values, lists := list(reply[1]), list(reply[2])
	if len(lists) > 0 {
		l.listed = append(l.listed, d.SKU)
	}
	var fields []string
	switch text(reply[0]) {
	case "none":
		d.Complete = true
	case "lost":
		return corrupt(l.keys.stock(w.SKU), fieldGraphVersion, errVersion)
	case "wrong":
		return corrupt(text(values[0]), "", errType)
	case "whole":
		d.Exists, d.Complete = true, true
		fields, values = apart(values)
		siblings, packed := apart(lists)
		lists = align(fields, siblings, packed)
	default:
		d.Exists = true
		fields = append(append(fields, fieldGraphVersion), l.common...)
		for _, id := range l.cells(w) {
			fields = append(fields, cellField(id))
		}
	}
	for i, field := range fields {
		value, ok := values[i].(string)
		if !ok {
			continue
		}
		var sibling []byte
		if i < len(lists) {
			if s, ok := lists[i].(string); ok {
				sibling = []byte(s)
			}
		}
		before := *d
		if err := l.unpackField(d, field, []byte(value), sibling); err != nil && w.Whole && (field[0] == fieldPool || field[0] == fieldDemand) {
			*d = before
		} else if err != nil {
			return corrupt(l.keys.stock(w.SKU), field, err)
		}
	}
	slices.SortFunc(d.Cells, func(a, b availability.Cell) int { return cmp.Compare(a.Location, b.Location) })
	slices.SortFunc(d.Pools, func(a, b availability.PoolData) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(d.Demand, func(a, b availability.DemandData) int { return cmp.Compare(a.Group, b.Group) })
	d.Every = reply[4] == int64(1)
	return l.unpackReservations(w, list(reply[3]), d)
}

func (l *loading) unpackField(d *availability.StockData, field string, value, sibling []byte) (err error) {
	switch field[0] {
	case fieldGraphVersion[0]:
		var bad error
		if d.GraphVersion, bad = strconv.ParseInt(string(value), 10, 64); bad != nil {
			return errContent
		}
	case fieldPool:
		var p availability.PoolData
		number, bad := strconv.ParseInt(field[1:], 10, 32)
		if p.Number = int32(number); bad != nil {
			return errContent
		}
		p.Pool, err = unpackPool(value, sibling)
		d.Pools = append(d.Pools, p)
	case fieldDemand:
		var q availability.DemandData
		name, bad := l.nameOf(kindGroup, field[1:])
		if bad != nil {
			return bad
		}
		q.Group = availability.GroupID(name)
		q.Quantity, err = unpackDemand(value)
		d.Demand = append(d.Demand, q)
	default:
		name, bad := l.nameOf(kindLocation, field)
		if bad != nil {
			return bad
		}
		c, bad := unpackCell(value, sibling)
		c.Location = availability.LocationID(name)
		d.Cells, err = append(d.Cells, c), bad
	}
	return err
}

func (l *loading) nameOf(kind byte, id string) (string, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return "", errContent
	}
	return l.names.name(kind, n)
}

// unpackReservations keeps the order of the want, and an entry for what the store does not have. If all have come, they
// are in order of their ids, and those that the store does not have stand at the end.
func (l *loading) unpackReservations(w *availability.Want, values []any, d *availability.StockData) error {
	ids := w.Reservations
	if d.Every {
		ids, values = apart(values)
	}
	for i, id := range ids {
		r := availability.ReservationData{ID: id}
		if packed, ok := values[i].(string); ok {
			var err error
			if r.Reservation, err = unpackReservation([]byte(packed), l.names); err != nil {
				return corrupt(l.keys.reservations(w.SKU), id, err)
			}
		}
		d.Reservations = append(d.Reservations, r)
	}
	if d.Every {
		inOrder(d, w.Reservations)
	}
	return nil
}

// inOrder sorts all reservations of a SKU, and adds an entry for each id wanted that is none of them.
func inOrder(d *availability.StockData, wanted []string) {
	slices.SortFunc(d.Reservations, func(a, b availability.ReservationData) int { return cmp.Compare(a.ID, b.ID) })
	for all, i := d.Reservations, 0; i < len(wanted); i++ {
		_, found := slices.BinarySearchFunc(all, wanted[i], func(r availability.ReservationData, id string) int { return cmp.Compare(r.ID, id) })
		if !found {
			d.Reservations = append(d.Reservations, availability.ReservationData{ID: wanted[i]})
		}
	}
}

// text is a reply that should be a string; it is empty if it is none.
func text(reply any) string {
	s, _ := reply.(string)
	return s
}

func list(reply any) []any {
	l, _ := reply.([]any)
	return l
}

// apart takes fields and values that come in turn apart.
func apart(pairs []any) (fields []string, values []any) {
	fields, values = make([]string, 0, len(pairs)/2), make([]any, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		fields, values = append(fields, text(pairs[i])), append(values, pairs[i+1])
	}
	return fields, values
}

// align returns the values of the siblings in the order of the fields.
func align(fields, siblings []string, values []any) []any {
	if len(siblings) == 0 {
		return nil
	}
	at := make(map[string]any, len(siblings))
	for i, field := range siblings {
		at[field] = values[i]
	}
	aligned := make([]any, len(fields))
	for i, field := range fields {
		aligned[i] = at[field]
	}
	return aligned
}

func corrupt(key, field string, err error) error {
	if field != "" {
		key += " field " + strings.ToValidUTF8(strconv.Quote(field), "")
	}
	return fmt.Errorf("%w: %s: %w", availability.ErrCorrupt, key, err)
}

func leftover(k keys) error {
	return fmt.Errorf("%w: %s is missing, yet %s is there: restore a snapshot, or delete every key that begins with %s to build the task anew",
		availability.ErrCorrupt, k.checkpoint(), k.names(), k.prefix)
}
