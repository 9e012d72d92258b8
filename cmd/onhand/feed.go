package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Why a line of a feed is not published. Those that the processor would give as the code of a dead letter have its name.
const (
	reasonSyntax       = "SYNTAX"           // no JSON object on a single line, or members that do not belong there
	reasonTooLarge     = "TOO_LARGE"        // longer than feedLineBytesMax
	reasonMixedLayouts = "MIXED_LAYOUTS"    // a header in a file of lines with locations, or the other way round
	reasonNoLocation   = "NO_LOCATION"      // no header before, or one that cannot be read
	reasonMode         = "MODE"             // a mode other than UPDATE
	reasonRecordID     = "RECORD_ID"        // no recordId, or one that cannot be
	reasonRepeated     = "REPEATED"         // a recordId that stood in an earlier line of the run
	reasonMalformedID  = "MALFORMED_ID"     // a SKU or location that cannot be
	reasonUnknown      = "UNKNOWN_LOCATION" // a location that the published graph does not have or that takes no stock
	reasonNegative     = "NEGATIVE"         // a count or safety stock below zero
	reasonNumber       = "NUMBER"           // no number, too large, or finer than thousandths
	reasonBadFuture    = "BAD_FUTURE"       // a future without a quantity above zero or without a date
	reasonDate         = "DATE"             // no date
	reasonNoDate       = "MISSING_EFFECTIVE_DATE"
	reasonFutureDate   = "FUTURE_DATE" // an effective date that is yet to come
)

// futureDateSlack is how far an effective date may lie ahead: clocks differ.
const futureDateSlack = 5 * time.Minute

// A lineError is a line of a feed that is not published, and why.
type lineError struct {
	line    int // from 1
	reason  string
	message string // says what to do
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.message) }

// feedRules are what the lines of a feed are checked against.
type feedRules struct {
	location             func(availability.LocationID) (known, inventory bool) // of the published graph
	repeated             func(recordID string) bool                            // true from the second call on
	requireEffectiveDate bool
	now                  time.Time
}

// A feed reads stock records from NDJSON in either layout of Omnichannel Inventory: a header line with the location before
// its records, or the location in each line. The first line decides which.
type feed struct {
	lines *feedLines
	rules feedRules

	layout   layout
	location string // of the last header
	lost     int    // line of a header, or of what may have been one, that cannot be read; 0: none since the last good one
	members  []member
	inner    []member
	elements [][]byte
}

type layout int

const (
	layoutUnknown layout = iota
	layoutHeaders        // a header line, then its records
	layoutFlat           // the location in each line
)

func newFeed(r io.Reader, rules feedRules) (*feed, error) {
	lines, err := newFeedLines(r)
	if err != nil {
		return nil, err
	}
	return &feed{lines: lines, rules: rules}, nil
}

// next reads the next record into d. The error is io.EOF at the end, a *lineError for a line that is not to be published,
// after which it may be called again, and any other where nothing more can be read.
func (f *feed) next(d *schemas.StockDelta) error {
	for {
		text, err := f.lines.next()
		if errors.Is(err, errLineTooLong) {
			f.unreadable(text)
			return f.bad(reasonTooLarge, "%s", err.Error())
		}
		if err != nil {
			return err
		}
		if f.members, err = appendMembers(f.members[:0], text); err != nil {
			f.unreadable(text)
			return f.bad(reasonSyntax, "%s", err.Error())
		}
		if f.member("sku") == nil && f.member("recordId") == nil {
			if err := f.header(); err != nil {
				return err
			}
			continue
		}
		return f.record(d)
	}
}

func (f *feed) bad(reason, format string, args ...any) error {
	return &lineError{line: f.lines.number, reason: reason, message: fmt.Sprintf(format, args...)}
}

// unreadable remembers that a header may have been lost. Records after it would else be booked on the location before.
func (f *feed) unreadable(text []byte) {
	if f.layout != layoutFlat && !bytes.Contains(text, []byte(`"sku"`)) {
		f.lost = f.lines.number
	}
}

