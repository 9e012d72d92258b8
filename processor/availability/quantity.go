package availability

import (
	"errors"
	"fmt"
	"strings"
)

// Quantity is a number of stock units in signed thousandths: 1.5 units are 1500.
type Quantity int64

// Unit is one stock unit.
const Unit Quantity = 1000

// MaxQuantity is the largest magnitude that decimal(18,3) carries, as a count or as a total of any place.
const MaxQuantity Quantity = 1e18 - 1

// ErrQuantity says that a text is no decimal number of at most three fraction digits within ±MaxQuantity.
var ErrQuantity = errors.New("not a quantity")

// ParseQuantity reads a decimal number such as "10", "-0.125" or "10.250". It fails with ErrQuantity on anything else,
// on a fourth significant fraction digit, and beyond ±MaxQuantity.
func ParseQuantity(text string) (Quantity, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || dotted && fraction == "" {
		return 0, fmt.Errorf("%w: %q is not a decimal number", ErrQuantity, text)
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > 3 {
		return 0, fmt.Errorf("%w: %q has more than three fraction digits", ErrQuantity, text)
	}
	var q Quantity
	for _, c := range []byte(whole + fraction + "000"[len(fraction):]) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: %q is not a decimal number", ErrQuantity, text)
		}
		if q = q*10 + Quantity(c-'0'); q > MaxQuantity {
			return 0, fmt.Errorf("%w: %q has more than 15 digits before the point", ErrQuantity, text)
		}
	}
	if negative {
		q = -q
	}
	return q, nil
}

// String prints the shortest decimal number of the same value: "10", "-0.125".
func (q Quantity) String() string {
	sign := ""
	u := uint64(q)
	if q < 0 {
		sign, u = "-", -u
	}
	text := fmt.Sprintf("%s%d.%03d", sign, u/1000, u%1000)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

// fits says whether q can stand in a decimal(18,3).
func (q Quantity) fits() bool { return -MaxQuantity <= q && q <= MaxQuantity }
