// Package topics is the contract with Kafka: which topics there are, and what a record on each of them means.
//
// It guarantees:
//
//   - A record is either an event that the arithmetic can take as it is, or a [Refusal] with a code of a closed list and a
//     message that says what to do, or an [ErrUnavailable] that is worth waiting for. Nothing a producer sends ends
//     otherwise.
//   - What is written can be read back: a record that a [Writer] made is an event of the same meaning to a [Reader].
//   - A result and a dead letter carry where the record stands that they answer, as [SourceOf] finds it, whatever headers
//     that record had.
//   - Every record of a SKU, in and out, has one partition number: [PartitionOf] its key.
//
// The topics of a namespace stand in one table, [Names.Table]. [Plan] compares it with a cluster, [Apply] makes the
// cluster agree as far as that loses nothing, [Verify] insists.
package topics