// member is the value of that name, nil if absent.
func (f *feed) member(name string) []byte {
	for _, m := range f.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// header takes over the location for the records that follow.
func (f *feed) header() error {
	if f.layout == layoutFlat {
		return f.bad(reasonMixedLayouts, "this is a header, and the lines before have their own locations; use one layout in a file")
	}
	f.layout = layoutHeaders
	f.lost = f.lines.number // until it proves good
	for _, m := range f.members {
		if m.name != "location" && m.name != "locationId" && m.name != "mode" {
			return f.bad(reasonSyntax, "a line without sku and recordId is a header, and a header has no %s%s", m.name,
				didYouMean(m.name, []string{"location", "mode", "sku", "recordId"}))
		}
	}
	location, err := f.place()
	if err != nil {
		return err
	}
	if location == "" {
		return f.bad(reasonNoLocation, "the header names no location")
	}
	if err := f.mode(); err != nil {
		return err
	}
	f.location, f.lost = location, 0
	return nil
}

// place is the location that the line names, "" if none, checked against the graph.
func (f *feed) place() (string, error) {
	quoted, also := f.member("location"), f.member("locationId")
	if quoted != nil && also != nil {
		return "", f.bad(reasonSyntax, "location and locationId mean the same; leave one out")
	}
	if quoted == nil {
		quoted = also
	}
	if quoted == nil || cleared(quoted) {
		return "", nil
	}
	location, err := unquote(quoted)
	if err == nil {
		err = availability.CheckPlaceID(location)
	}
	if err != nil {
		return "", f.bad(reasonMalformedID, "location: %s", err.Error())
	}
	known, inventory := f.rules.location(availability.LocationID(location))
	if !known {
		return "", f.bad(reasonUnknown, "location %q is not in the published graph; correct it or add it by `onhand graph publish`", location)
	}
	if !inventory {
		return "", f.bad(reasonUnknown, "location %q takes no stock: its inventoryLocation is false in the published graph", location)
	}
	return location, nil
}

func (f *feed) mode() error {
	if mode := f.member("mode"); mode != nil && string(mode) != `"UPDATE"` {
		return f.bad(reasonMode, "mode is %s; it must be \"UPDATE\"", mode)
	}
	return nil
}

// record reads a record's members, with the location from where the layout has it.
func (f *feed) record(d *schemas.StockDelta) error {
	location, err := f.place()
	if err != nil {
		return err
	}
	if f.layout == layoutUnknown && location != "" {
		f.layout = layoutFlat
	}
	switch {
	case f.layout == layoutFlat && location == "":
		return f.bad(reasonNoLocation, "the line names no location, and the lines before do")
	case f.layout == layoutHeaders && location != "":
		return f.bad(reasonMixedLayouts, "the line names a location, and there is a header for it above; use one layout in a file")
	case f.layout == layoutFlat:
	case f.lost > 0:
		return f.bad(reasonNoLocation, "its location is not known, as line %d cannot be read; correct that line", f.lost)
	case f.location == "":
		return f.bad(reasonNoLocation, "no header {\"location\":…,\"mode\":\"UPDATE\"} stands above, and the line has no location")
	default:
		location = f.location
	}
	if err := f.mode(); err != nil {
		return err
	}
	*d = schemas.StockDelta{Location: location, Mode: schemas.ModeUpdate, Futures: schemas.Optional[schemas.List[schemas.Future]]{Value: d.Futures.Value[:0]}, Cleared: d.Cleared[:0]}
	for _, m := range f.members {
		if err := f.set(d, m); err != nil {
			return err
		}
	}
	return f.finish(d)
}

// recordMembers are the names a record may have.
var recordMembers = []string{"recordId", "sku", "onHand", "safetyStockCount", "futures", "effectiveDate", "externalRefId", "location", "locationId", "mode"}

// set reads one member of a record. Absent leaves a value as it is; null, "" and [] delete it.
func (f *feed) set(d *schemas.StockDelta, m member) error {
	switch m.name {
	case "location", "locationId", "mode":
		return nil // read before
	case "recordId":
		return f.text(m, &d.RecordID)
	case "sku":
		return f.text(m, &d.SKU)
	case "onHand":
		return f.quantity(d, m, &d.OnHand, schemas.FieldOnHand)
	case "safetyStockCount":
		return f.quantity(d, m, &d.SafetyStockCount, schemas.FieldSafetyStockCount)
	case "futures", "futureStock":
		return f.futures(d, m)
	case "effectiveDate":
		if cleared(m.value) {
			return nil // a date that is not told
		}
		at, err := parseDate(m.value)
		if err != nil {
			return f.bad(reasonDate, "effectiveDate: %s", err.Error())
		}
		d.EffectiveDate = schemas.Some(schemas.Micros(at))
		return nil
	case "externalRefId":
		if cleared(m.value) {
			return nil
		}
		d.ExternalRefID.Valid = true
		return f.text(m, &d.ExternalRefID.Value)
	}
	return f.bad(reasonSyntax, "a record has no %s%s", m.name, didYouMean(m.name, recordMembers))
}

func (f *feed) text(m member, into *string) error {
	text, err := unquote(m.value)
	if err != nil {
		return f.bad(reasonSyntax, "%s %s", m.name, err.Error())
	}
	*into = text
	return nil
}

func (f *feed) quantity(d *schemas.StockDelta, m member, into *schemas.Optional[schemas.Milli], field schemas.StockField) error {
	if cleared(m.value) {
		d.Cleared = append(d.Cleared, field)
		return nil
	}
	q, err := parseNumber(m.value)
	if err != nil {
		return f.bad(reasonNumber, "%s: %s", m.name, err.Error())
	}
	if q < 0 {
		return f.bad(reasonNegative, "%s is %s; it cannot be below 0", m.name, q)
	}
	*into = schemas.Some(schemas.Milli(q))
	return nil
}

func (f *feed) futures(d *schemas.StockDelta, m member) error {
	if d.Futures.Valid || len(d.Cleared) > 0 && d.Cleared[len(d.Cleared)-1] == schemas.FieldFutures {
		return f.bad(reasonSyntax, "futures and futureStock mean the same; leave one out")
	}
	if cleared(m.value) {
		d.Cleared = append(d.Cleared, schemas.FieldFutures)
		return nil
	}
	if m.value[0] != '[' {
		return f.bad(reasonBadFuture, "%s must be a list: [{\"quantity\":5,\"expectedDate\":\"2026-01-31T00:00:00Z\"}]", m.name)
	}
	f.elements = appendElements(f.elements[:0], m.value)
	d.Futures.Valid = true
	for i, text := range f.elements {
		future, err := f.future(text)
		if err != nil {
			return f.bad(reasonBadFuture, "future %d: %s", i+1, err.Error())
		}
		d.Futures.Value = append(d.Futures.Value, future)
	}
	return nil
}

func (f *feed) future(text []byte) (future schemas.Future, err error) {
	if f.inner, err = appendMembers(f.inner[:0], text); err != nil {
		return future, err
	}
	var quantity, date bool
	for _, m := range f.inner {
		switch m.name {
		case "quantity":
			q, err := parseNumber(m.value)
			if err != nil {
				return future, fmt.Errorf("quantity: %w", err)
			}
			future.Quantity, quantity = schemas.Milli(q), q > 0
		case "expectedDate":
			at, err := parseDate(m.value)
			if err != nil {
				return future, fmt.Errorf("expectedDate: %w", err)
			}
			future.ExpectedDate, date = schemas.Micros(at), true
		default:
			return future, fmt.Errorf("a future has no %s%s", m.name, didYouMean(m.name, []string{"quantity", "expectedDate"}))
		}
	}
	if !quantity {
		return future, errors.New("needs a quantity above 0")
	}
	if !date {
		return future, errors.New("needs an expectedDate")
	}
	return future, nil
}

// finish checks what a record must have.
func (f *feed) finish(d *schemas.StockDelta) error {
	if err := checkRequestID(d.RecordID); err != nil {
		return f.bad(reasonRecordID, "recordId %s; give each record a UUID", err.Error())
	}
	if err := availability.CheckSKU(d.SKU); err != nil {
		return f.bad(reasonMalformedID, "sku %q: %s", d.SKU, err.Error())
	}
	if !d.EffectiveDate.Valid && f.rules.requireEffectiveDate {
		return f.bad(reasonNoDate, "the record has no effectiveDate; say when the count was true")
	}
	if at := d.EffectiveDate; at.Valid && at.Value.Time().After(f.rules.now.Add(futureDateSlack)) {
		return f.bad(reasonFutureDate, "effectiveDate %s is yet to come; correct it or the clock it comes from", at.Value)
	}
	if f.rules.repeated(d.RecordID) {
		return f.bad(reasonRepeated, "recordId %q stood in an earlier line; each record needs its own", d.RecordID)
	}
	return nil
}

// checkRequestID says what is wrong with the id of a record, request or reservation: 1–256 bytes without control
// characters.
func checkRequestID(id string) error {
	switch {
	case id == "":
		return errors.New("is missing")
	case len(id) > 256:
		return errors.New("is longer than 256 characters")
	case strings.ContainsFunc(id, unicode.IsControl):
		return errors.New("has control characters")
	}
	return nil
}
