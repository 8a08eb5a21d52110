package realm

import (
	"strings"

	"banyan/codec"
	"banyan/engine/port"
)

// The broker: which loop does what for each message:
//
//	SUBSCRIBE    subscriber's loop: find or make the record; under its queue lock SUBSCRIBED, then membership
//	UNSUBSCRIBE  subscriber's loop: membership ends, then UNSUBSCRIBED; the record goes with the last member
//	PUBLISH      publisher's loop: match, draw the id, PUBLISHED, events into the open run (run.go)
//	EVENT        each subscriber's loop, walking its own members (run.go)
//
// One goroutine changes the memberships of a loop and walks them, so no EVENT precedes SUBSCRIBED or follows
// UNSUBSCRIBED.

var (
	refuseFilter = &refusal{codec.ErrOptionNotAllowed, "the lists that include and exclude receivers have " +
		"more entries than the router allows"}
	refuseSubscriptions = &refusal{codec.ErrOptionNotAllowed, "this session holds as many subscriptions as the " +
		"router allows"}
	refusePatterns = &refusal{codec.ErrOptionNotAllowed, "this session holds as many prefix and wildcard " +
		"subscriptions as the router allows"}
)

func (s *session) receiveSubscribe(x port.Executor, l *perLoop, m *codec.Message) {
	match := m.Options.Match
	why := l.set.admit(Subscribe, m.URI, match)
	if why == nil {
		why, _ = s.authorize(x, l, Subscribe, m.URI, match, nil, 0)
	}
	if why == refuseUndecided {
		if why = s.askFirst(x, l, m, Subscribe, match, s.receiveSubscribe); why == nil {
			return
		}
	}
	if why != nil {
		s.refuse(x, l, codec.Subscribe, m.Request, why)
		return
	}
	nkey, why := l.set.shardKey(&m.Options, codec.KeyNkey)
	if why != nil {
		l.counters.shardsRefused.Add(1)
		s.refuse(x, l, codec.Subscribe, m.Request, why)
		return
	}
	// A record that this session is a member of cannot leave the index.
	x.Step("topics.find")
	if sub := s.realm.topics.Find(m.URI, match); sub != nil && s.subscriptions[sub.id] != nil {
		if l.set.Sharding && s.subscriptions[sub.id].nkey != nkey {
			s.refuse(x, l, codec.Subscribe, m.Request, refuseOtherShard)
			return
		}
		l.out = codec.AppendSubscribed(l.out[:0], s.serializer, m.Request, sub.id)
		s.reply(x, l.out)
		if m.Options.Bool(codec.KeyGetRetained, false) {
			s.sendRetained(x, l, s.subscriptions[sub.id])
		}
		return
	}
	if len(s.subscriptions) >= l.set.limits.SubscriptionsMax {
		s.refuse(x, l, codec.Subscribe, m.Request, refuseSubscriptions)
		return
	}
	if match != codec.Exact && s.patterns >= l.set.limits.PatternsMax {
		s.refuse(x, l, codec.Subscribe, m.Request, refusePatterns)
		return
	}
	if why := s.takeSubscription(l); why != nil {
		s.refuse(x, l, codec.Subscribe, m.Request, why)
		return
	}
	if !s.mayHold(x, m.URI, match, shardMemory(nkey)) {
		s.dropSubscription()
		l.counters.overBudget.Add(1)
		s.refuse(x, l, codec.Subscribe, m.Request, refuseShare)
		return
	}
	charged := memberBytes + shardMemory(nkey)
	if !x.Charge(charged) {
		s.dropSubscription()
		s.refuseMemory(x, l, codec.Subscribe, m.Request)
		return
	}
	sub, made := s.realm.enterSubscription(x, s, m.URI, match)
	if sub == nil {
		x.Charge(-charged)
		s.dropSubscription()
		s.refuseMemory(x, l, codec.Subscribe, m.Request)
		return
	}
	x.Step("shards.reserve")
	if nkey != 0 && !sub.reserveShard() {
		x.Charge(-charged)
		s.dropSubscription()
		s.realm.meta.ready(x, made)
		s.realm.leaveSubscription(x, s, sub)
		l.counters.shardsRefused.Add(1)
		s.refuse(x, l, codec.Subscribe, m.Request, refuseShards)
		return
	}
	mb := &member{session: s, sub: sub, nkey: nkey}
	x.Work(componentWork(mb.sub.uri, match))
	s.hold(l, mb)

	l.out = codec.AppendSubscribed(l.out[:0], s.serializer, m.Request, mb.sub.id)
	x.Step("conn.lock")
	s.conn.Lock()
	// Reply and visibility are one section (R6): SUBSCRIBED cannot be sent before publishers see the loop in the
	// mask. Where the connection accepts no reply it is closing, and its disposal ends the membership.
	s.append(x, l.out)
	mb.sub.add(s.home, mb)
	if nkey != 0 {
		mb.sub.joinShard(mb)
	}
	s.conn.Unlock()
	s.realm.meta.ready(x, made)
	s.tellMember(x, "wamp.subscription.on_subscribe", sub)
	if m.Options.Bool(codec.KeyGetRetained, false) {
		s.sendRetained(x, l, mb)
	}
}

