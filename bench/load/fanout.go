package load

import (
	"context"
	"fmt"
	"time"
)

// A FanoutPlan is Publishers sessions publishing to one topic with Subscribers sessions. Every event is verified:
// none missing, none twice, none out of its publisher's order, each with the payload that was published.
type FanoutPlan struct {
	Options
	Publishers  int    // default 1; 3 when Mixed
	Subscribers int    // default 100
	Topic       string // default one of its own
	// Mixed has publishers and subscribers take MessagePack, JSON and CBOR in turn, whatever Serializer says.
	Mixed bool
	// History says that the router keeps the history of Topic: its newest events are compared with the publications
	// when the measuring is over.
	History bool
}

// Fanout runs plan. It returns an error when the load could not run at all (*UsageError, *client.ConnectError,
// *client.AbortError …); the report holds the failures under load. The end of ctx ends the measuring, and Fanout
// still returns a report.
func Fanout(ctx context.Context, plan FanoutPlan) (*Report, error) {
	p, err := plan.prepare()
	if err != nil {
		return nil, err
	}
	return runPubsub(ctx, plan.Options, p)
}

func (plan *FanoutPlan) prepare() (pubsubPlan, error) {
	p := pubsubPlan{scenario: "fanout"}
	if plan.Publishers == 0 {
		plan.Publishers = 1
		if plan.Mixed {
			plan.Publishers = 3
		}
	}
	if plan.Subscribers == 0 {
		plan.Subscribers = 100
	}
	if plan.Topic == "" {
		plan.Topic = unique("bench.fanout")
	}
	if plan.Publishers < 1 || plan.Publishers > sendersMax || plan.Subscribers < 1 {
		return p, Usage("%d publishers, %d subscribers: at least one each, at most %d publishers", plan.Publishers,
			plan.Subscribers, sendersMax)
	}
	if err := plan.check(); err != nil {
		return p, err
	}
	p.publishers, p.sessions, p.deliveries = plan.Publishers, plan.Subscribers, plan.Subscribers
	p.topics = []string{plan.Topic}
	for i := range plan.Subscribers {
		p.subscriptions = append(p.subscriptions, subscriptionPlan{session: i, uri: plan.Topic})
	}
	p.report = Plan{Publishers: plan.Publishers, Subscribers: plan.Subscribers}
	if plan.Mixed {
		if err := plan.onlyWAMP("several serializers at once"); err != nil {
			return p, err
		}
		p.scenario, p.mixed = "mixed", true
		p.report.Serializer = "msgpack+json+cbor"
	}
	if p.history = plan.History; p.history {
		if err := plan.onlyWAMP("event history"); err != nil {
			return p, err
		}
	}
	return p, nil
}

// undisturbed runs plan as the first half of a scenario; the second half runs it again beside a disturbance.
func (plan *FanoutPlan) undisturbed(ctx context.Context, scenario string) (p pubsubPlan, without *Report, err error) {
	if p, err = plan.prepare(); err != nil {
		return p, nil, err
	}
	p.scenario = scenario
	without, err = runPubsub(ctx, plan.Options, p)
	if err == nil {
		err = context.Cause(ctx)
	}
	return p, without, err
}

// unique makes a URI that no other run uses.
func unique(prefix string) string { return fmt.Sprintf("%s.p%d", prefix, time.Now().UnixNano()) }
