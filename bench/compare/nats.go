package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"banyan/bench/load"
)

// natsStall is how long nothing may arrive after the end before what is missing counts as lost.
const natsStall = 2 * time.Second

// A natsLoad is a plan under way on NATS: the same windows, payload sizes and checks as the loads of package load, in NATS' own protocol.
type natsLoad struct {
	load.Options
	plan *Plan
	base time.Time
	// Open loops send until it ends, with stopped.
	sending context.Context
	stop    context.CancelFunc

	// Any goroutine.
	sent     atomic.Int64 // publications or calls
	received atomic.Int64 // events or replies
	from, to atomic.Int64 // messages sent in [from, to) count for latency; ns since base
	stopped  atomic.Bool
	closing  atomic.Bool

	// Guarded by mu.
	mu       sync.Mutex
	latency  *hdrhistogram.Histogram
	failures map[string]int64

	conns []*natsConn
	loops sync.WaitGroup
}

// playNATS plays a plan against a NATS server.
func playNATS(ctx context.Context, p *Plan, o load.Options) (*load.Report, error) {
	l := &natsLoad{
		Options: o, plan: p, base: time.Now(), failures: map[string]int64{},
		latency: hdrhistogram.New(1000, int64(100*time.Second), 3),
	}
	if l.PayloadBytes < natsStampBytes {
		return nil, Usage("payload of %d bytes: must be at least %d", l.PayloadBytes, natsStampBytes)
	}
	l.from.Store(1<<63 - 1)
	l.to.Store(1<<63 - 1)
	l.sending, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer l.hangUp()
	switch p.Scenario {
	case "fanout", "publishers":
		publishers, subscribers := p.publishers()
		return l.publish(ctx, publishers, natsTopics{topics: 1, perTopic: subscribers, sessions: subscribers})
	case "topics":
		perTopic, sessions := p.topics()
		return l.publish(ctx, 1, natsTopics{topics: p.Size, perTopic: perTopic, sessions: sessions})
	case "rpc":
		return l.rpc(ctx)
	}
	return nil, errors.New("there is no load of this plan in NATS' protocol")
}

// natsTopics are topics published to in turn, whose subscriptions sessions share evenly: subscription n is session n modulo sessions.
type natsTopics struct{ topics, perTopic, sessions int }

func (t natsTopics) subject(i int) string { return fmt.Sprintf("bench.topic.%d", i) }

// of lists the subjects of a session.
func (t natsTopics) of(session int) []string {
	var all []string
	for n := session; n < t.topics*t.perTopic; n += t.sessions {
		all = append(all, t.subject(n/t.perTopic))
	}
	return all
}

func (l *natsLoad) now() int64 { return int64(time.Since(l.base)) }

func (l *natsLoad) connect(ctx context.Context) (*natsConn, error) {
	c, err := dialNATS(ctx, l.URL)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *natsLoad) hangUp() {
	l.stop()
	l.closing.Store(true)
	for _, c := range l.conns {
		c.close()
	}
	l.loops.Wait()
}

func (l *natsLoad) fail(what string, n int64) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	l.failures[what] += n
	l.mu.Unlock()
}

// record counts messages that came with one read.
func (l *natsLoad) record(sent []int64, at int64) {
	if len(sent) == 0 {
		return
	}
	from, to := l.from.Load(), l.to.Load()
	l.mu.Lock()
	for _, s := range sent {
		if s >= from && s < to {
			l.latency.RecordValue(max(at-s, 0)) // within the range: runs are shorter than 100 s, and later ones are cut off
		}
	}
	l.mu.Unlock()
}

// lost notes the end of a connection that should not have ended.
func (l *natsLoad) lost(err error) {
	if !l.closing.Load() {
		l.fail("lost a connection: "+err.Error(), 1)
	}
}

// A natsPublisher is one publishing connection.
type natsPublisher struct {
	*natsLoad
	index  int
	conn   *natsConn
	each   int64   // events of a publication
	window *window // closed loop: room for events on their way
	stamp  *natsStamp
	seq    int64 // owned by run
}

