package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A StormPlan is sessions that come and go: connect, opening handshake, HELLO, WELCOME, GOODBYE, GOODBYE, close, as
// often as possible, or at Rate per second. A session that does not get both answers is a failure, and so is a
// session id given twice.
type StormPlan struct {
	Options
	Workers int // sessions at once; default 8
}

// Storm runs plan; errors and reports as Fanout's. Latency is that of a whole session.
func Storm(ctx context.Context, plan StormPlan) (*Report, error) {
	defaultTo(&plan.Workers, 8)
	if plan.Workers < 1 || plan.Workers > sendersMax {
		return nil, Usage("%d workers: must be 1 to %d", plan.Workers, sendersMax)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	if err := plan.onlyWAMP("sessions that come and go"); err != nil {
		return nil, err
	}
	s := &storm{run: newRun(plan.Options), plan: plan}
	// One session joins first: if the router is not there, that is an error and not a failure under load.
	_, err := s.join(ctx, 1)
	s.hangUp()
	if err != nil {
		return nil, err
	}
	s.hello = codec.Message{Type: codec.Hello, Format: s.Serializer, URI: []byte(s.Realm)}
	if s.hello.Dict, err = codec.AppendValue(nil, s.Serializer, client.HelloDetails(agent)); err != nil {
		return nil, err
	}
	s.closing.Store(false)
	return s.do(ctx)
}

type storm struct {
	*run
	plan StormPlan

	// Fixed before the workers start.
	hello codec.Message

	// Guarded by lock.
	lock sync.Mutex
	ids  map[uint64]struct{}
}

// stormIDsMax bounds how many session ids are remembered to find one given twice.
const stormIDsMax = 1 << 20

func (s *storm) do(ctx context.Context) (*Report, error) {
	m := newReadings(&s.Options)
	s.ids = map[uint64]struct{}{}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers sync.WaitGroup
	for i := range s.plan.Workers {
		workers.Go(func() { s.work(working, i) })
	}
	err := s.measure(ctx, s.plan.Workers, m.router, m)
	stop()
	workers.Wait() // sessions under way end in good order
	if err != nil {
		return nil, err
	}
	s.failures.add("sessions lost", s.sent.Load()-s.received.Load())
	out := m.report("storm", s.run, Plan{Workers: s.plan.Workers}, s.sent.Load())
	out.Plan.InFlight, out.Plan.PayloadBytes = 0, 0
	return out, nil
}

func (s *storm) work(ctx context.Context, index int) {
	var batch latencyBatch
	one := func(intended time.Duration) error {
		s.sent.Add(1)
		if err := s.session(context.WithoutCancel(ctx)); err != nil {
			s.failures.add(err.Error(), 1)
			return nil
		}
		s.received.Add(1)
		batch.add(s.now()-intended, s.counts(intended))
		s.recorder.record(index, &batch)
		return nil
	}
	if s.Rate > 0 {
		each := s.Rate / float64(s.plan.Workers)
		stagger := time.Duration(float64(index) / s.Rate * float64(time.Second))
		Pace(ctx, each, stagger, s.now, one, func() error { return nil })
		return
	}
	for ctx.Err() == nil {
		one(s.now())
	}
}

// goodbye ends a session; links set its format.
var goodbye = codec.Message{Type: codec.Goodbye, URI: []byte(codec.CloseCloseRealm)}

// session is one session from connect to close. Its errors are short and without addresses: they are counted by their
// text.
func (s *storm) session(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := s.connect(ctx, s.Serializer)
	if err != nil {
		return fmt.Errorf("sessions without a connection: %w", unwrapConnect(err))
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(connectTimeout))
	id, err := s.welcome(ctx, c)
	if err != nil {
		return fmt.Errorf("sessions without WELCOME: %w", err)
	}
	if s.isTwice(id) {
		return fmt.Errorf("session ids given twice")
	}
	if err := c.Send(&goodbye); err != nil {
		return err
	}
	if _, err := answerOf(c, codec.Goodbye); err != nil {
		return fmt.Errorf("sessions without GOODBYE: %w", err)
	}
	return nil
}

// welcome joins and returns the session id. HELLO is encoded anew only for a login.
func (s *storm) welcome(ctx context.Context, c link) (uint64, error) {
	if s.Login != nil {
		return c.join(ctx, s.Realm)
	}
	if err := c.Send(&s.hello); err != nil {
		return 0, err
	}
	return answerOf(c, codec.Welcome)
}

func (s *storm) isTwice(id uint64) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	_, twice := s.ids[id]
	if len(s.ids) < stormIDsMax {
		s.ids[id] = struct{}{}
	}
	return twice
}

// unwrapConnect takes the URL out of a connection's error.
func unwrapConnect(err error) error {
	if e, ok := err.(*client.ConnectError); ok {
		return e.Err
	}
	return err
}
