package cache

import (
	"strconv"

	"github.com/cespare/xxhash/v2"

	"onhand/processor/availability"
)

// The keys of task 17 in namespace onhand. They begin with the hash tag {onhand:17}, so that Redis Cluster keeps them in
// one slot and one script may write them all.
//
//	┌────────────┬────────┬──────────────────────────────┬───────────────────────────────────────────────────────────┐
//	│ {…}:c      │ STRING │ the checkpoint               │ see checkpoint.go; written last in every commit           │
//	│ {…}:n      │ HASH   │ short id → kind, name        │ numbers for 'l'ocations, 'g'roups, 'p'ools, by first use  │
//	│ {…}:s:SKU  │ HASH   │ v → graph version            │ decimal, 2 to 4 bytes                                     │
//	│            │        │ short id → cell              │ 14 bytes for a count, 21 with a movement                  │
//	│            │        │ p number → pool              │ about 20 bytes                                            │
//	│            │        │ g short id → demand          │ 3 to 5 bytes                                              │
//	│ {…}:m:SKU  │ HASH   │ as in s → movements, futures │ those for which 64 bytes in s are too few                 │
//	│ {…}:r:SKU  │ HASH   │ reservation id → reservation │ about 45 bytes with one line and one request              │
//	│ {…}:l:N    │ HASH   │ SKU → empty                  │ the SKUs of shard N, 0 to 1023: xxhash64(SKU) mod 1024    │
//	│ {…}:i      │ SET    │ numbers of the buckets       │                                                           │
//	│ {…}:i:N    │ STRING │ ids met in bucket N          │ 8 bytes each, little-endian, in order of appearance       │
//	│ {…}:d      │ ZSET   │ SKU NUL reservation NUL date │ an expiry; score: the date in µs, exact up to year 2255   │
//	│            │        │ NUL SKU NUL location NUL date│ the earliest future there; if futures are to be dropped   │
//	│ {…}:o      │ SET    │ SKUs owed                    │                                                           │
//	│ {…}:g      │ HASH   │ graph version → graph        │ 5 bytes, then the record's bytes, above 1 KiB zstd        │
//	│ {…}:restore│ STRING │ as in c                      │ while the task is restored, and only then; see restore.go │
//	└────────────┴────────┴──────────────────────────────┴───────────────────────────────────────────────────────────┘
//
// Beside them stands the HASH {onhand:schemas}, see schemas.go.
//
// No value in s exceeds 64 bytes unless quantities do 10¹³ units, so that a SKU at up to some 500 places stays a
// listpack, which needs a third of the memory of a hash table. Names are numbers for the same reason: a listpack keeps
// 0 to 127 in one byte.
type keys struct {
	prefix string // the hash tag and a colon
}

// What stands between the prefix and the SKU.
const (
	keyStock        = "s:"
	keyLists        = "m:"
	keyReservations = "r:"
)

func keysOf(namespace string, task int32) keys {
	return keys{"{" + namespace + ":" + strconv.Itoa(int(task)) + "}:"}
}

func (k keys) checkpoint() string                { return k.prefix + "c" }
func (k keys) restore() string                   { return k.prefix + "restore" }
func (k keys) names() string                     { return k.prefix + "n" }
func (k keys) stock(sku availability.SKU) string { return k.prefix + keyStock + string(sku) }
func (k keys) lists(sku availability.SKU) string { return k.prefix + keyLists + string(sku) }
func (k keys) reservations(sku availability.SKU) string {
	return k.prefix + keyReservations + string(sku)
}
func (k keys) shard(n int) string    { return k.prefix + "l:" + strconv.Itoa(n) }
func (k keys) buckets() string       { return k.prefix + "i" }
func (k keys) bucket(n int64) string { return k.prefix + "i:" + strconv.FormatInt(n, 10) }
func (k keys) due() string           { return k.prefix + "d" }
func (k keys) owed() string          { return k.prefix + "o" }
func (k keys) graphs() string        { return k.prefix + "g" }
func shardOf(sku availability.SKU) int {
	return int(xxhash.Sum64String(string(sku)) % availability.SKUShards)
}

// The fields of a SKU's hash. A cell's is its location's short id alone.
const (
	fieldGraphVersion = "v"
	fieldPool         = 'p'
	fieldDemand       = 'g'
)

func cellField(id uint32) string   { return strconv.FormatUint(uint64(id), 10) }
func demandField(id uint32) string { return string(fieldDemand) + strconv.FormatUint(uint64(id), 10) }
