package main

import (
	"context"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"onhand/processor"
	"onhand/processor/availability"
)

// changeLog tells which SKUs events have changed.
type changeLog interface {
	// reach reads on, up to both offsets at least, and calls see with each record: which input, its offset, its key.
	reach(ctx context.Context, to [availability.Inputs]int64, see func(input int, offset int64, key []byte)) error
	close()
}

// copiedSKU is what is known of one SKU. A task of a million takes some 150 MB of them.
type copiedSKU struct {
	sku     availability.SKU
	copy    int32 // its newest in the spool; 0: none, or Redis did not have it
	bytes   int32
	looked  bool
	swept   bool                       // changed by something else than a record
	at      [availability.Inputs]int64 // offsets of the checkpoint that the copy is of
	firstAt [availability.Inputs]int64 // of the records not below these: the first, or something before it
	lastAt  [availability.Inputs]int64 // and the last; below 0: none
}

// sku is what is known of a SKU, of a new one nothing.
func (t *taskCopy) sku(name availability.SKU) *copiedSKU {
	s, ok := t.skus[name]
	if !ok {
		s = &copiedSKU{sku: name, firstAt: [availability.Inputs]int64{math.MaxInt64, math.MaxInt64}, lastAt: [availability.Inputs]int64{-1, -1}}
		t.skus[name] = s
		shard := xxhash.Sum64String(string(name)) % availability.SKUShards
		t.shards[shard] = append(t.shards[shard], s)
	}
	return s
}

// note takes a record of the inputs.
func (t *taskCopy) note(input int, offset int64, key []byte) {
	if !t.mine(key) {
		return
	}
	s := t.sku(availability.SKU(key))
	if s.looked && offset < s.at[input] {
		return
	}
	s.firstAt[input], s.lastAt[input] = min(s.firstAt[input], offset), max(s.lastAt[input], offset)
	t.changed[s.sku] = s
}

// stale says whether a SKU may have changed between its copy and the checkpoint.
func (s *copiedSKU) stale(at *availability.Checkpoint) bool {
	for input := range at.Offsets {
		if s.firstAt[input] < at.Offsets[input] {
			return true
		}
	}
	return s.swept
}

// due is how far the next change of a SKU is, in records; 0: it has happened.
func (s *copiedSKU) due(at *availability.Checkpoint) int64 {
	if s.stale(at) {
		return 0
	}
	nearest := int64(math.MaxInt64)
	for input := range at.Offsets {
		nearest = min(nearest, s.firstAt[input]-at.Offsets[input]+1)
	}
	return nearest
}

// touch notes that something else than a record may have changed a SKU. One that nobody has looked at yet will be.
func (t *taskCopy) touch(s *copiedSKU) {
	s.swept = true
	t.changed[s.sku] = s
}

// sweptShards are the parts of the lists that a sweep may have visited between two commits of an epoch: from, up to but
// without to. With the cursor at a part, some of it may be done.
func sweptShards(before, now *availability.Checkpoint) (from, to int) {
	const whole = processor.SweepWhole
	switch {
	case before.SweepCursor == availability.SweepDone && now.SweepCursor == availability.SweepDone && before.GraphVersion == now.GraphVersion:
		return 0, 0
	case before.GraphVersion != now.GraphVersion && before.SweepCursor == availability.SweepDone && now.SweepCursor != availability.SweepDone:
		return 0, int(now.SweepCursor&^whole) + 1
	case before.GraphVersion != now.GraphVersion || before.SweepCursor == availability.SweepDone || now.SweepCursor != availability.SweepDone && before.SweepCursor > now.SweepCursor:
		return 0, availability.SKUShards
	case now.SweepCursor == availability.SweepDone:
		return int(before.SweepCursor &^ whole), availability.SKUShards
	}
	return int(before.SweepCursor &^ whole), int(now.SweepCursor&^whole) + 1
}

// pace spaces out what is done, so many in a second.
type pace struct {
	perSecond int
	next      time.Time
}

// take waits until n more may be done.
func (p *pace) take(ctx context.Context, n int) error {
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	if wait := p.next.Sub(now); wait > 0 && n > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	p.next = p.next.Add(time.Duration(n) * time.Second / time.Duration(p.perSecond))
	return ctx.Err()
}
