package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// The registration meta API (PROTOCOL 9.3). The meta procedures themselves are no registrations, so nothing is left
// out.

func (m *metaCall) registrationList(x port.Executor, l *perLoop) {
	m.lists(x, l, func(f func(id uint64, match codec.Match)) {
		m.session.realm.registered.list(func(id uint64, match codec.Match, reg *registration) {
			f(id, match)
		})
	})
}

func (m *metaCall) registrationLookup(x port.Executor, l *perLoop) {
	uri, match, ok := m.pattern()
	if !ok {
		m.fail(x, l, refuseArguments)
		return
	}
	m.answerRegistration(x, l, m.session.realm.procedures.Find(uri, match))
}

func (m *metaCall) answerRegistration(x port.Executor, l *perLoop, reg *registration) {
	if reg == nil {
		m.answer(x, l, nil)
		return
	}
	m.answer(x, l, reg.id)
}

// registrationMatch finds the registration that a call would go to.
func (m *metaCall) registrationMatch(x port.Executor, l *perLoop) {
	procedure, ok := m.text(0)
	if !ok || len(m.args) != 1 {
		m.fail(x, l, refuseArguments)
		return
	}
	uri := []byte(procedure)
	if codec.ReservedURI(uri) { // never routed to a client
		m.answerRegistration(x, l, nil)
		return
	}
	var best *registration
	search := m.session.realm.procedures.Search(uri)
	m.searching(x, l, func() (ended bool) {
		best, ended = search.Best(metaSearchSteps)
		return ended
	}, func(x port.Executor, l *perLoop) { m.answerRegistration(x, l, best) })
}

// registration gives the registration with the id in argument 0 to f. It answers with an error if there is none, or
// if there are not as many arguments.
func (m *metaCall) registration(x port.Executor, l *perLoop, arguments int,
	f func(x port.Executor, l *perLoop, reg *registration),
) {
	id, ok := m.number(0)
	if _, all := m.number(arguments - 1); !ok || !all || len(m.args) != arguments {
		m.fail(x, l, refuseArguments)
		return
	}
	m.catalogs(x, l, func(x port.Executor, l *perLoop) {
		reg := m.session.realm.registered.find(id)
		if reg == nil {
			m.fail(x, l, refuseNoSuchReg)
			return
		}
		f(x, l, reg)
	})
}

func (m *metaCall) registrationGet(x port.Executor, l *perLoop) {
	m.registration(x, l, 1, func(x port.Executor, l *perLoop, reg *registration) {
		m.answer(x, l, reg.metaDetails())
	})
}

// metaDetails are what the meta API tells about a registration. Any goroutine.
func (reg *registration) metaDetails() map[string]any {
	return map[string]any{
		"id": reg.id, "created": metaTime(reg.created), "uri": reg.uri, "match": matchNames[reg.match],
		"invoke": invokeNames[reg.invoke],
	}
}

// invokeNames are the invocation policies by codec.Invoke.
var invokeNames = [...]string{
	codec.Single: "single", codec.RoundRobin: "roundrobin", codec.Random: "random", codec.First: "first",
	codec.Last: "last", codec.LeastOutstanding: "x_least_outstanding",
}

func (m *metaCall) registrationListCallees(x port.Executor, l *perLoop) {
	m.registration(x, l, 1, func(x port.Executor, l *perLoop, reg *registration) {
		ids := []any{}
		for _, c := range reg.callees.all() {
			if !c.left() {
				ids = append(ids, c.session.id)
			}
		}
		m.answerIDs(x, l, ids)
	})
}

func (m *metaCall) registrationCountCallees(x port.Executor, l *perLoop) {
	m.registration(x, l, 1, func(x port.Executor, l *perLoop, reg *registration) {
		n := 0
		for _, c := range reg.callees.all() {
			if !c.left() {
				n++
			}
		}
		m.answer(x, l, n)
	})
}

func (m *metaCall) registrationRemoveCallee(x port.Executor, l *perLoop) {
	m.registration(x, l, 2, func(x port.Executor, l *perLoop, reg *registration) {
		m.evict(x, l, refuseNoSession, func(x port.Executor, l *perLoop, s *session, reason string) bool {
			c := s.registrations[reg.id]
			if c != nil {
				s.revokeRegistration(x, l, c, reason)
			}
			return c != nil
		})
	})
}
