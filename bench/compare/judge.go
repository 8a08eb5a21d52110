package compare

import (
	"fmt"
	"slices"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// A figure is what is compared.
type figure struct {
	name   string
	better int // +1 higher, -1 lower
	text   func(float64) string
	value  func(*load.Report) float64 // 0: the run does not tell
	// verdict names the figure in a sentence about a significant difference; empty for no sentence.
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
			"router CPU per " + one, -1, judge.Nanos,
			router(func(p *load.Process) float64 { return p.CPUPerMessage }), "CPU time per " + one,
		},
		{
			many + "/s", +1, judge.Grouped,
			func(r *load.Report) float64 { return r.PerSecond }, "",
		},
		{
			"latency p50" + from, -1, judge.Micros,
			func(r *load.Report) float64 { return r.Latency.P50 }, "",
		},
		{
			"latency p99" + from, -1, judge.Micros,
			func(r *load.Report) float64 { return r.Latency.P99 }, "",
		},
		{
			"system calls per " + one, -1, func(v float64) string { return fmt.Sprintf("%.4f", v) },
			router(func(p *load.Process) float64 { return p.SyscallsPerMessage }), "",
		},
		{
			"memory per session", -1, judge.Bytes,
			router(func(p *load.Process) float64 { return float64(p.RSSPerSession) }), "memory per session",
		},
		{
			"router memory", -1, judge.Bytes,
			router(func(p *load.Process) float64 { return float64(p.RSSBytes) }), "",
		},
	}
}

// sampleOf gathers a figure of the usable runs.
func sampleOf(reports []*load.Report, f figure) (s judge.Sample) {
	for _, r := range reports {
		if v := f.value(r); v > 0 && r.Usable() {
			s = append(s, v)
		}
	}
	return s
}

// table compares the peers on a plan with the first of them that played it.
func table(d *report.Document, p *peers.Plan, order []string) (t report.Table, verdicts []string) {
	t.Plan = p.Name
	for _, name := range order {
		if len(d.Of(p.Name, name)) > 0 {
			t.Peers = append(t.Peers, name)
		}
	}
	first := t.Peers[0]
	t.About = report.Describe(d.Of(p.Name, first)[0])
	for _, f := range figures(p.Scenario, p.Rate) {
		row := report.Row{Figure: f.name}
		reference := sampleOf(d.Of(p.Name, first), f)
		for _, name := range t.Peers {
			s := sampleOf(d.Of(p.Name, name), f)
			if len(s) == 0 {
				why := "no usable round"
				if slices.ContainsFunc(d.Of(p.Name, name), (*load.Report).Usable) {
					why = "not known"
				}
				row.Cells = append(row.Cells, report.Cell{Text: "–", Delta: why})
				continue
			}
			cell := report.Cell{Text: f.text(s.Median()), Value: s.Median()}
			if name != first && len(reference) > 0 {
				difference := judge.Compare(reference, s, f.better)
				cell.Kind, cell.Delta = difference.Verdict, difference.String()
				if f.verdict != "" {
					verdicts = append(verdicts, sentence(difference, p.Name, first, name, f.verdict, len(s)))
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
func sentence(d judge.Difference, plan, first, name, what string, rounds int) string {
	switch d.Verdict {
	case judge.Better, judge.Worse:
		return fmt.Sprintf("%s: %s needs %s the %s of %s (p=%.3f, %d rounds).",
			plan, name, judge.Times(d.Ratio), what, first, d.P, rounds)
	case judge.Same:
		return fmt.Sprintf("%s: no difference in %s between %s and %s (p=%.2f).", plan, what, name, first, d.P)
	}
	return fmt.Sprintf("%s: %s of %s against %s: %s.", plan, what, name, first, d)
}

// multiples is the row of costs as multiples of the floor's in the same round.
func multiples(d *report.Document, p *peers.Plan, peers []string) (report.Row, bool) {
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
		cell := report.Cell{Value: s.Median(), Text: judge.Times(s.Median())}
		if name != report.FloorName && len(s) > 1 {
			cell.Delta = fmt.Sprintf("%s to %s", judge.Times(slices.Min(s)), judge.Times(slices.Max(s)))
		}
		row.Cells = append(row.Cells, cell)
	}
	return row, true
}

// CostRatios returns, for each round that both played, the router's CPU time per
// message as a multiple of the floor's.
func CostRatios(d *report.Document, plan, peer string) (s judge.Sample) {
	floor := map[int]float64{}
	for _, r := range d.Runs {
		if r.Plan == plan && r.Peer == report.FloorName && r.Report.Router != nil && r.Report.Usable() {
			floor[r.Round] = r.Report.Router.CPUPerMessage
		}
	}
	for _, r := range d.Runs {
		if r.Plan == plan && r.Peer == peer && r.Report.Router != nil && r.Report.Usable() &&
			r.Report.Router.CPUPerMessage > 0 && floor[r.Round] > 0 {
			s = append(s, r.Report.Router.CPUPerMessage/floor[r.Round])
		}
	}
	return s
}
