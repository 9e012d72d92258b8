// Package processor keeps availability true while stock moves: it folds stock deltas and reservation events into the
// balances of a task and publishes every level that changed.
//
// It guarantees, through kill -9 of any process, broker bounces, rebalances, ambiguous time-outs and a store that forgets
// acknowledged writes: every record of the inputs takes effect exactly once, every reservation event gets exactly one
// decision that stands, the version of a level never goes back, and the last record of a key is its true level.
//
// A batch of a task goes this way:
//
//	poll → decode → load → fold → publish + commit offsets (one Kafka transaction) → commit to the store
//
// Kafka first: the store holds nothing that is not published, so recovery only ever goes forward. DESIGN.md has the
// life of a record, the map of the files, and the invariants that are easy to break.
package processor
