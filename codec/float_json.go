package codec

import (
	"math"
	"math/big"
	"strconv"
	"sync"
	"unsafe"
)

// What a float64 reaches, as decimal exponents of a number's first digit.
const (
	exponentMost  = 308  // the largest float64 is 1.8e308; with a larger exponent a number is an infinity
	exponentLeast = -324 // the half of the smallest is 2.5e-324; with a smaller exponent a number is zero
	normalLeast   = -308 // the smallest with full precision is 2.2e-308

	// usualOctets is how long a number may be that reaches none of them with an exponent of two digits.
	usualOctets = 200
	// extremeDigits is how many digits of a number at these bounds are read here. The rest is for strconv, which
	// needs 50 us; octets count as work.
	extremeDigits = 800
)

// parseFloat is strconv.ParseFloat for the well-formed JSON number b, without an error: a number beyond the range is
// an infinity. strconv reads the numbers that a float64 cannot hold with full precision digit by digit, which takes
// 10 to 40 us each, and a client could send thousands of them in one message. They are read here, in 1 us.
//
// hot: BenchmarkTranscode. The unsafe string lives as long as the call; a copy would be an allocation per number.
func parseFloat(b []byte) float64 {
	if mayBeExtreme(b) {
		if f, ok := parseExtreme(b); ok {
			return f
		}
	}
	f, _ := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64)
	return f
}

// mayBeExtreme reports whether b is long, or ends with an exponent of three digits.
func mayBeExtreme(b []byte) bool {
	i := len(b) - 1
	for i > 0 && b[i]-'0' <= 9 {
		i--
	}
	return len(b) > usualOctets || len(b)-i > 3 && b[i] != '.'
}

// parseExtreme reads b if it is at the bounds of float64 or beyond them.
func parseExtreme(b []byte) (f float64, ok bool) {
	sign := 1.0
	if b[0] == '-' {
		sign, b = -1, b[1:]
	}
	var buf [extremeDigits]byte
	digits := buf[:0]
	long := false  // there are more of them
	exponent := -1 // of the first digit
	fraction := false
	for ; len(b) > 0 && b[0]|0x20 != 'e'; b = b[1:] {
		switch {
		case b[0] == '.':
			fraction = true
			continue
		case b[0] == '0' && len(digits) == 0:
			if fraction {
				exponent--
			}
			continue
		case !fraction:
			exponent++
		}
		if len(digits) < extremeDigits {
			digits = append(digits, b[0])
		} else {
			long = true
		}
	}
	if len(b) > 0 {
		n, err := strconv.ParseInt(string(b[1:]), 10, 32)
		if err != nil {
			return 0, false // strconv sees at once that this is beyond everything
		}
		exponent += int(n)
	}
	switch {
	case len(digits) == 0 || exponent < exponentLeast:
		return math.Copysign(0, sign), true
	case exponent > exponentMost:
		return math.Inf(int(sign)), true
	case normalLeast < exponent && exponent < exponentMost || long:
		return 0, false
	}
	m, _ := new(big.Int).SetString(string(digits), 10)
	power := exponent - len(digits) + 1 // the number is m times ten to this
	if exponent == exponentMost {
		if tooLarge(m, power) {
			return math.Inf(int(sign)), true
		}
		return 0, false
	}
	bits, ok := subnormal(m, -power)
	return math.Copysign(math.Float64frombits(bits), sign), ok
}

// tooLarge reports whether m*10^power is rounded to an infinity: it is 2^1024 - 2^970 at least.
func tooLarge(m *big.Int, power int) bool {
	bound := new(big.Int).Lsh(big.NewInt(1<<54-1), 970)
	if power < 0 {
		return m.Cmp(bound.Mul(bound, powerOf(10, -power))) >= 0
	}
	return m.Mul(m, powerOf(10, power)).Cmp(bound) >= 0
}

// subnormal returns the bits of the float64 nearest to m/10^power; ties go to the even one. ok is false if that has
// full precision. Up to there the bits are the number in units of 2^-1074.
func subnormal(m *big.Int, power int) (bits uint64, ok bool) {
	// m/10^power is m * 2^(1074-power) / 5^power units.
	d := powerOf(5, power)
	if power <= 1074 {
		m.Lsh(m, uint(1074-power))
	} else {
		d = new(big.Int).Lsh(d, uint(power-1074))
	}
	q, r := new(big.Int).QuoRem(m, d, new(big.Int))
	if q.BitLen() > 52 {
		return 0, false
	}
	bits = q.Uint64()
	if c := r.Lsh(r, 1).Cmp(d); c > 0 || c == 0 && bits&1 == 1 {
		bits++
	}
	return bits, true
}

// powerOf returns base^n. Those of five that short numbers need are kept; nobody changes them.
func powerOf(base int64, n int) *big.Int {
	if base == 5 && n < fivesKept {
		return fives()[n]
	}
	return new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(n)), nil)
}

const fivesKept = 344 // 5e-324 with 19 digits more

var fives = sync.OnceValue(func() (powers [fivesKept]*big.Int) {
	five := big.NewInt(5)
	powers[0] = big.NewInt(1)
	for i := 1; i < fivesKept; i++ {
		powers[i] = new(big.Int).Mul(powers[i-1], five)
	}
	return powers
})
