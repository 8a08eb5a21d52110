package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"banyan/bench/judge"
)

// A SoakPlan is publications, calls and sessions that come and go, all at once and at fixed rates, for Duration. It
// fails where the scenarios it is made of fail, and when the router's memory grows.
type SoakPlan struct {
	Options         // Rate is of publications and of calls per second, each; default 200
	Subscribers int // default 20
	Callers     int // default 4
	Sessions    int // that come and go per second; default 10
}

const (
	soakRateDefault = 200
	growthPart      = 0.10    // of the memory: more growth from the second to the last quarter is a failure
	growthBytes     = 8 << 20 // less growth is none
)

// Soak runs plan; errors as Fanout's. Its report counts events, results and sessions together; latency and series are
// those of the events.
func Soak(ctx context.Context, plan SoakPlan) (*Report, error) {
	defaultTo(&plan.Subscribers, 20)
	defaultTo(&plan.Callers, 4)
	defaultTo(&plan.Sessions, 10)
	if plan.Rate == 0 {
		plan.Rate = soakRateDefault
	}
	if plan.Sessions < 1 {
		return nil, Usage("%d sessions per second: at least one", plan.Sessions)
	}
	plan.Syscalls = SyscallsNone // they could not be assigned to one of the three parts
	calls, comings := plan.Options, plan.Options
	calls.Progress, comings.Progress = nil, nil
	comings.Rate = float64(plan.Sessions)

	// A part that cannot run ends the other two.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var events, results, sessions *Report
	part := func(name string, to **Report, run func() (*Report, error)) {
		wg.Go(func() {
			r, err := run()
			if *to = r; err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("fanout", &events, func() (*Report, error) {
		return Fanout(ctx, FanoutPlan{Options: plan.Options, Subscribers: plan.Subscribers})
	})
	part("rpc", &results, func() (*Report, error) { return RPC(ctx, RPCPlan{Options: calls, Callers: plan.Callers}) })
	part("storm", &sessions, func() (*Report, error) { return Storm(ctx, StormPlan{Options: comings, Workers: 2}) })
	wg.Wait()
	if events == nil || results == nil || sessions == nil {
		err := context.Cause(ctx)
		if err == nil {
			err = errors.New("load: a part of the soak ended without a report")
		}
		return nil, err
	}
	out := events
	out.Scenario = "soak"
	out.Plan.Callers, out.Plan.Callees, out.Plan.Workers = results.Plan.Callers, results.Plan.Callees,
		sessions.Plan.Workers
	out.Figures = append(out.Figures,
		Figure{"calls", judge.Round3(results.PerSecond), "calls/s"}, Figure{"call p99", results.Latency.P99, "us"},
		Figure{"sessions", judge.Round3(sessions.PerSecond), "sessions/s"},
		Figure{"session p99", sessions.Latency.P99, "us"})
	out.join("rpc", results)
	out.join("storm", sessions)
	out.judgeGrowth()
	return out, nil
}

// join adds another report's counts and failures.
func (r *Report) join(name string, other *Report) {
	r.Operations += other.Operations
	r.Received += other.Received
	r.addVerified(name, other)
	r.PerSecond = judge.Ratio(float64(r.Received), r.Seconds)
	perMessage := func(p *Process) {
		if p != nil {
			p.CPUPerMessage = judge.Round3(1e9 * judge.Ratio(p.CPUSeconds, float64(r.Received)))
		}
	}
	perMessage(r.Router)
	perMessage(&r.Client)
}

// judgeGrowth compares the router's memory in the second quarter of the run with the last one, by their medians: the
// first quarter is for buffers to reach their size.
func (r *Report) judgeGrowth() {
	n := len(r.Series) / 4
	if r.Router == nil || n == 0 {
		return
	}
	median := func(s []Second) float64 {
		var rss []int64
		for i := range s {
			rss = append(rss, s[i].RouterRSS)
		}
		slices.Sort(rss)
		return float64(rss[len(rss)/2])
	}
	before, after := median(r.Series[n:2*n]), median(r.Series[len(r.Series)-n:])
	r.Figures = append(r.Figures, Figure{"growth", judge.Round3(100 * judge.Ratio(after-before, before)), "%"})
	if after-before > max(growthPart*before, growthBytes) {
		r.fail(fmt.Sprintf("growth of the router's memory, from %.0f to %.0f MiB", before/(1<<20), after/(1<<20)), 1)
	}
}
