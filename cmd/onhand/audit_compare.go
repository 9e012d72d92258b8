package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// auditRange is the version that Redis was read at, from low to high, and the newest that the task may have published.
type auditRange struct {
	low, high, known int64
}

// differences returns every field of a SKU that is not the same in Redis, computed anew, and in the topic as of a version
// in the range. Not ok: the topic's records cannot be told apart yet. What the topic has is filled in only for places
// that differed before, for it is read again from there.
func (t *auditTask) differences(ctx context.Context, s *auditedSKU, at *auditRange) (found []auditDifference, ok bool, err error) {
	difference := auditDifference{Task: t.number, SKU: string(s.sku), GraphVersion: s.data.GraphVersion}
	if s.corrupt != "" {
		difference.Field, difference.Stored, difference.Computed = "bytes", &s.corrupt, "readable"
		return []auditDifference{difference}, true, nil
	}
	for _, place := range t.placesOf(s) {
		key := t.published.key(s.sku, place)
		if key != nil {
			s.ahead(key, at.known, time.Now())
			if version, foreign := t.foreignVersion(s, key); foreign {
				found = append(found, versionRow(difference, place, min(key.newest.version, at.known), version))
				continue
			}
		}
		record, known := key.asOf(at.low, at.high)
		if !known {
			return nil, false, nil
		}
		stored, computed := levelAt(s.audit.Stored, s.sku, place), levelAt(s.audit.Levels, s.sku, place)
		published := computed
		switch record.digest {
		case digestOf(&computed):
			if stored.Equal(&computed) {
				continue
			}
		case digestUnreadable:
			found = append(found, unreadableRow(difference, &computed))
			continue
		default:
			if published, err = t.publishedAt(ctx, s, place, &record); err != nil {
				return nil, false, err
			}
		}
		found = append(found, levelRows(difference, &stored, &computed, &published)...)
	}
	return append(found, auditRows(difference, &s.audit, found)...), true, nil
}

// placesOf are the places that the SKU has a level at, anywhere.
func (t *auditTask) placesOf(s *auditedSKU) []string {
	var places []string
	seen := make(map[string]bool)
	add := func(place string) {
		if !seen[place] {
			seen[place] = true
			places = append(places, place)
		}
	}
	for i := range s.audit.Levels {
		add(s.audit.Levels[i].Place.ID)
	}
	for i := range s.audit.Stored {
		add(s.audit.Stored[i].Place.ID)
	}
	for _, key := range t.published.skus[s.sku] {
		add(key.place)
	}
	return places
}

// key returns what is known of a key, nil if nothing was published.
func (k *publishedKeys) key(sku availability.SKU, place string) *publishedKey {
	keys := k.skus[sku]
	for i := range keys {
		if keys[i].place == place {
			return &keys[i]
		}
	}
	return nil
}

// levelAt returns the level of a place, one that is not present if there is none.
func levelAt(levels []availability.Level, sku availability.SKU, place string) availability.Level {
	for i := range levels {
		if levels[i].Place.ID == place {
			return levels[i]
		}
	}
	return availability.Level{SKU: sku, Place: availability.Place{ID: place}, EffectiveAt: availability.None, NextExpectedAt: availability.None}
}

// publishedAt reads a level again from the topic. Where the place did not differ before, it is only said to be there: the
// next look will tell.
func (t *auditTask) publishedAt(ctx context.Context, s *auditedSKU, place string, record *publishedLevel) (availability.Level, error) {
	level := levelAt(nil, s.sku, place)
	if record.digest == digestGone {
		return level, nil
	}
	level.Present = true
	if !s.suspect[place] {
		return level, nil
	}
	read := func(r *kgo.Record) error {
		if r.Offset != record.offset {
			return nil // compaction took it: a newer one is there, and the next audit sees it
		}
		var from topics.Provenance
		return explainRegistry(t.wire.config, t.wire.reader.Update(ctx, r, &level, &from))
	}
	at := map[int32]span{t.number: {record.offset, record.offset + 1}}
	return level, t.wire.readSpans(ctx, t.wire.names.AvailabilityUpdates, at, read)
}

