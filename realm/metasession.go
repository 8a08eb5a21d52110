package realm

import (
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// The session meta API (PROTOCOL 9.1). Sessions of the router itself are neither listed nor killed.

// roles reads the list of authroles in argument 0; nil for every role.
func (m *metaCall) roles() (roles map[string]bool, ok bool) {
	if len(m.args) == 0 || m.args[0] == nil {
		return nil, len(m.args) <= 1
	}
	list, ok := m.args[0].([]any)
	if !ok || len(m.args) > 1 || len(list) > metaRolesMax {
		return nil, false
	}
	roles = map[string]bool{}
	for _, v := range list {
		role, isText := v.(string)
		if !isText {
			return nil, false
		}
		roles[role] = true
	}
	return roles, true
}

// eachSession calls f for every session of the realm, on its loop, and then done. f returns what it has cost, in
// sessions.
func (m *metaCall) eachSession(x port.Executor, f func(x port.Executor, s *session) (cost int),
	done func(x port.Executor, l *perLoop),
) {
	rm := m.session.realm
	cursors := make([]*cursor, x.Loops()) // each owned by its loop
	m.everywhere(x, func(x port.Executor, budget int) (more bool) {
		loop := x.Loop()
		list := &rm.sessions[loop]
		c := cursors[loop]
		if c == nil {
			c = list.begin()
			cursors[loop] = c
		}
		for n := max(x.Grant(min(budget, listChunk)), 1); n > 0 && c.next != nil; {
			s := c.next
			c.next = s.next
			n -= f(x, s)
		}
		if c.next != nil {
			return true
		}
		list.end(c)
		return false
	}, done)
}

// sessionsOf calls f for every session with one of the roles, on its loop, and then done.
func (m *metaCall) sessionsOf(x port.Executor, l *perLoop, f func(x port.Executor, s *session),
	done func(x port.Executor, l *perLoop),
) {
	roles, ok := m.roles()
	if !ok {
		m.fail(x, l, refuseArguments)
		return
	}
	m.eachSession(x, func(x port.Executor, s *session) int {
		if roles == nil || roles[s.who().AuthRole] {
			f(x, s)
		}
		return 1
	}, done)
}

func (m *metaCall) sessionCount(x port.Executor, l *perLoop) {
	var n atomic.Int64
	m.sessionsOf(x, l, func(port.Executor, *session) { n.Add(1) },
		func(x port.Executor, l *perLoop) { m.answer(x, l, n.Load()) })
}

func (m *metaCall) sessionList(x port.Executor, l *perLoop) {
	list := m.newList(x)
	m.sessionsOf(x, l, func(x port.Executor, s *session) { list.add(x, s.id) }, list.answer)
}

// answerIDs answers with one list of ids, in no order.
func (m *metaCall) answerIDs(x port.Executor, l *perLoop, ids []any) {
	if ids == nil {
		ids = []any{}
	}
	if len(ids) > metaAtOnce {
		m.answerLong(x, ids)
	} else {
		m.answer(x, l, ids)
	}
}

// target returns the session of the realm with the id in argument i, nil if there is none.
func (m *metaCall) target(i int) *session {
	id, ok := m.number(i)
	if !ok {
		return nil
	}
	s := m.session.realm.router.directory.find(id)
	if s == nil || s.realm != m.session.realm {
		return nil
	}
	return s
}

func (m *metaCall) sessionGet(x port.Executor, l *perLoop) {
	if _, ok := m.number(0); !ok || len(m.args) > 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	s := m.target(0)
	if s == nil {
		m.fail(x, l, refuseNoSession)
		return
	}
	m.answer(x, l, s.metaDetails())
}

// metaDetails are what the meta API tells about a session. Any goroutine.
func (s *session) metaDetails() map[string]any {
	method, provider := s.authMethod()
	details := map[string]any{
		"session": s.id, "authid": s.who().AuthID, "authrole": s.who().AuthRole, "authmethod": method,
		"authprovider": provider, "transport": map[string]any{"type": s.conn.Peer().Transport},
	}
	s.altered.Load().apply(details)
	return details
}

// authMethod is how s has logged in. Any goroutine.
func (s *session) authMethod() (method, provider string) {
	switch {
	case s.local:
		return localMethod, localMethod
	case s.admission != nil:
		return s.admission.principal.Method, s.admission.principal.Provider
	}
	return anonymousMethod, staticProvider
}

// farewellWords are what sessions that are killed are told.
type farewellWords struct{ reason, message string }

// words reads reason and message from the keyword arguments.
func (m *metaCall) words() (w farewellWords, why *refusal) {
	var ok, ok2 bool
	if w.reason, ok = m.keyword("reason"); !ok {
		return w, refuseArguments
	}
	if w.message, ok2 = m.keyword("message"); !ok2 {
		return w, refuseArguments
	}
	if m.kwargs["reason"] == nil {
		w.reason = codec.CloseKilled
	}
	if len(w.reason) > metaReasonMax || !codec.ValidURI([]byte(w.reason), codec.Exact, false) {
		return w, refuseReason
	}
	if len(w.message) > metaMessageMax {
		return w, refuseArguments
	}
	return w, nil
}

func (m *metaCall) sessionKill(x port.Executor, l *perLoop) {
	if _, ok := m.number(0); !ok || len(m.args) != 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	w, why := m.words()
	if why != nil {
		m.fail(x, l, why)
		return
	}
	s := m.target(0)
	if s == nil || s == m.session {
		m.fail(x, l, refuseNoSession)
		return
	}
	m.wait(x)
	x.Post(s.home, m.session.id, metaJob(func(x port.Executor) {
		why := refuseNoSession
		if killed, _ := s.kill(x, w); killed {
			why = nil
		}
		m.settle(x, why)
	}))
}

// kill says goodbye, unless the session has left, and returns what that cost, in sessions. Home loop.
func (s *session) kill(x port.Executor, w farewellWords) (killed bool, cost int) {
	if s.left {
		return false, 1
	}
	return true, s.handler.goodbye(x, w.reason, w.message, port.CloseNormal)
}

// killThose kills all sessions but the caller's for which which is true, and notes each, on its loop.
func (m *metaCall) killThose(x port.Executor, l *perLoop, quiet bool, which func(s *session) bool,
	note func(x port.Executor, s *session), done func(x port.Executor, l *perLoop),
) {
	w, why := m.words()
	if why != nil {
		m.fail(x, l, why)
		return
	}
	m.eachSession(x, func(x port.Executor, s *session) int {
		if s == m.session || !which(s) {
			return 1
		}
		s.quiet = s.quiet || quiet
		killed, cost := s.kill(x, w)
		if killed {
			note(x, s)
		}
		return cost
	}, done)
}

func (m *metaCall) sessionKillByAuthID(x port.Executor, l *perLoop) {
	authid, ok := m.text(0)
	if !ok || len(m.args) != 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	killed := m.newList(x)
	m.killThose(x, l, false, func(s *session) bool { return s.who().AuthID == authid },
		func(x port.Executor, s *session) { killed.add(x, s.id) }, killed.answer)
}

func (m *metaCall) sessionKillByAuthRole(x port.Executor, l *perLoop) {
	role, ok := m.text(0)
	if !ok || len(m.args) != 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	m.killAndCount(x, l, false, func(s *session) bool { return s.who().AuthRole == role })
}

// sessionKillAll ends all other sessions, and neither meta events nor testaments tell of it.
func (m *metaCall) sessionKillAll(x port.Executor, l *perLoop) {
	if len(m.args) != 0 {
		m.fail(x, l, refuseArguments)
		return
	}
	m.killAndCount(x, l, true, func(*session) bool { return true })
}

// killAndCount is killThose, and answers how many they were.
func (m *metaCall) killAndCount(x port.Executor, l *perLoop, quiet bool, which func(s *session) bool) {
	var n atomic.Int64
	m.killThose(x, l, quiet, which, func(port.Executor, *session) { n.Add(1) },
		func(x port.Executor, l *perLoop) { m.answer(x, l, n.Load()) })
}