// run publishes to the subjects in turn until the load stops.
func (p *natsPublisher) run(subjects []string, publishers int) {
	publish := func(sent int64) {
		p.conn.publish(subjects[p.seq%int64(len(subjects))], "", p.stamp.write(p.index, p.seq, sent))
		p.seq++
		p.sent.Add(1)
	}
	if p.Rate > 0 {
		p.pace(p.index, publishers, p.conn, publish)
		return
	}
	for !p.stopped.Load() && p.window.take(p.each, p.conn.flush) {
		publish(p.now())
	}
	p.conn.flush() // an error shows in the connection's reader
}

// pace sends the share of one of several senders at the rate of the load until the load stops.
func (l *natsLoad) pace(index, senders int, c *natsConn, send func(sent int64)) {
	offset := time.Duration(float64(index) / l.Rate * float64(time.Second))
	now := func() time.Duration { return time.Duration(l.now()) }
	err := load.Pace(l.sending, l.Rate/float64(senders), offset, now, func(intended time.Duration) error {
		send(int64(intended))
		return nil
	}, c.flush)
	if err != nil {
		l.lost(err)
	}
}

func (l *natsLoad) publish(ctx context.Context, publishers int, t natsTopics) (*load.Report, error) {
	each := int64(t.perTopic)
	before := residentBytes(l.PID)
	all := make([]*natsPublisher, publishers)
	for i := range all {
		all[i] = &natsPublisher{natsLoad: l, index: i, each: each, window: newWindow(int64(l.InFlight) * each), stamp: newNATSStamp(l.PayloadBytes)}
	}
	for i := range t.sessions {
		c, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.subscribe(t.of(i)...); err != nil {
			return nil, err
		}
		l.loops.Go(func() { l.subscriber(c, t.topics == 1, all) })
	}
	for _, p := range all {
		var err error
		if p.conn, err = l.connect(ctx); err != nil {
			return nil, err
		}
		l.loops.Go(func() { l.lost(p.conn.discard()) })
	}
	perSession := residentBytes(l.PID) - before
	subjects := make([]string, t.topics)
	for i := range subjects {
		subjects[i] = t.subject(i)
	}
	var publishing sync.WaitGroup
	for _, p := range all {
		publishing.Go(func() { p.run(subjects, publishers) })
	}
	r := l.measure(ctx)
	for _, p := range all {
		p.window.close()
	}
	publishing.Wait()
	l.settle(func() bool { return l.received.Load() >= l.sent.Load()*each })
	l.hangUp()
	l.fail("events lost", l.sent.Load()*each-l.received.Load())
	r.Scenario = l.plan.Scenario
	r.Plan.Publishers = publishers
	if t.topics == 1 {
		r.Scenario = "fanout"
		r.Plan.Subscribers = t.sessions
	} else {
		r.Plan.Topics, r.Plan.PerTopic, r.Plan.Sessions = t.topics, t.perTopic, t.sessions
	}
	if n := t.sessions + publishers; perSession > 0 && t.topics == 1 && n > natsSessionsMin {
		r.Router.RSSPerSession, r.Router.SessionsCounted = perSession/int64(n), n
	}
	return l.finish(r, l.sent.Load()*each), nil
}

// natsSessionsMin is how many sessions it takes for resident memory to say something about one of them.
const natsSessionsMin = 100

