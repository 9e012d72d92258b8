package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
	"onhand/topics"
)

// benchDifferences are the levels of locations that a system came to wrongly, by how they are wrong. Groups are sums of
// them and count among the differences of the check alone.
type benchDifferences struct {
	Higher      int64         `json:"higher"` // levels with more on hand than there is
	Lower       int64         `json:"lower"`
	UnitsHigher schemas.Milli `json:"unitsHigher"`
	UnitsLower  schemas.Milli `json:"unitsLower"`
	Missing     int64         `json:"missing"` // not published
}

// compareSystem compares the last record of every key with what it is to be: place, SKU, on hand, ATF, ATO and shortfall,
// and nothing else, for other systems know no versions, promises or dates. The value is an AvailabilityUpdate in Avro, or
// as JSON with the names of its fields.
func (p *partitionCheck) compareSystem(ctx context.Context, want map[string]availability.Level) error {
	last := make(map[string][]byte, len(want))
	updates := int64(0)
	err := p.read(ctx, p.wire.names.AvailabilityUpdates, func(r *kgo.Record) error {
		if p.counts(r) {
			updates++
		}
		if r.Value == nil {
			delete(last, string(r.Key)) // a place that does not have the SKU
		} else {
			last[string(r.Key)] = append(last[string(r.Key)][:0], r.Value...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var d benchDifferences
	for key, value := range last {
		have, err := p.systemLevel(ctx, value)
		if err != nil {
			p.wrong("the value of %s cannot be read: %v", key, err)
			continue
		}
		if have.Place+"/"+have.SKU != key {
			p.wrong("%s is the key of a level of %s at %s", key, have.SKU, have.Place)
			continue
		}
		true, known := want[key]
		if !known {
			p.wrong("%s is published and has no level", key)
			continue
		}
		p.compareLevel(key, have, &true, &d)
	}
	balances := int64(0)
	for key, l := range want {
		if last[key] == nil {
			d.Missing++
			p.wrong("%s is not published and is %s", key, levelText(&l))
		}
		if l.Place.Type == availability.LocationPlace {
			balances++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outputs.Updates, p.found.Inputs = p.outputs.Updates+updates, p.found.Inputs+p.sent
	p.found.Levels, p.found.Balances = p.found.Levels+int64(len(last)), p.found.Balances+balances
	p.found.Differences.add(&d)
	return nil
}

// systemLevel reads a value of either form.
func (p *partitionCheck) systemLevel(ctx context.Context, value []byte) (u schemas.AvailabilityUpdate, err error) {
	if bytes.HasPrefix(value, []byte("{")) {
		err = json.Unmarshal(value, &u)
	} else {
		err = p.decoder.DecodeAvailabilityUpdate(ctx, value, &u)
	}
	return u, err
}

// compareLevel compares one level with what it is to be.
func (p *partitionCheck) compareLevel(key string, have schemas.AvailabilityUpdate, want *availability.Level, d *benchDifferences) {
	true := schemas.AvailabilityUpdate{}
	topics.UpdateRecord(want, &topics.Provenance{}, &true)
	if have.PlaceType == true.PlaceType && have.OnHand == true.OnHand && have.ATF == true.ATF && have.ATO == true.ATO && have.Shortfall == true.Shortfall {
		return
	}
	text := func(u *schemas.AvailabilityUpdate) string {
		return fmt.Sprintf("on hand %s, ATF %s, ATO %s, shortfall %s at a %s", u.OnHand, u.ATF, u.ATO, u.Shortfall, u.PlaceType)
	}
	p.wrong("%s is published as %s and is %s", key, text(&have), text(&true))
	if true.PlaceType != schemas.PlaceLocation {
		return
	}
	if more := have.OnHand - true.OnHand; more > 0 {
		d.Higher, d.UnitsHigher = d.Higher+1, d.UnitsHigher+more
	} else if more < 0 {
		d.Lower, d.UnitsLower = d.Lower+1, d.UnitsLower-more
	}
}

func (d *benchDifferences) add(more *benchDifferences) {
	d.Higher, d.Lower, d.Missing = d.Higher+more.Higher, d.Lower+more.Lower, d.Missing+more.Missing
	d.UnitsHigher, d.UnitsLower = d.UnitsHigher+more.UnitsHigher, d.UnitsLower+more.UnitsLower
}
