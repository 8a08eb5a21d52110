package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A FanoutPlan is Publishers sessions publishing to one topic with Subscribers sessions. Every event is verified: none missing, none twice,
// none out of its publisher's order, each with the payload that was published.
type FanoutPlan struct {
	Load
	Publishers  int    // default 1
	Subscribers int    // default 100
	Topic       string // default bench.fanout.<pid>
}

// Fanout runs plan. It returns an error when the load could not run at all (*UsageError, *client.ConnectError, *client.AbortError …); what went
// wrong under load stands in the report. When ctx ends the measuring ends, and the report is still made.
func Fanout(ctx context.Context, plan FanoutPlan) (*Report, error) {
	if plan.Publishers == 0 {
		plan.Publishers = 1
	}
	if plan.Subscribers == 0 {
		plan.Subscribers = 100
	}
	if plan.Topic == "" {
		plan.Topic = fmt.Sprintf("bench.fanout.p%d", time.Now().UnixNano())
	}
	if plan.Publishers < 1 || plan.Publishers > sendersMax || plan.Subscribers < 1 {
		return nil, usage("%d publishers, %d subscribers: at least one each, at most %d publishers", plan.Publishers, plan.Subscribers, sendersMax)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	f := &fanout{run: newRun(plan.Load), plan: plan}
	defer f.hangUp()
	return f.do(ctx)
}

type fanout struct {
	*run
	plan        FanoutPlan
	publishers  []*publisher
	subscribers []*subscriber
}

func (f *fanout) do(ctx context.Context) (*Report, error) {
	m := newMeasured(&f.Load)
	router := m.router
	before := m.rss(router)

	conns, err := f.join(ctx, f.plan.Subscribers, 0)
	if err != nil {
		return nil, err
	}
	for i := range f.plan.Publishers {
		f.publishers = append(f.publishers, &publisher{fanout: f, index: i, wake: make(chan struct{}, 1)})
	}
	for i, c := range conns {
		s, err := f.subscribe(i, c)
		if err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		f.subscribers = append(f.subscribers, s)
		f.loops.Go(s.loop)
	}
	conns, err = f.join(ctx, f.plan.Publishers, 0)
	if err != nil {
		return nil, err
	}
	sessions := f.plan.Subscribers + f.plan.Publishers
	m.sessionMemory(before, sessions)

	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var sending sync.WaitGroup
	for i, p := range f.publishers {
		p.conn = conns[i]
		if p.stamps, err = newStamper(f.Serializer, f.PayloadBytes); err != nil {
			return nil, err
		}
		f.loops.Go(p.listen)
		sending.Go(func() { p.publish(publishing) })
	}
	if err := f.measure(ctx, sessions, router, m); err != nil {
		return nil, err
	}
	stop()
	sending.Wait()
	f.settle(func() bool { return f.received.Load() >= f.sent.Load()*int64(f.plan.Subscribers) })
	f.hangUp()
	f.verify()
	return m.report("fanout", f.run, Plan{
		Publishers: f.plan.Publishers, Subscribers: f.plan.Subscribers,
	}, f.sent.Load()*int64(f.plan.Subscribers)), nil
}

// verify compares what every subscriber got with what every publisher sent. The loops have ended.
func (f *fanout) verify() {
	for _, s := range f.subscribers {
		for p, pub := range f.publishers {
			got := &s.from[p]
			f.failures.add("events lost", int64(pub.seq)-int64(got.next)+int64(len(got.missing))+got.gaps)
		}
	}
}

// A publisher is one publishing session.
type publisher struct {
	// Fixed before publish starts.
	*fanout
	index  int
	conn   *client.Conn
	stamps *stamper

	// Owned by publish.
	request uint64
	seq     uint64 // the next
	out     []byte

	// Any goroutine.
	published atomic.Int64 // events that must arrive: publications times subscribers
	delivered atomic.Int64 // events that arrived
	waiting   atomic.Bool  // publish sleeps and wants wake
	wake      chan struct{}
}

func (p *publisher) publish(ctx context.Context) {
	var err error
	if p.Rate > 0 {
		each := p.Rate / float64(p.plan.Publishers)
		stagger := time.Duration(float64(p.index) / p.Rate * float64(time.Second))
		err = pace(ctx, each, stagger, p.now, p.one, p.flushOpen)
	} else {
		err = p.closedLoop(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.lost("a publisher", err)
	}
}

// closedLoop keeps at most InFlight x Subscribers events on their way. Publications are queued while the window has room and written
// before waiting.
func (p *publisher) closedLoop(ctx context.Context) error {
	window := int64(p.InFlight) * int64(p.plan.Subscribers)
	each := int64(p.plan.Subscribers)
	queued := 0
	for ctx.Err() == nil {
		if p.published.Load()-p.delivered.Load()+each <= window {
			if err := p.one(p.now()); err != nil {
				return err
			}
			if queued += len(p.out); queued < 32<<10 {
				continue
			}
		} else if queued == 0 {
			p.waiting.Store(true)
			if p.published.Load()-p.delivered.Load()+each > window {
				select {
				case <-p.wake:
				case <-ctx.Done():
				}
			}
			p.waiting.Store(false)
			continue
		}
		if err := p.conn.Flush(); err != nil {
			return err
		}
		queued = 0
	}
	return p.conn.Flush()
}

// one queues one publication.
func (p *publisher) one(sent time.Duration) error {
	p.request++
	args := p.stamps.write(stamp{sender: p.index, seq: p.seq, sent: sent})
	b, err := codec.Append(p.out[:0], p.Serializer, &codec.Message{
		Type: codec.Publish, Format: p.Serializer, Request: p.request, URI: []byte(p.plan.Topic),
		Payload: codec.Payload{Format: p.Serializer, Args: args},
	})
	if err != nil {
		return err
	}
	p.out = b
	p.seq++
	p.published.Add(int64(p.plan.Subscribers))
	p.sent.Add(1)
	p.conn.Queue(b)
	return nil
}

// flushOpen writes, and waits where the router does not read: bounded by the Conn, and counted by the intended times.
func (p *publisher) flushOpen() error { return p.conn.FlushAndWait() }

// arrived counts n events of this publisher and wakes it when its window has room again. Any goroutine.
func (p *publisher) arrived(n int64) {
	d := p.delivered.Add(n)
	if p.Rate > 0 || !p.waiting.Load() {
		return
	}
	window := int64(p.InFlight) * int64(p.plan.Subscribers)
	if p.published.Load()-d+int64(p.plan.Subscribers) <= window && p.waiting.CompareAndSwap(true, false) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// listen reads the publisher's connection: nothing but pings should come.
func (p *publisher) listen() {
	for {
		if _, err := p.conn.Receive(); err != nil {
			p.lost("a publisher", err)
			return
		}
		p.failures.add("unexpected messages to publishers", 1)
	}
}

// A subscriber is one subscribed session.
type subscriber struct {
	*fanout
	index        int
	conn         *client.Conn
	subscription uint64

	// Owned by loop.
	dec    codec.Decoder
	msg    codec.Message
	stamps *stamper
	from   []progress // by publisher
	batch  latencyBatch
}

// A progress is what one subscriber has seen of one publisher.
type progress struct {
	next    uint64 // the sequence number expected
	batch   int64  // events since the last account
	missing map[uint64]struct{}
	gaps    int64 // missing ones that are no longer told apart
}

// missingMax bounds how many missing sequence numbers are remembered, to tell late events from duplicates.
const missingMax = 4096

func (f *fanout) subscribe(i int, c *client.Conn) (*subscriber, error) {
	id, err := request(c, &codec.Message{Type: codec.Subscribe, Request: 1, URI: []byte(f.plan.Topic)}, codec.Subscribed)
	if err != nil {
		return nil, err
	}
	s := &subscriber{fanout: f, index: i, conn: c, subscription: id, from: make([]progress, f.plan.Publishers)}
	s.stamps, err = newStamper(f.Serializer, f.PayloadBytes)
	return s, err
}

func (s *subscriber) loop() {
	for {
		b, err := s.conn.Receive()
		if err != nil {
			s.account()
			s.lost("a subscriber", err)
			return
		}
		s.event(b)
		if !s.conn.Ready() {
			s.account()
		}
	}
}

// event verifies one message.
func (s *subscriber) event(b []byte) {
	if err := s.dec.Decode(s.Serializer, b, &s.msg); err != nil {
		s.failures.add("undecodable messages", 1)
		return
	}
	if s.msg.Type != codec.Event || s.msg.ID != s.subscription {
		s.failures.add(fmt.Sprintf("unexpected messages of type %d", s.msg.Type), 1)
		return
	}
	st, ok := s.stamps.read(&s.msg.Payload)
	if !ok || st.sender >= len(s.from) {
		s.failures.add("events with a damaged payload", 1)
		return
	}
	f := &s.from[st.sender]
	f.batch++
	s.batch.add(s.conn.ReadAt().Sub(s.base)-st.sent, s.counts(st.sent))
	if st.seq == f.next {
		f.next++
		return
	}
	s.outOfOrder(f, st.seq)
}

func (s *subscriber) outOfOrder(f *progress, seq uint64) {
	if seq < f.next {
		if _, ok := f.missing[seq]; ok {
			delete(f.missing, seq)
			s.failures.add("events out of order", 1)
		} else {
			s.failures.add("events received twice", 1)
		}
		return
	}
	if f.missing == nil {
		f.missing = map[uint64]struct{}{}
	}
	for ; f.next < seq; f.next++ {
		if len(f.missing) >= missingMax {
			f.gaps += int64(seq - f.next)
			f.next = seq
			break
		}
		f.missing[f.next] = struct{}{}
	}
	f.next = seq + 1
}

// account reports a whole read at once.
func (s *subscriber) account() {
	var n int64
	for i := range s.from {
		if k := s.from[i].batch; k > 0 {
			s.from[i].batch = 0
			s.publishers[i].arrived(k)
			n += k
		}
	}
	s.received.Add(n)
	s.recorder.record(s.index, &s.batch)
}