// componentWork is what it costs to add a pattern to an index, or to remove it, beyond what any request costs.
func componentWork(uri string, match codec.Match) int {
	if match == codec.Exact {
		return 0
	}
	return strings.Count(uri, ".") >> componentShift
}

// hold adds a membership to the session, before publishers see it.
func (s *session) hold(l *perLoop, mb *member) {
	s.share += s.shareOf(mb.sub.uri, mb.sub.match) + int64(shardMemory(mb.nkey))
	mb.sub.census[s.variant].Add(1)
	if s.subscriptions == nil {
		s.subscriptions = make(map[uint64]*member)
	}
	s.subscriptions[mb.sub.id] = mb
	if mb.older = s.lastMember; mb.older != nil {
		mb.older.newer = mb
	}
	s.lastMember = mb
	if mb.sub.match != codec.Exact {
		s.patterns++
	}
	l.counters.subscriptions.Add(1)
}

// endMembership removes a membership from the session, its subscription and the counters.
func (s *session) endMembership(x port.Executor, l *perLoop, mb *member) {
	s.review.pass(mb, nil)
	sub := mb.sub
	s.share -= s.shareOf(sub.uri, sub.match) + int64(shardMemory(mb.nkey))
	delete(s.subscriptions, sub.id)
	if mb.older != nil {
		mb.older.newer = mb.newer
	}
	if mb.newer != nil {
		mb.newer.older = mb.older
	} else {
		s.lastMember = mb.older
	}
	if sub.match != codec.Exact {
		s.patterns--
	}
	if mb.nkey != 0 {
		sub.leaveShard(mb)
	}
	sub.drop(s.home, mb)
	sub.census[s.variant].Add(-1)
	s.tellMember(x, "wamp.subscription.on_unsubscribe", sub)
	s.realm.leaveSubscription(x, s, sub)
	s.dropSubscription()
	x.Charge(-memberBytes - shardMemory(mb.nkey))
	l.counters.subscriptions.Add(-1)
}

// enterSubscription returns the record of (uri, match) with one more member, s. If there is none it makes it. If s is
// its first member it reserves on_create, which is nil otherwise. It returns nil if there is no memory for the
// record.
func (rm *realm) enterSubscription(x port.Executor, s *session, uri []byte,
	match codec.Match,
) (sub *subscription, made *metaEvent) {
	x.Step("topics.find")
	if sub := rm.topics.Find(uri, match); sub != nil {
		x.Step("topics.enter")
		if sub.enter() {
			return sub, nil
		}
	}
	x.Step("topics.lock")
	mu := rm.topics.Mutex(uri, match)
	mu.Lock()
	defer mu.Unlock()
	sub = rm.topics.Find(uri, match)
	if sub != nil && sub.enter() {
		return sub, nil
	}
	held := sub != nil // without members
	if !held {
		r, name := rm.router, string(uri)
		charged := rm.recordMemory(name, match)
		if !x.Charge(charged) {
			return nil, nil
		}
		sub = newSubscription(r.ids.subscription(), name, match, r.clock().UnixMilli(), len(r.perLoop))
		sub.charged = charged
	}
	if hearsMeta(sub.uri, match) {
		rm.meta.listeners.Add(1)
	}
	if rm.meta.wanted() && !sub.hidden() {
		made = rm.meta.reserve(x, "wamp.subscription.on_create", s.id, sub.metaDetails())
	}
	// From here on others can enter it, whose on_subscribe comes behind.
	if held {
		sub.count.Add(1)
	} else {
		rm.putSubscription(sub)
	}
	return sub, made
}

// putSubscription makes a record known. The index's mutex is held.
func (rm *realm) putSubscription(sub *subscription) {
	rm.topics.Put(sub.uri, sub.match, sub)
	rm.subscribed.add(sub.id, sub.match, sub)
}

// removeSubscription makes it unknown. The index's mutex is held.
func (rm *realm) removeSubscription(sub *subscription) {
	rm.topics.Remove(sub.uri, sub.match)
	rm.subscribed.remove(sub.id, sub.match)
}

// leaveSubscription undoes enterSubscription.
func (rm *realm) leaveSubscription(x port.Executor, s *session, sub *subscription) {
	x.Step("topics.leave")
	if sub.leaveUnlessLast() {
		return
	}
	x.Step("topics.lock")
	mu := rm.topics.Mutex([]byte(sub.uri), sub.match)
	mu.Lock()
	var gone *metaEvent
	if left := sub.count.Add(-1); left&^subscriptionHeld == 0 {
		if left == 0 {
			rm.removeSubscription(sub)
		}
		x.Charge(-sub.charged)
		sub.charged = 0
		if rm.meta.wanted() && !s.quiet && !sub.hidden() {
			gone = rm.meta.reserve(x, "wamp.subscription.on_delete", s.id, sub.id)
		}
		if hearsMeta(sub.uri, sub.match) {
			rm.meta.listeners.Add(-1)
		}
	}
	mu.Unlock()
	rm.meta.ready(x, gone)
}

