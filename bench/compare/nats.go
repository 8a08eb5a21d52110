package compare

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"banyan/bench"
)

// natsStall is how long nothing may arrive after the end before what is missing counts as lost.
const natsStall = 2 * time.Second

// A natsLoad is a plan under way on NATS: the same windows, payload sizes and checks as the loads of package bench, in NATS' own protocol.
type natsLoad struct {
	bench.Load
	plan *plan
	base time.Time

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
func playNATS(ctx context.Context, p *plan, load bench.Load) (*bench.Report, error) {
	l := &natsLoad{
		Load: load, plan: p, base: time.Now(), failures: map[string]int64{},
		latency: hdrhistogram.New(1000, int64(100*time.Second), 3),
	}
	if l.PayloadBytes < natsStampBytes {
		return nil, usage("payload of %d bytes: must be at least %d", l.PayloadBytes, natsStampBytes)
	}
	l.from.Store(1<<63 - 1)
	l.to.Store(1<<63 - 1)
	defer l.hangUp()
	switch p.scenario {
	case "fanout":
		return l.publish(ctx, natsTopics{topics: 1, perTopic: p.size, sessions: p.size})
	case "topics":
		return l.publish(ctx, natsTopics{topics: p.size, perTopic: topicSubscribers, sessions: topicSessions})
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

func (l *natsLoad) publish(ctx context.Context, t natsTopics) (*bench.Report, error) {
	each := int64(t.perTopic)
	before := residentBytes(l.PID)
	window := newWindow(int64(l.InFlight) * each)
	for i := range t.sessions {
		c, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.subscribe(t.of(i)...); err != nil {
			return nil, err
		}
		l.loops.Go(func() { l.subscriber(c, t.topics == 1, window) })
	}
	publisher, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	l.loops.Go(func() { l.lost(publisher.discard()) })
	perSession := residentBytes(l.PID) - before
	var publishing sync.WaitGroup
	publishing.Go(func() {
		stamp := newNATSStamp(l.PayloadBytes)
		subjects := make([]string, t.topics)
		for i := range subjects {
			subjects[i] = t.subject(i)
		}
		for seq := int64(0); !l.stopped.Load(); seq++ {
			if !window.take(each, publisher.flush) {
				break
			}
			publisher.publish(subjects[seq%int64(t.topics)], "", stamp.write(seq, l.now()))
			l.sent.Add(1)
		}
		publisher.flush()
	})
	r := l.measure(ctx)
	window.close()
	publishing.Wait()
	l.settle(func() bool { return l.received.Load() >= l.sent.Load()*each })
	l.hangUp()
	l.fail("events lost", l.sent.Load()*each-l.received.Load())
	r.Scenario = l.plan.scenario
	r.Plan.Publishers = 1
	if t.topics == 1 {
		r.Plan.Subscribers = t.sessions
	} else {
		r.Plan.Topics, r.Plan.PerTopic, r.Plan.Sessions = t.topics, t.perTopic, t.sessions
	}
	if perSession > 0 && t.topics == 1 && t.sessions >= natsSessionsMin {
		r.Router.RSSPerSession, r.Router.SessionsCounted = perSession/int64(t.sessions+1), t.sessions+1
	}
	return l.finish(r, l.sent.Load()*each), nil
}

// natsSessionsMin is how many sessions it takes for resident memory to say something about one of them.
const natsSessionsMin = 100

// subscriber verifies the events of one connection: each once, in the publisher's order, whole; without gaps if all publications are meant
// for it.
func (l *natsLoad) subscriber(c *natsConn, all bool, w *window) {
	stamp := newNATSStamp(l.PayloadBytes)
	next := int64(0)
	var batch []int64
	for {
		m, err := c.receive()
		if err != nil {
			l.lost(err)
			return
		}
		seq, sent, ok := stamp.read(m.payload)
		switch {
		case !ok:
			l.fail("events with a damaged payload", 1)
			next++ // the next one is not out of order for it
		case seq < next, all && seq > next:
			l.fail("events out of order or twice", 1)
			next = max(next, seq+1)
		default:
			next = seq + 1
		}
		batch = append(batch, sent)
		if !c.ready() {
			l.record(batch, l.now())
			l.received.Add(int64(len(batch)))
			w.give(int64(len(batch)))
			batch = batch[:0]
		}
	}
}

func (l *natsLoad) rpc(ctx context.Context) (*bench.Report, error) {
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
	callers := make([]*natsConn, l.plan.size)
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
	r.Plan.Callers, r.Plan.Callees = l.plan.size, 1
	return l.finish(r, l.sent.Load()), nil
}

// caller keeps its calls in flight: each answer is followed by the next call.
func (l *natsLoad) caller(c *natsConn, index int) {
	inbox := fmt.Sprintf("_INBOX.%d.", index)
	stamp, check := newNATSStamp(l.PayloadBytes), newNATSStamp(l.PayloadBytes)
	open := map[int64]bool{}
	seq := int64(0)
	call := func() {
		c.publish("bench.rpc", fmt.Sprint(inbox, seq), stamp.write(seq, l.now()))
		open[seq] = true
		seq++
		l.sent.Add(1)
	}
	for range l.InFlight {
		call()
	}
	c.flush()
	var batch []int64
	for {
		m, err := c.receive()
		if err != nil {
			l.lost(err)
			return
		}
		got, sent, ok := check.read(m.payload)
		switch {
		case !ok || m.subject != fmt.Sprint(inbox, got):
			l.fail("results with a damaged or foreign payload", 1)
		case !open[got]:
			l.fail("answers to calls that are not open", 1)
			continue
		}
		delete(open, got)
		batch = append(batch, sent)
		if !l.stopped.Load() {
			call()
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
		} else if time.Since(at) > natsStall {
			return
		}
	}
}
