package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Milli is a quantity in thousandths of a stock unit.
type Milli int64

// MilliMax is the largest quantity that decimal(18,3) holds; the smallest is -MilliMax.
const MilliMax Milli = 999_999_999_999_999_999

// String is the shortest exact decimal: 10, 10.25, -0.001.
func (q Milli) String() string {
	sign, digits := "", uint64(q)
	if q < 0 {
		sign, digits = "-", -digits // two's complement: right for the smallest int64 too
	}
	text := sign + strconv.FormatUint(digits/1000, 10)
	if rest := digits % 1000; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatUint(1000+rest, 10)[1:], "0")
	}
	return text
}

// MarshalJSON is the text of String in quotes.
func (q Milli) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, q.String()), nil
}

// UnmarshalJSON reads a quoted decimal with at most three fraction digits; ErrOverflow and ErrPrecision say what else it
// may be.
func (q *Milli) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("reading quantity: %w", err)
	}
	v, err := parseMilli(s)
	if err != nil {
		return fmt.Errorf("reading quantity %q: %w", s, err)
	}
	*q = v
	return nil
}

func parseMilli(s string) (Milli, error) {
	unsigned := strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(unsigned, ".")
	if strings.Trim(whole+fraction, "0123456789") != "" || whole == "" || point && fraction == "" {
		return 0, strconv.ErrSyntax
	}
	if fraction = strings.TrimRight(fraction, "0"); len(fraction) > 3 {
		return 0, ErrPrecision
	}
	digits := whole + fraction + "000"[len(fraction):]
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !Milli(v).inRange() {
		return 0, ErrOverflow
	}
	if unsigned != s {
		v = -v
	}
	return Milli(v), nil
}

func (q Milli) inRange() bool { return -MilliMax <= q && q <= MilliMax }

// Micros is a time in microseconds since 1970-01-01T00:00:00Z.
type Micros int64

// MicrosOf rounds t down to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time is the same instant, in UTC.
func (t Micros) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

// String is RFC 3339 in UTC with six fraction digits, or the bare microseconds outside the years 0 to 9999.
func (t Micros) String() string {
	if year := t.Time().Year(); year < 0 || year > 9999 {
		return strconv.FormatInt(int64(t), 10)
	}
	return t.Time().Format(timeFormat)
}

// MarshalJSON is the text of String, in quotes where it is RFC 3339.
func (t Micros) MarshalJSON() ([]byte, error) {
	text := t.String()
	if strings.HasSuffix(text, "Z") {
		return strconv.AppendQuote(nil, text), nil
	}
	return []byte(text), nil
}

// UnmarshalJSON reads RFC 3339 with at most six fraction digits, or bare microseconds.
func (t *Micros) UnmarshalJSON(text []byte) error {
	if !bytes.HasPrefix(text, []byte(`"`)) {
		v, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return fmt.Errorf("reading time: %w", err)
		}
		*t = Micros(v)
		return nil
	}
	var at time.Time
	if err := json.Unmarshal(text, &at); err != nil {
		return fmt.Errorf("reading time: %w", err)
	}
	if at.Nanosecond()%1000 != 0 {
		return fmt.Errorf("reading time %s: finer than a microsecond", text)
	}
	*t = MicrosOf(at)
	return nil
}