// levelFields are the fields of a level as text, in the order and with the names of AvailabilityUpdate.
func levelFields(l *availability.Level) [][2]string {
	return [][2]string{
		{"placeType", placeTypeText(l.Place.Type)},
		{"onHand", l.OnHand.String()},
		{"reserved", l.Reserved.String()},
		{"groupReserved", l.GroupReserved.String()},
		{"sharedGroupReserved", l.SharedGroupReserved.String()},
		{"safetyStockCount", l.SafetyStock.String()},
		{"futures", futuresText(l.Futures)},
		{"futureQuantity", l.FutureQuantity.String()},
		{"nextExpectedDate", instantText(l.NextExpectedAt)},
		{"atf", l.ATF.String()},
		{"ato", l.ATO.String()},
		{"shortfall", l.Shortfall.String()},
		{"effectiveDate", instantText(l.EffectiveAt)},
	}
}

// levelRows are the fields in which three levels of a place are not the same. Where one is not there, that is all.
func levelRows(d auditDifference, stored, computed, published *availability.Level) (rows []auditDifference) {
	d.Place = computed.Place.ID
	row := func(field, stored, computed, published string) {
		if stored != computed || published != computed {
			d.Field, d.Stored, d.Computed, d.Published = field, &stored, computed, &published
			rows = append(rows, d)
		}
	}
	row("level", presence(stored), presence(computed), presence(published))
	if len(rows) > 0 || !computed.Present {
		return rows
	}
	was, is, told := levelFields(stored), levelFields(computed), levelFields(published)
	for i := range is {
		row(is[i][0], was[i][1], is[i][1], told[i][1])
	}
	return rows
}

func presence(l *availability.Level) string {
	if l.Present {
		return "present"
	}
	return "none"
}

// versionRow is for a record of the topic with a version that the task has not given out. What else differs at the place does
// not matter: whoever follows the topic ignores all that comes below.
func versionRow(d auditDifference, place string, own, foreign int64) auditDifference {
	text := strconv.FormatInt(foreign, 10)
	d.Place, d.Field, d.Computed, d.Published = place, "version", strconv.FormatInt(own, 10), &text
	return d
}

// unreadableRow is for a record of the topic that holds no level.
func unreadableRow(d auditDifference, computed *availability.Level) auditDifference {
	text := "a record that cannot be read"
	d.Place, d.Field, d.Computed, d.Published = computed.Place.ID, "level", presence(computed), &text
	return d
}

// auditRows are the pools, and the reserved quantities of places that no level has named.
func auditRows(d auditDifference, a *availability.Audit, levels []auditDifference) (rows []auditDifference) {
	named := make(map[string]bool)
	for i := range levels {
		named[levels[i].Place] = true
	}
	row := func(field, stored, computed string) {
		if stored != computed {
			d.Field, d.Stored, d.Computed, d.Published = field, &stored, computed, nil
			rows = append(rows, d)
		}
	}
	for _, held := range a.Reserved {
		if d.Place = held.Place.ID; !named[d.Place] {
			row("reserved", held.Stored.String(), held.Computed.String())
		}
	}
	for i := range a.Pools {
		p := &a.Pools[i]
		d.Place = poolText(p)
		row("members", fmt.Sprint(p.Stored.Members), fmt.Sprint(p.Computed.Members))
		row("onHand", p.Stored.OnHand.String(), p.Computed.OnHand.String())
		row("reserved", p.Stored.Reserved.String(), p.Computed.Reserved.String())
		row("safetyStockCount", p.Stored.SafetyStock.String(), p.Computed.SafetyStock.String())
		row("futures", futuresText(p.Stored.Futures), futuresText(p.Computed.Futures))
		row("atf", p.Stored.ATF.String(), p.Computed.ATF.String())
		row("ato", p.Stored.ATO.String(), p.Computed.ATO.String())
		row("effectiveDate", instantText(p.Stored.EffectiveAt), instantText(p.Computed.EffectiveAt))
	}
	return rows
}

// poolText names a pool by its locations, the first of them.
func poolText(p *availability.PoolAudit) string {
	const shown = 3
	var names []string
	for _, id := range p.Locations[:min(shown, len(p.Locations))] {
		names = append(names, string(id))
	}
	if len(p.Locations) > shown {
		names = append(names, "…")
	}
	return fmt.Sprintf("pool %d (%s)", p.Number, strings.Join(names, ", "))
}

func placeTypeText(t availability.PlaceType) string {
	if t == availability.GroupPlace {
		return "group"
	}
	return "location"
}

func futuresText(futures []availability.Future) string {
	var list []string
	for _, f := range futures {
		list = append(list, f.Quantity.String()+" at "+instantText(f.Expected))
	}
	return orDash(strings.Join(list, ", "))
}

func instantText(at availability.Instant) string {
	if at == availability.None {
		return "-"
	}
	return time.UnixMicro(int64(at)).UTC().Format(time.RFC3339Nano)
}
