package load

import (
	"context"
	"fmt"
	"slices"

	"banyan/bench/judge"
)

// Rounds of Against.
const (
	roundsDefault = 3
	roundsMax     = 1000
	reasonsMax    = 6
)

// sides are run in turn by Against.
var sides = [2]string{"floor", "router"}

// Against runs a scenario on floor and router in turn, F R F R …, for a number of rounds (0 is 3), and returns the
// router's report of the median round with the comparison in Floor. run gets "floor" or "router" and should use a
// fresh process each time. told is called after each run and may be nil. The report's Trust is that of the
// comparison: disturbances and rounds that disagree count against it, busy clients do not.
func Against(ctx context.Context, rounds int, run func(ctx context.Context, side string) (*Report, error),
	told func(round int, side string, r *Report),
) (*Report, error) {
	if rounds == 0 {
		rounds = roundsDefault
	}
	if rounds < 1 || rounds > roundsMax {
		return nil, Usage("%d rounds: must be 1 to %d", rounds, roundsMax)
	}
	v := &Versus{}
	var routers []*Report
	trust := Trust{Judged: true, OK: true}
	failures := map[string]int64{}
	for i := range rounds {
		var pair [2]*Report
		for side, name := range sides {
			r, err := run(ctx, name)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			where := fmt.Sprintf("round %d, %s: ", i+1, name)
			if err != nil {
				return nil, fmt.Errorf("%s%w", where, err)
			}
			pair[side] = r
			trust.take(where, &r.Trust)
			for what, n := range r.Verified.Failures {
				failures[where+what] += n
			}
			if told != nil {
				told(i+1, name, r)
			}
		}
		round, unit, err := compare(pair[1], pair[0])
		if err != nil {
			return nil, err
		}
		v.Unit = unit
		v.Rounds = append(v.Rounds, round)
		routers = append(routers, pair[1])
	}
	ratios := v.sample(func(k *Round) float64 { return k.Ratio })
	v.summarize(ratios)
	if ratios.Spread() > judge.SpreadMax {
		trust.OK = false
		trust.Reasons = append(trust.Reasons, fmt.Sprintf("the rounds disagree: ratios from %.2f to %.2f",
			v.Min, v.Max))
	}
	out := *routers[ratios.Middle()]
	out.Floor, out.Trust = v, trust
	if len(failures) > 0 {
		out.Verified.OK, out.Verified.Failures = false, failures
	}
	return &out, nil
}

// take adds the disturbances of one run.
func (t *Trust) take(where string, run *Trust) {
	t.Judged = t.Judged && run.Judged
	t.HalvesApart = max(t.HalvesApart, run.HalvesApart)
	t.OtherCPU = max(t.OtherCPU, run.OtherCPU)
	t.StolenCPU = max(t.StolenCPU, run.StolenCPU)
	t.ClientsBusy = t.ClientsBusy || run.ClientsBusy
	if !run.Judged || !run.Disturbed() {
		return
	}
	t.OK = false
	for _, reason := range run.Reasons {
		switch {
		case len(t.Reasons) < reasonsMax:
			t.Reasons = append(t.Reasons, where+reason)
		case len(t.Reasons) == reasonsMax:
			t.Reasons = append(t.Reasons, "and more")
		}
	}
}

// compare puts two reports side by side: idle runs by memory per session, others by CPU per message.
func compare(router, floor *Report) (Round, string, error) {
	r := Round{
		RouterPerSecond: router.PerSecond, FloorPerSecond: floor.PerSecond,
		RouterP50: router.Latency.P50, FloorP50: floor.Latency.P50,
		RouterP99: router.Latency.P99, FloorP99: floor.Latency.P99,
	}
	if router.Router == nil || floor.Router == nil {
		return r, "", fmt.Errorf("no CPU figures: %s%s", router.NoRouter, floor.NoRouter)
	}
	unit := "cpu-ns/received"
	r.Router, r.Floor = router.Router.CPUPerMessage, floor.Router.CPUPerMessage
	if router.Scenario == "idle" {
		unit = "bytes/session"
		r.Router, r.Floor = float64(router.Router.RSSPerSession), float64(floor.Router.RSSPerSession)
	}
	r.RouterSyscalls, r.FloorSyscalls = router.Router.SyscallsPerMessage, floor.Router.SyscallsPerMessage
	r.Ratio = judge.Round3(judge.Ratio(r.Router, r.Floor))
	return r, unit, nil
}

// sample gathers a figure of the rounds.
func (v *Versus) sample(of func(*Round) float64) (s judge.Sample) {
	for i := range v.Rounds {
		s = append(s, of(&v.Rounds[i]))
	}
	return s
}

// summarize fills in medians, min and max from the ratios of cost.
func (v *Versus) summarize(ratios judge.Sample) {
	v.Min, v.Max, v.Median = slices.Min(ratios), slices.Max(ratios), judge.Round3(ratios.Median())
	v.MedianP50 = judge.Round3(v.sample(func(k *Round) float64 {
		return judge.Ratio(k.RouterP50,
			k.FloorP50)
	}).Median())
	v.MedianP99 = judge.Round3(v.sample(func(k *Round) float64 {
		return judge.Ratio(k.RouterP99,
			k.FloorP99)
	}).Median())
}
