package compare

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"banyan/bench/load"
	"banyan/bench/report"
)

const (
	alpha     = 0.05
	roundsMin = 4    // fewer on a side cannot reach alpha, whatever they show
	spreadMax = 0.25 // of the median, between the largest and the smallest round
	lostMax   = 0.01 // share of messages; above it the figures of a run mean nothing
)

// A figure is what is compared.
type figure struct {
	name   string
	better int // +1 higher, -1 lower
	text   func(float64) string
	value  func(*load.Report) float64 // 0: the run does not tell
	// verdict tells of a significant difference, the peer's median being ratio times the first one's.
	verdict string
}

func figures(scenario string, rate float64) []figure {
	many, one := report.Nouns(scenario)
	router := func(f func(*load.Process) float64) func(*load.Report) float64 {
		return func(r *load.Report) float64 {
			if r.Router == nil {
				return 0
			}
			return f(r.Router)
		}
	}
	from := ""
	if rate > 0 {
		from = " from the intended time"
	}
	return []figure{
		{
			"router CPU per " + one, -1, report.Nanos,
			router(func(p *load.Process) float64 { return p.CPUPerMessage }), "CPU time per " + one,
		},
		{
			many + "/s", +1, report.Grouped,
			func(r *load.Report) float64 { return r.PerSecond }, "",
		},
		{
			"latency p50" + from, -1, report.Micros,
			func(r *load.Report) float64 { return r.Latency.P50 }, "",
		},
		{
			"latency p99" + from, -1, report.Micros,
			func(r *load.Report) float64 { return r.Latency.P99 }, "",
		},
		{
			"system calls per " + one, -1, func(v float64) string { return fmt.Sprintf("%.4f", v) },
			router(func(p *load.Process) float64 { return p.SyscallsPerMessage }), "",
		},
		{
			"memory per session", -1, report.Bytes,
			router(func(p *load.Process) float64 { return float64(p.RSSPerSession) }), "memory per session",
		},
		{
			"router memory", -1, report.Bytes,
			router(func(p *load.Process) float64 { return float64(p.RSSBytes) }), "",
		},
	}
}

// A sample is one figure of one peer over the rounds.
type sample []float64

// spread is the distance of the extremes as a share of the median.
func (s sample) spread() float64 {
	m := report.Median(s)
	if len(s) == 0 || m == 0 {
		return 0
	}
	return (slices.Max(s) - slices.Min(s)) / math.Abs(m)
}

// An outcome is the comparison of two samples.
type outcome struct {
	kind  report.Kind
	ratio float64 // of the medians, new to old
	p     float64
}

// test compares s with the reference.
func test(reference, s sample, better int) outcome {
	o := outcome{ratio: report.Median(s) / report.Median(reference)}
	if len(reference) == 0 || len(s) == 0 {
		return outcome{kind: report.Noisy, p: 1, ratio: math.NaN()}
	}
	thresholds := benchmath.Thresholds{CompareAlpha: alpha}
	c := benchmath.AssumeNothing.Compare(
		benchmath.NewSample(slices.Clone(reference), &thresholds), benchmath.NewSample(slices.Clone(s), &thresholds))
	o.p = c.P
	switch {
	case min(len(reference), len(s)) < roundsMin:
		o.kind = report.Noisy
	case c.P < alpha && o.ratio != 1:
		o.kind = report.Worse
		if (o.ratio > 1) == (better > 0) {
			o.kind = report.Better
		}
	case max(reference.spread(), s.spread()) > spreadMax:
		o.kind = report.Noisy
	default:
		o.kind = report.Same
	}
	return o
}

// text says how a peer stands to the first.
func (o outcome) text(rounds int) string {
	switch o.kind {
	case report.Better, report.Worse:
		return fmt.Sprintf("%s, p=%.3f", report.Times(o.ratio), o.p)
	case report.Same:
		return fmt.Sprintf("no difference (p=%.2f)", o.p)
	}
	if rounds < roundsMin {
		return fmt.Sprintf("too few rounds to tell (%s)", report.Times(o.ratio))
	}
	return fmt.Sprintf("too noisy to tell (p=%.2f)", o.p)
}

// Usable says whether the figures of a run mean something: few enough messages were lost.
func Usable(r *load.Report) bool {
	if r.Verified.Received == 0 {
		return false
	}
	return r.Verified.OK || float64(r.Verified.Expected-r.Verified.Received) <= lostMax*float64(r.Verified.Expected)
}

