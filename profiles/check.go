package profiles

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// A Baseline holds the shares of CPU time that a scenario's functions themselves took when
// its budget was last agreed on.
type Baseline struct {
	Samples   int64                         `json:"samples"`
	Functions map[string]map[string]float64 `json:"functions"` // by category; those with a thousandth or more
}

// baselineMin is the least share of a function that a baseline keeps. A function that is not in it counts as 0.
const baselineMin = 0.001

//go:embed baseline.json
var baselineFile []byte

// ReadBaselines returns the agreed baselines by scenario.
func ReadBaselines() (map[string]Baseline, error) {
	var all map[string]Baseline
	if err := json.Unmarshal(baselineFile, &all); err != nil {
		return nil, fmt.Errorf("baseline.json: %w", err)
	}
	return all, nil
}

// NewBaseline makes a baseline of a CPU profile.
func NewBaseline(p *profile.Profile) (Baseline, error) {
	s, err := Sum(p)
	if err != nil {
		return Baseline{}, err
	}
	b := Baseline{Samples: s.Samples, Functions: map[string]map[string]float64{}}
	for c := range categories {
		of := map[string]float64{}
		for f, t := range s.flat[c] {
			if share := float64(t) / float64(s.CPU); share >= baselineMin {
				of[f] = round(share)
			}
		}
		b.Functions[c.String()] = of
	}
	return b, nil
}

// round keeps four digits: a sample of the smallest profile is two in ten thousand.
func round(share float64) float64 { return float64(int64(share*1e4+0.5)) / 1e4 }

// A TooFewSamplesError says that a profile is too short to be judged.
type TooFewSamplesError struct{ Samples int64 }

func (e *TooFewSamplesError) Error() string {
	return fmt.Sprintf("too few samples: %d, a verdict needs %d; record for longer", e.Samples, SamplesMin)
}

// A Report is the result of Check.
type Report struct {
	Scenario string
	Shares   *Shares
	Breaches []Breach
}

// A Breach is one budget that does not hold.
type Breach struct {
	What       string // the category or function
	Why        string // for functions that should be absent
	Share, Max float64
	Grew       []Growth // most first, at most five
}

// A Growth is a function that takes more than in the baseline, both as shares of all CPU time. In a breach of an
// absence it is the caller, and Was is 0.
type Growth struct {
	Function   string
	Share, Was float64
}

// Check holds a CPU profile of the router against the budget of a scenario. It returns a *TooFewSamplesError for a
// profile that is too short.
func Check(p *profile.Profile, scenario string) (*Report, error) {
	all, err := ReadBaselines()
	if err != nil {
		return nil, err
	}
	return check(p, scenario, all[scenario])
}

func check(p *profile.Profile, scenario string, was Baseline) (*Report, error) {
	bounds := Bounds(scenario)
	if bounds == nil {
		return nil, fmt.Errorf("no budget for %q; there are %s", scenario, strings.Join(Scenarios, ", "))
	}
	s, err := Sum(p)
	if err != nil {
		return nil, err
	}
	if s.Samples < SamplesMin {
		return nil, &TooFewSamplesError{s.Samples}
	}
	r := &Report{Scenario: scenario, Shares: s}
	for c := range categories {
		limit, bounded := bounds[c]
		if share := s.Share(c); bounded && share > limit {
			r.Breaches = append(r.Breaches, Breach{
				What: c.String(), Share: share, Max: limit,
				Grew: growth(s, c, was),
			})
		}
	}
	for _, a := range absences {
		share, callers := present(p, s, a.prefix)
		if share > a.max {
			r.Breaches = append(r.Breaches, Breach{
				What: a.prefix, Why: a.why, Share: share, Max: a.max,
				Grew: callers,
			})
		}
	}
	return r, nil
}

// growthMax is how many functions a breach names.
const growthMax = 5

// growth returns the functions of c that took more of the time than in the baseline.
func growth(s *Shares, c Category, was Baseline) []Growth {
	var all []Growth
	for f, t := range s.flat[c] {
		g := Growth{Function: f, Share: float64(t) / float64(s.CPU), Was: was.Functions[c.String()][f]}
		if g.Share-g.Was >= baselineMin {
			all = append(all, g)
		}
	}
	return most(all)
}

// most sorts by growth and keeps the first.
func most(all []Growth) []Growth {
	slices.SortFunc(all, func(a, b Growth) int {
		return cmp.Or(cmp.Compare(b.Share-b.Was, a.Share-a.Was), strings.Compare(a.Function, b.Function))
	})
	return all[:min(growthMax, len(all))]
}

// present returns the share of functions that begin with prefix, callees included, in a loop's work on messages, and
// which of the router's functions called them.
func present(p *profile.Profile, s *Shares, prefix string) (share float64, callers []Growth) {
	by := map[string]int64{}
	var sum int64
	for _, sample := range p.Sample {
		caller, found := calledIn(sample, prefix)
		if !found {
			continue
		}
		sum += sample.Value[s.cpuIndex]
		by[caller] += sample.Value[s.cpuIndex]
	}
	if s.CPU == 0 {
		return 0, nil
	}
	for f, t := range by {
		callers = append(callers, Growth{Function: f, Share: float64(t) / float64(s.CPU)})
	}
	return float64(sum) / float64(s.CPU), most(callers)
}

// calledIn reports whether a function that begins with prefix is on the stack while a loop handles messages, and the
// nearest of the router's own functions above it.
func calledIn(s *profile.Sample, prefix string) (caller string, found bool) {
	inLoop := false
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function == nil {
				continue
			}
			name := line.Function.Name
			if slices.Contains(coldFrames, name) {
				return "", false
			}
			switch {
			case strings.HasPrefix(name, prefix):
				found, caller = true, ""
			case found && caller == "" && strings.HasPrefix(name, "banyan/"):
				caller = name
			}
			inLoop = inLoop || strings.HasPrefix(name, loopFrame)
		}
	}
	return caller, found && inLoop
}

// OK reports whether every budget holds.
func (r *Report) OK() bool { return len(r.Breaches) == 0 }

// Print writes the table of shares and bounds, and what is broken.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d samples, %.2f s of CPU\n", r.Scenario, r.Shares.Samples, float64(r.Shares.CPU)/1e9)
	bounds := Bounds(r.Scenario)
	for c := range categories {
		limit := "   -  "
		if b, ok := bounds[c]; ok {
			limit = fmt.Sprintf("%4.0f %%", 100*b)
		}
		mark := ""
		if b, ok := bounds[c]; ok && r.Shares.Share(c) > b {
			mark = "  OVER"
		}
		fmt.Fprintf(w, "%-10s %5.1f %%  of at most %s%s\n", c, 100*r.Shares.Share(c), limit, mark)
	}
	for _, b := range r.Breaches {
		fmt.Fprintf(w, "\nbudget broken: %s", b)
	}
	if r.OK() {
		fmt.Fprintln(w, "all budgets hold")
	}
}

// String says what is broken and which functions did it.
func (b Breach) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s has %.1f %% of the CPU time, allowed are %.1f %%", b.What, 100*b.Share, 100*b.Max)
	if b.Why != "" {
		fmt.Fprintf(&s, " (%s)", b.Why)
	}
	s.WriteByte('\n')
	for _, g := range b.Grew {
		switch {
		case b.Why != "":
			fmt.Fprintf(&s, "  called by %s, %.2f %%\n", g.Function, 100*g.Share)
		default:
			fmt.Fprintf(&s, "  grew: %s, %.2f %% → %.2f %%\n", g.Function, 100*g.Was, 100*g.Share)
		}
	}
	return s.String()
}
