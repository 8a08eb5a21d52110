package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"banyan/bench/judge"
	"banyan/codec"
)

// A ChurnPlan is a fan-out at a fixed rate, measured twice: without, and then with sessions that subscribe and
// unsubscribe all the time. It tells what a cycle costs the router and what the churn does to the latency of the
// events.
type ChurnPlan struct {
	Options             // Rate is the publications per second, default 500; InFlight the cycles in a burst
	Subscribers int     // default 100
	Churners    int     // sessions that subscribe and unsubscribe; default 10
	Cycles      float64 // of all of them per second; default 20 000
}

// Churn runs plan and returns the report of the run with the churn; it returns errors as Fanout does. One of each
// churner's subscriptions is to the topic that is published to, the others are to topics of its own. The router must
// answer every cycle; an event for a subscription that the churner does not hold at that moment is a failure.
func Churn(ctx context.Context, plan ChurnPlan) (*Report, error) {
	defaultTo(&plan.Churners, 10)
	if plan.Cycles == 0 {
		plan.Cycles = 20_000
	}
	if plan.Churners < 1 || plan.Churners > sendersMax || plan.Cycles < 0 || plan.Cycles > 1e7 {
		return nil, Usage("%d churners, %g cycles per second: must be 1 to %d and at most 1e7", plan.Churners,
			plan.Cycles, sendersMax)
	}
	if plan.Rate == 0 {
		plan.Rate = rateDefault
	}
	fan := FanoutPlan{Options: plan.Options, Subscribers: plan.Subscribers}
	p, without, err := fan.undisturbed(ctx, "churn")
	if err != nil {
		return nil, err
	}
	p.report.Workers = plan.Churners
	p.beside = func(ctx context.Context, f *pubsub) {
		f.churn(ctx, plan.Churners, plan.Cycles)
	}
	with, err := runPubsub(ctx, fan.Options, p)
	if err != nil {
		return nil, err
	}
	with.addControl("without", without)
	perSecond := with.figure("cycles")
	if with.Router != nil && without.Router != nil && perSecond > 0 {
		more := with.Router.CPUShare - without.Router.CPUShare
		with.Figures = append(with.Figures, Figure{"cost", judge.Round3(1e6 * more / perSecond), "us/cycle"})
	}
	return with, nil
}

// churn runs n churners until ctx ends and waits for the cycles under way.
func (f *pubsub) churn(ctx context.Context, n int, rate float64) {
	conns, err := f.join(context.WithoutCancel(ctx), n)
	if err != nil {
		f.failures.add(fmt.Sprintf("churners that could not join: %v", err), 1)
		return
	}
	var churning sync.WaitGroup
	for i, conn := range conns {
		c := &churner{
			pubsub: f, conn: conn, slots: make([]slot, f.InFlight), free: make(chan int, f.InFlight),
			pending: map[uint64]openRequest{},
		}
		for s := range c.slots {
			c.slots[s].topic = fmt.Sprintf("%s.c%d.s%d", f.plan.topics[0], i, s)
			c.free <- s
		}
		c.slots[0].topic = f.plan.topics[0]
		f.loops.Go(c.receive)
		churning.Go(func() {
			c.run(ctx, rate/float64(n), time.Duration(float64(i)/rate*float64(f.InFlight)*float64(time.Second)))
		})
	}
	churning.Wait()
}

// A churner is one session that subscribes and unsubscribes. A cycle goes through one of its slots:
//
//	free → SUBSCRIBE → SUBSCRIBED, UNSUBSCRIBE → UNSUBSCRIBED, free
type churner struct {
	// Fixed before run starts.
	*pubsub
	conn link
	free chan int

	// A slot belongs to run when it was taken from free, to receive until it goes back.
	slots []slot

	// Guarded by lock.
	lock    sync.Mutex
	number  uint64 // of the last request
	pending map[uint64]openRequest

	// Any goroutine.
	started, ended atomic.Int64
}

// An openRequest is a request without an answer.
type openRequest struct {
	kind codec.Type
	slot int
}

type slot struct {
	topic string
	id    uint64 // of the subscription; 0 when there is none
}

func (c *churner) run(ctx context.Context, rate float64, offset time.Duration) {
	burst := len(c.slots)
	err := Pace(ctx, rate/float64(burst), offset, c.now, func(time.Duration) error {
		for range burst {
			s, err := c.takeFree(ctx)
			if err != nil || s < 0 {
				return err
			}
			c.started.Add(1)
			if err := c.request(codec.Subscribe, s, 0); err != nil {
				return err
			}
		}
		return nil
	}, c.conn.Flush)
	if err != nil && ctx.Err() == nil {
		c.lost("a churner", err)
	}
	c.conn.Flush()
	for deadline := time.Now().Add(c.Stall); c.ended.Load() < c.started.Load() && time.Now().Before(deadline) &&
		!c.broken.Load(); {
		time.Sleep(time.Millisecond)
	}
	c.failures.add("subscribe cycles without an answer", c.started.Load()-c.ended.Load())
}

// takeFree takes a free slot, or returns -1 when ctx has ended. It flushes before it waits: the queued cycles are
// what will free slots.
func (c *churner) takeFree(ctx context.Context) (int, error) {
	select {
	case s := <-c.free:
		return s, nil
	default:
	}
	if err := c.conn.Flush(); err != nil {
		return -1, err
	}
	select {
	case s := <-c.free:
		return s, nil
	case <-ctx.Done():
		return -1, nil
	}
}

// request queues SUBSCRIBE of a slot's topic or UNSUBSCRIBE of its subscription.
func (c *churner) request(kind codec.Type, s int, id uint64) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	m := codec.Message{Type: kind, Format: c.Serializer, Request: c.number + 1, ID: id}
	if kind == codec.Subscribe {
		m.URI = []byte(c.slots[s].topic)
	}
	if err := c.conn.Send(&m); err != nil {
		return err
	}
	c.number++
	c.pending[c.number] = openRequest{kind, s}
	return nil
}

// answered takes the request of a number and returns its slot; false when there is none of that kind.
func (c *churner) answered(number uint64, kind codec.Type) (s int, ok bool) {
	c.lock.Lock()
	defer c.lock.Unlock()
	a, ok := c.pending[number]
	if !ok || a.kind != kind {
		return 0, false
	}
	delete(c.pending, number)
	return a.slot, true
}

func (c *churner) receive() {
	for {
		m, ok := c.next(c.conn, "a churner")
		if !ok {
			return
		}
		if err := c.take(m); err != nil {
			c.failures.add(err.Error(), 1)
		}
	}
}

// take handles one message of the router.
func (c *churner) take(m *codec.Message) error {
	switch m.Type {
	case codec.Event:
		if m.ID != c.slots[0].id {
			return errors.New("events of subscriptions that are not held")
		}
		return nil
	case codec.Subscribed:
		s, ok := c.answered(m.Request, codec.Subscribe)
		if !ok {
			return errors.New("SUBSCRIBED without a request")
		}
		c.slots[s].id = m.ID
		return c.request(codec.Unsubscribe, s, m.ID)
	case codec.Unsubscribed:
		s, ok := c.answered(m.Request, codec.Unsubscribe)
		if !ok {
			return errors.New("UNSUBSCRIBED without a request")
		}
		c.slots[s].id = 0
		c.ended.Add(1)
		c.cycles.Add(1)
		c.free <- s
		return nil
	}
	return fmt.Errorf("unexpected messages of type %d to churners", m.Type)
}