// take gathers a figure of the usable runs.
func take(reports []*load.Report, f figure) sample {
	var s sample
	for _, r := range reports {
		if v := f.value(r); v > 0 && Usable(r) {
			s = append(s, v)
		}
	}
	return s
}

// judge compares the peers on a plan with the first of them that played it.
func judge(d *report.Document, p *Plan, order []string) (report.Table, []string) {
	t := report.Table{Plan: p.Name}
	for _, name := range order {
		if len(d.Of(p.Name, name)) > 0 {
			t.Peers = append(t.Peers, name)
		}
	}
	first := t.Peers[0]
	t.About = report.Describe(d.Of(p.Name, first)[0])
	var verdicts []string
	for _, f := range figures(p.Scenario, p.Rate) {
		row := report.Row{Figure: f.name}
		reference := take(d.Of(p.Name, first), f)
		for _, name := range t.Peers {
			s := take(d.Of(p.Name, name), f)
			if len(s) == 0 {
				why := "no usable round"
				if slices.ContainsFunc(d.Of(p.Name, name), Usable) {
					why = "not known"
				}
				row.Cells = append(row.Cells, report.Cell{Text: "–", Delta: why})
				continue
			}
			median := report.Median(s)
			cell := report.Cell{Text: f.text(median), Value: median}
			if name != first && len(reference) > 0 {
				o := test(reference, s, f.better)
				cell.Kind, cell.Delta = o.kind, o.text(min(len(s), len(reference)))
				if f.verdict != "" {
					verdicts = append(verdicts, o.sentence(p.Name, first, name, f.verdict, len(s)))
				}
			}
			row.Cells = append(row.Cells, cell)
		}
		if slices.ContainsFunc(row.Cells, func(c report.Cell) bool { return c.Value > 0 }) {
			t.Rows = append(t.Rows, row) // the scenario has this figure
		}
	}
	if row, ok := multiples(d, p, t.Peers); ok {
		t.Rows = slices.Insert(t.Rows, min(1, len(t.Rows)), row)
	}
	return t, verdicts
}

// sentence is the verdict on one figure.
func (o outcome) sentence(plan, first, name, what string, rounds int) string {
	switch o.kind {
	case report.Better, report.Worse:
		return fmt.Sprintf("%s: %s needs %s the %s of %s (p=%.3f, %d rounds).", plan, name, report.Times(o.ratio), what, first, o.p, rounds)
	case report.Same:
		return fmt.Sprintf("%s: no difference in %s between %s and %s (p=%.2f).", plan, what, name, first, o.p)
	}
	return fmt.Sprintf("%s: %s of %s against %s: %s.", plan, what, name, first, o.text(rounds))
}

// multiples is the row of costs as multiples of the floor's in the same round.
func multiples(d *report.Document, p *Plan, peers []string) (report.Row, bool) {
	row := report.Row{Figure: "× floor, same round"}
	if !slices.Contains(peers, report.FloorName) || len(peers) < 2 {
		return row, false
	}
	if len(CostRatios(d, p.Name, report.FloorName)) == 0 {
		return row, false // nothing was sent
	}
	for _, name := range peers {
		s := CostRatios(d, p.Name, name)
		if len(s) == 0 {
			row.Cells = append(row.Cells, report.Cell{Text: "–"})
			continue
		}
		cell := report.Cell{Value: report.Median(s), Text: report.Times(report.Median(s))}
		if name != report.FloorName && len(s) > 1 {
			cell.Delta = fmt.Sprintf("%s to %s", report.Times(slices.Min(s)), report.Times(slices.Max(s)))
		}
		row.Cells = append(row.Cells, cell)
	}
	return row, true
}

// CostRatios returns, for each round that both played, the router's CPU time per message as a multiple of the floor's.
func CostRatios(d *report.Document, plan, peer string) []float64 {
	floor := map[int]float64{}
	for _, r := range d.Runs {
		if r.Plan == plan && r.Peer == report.FloorName && r.Report.Router != nil && Usable(r.Report) {
			floor[r.Round] = r.Report.Router.CPUPerMessage
		}
	}
	var s []float64
	for _, r := range d.Runs {
		if r.Plan == plan && r.Peer == peer && r.Report.Router != nil && Usable(r.Report) && r.Report.Router.CPUPerMessage > 0 && floor[r.Round] > 0 {
			s = append(s, r.Report.Router.CPUPerMessage/floor[r.Round])
		}
	}
	return s
}
