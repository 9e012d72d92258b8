package main

import (
	"context"
	"encoding/binary"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// publishedKeys remembers what availability-updates says of each key of a task, without the levels themselves: their
// digest and where they stand. Of the SKUs that are watched it keeps several records of a key, of others the newest.
type publishedKeys struct {
	reader  *topics.Reader
	selects func(sku string) bool
	places  map[string]string // each text once in memory
	skus    map[availability.SKU][]publishedKey
	watched map[availability.SKU]bool
	higher  map[publishedName]int64 // versions that lower ones have come after, which the processor never does
}

// publishedName is a key of the topic.
type publishedName struct {
	sku   availability.SKU
	place string
}

// publishedKey is the newest records of a place and SKU, oldest first. About 90 bytes with one record.
type publishedKey struct {
	place  string
	newest publishedLevel
	before []publishedLevel // of a watched SKU
}

// publishedLevel is one record of a key.
type publishedLevel struct {
	version int64
	offset  int64
	digest  uint64
}

// digestGone is the digest of a tombstone, and of a key that was never published.
const digestGone = 0

// digestUnreadable is that of a record that cannot be read.
const digestUnreadable = 1

// recordsWatched bounds the records of a key that is watched: Redis trails by two or three commits.
const recordsWatched = 32

func newPublishedKeys(reader *topics.Reader, selects func(sku string) bool) *publishedKeys {
	return &publishedKeys{
		reader: reader, selects: selects, places: make(map[string]string),
		skus: make(map[availability.SKU][]publishedKey), watched: make(map[availability.SKU]bool),
		higher: make(map[publishedName]int64),
	}
}

// take reads a record of availability-updates.
func (k *publishedKeys) take(ctx context.Context, r *kgo.Record) error {
	placeText, sku, ok := strings.Cut(string(r.Key), "/")
	if !ok || !k.selects(sku) {
		return nil
	}
	var level availability.Level
	var from topics.Provenance
	now := publishedLevel{offset: r.Offset, digest: digestUnreadable}
	if err := k.reader.Update(ctx, r, &level, &from); err == nil {
		now.digest = digestOf(&level)
	} else if !isRefusal(err) {
		return err
	}
	now.version = from.Version
	keys := k.skus[availability.SKU(sku)]
	for i := range keys {
		if keys[i].place == placeText {
			if before := keys[i].newest.version; before > now.version {
				name := publishedName{availability.SKU(strings.Clone(sku)), keys[i].place}
				k.higher[name] = max(k.higher[name], before)
			}
			keys[i].add(now, k.watched[availability.SKU(sku)])
			return nil
		}
	}
	place, ok := k.places[placeText]
	if !ok {
		place = strings.Clone(placeText)
		k.places[place] = place
	}
	if keys == nil {
		sku = strings.Clone(sku)
	}
	k.skus[availability.SKU(sku)] = append(keys, publishedKey{place: place, newest: now})
	return nil
}

func (p *publishedKey) add(now publishedLevel, keep bool) {
	if keep {
		if len(p.before) == recordsWatched {
			p.before = append(p.before[:0], p.before[1:]...)
		}
		p.before = append(p.before, p.newest)
	}
	p.newest = now
}

// watch keeps the records of a SKU from now on.
func (k *publishedKeys) watch(sku availability.SKU) { k.watched[sku] = true }

// unwatch forgets all but the newest records of a SKU.
func (k *publishedKeys) unwatch(sku availability.SKU) {
	delete(k.watched, sku)
	keys := k.skus[sku]
	for i := range keys {
		keys[i].before = nil
	}
}

// asOf returns what was published of the key up to a version that is known to be from low to high. Not ok: a record falls
// between, or those up to low are not remembered.
func (p *publishedKey) asOf(low, high int64) (publishedLevel, bool) {
	if p == nil {
		return publishedLevel{digest: digestGone}, true
	}
	for at := len(p.before); at >= 0; at-- {
		level := p.newest
		if at < len(p.before) {
			level = p.before[at]
		}
		if level.version <= low {
			return level, true
		}
		if level.version <= high {
			break
		}
	}
	return publishedLevel{}, false
}

// digestOf is a hash of everything a storefront sees of a level but its version.
func digestOf(l *availability.Level) uint64 {
	if !l.Present {
		return digestGone
	}
	b := make([]byte, 0, 128)
	b = append(b, byte(l.Place.Type))
	for _, n := range []int64{
		int64(l.OnHand), int64(l.Reserved), int64(l.GroupReserved), int64(l.SharedGroupReserved), int64(l.SafetyStock), int64(l.FutureQuantity),
		int64(l.NextExpectedAt), int64(l.ATF), int64(l.ATO), int64(l.Shortfall), int64(l.EffectiveAt),
	} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, f := range l.Futures {
		b = binary.LittleEndian.AppendUint64(b, uint64(f.Quantity))
		b = binary.LittleEndian.AppendUint64(b, uint64(f.Expected))
	}
	return max(xxhash.Sum64(b), digestUnreadable+1)
}
