package availability

import "math"

// SKU is a stock keeping unit: 1–250 characters, the partition key of everything stock-like.
type SKU string

// LocationID is the external reference of a location; GroupID that of a location group. Both come from one name space.
type (
	LocationID string
	GroupID    string
)

// Instant is a point in time in microseconds since the Unix epoch, UTC.
type Instant int64

// None stands for no instant: never counted, never expires.
const None Instant = math.MinInt64

// Durations in the unit of Instant.
const (
	Second Instant = 1e6
	Minute         = 60 * Second
	Hour           = 60 * Minute
)

// Future is an expected restock: Quantity > 0 units at Expected.
type Future struct {
	Quantity Quantity
	Expected Instant
}

// DeltaMode says what a Delta does with the values it carries.
type DeltaMode uint8

// Update sets values, Adjust adds a signed change to on hand, Delete removes the SKU from the location.
const (
	Update DeltaMode = iota
	Adjust
	Delete
)

// Delta is a stock event of one SKU at one location, checked as far as it can be without state: an Adjust has HasOnHand
// and nothing else, a Delete has no value, a count is ≥ 0, futures are > 0, sorted by date, one per date.
type Delta struct {
	RecordID string
	SKU      SKU
	Location LocationID
	Mode     DeltaMode

	OnHand         Quantity // Update: the count; Adjust: the signed change
	SafetyStock    Quantity
	Futures        []Future // replaces the list; empty clears it
	HasOnHand      bool
	HasSafetyStock bool
	HasFutures     bool

	EffectiveAt Instant // when the source says it was true; never None
	At          Instant // the record's timestamp
}

// Outcome is what folding a Delta did.
type Outcome uint8

// Outcomes of a Delta. Stale: every value it carries is older than what is known. Duplicate: an Adjust whose record id
// was folded before. UnknownLocation and Overflow: nothing was done, the record is a dead letter.
const (
	Applied Outcome = iota
	Stale
	Duplicate
	UnknownLocation
	Overflow
)

// Action is what a ReservationEvent asks for.
type Action uint8

// The actions of a reservation's life.
const (
	Reserve Action = iota
	Transfer
	Fulfill
	Release
)

// PlaceType tells a location from a group.
type PlaceType uint8

// A Place of type NoPlace is absent.
const (
	NoPlace PlaceType = iota
	LocationPlace
	GroupPlace
)

// Place is a location or a group. The zero value is no place.
type Place struct {
	Type PlaceType
	ID   string
}

// ReservationEvent is one line of an order system: one SKU, one action. It is as the record has it; what it asks for is
// judged by the Folder, whose answer is a Result.
type ReservationEvent struct {
	RequestID     string
	ReservationID string
	SKU           SKU
	Action        Action
	Quantity      Quantity
	HasQuantity   bool // false on Release: all that is left

	Location, ToLocation LocationID // "" is absent
	Group, ToGroup       GroupID

	RefusePartial           bool // allowPartial was false
	FulfillOnly             bool // test against ATF instead of ATO
	IgnoreAvailabilityCheck bool
	EventAt                 Instant // fulfilment or reservation time; None: At
	ExpiresAt               Instant // None: never. On a Release: only lines with this expiry
	ExternalRefID           string
	At                      Instant // the record's timestamp
}

// ResultOutcome is the answer to a ReservationEvent.
type ResultOutcome uint8

// Partial occurs for Reserve only: less than requested was granted.
const (
	Accepted ResultOutcome = iota
	Partial
	Rejected
)

// Error codes of a Result, named as in Omnichannel Inventory.
const (
	DuplicateEventID         = "DuplicateEventId"
	PositiveQuantityRequired = "PositiveQuantityRequired"
	InvalidRequest           = "InvalidRequest"
	LocationDoesNotExist     = "LocationDoesNotExist"
	GroupDoesNotExist        = "GroupDoesNotExist"
	EntityNotFound           = "EntityNotFound"
	LocationNotInGroup       = "LocationNotInGroup"
	InsufficientQuantity     = "InsufficientQuantity"
)

// Result is the decision on a ReservationEvent. Final once published.
type Result struct {
	Outcome     ResultOutcome
	Requested   Quantity
	Granted     Quantity
	ErrorCode   string // "" on Accepted and Partial
	Message     string
	TightGroups []GroupID // groups with demand of one tight set, sorted, where promises limited the grant
	Version     int64     // version of the batch that decided
}
