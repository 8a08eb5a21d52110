package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"banyan/codec"
)

// A Start starts a fresh router or floor and gives its URL of the scheme ("ws" or "rs").
type Start func(ctx context.Context, scheme string) (*Child, error)

// A TargetsPlan measures Banyan's speed targets one after the other.
type TargetsPlan struct {
	Rounds        int // of each; default 3
	Duration      time.Duration
	Warmup        time.Duration
	Only          string // measure what has this text in its name; empty for all
	Floor, Router Start
	Told          func(Outcome) // called after each target. May be nil.
}

// An Outcome is one line of the table: a figure of one work, against its target.
type Outcome struct {
	Work     string   `json:"work"`
	Figure   string   `json:"figure"` // what is compared and with what
	Target   float64  `json:"target"` // at most
	Median   float64  `json:"median"` // of the rounds
	Min      float64  `json:"min"`
	Max      float64  `json:"max"`
	Met      bool     `json:"met"`
	Doubts   []string `json:"doubts,omitempty"` // why the figure may not be trusted
	Failures int64    `json:"failures,omitempty"`
}

// A target is a work and what is asked of it.
type target struct {
	work   string
	scheme string // default ws
	pinned bool   // router, floor and clients on one CPU
	run    scenarioFunc
	base   scenarioFunc // what the router has to do for comparison; nil for the floor doing the same
	alone  bool         // no comparison: the figure is absolute
	checks []check
}

type scenarioFunc func(ctx context.Context, l Load) (*Report, error)

type check struct {
	figure string
	most   float64
	// One of the two: of a comparison, or of a run alone.
	ofRound  func(k *Round) float64
	ofReport func(r *Report) float64
}

func cost(with string, most float64) check {
	return check{"cost / " + with, most, func(k *Round) float64 { return k.Ratio }, nil}
}

func median(most float64) check {
	return check{"p50 / floor", most, func(k *Round) float64 { return ratio(k.RouterP50, k.FloorP50) }, nil}
}

func slowest(most float64) check {
	return check{"p99 / floor", most, func(k *Round) float64 { return ratio(k.RouterP99, k.FloorP99) }, nil}
}

func own(figure, name string, most float64) check {
	return check{figure, most, nil, func(r *Report) float64 { return r.figure(name) }}
}

