package load

import (
	"context"
	"fmt"

	"banyan/codec"
)

// Limits of what a load subscribes to.
const (
	topicsMax        = 1_000_000
	subscriptionsMax = 3_000_000
)

// A TopicsPlan is many topics with a few subscribers each, published to in a spread order. Every event is verified,
// by topic.
type TopicsPlan struct {
	Options
	Publishers int // default 1
	Topics     int // default 10 000
	PerTopic   int // subscribers of each topic; default 3
	Sessions   int // that share the subscriptions; default 300, at least PerTopic
}

// Topics runs plan; errors and reports as Fanout's.
func Topics(ctx context.Context, plan TopicsPlan) (*Report, error) {
	defaultTo(&plan.Publishers, 1)
	defaultTo(&plan.Topics, 10_000)
	defaultTo(&plan.PerTopic, 3)
	defaultTo(&plan.Sessions, 300)
	switch {
	case plan.Publishers < 1 || plan.Publishers > sendersMax:
		return nil, Usage("%d publishers: must be 1 to %d", plan.Publishers, sendersMax)
	case plan.PerTopic < 1 || plan.PerTopic > plan.Sessions:
		return nil,
			Usage("%d subscribers per topic in %d sessions: at least one each, and as many sessions as subscribers",
				plan.PerTopic, plan.Sessions)
	case plan.Topics < 1 || plan.Topics > topicsMax || plan.Topics > subscriptionsMax/plan.PerTopic:
		return nil, Usage("%d topics with %d subscribers: must be 1 to %d topics, at most %d subscriptions",
			plan.Topics, plan.PerTopic, topicsMax, subscriptionsMax)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	p := pubsubPlan{
		scenario: "topics", publishers: plan.Publishers, sessions: plan.Sessions, deliveries: plan.PerTopic,
		report: Plan{
			Publishers: plan.Publishers, Sessions: plan.Sessions, Topics: plan.Topics,
			PerTopic: plan.PerTopic,
		},
	}
	space := unique("bench.topics")
	for i := range plan.Topics {
		uri := fmt.Sprintf("%s.t%d", space, i)
		p.topics = append(p.topics, uri)
		for k := range plan.PerTopic {
			p.subscriptions = append(p.subscriptions, subscriptionPlan{
				session: (i*plan.PerTopic + k) % plan.Sessions,
				uri:     uri, topic: i,
			})
		}
	}
	return runPubsub(ctx, plan.Options, p)
}

// A PatternsPlan is many subscriptions, exact, prefix and wildcard in equal parts, and publications that match one or
// three of them. Every event is verified, by subscription.
type PatternsPlan struct {
	Options
	Publishers int // default 1
	Patterns   int // subscriptions altogether; default 10 000
	Matching   int // per publication: 1 (of any of the three kinds) or 3 (one of each); default 1
	Sessions   int // that share the subscriptions; default 100
}

// Patterns runs plan; errors and reports as Fanout's.
func Patterns(ctx context.Context, plan PatternsPlan) (*Report, error) {
	defaultTo(&plan.Publishers, 1)
	defaultTo(&plan.Patterns, 10_000)
	defaultTo(&plan.Matching, 1)
	defaultTo(&plan.Sessions, 100)
	switch {
	case plan.Publishers < 1 || plan.Publishers > sendersMax:
		return nil, Usage("%d publishers: must be 1 to %d", plan.Publishers, sendersMax)
	case plan.Matching != 1 && plan.Matching != 3:
		return nil, Usage("publications that match %d patterns: must be 1 or 3", plan.Matching)
	case plan.Patterns < plan.Matching || plan.Patterns > topicsMax:
		return nil, Usage("%d patterns: must be %d to %d", plan.Patterns, plan.Matching, topicsMax)
	case plan.Sessions < 1:
		return nil, Usage("%d sessions: at least one", plan.Sessions)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	plan.Patterns -= plan.Patterns % plan.Matching
	p := pubsubPlan{
		scenario: "patterns", publishers: plan.Publishers, sessions: plan.Sessions, deliveries: plan.Matching,
		report: Plan{
			Publishers: plan.Publishers, Sessions: plan.Sessions, Patterns: plan.Patterns,
			Matching: plan.Matching,
		},
	}
	space := unique("bench.patterns")
	if plan.Matching == 3 {
		p.topics, p.subscriptions = tripleMatches(space, plan.Patterns/3, plan.Sessions)
	} else {
		p.topics, p.subscriptions = singleMatches(space, plan.Patterns, plan.Sessions)
	}
	return runPubsub(ctx, plan.Options, p)
}

// singleMatches makes n subscriptions of the three kinds in turn and a topic for each that matches it alone.
func singleMatches(space string, n, sessions int) (topics []string, wants []subscriptionPlan) {
	for i := range n {
		w := subscriptionPlan{session: i % sessions, topic: i, match: codec.Match(i % 3)}
		topic := ""
		switch w.match {
		case codec.Exact:
			topic = fmt.Sprintf("%s.exact.n%d.leaf", space, i)
			w.uri = topic
		case codec.Prefix:
			w.uri = fmt.Sprintf("%s.prefix.n%d.", space, i)
			topic = w.uri + "some.leaf"
		case codec.Wildcard:
			w.uri = fmt.Sprintf("%s.wildcard..n%d.leaf", space, i)
			topic = fmt.Sprintf("%s.wildcard.some.n%d.leaf", space, i)
		}
		topics, wants = append(topics, topic), append(wants, w)
	}
	return topics, wants
}

// tripleMatches makes n topics, each matched by an exact, a prefix and a wildcard subscription of three sessions, if
// there are as many.
func tripleMatches(space string, n, sessions int) (topics []string, wants []subscriptionPlan) {
	for i := range n {
		topic := fmt.Sprintf("%s.some.n%d.leaf", space, i)
		topics = append(topics, topic)
		wants = append(wants,
			subscriptionPlan{session: 3 * i % sessions, uri: topic, topic: i},
			subscriptionPlan{session: (3*i + 1) % sessions, uri: fmt.Sprintf("%s.some.n%d.",
				space, i), match: codec.Prefix, topic: i},
			subscriptionPlan{session: (3*i + 2) % sessions, uri: fmt.Sprintf("%s..n%d.leaf",
				space, i), match: codec.Wildcard, topic: i})
	}
	return topics, wants
}

func defaultTo(v *int, d int) {
	if *v == 0 {
		*v = d
	}
}
