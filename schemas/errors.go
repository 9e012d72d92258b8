package schemas

import "errors"

// The errors of decoding, to be told apart by errors.Is. All but ErrUnavailable are final: the same value will fail in
// the same way for ever, so it belongs among the dead letters.
var (
	// ErrEmpty says that the value has no bytes: a tombstone where a record is required.
	ErrEmpty = errors.New("empty value")
	// ErrDecode says that the bytes are not what their schema says, or that the schema cannot be read as ours.
	ErrDecode = errors.New("cannot be decoded")
	// ErrUnknownSchema says that the registry answered and does not have the schema.
	ErrUnknownSchema = errors.New("unknown schema")
	// ErrWrongRecordType says that the value was written with the schema of another record.
	ErrWrongRecordType = errors.New("wrong record type")
	// ErrPrecision says that a decimal is not a multiple of 0.001.
	ErrPrecision = errors.New("not a multiple of 0.001")
	// ErrOverflow says that a decimal does not fit decimal(18,3), or a time does not fit 64-bit microseconds.
	ErrOverflow = errors.New("out of range")
	// ErrTooLarge says that the value is above ValueBytesMax, or that decoding it would take too much memory.
	ErrTooLarge = errors.New("too large")
	// ErrUnavailable says that the registry could not be asked. It is the one transient error: wait and try again.
	ErrUnavailable = errors.New("schema registry unavailable")
)

// ErrIncompatible is returned by Register and RegisterAll when a schema could not read what an earlier version of its
// subject wrote. Nothing was registered under that subject.
var ErrIncompatible = errors.New("incompatible with an earlier version")
