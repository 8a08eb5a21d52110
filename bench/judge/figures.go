package judge

import (
	"fmt"
	"math"
	"strconv"
)

// Grouped prints a count with spaces between the thousands.
func Grouped(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	s := strconv.FormatFloat(math.Round(math.Abs(v)), 'f', 0, 64)
	var out []byte
	for i := range len(s) {
		if i > 0 && (len(s)-i)%3 == 0 {
			out = append(out, " "...) // narrow and unbreakable
		}
		out = append(out, s[i])
	}
	if v <= -0.5 {
		return "−" + string(out)
	}
	return string(out)
}

// Number prints a figure of any unit with three significant digits and no exponent.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Micros prints microseconds in the unit that fits.
func Micros(us float64) string {
	switch {
	case us < 10:
		return fmt.Sprintf("%.2f µs", us)
	case us < 1000:
		return fmt.Sprintf("%.0f µs", us)
	case us < 1e5:
		return fmt.Sprintf("%.2f ms", us/1e3)
	case us < 1e6:
		return fmt.Sprintf("%.0f ms", us/1e3)
	}
	return fmt.Sprintf("%.2f s", us/1e6)
}

// Nanos prints nanoseconds of CPU time in the unit that fits.
func Nanos(ns float64) string {
	switch {
	case ns < 10_000:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	}
	return fmt.Sprintf("%.2f ms", ns/1e6)
}

// Bytes prints a size in binary units.
func Bytes(n float64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%.0f B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", n/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", n/(1<<30))
}

// Times prints a multiple.
func Times(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f ×", x)
	case x < 100:
		return fmt.Sprintf("%.1f ×", x)
	}
	return Grouped(x) + " ×"
}

// Round3 rounds a figure to three decimals, as documents hold it.
func Round3(v float64) float64 { return math.Round(v*1000) / 1000 }

// Ratio is a/b, or 0 when b is 0: nothing was measured that a could be related to.
func Ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
