package topics

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"onhand/processor/availability"
	"onhand/schemas"
)

// Code says why a record is a dead letter.
type Code string

// The codes, a closed list.
const (
	CodeDecode               Code = "DECODE"
	CodeUnknownSchema        Code = "UNKNOWN_SCHEMA"
	CodeWrongRecordType      Code = "WRONG_RECORD_TYPE"
	CodeEmptyValue           Code = "EMPTY_VALUE"
	CodeKeyMismatch          Code = "KEY_MISMATCH"
	CodeMalformedID          Code = "MALFORMED_ID"
	CodeUnknownLocation      Code = "UNKNOWN_LOCATION"
	CodeNegativeCount        Code = "NEGATIVE_COUNT"
	CodeNegativeSafetyStock  Code = "NEGATIVE_SAFETY_STOCK"
	CodeBadFuture            Code = "BAD_FUTURE"
	CodePrecision            Code = "PRECISION"
	CodeOverflow             Code = "OVERFLOW"
	CodeMissingEffectiveDate Code = "MISSING_EFFECTIVE_DATE"
	CodeFutureDate           Code = "FUTURE_DATE"
	CodeConflictingFields    Code = "CONFLICTING_FIELDS"
	CodeTooLarge             Code = "TOO_LARGE"
	CodeCorruptState         Code = "CORRUPT_STATE" // not the record's fault: what the store holds of its SKU cannot be read
)

// Codes lists every code.
func Codes() []Code {
	return []Code{
		CodeDecode, CodeUnknownSchema, CodeWrongRecordType, CodeEmptyValue, CodeKeyMismatch, CodeMalformedID, CodeUnknownLocation,
		CodeNegativeCount, CodeNegativeSafetyStock, CodeBadFuture, CodePrecision, CodeOverflow, CodeMissingEffectiveDate,
		CodeFutureDate, CodeConflictingFields, CodeTooLarge, CodeCorruptState,
	}
}

// stage names the step of Kafka Connect that would have met the fault.
func (c Code) stage() string {
	switch c {
	case CodeKeyMismatch:
		return "KEY_CONVERTER"
	case CodeDecode, CodeUnknownSchema, CodeWrongRecordType, CodeEmptyValue, CodePrecision, CodeTooLarge:
		return "VALUE_CONVERTER"
	case CodeMalformedID, CodeUnknownLocation, CodeNegativeCount, CodeNegativeSafetyStock, CodeBadFuture, CodeOverflow,
		CodeMissingEffectiveDate, CodeFutureDate, CodeConflictingFields, CodeCorruptState:
	}
	return "TASK_PUT"
}

// Refusal is the error of a record that can never be applied as it is: a dead letter. The message says what is wrong and,
// after a semicolon, what to do. It is one line of valid UTF-8 of at most 1,000 bytes.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error is the code and the message.
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Message }

const messageBytesMax = 1000

// refuse says what is wrong, cut where a hostile record made it long, and what to do, which is never cut.
func refuse(code Code, todo, format string, args ...any) *Refusal {
	wrong := printable(fmt.Sprintf(format, args...), messageBytesMax-len("; ")-len(todo))
	return &Refusal{Code: code, Message: wrong + "; " + todo}
}

// printable makes one line of valid UTF-8 of at most bytesMax.
func printable(text string, bytesMax int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= bytesMax {
		return text
	}
	const mark = "…"
	text = text[:bytesMax-len(mark)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + mark
}

// ErrUnavailable is wrapped by what a Reader returns when the schema registry could not be asked. The record is neither
// good nor bad yet: wait and read it again.
var ErrUnavailable = schemas.ErrUnavailable

// RefuseUnavailable gives up waiting: err wraps ErrUnavailable, and the record becomes a dead letter for want of its schema.
func RefuseUnavailable(err error) *Refusal {
	return refuse(CodeUnknownSchema, "bring the schema registry back, then replay this record", "%v", err)
}

// RefuseUnknownLocation is for a delta of which the arithmetic says UnknownLocation.
func RefuseUnknownLocation(d *availability.Delta) *Refusal {
	return refuse(CodeUnknownLocation, "publish a location graph that has it with inventoryLocation true, then replay this record",
		"location %q takes no stock in the current location graph", string(d.Location))
}

// RefuseCorruptState is for a record of a SKU that err says cannot be read from the store.
func RefuseCorruptState(sku availability.SKU, err error) *Refusal {
	return refuse(CodeCorruptState, "repair the SKU as the runbook says under CorruptState, then replay this record",
		"what the store holds of SKU %q cannot be read: %v", string(sku), err)
}

// RefuseBatch is for the records from an offset to a last one, which stand in one compressed batch that takes more than so
// many bytes to read. It is the refusal of the last: of the batch there is one dead letter.
func RefuseBatch(from, last int64, bytesMax int) *Refusal {
	return refuse(CodeTooLarge, "send their content again in smaller batches",
		"offsets %d to %d are one batch that takes more than %d bytes uncompressed, and none of them was read", from, last, bytesMax)
}

// RefuseOverflow is for a delta of which the arithmetic says Overflow.
func RefuseOverflow(d *availability.Delta) *Refusal {
	return refuse(CodeOverflow, "correct the quantity at its source and send it again under a new recordId",
		"with this record a total of SKU %q at %q, or at a group it is in, would exceed %s", string(d.SKU), string(d.Location), availability.MaxQuantity)
}

// refuseUndecoded maps the errors of decoding. It returns nil for one that is worth waiting for.
func refuseUndecoded(err error, record string) *Refusal {
	switch {
	case errors.Is(err, schemas.ErrUnavailable):
		return nil
	case errors.Is(err, schemas.ErrEmpty):
		return refuse(CodeEmptyValue, "send a "+record+", for nothing is removed by a null value here", "the value is empty")
	case errors.Is(err, schemas.ErrTooLarge):
		return refuse(CodeTooLarge, "send less in one record", "%v", err)
	case errors.Is(err, schemas.ErrUnknownSchema):
		return refuse(CodeUnknownSchema, "point the producer at the registry that onhand uses, or register its schema there, then replay this record", "%v", err)
	case errors.Is(err, schemas.ErrWrongRecordType):
		return refuse(CodeWrongRecordType, "send a "+record+" to this topic, and this record to its own", "%v", err)
	case errors.Is(err, schemas.ErrPrecision):
		return refuse(CodePrecision, "round it at its source and send it again", "%v", err)
	case errors.Is(err, schemas.ErrOverflow):
		return refuse(CodeOverflow, "correct it at its source and send it again", "%v", err)
	default:
		return refuse(CodeDecode, "produce it with an Avro serializer for a schema registry and a schema for "+record, "%v", err)
	}
}
