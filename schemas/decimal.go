package schemas

import (
	"fmt"
	"math/big"
)

// scaleMax is the largest scale of a writer's decimal that is read. Arithmetic: 18 digits plus 9 − 3 more fit 128 bits.
const scaleMax = 9

var errNoBytes = fmt.Errorf("%w: decimal without bytes", ErrDecode)

// milliOfBytes reads a decimal of scale 3: thousandths in two's complement, big endian, of any length.
func milliOfBytes(b []byte) (Milli, error) {
	if len(b) == 0 {
		return 0, errNoBytes
	}
	if len(b) > 8 {
		if b = trimSign(b); len(b) > 8 {
			return 0, fmt.Errorf("%w: decimal of %d bytes", ErrOverflow, len(b))
		}
	}
	v := int64(int8(b[0]))
	for _, c := range b[1:] {
		v = v<<8 | int64(c)
	}
	if q := Milli(v); !q.inRange() {
		return 0, fmt.Errorf("%w: %s has more than 18 digits", ErrOverflow, q)
	}
	return Milli(v), nil
}

// milliOfScaled reads a decimal of any scale up to scaleMax.
func milliOfScaled(b []byte, scale int) (Milli, error) {
	if scale == 3 {
		return milliOfBytes(b)
	}
	if len(b) == 0 {
		return 0, errNoBytes
	}
	if b = trimSign(b); len(b) > 16 {
		return 0, fmt.Errorf("%w: decimal of %d bytes", ErrOverflow, len(b))
	}
	v := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if scale < 3 {
		v.Mul(v, powerOfTen(3-scale))
	} else {
		rest := new(big.Int)
		if v.QuoRem(v, powerOfTen(scale-3), rest); rest.Sign() != 0 {
			return 0, ErrPrecision
		}
	}
	if !v.IsInt64() || !Milli(v.Int64()).inRange() {
		return 0, fmt.Errorf("%w: more than 18 digits", ErrOverflow)
	}
	return Milli(v.Int64()), nil
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// trimSign drops the leading bytes that only repeat the sign.
func trimSign(b []byte) []byte {
	for len(b) > 1 && (b[0] == 0x00 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}
