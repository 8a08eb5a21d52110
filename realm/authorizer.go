package realm

import (
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// Dynamic authorization: what the permissions of a role leave open, a procedure decides (PROTOCOL 11).
//
//	authorize   undecided: neither permit, memo nor cache know the answer
//	askFirst    the message is kept, the session held; its order is kept (PROTOCOL 6.2)
//	ask         the router calls the procedure, within the timeout of the authorizer
//	answered    what it said becomes the verdict about the message, is kept if it may be, and the message is handled
//	            again: authorize finds the verdict
//
// Whatever goes wrong on the way is authorization_failed.

var (
	// refuseUndecided is no refusal: the authorizer has to be asked.
	refuseUndecided = &refusal{codec.ErrAuthorizationFailed, "undecided"}

	refuseNoAuthorizer = &refusal{codec.ErrAuthorizationFailed, "the role of this session has no authorizer"}
	refuseAuthorizer   = &refusal{
		codec.ErrAuthorizationFailed, "the authorizer cannot decide about that now; try again later",
	}
	refuseCapability = &refusal{
		codec.ErrAuthorizationRequired, "the authorizer wants another authorization for that",
	}
	refuseOptions = &refusal{
		codec.ErrAuthorizationFailed, "the options of this message are too long for the authorizer",
	}
)

// A verdict is what came of asking about the message that waits.
type verdict struct {
	why    *refusal // it was not answered as it should
	answer policy.Answer
	epoch  uint64        // of the settings under which it was asked
	keep   time.Duration // how long the answer may be kept at most
}

// recall decides what the permissions leave open, of which they say d. It returns refuseUndecided if nobody remembers
// an answer.
func (s *session) recall(x port.Executor, l *perLoop, a Action, uri []byte, match codec.Match, d policy.Decision,
	p *permit, record uint64,
) (policy.Decision, *refusal) {
	set, az := l.set, s.rights.authorizer
	if w := s.waiting; w != nil && w.verdict != nil {
		v := w.verdict
		d = d.Answered(v.answer)
		if p != nil && v.why == nil && v.keep > 0 && d.Cache && v.epoch == set.epoch {
			s.rights.remember(x, s, p, record, d, v.keep)
		}
		return d, v.why
	}
	switch {
	case az == nil:
		l.counters.authorizersFailed.Add(1)
		return d, refuseNoAuthorizer
	case s.answersFor(az):
		d.Allow, d.Definitive = true, true // it is not asked about itself (AUZ-11)
		return d, nil
	}
	key := policy.Key{AuthRole: s.who().AuthRole, AuthID: s.who().AuthID, URI: uri, Action: a, Match: match}
	kept, left, found := set.answers.Find(&key, s.realm.router.uptime())
	if !found {
		return d, refuseUndecided
	}
	if p != nil {
		s.rights.remember(x, s, p, record, kept, left)
	}
	return kept, nil
}

// answersFor reports whether s is a callee of the authorizer's procedure.
func (s *session) answersFor(az *Authorizer) bool {
	if len(s.registrations) == 0 {
		return false
	}
	reg := s.realm.procedures.Find([]byte(az.Procedure), codec.Exact)
	if reg == nil {
		reg, _, _ = s.realm.procedures.Best([]byte(az.Procedure), s.realm.router.bounds.searchAtOnce)
	}
	return reg != nil && s.registrations[reg.id] != nil
}

// askFirst asks the authorizer about the message under way, and has it handled by again when the verdict is there. It
// returns why it cannot be asked, or nil.
func (s *session) askFirst(x port.Executor, l *perLoop, m *codec.Message, a Action, match codec.Match,
	again func(x port.Executor, l *perLoop, m *codec.Message),
) *refusal {
	request, why := s.request(m, a, match)
	if why != nil {
		l.counters.authorizersFailed.Add(1)
		return why
	}
	l.counters.asked.Add(1)
	w := s.later(x, l)
	az, set, who := *s.rights.authorizer, l.set, s.who()
	key := policy.Key{
		AuthRole: who.AuthRole, AuthID: who.AuthID, URI: w.message.URI, Action: a, Match: match,
	}
	w.question = s.realm.ask(x, az.Procedure, request.Arguments(), az.Timeout, func(x port.Executor, got *answer) {
		w.question = nil
		v := readVerdict(got)
		v.epoch = set.epoch
		switch {
		case v.why != nil:
			s.realm.router.perLoop[x.Loop()].counters.authorizersFailed.Add(1)
			x.Warn("an authorizer did not answer as it should", "procedure", az.Procedure, "realm", s.realm.uri,
				"role", who.AuthRole, "error", got.uri)
		case az.Cache && s.who() == who:
			v.keep = az.CacheTime
			d := s.rights.role.Decide(a, key.URI, match).Answered(v.answer)
			set.answers.Put(&key, set.answers.Generation(), d, s.realm.router.uptime(), v.keep)
		}
		if w.current() {
			w.verdict = v
			w.handle(x, again)
		}
	})
	return nil
}

// request describes the message for the authorizer.
func (s *session) request(m *codec.Message, a Action, match codec.Match) (*policy.Request, *refusal) {
	q := &policy.Request{
		Session: policy.Session{
			ID: s.id, Realm: s.realm.uri, AuthID: s.who().AuthID, AuthRole: s.who().AuthRole,
			AuthMethod: anonymousMethod, AuthProvider: staticProvider,
		},
		Action: a, URI: string(m.URI), Match: match,
	}
	if s.admission != nil {
		p := s.admission.principal
		q.Session.AuthMethod, q.Session.AuthProvider, q.Session.AuthExtra = p.Method, p.Provider, p.Extra
	}
	if s.local {
		q.Session.AuthMethod, q.Session.AuthProvider = localMethod, localMethod
	}
	if len(m.Dict) > authorizerOptionsMax {
		return nil, refuseOptions
	}
	if len(m.Dict) > 0 {
		options, err := codec.Value(m.Format, m.Dict)
		if err != nil {
			return nil, refuseOptions
		}
		q.Options, _ = options.(map[string]any)
	}
	return q, nil
}

// readVerdict reads what an authorizer answered.
func readVerdict(a *answer) *verdict {
	if !a.result {
		if policy.Failure(a.uri) == codec.ErrAuthorizationRequired {
			return &verdict{why: refuseCapability}
		}
		return &verdict{why: refuseAuthorizer}
	}
	answer, err := policy.ReadAnswer(codec.MessagePack, a.args)
	if err != nil {
		return &verdict{why: refuseAuthorizer}
	}
	return &verdict{answer: answer}
}

// staticProvider is the authprovider of anonymous sessions.
const staticProvider = "static"

// A memo is what a session remembers of the answers that the cache of its realm has: those about records. It is a
// table by record id in which a new entry takes the place of another. Owned by loop.
type memo struct {
	epoch   uint64 // of the settings under which everything in it was decided
	entries [memoEntries]memoEntry
	timer   port.Timer
	until   time.Duration // when the timer fires
}

type memoEntry struct {
	permit *permit // of the record
	bits   uint64
}

// find returns the bits of a decision, 0 if there is none. The memo may be nil.
func (m *memo) find(p *permit, record, epoch uint64) (bits uint64) {
	if m == nil || m.epoch != epoch {
		return 0
	}
	if e := &m.entries[record%memoEntries]; e.permit == p {
		return e.bits
	}
	return 0
}

// remember puts a decision that is valid for the time left. When the first of all is over, everything is forgotten.
func (r *rights) remember(x port.Executor, s *session, p *permit, record uint64, d policy.Decision,
	left time.Duration,
) {
	m := r.memo
	if m == nil {
		m = new(memo)
		m.timer.Fire = func(port.Executor) { m.forget() }
		r.memo = m
	}
	if m.epoch != r.epoch {
		m.forget()
		m.epoch = r.epoch
	}
	m.entries[record%memoEntries] = memoEntry{p, decisionBits(d)}
	if end := s.realm.router.uptime() + left; m.until == 0 || end < m.until {
		m.until = end
		x.Start(&m.timer, left)
	}
}

func (m *memo) forget() {
	clear(m.entries[:])
	m.until = 0
}
