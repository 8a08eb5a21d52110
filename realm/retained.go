package realm

import (
	"errors"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// SUBSCRIBE with get_retained (PROTOCOL 7.9), on the subscriber's loop:
//
//  1. SUBSCRIBED is queued and the membership visible, as for every SUBSCRIBE
//  2. sendRetained looks for what is retained: one event of a topic, or those of the topics that a pattern matches
//  3. the first of them are queued at once, before any live event; if they are many or large, a job goes on, and the
//     session waits
//
// Nobody misses the last event of a topic: its publisher retains it and then looks for subscribers, and a subscriber
// becomes visible and then looks for what is retained. So one of them finds the other, or both do: then the event
// comes live and retained. A job does not send an event that has a newer one meanwhile: that one has come live.

// A recall brings retained events to one subscriber. Owned by loop.
type recall struct {
	member  *member
	waiting *waiting                // nil: SUBSCRIBE is being handled
	store   *history.Retained       // of the realm
	search  *history.RetainedSearch // nil: one topic
	next    *history.Event          // to be sent, or nil
	ended   bool                    // the search has
	left    int                     // events that may still be sent
	octets  int                     // sent so far
}

// What a recall has come to.
type recallState uint8

const (
	recallEnded recallState = iota
	recallMore              // in another turn
	recallLarge             // the pool has to encode the next event
)

// sendRetained sends what is retained for a subscription that its session has just asked for.
func (s *session) sendRetained(x port.Executor, l *perLoop, mb *member) {
	x.Step("retained.load")
	store := s.realm.retained.Load()
	if store == nil || l.set.Retention.Disabled {
		return
	}
	r := &recall{member: mb, store: store, left: l.set.Retention.FoundMax}
	if mb.sub.match == codec.Exact {
		x.Step("retained.get")
		r.next, r.ended = store.Get([]byte(mb.sub.uri), s.who()), true
	} else {
		r.search = store.Search(mb.sub.uri, mb.sub.match, *s.who(), r.left+1)
	}
	if r.proceed(x, l, max(x.Grant(s.realm.router.bounds.retainedAtOnce), 1)) != recallEnded {
		r.waiting = s.later(x, l)
		x.Post(s.home, s.id, r)
	}
}

// Run goes on with it.
func (r *recall) Run(x port.Executor, budget int) (more bool) {
	s := r.member.session
	if !r.waiting.current() {
		return false
	}
	state := recallEnded
	if r.holds() {
		state = r.proceed(x, s.realm.router.perLoop[x.Loop()], max(budget, 1))
	}
	switch state {
	case recallEnded:
		r.waiting.end(x)
	case recallLarge:
		r.encode(x)
	}
	return state == recallMore
}

// holds reports whether the session still has the subscription.
func (r *recall) holds() bool { return r.member.session.subscriptions[r.member.sub.id] == r.member }

// proceed sends what the budget allows: 1 for retainedSteps topics, or for an event of a few octets.
func (r *recall) proceed(x port.Executor, l *perLoop, budget int) recallState {
	for ; budget > 0; budget-- {
		steps := 0
		for ; r.next == nil && !r.ended && steps < retainedSteps; steps++ {
			x.Step("retained.next")
			r.look()
		}
		x.Work(steps) // a topic with lists takes about a microsecond
		r.next = r.current(r.next)
		e := r.next
		switch {
		case e == nil && r.ended:
			return recallEnded
		case e == nil:
			continue
		case r.left == 0 || r.octets > 0 && r.octets+e.Bytes() > retainedBytesMax:
			l.counters.retainedCut.Add(1)
			return recallEnded
		case r.large(e):
			return recallLarge
		}
		n := len(e.Payload.Args) + len(e.Payload.Kwargs)
		if e.Payload.Format != r.member.session.serializer {
			x.Work(n >> directShift)
		}
		budget -= n >> encodeShift
		frame, length, err := r.frame(&l.out, e)
		r.deliver(x, l, frame, length, err)
		l.trim()
	}
	return recallMore
}

// current returns what the session may have now of the topic of e, which it was to be sent: nil if it is newer. e may
// be nil.
func (r *recall) current(e *history.Event) *history.Event {
	if e == nil || r.waiting == nil {
		return e
	}
	now := r.store.Get(e.Topic, r.member.session.who())
	if now != nil && now.Newer(e) {
		return nil
	}
	return now
}

// look looks at one topic.
func (r *recall) look() {
	var room [1]*history.Event
	found, ended := r.search.Next(room[:0], 1)
	if len(found) > 0 {
		r.next = found[0]
	}
	r.ended = ended
}

// large reports whether the pool has to encode e.
func (r *recall) large(e *history.Event) bool {
	s := r.member.session
	n, bounds := len(e.Payload.Args)+len(e.Payload.Kwargs), &s.realm.router.bounds
	return n > bounds.largeBytes || n > bounds.directBytes && e.Payload.Format != s.serializer
}

// frame encodes e for the member, by way of scratch, and returns how long the message is. It touches nothing that is
// owned by the loop: the pool may call it.
func (r *recall) frame(scratch *[]byte, e *history.Event) (frame []byte, length int, err error) {
	s, sub := r.member.session, r.member.sub
	d, err := keptDetails(e, sub.match)
	if err != nil {
		return nil, 0, err
	}
	d.Retained = true
	msg, err := codec.AppendEvent((*scratch)[:0], s.serializer, sub.id, e.Publication, &d, &e.Payload,
		codec.MessageBytesMax)
	if err != nil {
		return nil, codec.MessageBytesMax + 1, err
	}
	*scratch = msg
	if length = len(msg); length > s.bytesMax {
		return nil, length, codec.ErrTooLong
	}
	frame, _ = codec.AppendFrame(make([]byte, 0, length+frameRoom), s.variant, msg) // bytesMax is what it carries
	return frame, length, nil
}

// frameRoom is more than a framing adds to a message.
const frameRoom = 16

// deliver queues the next event.
func (r *recall) deliver(x port.Executor, l *perLoop, frame []byte, length int, err error) {
	e, s, sub := r.next, r.member.session, r.member.sub
	r.next = nil
	switch {
	case errors.Is(err, codec.ErrTooLong):
		l.dropTooLong(x, sub, s, 1, length)
		return
	case err != nil:
		l.counters.eventsUntranscodable.Add(1)
		return
	}
	r.left--
	r.octets += e.Bytes()
	s.conn.AppendAsked(x, frame, 1, sub.topic())
	l.counters.events.Add(1)
	l.counters.retainedSent.Add(1)
}

// encode has the pool encode the next event, and goes on after it.
func (r *recall) encode(x port.Executor) {
	s, e := r.member.session, r.next
	var frame []byte
	length, err := 0, errNoForm
	r.waiting.async(x, func() {
		var msg []byte
		frame, length, err = r.frame(&msg, e)
	}, func(x port.Executor) {
		x.Step("retained.get")
		if r.next = r.current(e); r.next == e && r.holds() {
			r.deliver(x, s.realm.router.perLoop[x.Loop()], frame, length, err)
		}
		x.Post(s.home, s.id, r)
	})
}
