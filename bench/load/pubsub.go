package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"banyan/bench/judge"
	"banyan/codec"
)

// A pubsubPlan is any load of publications: the scenarios differ in who subscribes to what.
type pubsubPlan struct {
	scenario      string
	publishers    int
	sessions      int // that subscribe
	topics        []string
	subscriptions []subscriptionPlan // by session
	deliveries    int                // events per publication, the same for every topic
	mixed         bool               // sessions and publishers take the three serializers in turn
	history       bool               // the router keeps the events of the only topic
	stopped       int                // further sessions that subscribe to the first topic and never read
	report        Plan

	// beside runs beside the publishers, until its context ends. May be nil.
	beside func(ctx context.Context, p *pubsub)
}

// A subscriptionPlan is a subscription that a session has to make.
type subscriptionPlan struct {
	session int
	uri     string
	match   codec.Match
	topic   int // the only topic that is published to and matches
}

// A pubsub is such a load under way.
type pubsub struct {
	*run
	plan        pubsubPlan
	publishers  []*publisher
	subscribers []*subscriber
}

// runPubsub runs plan. It returns an error when the load could not run at all; what went wrong under load stands in
// the report.
func runPubsub(ctx context.Context, load Options, plan pubsubPlan) (*Report, error) {
	f := &pubsub{run: newRun(load), plan: plan}
	defer f.hangUp()
	return f.do(ctx)
}

// serializer is the one of session or publisher number i.
func (f *pubsub) serializer(i int) codec.Serializer {
	if !f.plan.mixed {
		return f.Serializer
	}
	return [3]codec.Serializer{codec.MessagePack, codec.JSON, codec.CBOR}[i%3]
}

func (f *pubsub) do(ctx context.Context) (*Report, error) {
	m := newReadings(&f.Options)
	router := m.router
	before := m.rss(router)

	if err := f.subscribeAll(ctx); err != nil {
		return nil, err
	}
	stopped, err := f.join(ctx, f.plan.stopped)
	if err != nil {
		return nil, err
	}
	for _, c := range stopped {
		if _, err := request(c, &codec.Message{Type: codec.Subscribe, Request: 1, URI: []byte(f.plan.topics[0])},
			codec.Subscribed); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
	}
	conns, err := f.joinWith(ctx, f.plan.publishers, f.serializer)
	if err != nil {
		return nil, err
	}
	sessions := f.plan.sessions + f.plan.publishers + f.plan.stopped
	subscribed := m.rss(router)
	if len(f.plan.subscriptions) <= f.plan.sessions {
		m.sessionMemory(before, sessions) // otherwise it would be the subscriptions'
	}

	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var sending sync.WaitGroup
	for i := range conns {
		p, err := f.newPublisher(i, conns[i])
		if err != nil {
			return nil, err
		}
		f.publishers = append(f.publishers, p)
	}
	// Subscribers start last: they tell the publishers what arrived.
	for _, s := range f.subscribers {
		f.loops.Go(s.loop)
	}
	for _, p := range f.publishers {
		f.loops.Go(p.listen)
		sending.Go(func() { p.publish(publishing) })
	}
	if f.plan.beside != nil {
		sending.Go(func() { f.plan.beside(publishing, f) })
	}
	if err := f.measure(ctx, sessions, router, m); err != nil {
		stop()
		sending.Wait()
		return nil, err
	}
	stop()
	sending.Wait()
	expected := func() int64 { return f.sent.Load() * int64(f.plan.deliveries) }
	f.settle(func() bool { return f.received.Load() >= expected() })
	if f.plan.history {
		if err := f.checkHistory(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	var closed atomic.Int64
	if err := each(context.WithoutCancel(ctx), len(stopped), func(_ context.Context, i int) error {
		if closedByRouter(stopped[i]) {
			closed.Add(1)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	f.hangUp()
	f.verify()
	out := m.report(f.plan.scenario, f.run, f.plan.report, expected())
	if n := len(f.plan.subscriptions); n >= 10*f.plan.sessions && before > 0 && subscribed > before {
		out.Figures = append(out.Figures, Figure{
			"memory", judge.Round3(float64(subscribed-before) / float64(n)),
			"B/subscription",
		})
	}
	if len(stopped) > 0 {
		out.Figures = append(out.Figures, Figure{"closed", float64(closed.Load()), "stopped readers"})
	}
	if f.plan.scenario == "churn" && f.plan.beside != nil {
		out.Figures = append(out.Figures, Figure{"cycles", judge.Round3(judge.Ratio(float64(m.cycles[1]-m.cycles[0]),
			out.Seconds)), "cycles/s"})
	}
	return out, nil
}

// subscribeAll opens the subscribing sessions and subscribes each to what it wants, many sessions at once.
func (f *pubsub) subscribeAll(ctx context.Context) error {
	conns, err := f.joinWith(ctx, f.plan.sessions, f.serializer)
	if err != nil {
		return err
	}
	f.subscribers = make([]*subscriber, len(conns))
	wants := make([][]subscriptionPlan, len(conns))
	for _, w := range f.plan.subscriptions {
		wants[w.session] = append(wants[w.session], w)
	}
	err = each(ctx, len(conns), func(_ context.Context, i int) (err error) {
		f.subscribers[i], err = f.subscribe(i, conns[i], wants[i])
		return err
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// subscribesAtOnce is how many SUBSCRIBEs a session has unanswered.
const subscribesAtOnce = 256

func (f *pubsub) subscribe(i int, c link, wants []subscriptionPlan) (*subscriber, error) {
	s := &subscriber{
		pubsub: f, index: i, conn: c, subscriptions: make(map[uint64]*subscription, len(wants)),
		arrivals: make([]int64, f.plan.publishers),
	}
	var err error
	if s.stamps, err = newStamper(c.Serializer(), f.PayloadBytes, f.Records); err != nil {
		return nil, err
	}
	var dicts [3][]byte // by codec.Match
	for m, name := range map[codec.Match]string{codec.Prefix: "prefix", codec.Wildcard: "wildcard"} {
		if dicts[m], err = codec.AppendValue(nil, c.Serializer(), map[string]any{"match": name}); err != nil {
			return nil, err
		}
	}
	c.SetReadDeadline(time.Now().Add(connectTimeout + time.Duration(len(f.plan.subscriptions))*time.Millisecond))
	defer c.SetReadDeadline(time.Time{})
	asked := 0
	for got := range wants {
		for ; asked < len(wants) && asked-got < subscribesAtOnce; asked++ {
			w := &wants[asked]
			err := c.Send(&codec.Message{
				Type: codec.Subscribe, Format: c.Serializer(), Request: uint64(asked + 1), URI: []byte(w.uri),
				Dict: dicts[w.match],
			})
			if err != nil {
				return nil, err
			}
		}
		id, err := answerTo(c, codec.Subscribe, uint64(got+1), codec.Subscribed)
		if err != nil {
			return nil, err
		}
		s.subscriptions[id] = &subscription{topic: wants[got].topic, from: make([]progress, f.plan.publishers)}
	}
	if len(s.subscriptions) != len(wants) {
		return nil, fmt.Errorf("%d subscriptions got %d ids", len(wants), len(s.subscriptions))
	}
	return s, nil
}

// verify compares the events of every subscriber with the publications of every publisher. Call it after the loops
// have ended.
func (f *pubsub) verify() {
	for _, s := range f.subscribers {
		for _, h := range s.subscriptions {
			for p, pub := range f.publishers {
				got := &h.from[p]
				f.failures.add("events lost", int64(pub.seqs[h.topic])-int64(got.next)+int64(len(got.missing))+
					got.gaps)
			}
		}
	}
}
