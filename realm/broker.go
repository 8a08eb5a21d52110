package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// The broker. What happens to whom, and on which loop:
//
//	SUBSCRIBE    subscriber's loop: find or make the record; under its queue lock SUBSCRIBED, then membership
//	UNSUBSCRIBE  subscriber's loop: membership ends, then UNSUBSCRIBED; the record goes with the last member
//	PUBLISH      publisher's loop: match, draw the id, PUBLISHED, events into the open run (run.go)
//	EVENT        each subscriber's loop, walking its own members (run.go)
//
// Because membership changes and walks of a loop are the same goroutine's, no EVENT precedes SUBSCRIBED or follows UNSUBSCRIBED.

var refuseSubscriptions = &refusal{codec.ErrOptionNotAllowed, "this session holds as many subscriptions as the router allows"}

func (s *session) receiveSubscribe(x port.Executor, l *loop, m *codec.Message) {
	match := m.Options.Match
	if why := s.realm.admit(actSubscribe, m.URI, match); why != nil {
		s.refuse(x, l, codec.Subscribe, m.Request, why)
		return
	}
	// What this session holds cannot vanish from the index.
	x.Step("topics.find")
	if sub := s.realm.topics.find(m.URI, match); sub != nil && s.subscriptions[sub.id] != nil {
		l.out = codec.AppendSubscribed(l.out[:0], s.serializer, m.Request, sub.id)
		s.reply(x, l.out)
		return
	}
	if len(s.subscriptions) >= s.realm.router.cfg.SubscriptionsMax {
		s.refuse(x, l, codec.Subscribe, m.Request, refuseSubscriptions)
		return
	}
	sub := s.realm.enterSubscription(x, m.URI, match)
	sub.census[s.variant].Add(1)
	mb := &member{session: s, sub: sub}
	if s.subscriptions == nil {
		s.subscriptions = make(map[uint64]*member)
	}
	s.subscriptions[sub.id] = mb
	l.counters.subscriptions.Add(1)

	l.out = codec.AppendSubscribed(l.out[:0], s.serializer, m.Request, sub.id)
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	// Reply and visibility are one section (R6): SUBSCRIBED cannot be sent before publishers see the loop in the mask. Where the
	// connection takes no reply any more it is closing, and its disposal ends the membership.
	s.append(x, l.out)
	sub.add(s.home, mb)
}

// enterSubscription returns the record of (uri, match) with one member more, made if need be.
func (rm *realm) enterSubscription(x port.Executor, uri []byte, match codec.Match) *subscription {
	x.Step("topics.find")
	if sub := rm.topics.find(uri, match); sub != nil {
		x.Step("topics.enter")
		if sub.enter() {
			return sub
		}
	}
	x.Step("topics.lock")
	mu := rm.topics.mutex(uri, match)
	mu.Lock()
	defer mu.Unlock()
	if sub := rm.topics.find(uri, match); sub != nil && sub.enter() {
		return sub
	}
	sub := newSubscription(rm.router.ids.subscription(), string(uri), match, len(rm.router.loops))
	rm.topics.put(sub.uri, match, sub)
	return sub
}

// leaveSubscription gives back what enterSubscription took.
func (rm *realm) leaveSubscription(x port.Executor, sub *subscription) {
	x.Step("topics.leave")
	if sub.leaveUnlessLast() {
		return
	}
	x.Step("topics.lock")
	mu := rm.topics.mutex([]byte(sub.uri), sub.match)
	mu.Lock()
	defer mu.Unlock()
	if sub.count.Add(-1) == 0 {
		rm.topics.remove(sub.uri, sub.match)
	}
}

func (s *session) receiveUnsubscribe(x port.Executor, l *loop, m *codec.Message) {
	mb := s.subscriptions[m.ID]
	if mb == nil {
		s.refuse(x, l, codec.Unsubscribe, m.Request, refuseNoSubscription)
		return
	}
	delete(s.subscriptions, m.ID)
	s.endMembership(x, l, mb)
	l.out = codec.AppendUnsubscribed(l.out[:0], s.serializer, m.Request)
	s.reply(x, l.out)
}

var refuseNoSubscription = &refusal{codec.ErrNoSuchSubscription, "this session holds no subscription of that id"}

func (s *session) endMembership(x port.Executor, l *loop, mb *member) {
	sub := mb.sub
	sub.drop(s.home, mb)
	sub.census[s.variant].Add(-1)
	s.realm.leaveSubscription(x, sub)
	l.counters.subscriptions.Add(-1)
}

// leaveSubscriptions ends every membership of a session that leaves.
func (s *session) leaveSubscriptions(x port.Executor, l *loop) {
	subs := s.subscriptions
	s.subscriptions = nil
	for _, id := range sortedKeys(subs) {
		s.endMembership(x, l, subs[id])
	}
}

func (s *session) receivePublish(x port.Executor, l *loop, m *codec.Message) {
	acknowledge := m.Options.Bool(codec.KeyAcknowledge, false)
	if why := s.realm.admit(actPublish, m.URI, codec.Exact); why != nil {
		if acknowledge {
			s.refuse(x, l, codec.Publish, m.Request, why)
		}
		return
	}
	to := audience{exclude: m.Options.Bool(codec.KeyExcludeMe, true), filter: newFilter(&m.Options)}
	if m.Options.Bool(codec.KeyDiscloseMe, false) {
		if s.realm.cfg.ForbidDisclosure {
			if acknowledge {
				s.refuse(x, l, codec.Publish, m.Request, refuseDisclosure)
			}
			return
		}
		to.disclosed = &s.identity
	}
	l.counters.publications.Add(1)
	publication := codec.ID(x.Rand())
	if acknowledge {
		l.out = codec.AppendPublished(l.out[:0], s.serializer, m.Request, publication)
		s.reply(x, l.out)
	}
	x.Step("topics.match")
	l.matches = s.realm.topics.all(l.matches[:0], m.URI)
	if len(l.matches) == 1 {
		s.extend(x, l, l.matches[0], to, publication, m)
		return
	}
	for _, sub := range l.matches {
		s.seal(x, l)
		s.extend(x, l, sub, to, publication, m)
	}
	if len(l.matches) > 0 {
		s.seal(x, l)
	}
}