func (s *session) receiveUnsubscribe(x port.Executor, l *perLoop, m *codec.Message) {
	mb := s.subscriptions[m.ID]
	if mb == nil {
		s.refuse(x, l, codec.Unsubscribe, m.Request, refuseNoSubscription)
		return
	}
	s.endMembership(x, l, mb)
	x.Work(componentWork(mb.sub.uri, mb.sub.match))
	l.out = codec.AppendUnsubscribed(l.out[:0], s.serializer, m.Request)
	s.reply(x, l.out)
}

var refuseNoSubscription = &refusal{codec.ErrNoSuchSubscription, "this session holds no subscription of that id"}

// receivePublish passes an event on. If that needs more than one turn, a publishing continues it.
func (s *session) receivePublish(x port.Executor, l *perLoop, m *codec.Message) {
	acknowledge := m.Options.Bool(codec.KeyAcknowledge, false)
	var why *refusal
	if !s.hidden { // a voice may publish to what is reserved
		why = l.set.admit(Publish, m.URI, codec.Exact)
	}
	var exact *subscription
	to := audience{exclude: m.Options.Bool(codec.KeyExcludeMe, true)}
	var granted terms
	if why == nil {
		x.Step("topics.match")
		exact = s.realm.topics.Find(m.URI, codec.Exact)
		var rights *permit
		var record uint64
		if exact != nil {
			rights, record = &exact.rights, exact.id
		}
		if why, granted = s.authorize(x, l, Publish, m.URI, codec.Exact, rights, record); why == refuseUndecided {
			if why = s.askFirst(x, l, m, Publish, codec.Exact, s.receivePublish); why == nil {
				return
			}
		}
	}
	switch {
	case why != nil:
	case s.hidden: // whom a testament discloses was decided when it was handed to the voice
		to.disclosed = s.face
	case granted.disclosed:
		to.disclosed = s.who()
	case m.Options.Bool(codec.KeyDiscloseMe, false):
		if to.disclosed = s.who(); l.set.ForbidDisclosure {
			why = refuseDisclosure
		}
	}
	if why == nil && m.Options.ListEntries() > l.set.limits.FilterEntriesMax {
		why = refuseFilter
	}
	var rkey uint64
	if why == nil {
		if rkey, why = l.set.shardKey(&m.Options, codec.KeyRkey); why != nil {
			l.counters.shardsRefused.Add(1)
		}
	}
	if why != nil {
		if acknowledge {
			s.refuse(x, l, codec.Publish, m.Request, why)
		}
		return
	}
	if m.Options.HasUnknownList() {
		s.tellUnknownList(x, l, &m.Options)
	}
	to.filter, to.trust = newFilter(&m.Options, rkey), granted.trust
	var publication uint64
	if s.realm.recording.Load() == nil && !m.Options.Bool(codec.KeyRetain, false) {
		publication = s.realm.router.ids.publication(x)
	} else {
		var ended, later bool
		if publication, ended, later = s.keep(x, l, m, to, acknowledge); ended {
			return
		}
		acknowledge = acknowledge && !later
		// Whoever subscribed before the event was retained has to be found (retained.go).
		x.Step("topics.match")
		exact = s.realm.topics.Find(m.URI, codec.Exact)
	}
	s.accept(x, l, m, publication, acknowledge)
	l.matches = l.matches[:0]
	if exact != nil {
		l.matches = append(l.matches, exact)
	}
	bounds := &s.realm.router.bounds
	visits, whole := 0, true
	l.matches, visits, whole = s.realm.topics.Patterns(l.matches, m.URI, bounds.searchAtOnce)
	if visits >= 1<<visitShift {
		x.Work(visits >> visitShift)
	}
	switch n := len(l.matches); {
	case n == 0 && whole:
	case s.waiting != nil && s.waiting.large || !whole || n > bounds.matchesAtOnce || !s.formEvent(x, l, m):
		s.publishLater(x, l, m, to, publication)
	case n == 1:
		s.extend(x, l, l.matches[0], to, publication, m)
	default:
		for _, sub := range l.matches {
			s.seal(x, l)
			s.extend(x, l, sub, to, publication, m)
		}
		s.seal(x, l)
	}
	if cap(l.matches) > 4*bounds.matchesAtOnce {
		l.matches = nil
	} else {
		clear(l.matches) // a subscription that ends is not kept alive
	}
}

// accept counts a publication that goes to its subscribers, and acknowledges it.
func (s *session) accept(x port.Executor, l *perLoop, m *codec.Message, publication uint64, acknowledge bool) {
	l.counters.publications.Add(1)
	if acknowledge {
		l.out = codec.AppendPublished(l.out[:0], s.serializer, m.Request, publication)
		s.reply(x, l.out)
	}
}
