package compare

import (
	"context"
	"strconv"
	"strings"

	"banyan/bench"
)

// A plan is a load that every peer gets.
type plan struct {
	name     string // as given
	scenario string
	size     int // subscribers, topics, patterns, callers, workers or sessions
	inFlight int // per publisher or caller
}

// planDefaults are the plans without numbers.
var planDefaults = map[string]plan{
	"fanout":      {scenario: "fanout", size: 100, inFlight: 32},
	"topics":      {scenario: "topics", size: 10_000, inFlight: 32},
	"patterns":    {scenario: "patterns", size: 10_000, inFlight: 32},
	"rpc":         {scenario: "rpc", size: 16, inFlight: 64},
	"progressive": {scenario: "progressive", size: 1, inFlight: 32},
	"storm":       {scenario: "storm", size: 8, inFlight: 1},
	"idle":        {scenario: "idle", size: 10_000, inFlight: 1},
}

const (
	planSizeMax     = 1_000_000
	planInFlightMax = 100_000

	topicSubscribers   = 3   // of each topic
	topicSessions      = 300 // that share the subscriptions
	progressiveReplies = 10  // results of each call
)

// PlanSyntax tells how plans are written.
const PlanSyntax = "fanout[:SUBSCRIBERS[xINFLIGHT]], topics[:TOPICS[xINFLIGHT]], patterns[:PATTERNS[xINFLIGHT]], rpc[:CALLERS[xINFLIGHT]],\n" +
	"progressive[:CALLERS[xINFLIGHT]], storm[:WORKERS], idle[:SESSIONS]; for instance fanout is fanout:100x32, rpc is rpc:16x64"

// parsePlan reads a plan.
func parsePlan(text string) (*plan, error) {
	name, sizes, sized := strings.Cut(text, ":")
	p, known := planDefaults[name]
	if !known {
		return nil, usage("plan %q: want %s", text, PlanSyntax)
	}
	p.name = text
	if !sized {
		return &p, nil
	}
	first, second, both := strings.Cut(sizes, "x")
	if both && (name == "storm" || name == "idle") {
		return nil, usage("plan %q: nothing is in flight; want %s", text, PlanSyntax)
	}
	var err error
	if p.size, err = strconv.Atoi(first); err != nil || p.size < 1 || p.size > planSizeMax {
		return nil, usage("plan %q: want %s, sizes from 1 to %d", text, PlanSyntax, planSizeMax)
	}
	if both {
		if p.inFlight, err = strconv.Atoi(second); err != nil || p.inFlight < 1 || p.inFlight > planInFlightMax {
			return nil, usage("plan %q: want %s, in flight from 1 to %d", text, PlanSyntax, planInFlightMax)
		}
	}
	return &p, nil
}

// run plays the plan over WAMP.
func (p *plan) run(ctx context.Context, load bench.Load) (*bench.Report, error) {
	switch p.scenario {
	case "topics":
		return bench.Topics(ctx, bench.TopicsPlan{Load: load, Topics: p.size, PerTopic: topicSubscribers, Sessions: topicSessions})
	case "patterns":
		return bench.Patterns(ctx, bench.PatternsPlan{Load: load, Patterns: p.size})
	case "rpc":
		return bench.RPC(ctx, bench.RPCPlan{Load: load, Callers: p.size})
	case "progressive":
		return bench.RPC(ctx, bench.RPCPlan{Load: load, Callers: p.size, Results: progressiveReplies})
	case "storm":
		return bench.Storm(ctx, bench.StormPlan{Load: load, Workers: p.size})
	case "idle":
		return bench.Idle(ctx, bench.IdlePlan{Load: load, Sessions: p.size})
	}
	return bench.Fanout(ctx, bench.FanoutPlan{Load: load, Subscribers: p.size})
}
