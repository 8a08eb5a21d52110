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

// A JoinersPlan is sessions that come at once and then subscribe at once to one topic. It tells what the router pays
// for a session that joins, and for one that subscribes; what was not asked for, or comes twice, is a failure too.
//
//  1. every session connects, says HELLO and waits for WELCOME, many at once
//  2. every session sends SUBSCRIBE, and only then do they read the answers
//  3. one event is published, which each session must get next
//  4. every session says GOODBYE, and must get the answer next: nothing came twice
type JoinersPlan struct {
	Options
	Sessions int  // default 10 000
	Retained bool // the topic has a retained event, and every session asks for it
	Listener bool // one more session is told of each that joins, by wamp.session.on_join
}

// The only events of the topic, by their sequence number.
const (
	retainedEvent = iota
	liveEvent
)

const topicOnJoin = "wamp.session.on_join"

// Joiners runs plan; errors and reports as Fanout's, but the end of ctx is an error. A session that got all that it
// should counts as received. Latency is from SUBSCRIBE to the last message that answers it.
func Joiners(ctx context.Context, plan JoinersPlan) (*Report, error) {
	defaultTo(&plan.Sessions, 10_000)
	if plan.Sessions < 1 {
		return nil, Usage("%d sessions: at least one", plan.Sessions)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	if err := plan.onlyWAMP("sessions that join"); err != nil {
		return nil, err
	}
	if most := filesMax() - filesReserve; plan.Sessions > most {
		return nil, Usage("%d sessions: the file limit of this process allows %d (ulimit -n)", plan.Sessions, most)
	}
	plan.Syscalls = SyscallsNone // the measured time is over when they could be counted
	j := &joiners{
		run: newRun(plan.Options), plan: plan, topic: unique("bench.joiners"), all: make([]joiner, plan.Sessions),
	}
	defer j.hangUp()
	return j.do(ctx)
}

type joiners struct {
	*run
	plan  JoinersPlan
	topic string

	// Fixed before the sessions join.
	publisher link
	subscribe codec.Message

	all []joiner // each is owned by the goroutine that drives it

	told atomic.Int64 // meta events that came

	// Guarded by lock.
	lock  sync.Mutex
	heard map[uint64]int // meta events by session id
}

// A joiner is one of the sessions.
type joiner struct {
	conn         link
	session      uint64
	subscription uint64
	asked        time.Duration // when SUBSCRIBE was sent
	stamps       *stamper
	ended        bool // a failure has been counted
}

func (j *joiners) do(ctx context.Context) (*Report, error) {
	// Some sessions come and go first: they load pages of code.
	if _, err := j.join(ctx, min(j.plan.Sessions, joinsAtOnce)); err != nil {
		return nil, err
	}
	j.hangUp()
	j.closing.Store(false)
	if err := j.prepare(ctx); err != nil {
		return nil, err
	}
	m := newReadings(&j.Options)
	m.begin(j.run, m.router)
	if err := j.joinAll(ctx); err != nil {
		return nil, err
	}
	joined, between := j.now(), m.routerNow(j.run)
	if err := j.subscribeAll(ctx); err != nil {
		return nil, err
	}
	m.end(j.run, m.router)
	if err := j.publish(liveEvent); err != nil {
		return nil, err
	}
	err := j.each(ctx, func(k *joiner, _ int) error {
		err := j.event(k, liveEvent)
		if err == nil {
			err = k.leave()
		}
		if err != nil {
			j.received.Add(-1)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	j.compareHeard()
	j.hangUp()
	return j.report(m, joined, between), nil
}

// prepare has the sessions that are there before the others.
func (j *joiners) prepare(ctx context.Context) (err error) {
	if j.publisher, err = j.joinOne(ctx, j.Serializer); err != nil {
		return err
	}
	j.subscribe = codec.Message{Type: codec.Subscribe, Format: j.Serializer, Request: 1, URI: []byte(j.topic)}
	if j.plan.Retained {
		if err := j.publish(retainedEvent); err != nil {
			return err
		}
		options := map[string]any{"get_retained": true}
		if j.subscribe.Dict, err = codec.AppendValue(nil, j.Serializer, options); err != nil {
			return err
		}
	}
	if !j.plan.Listener {
		return nil
	}
	listener, err := j.joinOne(ctx, j.Serializer)
	if err != nil {
		return err
	}
	id, err := request(listener, &codec.Message{Type: codec.Subscribe, Request: 1, URI: []byte(topicOnJoin)},
		codec.Subscribed)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", topicOnJoin, err)
	}
	j.heard = make(map[uint64]int, j.plan.Sessions)
	j.loops.Go(func() { j.listen(listener, id) })
	return nil
}

// publish publishes an event of the topic and waits for PUBLISHED.
func (j *joiners) publish(seq uint64) error {
	stamps, err := newStamper(j.Serializer, j.PayloadBytes, j.Records)
	if err != nil {
		return err
	}
	m := codec.Message{
		Type: codec.Publish, Request: seq + 1, URI: []byte(j.topic),
		Payload: codec.Payload{Format: j.Serializer, Args: stamps.write(stamp{seq: seq, sent: j.now()})},
	}
	options := map[string]any{"acknowledge": true, "retain": seq == retainedEvent}
	if m.Dict, err = codec.AppendValue(nil, j.Serializer, options); err != nil {
		return err
	}
	if _, err = request(j.publisher, &m, codec.Published); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// each calls f for every session that has not failed, many at once. An error of f is a failure of that session.
func (j *joiners) each(ctx context.Context, f func(k *joiner, i int) error) error {
	until := time.Now().Add(j.Stall + time.Duration(j.plan.Sessions)*time.Millisecond)
	return each(ctx, len(j.all), func(_ context.Context, i int) error {
		k := &j.all[i]
		if k.ended {
			return nil
		}
		k.conn.SetReadDeadline(until)
		if err := f(k, i); err != nil {
			k.ended = true
			j.failures.add(err.Error(), 1)
		}
		return nil
	})
}

// joinAll opens the sessions and waits until the listener has been told of them.
func (j *joiners) joinAll(ctx context.Context) error {
	joining, cancel := context.WithTimeout(ctx, connectTimeout+time.Duration(j.plan.Sessions)*5*time.Millisecond)
	defer cancel()
	err := each(joining, len(j.all), func(ctx context.Context, i int) (err error) {
		k := &j.all[i]
		if k.conn, err = j.connect(ctx, j.Serializer); err != nil {
			return err
		}
		j.connsLock.Lock()
		j.conns = append(j.conns, k.conn)
		j.connsLock.Unlock()
		k.session, err = k.conn.join(ctx, j.Realm)
		return err
	})
	if err != nil || !j.plan.Listener {
		return err
	}
	for last, at := int64(-1), time.Now(); ; time.Sleep(time.Millisecond) {
		told := j.told.Load()
		switch {
		case told >= int64(j.plan.Sessions):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case told > last:
			last, at = told, time.Now()
		case time.Since(at) > j.Stall:
			return nil // compareHeard counts what is missing
		}
	}
}

// listen receives the events of the listener's only subscription.
func (j *joiners) listen(c link, subscription uint64) {
	for {
		m, ok := j.next(c, "the listener")
		if !ok {
			return
		}
		id, err := joinedSession(m, subscription)
		if err != nil {
			j.failures.add(err.Error(), 1)
			continue
		}
		j.lock.Lock()
		j.heard[id]++
		j.lock.Unlock()
		j.told.Add(1)
	}
}

// joinedSession returns the session id in an event of wamp.session.on_join.
func joinedSession(m *codec.Message, subscription uint64) (uint64, error) {
	if m.Type != codec.Event || m.ID != subscription {
		return 0, fmt.Errorf("unexpected messages of type %d to the listener", m.Type)
	}
	v, _ := codec.Value(m.Payload.Format, m.Payload.Args) // nil if it is malformed
	list, _ := v.([]any)
	if len(list) != 1 {
		return 0, errors.New("meta events with a damaged payload")
	}
	details, _ := list[0].(map[string]any)
	id, ok := details["session"].(int64)
	if !ok {
		return 0, errors.New("meta events without a session")
	}
	return uint64(id), nil
}

// compareHeard compares the meta events with the sessions: one for each, and none for others.
func (j *joiners) compareHeard() {
	if !j.plan.Listener {
		return
	}
	j.lock.Lock()
	defer j.lock.Unlock()
	for i := range j.all {
		switch n := j.heard[j.all[i].session]; n {
		case 0:
			j.failures.add("meta events lost", 1)
		default:
			j.failures.add("meta events received twice", int64(n-1))
		}
		delete(j.heard, j.all[i].session)
	}
	for _, n := range j.heard {
		j.failures.add("meta events of unknown sessions", int64(n))
	}
}

// subscribeAll has every session ask, and then every session read.
func (j *joiners) subscribeAll(ctx context.Context) error {
	err := j.each(ctx, func(k *joiner, _ int) error {
		k.asked = j.now()
		j.sent.Add(1)
		m := j.subscribe
		if err := k.conn.Send(&m); err != nil {
			return fmt.Errorf("sessions lost: %w", err)
		}
		return k.conn.Flush()
	})
	if err != nil {
		return err
	}
	return j.each(ctx, func(k *joiner, i int) (err error) {
		if k.subscription, err = answerTo(k.conn, codec.Subscribe, 1, codec.Subscribed); err != nil {
			return fmt.Errorf("sessions without SUBSCRIBED: %w", err)
		}
		if k.stamps, err = newStamper(j.Serializer, j.PayloadBytes, j.Records); err != nil {
			return err
		}
		if j.plan.Retained {
			if err := j.event(k, retainedEvent); err != nil {
				return err
			}
		}
		var batch latencyBatch
		batch.add(k.conn.ReadAt().Sub(j.base)-k.asked, true)
		j.recorder.record(i, &batch)
		j.received.Add(1)
		return nil
	})
}

// event receives the next message of a session, which is to be an event of the topic.
func (j *joiners) event(k *joiner, want uint64) error {
	name := [...]string{retainedEvent: "retained events", liveEvent: "events"}[want]
	m, err := k.conn.Next()
	if err != nil {
		return errors.New(name + " lost")
	}
	if m.Type != codec.Event || m.ID != k.subscription {
		return fmt.Errorf("messages of type %d instead of %s", m.Type, name)
	}
	s, ok := k.stamps.read(&m.Payload)
	switch {
	case !ok || s.sender != 0 || s.seq > liveEvent:
		return errors.New(name + " with a damaged payload")
	case s.seq != want && want == liveEvent:
		return errors.New("retained events that nobody asked for, or twice")
	case s.seq != want:
		return errors.New(name + " lost")
	case m.Options.Bool(codec.KeyRetained, false) != (want == retainedEvent):
		return errors.New(name + " whose detail retained is wrong")
	}
	return nil
}

// leave says GOODBYE and receives the next message of the session, which is to be the answer.
func (k *joiner) leave() error {
	bye := goodbye
	if err := k.conn.Send(&bye); err != nil {
		return fmt.Errorf("sessions lost: %w", err)
	}
	m, err := k.conn.Next()
	switch {
	case err != nil:
		return fmt.Errorf("sessions without GOODBYE: %w", err)
	case m.Type == codec.Event:
		return errors.New("events that nobody asked for, or twice")
	case m.Type != codec.Goodbye:
		return fmt.Errorf("messages of type %d instead of GOODBYE", m.Type)
	}
	return nil
}

func (j *joiners) report(m *readings, joined time.Duration, between time.Duration) *Report {
	n := int64(j.plan.Sessions)
	out := m.report("joiners", j.run, Plan{
		Sessions: j.plan.Sessions, Retained: j.plan.Retained, Listener: j.plan.Listener,
	}, n)
	out.Plan.Loop, out.Plan.InFlight, out.Plan.Rate = "", 0, 0
	if out.Router != nil {
		each := func(d time.Duration) float64 { return judge.Round3(float64(d) / float64(n) / 1e3) }
		out.Figures = append(out.Figures,
			Figure{"joining", each(between - m.routerCPU[0]), "us of the router's CPU/session"},
			Figure{"subscribing", each(m.routerCPU[1] - between), "us of the router's CPU/session"})
	}
	out.Figures = append(out.Figures,
		Figure{"joined", judge.Round3((joined - m.start).Seconds()), "s"},
		Figure{"subscribed", judge.Round3((m.stop - joined).Seconds()), "s"})
	return out
}
