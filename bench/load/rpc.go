package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"banyan/codec"
)

// An RPCPlan is Callers sessions calling one procedure, which Callees sessions serve by echoing. Every result is
// verified: one per call, with the payload that was sent.
type RPCPlan struct {
	Options
	Callers   int    // default 1
	Callees   int    // default 1; several share the registration in turn (roundrobin)
	Procedure string // default one of its own
	// Results per call: all but the last one are progressive (PROTOCOL 8.4). Default 1, the plain call. The scenario
	// is called progressive when there are more, results are counted instead of calls, and their order is verified
	// too.
	Results int
}

// resultsMax bounds the results of a call.
const resultsMax = 1 << 20

// RPC runs plan; errors and reports as Fanout's.
func RPC(ctx context.Context, plan RPCPlan) (*Report, error) {
	if plan.Callers == 0 {
		plan.Callers = 1
	}
	if plan.Callees == 0 {
		plan.Callees = 1
	}
	defaultTo(&plan.Results, 1)
	if plan.Procedure == "" {
		plan.Procedure = unique("bench.rpc")
	}
	if plan.Callers < 1 || plan.Callers > sendersMax || plan.Callees < 1 {
		return nil, Usage("%d callers, %d callees: at least one each, at most %d callers", plan.Callers, plan.Callees,
			sendersMax)
	}
	if plan.Results < 1 || plan.Results > resultsMax {
		return nil, Usage("%d results per call: must be 1 to %d", plan.Results, resultsMax)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	r := &rpc{run: newRun(plan.Options), plan: plan}
	if plan.Results > 1 {
		if err := plan.onlyWAMP("progressive results"); err != nil {
			return nil, err
		}
		var err error
		if r.wantsProgress, err = codec.AppendValue(nil, r.Serializer,
			map[string]any{"receive_progress": true}); err != nil {
			return nil, err
		}
		if r.isProgress, err = codec.AppendValue(nil, r.Serializer, map[string]any{"progress": true}); err != nil {
			return nil, err
		}
	}
	defer r.hangUp()
	return r.do(ctx)
}

type rpc struct {
	*run
	plan RPCPlan

	wantsProgress, isProgress []byte // options of CALL and YIELD; nil for the plain call
}

func (r *rpc) do(ctx context.Context) (*Report, error) {
	m := newReadings(&r.Options)
	before := m.rss(m.router)

	callees, err := r.join(ctx, r.plan.Callees)
	if err != nil {
		return nil, err
	}
	for _, c := range callees {
		if err := r.register(c); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
		stamps, err := newStamper(r.Serializer, r.PayloadBytes, r.Records)
		if err != nil {
			return nil, err
		}
		r.loops.Go(func() { r.serve(c, stamps) })
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
		k := &caller{rpc: r, index: i, conn: c, open: map[uint64]openCall{}, stopped: calling.Done()}
		if k.stamps, err = newStamper(r.Serializer, r.PayloadBytes, r.Records); err != nil {
			return nil, err
		}
		if k.checks, err = newStamper(r.Serializer, r.PayloadBytes, r.Records); err != nil {
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
	// Callers between a result and the next call finish first. No call starts after stop, so sent no longer grows.
	expected := func() int64 { return r.sent.Load() * int64(r.plan.Results) }
	r.settle(func() bool { return r.received.Load() >= expected() })
	r.hangUp()
	p := Plan{Callers: r.plan.Callers, Callees: r.plan.Callees}
	if r.plan.Results == 1 {
		r.failures.add("calls without an answer", expected()-r.received.Load())
		return m.report("rpc", r.run, p, expected()), nil
	}
	r.failures.add("results lost", expected()-r.received.Load())
	p.Progress = r.plan.Results
	return m.report("progressive", r.run, p, expected()), nil
}

func (r *rpc) register(c link) error {
	var dict []byte
	if r.plan.Callees > 1 {
		var err error
		if dict, err = codec.AppendValue(nil, r.Serializer, map[string]any{"invoke": "roundrobin"}); err != nil {
			return err
		}
	}
	_, err := request(c, &codec.Message{Type: codec.Register, Request: 1, URI: []byte(r.plan.Procedure), Dict: dict},
		codec.Registered)
	return err
}

// serve echoes the invocations of one callee. It answers all invocations of a read in one write.
func (r *rpc) serve(c link, stamps *stamper) {
	yield := func(request uint64, dict []byte, p codec.Payload) {
		err := c.Send(&codec.Message{
			Type: codec.Yield, Format: r.Serializer, Request: request, Dict: dict,
			Payload: p,
		})
		if err != nil {
			r.failures.add("results that cannot be encoded", 1)
		}
	}
	for {
		m, ok := r.next(c, "a callee")
		if !ok {
			return
		}
		if m.Type != codec.Invocation {
			r.failures.add(fmt.Sprintf("unexpected messages of type %d", m.Type), 1)
			continue
		}
		if r.plan.Results == 1 {
			yield(m.Request, nil, m.Payload)
			continue
		}
		st, ok := stamps.read(&m.Payload)
		if !ok || !m.Options.Bool(codec.KeyReceiveProgress, false) {
			r.failures.add("invocations that are damaged or do not want progress", 1)
			continue
		}
		// Each result carries a number of its own.
		n := uint64(r.plan.Results)
		for k := range n {
			dict := r.isProgress
			if k == n-1 {
				dict = nil
			}
			args := stamps.write(stamp{sender: st.sender, seq: st.seq*n + k, sent: st.sent})
			yield(m.Request, dict, codec.Payload{Format: r.Serializer, Args: args})
		}
	}
}

// A caller is one calling session.
type caller struct {
	// Fixed before start.
	*rpc
	index   int
	conn    link
	stopped <-chan struct{}

	// Guarded by lock.
	lock    sync.Mutex
	stamps  *stamper
	request uint64
	seq     uint64
	open    map[uint64]openCall // by request id

	// Owned by receive.
	checks *stamper
	batch  latencyBatch
}

// An openCall has not had its last result.
type openCall struct {
	seq     uint64
	results uint64 // so far
}

// start fills the window of a closed loop, or keeps the pace of an open one.
func (k *caller) start(ctx context.Context) {
	var err error
	if k.Rate > 0 {
		each := k.Rate / float64(k.plan.Callers)
		stagger := time.Duration(float64(k.index) / k.Rate * float64(time.Second))
		err = Pace(ctx, each, stagger, k.now, k.call, k.conn.FlushAndWait)
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
	err := k.conn.Send(&codec.Message{
		Type: codec.Call, Format: k.Serializer, Request: k.request + 1, URI: []byte(k.plan.Procedure),
		Dict:    k.wantsProgress,
		Payload: codec.Payload{Format: k.Serializer, Args: args},
	})
	if err != nil {
		return err
	}
	k.request++
	k.open[k.request] = openCall{seq: k.seq}
	k.seq++
	k.sent.Add(1)
	return nil
}

func (k *caller) receive() {
	n := int64(0)
	for {
		m, ok := k.next(k.conn, "a caller")
		if !ok {
			return
		}
		result, last := k.answer(m)
		if result {
			n++
		}
		if last && k.Rate == 0 {
			if err := k.call(k.now()); err != nil {
				k.failures.add(err.Error(), 1)
			}
		}
		if !k.conn.Ready() {
			k.received.Add(n)
			n = 0
			k.recorder.record(k.index, &k.batch)
		}
	}
}

// answer verifies one message and tells whether it is a result, or the ERROR in place of one, and whether it ended
// its call.
func (k *caller) answer(m *codec.Message) (result, last bool) {
	isError := m.Type == codec.Error && m.RequestType == codec.Call
	if m.Type != codec.Result && !isError {
		k.failures.add(fmt.Sprintf("unexpected messages of type %d", m.Type), 1)
		return false, false
	}
	last = isError || !m.Options.Bool(codec.KeyProgress, false)
	k.lock.Lock()
	call, open := k.open[m.Request]
	if last {
		delete(k.open, m.Request)
	} else if open {
		k.open[m.Request] = openCall{seq: call.seq, results: call.results + 1}
	}
	k.lock.Unlock()
	if !open {
		k.failures.add("answers to calls that are not open", 1)
		return false, false
	}
	if isError {
		k.failures.add("calls answered with "+string(m.URI), 1)
		return true, true
	}
	n := uint64(k.plan.Results)
	if last != (call.results == n-1) {
		k.failures.add("results that came out of place", 1)
		return true, last
	}
	st, ok := k.checks.read(&m.Payload)
	if !ok || st.sender != k.index || st.seq != call.seq*n+call.results {
		k.failures.add("results with a damaged or foreign payload", 1)
		return true, last
	}
	k.batch.add(k.conn.ReadAt().Sub(k.base)-st.sent, k.counts(st.sent))
	return true, last
}
