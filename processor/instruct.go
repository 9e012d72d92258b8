package processor

import (
	"onhand/processor/availability"
	"onhand/topics"
)

// An instruction is a record of stock-deltas that onhand writes to itself, and that a task folds at its place in the log
// like any other, so that a replay decides the same. The task writes drop-overdue by itself, see expire.go; onhand audit
// --repair writes republish.

// wantsOf is what an instruction needs of its SKU.
func wantsOf(g *availability.Graph, i *topics.Instruction) availability.Want {
	if i.Kind == topics.Republish {
		return availability.Want{SKU: i.SKU, Whole: true}
	}
	return g.Wants(&availability.Delta{SKU: i.SKU, Location: i.Location})
}

// instruct folds an instruction.
func (f *folded) instruct(s *availability.Stock, i int) {
	b, folder := f.batch, f.task.folder
	tell := &b.tells[b.entries[i].tell]
	if tell.Kind == topics.Republish {
		folder.Republish(s, tell.Places, i)
	} else if folder.DropOverdue(s, tell.Location, tell.Until, i) == availability.Stale {
		f.counts.stale++
		return
	}
	f.counts.applied++
}

// rise makes the version of a batch higher than those that its republished SKUs have in the topic, where somebody else wrote
// them. It begins the next epoch above: epochs are the task's to give, and whoever claims it takes a higher one.
func (b *batch) rise(next *availability.Checkpoint) {
	for i := range b.tells {
		if tell := &b.tells[i]; tell.Kind == topics.Republish && tell.Above >= next.Version() {
			next.Epoch, next.CommitSeq = availability.EpochOf(tell.Above)+1, 0
		}
	}
}

// indexed is what the store's index of due futures learns of a batch: of dates that came only where futures are dropped, of
// those that went in any case, as the setting may have been another.
func (t *task) indexed(changes []availability.FutureDue) []availability.FutureDue {
	if t.shared.DropOverdue {
		return changes
	}
	var removed []availability.FutureDue
	for _, c := range changes {
		if c.Removed {
			removed = append(removed, c)
		}
	}
	return removed
}
