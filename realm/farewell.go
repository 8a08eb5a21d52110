package realm

import "banyan/engine/port"

// How a session leaves the router (PROTOCOL 4.1). Its last act in public is one section of its queue: from then on
// nobody appends anything for it, so that the GOODBYE or ABORT that the handler appends next is the last thing the
// peer sees. Its subscriptions, registrations and calls, up to millions of them, are given back in chunks, so that
// nobody has to wait for that.
//
// Until then callers find a callee that is gone, and look for the next; walks over members pass it by.

// A farewell gives back what a session held. Owned by the session's loop.
type farewell struct {
	session              *session
	calls, invocations   calls
	atCall, atInvocation int                   // the slots before these are empty
	done                 func(x port.Executor) // or nil
	timer                port.Timer            // until it goes on, if it has to wait
}

// dispose ends the session. It reports whether everything of it is gone; if not, done (which may be nil) is called
// when it is. Home loop.
func (s *session) dispose(x port.Executor, l *perLoop, done func(x port.Executor)) (gone bool) {
	s.seal(x, l)
	if w := s.waiting; w != nil && w.question != nil {
		w.question.cancel(x)
	}
	s.left, s.waiting = true, nil
	s.gone.Store(true)
	if a := s.altered.Load(); a != nil {
		x.Charge(-a.bytes)
	}
	if r := s.rights; r != nil && r.memo != nil {
		x.Stop(&r.memo.timer)
	}
	if !s.hidden {
		s.realm.sessions[s.home].remove(s)
		s.quit(x)
	}
	if s.streams != nil {
		s.streams.drop(x)
	}
	f := farewell{session: s, done: done}

	x.Step("conn.lock")
	s.conn.Lock()
	s.live = false
	f.calls, s.calls = s.calls, calls{}
	f.invocations, s.invocations = s.invocations, calls{}
	s.conn.Unlock()

	if f.crowded() {
		later := f
		later.pace(x)
		return false
	}
	if n := f.len(); n == 0 || f.giveBack(x, l, x.Grant(min(n, s.realm.router.bounds.farewellAtOnce))) {
		f.end(x, l)
		return true
	}
	later := f
	x.Post(s.home, s.id, &later)
	return false
}

// len is how much is left to do.
func (f *farewell) len() int {
	return f.calls.len() + f.invocations.len() + len(f.session.registrations) + len(f.session.subscriptions)
}

// Run goes on with the farewell.
func (f *farewell) Run(x port.Executor, budget int) (more bool) {
	if f.crowded() {
		f.pace(x)
		return false
	}
	l := f.session.realm.router.perLoop[x.Loop()]
	if !f.giveBack(x, l, budget) {
		return true
	}
	f.end(x, l)
	if f.done != nil {
		f.done(x)
	}
	return false
}

func (f *farewell) end(x port.Executor, l *perLoop) {
	s := f.session
	s.realm.router.directory.release(x, s.id)
	x.Charge(-s.callsPaid * callBytes) // nobody looks at it any more
	if !s.hidden {
		l.counters.sessions.Add(-1)
		s.part(x)
	}
}

// giveBack ends up to n calls, registrations and subscriptions and reports whether there are no more: calls of the
// caller that leaves (PROTOCOL 8.3), then those of the callee (PROTOCOL 8.4), then the rest.
func (f *farewell) giveBack(x port.Executor, l *perLoop, n int) (done bool) {
	s := f.session
	n = max(n, 0)
	l.gaveBack += n
	defer func() { l.gaveBack -= n }()
	n = f.calls.take(&f.atCall, n, func(c *call) {
		c.ended(x)
		c.detach(x, l, true)
		l.counts(x).openCalls--
		c.uncount()
	})
	n = f.invocations.take(&f.atInvocation, n, func(c *call) { c.fail(x, l, refuseCalleeLeft) })
	for n > 0 && s.lastCallee != nil {
		c := s.lastCallee
		s.endRegistration(x, l, c)
		n -= 1 + componentWork(c.reg.uri, c.reg.match)
	}
	for n > 0 && s.lastMember != nil {
		mb := s.lastMember
		s.endMembership(x, l, mb)
		n -= 1 + componentWork(mb.sub.uri, mb.sub.match)
	}
	return f.len() == 0
}
