package schemas

import (
	"fmt"
	"slices"
	"strconv"
)

// Mode says what a StockDelta does. Its values are the positions of the symbols in the schema, as for every enum here.
type Mode uint8

// The modes.
const (
	ModeUpdate Mode = iota // sets values as of their effective date
	ModeAdjust             // changes on hand by a signed quantity
	ModeDelete             // removes the SKU from the location
)

// StockField is a value of a location that a StockDelta can clear.
type StockField uint8

// The values that can be cleared.
const (
	FieldOnHand StockField = iota
	FieldSafetyStockCount
	FieldFutures
)

// Action says what a ReservationEvent does.
type Action uint8

// The actions.
const (
	ActionReserve  Action = iota // holds stock at a place
	ActionTransfer               // moves a hold to another place
	ActionFulfill                // takes held stock out of a location
	ActionRelease                // gives a hold back
)

// Outcome says what became of a ReservationEvent.
type Outcome uint8

// The outcomes.
const (
	OutcomeAccepted Outcome = iota // all of it was done
	OutcomePartial                 // less than requested was granted
	OutcomeRejected                // nothing was done
)

// PlaceType tells locations from groups.
type PlaceType uint8

// The types of place.
const (
	PlaceLocation PlaceType = iota
	PlaceGroup
)

// symbols of each enum, in the order of the schema; fixed once released.
var (
	modeSymbols       = []string{"UPDATE", "ADJUST", "DELETE"}
	stockFieldSymbols = []string{"ON_HAND", "SAFETY_STOCK_COUNT", "FUTURES"}
	actionSymbols     = []string{"RESERVE", "TRANSFER", "FULFILL", "RELEASE"}
	outcomeSymbols    = []string{"ACCEPTED", "PARTIAL", "REJECTED"}
	placeTypeSymbols  = []string{"LOCATION", "GROUP"}
)

// String is the symbol in the schema.
func (m Mode) String() string { return symbolOf(modeSymbols, m) }

// String is the symbol in the schema.
func (f StockField) String() string { return symbolOf(stockFieldSymbols, f) }

// String is the symbol in the schema.
func (a Action) String() string { return symbolOf(actionSymbols, a) }

// String is the symbol in the schema.
func (o Outcome) String() string { return symbolOf(outcomeSymbols, o) }

// String is the symbol in the schema.
func (p PlaceType) String() string { return symbolOf(placeTypeSymbols, p) }

// MarshalText is the symbol in the schema; an error where there is none.
func (m Mode) MarshalText() ([]byte, error) { return marshalSymbol(modeSymbols, m) }

// MarshalText is the symbol in the schema; an error where there is none.
func (f StockField) MarshalText() ([]byte, error) { return marshalSymbol(stockFieldSymbols, f) }

// MarshalText is the symbol in the schema; an error where there is none.
func (a Action) MarshalText() ([]byte, error) { return marshalSymbol(actionSymbols, a) }

// MarshalText is the symbol in the schema; an error where there is none.
func (o Outcome) MarshalText() ([]byte, error) { return marshalSymbol(outcomeSymbols, o) }

// MarshalText is the symbol in the schema; an error where there is none.
func (p PlaceType) MarshalText() ([]byte, error) { return marshalSymbol(placeTypeSymbols, p) }

// UnmarshalText reads a symbol of the schema, and nothing else.
func (m *Mode) UnmarshalText(text []byte) error { return parseSymbol(modeSymbols, text, m) }

// UnmarshalText reads a symbol of the schema, and nothing else.
func (f *StockField) UnmarshalText(text []byte) error { return parseSymbol(stockFieldSymbols, text, f) }

// UnmarshalText reads a symbol of the schema, and nothing else.
func (a *Action) UnmarshalText(text []byte) error { return parseSymbol(actionSymbols, text, a) }

// UnmarshalText reads a symbol of the schema, and nothing else.
func (o *Outcome) UnmarshalText(text []byte) error { return parseSymbol(outcomeSymbols, text, o) }

// UnmarshalText reads a symbol of the schema, and nothing else.
func (p *PlaceType) UnmarshalText(text []byte) error { return parseSymbol(placeTypeSymbols, text, p) }

func symbolOf[E ~uint8](symbols []string, e E) string {
	if int(e) < len(symbols) {
		return symbols[e]
	}
	return strconv.Itoa(int(e))
}

func marshalSymbol[E ~uint8](symbols []string, e E) ([]byte, error) {
	if int(e) >= len(symbols) {
		return nil, fmt.Errorf("symbol %d is none of %v", e, symbols)
	}
	return []byte(symbols[e]), nil
}

func parseSymbol[E ~uint8](symbols []string, text []byte, into *E) error {
	i := slices.Index(symbols, string(text))
	if i < 0 {
		return fmt.Errorf("symbol %q is none of %v", text, symbols)
	}
	*into = E(i)
	return nil
}
