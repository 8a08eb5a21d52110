package realm

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// A new configuration is applied to the sessions that are already joined. The settings are in force before a loop
// reviews its sessions, so a session that joins meanwhile has joined under them. Each loop has one job, which goes on
// in chunks:
//
//	closed realms    every session is told GOODBYE
//	all others       a session that could not join any more is told GOODBYE; of the others, subscriptions and
//	                 registrations that the permissions of their role deny now are taken away
//
// Subscriptions and registrations that an authorizer decided about stay: it was asked when they were requested. The
// jobs of one loop are in one lane, so a second change begins when the first is done.

// A Report says what Apply did.
type Report struct {
	Created, Closed, Changed []string // URIs of realms, sorted

	SessionsClosed    int // told GOODBYE because their realm is closed
	SessionsDismissed int // told GOODBYE because they could not log in any more
	SessionsRoleGone  int // told GOODBYE because their role is not there any more
	Subscriptions     int // taken away because the role may not subscribe to that any more
	Registrations     int // taken away because the role may not register that any more
}

// add adds what one loop did.
func (r *Report) add(o *Report) {
	r.SessionsClosed += o.SessionsClosed
	r.SessionsDismissed += o.SessionsDismissed
	r.SessionsRoleGone += o.SessionsRoleGone
	r.Subscriptions += o.Subscriptions
	r.Registrations += o.Registrations
}

// patternCost is what the decision about a pattern costs of the budget of a turn: it may look at all permissions of a
// role, 1 ms in all.
const patternCost = 128

// A review is one loop's part. Owned by loop.
type review struct {
	report Report
	closed []*realm // to be emptied
	realms []*realm // to be gone through
	cursor *cursor  // in the list of realms[0]; nil: it has not begun

	// The session whose subscriptions and registrations are gone through, or nil. Those that end meanwhile are passed
	// by: see pass.
	session *session
	member  *member
	callee  *callee
	after   []func(x port.Executor) // to be called when they are all gone through
}

// Review goes through all sessions as Apply does, with the configuration that is in force: peers may have lost the
// trust of their listener. done is called on a loop, or at once if no loops are attached. The error is ErrStopped.
func (r *Router) Review(done func(Report)) error {
	r.mu.Lock()
	all := slices.SortedFunc(maps.Values(r.named), byURI)
	r.mu.Unlock()
	return r.review(Report{Changed: uris(all)}, nil, all, done)
}

func byURI(a, b *realm) int { return strings.Compare(a.uri, b.uri) }

