package judge

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	base := Sample{100, 101, 102, 103, 104}
	times := func(s Sample, x float64) Sample {
		out := slices.Clone(s)
		for i := range out {
			out[i] *= x
		}
		return out
	}
	for name, c := range map[string]struct {
		s      Sample
		better int
		want   Verdict
		text   string
	}{
		"cheaper":    {times(base, 0.5), -1, Better, "0.50 ×, p=0.008"},
		"dearer":     {times(base, 20), -1, Worse, "20.0 ×, p=0.008"},
		"faster":     {times(base, 2), +1, Better, "2.00 ×, p=0.008"},
		"slower":     {times(base, 0.9), +1, Worse, "0.90 ×, p=0.008"},
		"equal":      {Sample{104, 100, 102, 101, 103}, -1, Same, "no difference (p=1.00)"},
		"noisy":      {Sample{50, 180, 102, 99, 130}, -1, Noisy, "too noisy to tell (p="},
		"few rounds": {times(base[:3], 20), -1, Noisy, "too few rounds to tell (19.8 ×)"},
	} {
		d := Compare(base, c.s, c.better)
		if text := d.String(); d.Verdict != c.want || !strings.HasPrefix(text, c.text) {
			t.Errorf("%s: %s, %q", name, d.Verdict, text)
		}
	}
	if d := Compare(Sample{50, 180, 102, 99, 130}, Sample{104, 100, 102, 101, 103}, -1); d.Verdict != Noisy {
		t.Errorf("a reference that disagrees with itself: %s", d)
	}
	for _, d := range []Difference{Compare(nil, base, 1), Compare(base, nil, 1)} {
		if d.Verdict != Noisy || !math.IsNaN(d.Ratio) {
			t.Errorf("against nothing: %+v", d)
		}
	}
}

// TestSample: medians of odd and even numbers, and the place of the lower one in the middle.
func TestSample(t *testing.T) {
	for _, c := range []struct {
		s              Sample
		median, spread float64
		middle         int
	}{
		{Sample{3}, 3, 0, 0},
		{Sample{3, 1, 2}, 2, 1, 2},
		{Sample{3, 1, 2, 10}, 2.5, 3.6, 2},
		{Sample{-1, -2, -3}, -2, 1, 1},
		{Sample{0, 0, 5}, 0, 0, 1},
	} {
		if c.s.Median() != c.median || c.s.Spread() != c.spread || c.s.Middle() != c.middle {
			t.Errorf("%v: median %v, spread %v, middle %d", c.s, c.s.Median(), c.s.Spread(), c.s.Middle())
		}
	}
	if s := (Sample{}); !math.IsNaN(s.Median()) || s.Spread() != 0 {
		t.Errorf("of nothing: %v, %v", s.Median(), s.Spread())
	}
}

// TestInterval: the ranks that tables of the sign test have, and none for fewer than six values.
func TestInterval(t *testing.T) {
	for n, want := range map[int][2]float64{
		6: {1, 6}, 8: {1, 8}, 9: {2, 8}, 10: {2, 9}, 15: {4, 12}, 20: {6, 15}, 30: {10, 21},
		40: {14, 27}, 80: {31, 50},
	} {
		var s Sample
		for i := range n {
			s = append(s, float64((i*7+3)%n+1)) // not in order
		}
		if low, high, ok := s.Interval(); !ok || low != want[0] || high != want[1] {
			t.Errorf("%d values: %v to %v, %v, want %v", n, low, high, ok, want)
		}
	}
	for n := range 6 {
		if _, _, ok := make(Sample, n).Interval(); ok {
			t.Errorf("%d values have an interval", n)
		}
	}
}

// TestLimit: a figure that is exactly the limit meets it; rounds that lie apart are a doubt only on both sides of it.
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		limit Limit
		s     Sample
		want  Verdict
		doubt string
	}{
		{Limit{Value: 1.25}, Sample{1.25}, Met, ""},
		{Limit{Value: 1.25}, Sample{1.26}, Missed, ""},
		{Limit{Value: 2, AtLeast: true}, Sample{2}, Met, ""},
		{Limit{Value: 2, AtLeast: true}, Sample{1.99}, Missed, ""},
		{Limit{Value: 1}, Sample{0.2, 0.5, 0.9}, Met, ""},
		{Limit{Value: 1}, Sample{0.9, 1, 1.15}, Met, ""},                                  // exactly SpreadMax
		{Limit{Value: 1}, Sample{0.9, 1, 1.16}, Met, "the rounds disagree: 0.90 to 1.16"}, // beyond it
		{Limit{Value: 1}, nil, NotMeasured, ""},
	} {
		if v, doubt := c.limit.Judge(c.s); v != c.want || doubt != c.doubt {
			t.Errorf("%v, %s: %s, %q", c.s, c.limit.Asked(), v, doubt)
		}
	}
	if a, b := (Limit{Value: 2}).Used(1), (Limit{Value: 2, AtLeast: true}).Used(1); a != 0.5 || b != 2 {
		t.Errorf("used %v and %v", a, b)
	}
}

// TestGrown: growth of exactly the tolerance passes.
func TestGrown(t *testing.T) {
	before := Sample{100, 101, 102, 103, 104}
	for want, now := range map[Verdict]Sample{
		Met:    {110, 111, 102 * 1.1, 113, 114},
		Missed: {110, 111, 102*1.1 + 0.1, 113, 114},
		Noisy:  {90, 111, 102*1.1 + 0.1, 113, 114},
	} {
		if v, d := Grown(before, now, 0.1); v != want {
			t.Errorf("%v: %s (%s), want %s", now, v, d, want)
		}
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		Grouped(0): "0", Grouped(999): "999", Grouped(1000): "1 000", Grouped(-1234567.4): "−1 234 567",
		Grouped(-0.4): "0", Grouped(-0.6): "−1", Grouped(math.NaN()): "–", Grouped(math.Inf(-1)): "–",
		Micros(1.234): "1.23 µs", Micros(420): "420 µs", Micros(1500): "1.50 ms", Micros(123456): "123 ms",
		Micros(2.5e6): "2.50 s",
		Nanos(237):    "237 ns", Nanos(26538): "26.5 µs", Nanos(1379425): "1.38 ms",
		Bytes(12): "12 B", Bytes(3072): "3.0 KiB", Bytes(1 << 24): "16.0 MiB", Bytes(3 << 30): "3.00 GiB",
		Times(1.25): "1.25 ×", Times(25.31): "25.3 ×", Times(1234): "1 234 ×",
		Number(1234.5): "1234", Number(99.96): "100.0", Number(12.34): "12.3", Number(1.239): "1.24",
		Number(-3): "-3",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRatio: what was not measured is related to nothing.
func TestRatio(t *testing.T) {
	for _, c := range [][3]float64{{6, 3, 2}, {0, 3, 0}, {3, 0, 0}, {0, 0, 0}} {
		if got := Ratio(c[0], c[1]); got != c[2] {
			t.Errorf("%g to %g is %g, want %g", c[0], c[1], got, c[2])
		}
	}
}
