package targets

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// doubtsMax is how many doubts of one target are told.
const doubtsMax = 6

// A side is what one router, floor or base did in a row.
type side struct {
	name  string
	peer  string // its name in package peers
	plan  *peers.Plan
	tried bool           // with fewer in flight if need be
	runs  []*load.Report // by round; nil where it did not run
	out   error          // why it did not run to the end
	note  string
}

// judge turns the runs of a row into verdicts on its checks. It leaves out checks on peers that take no part.
func (r *row) judge(sides []*side) []report.Target {
	var all []report.Target
	for i := range r.checks {
		c := &r.checks[i]
		find := func(name string) *side {
			i := slices.IndexFunc(sides, func(s *side) bool { return s.name == name })
			if i < 0 {
				return nil
			}
			return sides[i]
		}
		own := find(ours)
		other := own
		if c.with != "" {
			other = find(c.with)
		}
		if other == nil {
			continue
		}
		t := report.Target{Work: r.Name, Figure: c.figure, Limit: c.limit}
		if r.skip != "" {
			t.Verdict, t.Why = judge.NotMeasured, r.skip
		} else {
			c.judge(&t, own, other)
			r.judgeInterval(&t)
			c.compareFloor(&t, find(report.FloorName), other)
		}
		all = append(all, t)
	}
	return all
}

// judgeInterval replaces the doubts about rounds that lie apart, which rows with many rounds do not mind, by those
// about the interval.
func (r *row) judgeInterval(t *report.Target) {
	if r.within == 0 || t.Verdict != judge.Met && t.Verdict != judge.Missed {
		return
	}
	t.Doubts = nil
	switch {
	case t.High == 0:
		t.Doubts = append(t.Doubts, fmt.Sprintf("%d rounds are too few", t.Rounds))
	case t.Meets(t.Low) != t.Meets(t.High):
		t.Doubts = append(t.Doubts, "the target lies in the interval")
	}
}

// enough reports whether a row has as many rounds as it takes: those asked for, and those that it takes until the
// interval of its figure is narrow enough.
func (r *row) enough(round, rounds int, sides []*side) bool {
	if round < rounds || r.within == 0 || rounds == 1 || round >= roundsWithinMax {
		return round >= rounds
	}
	for _, s := range sides {
		if s.out != nil {
			return true
		}
	}
	values, _, _ := r.checks[0].values(sides[0], sides[1])
	low, high, ok := values.Interval()
	return ok && high-low <= r.within
}

// judge fills in the verdict.
func (c *check) judge(t *report.Target, own, other *side) {
	pair := []*side{own, other}
	if own == other {
		pair = pair[:1]
	}
	for _, s := range pair {
		var beyond *load.UsageError // the machine does not allow it
		switch {
		case s.out == nil:
		case s.peer == ours && !errors.As(s.out, &beyond):
			t.Verdict, t.Why = judge.Failed, s.out.Error()
			return
		default:
			t.Verdict, t.Why = judge.NotMeasured, s.out.Error()
			if s != own {
				t.Why = s.name + ": " + t.Why
			}
			return
		}
		if n := s.failures(); n > 0 && (s.peer == ours || s.peer == report.FloorName) {
			t.Verdict, t.Why = judge.Failed, fmt.Sprintf("%d messages of %s", n, s.name)
			return
		}
		if s.note != "" {
			t.Notes = append(t.Notes, s.name+": "+s.note)
		}
	}
	values, doubts, why := c.values(own, other)
	if len(values) == 0 {
		t.Verdict, t.Why = judge.NotMeasured, why
		return
	}
	t.Rounds = len(values)
	for _, d := range doubts {
		if len(d) > 0 {
			t.Disturbed++
		}
	}
	// While most rounds are undisturbed, the median lies between two undisturbed rounds.
	if 2*t.Disturbed >= t.Rounds {
		t.Doubts = slices.Concat(doubts...)
		if len(t.Doubts) > doubtsMax {
			t.Doubts = append(t.Doubts[:doubtsMax], "and more")
		}
	}
	t.Median, t.Min, t.Max = judge.Round3(values.Median()), judge.Round3(slices.Min(values)),
		judge.Round3(slices.Max(values))
	if low, high, ok := values.Interval(); ok {
		t.Low, t.High = judge.Round3(low), judge.Round3(high)
	}
	var doubt string
	if t.Verdict, doubt = c.limit.Judge(values); doubt != "" {
		t.Doubts = append(t.Doubts, doubt)
	}
}

// compareFloor adds the multiple that the floor reaches to a missed multiple of a peer.
func (c *check) compareFloor(t *report.Target, floor, peer *side) {
	if t.Verdict != judge.Missed || !c.limit.AtLeast || floor == nil || floor.out != nil {
		return
	}
	if values, _, _ := c.values(floor, peer); len(values) > 0 {
		t.Notes = append(t.Notes, "the floor reaches "+judge.Number(judge.Round3(values.Median())))
	}
}

// values returns the figure in the rounds that tell it, and the disturbances of each. why says what is missing in a
// round that does not tell it.
func (c *check) values(own, other *side) (values judge.Sample, doubts [][]string, why string) {
	for i, a := range own.runs {
		var v float64
		switch {
		case own == other:
			v = c.of(a)
		case !other.runs[i].Usable():
			why = fmt.Sprintf("%s lost %d of %d messages",
				other.name, lost(other.runs[i]), other.runs[i].Verified.Expected)
			continue
		case c.limit.AtLeast:
			v = c.of(other.runs[i]) / c.of(a)
		default:
			v = c.of(a) / c.of(other.runs[i])
		}
		if math.IsNaN(v) || math.IsInf(v, 0) || v == 0 && own != other {
			why = "the run does not tell"
			if a.Router == nil {
				why = "no figures of the router: " + a.NoRouter
			}
			continue
		}
		values = append(values, v)
		d := own.disturbed(i)
		if own != other {
			d = append(d, other.disturbed(i)...)
		}
		doubts = append(doubts, d)
	}
	return values, doubts, why
}

func lost(r *load.Report) int64 { return r.Verified.Expected - r.Verified.Received }

// failures counts what went wrong in all rounds.
func (s *side) failures() (n int64) {
	for _, r := range s.runs {
		for _, k := range r.Verified.Failures {
			n += k
		}
	}
	return n
}

// disturbed lists the disturbances of a round. Busy clients are none: costs are compared.
func (s *side) disturbed(round int) (all []string) {
	r := s.runs[round]
	if !r.Trust.Judged || !r.Trust.Disturbed() {
		return nil
	}
	for _, reason := range r.Trust.Reasons {
		all = append(all, fmt.Sprintf("round %d, %s: %s", round+1, s.name, reason))
	}
	return all
}
