// Package schemas is the contract in bytes: what a value on a topic looks like, for every version ever released.
//
// It guarantees:
//
//   - A record that some released version of this package encoded can be decoded by this one, into the same meaning.
//   - Decoding never changes a quantity: what is not a multiple of 0.001, or does not fit 18 digits, is an error.
//   - No value makes decoding allocate more than 16 MiB, whoever wrote it and with whatever schema; preparing a schema,
//     once per id, is apart.
//   - A schema id that was decoded once is known for as long as the process lives; a registry that is down stops only
//     ids that were never seen, with [ErrUnavailable].
//
// The five records are [StockDelta], [ReservationEvent], [ReservationResult], [AvailabilityUpdate] and [LocationGraph],
// each defined by the *.avsc file of its name. A value is framed as Confluent's serializers do it:
//
//	+------+----------------------+-------------------+
//	| 0x00 | schema id, 4 bytes,  | Avro binary, with |
//	|      | big endian           | the schema of id  |
//	+------+----------------------+-------------------+
//
// AppendStockDelta and its siblings encode with the embedded schema. A [Decoder] decodes with the schema of the writer:
// where that has the same shape as the embedded one, by code written for it; every other one through goavro, projected by
// field name onto the embedded schema and its defaults. A [Registry] finds schemas by id, and registers and checks ours.
//
// Quantities are [Milli], thousandths of a stock unit; times are [Micros], microseconds since the Unix epoch in UTC. The
// JSON form of the records, for people and scripts, has the field names of the schema, quantities as decimal strings and
// times in RFC 3339. It carries every field: the defaults of the schema do not apply to JSON.
package schemas