// targets are those of the project that need no other router, in the order in which they are measured.
func targets() []target {
	fan := func(publishers, subscribers, inFlight, payload int, s codec.Serializer) scenarioFunc {
		return func(ctx context.Context, l Load) (*Report, error) {
			l.InFlight, l.PayloadBytes, l.Serializer = inFlight, payload, s
			return Fanout(ctx, FanoutPlan{Load: l, Publishers: publishers, Subscribers: subscribers})
		}
	}
	rpc := func(callers, inFlight int) scenarioFunc {
		return func(ctx context.Context, l Load) (*Report, error) {
			l.InFlight = inFlight
			return RPC(ctx, RPCPlan{Load: l, Callers: callers})
		}
	}
	topics := func(n, each int) scenarioFunc {
		return func(ctx context.Context, l Load) (*Report, error) {
			return Topics(ctx, TopicsPlan{Load: l, Topics: n, PerTopic: each, Sessions: 100})
		}
	}
	patterns := func(n, matching int) scenarioFunc {
		return func(ctx context.Context, l Load) (*Report, error) {
			return Patterns(ctx, PatternsPlan{Load: l, Patterns: n, Matching: matching})
		}
	}
	const mp, none = codec.MessagePack, codec.Serializer(0)
	var all []target
	for _, n := range []int{10, 100, 1000, 5000} {
		all = append(all, target{work: fmt.Sprintf("fan-out to %d", n), run: fan(1, n, 32, 64, none), checks: []check{cost("floor", 1.25)}})
	}
	return append(all,
		target{work: "fan-out to 100, 1 KiB", run: fan(1, 100, 32, 1024, none), checks: []check{cost("floor", 1.25)}},
		target{work: "fan-out to 100, one in flight", run: fan(1, 100, 1, 64, none), checks: []check{cost("floor", 1.1)}},
		target{work: "fan-out to 100 at 500/s", run: func(ctx context.Context, l Load) (*Report, error) {
			l.Rate = 500
			return Fanout(ctx, FanoutPlan{Load: l, Subscribers: 100})
		}, checks: []check{slowest(1.2)}},
		target{work: "32 publishers to 100, one in flight each", run: fan(32, 100, 1, 64, none), checks: []check{cost("floor", 0.15)}},
		target{work: "fan-out to 100, JSON", run: fan(1, 100, 32, 64, codec.JSON), base: fan(1, 100, 32, 64, mp), checks: []check{cost("msgpack", 1.25)}},
		target{work: "fan-out to 100, CBOR", run: fan(1, 100, 32, 64, codec.CBOR), base: fan(1, 100, 32, 64, mp), checks: []check{cost("msgpack", 1.25)}},
		target{work: "fan-out to 100, RawSocket", scheme: "rs", run: fan(1, 100, 32, 64, mp), checks: []check{cost("floor", 1.25)}},
		target{work: "three serializers at once", run: func(ctx context.Context, l Load) (*Report, error) {
			return Fanout(ctx, FanoutPlan{Load: l, Mixed: true, Subscribers: 99})
		}, base: fan(3, 99, 32, 64, mp), checks: []check{cost("msgpack", 1.25)}},
		target{work: "10 000 patterns, matching one", run: patterns(10_000, 1), base: topics(10_000, 1), checks: []check{cost("topics", 1.3)}},
		target{work: "3 000 patterns, matching three", run: patterns(3000, 3), base: topics(1000, 3), checks: []check{cost("topics", 1.3)}},
		target{work: "100 000 patterns, matching one", run: patterns(100_000, 1), base: patterns(1000, 1), checks: []check{cost("1 000 patterns", 1.3)}},
		target{work: "rpc 1 x 1 on one CPU", pinned: true, run: rpc(1, 1), checks: []check{cost("floor", 1.1), median(1.1)}},
		target{work: "rpc 1 x 64", run: rpc(1, 64), checks: []check{cost("floor", 1.8)}},
		target{work: "rpc 16 x 64", run: rpc(16, 64), checks: []check{cost("floor", 3)}},
		target{work: "open, HELLO, GOODBYE, close", run: func(ctx context.Context, l Load) (*Report, error) {
			return Storm(ctx, StormPlan{Load: l})
		}, checks: []check{cost("floor", 1.3)}},
		target{work: "10 000 idle sessions", alone: true, run: func(ctx context.Context, l Load) (*Report, error) {
			return Idle(ctx, IdlePlan{Load: l})
		}, checks: []check{
			{"KiB per session", 3, nil, func(r *Report) float64 { return float64(r.Router.RSSPerSession) / 1024 }},
			own("s to give it back", "after", 5),
		}},
		target{work: "churn while publishing", alone: true, run: func(ctx context.Context, l Load) (*Report, error) {
			return Churn(ctx, ChurnPlan{Load: l})
		}, checks: []check{own("us of CPU per cycle", "cost", 10), own("p99 / without", "p99 ratio", 1.1)}},
		target{work: "one stopped reader of 101", alone: true, run: func(ctx context.Context, l Load) (*Report, error) {
			l.PayloadBytes = 4096
			return Slow(ctx, SlowPlan{Load: l})
		}, checks: []check{own("p99 / without", "p99 ratio", 1.1)}},
	)
}

// Targets measures what plan asks for. Errors are those of a load that could not run; missed targets are outcomes.
func Targets(ctx context.Context, plan TargetsPlan) ([]Outcome, error) {
	defaultTo(&plan.Rounds, roundsDefault)
	if plan.Rounds < 1 || plan.Rounds > roundsMax {
		return nil, usage("%d rounds: must be 1 to %d", plan.Rounds, roundsMax)
	}
	var out []Outcome
	for _, t := range targets() {
		if !strings.Contains(t.work, plan.Only) {
			continue
		}
		outcomes, err := plan.measure(ctx, &t)
		if err != nil {
			return out, fmt.Errorf("%s: %w", t.work, err)
		}
		for _, o := range outcomes {
			out = append(out, o)
			if plan.Told != nil {
				plan.Told(o)
			}
		}
	}
	if len(out) == 0 {
		return nil, usage("no target has %q in its name", plan.Only)
	}
	return out, nil
}

