package processor

// without says which guards are taken out. It is changed by tests alone, which then must see a promise broken; its zero
// value is the processor as it runs.
var without guards

// guards are the rules that the promises of the package rest on, a switch each.
type guards struct {
	KafkaFirst     bool // the store receives a batch after its transaction
	WitnessEpoch   bool // the epoch of a claim is above that of the offsets' metadata
	Folded         bool // the offsets committed are those folded, not those polled
	UnmovedOffsets bool // a transaction that moves no offset carries member, generation and witness
	Generation     bool // it carries member and generation
	Metadata       bool // it carries the witness
	Stable         bool // committed offsets are asked for with require-stable
	HighWatermark  bool // results are read up to the high watermark, not to what is visible
	Order          bool // a replay folds each event after the deltas that were folded before it
	Decisions      bool // a replay carries out the decisions that stand
	Letters        bool // a replay passes over what stands in dead-letters
	Below          bool // a replay ends at k
	Owed           bool // what a replay touched is published without suppression
	ColdRead       bool // a cold read compares the checkpoint
	Watch          bool // an idle task compares the checkpoint
	Duplicates     bool // ids that were met are looked up
	RestoredIDs    bool // a claim reads the ids that the store remembers
	Assignor       bool // partitions are assigned by range
	Hanging        bool // what hangs of an earlier transaction is ended before anything is written
	Joined         bool // a replay voids what locations had before they joined
	WholeSweep     bool // a witness of another graph or cursor makes the sweep whole
}

// fence says whether the transaction of these batches goes without member and generation.
func (g *guards) fence(results []*folded) bool {
	return g.Generation || g.UnmovedOffsets && !moved(results)
}

// witness says whether it goes without the witness.
func (g *guards) witness(results []*folded) bool {
	return g.Metadata || g.UnmovedOffsets && !moved(results)
}

func moved(results []*folded) bool {
	for _, f := range results {
		if f.commit.Checkpoint.Offsets != f.task.folded.Offsets {
			return true
		}
	}
	return false
}
