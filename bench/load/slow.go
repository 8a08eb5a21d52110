package load

import (
	"context"
	"errors"
	"os"
	"time"

	"banyan/bench/judge"
)

// A SlowPlan is a fan-out at a fixed rate, measured twice: without, and then with subscribers that never read. It
// tells what those do to the others and to the router's memory.
type SlowPlan struct {
	Options         // Rate is the publications per second; default 500
	Subscribers int // that read; default 100
	Stopped     int // that do not, in the second half; default 1
}

// rateDefault is the rate of the scenarios that compare latencies.
const rateDefault = 500

// Slow runs plan and returns the report of the run with the stopped readers; errors are as Fanout's. Only the events
// of the others are counted and verified. The router's policy decides about a stopped reader: the report tells its
// outcome and does not judge it.
func Slow(ctx context.Context, plan SlowPlan) (*Report, error) {
	defaultTo(&plan.Stopped, 1)
	if plan.Stopped < 1 {
		return nil, Usage("%d stopped readers: at least one", plan.Stopped)
	}
	if plan.Rate == 0 {
		plan.Rate = rateDefault
	}
	fan := FanoutPlan{Options: plan.Options, Subscribers: plan.Subscribers}
	p, without, err := fan.undisturbed(ctx, "slow")
	if err != nil {
		return nil, err
	}
	p.stopped = plan.Stopped
	p.report.Stopped = plan.Stopped
	with, err := runPubsub(ctx, fan.Options, p)
	if err != nil {
		return nil, err
	}
	with.addControl("without", without)
	if with.Router != nil && without.Router != nil {
		with.Figures = append(with.Figures, Figure{
			"memory",
			judge.Round3(float64(with.peakRSS()-without.peakRSS()) / (1 << 20)), "MiB more at most",
		})
	}
	return with, nil
}

// addControl adds the latencies of the control run to r, and its failures and disturbances.
func (r *Report) addControl(name string, control *Report) {
	r.Figures = append(r.Figures,
		Figure{"p50 " + name, control.Latency.P50, "us"},
		Figure{"p99 " + name, control.Latency.P99, "us"},
		Figure{"p99 ratio", judge.Round3(judge.Ratio(r.Latency.P99, control.Latency.P99)), "x"})
	for what, n := range control.Verified.Failures {
		r.fail(name+": "+what, n)
	}
	r.Trust.take(name+": ", &control.Trust)
}

// figure returns the value of the figure called name, 0 when there is none.
func (r *Report) figure(name string) float64 {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value
		}
	}
	return 0
}

// peakRSS is the most memory that the router was seen to have.
func (r *Report) peakRSS() int64 {
	most := r.Router.RSSBytes
	for i := range r.Series {
		most = max(most, r.Series[i].RouterRSS)
	}
	return most
}

// fail notes a failure that is found after the run.
func (r *Report) fail(what string, n int64) {
	if r.Verified.Failures == nil {
		r.Verified.Failures = map[string]int64{}
	}
	r.Verified.OK = false
	r.Verified.Failures[what] += n
}

// drainMax is how long a stopped reader is read in the end, to see whether it was closed.
const drainMax = 500 * time.Millisecond

// closedByRouter reads the rest of a stopped reader's stream and reports whether the router has ended it.
func closedByRouter(c link) bool {
	c.SetReadDeadline(time.Now().Add(drainMax))
	for {
		if _, err := c.Next(); err != nil && err != errUndecodable {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}
