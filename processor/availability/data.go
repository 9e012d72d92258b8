package availability

import "errors"

// ErrFenced is returned by a store's commit when the task's checkpoint is neither the one expected nor the one to write:
// another owner has it, or the store has forgotten. The task drops what it holds and claims again.
var ErrFenced = errors.New("checkpoint of another commit is in place")

// ErrCorrupt is returned by a store that cannot read what it kept.
var ErrCorrupt = errors.New("stored bytes are corrupt")

// CorruptError is an ErrCorrupt of single SKUs: all else that was asked for could be read.
type CorruptError struct {
	SKUs []SKU
	Errs []error // in the order of SKUs: names key and field
}

// Add adds a SKU and why it cannot be read.
func (e *CorruptError) Add(sku SKU, err error) {
	e.SKUs, e.Errs = append(e.SKUs, sku), append(e.Errs, err)
}

// Error joins Errs.
func (e *CorruptError) Error() string { return errors.Join(e.Errs...).Error() }

// Unwrap returns Errs.
func (e *CorruptError) Unwrap() []error { return e.Errs }

// ErrDenied is wrapped by what a store returns when it refuses the user it is asked as: a right is missing, or the password
// is wrong. The error says which. Only an operator can mend it, at any time: ask again later.
var ErrDenied = errors.New("the store refuses the user")

// StockData is a SKU as a store keeps it, in whole or in part. A store returns what was asked for; a commit carries what
// changed.
type StockData struct {
	SKU          SKU
	Exists       bool  // the store has the SKU. In a commit: it is in the store's list of SKUs already
	GraphVersion int64 // version of the graph that Pools were computed with
	Complete     bool  // from a store: every cell, pool and demand is here
	Replace      bool  // in a commit: forget all but reservations of the SKU first

	Cells        []Cell
	Pools        []PoolData
	Demand       []DemandData
	Reservations []ReservationData
	Every        bool        // from a store: every reservation is here
	FuturesDue   []FutureDue // in a commit: changes to the index of futures, in their order
}

// FutureDue is a date that the index of futures gets for a location of a SKU, or loses. It has the earliest of each
// location; getting one that it has, or losing one that it has not, changes nothing.
type FutureDue struct {
	Location LocationID
	At       Instant
	Removed  bool
}

// FewReservations is up to how many reservations of a SKU a store returns all where it is asked for one.
const FewReservations = 64

// PoolData is a pool of two or more locations, by its number in the graph of StockData.GraphVersion.
type PoolData struct {
	Number int32
	Pool
}

// DemandData is what is reserved at a group and not transferred to a location. Zero in a commit: forget it.
type DemandData struct {
	Group    GroupID
	Quantity Quantity
}

// ReservationData is one reservation of the SKU. A nil Reservation: the store has none by that id, or shall forget it.
type ReservationData struct {
	ID          string
	Reservation *Reservation
	DueAdded    []Instant // in a commit: expiries that the reservation got
	DueRemoved  []Instant // and lost
}

// Want names what a batch needs of one SKU.
type Want struct {
	SKU          SKU
	All          bool         // every cell, pool and demand
	Whole        bool         // All, and every reservation; pools and demand that cannot be read are left out, for one who computes them anew
	Locations    []LocationID // if not All: these cells, and every pool and demand
	Reservations []string
}

// Checkpoint says which prefix of the inputs a task's state reflects. It is stored with that state, in one write.
type Checkpoint struct {
	CommitID     CommitID // random; what the next commit compares
	Epoch        int64    // of the claim that wrote it
	CommitSeq    int64    // commits since the claim
	Offsets      [Inputs]int64
	Origin       [Inputs]int64 // log start of each input at the first claim ever
	Results      int64         // where in reservation-results the results of later records begin
	DeadLetters  int64         // the same in dead-letters
	GraphVersion int64         // adopted
	SweepCursor  int64         // SKU shards visited with GraphVersion; SweepDone: all
	Partitions   int32
	Newest       Instant // newest record timestamp folded
}

// Inputs is the number of input topics of a task; Deltas and Events index what is kept for each.
const (
	Deltas = iota
	Events
	Inputs
)

// SweepDone is the SweepCursor of a task whose every SKU was computed with its GraphVersion.
const SweepDone = -1

// CommitID names one commit. The zero value names the state before the first.
type CommitID [16]byte

// Version orders the levels of a key: epochs first, commits within an epoch next. Below 2⁴⁰ commits in an epoch.
func (c *Checkpoint) Version() int64 { return c.Epoch<<40 + c.CommitSeq }

// EpochOf is the epoch that a version, which is not negative, is of.
func EpochOf(version int64) int64 { return version >> 40 }

// Commit is one write of a task: it succeeds as a whole, and only if the task's checkpoint still has the id Expect.
type Commit struct {
	Expect      CommitID
	Checkpoint  Checkpoint
	Stocks      []StockData
	IDs         []IDBatch // ids to remember
	DropIDs     []int64   // buckets to forget
	OwedAdded   []SKU     // to publish without suppression once a replay is over
	OwedCleared bool
	Graphs      []GraphData // versions that SKUs were computed with
	DropGraphs  []int64
}

// SKUShards is in how many parts a store lists the SKUs of a task. A SKU stands in part xxhash64(SKU) mod SKUShards.
const SKUShards = 1024

// Due is a reservation with a line that expires, or a location with a future that is expected.
type Due struct {
	At            Instant
	SKU           SKU
	ReservationID string
	Location      LocationID // not empty: a future there
}

// GraphData is a published graph as its record had it.
type GraphData struct {
	Version int64
	Bytes   []byte
}
