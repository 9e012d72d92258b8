package cache

import (
	"encoding/binary"
	"fmt"
	"slices"

	"onhand/processor/availability"
)

// A packed reservation.
//
//	format · count of lines · count of requests
//	per line     short id of the place, with its type and whether it expires · quantity · [date]
//	per request  id, 8 bytes · content, 8 bytes · date since the request before · marks, below · requested · [granted] ·
//	             [error code] · [message, count of tight groups, their short ids] · version less that of the request before
//	checksum
//
//	marks        2 bits outcome · 1 granted is requested · 4 error code: 0 none, 15 as text · 1 message or tight groups
const (
	requestWhole  = 2
	requestCode   = 3
	requestDetail = 7
)

// errorCodes numbers the codes of a Result. The order is part of the format: append only, at most 14.
var errorCodes = []string{
	availability.DuplicateEventID,
	availability.PositiveQuantityRequired,
	availability.InvalidRequest,
	availability.LocationDoesNotExist,
	availability.GroupDoesNotExist,
	availability.EntityNotFound,
	availability.LocationNotInGroup,
	availability.InsufficientQuantity,
}

const errorCodeText = 15

// packReservation returns the reservation, in the room of b, which is empty. It fails on a line without a place and on an outcome that is none.
func packReservation(b []byte, r *availability.Reservation, n *namer) ([]byte, error) {
	b = append(b, format<<4)
	b = binary.AppendUvarint(b, uint64(len(r.Lines)))
	b = binary.AppendUvarint(b, uint64(len(r.Requests)))
	for _, l := range r.Lines {
		kind, err := kindOf(l.Place.Type)
		if err != nil {
			return nil, err
		}
		expires := l.ExpiresAt != availability.None
		b = appendTagged(b, byte(l.Place.Type)<<1|bit(expires, 0), 3, uint64(n.id(kind, l.Place.ID)))
		b = appendQuantity(b, l.Quantity)
		if expires {
			b = appendInstant(b, l.ExpiresAt, epoch, false)
		}
	}
	before, version := epoch, int64(0)
	for i := range r.Requests {
		q := &r.Requests[i]
		if q.Result.Outcome > availability.Rejected {
			return nil, fmt.Errorf("packing request %016x: outcome %d is none", q.ID, q.Result.Outcome)
		}
		b = binary.LittleEndian.AppendUint64(b, q.ID)
		b = binary.LittleEndian.AppendUint64(b, q.Content)
		b = appendInstant(b, q.At, before, false)
		b = appendResult(b, &q.Result, version, n)
		before, version = q.At, q.Result.Version
	}
	return seal(b), nil
}

func kindOf(t availability.PlaceType) (byte, error) {
	switch t {
	case availability.LocationPlace:
		return kindLocation, nil
	case availability.GroupPlace:
		return kindGroup, nil
	case availability.NoPlace:
	}
	return 0, fmt.Errorf("packing a line: place type %d is none", t)
}

func appendResult(b []byte, r *availability.Result, version int64, n *namer) []byte {
	code := slices.Index(errorCodes, r.ErrorCode) + 1
	if code == 0 && r.ErrorCode != "" {
		code = errorCodeText
	}
	whole, detail := r.Granted == r.Requested, r.Message != "" || len(r.TightGroups) > 0
	b = append(b, byte(r.Outcome)|bit(whole, requestWhole)|byte(code)<<requestCode|bit(detail, requestDetail))
	b = appendQuantity(b, r.Requested)
	if !whole {
		b = appendQuantity(b, r.Granted)
	}
	if code == errorCodeText {
		b = appendText(b, r.ErrorCode)
	}
	if detail {
		b = appendText(b, r.Message)
		b = binary.AppendUvarint(b, uint64(len(r.TightGroups)))
		for _, g := range r.TightGroups {
			b = binary.AppendUvarint(b, uint64(n.id(kindGroup, string(g))))
		}
	}
	return appendSigned(b, r.Version-version)
}

func unpackReservation(packed []byte, names *dictionary) (*availability.Reservation, error) {
	const lineBytes, requestBytes = 2, 20
	u, _, err := unpackSealed(packed)
	if err != nil {
		return nil, err
	}
	r := new(availability.Reservation)
	lines := u.count(lineBytes)
	requests := u.count(requestBytes)
	if lines*lineBytes+requests*requestBytes > len(u.rest) {
		return nil, errLength
	}
	for range lines {
		l := availability.Line{ExpiresAt: availability.None}
		tag, id := u.tagged(3)
		l.Place.Type = availability.PlaceType(tag >> 1)
		kind, err := kindOf(l.Place.Type)
		if err != nil || u.bad {
			return nil, errContent
		}
		if l.Place.ID, err = names.name(kind, id); err != nil {
			return nil, err
		}
		l.Quantity = u.quantity()
		if tag&1 != 0 {
			l.ExpiresAt, _ = u.instant(epoch)
		}
		r.Lines = append(r.Lines, l)
	}
	before, version := epoch, int64(0)
	for range requests {
		q := availability.Request{ID: u.uint64(), Content: u.uint64()}
		q.At, _ = u.instant(before)
		if q.Result, err = u.result(version, names); err != nil {
			return nil, err
		}
		r.Requests = append(r.Requests, q)
		before, version = q.At, q.Result.Version
	}
	return r, u.end()
}

func (u *unpacker) result(version int64, names *dictionary) (r availability.Result, err error) {
	marks := u.byte()
	r.Outcome = availability.ResultOutcome(marks & 3)
	r.Requested = u.quantity()
	r.Granted = r.Requested
	if marks>>requestWhole&1 == 0 {
		r.Granted = u.quantity()
	}
	switch code := int(marks >> requestCode & 15); {
	case code == errorCodeText:
		r.ErrorCode = u.text()
	case code > len(errorCodes) || r.Outcome > availability.Rejected:
		return r, errContent
	case code > 0:
		r.ErrorCode = errorCodes[code-1]
	}
	if marks>>requestDetail != 0 {
		r.Message = u.text()
		for range u.count(1) {
			g, err := names.name(kindGroup, u.uvarint())
			if err != nil {
				return r, err
			}
			r.TightGroups = append(r.TightGroups, availability.GroupID(g))
		}
	}
	r.Version = version + u.signed()
	return r, nil
}
