package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/topics"
)

// lastUpdate is the last record of a key.
type lastUpdate struct {
	version int64
	record  kgo.Record
	value   []byte // memory of record.Value, kept through tombstones
}

// keep copies a record: it shares memory with all that was fetched with it.
func (l *lastUpdate) keep(r *kgo.Record, version int64) {
	kept := &l.record
	l.version, kept.Topic, kept.Partition, kept.Offset = version, r.Topic, r.Partition, r.Offset
	kept.Key = append(kept.Key[:0], r.Key...)
	l.value = append(l.value[:0], r.Value...)
	if kept.Value = l.value; r.Value == nil {
		kept.Value = nil
	}
	for len(kept.Headers) < len(r.Headers) {
		kept.Headers = append(kept.Headers, kgo.RecordHeader{})
	}
	kept.Headers = kept.Headers[:len(r.Headers)]
	for i, h := range r.Headers {
		kept.Headers[i].Key, kept.Headers[i].Value = h.Key, append(kept.Headers[i].Value[:0], h.Value...)
	}
}

// compareTopic compares the last record of every key, and the versions of all.
func (p *partitionCheck) compareTopic(ctx context.Context, want map[string]availability.Level) error {
	last := make(map[string]*lastUpdate, len(want))
	updates := int64(0)
	err := p.read(ctx, p.wire.names.AvailabilityUpdates, func(r *kgo.Record) error {
		if p.counts(r) {
			updates++
		}
		version, err := versionOf(r)
		if err != nil {
			return err
		}
		l := last[string(r.Key)]
		if l == nil {
			l = &lastUpdate{}
			last[string(r.Key)] = l
		} else if version <= l.version {
			p.wrong("%s: version %d comes after %d", r.Key, version, l.version)
		}
		l.keep(r, version)
		return nil
	})
	if err != nil {
		return err
	}
	for key, l := range last {
		var have availability.Level
		var from topics.Provenance
		if err := p.reader.Update(ctx, &l.record, &have, &from); err != nil {
			p.wrong("%s cannot be read: %v", topics.SourceAt(&l.record), err)
			continue
		}
		if true := want[key]; !sameLevel(&have, &true) {
			p.wrong("%s is published as %s and is %s", key, levelText(&have), levelText(&true))
		}
	}
	balances := int64(0)
	for key, l := range want {
		if last[key] == nil && l.Present {
			p.wrong("%s was never published and is %s", key, levelText(&l))
		}
		if l.Present && l.Place.Type == availability.LocationPlace {
			balances++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Inputs += p.sent
	p.outputs.Updates, p.found.Levels, p.found.Balances = p.outputs.Updates+updates, p.found.Levels+int64(len(last)), p.found.Balances+balances
	return nil
}

// sameLevel is Equal; two levels that are not present are the same.
func sameLevel(a, b *availability.Level) bool {
	return !a.Present && !b.Present || a.Equal(b)
}

// levelText is what a person needs to see of a level that is wrong.
func levelText(l *availability.Level) string {
	if !l.Present {
		return "nothing"
	}
	return fmt.Sprintf("on hand %s, reserved %s, at groups %s, shared %s, ATF %s, ATO %s, shortfall %s, effective %s",
		l.OnHand, l.Reserved, l.GroupReserved, l.SharedGroupReserved, l.ATF, l.ATO, l.Shortfall, instantText(l.EffectiveAt))
}

// versionOf is the version in the header of an update.
func versionOf(r *kgo.Record) (version int64, err error) {
	for _, h := range r.Headers {
		if h.Key == topics.HeaderVersion {
			if version, err = strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				return version, nil
			}
		}
	}
	return 0, fmt.Errorf("%s has no version", topics.SourceAt(r))
}

// compareStore compares the levels that Redis holds of some SKUs, evenly chosen.
func (p *partitionCheck) compareStore(ctx context.Context, want map[string]availability.Level) error {
	skus := slices.Sorted(maps.Keys(p.stocks))
	if each := (len(skus) + benchStoredEach - 1) / benchStoredEach; each > 1 {
		chosen := skus[:0]
		for i := 0; i < len(skus); i += each {
			chosen = append(chosen, skus[i])
		}
		skus = chosen
	}
	for chunk := range slices.Chunk(skus, loadChunk) {
		wants := make([]availability.Want, len(chunk))
		for i, sku := range chunk {
			wants[i] = availability.Want{SKU: sku, All: true}
		}
		var stocks []availability.StockData
		err := askRedis(ctx, p.store, func(ctx context.Context) (err error) {
			stocks, _, err = p.store.Load(ctx, p.number, p.graph, wants)
			return err
		})
		if err != nil {
			return err
		}
		for i := range stocks {
			p.compareStock(&stocks[i], want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found.Stored += int64(len(skus))
	return nil
}

func (p *partitionCheck) compareStock(d *availability.StockData, want map[string]availability.Level) {
	if d.Exists && d.GraphVersion != p.graph.Version {
		p.wrong("Redis has %s of graph version %d, not %d", d.SKU, d.GraphVersion, p.graph.Version)
		return
	}
	have := p.folder.Levels(availability.NewStock(p.graph, d))
	for i := range have {
		key := have[i].Place.ID + "/" + string(d.SKU)
		if true := want[key]; !sameLevel(&have[i], &true) {
			p.wrong("%s is stored as %s and is %s", key, levelText(&have[i]), levelText(&true))
		}
	}
	for _, l := range p.folder.Levels(p.stocks[d.SKU]) {
		if !slices.ContainsFunc(have, func(h availability.Level) bool { return h.Place == l.Place }) {
			p.wrong("%s/%s is not stored and is %s", l.Place.ID, d.SKU, levelText(&l))
		}
	}
}
