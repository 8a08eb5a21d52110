package peers

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"banyan/bench/load"
	"banyan/codec"
)

// A Plan is a load that every peer gets.
type Plan struct {
	Name string // in the report
	// Scenario is fanout, publishers, mixed, topics, patterns, rpc, progressive, storm, idle, joiners, churn or slow.
	Scenario string
	Size     int // subscribers, publishers, topics, patterns, callers, workers or sessions
	InFlight int // per publisher or caller

	// Only some plans have these. 0 means the default of the Setup or of package load.
	Subscribers  int  // of publishers
	PerTopic     int  // of topics
	Sessions     int  // that share the subscriptions of topics
	Matching     int  // of patterns
	Rounds       int  // of hostile
	Short        bool // is one of many that are compared: shortDuration at most
	Retained     bool // of joiners
	Listener     bool // of joiners
	Rate         float64
	PayloadBytes int
	Records      bool // see load.Options
	Serializer   codec.Serializer
	Transport    string // ws or rs
	Access       Access
}

// planDefaults are the plans that are written without numbers.
var planDefaults = map[string]Plan{
	"fanout":      {Scenario: "fanout", Size: 100, InFlight: 32},
	"publishers":  {Scenario: "publishers", Size: 32, InFlight: 1},
	"topics":      {Scenario: "topics", Size: 10_000, InFlight: 32},
	"patterns":    {Scenario: "patterns", Size: 10_000, InFlight: 32},
	"rpc":         {Scenario: "rpc", Size: 16, InFlight: 64},
	"progressive": {Scenario: "progressive", Size: 1, InFlight: 32},
	"storm":       {Scenario: "storm", Size: 8, InFlight: 1},
	"idle":        {Scenario: "idle", Size: 10_000, InFlight: 1},
}

const (
	planSizeMax     = 1_000_000
	planInFlightMax = 100_000

	publishersSubscribers = 100 // of all publishers
	topicSubscribers      = 3   // of each topic
	topicSessions         = 300 // that share the subscriptions
	progressiveReplies    = 10  // results of each call
)

// PlanSyntax describes how plans are written.
const PlanSyntax = "fanout[:SUBSCRIBERS[xINFLIGHT]], publishers[:PUBLISHERS[xINFLIGHT]] (to 100 subscribers), " +
	"topics[:TOPICS[xINFLIGHT]],\n" +
	"patterns[:PATTERNS[xINFLIGHT]], rpc[:CALLERS[xINFLIGHT]], progressive[:CALLERS[xINFLIGHT]], storm[:WORKERS], " +
	"idle[:SESSIONS];\n" +
	"for instance fanout is fanout:100x32, rpc is rpc:16x64, publishers is publishers:32x1"

// ParsePlan reads a plan.
func ParsePlan(text string) (*Plan, error) {
	name, sizes, sized := strings.Cut(text, ":")
	p, known := planDefaults[name]
	if !known {
		return nil, load.Usage("plan %q: want %s", text, PlanSyntax)
	}
	p.Name = text
	if !sized {
		return &p, nil
	}
	first, second, both := strings.Cut(sizes, "x")
	if both && (name == "storm" || name == "idle") {
		return nil, load.Usage("plan %q: nothing is in flight; want %s", text, PlanSyntax)
	}
	var err error
	if p.Size, err = strconv.Atoi(first); err != nil || p.Size < 1 || p.Size > planSizeMax {
		return nil, load.Usage("plan %q: want %s, sizes from 1 to %d", text, PlanSyntax, planSizeMax)
	}
	if both {
		if p.InFlight, err = strconv.Atoi(second); err != nil || p.InFlight < 1 || p.InFlight > planInFlightMax {
			return nil, load.Usage("plan %q: want %s, in flight from 1 to %d", text, PlanSyntax, planInFlightMax)
		}
	}
	return &p, nil
}

// HasRate reports whether the plan can send at a rate.
func (p *Plan) HasRate() bool { return p.Scenario != "idle" }

// topics fills in how many subscribers each topic has, and how many sessions there are.
func (p *Plan) topics() (perTopic, sessions int) {
	return cmp.Or(p.PerTopic, topicSubscribers), cmp.Or(p.Sessions, topicSessions)
}

// publishers is how many of them a plan with one topic has, and how many subscribers.
func (p *Plan) publishers() (publishers, subscribers int) {
	if p.Scenario == "publishers" {
		return p.Size, cmp.Or(p.Subscribers, publishersSubscribers)
	}
	return 1, p.Size
}

// run plays the plan, which is not hostile, over WAMP.
func (p *Plan) run(ctx context.Context, o load.Options) (*load.Report, error) {
	switch p.Scenario {
	case "mixed":
		return load.Fanout(ctx, load.FanoutPlan{Options: o, Subscribers: p.Size, Mixed: true})
	case "topics":
		perTopic, sessions := p.topics()
		return load.Topics(ctx, load.TopicsPlan{Options: o, Topics: p.Size, PerTopic: perTopic, Sessions: sessions})
	case "patterns":
		return load.Patterns(ctx, load.PatternsPlan{Options: o, Patterns: p.Size, Matching: p.Matching})
	case "rpc":
		return load.RPC(ctx, load.RPCPlan{Options: o, Callers: p.Size})
	case "progressive":
		return load.RPC(ctx, load.RPCPlan{Options: o, Callers: p.Size, Results: progressiveReplies})
	case "storm":
		return load.Storm(ctx, load.StormPlan{Options: o, Workers: p.Size})
	case "idle":
		return load.Idle(ctx, load.IdlePlan{Options: o, Sessions: p.Size})
	case "joiners":
		return load.Joiners(ctx, p.joiners(o))
	case "churn":
		return load.Churn(ctx, load.ChurnPlan{Options: o, Subscribers: p.Size})
	case "slow":
		return load.Slow(ctx, load.SlowPlan{Options: o, Subscribers: p.Size})
	}
	return load.Fanout(ctx, p.fanout(o))
}

// joiners is the load of sessions that join.
func (p *Plan) joiners(o load.Options) load.JoinersPlan {
	return load.JoinersPlan{Options: o, Sessions: p.Size, Retained: p.Retained, Listener: p.Listener}
}

// fanout is the load of a plan with one topic.
func (p *Plan) fanout(o load.Options) load.FanoutPlan {
	publishers, subscribers := p.publishers()
	f := load.FanoutPlan{Options: o, Publishers: publishers, Subscribers: subscribers}
	if p.Access.History != "" {
		f.Topic, f.History = historyTopic, true
	}
	return f
}
