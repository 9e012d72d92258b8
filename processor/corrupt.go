package processor

import (
	"maps"
	"slices"

	"onhand/processor/availability"
	"onhand/topics"
)

// A SKU whose bytes in the store cannot be read is set aside, for as long as they cannot: its records become dead letters,
// its levels stay as they were published, and nothing is written to it. The other SKUs of the task go on. Whoever needs the
// SKU reads it again, and finds it mended or not; what is remembered of it is for the log, the gauge and the bound, up to the
// next claim.

// corruptMax is how many SKUs of a task are set aside. More are no single damaged values, but a store that was damaged as a
// whole, or written by something else: then the task stops.
const corruptMax = 16

// setAside takes SKUs that cannot be read out of a batch.
func (t *task) setAside(b *batch, bad *availability.CorruptError) error {
	if b.aside == nil {
		b.aside = make(map[availability.SKU]error)
	}
	if t.corrupt == nil {
		t.corrupt = make(map[availability.SKU]bool)
	}
	for i, sku := range bad.SKUs {
		b.aside[sku] = bad.Errs[i]
		if !t.corrupt[sku] {
			t.corrupt[sku] = true
			t.log.Error("SKU set aside, for it cannot be read; its records become dead letters (runbook: CorruptState)", "sku", sku, "err", bad.Errs[i])
		}
	}
	t.shared.obs.setAside(t.number, len(t.corrupt))
	if len(t.corrupt) > corruptMax {
		return stopped("CorruptState", "restore a backup of the store, which the task then catches up with",
			"the store holds %d SKUs that cannot be read, such as %q: %v", len(t.corrupt), slices.Sorted(maps.Keys(t.corrupt))[0], bad.Errs[0])
	}
	return nil
}

// mended notes that a SKU could be read.
func (t *task) mended(sku availability.SKU) {
	if t.corrupt[sku] {
		delete(t.corrupt, sku)
		t.shared.obs.setAside(t.number, len(t.corrupt))
		t.log.Info("SKU that was set aside can be read again", "sku", sku)
	}
}

// readable are the wants of SKUs that are not set aside.
func (b *batch) readable(wants []availability.Want) []availability.Want {
	return slices.DeleteFunc(slices.Clone(wants), func(w availability.Want) bool { return b.aside[w.SKU] != nil })
}

// refuseAside makes dead letters of the records of SKUs that are set aside. In a replay they are passed over, for what was
// decided and published of them stands and is not decided again: a SKU is mended by going back to a time when it could be
// read, and they are replayed then, or by beginning with nothing.
func (b *batch) refuseAside(replay bool) {
	if len(b.aside) == 0 {
		return
	}
	for i := range b.entries {
		e := &b.entries[i]
		sku, ok := b.skuOf(e)
		if err := b.aside[sku]; ok && err != nil {
			e.refusal, e.silent = topics.RefuseCorruptState(sku, err), replay
			e.delta, e.event, e.tell = -1, -1, -1
		}
	}
}

// skuOf is the SKU of a record that was decoded.
func (b *batch) skuOf(e *entry) (availability.SKU, bool) {
	switch {
	case e.delta >= 0:
		return b.deltas[e.delta].SKU, true
	case e.event >= 0:
		return b.events[e.event].SKU, true
	case e.tell >= 0:
		return b.tells[e.tell].SKU, true
	}
	return "", false
}
