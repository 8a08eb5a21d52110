package load

import (
	"context"
	"sync/atomic"
	"time"

	"banyan/codec"
)

// A publisher is one publishing session.
type publisher struct {
	// Fixed before publish starts.
	*pubsub
	index      int
	conn       link
	serializer codec.Serializer
	stamps     *stamper

	// Owned by publish.
	request uint64
	seqs    []uint64 // the next, by topic
	topic   int      // the last one published to
	step    int      // to the next topic
	queued  int      // octets of payload since the last flush

	// Any goroutine.
	published atomic.Int64 // events that must arrive: publications times deliveries
	delivered atomic.Int64 // events that arrived
	waiting   atomic.Bool  // publish sleeps and wants wake
	wake      chan struct{}
}

func (f *pubsub) newPublisher(i int, c link) (*publisher, error) {
	n := len(f.plan.topics)
	p := &publisher{
		pubsub: f, index: i, conn: c, serializer: c.Serializer(), seqs: make([]uint64, n),
		topic: i * n / f.plan.publishers, step: stride(n),
		wake: make(chan struct{}, 1),
	}
	var err error
	p.stamps, err = newStamper(p.serializer, f.PayloadBytes, f.Records)
	return p, err
}

// stride is a step that visits each of n topics once in n steps, with neighbours far apart, so that topics are not in
// the CPU's caches.
func stride(n int) int {
	coprime := func(a, b int) bool {
		for b != 0 {
			a, b = b, a%b
		}
		return a == 1
	}
	s := max(n*618/1000, 1)
	for !coprime(s, n) {
		s++
	}
	return s
}

func (p *publisher) publish(ctx context.Context) {
	var err error
	if p.Rate > 0 {
		each := p.Rate / float64(p.plan.publishers)
		stagger := time.Duration(float64(p.index) / p.Rate * float64(time.Second))
		err = Pace(ctx, each, stagger, p.now, p.one, p.flushOpen)
	} else {
		err = p.closedLoop(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.lost("a publisher", err)
	}
}

// closedLoop keeps at most InFlight publications' events on their way. Publications are queued while the window has
// room and written before waiting.
func (p *publisher) closedLoop(ctx context.Context) error {
	window := int64(p.InFlight) * int64(p.plan.deliveries)
	each := int64(p.plan.deliveries)
	for ctx.Err() == nil {
		if p.published.Load()-p.delivered.Load()+each <= window {
			if err := p.one(p.now()); err != nil {
				return err
			}
			if p.queued < queuedMax {
				continue
			}
		} else if p.queued == 0 {
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
		p.queued = 0
	}
	return p.conn.Flush()
}

// queuedMax is how many octets of payload a closed loop queues before it writes.
const queuedMax = 24 << 10

// one queues one publication.
func (p *publisher) one(sent time.Duration) error {
	p.request++
	p.topic = (p.topic + p.step) % len(p.seqs)
	args := p.stamps.write(stamp{sender: p.index, seq: p.seqs[p.topic], sent: sent})
	err := p.conn.Send(&codec.Message{
		Type: codec.Publish, Format: p.serializer, Request: p.request, URI: []byte(p.plan.topics[p.topic]),
		Payload: codec.Payload{Format: p.serializer, Args: args},
	})
	if err != nil {
		return err
	}
	p.queued += len(args)
	p.seqs[p.topic]++
	p.published.Add(int64(p.plan.deliveries))
	p.sent.Add(1)
	return nil
}

// flushOpen flushes and waits while the router does not read. The link bounds the queue, and intended times count the
// wait.
func (p *publisher) flushOpen() error { return p.conn.FlushAndWait() }

// arrived counts n events of this publisher and wakes it when its window has room again. Any goroutine.
func (p *publisher) arrived(n int64) {
	d := p.delivered.Add(n)
	if p.Rate > 0 || !p.waiting.Load() {
		return
	}
	window := int64(p.InFlight) * int64(p.plan.deliveries)
	if p.published.Load()-d+int64(p.plan.deliveries) <= window && p.waiting.CompareAndSwap(true, false) {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// listen reads the publisher's connection. The router should send nothing but pings.
func (p *publisher) listen() {
	for {
		if _, ok := p.next(p.conn, "a publisher"); !ok {
			return
		}
		p.failures.add("unexpected messages to publishers", 1)
	}
}
