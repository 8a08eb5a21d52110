// Package judge says what the measurements of one figure mean: how they compare with another peer's, and whether they
// keep a limit.
//
// All tables use its words. A comparison is better, worse, same or noisy: a Mann-Whitney test decides, and where it
// cannot, the verdict is noisy. A figure that is held against a limit has met it or missed it; it failed when the run
// broke, and is not measured when no run told it.
package judge

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// A Verdict is the outcome of a judgement.
type Verdict string

// Verdicts of comparisons.
const (
	Better Verdict = "better" // than the reference, significantly
	Worse  Verdict = "worse"  // than the reference, significantly
	Same   Verdict = "same"   // no difference found
	Noisy  Verdict = "noisy"  // too few rounds or too much spread to tell
)

// Verdicts of figures that have a limit.
const (
	Met         Verdict = "met"
	Missed      Verdict = "missed"
	Failed      Verdict = "failed" // messages were lost, or the router broke: the figure means nothing
	NotMeasured Verdict = "not measured"
)

// Text is the verdict for terminals: what has to be noticed is in capitals.
func (v Verdict) Text() string {
	if v == Missed || v == Failed {
		return strings.ToUpper(string(v))
	}
	return string(v)
}

const (
	alpha     = 0.05
	RoundsMin = 4    // fewer on a side cannot reach alpha, whatever they show
	SpreadMax = 0.25 // of the median, from the smallest to the largest value; a wider sample disagrees with itself
)

// A Sample is one figure over the rounds.
type Sample []float64

// Median returns the value in the middle; of an even number the mean of the two in the middle; NaN of none.
func (s Sample) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(s))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Spread returns the distance of the extremes as a share of the median; 0 of an empty sample.
func (s Sample) Spread() float64 {
	m := s.Median()
	if len(s) == 0 || m == 0 {
		return 0
	}
	return (slices.Max(s) - slices.Min(s)) / math.Abs(m)
}

// Interval returns values between which the median of the population lies with a probability of 95 % or a little
// more, whatever its distribution. ok is false for fewer than six values, which cannot tell.
func (s Sample) Interval() (low, high float64, ok bool) {
	// As many values lie below the median as a fair coin shows heads: k is how many of the smallest, and of the
	// largest, are left out, so that the median is beyond those that stay with at most alpha/2 on each side.
	n := len(s)
	k, beyond := 0, 0.0
	for p := math.Pow(0.5, float64(n)); beyond+p <= alpha/2; k++ {
		beyond += p
		p *= float64(n-k) / float64(k+1)
	}
	if k == 0 {
		return math.NaN(), math.NaN(), false
	}
	v := slices.Sorted(slices.Values(s))
	return v[k-1], v[n-k], true
}

// Middle returns the index of the value in the middle, of an even number the lower one.
func (s Sample) Middle() int {
	order := make([]int, len(s))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case s[a] < s[b]:
			return -1
		case s[a] > s[b]:
			return 1
		}
		return 0
	})
	return order[(len(order)-1)/2]
}

// A Difference is the comparison of a sample with a reference.
type Difference struct {
	Verdict Verdict
	Ratio   float64 // of the medians, the sample's to the reference's
	P       float64 // of the Mann-Whitney test
	rounds  int     // of the shorter sample
}

// Compare compares s with the reference. better is +1 when more is better, -1 when less is.
func Compare(reference, s Sample, better int) Difference {
	d := Difference{Verdict: Noisy, Ratio: s.Median() / reference.Median(), P: 1, rounds: min(len(reference), len(s))}
	if d.rounds == 0 {
		return d
	}
	thresholds := benchmath.Thresholds{CompareAlpha: alpha}
	d.P = benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(reference), &thresholds),
		benchmath.NewSample(slices.Clone(s), &thresholds)).P
	switch {
	case d.rounds < RoundsMin:
	case d.P < alpha && d.Ratio != 1:
		d.Verdict = Worse
		if (d.Ratio > 1) == (better > 0) {
			d.Verdict = Better
		}
	case max(reference.Spread(), s.Spread()) <= SpreadMax:
		d.Verdict = Same
	}
	return d
}

// String says how the sample stands to the reference.
func (d Difference) String() string {
	switch {
	case d.Verdict == Better, d.Verdict == Worse:
		return fmt.Sprintf("%s, p=%.3f", Times(d.Ratio), d.P)
	case d.Verdict == Same:
		return fmt.Sprintf("no difference (p=%.2f)", d.P)
	case d.rounds < RoundsMin:
		return fmt.Sprintf("too few rounds to tell (%s)", Times(d.Ratio))
	}
	return fmt.Sprintf("too noisy to tell (p=%.2f)", d.P)
}

// Grown holds a cost against an earlier one: met when its median grew by at most tolerance (0.1 is 10 %), missed when
// it grew by more and the test tells that from chance, noisy when it may be chance.
func Grown(before, now Sample, tolerance float64) (Verdict, Difference) {
	d := Compare(before, now, -1)
	switch {
	case d.Ratio <= 1+tolerance:
		return Met, d
	case d.Verdict == Worse:
		return Missed, d
	}
	return Noisy, d
}

// A Limit is what is asked of a figure.
type Limit struct {
	Value   float64 `json:"target"`
	AtLeast bool    `json:"at_least,omitempty"` // Value or more; otherwise Value or less
}

// Judge holds the median of s against the limit. The doubt says that the rounds lie far apart on both sides of it;
// empty when they do not.
func (l Limit) Judge(s Sample) (v Verdict, doubt string) {
	if len(s) == 0 {
		return NotMeasured, ""
	}
	v = Missed
	if l.Meets(s.Median()) {
		v = Met
	}
	if least, most := slices.Min(s), slices.Max(s); l.Meets(least) != l.Meets(most) && s.Spread() > SpreadMax {
		doubt = fmt.Sprintf("the rounds disagree: %s to %s", Number(least), Number(most))
	}
	return v, doubt
}

// Meets says whether v keeps the limit.
func (l Limit) Meets(v float64) bool {
	if l.AtLeast {
		return v >= l.Value
	}
	return v <= l.Value
}

// Asked is the limit in words.
func (l Limit) Asked() string {
	if l.AtLeast {
		return fmt.Sprintf("at least %g", l.Value)
	}
	return fmt.Sprintf("at most %g", l.Value)
}

// Used is the share of the limit that v has used up: 1 at the limit, more beyond it.
func (l Limit) Used(v float64) float64 {
	if l.AtLeast {
		return l.Value / v
	}
	return v / l.Value
}
