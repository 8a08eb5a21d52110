package realm

import (
	"slices"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// The subscription meta API (PROTOCOL 9.2). Subscriptions to topics in the namespace wamp are left out (9.4).

// hidden reports whether the meta API leaves a subscription out. So it does with the prefix wamp, which covers other
// topics too: who listens to all meta events subscribes to it, as wampy takes no prefix with a dot at the end.
func (sub *subscription) hidden() bool { return codec.ReservedURI([]byte(sub.uri)) }

// catalogs makes the catalogs of the realm complete, in the pool, and then calls f on the caller's loop.
func (m *metaCall) catalogs(x port.Executor, l *perLoop, f func(x port.Executor, l *perLoop)) {
	rm := m.session.realm
	if rm.subscribed.ready() && rm.registered.ready() {
		f(x, l)
		return
	}
	m.wait(x).async(x, func() {
		rm.subscribed.build(rm.topics, func(sub *subscription) uint64 { return sub.id })
		rm.registered.build(rm.procedures, func(reg *registration) uint64 { return reg.id })
	}, func(x port.Executor) {
		l := rm.router.perLoop[x.Loop()]
		if !rm.subscribed.ready() || !rm.registered.ready() { // it panicked, which the pool has logged
			m.fail(x, l, refuseBusy)
			return
		}
		f(x, l)
	})
}

// lists answers with the ids of all records by match policy. list calls f for each of them.
func (m *metaCall) lists(x port.Executor, l *perLoop, list func(f func(id uint64, match codec.Match))) {
	if len(m.args) != 0 {
		m.fail(x, l, refuseArguments)
		return
	}
	m.catalogs(x, l, func(x port.Executor, _ *perLoop) {
		var b []byte
		err := errNoForm
		m.wait(x).async(x, func() {
			var ids [len(matchNames)][]uint64
			list(func(id uint64, match codec.Match) { ids[match] = append(ids[match], id) })
			d := map[string]any{}
			for match, name := range matchNames {
				slices.Sort(ids[match])
				d[name] = anys(ids[match])
			}
			b, err = encodeArgs(m.session.serializer, []any{d})
		}, func(x port.Executor) { m.finish(x, m.session.realm.router.perLoop[x.Loop()], b, err) })
	})
}

func anys(ids []uint64) []any {
	all := make([]any, len(ids))
	for i, id := range ids {
		all[i] = id
	}
	return all
}

func (m *metaCall) subscriptionList(x port.Executor, l *perLoop) {
	m.lists(x, l, func(f func(id uint64, match codec.Match)) {
		m.session.realm.subscribed.list(func(id uint64, match codec.Match, sub *subscription) {
			if !sub.hidden() {
				f(id, match)
			}
		})
	})
}

func (m *metaCall) subscriptionLookup(x port.Executor, l *perLoop) {
	uri, match, ok := m.pattern()
	if !ok {
		m.fail(x, l, refuseArguments)
		return
	}
	if sub := m.session.realm.topics.Find(uri, match); sub != nil && !sub.hidden() {
		m.answer(x, l, sub.id)
		return
	}
	m.answer(x, l, nil)
}

func (m *metaCall) subscriptionMatch(x port.Executor, l *perLoop) {
	topic, ok := m.text(0)
	if !ok || len(m.args) != 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	uri, ix := []byte(topic), m.session.realm.topics
	var found []*subscription
	search := ix.Search(uri)
	m.searching(x, l, func() (ended bool) {
		found, ended = search.All(found, metaSearchSteps)
		return ended
	}, func(x port.Executor, l *perLoop) {
		var ids []uint64
		for _, sub := range found {
			if !sub.hidden() {
				ids = append(ids, sub.id)
			}
		}
		if ids == nil {
			m.answer(x, l, nil)
			return
		}
		slices.Sort(ids)
		m.answerIDs(x, l, anys(ids))
	})
}

// searching calls step until it says that it has ended, some turns long if need be, and then done.
func (m *metaCall) searching(x port.Executor, l *perLoop, step func() (ended bool),
	done func(x port.Executor, l *perLoop),
) {
	if step() {
		done(x, l)
		return
	}
	m.wait(x)
	x.Post(x.Loop(), m.session.id, metaWalk(func(x port.Executor, _ int) (more bool) {
		if !step() {
			return true
		}
		done(x, m.session.realm.router.perLoop[x.Loop()])
		return false
	}))
}

// subscription gives the subscription with the id in argument 0 to f. It answers with an error if there is none, or
// if there are not as many arguments.
func (m *metaCall) subscription(x port.Executor, l *perLoop, arguments int,
	f func(x port.Executor, l *perLoop, sub *subscription),
) {
	id, ok := m.number(0)
	if _, all := m.number(arguments - 1); !ok || !all || len(m.args) != arguments {
		m.fail(x, l, refuseArguments)
		return
	}
	m.catalogs(x, l, func(x port.Executor, l *perLoop) {
		sub := m.session.realm.subscribed.find(id)
		if sub == nil || sub.hidden() {
			m.fail(x, l, refuseNoSuchSub)
			return
		}
		f(x, l, sub)
	})
}

func (m *metaCall) subscriptionGet(x port.Executor, l *perLoop) {
	m.subscription(x, l, 1, func(x port.Executor, l *perLoop, sub *subscription) {
		m.answer(x, l, sub.metaDetails())
	})
}

// metaDetails are what the meta API tells about a subscription. Any goroutine.
func (sub *subscription) metaDetails() map[string]any {
	return map[string]any{
		"id": sub.id, "created": metaTime(sub.created), "uri": sub.uri, "match": matchNames[sub.match],
	}
}

// metaTime writes a time as the meta API does.
func metaTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// tellMeta publishes a meta event about a subscription or registration. Any loop.
func (s *session) tellMeta(x port.Executor, topic string, id uint64) {
	if ms := &s.realm.meta; ms.wanted() && !s.quiet {
		ms.tell(x, topic, s.id, id)
	}
}

// tellMember is tellMeta about a subscription, unless it is hidden.
func (s *session) tellMember(x port.Executor, topic string, sub *subscription) {
	if s.realm.meta.wanted() && !sub.hidden() {
		s.tellMeta(x, topic, sub.id)
	}
}

func (m *metaCall) subscriptionListSubscribers(x port.Executor, l *perLoop) {
	m.subscription(x, l, 1, func(x port.Executor, _ *perLoop, sub *subscription) {
		ids := m.newList(x)
		walks := make([]*walk, x.Loops()) // each owned by its loop
		m.everywhere(x, func(x port.Executor, budget int) (more bool) {
			loop := x.Loop()
			list := sub.members[loop]
			if list == nil {
				return false
			}
			w := walks[loop]
			if w == nil {
				w = new(walk)
				walks[loop] = w
				list.begin(w)
			}
			from := w.next
			w.next = min(w.end, from+max(x.Grant(min(budget, listChunk)), 1))
			for _, seat := range list.seats[from:w.next] {
				if seat.session != nil && !seat.session.left {
					ids.add(x, seat.session.id)
				}
			}
			if w.next < w.end {
				return true
			}
			list.finish(w)
			return false
		}, ids.answer)
	})
}

func (m *metaCall) subscriptionCountSubscribers(x port.Executor, l *perLoop) {
	m.subscription(x, l, 1, func(x port.Executor, l *perLoop, sub *subscription) {
		m.answer(x, l, sub.size())
	})
}

// evict has f take something away from the session with the id in argument 1, on its loop. f returns false if the
// session does not have it. The reason is empty if the caller gives none.
func (m *metaCall) evict(x port.Executor, l *perLoop, missing *refusal,
	f func(x port.Executor, l *perLoop, s *session, reason string) bool,
) {
	reason, ok := m.keyword("reason")
	switch {
	case !ok:
		m.fail(x, l, refuseArguments)
		return
	case m.kwargs["reason"] == nil:
	case len(reason) > metaReasonMax || !codec.ValidURI([]byte(reason), codec.Exact, false):
		m.fail(x, l, refuseReason)
		return
	}
	s := m.target(1)
	if s == nil {
		m.fail(x, l, refuseNoSession)
		return
	}
	m.wait(x)
	x.Post(s.home, m.session.id, metaJob(func(x port.Executor) {
		why := refuseNoSession
		if !s.left {
			if why = missing; f(x, s.realm.router.perLoop[x.Loop()], s, reason) {
				why = nil
			}
		}
		m.settle(x, why)
	}))
}

func (m *metaCall) subscriptionRemoveSubscriber(x port.Executor, l *perLoop) {
	m.subscription(x, l, 2, func(x port.Executor, l *perLoop, sub *subscription) {
		m.evict(x, l, refuseNoSession, func(x port.Executor, l *perLoop, s *session, reason string) bool {
			mb := s.subscriptions[sub.id]
			if mb != nil {
				s.revokeSubscription(x, l, mb, reason)
			}
			return mb != nil
		})
	})
}
