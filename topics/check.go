package topics

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"onhand/processor/availability"
	"onhand/schemas"
)

// aheadMax is how much later than the record's timestamp the time of what it tells may be.
const aheadMax = 5 * availability.Minute

// Times outside these cannot be told from a mistake, and leave no room to add a window to them.
var (
	timeMin = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	timeMax = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func valueOr[T any](o schemas.Optional[T], null T) T {
	if o.Valid {
		return o.Value
	}
	return null
}

func instantOr(o schemas.Optional[schemas.Micros], null availability.Instant) availability.Instant {
	if o.Valid {
		return availability.Instant(o.Value)
	}
	return null
}

// timestamp is the time of the record, the clock of all that follows from it.
func timestamp(rec *kgo.Record) (availability.Instant, error) {
	// Kafka's mark of no timestamp is one millisecond before the epoch.
	if rec.Timestamp.Before(time.Unix(0, 0)) || rec.Timestamp.After(timeMax) {
		return 0, refuse(CodeOverflow, "let the producer stamp records with the time they are sent", "the record's timestamp of %d s since 1970 is no time", rec.Timestamp.Unix())
	}
	return availability.Instant(rec.Timestamp.UnixMicro()), nil
}

// checkID refuses an idempotency id or a reservation id that could not be kept: 1–256 characters, none of them a control
// character.
func checkID(field, id string) error {
	if n := len(id); n > 0 && n <= 256 && plain(id) {
		return nil
	}
	if n := utf8.RuneCountInString(id); n < 1 || n > 256 {
		return refuse(CodeMalformedID, "send an id of 1 to 256 characters", "%s has %d characters", field, n)
	}
	if !utf8.ValidString(id) || strings.ContainsFunc(id, isControl) {
		return refuse(CodeMalformedID, "send an id of valid UTF-8 without control characters", "%s %.300q has others", field, id)
	}
	return nil
}

// plain says whether a text is ASCII without control characters.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

func isControl(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

func checkSKU(sku string) error {
	if err := availability.CheckSKU(sku); err != nil {
		return refuse(CodeMalformedID, "send a SKU that keeps to this, and key the record by it", "SKU %.300q: %v", sku, err)
	}
	return nil
}

func checkPlace(field, id string) error {
	if err := availability.CheckPlaceID(id); err != nil {
		return refuse(CodeMalformedID, "send the external reference of the place as the location graph has it", "%s %.300q: %v", field, id, err)
	}
	return nil
}

// checkOptionalPlace lets null pass; an empty text is none.
func checkOptionalPlace(field string, id schemas.Optional[string]) error {
	if !id.Valid {
		return nil
	}
	if id.Value == "" {
		return refuse(CodeMalformedID, "send null where no place is meant", "%s is an empty text", field)
	}
	return checkPlace(field, id.Value)
}

// checkRange refuses a time outside the years 1 to 9999.
func checkRange(field string, t schemas.Optional[schemas.Micros]) error {
	if !t.Valid || schemas.Micros(timeMin.UnixMicro()) <= t.Value && t.Value <= schemas.Micros(timeMax.UnixMicro()) {
		return nil
	}
	return refuse(CodeOverflow, "send microseconds since 1970, in the years 1 to 9999", "%s is %d", field, int64(t.Value))
}

// checkPast refuses a time that is too far ahead of the record that tells of it.
func checkPast(field string, t schemas.Optional[schemas.Micros], at availability.Instant) error {
	if !t.Valid || availability.Instant(t.Value) <= at+aheadMax {
		return nil
	}
	return refuse(CodeFutureDate, "correct the clock or the time zone of its source; at most 5 minutes are allowed",
		"%s %s is later than the record's timestamp %s", field, t.Value, schemas.Micros(at))
}