func (plan *TargetsPlan) measure(ctx context.Context, t *target) (_ []Outcome, err error) {
	if t.pinned {
		undo, err := pin()
		if err != nil {
			return nil, err
		}
		defer func() {
			if uerr := undo(); err == nil {
				err = uerr
			}
		}()
	}
	scheme := t.scheme
	if scheme == "" {
		scheme = "ws"
	}
	with := func(s scenarioFunc) func(ctx context.Context, url string, pid int) (*Report, error) {
		return func(ctx context.Context, url string, pid int) (*Report, error) {
			return s(ctx, Load{URL: url, PID: pid, Duration: plan.Duration, Warmup: plan.Warmup})
		}
	}
	starting := func(s Start) func(ctx context.Context) (*Child, error) {
		return func(ctx context.Context) (*Child, error) { return s(ctx, scheme) }
	}
	values := make([][]float64, len(t.checks))
	trust := Trust{OK: true}
	var failures int64
	if t.alone {
		for i := range plan.Rounds {
			r, err := once(ctx, starting(plan.Router), with(t.run))
			if err != nil {
				return nil, err
			}
			if r.Router == nil {
				return nil, fmt.Errorf("no figures of the router: %s", r.NoRouter)
			}
			for c := range t.checks {
				values[c] = append(values[c], t.checks[c].ofReport(r))
			}
			trust.take(fmt.Sprintf("round %d: ", i+1), &r.Trust)
			failures += r.failureCount()
		}
		return t.outcomes(values, &trust, failures), nil
	}
	versus := VersusPlan{Rounds: plan.Rounds, Floor: starting(plan.Floor), Router: starting(plan.Router), Run: with(t.run)}
	if t.base != nil {
		versus.Floor, versus.RunFloor = versus.Router, with(t.base)
	}
	r, err := Against(ctx, versus)
	if err != nil {
		return nil, err
	}
	for c := range t.checks {
		for i := range r.Floor.Rounds {
			values[c] = append(values[c], t.checks[c].ofRound(&r.Floor.Rounds[i]))
		}
	}
	return t.outcomes(values, &r.Trust, r.failureCount()), nil
}

func (r *Report) failureCount() (n int64) {
	for _, k := range r.Verified.Failures {
		n += k
	}
	return n
}

func (t *target) outcomes(values [][]float64, trust *Trust, failures int64) []Outcome {
	var out []Outcome
	for c, v := range values {
		slices.Sort(v)
		n := len(v)
		o := Outcome{
			Work: t.work, Figure: t.checks[c].figure, Target: t.checks[c].most, Failures: failures, Doubts: trust.Reasons,
			Median: round3((v[(n-1)/2] + v[n/2]) / 2), Min: round3(v[0]), Max: round3(v[n-1]),
		}
		o.Met = o.Median <= o.Target && failures == 0
		out = append(out, o)
	}
	return out
}

// Print writes the outcome as a line of a table.
func (o *Outcome) Print(w io.Writer) {
	verdict := "met"
	switch {
	case o.Failures > 0:
		verdict = fmt.Sprintf("FAILED, %d messages", o.Failures)
	case !o.Met:
		verdict = "MISSED"
	}
	if len(o.Doubts) > 0 {
		verdict += ", not trustworthy: " + o.Doubts[0]
	}
	fmt.Fprintf(w, "%-41s %-22s %7s  at most %-5g (%s to %s)  %s\n", o.Work, o.Figure, plainNumber(o.Median), o.Target, plainNumber(o.Min), plainNumber(o.Max), verdict)
}
