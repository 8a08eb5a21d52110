package compare

import (
	"fmt"
	"slices"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/report"
)

// A Check is one figure of one plan, before and now.
type Check struct {
	Plan    string // key of the plan, see report.Key
	Figure  string
	Old     float64 // medians; the figure is a cost, lower is better
	New     float64
	Verdict judge.Verdict // met, missed, noisy, failed, or not measured when it means nothing here
	Why     string
}

// Gate compares the costs of a router with those of a baseline: CPU time per message as a multiple of the floor's in
// the same round, and CPU time per message itself if both were measured on the same kind of CPU. Worse by more than
// tolerance (0.1 is 10 %) fails if a Mann-Whitney test tells it from chance. A plan of the baseline that was not run,
// or whose verification failed, fails too.
func Gate(baseline, results *report.Document, peer string, tolerance float64) []Check {
	old, now := costs(baseline, peer), costs(results, peer)
	var checks []Check
	for _, key := range keys(baseline, peer) {
		was, is := old[key], now[key]
		if is == nil {
			checks = append(checks, Check{Plan: key, Verdict: judge.Failed, Why: "was not run"})
			continue
		}
		if is.failed > 0 {
			checks = append(checks, Check{
				Plan: key, Figure: "verification", Verdict: judge.Failed, Why: fmt.Sprintf("failed in %d of %d runs",
					is.failed, is.runs),
			})
		}
		ratios := Check{Plan: key, Figure: "CPU time / floor's"}
		switch {
		case len(was.ratios) == 0:
			ratios.Verdict, ratios.Why = judge.NotMeasured, "the baseline has no floor"
		case len(is.ratios) == 0:
			ratios.Verdict, ratios.Why = judge.Failed, "the results have no floor"
		default:
			ratios.compare(was.ratios, is.ratios, tolerance)
		}
		checks = append(checks, ratios)
		cost := Check{Plan: key, Figure: "CPU ns per " + is.one}
		switch {
		case was.machine != is.machine:
			cost.Verdict, cost.Why = judge.NotMeasured, fmt.Sprintf("baseline from another machine: %s, now %s",
				was.machine, is.machine)
		case len(was.cost) == 0:
			cost.Verdict, cost.Why = judge.NotMeasured, "the baseline does not know it"
		case len(is.cost) == 0:
			cost.Verdict, cost.Why = judge.Failed, "not measured"
		default:
			cost.compare(was.cost, is.cost, tolerance)
		}
		checks = append(checks, cost)
	}
	return checks
}

func (c *Check) compare(old, now judge.Sample, tolerance float64) {
	var d judge.Difference
	c.Verdict, d = judge.Grown(old, now, tolerance)
	c.Old, c.New, c.Why = old.Median(), now.Median(), d.String()
}

// costsOf are the costs of a plan over the rounds.
type costsOf struct {
	ratios       judge.Sample // to the floor
	cost         judge.Sample // ns per message
	machine, one string
	runs, failed int
}

// keys lists the keys of the plans that peer played, in order.
func keys(d *report.Document, peer string) []string {
	var all []string
	for _, r := range d.Runs {
		if key := report.Key(r.Report); r.Peer == peer && !slices.Contains(all, key) {
			all = append(all, key)
		}
	}
	return all
}

func costs(d *report.Document, peer string) map[string]*costsOf {
	all := map[string]*costsOf{}
	plans := map[string]string{} // key to the name in the document
	for _, r := range d.Runs {
		if r.Peer != peer {
			continue
		}
		key := report.Key(r.Report)
		c := all[key]
		if c == nil {
			_, one := report.Nouns(r.Report.Scenario)
			c = &costsOf{machine: machine(r.Report), one: one}
			all[key] = c
			plans[key] = r.Plan
		}
		c.runs++
		if !r.Report.Verified.OK {
			c.failed++
		}
		if r.Report.Router != nil && r.Report.Router.CPUPerMessage > 0 && r.Report.Usable() {
			c.cost = append(c.cost, r.Report.Router.CPUPerMessage)
		}
		// A single run with --floor holds its rounds.
		if r.Report.Floor != nil {
			for _, round := range r.Report.Floor.Rounds {
				c.ratios = append(c.ratios, round.Ratio)
			}
		}
	}
	for key, c := range all {
		if len(c.ratios) == 0 {
			c.ratios = CostRatios(d, plans[key], peer)
		}
	}
	return all
}

func machine(r *load.Report) string { return fmt.Sprintf("%d × %s", r.Where.CPUs, r.Where.CPU) }
