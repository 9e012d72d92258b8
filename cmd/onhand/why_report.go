package main

import (
	"fmt"
	"strings"

	"onhand/processor/availability"
	"onhand/schemas"
)

// whyReport is everything that why found, in the form that --json prints. Fields are added to it, never renamed.
type whyReport struct {
	SKU          string        `json:"sku"`
	Exists       bool          `json:"exists"` // some place has the SKU
	Task         int32         `json:"task"`
	Member       *string       `json:"member"`       // the process that runs the task; empty: none; null: not known
	Version      int64         `json:"version"`      // of the commit that was read
	GraphVersion int64         `json:"graphVersion"` // that the SKU was computed with
	Inputs       []whyInput    `json:"inputs"`
	Places       []whyPlace    `json:"places"` // the most to order first; with --place that one alone
	OtherPlaces  int           `json:"otherPlaces"`
	Changes      []whyChange   `json:"changes"` // in the number, oldest first
	Waiting      []whyChange   `json:"waiting"` // not yet in the number, oldest first
	WaitingCount int           `json:"waitingCount"`
	LookedAt     []whyLookedAt `json:"lookedAt"`
	Notes        []string      `json:"notes"` // what could not be found out, and what else to mind

	place     availability.Place // of --place
	namespace string
	absent    error // that the SKU, or the place, has no level
}

// whyInput is how far an input is folded into the number.
type whyInput struct {
	Topic string `json:"topic"`
	Next  int64  `json:"next"` // offset of the first record that is not in the number
}

// whyPlace is the level of a place, and what it adds up from: of a location or of a group, with --place alone.
type whyPlace struct {
	Level     schemas.AvailabilityUpdate `json:"level"`
	Published whyPublished               `json:"published"`
	Location  *whyLocation               `json:"location"`
	Group     *whyGroup                  `json:"group"`

	level availability.Level
}

// whyLocation is what the level of a location adds up from: count, movements, safety stock, reserved, futures.
type whyLocation struct {
	Count            schemas.Milli `json:"count"`     // with movements too old to be kept apart
	CountedAt        whyTime       `json:"countedAt"` // older counts are stale; null: never counted
	Deleted          bool          `json:"deleted"`   // countedAt is the date of a deletion
	EarlierMovements *whyMovements `json:"earlierMovements"`
	Movements        []whyMovement `json:"movements"` // the newest, oldest first
	SafetyStockAt    whyTime       `json:"safetyStockAt"`
	Reserved         whyReserved   `json:"reserved"`
	Futures          []whyFuture   `json:"futures"`
	OtherFutures     *whyMovements `json:"otherFutures"`
	FuturesAt        whyTime       `json:"futuresAt"`
	ReservableATO    whyReservable `json:"reservableAto"` // what can be reserved here beside all promises
	ReservableATF    whyReservable `json:"reservableAtf"`
}

type whyTime = schemas.Optional[schemas.Micros]

// whyMovement is a change of on hand since the count.
type whyMovement struct {
	At       schemas.Micros `json:"at"`
	Quantity schemas.Milli  `json:"quantity"`
	Merged   bool           `json:"merged"` // the sum of all in the minute from At
}

// whyMovements sums up what is not listed.
type whyMovements struct {
	Number   int            `json:"number"`
	Quantity schemas.Milli  `json:"quantity"`
	From     schemas.Micros `json:"from"`
	To       schemas.Micros `json:"to"`
}

// whyFuture is an expected restock.
type whyFuture struct {
	Quantity     schemas.Milli  `json:"quantity"`
	ExpectedDate schemas.Micros `json:"expectedDate"`
	Overdue      bool           `json:"overdue"` // and it counts still
}

// whyReserved is what is reserved at a place, and by whom.
type whyReserved struct {
	Lines       []whyLine     `json:"lines"` // the largest first
	OtherLines  int           `json:"otherLines"`
	Others      schemas.Milli `json:"otherQuantity"`
	Unexplained schemas.Milli `json:"unexplained"` // what no open reservation holds, or holds too much
}

// whyLine is what a reservation holds at a place.
type whyLine struct {
	ReservationID string        `json:"reservationId"`
	Quantity      schemas.Milli `json:"quantity"`
	ExpiresAt     whyTime       `json:"expiresAt"`
	Expired       bool          `json:"expired"` // its release is on its way
}

// whyGroup is what the level of a group adds up from: members, less what is reserved at it, less what promises of groups
// that share its locations take.
type whyGroup struct {
	Locations    int           `json:"locations"` // that count for the group
	Excluded     int           `json:"excluded"`  // members that do not, for they are not synced
	Members      []whyMember   `json:"members"`   // that have the SKU, the most to order first
	OtherMembers int           `json:"otherMembers"`
	Others       whyMember     `json:"others"` // those not listed, together
	Total        whyMember     `json:"total"`  // all that have the SKU
	Reserved     whyReserved   `json:"reserved"`
	SharedATF    schemas.Milli `json:"sharedOnAtf"` // as sharedGroupReserved of the level, on ATF
	ATO          whyReservable `json:"ato"`
	ATF          whyReservable `json:"atf"`
}

// whyMember is what a location brings into a group.
type whyMember struct {
	Place       string        `json:"place"` // empty: several
	OnHand      schemas.Milli `json:"onHand"`
	Reserved    schemas.Milli `json:"reserved"`
	SafetyStock schemas.Milli `json:"safetyStockCount"`
	Future      schemas.Milli `json:"futureQuantity"`
	ATF         schemas.Milli `json:"atf"`
	ATO         schemas.Milli `json:"ato"`
}

// whyReservable is how much can be promised, and the tight set of groups that limits it.
type whyReservable struct {
	Quantity schemas.Milli `json:"quantity"` // below zero where counts have broken promises
	Bound    *whyBound     `json:"bound"`    // null: the stock of the place itself is the limit
}

// whyBound is a set of groups that have promised something out of what their locations have together.
type whyBound struct {
	Promised       []whyPromise  `json:"promised"`
	Free           schemas.Milli `json:"free"`
	Locations      []string      `json:"locations"` // the first
	OtherLocations int           `json:"otherLocations"`
	Text           string        `json:"text"`
}

// whyPromise is what is reserved at a group.
type whyPromise struct {
	Group    string        `json:"group"`
	Quantity schemas.Milli `json:"quantity"`
}

func (r *whyReport) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// short is a topic without its namespace, as dlq and graph take it too.
func (r *whyReport) short(topic string) string { return strings.TrimPrefix(topic, r.namespace+".") }
