package codec

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestParseFloat: the result is that of strconv, bit by bit, at the bounds of float64 above all.
func TestParseFloat(t *testing.T) {
	const zero = "0"
	numbers := []string{
		"0.0", "-0.0", "0e0", "-0e999", "1.5", "-1.5", "1e5", "1e-5", "0.001", "1.234", "123.456", "1e100", "1e-100",
		"5e-324", "-5e-324", "4.9e-324", "4.9406564584124654e-324", "2.5e-324", "2.4e-324", "1e-324", "9.9e-325",
		"1e-325", "1e-400", "1e-99999999999", "1e99999999999", "1e-2147483648", "1e2147483648", "0e2147483648",
		"2.4703282292062327e-324", "2.4703282292062328e-324", "2.4703282292062327208e-324", "7.4e-324", "7.5e-324",
		"4.9406564584124654417e-324", "4.94065645841246544176e-324", "4.940656458412465441765e-324",
		"2.2250738585072014e-308", "2.2250738585072013e-308", "2.2250738585072011e-308", "2.225073858507201e-308",
		"2.2250738585072012e-308", "2.2e-308", "1e-308", "9.9e-309", "4.4e-308", "4.5e-308", "1e-307", "9e-308",
		"1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "1.8e308", "-1.8e308",
		"1.797693134862315807e308", "1.797693134862315808e308", "9.9e308", "1e308", "1e309", "-1e310", "1e+308",
		"0.00005e-319", "500000e-329", "17976931348623157e292", "17976931348623159e292",
		"0.0017976931348623159E311", "5E-0000324", "1E+0000309", "9007199254740993.0", "9007199254740993e0",
		"0." + strings.Repeat(zero, 323) + "5", "0." + strings.Repeat(zero, 323) + "2",
		"0." + strings.Repeat(zero, 400) + "1", "0." + strings.Repeat(zero, 230) + "123e-90",
		strings.Repeat("9", 250) + "e59", strings.Repeat("9", 250) + "e58",
		strings.Repeat("1", 309) + ".5", strings.Repeat("2", 309) + ".5", strings.Repeat("1", 310) + ".5",
		"1." + strings.Repeat("3", 199) + "e-310",
		"0." + strings.Repeat(zero, 500) + strings.Repeat("7", 300) + "e182",
	}
	// The exact values of the smallest number, and of the halves between the first ones, have 750 digits.
	for _, units := range []float64{1, 3, 1 << 51, 1<<52 - 1, 1 << 52, 1<<52 + 1} {
		exact := strconv.FormatFloat(units*0x1p-1074, 'e', 800, 64)
		digits, exponent, _ := strings.Cut(exact, "e")
		digits = strings.TrimRight(digits, "0")
		for _, d := range []string{digits, digits + "1", digits[:len(digits)-1] + "1"} {
			numbers = append(numbers, d+"e"+exponent)
		}
	}
	// The half of the smallest number has as many, and what is a little more or less is not rounded like it.
	for _, halves := range []float64{1, 3, 5} {
		half, exponent, _ := strings.Cut(new(big.Float).SetMantExp(big.NewFloat(halves), -1075).Text('e', 800), "e")
		half = strings.TrimRight(half, zero)
		for _, d := range []string{
			half, half + "1", half[:len(half)-1] + "4", half + strings.Repeat(zero, 45) + "1",
			half + strings.Repeat(zero, 60),
		} {
			numbers = append(numbers, d+"e"+exponent)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(r.Uint64N(1 << 54)) // subnormal, or just above
		if r.IntN(4) == 0 {
			f = math.MaxFloat64 * (1 + (r.Float64()-0.5)*0x1p-50)
		}
		numbers = append(numbers, strconv.FormatFloat(f, 'e', r.IntN(25), 64))
	}
	for _, n := range numbers {
		if strings.Contains(n, "Inf") {
			continue
		}
		want, _ := strconv.ParseFloat(n, 64)
		if got := parseFloat([]byte(n)); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s is %x, want %x", n, got, want)
		}
	}
}

// TestExtremeFloatsCost: numbers at the bounds of float64 are not read by strconv, which needs 10 to 40 us for each,
// and cost as much work as they take.
func TestExtremeFloatsCost(t *testing.T) {
	for _, n := range []string{
		"5e-324", "1e-310", "1e-308", "-2.2e-308", "2e308", "2.4703282292062327208e-324",
		"0." + strings.Repeat("0", 320) + "1", "0." + strings.Repeat("0", 228) + "1e-90",
	} {
		p := Payload{Format: JSON, Args: []byte("[" + n + strings.Repeat(","+n, 99) + "]")}
		work := 1 << 30
		if _, _, err := p.AppendIn(nil, CBOR, MessageBytesMax, &work); err != nil {
			t.Fatal(err)
		}
		if cost := 1<<30 - work; cost < 100*(1+longTokens) {
			t.Errorf("%s costs %d tokens in a hundred", n, cost)
		}
		if _, ok := parseExtreme([]byte(n)); !ok || !mayBeExtreme([]byte(n)) {
			t.Errorf("%s is left to strconv", n)
		}
	}
}

func BenchmarkParseFloat(b *testing.B) {
	for _, n := range []string{
		"1.5", "0.30000000000000004", "1.5e-7", "1e100", "5e-324", "2.4703282292062327208e-324", "2e308",
	} {
		b.Run(n, func(b *testing.B) {
			for b.Loop() {
				parseFloat([]byte(n))
			}
		})
	}
}
