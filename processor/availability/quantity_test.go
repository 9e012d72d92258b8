package availability

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestParseQuantity(t *testing.T) {
	for text, want := range map[string]Quantity{
		"0": 0, "-0": 0, "10": 10_000, "007": 7000, "0.001": 1, "-0.125": -125, "10.25": 10_250, "10.250": 10_250, "1.5000000": 1500,
		"999999999999999.999": MaxQuantity, "-999999999999999.999": -MaxQuantity, "00000000000000000000000000001": 1000,
	} {
		if got, err := ParseQuantity(text); got != want || err != nil {
			t.Errorf("ParseQuantity(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-", "--1", "+1", "1.", ".5", "-.5", "1.2345", "0.0001", "1,5", "1 ", " 1", "1e3", "0x1", "NaN", "1.2.3", "1.-2", "½", "1\x00",
		"1000000000000000", "-1000000000000000", "999999999999999.9999", "99999999999999999999999999", "18446744073709551617",
	} {
		if got, err := ParseQuantity(text); !errors.Is(err, ErrQuantity) {
			t.Errorf("ParseQuantity(%q) = %d, %v, want ErrQuantity", text, got, err)
		}
	}
}

func TestQuantityPrintsShortest(t *testing.T) {
	for q, want := range map[Quantity]string{
		0: "0", 1: "0.001", -1: "-0.001", 10: "0.01", 1000: "1", -1500: "-1.5", 100_000: "100", MaxQuantity: "999999999999999.999",
		-1 << 63: "-9223372036854775.808",
	} {
		if got := q.String(); got != want {
			t.Errorf("%d prints %q, want %q", int64(q), got, want)
		}
	}
}

// TestQuantityRoundTrips prints random quantities of every size and reads them again.
//
// Replay:
//
//	go test ./processor/availability -run '^TestQuantityRoundTrips$' -seed=N -cases=1
func TestQuantityRoundTrips(t *testing.T) {
	eachCase(t, 2000, func(t *testing.T, r *rand.Rand) {
		q := Quantity(r.Int64N(int64(MaxQuantity)+1)) >> r.IntN(60)
		if r.IntN(2) == 0 {
			q = -q
		}
		if got, err := ParseQuantity(q.String()); got != q || err != nil {
			t.Errorf("ParseQuantity(%q) = %d, %v, want %d", q.String(), got, err, q)
		}
	})
}
