package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// An RPCPlan is Callers sessions calling one procedure, which Callees sessions serve by echoing. Every result is verified: one per call, with
// the payload that was sent.
type RPCPlan struct {
	Load
	Callers   int    // default 1
	Callees   int    // default 1; several share the registration in turn (roundrobin)
	Procedure string // default bench.rpc.<…>
}

// RPC runs plan; errors and reports as Fanout's.
func RPC(ctx context.Context, plan RPCPlan) (*Report, error) {
	if plan.Callers == 0 {
		plan.Callers = 1
	}
	if plan.Callees == 0 {
		plan.Callees = 1
	}
	if plan.Procedure == "" {
		plan.Procedure = unique("bench.rpc")
	}
	if plan.Callers < 1 || plan.Callers > sendersMax || plan.Callees < 1 {
		return nil, usage("%d callers, %d callees: at least one each, at most %d callers", plan.Callers, plan.Callees, sendersMax)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	r := &rpc{run: newRun(plan.Load), plan: plan}
	defer r.hangUp()
	return r.do(ctx)
}

type rpc struct {
	*run
	plan RPCPlan
}

func (r *rpc) do(ctx context.Context) (*Report, error) {
	m := newMeasured(&r.Load)
	before := m.rss(m.router)

	callees, err := r.join(ctx, r.plan.Callees)
	if err != nil {
		return nil, err
	}
	for _, c := range callees {
		if err := r.register(c); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
		r.loops.Go(func() { r.serve(c) })
	}
	conns, err := r.join(ctx, r.plan.Callers)
	if err != nil {
		return nil, err
	}
	sessions := r.plan.Callees + r.plan.Callers
	m.sessionMemory(before, sessions)

	calling, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var sending sync.WaitGroup
	for i, c := range conns {
		k := &caller{rpc: r, index: i, conn: c, open: map[uint64]uint64{}, stopped: calling.Done()}
		if k.stamps, err = newStamper(r.Serializer, r.PayloadBytes); err != nil {
			return nil, err
		}
		if k.checks, err = newStamper(r.Serializer, r.PayloadBytes); err != nil {
			return nil, err
		}
		r.loops.Go(k.receive)
		sending.Go(func() { k.start(calling) })
	}
	if err := r.measure(ctx, sessions, m.router, m); err != nil {
		return nil, err
	}
	stop()
	sending.Wait()
	// Callers that were between a result and its next call finish first: nothing is issued after stop, so sent no longer grows.
	r.settle(func() bool { return r.received.Load() >= r.sent.Load() })
	r.hangUp()
	r.failures.add("calls without an answer", r.sent.Load()-r.received.Load())
	return m.report("rpc", r.run, Plan{Callers: r.plan.Callers, Callees: r.plan.Callees}, r.sent.Load()), nil
}

func (r *rpc) register(c *client.Conn) error {
	var dict []byte
	if r.plan.Callees > 1 {
		var err error
		if dict, err = codec.AppendValue(nil, r.Serializer, map[string]any{"invoke": "roundrobin"}); err != nil {
			return err
		}
	}
	_, err := request(c, &codec.Message{Type: codec.Register, Request: 1, URI: []byte(r.plan.Procedure), Dict: dict}, codec.Registered)
	return err
}

// serve echoes the invocations of one callee. What a read brings is answered in one write.
func (r *rpc) serve(c *client.Conn) {
	var dec codec.Decoder
	var m codec.Message
	var out []byte
	for {
		b, err := c.Receive()
		if err != nil {
			r.lost("a callee", err)
			return
		}
		if err := dec.Decode(r.Serializer, b, &m); err != nil {
			r.failures.add("undecodable messages", 1)
			continue
		}
		if m.Type != codec.Invocation {
			r.failures.add(fmt.Sprintf("unexpected messages of type %d", m.Type), 1)
			continue
		}
		out, err = codec.Append(out[:0], r.Serializer, &codec.Message{
			Type: codec.Yield, Format: r.Serializer, Request: m.Request, Payload: m.Payload,
		})
		if err != nil {
			r.failures.add("results that cannot be encoded", 1)
			continue
		}
		c.Queue(out)
	}
}

// A caller is one calling session.
type caller struct {
	// Fixed before start.
	*rpc
	index   int
	conn    *client.Conn
	stopped <-chan struct{}

	// Guarded by lock.
	lock    sync.Mutex
	stamps  *stamper
	request uint64
	seq     uint64
	out     []byte
	open    map[uint64]uint64 // request id to sequence number

	// Owned by receive.
	checks *stamper
	dec    codec.Decoder
	msg    codec.Message
	batch  latencyBatch
}

// start fills the window of a closed loop, or keeps the pace of an open one.
func (k *caller) start(ctx context.Context) {
	var err error
	if k.Rate > 0 {
		each := k.Rate / float64(k.plan.Callers)
		stagger := time.Duration(float64(k.index) / k.Rate * float64(time.Second))
		err = pace(ctx, each, stagger, k.now, k.call, k.conn.FlushAndWait)
	} else {
		for range k.InFlight {
			if err = k.call(k.now()); err != nil {
				break
			}
		}
		if err == nil {
			err = k.conn.Flush()
		}
	}
	if err != nil && ctx.Err() == nil {
		k.lost("a caller", err)
	}
}

// call queues one CALL, unless the load has stopped.
func (k *caller) call(sent time.Duration) error {
	k.lock.Lock()
	defer k.lock.Unlock()
	select {
	case <-k.stopped:
		return nil
	default:
	}
	args := k.stamps.write(stamp{sender: k.index, seq: k.seq, sent: sent})
	b, err := codec.Append(k.out[:0], k.Serializer, &codec.Message{
		Type: codec.Call, Format: k.Serializer, Request: k.request + 1, URI: []byte(k.plan.Procedure),
		Payload: codec.Payload{Format: k.Serializer, Args: args},
	})
	if err != nil {
		return err
	}
	k.out = b
	k.request++
	k.open[k.request] = k.seq
	k.seq++
	k.sent.Add(1)
	k.conn.Queue(b)
	return nil
}

func (k *caller) receive() {
	n := int64(0)
	for {
		b, err := k.conn.Receive()
		if err != nil {
			k.lost("a caller", err)
			return
		}
		if k.answer(b) {
			n++
			if k.Rate == 0 {
				if err := k.call(k.now()); err != nil {
					k.failures.add(err.Error(), 1)
				}
			}
		}
		if !k.conn.Ready() {
			k.received.Add(n)
			n = 0
			k.recorder.record(k.index, &k.batch)
		}
	}
}

// answer verifies one message and reports whether it ended a call.
func (k *caller) answer(b []byte) bool {
	if err := k.dec.Decode(k.Serializer, b, &k.msg); err != nil {
		k.failures.add("undecodable messages", 1)
		return false
	}
	m := &k.msg
	isError := m.Type == codec.Error && m.RequestType == codec.Call
	if m.Type != codec.Result && !isError {
		k.failures.add(fmt.Sprintf("unexpected messages of type %d", m.Type), 1)
		return false
	}
	k.lock.Lock()
	seq, open := k.open[m.Request]
	delete(k.open, m.Request)
	k.lock.Unlock()
	if !open {
		k.failures.add("answers to calls that are not open", 1)
		return false
	}
	if isError {
		k.failures.add("calls answered with "+string(m.URI), 1)
		return true
	}
	st, ok := k.checks.read(&m.Payload)
	if !ok || st.sender != k.index || st.seq != seq {
		k.failures.add("results with a damaged or foreign payload", 1)
		return true
	}
	k.batch.add(k.conn.ReadAt().Sub(k.base)-st.sent, k.counts(st.sent))
	return true
}
