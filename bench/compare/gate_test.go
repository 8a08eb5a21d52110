package compare

import (
	"slices"
	"testing"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/report"
)

// document has rounds of banyan and floor with the given costs.
func document(cpu string, rounds int, cost func(round int) (banyan, floor float64)) *report.Document {
	d := report.New("")
	for i := 1; i <= rounds; i++ {
		b, f := cost(i)
		for _, r := range []report.Run{run("a name", "banyan", i, b, 0), run("a name", report.FloorName, i, f, 0)} {
			r.Report.Plan = load.Plan{Publishers: 1, Subscribers: 100, Serializer: "msgpack"}
			r.Report.Where = load.Where{CPU: cpu, CPUs: 2}
			d.Runs = append(d.Runs, r)
		}
	}
	return d
}

func steady(banyan, floor float64) func(int) (float64, float64) {
	return func(round int) (float64, float64) {
		x := 1 + float64(round)/1000
		return banyan * x * x, floor * x
	}
}

func TestGate(t *testing.T) {
	const cpu = "A CPU"
	baseline := document(cpu, 5, steady(250, 200))
	renamed := document(cpu, 5, steady(250, 200))
	for i := range renamed.Runs {
		renamed.Runs[i].Plan = "another name"
	}
	failing := document(cpu, 5, steady(250, 200))
	failing.Runs[0].Report.Verified.OK = false
	other := document(cpu, 5, steady(250, 200))
	for i := range other.Runs {
		other.Runs[i].Report.Plan.Subscribers = 10
	}
	without := document(cpu, 5, steady(250, 200))
	without.Runs = slices.DeleteFunc(without.Runs, func(r report.Run) bool { return r.Peer == report.FloorName })
	for name, c := range map[string]struct {
		results *report.Document
		want    []judge.Verdict
	}{
		"the same":      {document(cpu, 5, steady(250, 200)), []judge.Verdict{judge.Met, judge.Met}},
		"a bit worse":   {document(cpu, 5, steady(270, 200)), []judge.Verdict{judge.Met, judge.Met}},
		"better":        {document(cpu, 5, steady(100, 200)), []judge.Verdict{judge.Met, judge.Met}},
		"worse":         {document(cpu, 5, steady(300, 200)), []judge.Verdict{judge.Missed, judge.Missed}},
		"slow day":      {document(cpu, 5, steady(500, 400)), []judge.Verdict{judge.Met, judge.Missed}},
		"other machine": {document("Another", 5, steady(500, 400)), []judge.Verdict{judge.Met, judge.NotMeasured}},
		"few rounds":    {document(cpu, 2, steady(300, 200)), []judge.Verdict{judge.Noisy, judge.Noisy}},
		"noise": {document(cpu, 5, func(round int) (float64, float64) {
			return []float64{150, 500, 251, 400, 300}[round-1], 200
		}), []judge.Verdict{judge.Noisy, judge.Noisy}},
		"renamed":   {renamed, []judge.Verdict{judge.Met, judge.Met}},
		"failing":   {failing, []judge.Verdict{judge.Failed, judge.Met, judge.Met}},
		"not run":   {other, []judge.Verdict{judge.Failed}},
		"no floor":  {without, []judge.Verdict{judge.Failed, judge.Met}},
		"no rounds": {report.New(""), []judge.Verdict{judge.Failed}},
	} {
		var got []judge.Verdict
		checks := Gate(baseline, c.results, "banyan", 0.1)
		for _, check := range checks {
			got = append(got, check.Verdict)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v: %+v", name, got, c.want, checks)
		}
	}
	checks := Gate(baseline, document(cpu, 5, steady(300, 100)), "banyan", 0.1)
	if r, c := checks[0], checks[1]; r.Figure != "CPU time / floor's" || c.Figure != "CPU ns per event" ||
		r.Old < 1.25 || r.Old > 1.26 || r.New < 3 || r.New > 3.02 || c.Old < 251 || c.Old > 252 || c.New < 301 ||
		c.New > 302 {
		t.Errorf("medians before and now: %+v", checks)
	}
	moreCPUs := document(cpu, 5, steady(250, 200))
	lost := document(cpu, 5, steady(250, 200))
	unknown := document(cpu, 5, steady(250, 200))
	for i := range moreCPUs.Runs {
		moreCPUs.Runs[i].Report.Where.CPUs = 4
		lost.Runs[i].Report.Verified = load.Verdict{Expected: 1000, Received: 500}
		unknown.Runs[i].Report.Router = nil
	}
	for name, c := range map[string]struct {
		before, now *report.Document
		want        []judge.Verdict
	}{
		"more CPUs":             {baseline, moreCPUs, []judge.Verdict{judge.Met, judge.NotMeasured}},
		"half is lost":          {baseline, lost, []judge.Verdict{judge.Failed, judge.Failed, judge.Failed}},
		"unknown process":       {baseline, unknown, []judge.Verdict{judge.Failed, judge.Failed}},
		"once unknown":          {unknown, baseline, []judge.Verdict{judge.NotMeasured, judge.NotMeasured}},
		"half was lost at that": {lost, baseline, []judge.Verdict{judge.NotMeasured, judge.NotMeasured}},
	} {
		var got []judge.Verdict
		for _, check := range Gate(c.before, c.now, "banyan", 0.1) {
			got = append(got, check.Verdict)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if checks := Gate(without, baseline, "banyan", 0.1); checks[0].Verdict != judge.NotMeasured ||
		checks[1].Verdict != judge.Met {
		t.Errorf("baseline without floor: %+v", checks)
	}
	if checks := Gate(baseline, baseline, "nexus", 0.1); checks != nil {
		t.Errorf("checks of nobody: %+v", checks)
	}
}

// TestGateOfRunsWithFloor takes the rounds that a run with --floor has inside.
func TestGateOfRunsWithFloor(t *testing.T) {
	versus := func(ratios ...float64) *report.Document {
		r := run("fanout", "banyan", 1, 250, 0)
		r.Report.Floor = &load.Versus{}
		for _, x := range ratios {
			r.Report.Floor.Rounds = append(r.Report.Floor.Rounds, load.Round{Ratio: x})
		}
		d := report.New("")
		d.Runs = append(d.Runs, r)
		return d
	}
	base := versus(1.1, 1.11, 1.12, 1.13)
	if c := Gate(base, versus(1.5, 1.51, 1.52, 1.53), "banyan", 0.1); c[0].Verdict != judge.Missed ||
		c[1].Verdict != judge.Met {
		t.Errorf("%+v", c)
	}
	if c := Gate(base, versus(1.11, 1.1, 1.13, 1.1), "banyan", 0.1); c[0].Verdict != judge.Met {
		t.Errorf("%+v", c)
	}
}
