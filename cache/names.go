package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The kinds of names: locations and groups are numbered together, and so are the pools in use, so that a reader knows
// which fields a SKU may have. A pool's name is its number.
const (
	kindLocation = 'l'
	kindGroup    = 'g'
	kindPool     = 'p'
	kinds        = "lgp"
)

var (
	errName    = errors.New("short id is not in the dictionary")
	errSibling = errors.New("movements and futures are not in the sibling key")
	errVersion = errors.New("graph version is missing")
	errType    = errors.New("the key is no hash")
)

// dictionary numbers the locations, groups and pools that a task's state names, in order of first use. It is immutable.
//
// It is part of the state and rolls back with it. So every state says by its mark which dictionary it was written with,
// and none but that is used: after a rollback, a number could mean another location.
type dictionary struct {
	names []string // by short id: kind, then the name
	ids   map[string]uint32
	mark  mark
}

func newDictionary(names []string) *dictionary {
	d := &dictionary{ids: make(map[string]uint32, len(names))}
	d.add(names)
	return d
}

func (d *dictionary) add(names []string) {
	for _, name := range names {
		d.ids[name] = uint32(len(d.names))
		d.names = append(d.names, name)
		d.mark = d.mark.next(name)
	}
}

// next is the mark of one name more.
func (m mark) next(name string) mark {
	var h xxhash.Digest
	h.Reset()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, m.hash))
	_, _ = h.WriteString(name)
	return mark{m.count + 1, h.Sum64()}
}

// name returns what a short id stands for.
func (d *dictionary) name(kind byte, id uint64) (string, error) {
	if id >= uint64(len(d.names)) || d.names[id][0] != kind {
		return "", fmt.Errorf("%w: %c%d", errName, kind, id)
	}
	return d.names[id][1:], nil
}

// with returns a dictionary of more names.
func (d *dictionary) with(more []string) *dictionary {
	if len(more) == 0 {
		return d
	}
	next := &dictionary{names: slices.Clip(d.names), ids: maps.Clone(d.ids), mark: d.mark}
	next.add(more)
	return next
}

// namer numbers the names of one commit: those that the dictionary lacks get the next numbers.
type namer struct {
	*dictionary
	fresh map[string]uint32
	added []string
}

func (n *namer) id(kind byte, name string) uint32 {
	id, ok := n.known(kind, name)
	if !ok {
		if n.fresh == nil {
			n.fresh = make(map[string]uint32)
		}
		key := string(rune(kind)) + name
		id = uint32(len(n.names) + len(n.added))
		n.fresh[key] = id
		n.added = append(n.added, key)
	}
	return id
}

// known returns the number of a name that has one.
func (n *namer) known(kind byte, name string) (uint32, bool) {
	key := string(rune(kind)) + name
	if id, ok := n.ids[key]; ok {
		return id, true
	}
	id, ok := n.fresh[key]
	return id, ok
}

// readNames builds the dictionary from the fields and values of its key. They are without a gap and as the mark says, or
// it is corrupt.
func readNames(pairs []string, m mark) (*dictionary, error) {
	names := make([]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		id, err := strconv.Atoi(pairs[i])
		if err != nil || id < 0 || id >= len(names) || names[id] != "" {
			return nil, fmt.Errorf("short id %q: %w", pairs[i], errContent)
		}
		if name := pairs[i+1]; len(name) < 2 || !strings.ContainsRune(kinds, rune(name[0])) {
			return nil, fmt.Errorf("name of %s: %w", pairs[i], errContent)
		}
		names[id] = pairs[i+1]
	}
	d := newDictionary(names)
	if len(pairs)%2 != 0 || d.mark != m {
		return nil, fmt.Errorf("%d names are not those of the checkpoint, which has %d: %w", len(names), m.count, errChecksum)
	}
	return d, nil
}