// subscriber verifies the events of one connection: each once, in its publisher's order, whole; without gaps if all publications are meant
// for it.
func (l *natsLoad) subscriber(c *natsConn, all bool, publishers []*natsPublisher) {
	stamp := newNATSStamp(l.PayloadBytes)
	next := make([]int64, len(publishers))
	from := make([]int64, len(publishers)) // events since the last account
	var batch []int64
	for {
		m, err := c.receive()
		if err != nil {
			l.lost(err)
			return
		}
		sender, seq, sent, ok := stamp.read(m.payload)
		if ok = ok && sender < len(publishers); !ok {
			l.fail("events with a damaged payload", 1)
			sender = 0
			next[0]++ // the next one is not out of order for it
		} else {
			if seq < next[sender] || all && seq > next[sender] {
				l.fail("events out of order or twice", 1)
			}
			next[sender] = max(next[sender], seq+1)
		}
		batch = append(batch, sent)
		from[sender]++
		if !c.ready() {
			l.record(batch, l.now())
			l.received.Add(int64(len(batch)))
			for i, n := range from {
				if n > 0 {
					publishers[i].window.give(n)
				}
			}
			batch = batch[:0]
			clear(from)
		}
	}
}

func (l *natsLoad) rpc(ctx context.Context) (*load.Report, error) {
	callee, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := callee.subscribe("bench.rpc"); err != nil {
		return nil, err
	}
	l.loops.Go(func() {
		for {
			m, err := callee.receive()
			if err != nil {
				l.lost(err)
				return
			}
			callee.publish(m.reply, "", m.payload)
			if !callee.ready() {
				callee.flush()
			}
		}
	})
	callers := make([]*natsConn, l.plan.Size)
	for i := range callers {
		if callers[i], err = l.connect(ctx); err != nil {
			return nil, err
		}
		if err := callers[i].subscribe(fmt.Sprintf("_INBOX.%d.*", i)); err != nil {
			return nil, err
		}
	}
	for i, c := range callers {
		l.loops.Go(func() { l.caller(c, i) })
	}
	r := l.measure(ctx)
	l.settle(func() bool { return l.received.Load() >= l.sent.Load() })
	l.hangUp()
	l.fail("calls without an answer", l.sent.Load()-l.received.Load())
	r.Scenario = "rpc"
	r.Plan.Callers, r.Plan.Callees = l.plan.Size, 1
	return l.finish(r, l.sent.Load()), nil
}

// caller keeps its calls in flight, each answer being followed by the next call, or sends them by the clock.
func (l *natsLoad) caller(c *natsConn, index int) {
	inbox := fmt.Sprintf("_INBOX.%d.", index)
	stamp, check := newNATSStamp(l.PayloadBytes), newNATSStamp(l.PayloadBytes)
	// Guarded by mu.
	var mu sync.Mutex
	open := map[int64]bool{}
	seq := int64(0)
	call := func(sent int64) {
		mu.Lock()
		defer mu.Unlock()
		if l.stopped.Load() {
			return
		}
		c.publish("bench.rpc", fmt.Sprint(inbox, seq), stamp.write(index, seq, sent))
		open[seq] = true
		seq++
		l.sent.Add(1)
	}
	if l.Rate > 0 {
		l.loops.Go(func() { l.pace(index, l.plan.Size, c, call) })
	} else {
		for range l.InFlight {
			call(l.now())
		}
		c.flush() // an error shows in receive
	}
	var batch []int64
	for {
		m, err := c.receive()
		if err != nil {
			l.lost(err)
			return
		}
		_, got, sent, ok := check.read(m.payload)
		mu.Lock()
		isOpen := open[got]
		delete(open, got)
		mu.Unlock()
		switch {
		case !ok || m.subject != fmt.Sprint(inbox, got):
			l.fail("results with a damaged or foreign payload", 1)
		case !isOpen:
			l.fail("answers to calls that are not open", 1)
			continue
		}
		batch = append(batch, sent)
		if l.Rate == 0 {
			call(l.now())
		}
		if !c.ready() {
			c.flush()
			l.record(batch, l.now())
			l.received.Add(int64(len(batch)))
			batch = batch[:0]
		}
	}
}

// settle waits until done, or until nothing has arrived for a while.
func (l *natsLoad) settle(done func() bool) {
	last, at := l.received.Load(), time.Now()
	for !done() {
		time.Sleep(5 * time.Millisecond)
		if got := l.received.Load(); got != last {
			last, at = got, time.Now()
		} else if time.Since(at) > cmp.Or(l.Stall, natsStall) {
			return
		}
	}
}