// review goes through all sessions and calls done with the report, on a loop.
func (r *Router) review(report Report, closed, realms []*realm, done func(Report)) error {
	if r.loops.Load() == nil {
		done(report) // nobody has joined yet
		return nil
	}
	var mu sync.Mutex
	parts := make([]review, len(r.perLoop))
	for i := range parts {
		parts[i].closed, parts[i].realms = closed, realms
	}
	return r.onLoops(func(x port.Executor, budget int) (more bool) {
		v := &parts[x.Loop()]
		if v.run(x, r.perLoop[x.Loop()], max(x.Grant(min(budget, listChunk)), 1)) {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		report.add(&v.report)
		return false
	}, func() { done(report) })
}

// run goes on and reports whether there is more. n is how much it may do: a session is 1, and 1 more for everything
// of it that ends.
func (v *review) run(x port.Executor, l *perLoop, n int) (more bool) {
	loop := x.Loop()
	for n > 0 {
		switch {
		case len(v.closed) > 0:
			rm := v.closed[0]
			if s := rm.sessions[loop].head; s != nil {
				s.quiet = true
				n -= s.handler.goodbye(x, codec.CloseCloseRealm, "the realm is closed", port.CloseNormal)
				v.report.SessionsClosed++
			} else {
				rm.closeHidden(x)
				v.closed = v.closed[1:]
				n--
			}
		case v.session != nil:
			n -= v.holding(x, l)
		case len(v.realms) == 0:
			return false
		default:
			n--
			list := &v.realms[0].sessions[loop]
			if v.cursor == nil {
				v.cursor = list.begin()
			}
			s := v.cursor.next
			if s == nil {
				list.end(v.cursor)
				v.cursor, v.realms = nil, v.realms[1:]
				continue
			}
			v.cursor.next = s.next
			n -= v.begin(x, s)
		}
	}
	return true
}

// begin decides whether s may stay, and begins with what it holds. It returns what a goodbye cost.
func (v *review) begin(x port.Executor, s *session) (cost int) {
	set := s.realm.settings.Load()
	switch {
	case !s.admitted(set):
		v.report.SessionsDismissed++
		return s.handler.goodbye(x, codec.CloseKilled,
			"the configuration has changed: this session could not join any more", port.CloseNormal)
	case set.Policy == nil || s.trusted:
	case set.Policy.Role(s.who().AuthRole) == nil:
		v.report.SessionsRoleGone++
		return s.handler.goodbye(x, codec.CloseKilled,
			"the configuration has changed: the role of this session is gone", port.CloseNormal)
	case s.lastMember != nil || s.lastCallee != nil:
		if other := s.review; other != nil { // of a role that was modified: this one does its work
			v.after = other.after
			other.session, other.member, other.callee, other.after = nil, nil, nil, nil
		}
		v.session, v.member, v.callee = s, s.lastMember, s.lastCallee
		s.review = v
	}
	s.conn.SetBacklog(set.backlogOf(s.who().AuthRole))
	if !s.local && set.authIDRule().needed() {
		s.realm.authIDs.Load().adopt(x, s)
	}
	return 0
}

// admitted reports whether s could still join.
func (s *session) admitted(set *settings) bool {
	if s.local {
		return true
	}
	if unwelcome(s.conn.Peer()) {
		return false
	}
	p := &auth.Principal{Method: anonymousMethod, Role: anonymousRole, Provider: staticProvider}
	gate := s.realm
	if s.admission != nil {
		p, gate = s.admission.principal, s.admission.gate
	}
	if gate != s.realm {
		if gate = s.realm.router.present(gate); gate == nil {
			return false
		}
		set = gate.settings.Load()
	}
	if set.Auth != nil {
		t := set.transport(s.conn.Peer())
		return set.Auth.Admits(p) && set.Auth.AdmitsOver(p, &t)
	}
	return p.Method == anonymousMethod && p.Role == anonymousRole && set.refuseAnonymous(s.conn.Peer()) == nil
}

// holding decides about one subscription or registration of the session. It returns what that cost.
func (v *review) holding(x port.Executor, l *perLoop) (cost int) {
	s := v.session
	set := s.realm.settings.Load()
	switch {
	case s.left || set.Policy == nil || v.member == nil && v.callee == nil:
		after := v.after
		v.session, v.member, v.callee, v.after = nil, nil, nil, nil
		s.review = nil
		for _, f := range after {
			f(x)
		}
		return 1
	case v.member != nil:
		mb := v.member
		v.member = mb.older
		if set.denies(s, Subscribe, mb.sub.uri, mb.sub.match) {
			v.report.Subscriptions++
			s.revokeSubscription(x, l, mb, codec.ErrNotAuthorized)
		}
		return costOf(mb.sub.match)
	default:
		c := v.callee
		v.callee = c.older
		if set.denies(s, Register, c.reg.uri, c.reg.match) {
			v.report.Registrations++
			s.revokeRegistration(x, l, c, codec.ErrNotAuthorized)
		}
		return costOf(c.reg.match)
	}
}

func costOf(match codec.Match) int {
	if match == codec.Exact {
		return 1
	}
	return patternCost
}

// denies reports whether the permissions of the role of s say no.
func (set *settings) denies(s *session, a Action, uri string, match codec.Match) bool {
	d := set.Policy.Decide(s.who().AuthRole, a, []byte(uri), match)
	return d.Definitive && !d.Allow
}

// pass takes note that a subscription or registration of the session ends: the review goes on behind it.
func (v *review) pass(mb *member, c *callee) {
	if v == nil {
		return
	}
	if mb != nil && v.member == mb {
		v.member = mb.older
	}
	if c != nil && v.callee == c {
		v.callee = c.older
	}
}

// revokeSubscription takes a subscription away, and tells a client that announced subscription_revocation (PROTOCOL
// 7.7). No event follows.
//
// Autobahn for Python announces it, and takes an UNSUBSCRIBED that it has not asked for as a breach of the protocol:
// it ends the session. It is told nothing. No other client announces x_acknowledged_event_delivery as a publisher.
func (s *session) revokeSubscription(x port.Executor, l *perLoop, mb *member, reason string) {
	s.endMembership(x, l, mb)
	if s.roles&(codec.SubscriberRevocation|codec.PublisherXAcknowledged) != codec.SubscriberRevocation {
		return
	}
	l.out = s.appendRevoked(l.out[:0], codec.Unsubscribed, "subscription", mb.sub.id, reason)
	s.reply(x, l.out)
}

// revokeRegistration takes a registration away, and tells a client that announced registration_revocation (PROTOCOL
// 8.14). Invocations that are under way go on.
func (s *session) revokeRegistration(x port.Executor, l *perLoop, c *callee, reason string) {
	s.endRegistration(x, l, c)
	l.out = l.out[:0]
	if s.roles&codec.CalleeRevocation != 0 {
		l.out = s.appendRevoked(l.out, codec.Unregistered, "registration", c.reg.id, reason)
	}
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	c.live = false
	if len(l.out) > 0 {
		s.append(x, l.out)
	}
}

// appendRevoked encodes UNSUBSCRIBED or UNREGISTERED of the router's own accord. An empty reason is left out.
func (s *session) appendRevoked(dst []byte, t codec.Type, key string, id uint64, reason string) []byte {
	details := map[string]any{key: id}
	if reason != "" {
		details["reason"] = reason
	}
	dict, _ := codec.AppendValue(nil, s.serializer, details) // cannot fail: a number and text
	dst, _ = codec.Append(dst, s.serializer, &codec.Message{Type: t, Format: s.serializer, Dict: dict})
	return dst
}

// uris returns the URIs of realms, sorted.
func uris(realms []*realm) (all []string) {
	for _, rm := range realms {
		all = append(all, rm.uri)
	}
	slices.Sort(all)
	return all
}
