package realm

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// The meta API (PROTOCOL 9): procedures of the router itself, in every realm.
//
//	CALL       the dealer opens the call and checks the right to call, as for any procedure
//	callMeta   instead of a callee, a metaProcedure gets the arguments, on the loop of the caller
//	answer     at once, or after other loops or the pool have done their part, always on that loop. The session is
//	           held meanwhile: it has one such call under way, whatever it sends
//
// They are no registrations: a realm has forty of them, and a router perhaps ten thousand realms.

// A metaCall is a call of such a procedure. Owned by the caller's loop, unless its procedure says otherwise.
type metaCall struct {
	call    *call
	session *session       // the caller's
	payload *codec.Payload // lent, until its procedure has begun
	args    []any          // what it holds
	kwargs  map[string]any
	waiting *waiting // while the session is held for it, else nil
}

// A metaProcedure answers calls.
type metaProcedure struct {
	run func(m *metaCall, x port.Executor, l *perLoop)
	// named: permission by a pattern does not do, it has to be one for wamp. URIs. A role that may call everything
	// should not, by that, end the sessions of others.
	named bool
	// offered says whether the realm has it; nil: every realm has it.
	offered func(set *settings) bool
}

// metaProcedures are all of them, by URI.
var metaProcedures map[string]metaProcedure

func init() {
	metaProcedures = map[string]metaProcedure{
		"wamp.session.count":            {run: (*metaCall).sessionCount},
		"wamp.session.list":             {run: (*metaCall).sessionList},
		"wamp.session.get":              {run: (*metaCall).sessionGet},
		"wamp.session.kill":             {run: (*metaCall).sessionKill, named: true},
		"wamp.session.kill_by_authid":   {run: (*metaCall).sessionKillByAuthID, named: true},
		"wamp.session.kill_by_authrole": {run: (*metaCall).sessionKillByAuthRole, named: true},
		"wamp.session.kill_all":         {run: (*metaCall).sessionKillAll, named: true},
		"wamp.session.modify_details": {
			run: (*metaCall).sessionModifyDetails, named: true,
			offered: func(set *settings) bool { return set.ModifyDetails },
		},
		"wamp.session.add_testament":    {run: (*metaCall).addTestament},
		"wamp.session.flush_testaments": {run: (*metaCall).flushTestaments},

		"wamp.subscription.list":              {run: (*metaCall).subscriptionList},
		"wamp.subscription.lookup":            {run: (*metaCall).subscriptionLookup},
		"wamp.subscription.match":             {run: (*metaCall).subscriptionMatch},
		"wamp.subscription.get":               {run: (*metaCall).subscriptionGet},
		"wamp.subscription.list_subscribers":  {run: (*metaCall).subscriptionListSubscribers},
		"wamp.subscription.count_subscribers": {run: (*metaCall).subscriptionCountSubscribers},
		"wamp.subscription.get_events":        {run: (*metaCall).subscriptionGetEvents},
		"wamp.subscription.remove_subscriber": {run: (*metaCall).subscriptionRemoveSubscriber, named: true},

		"wamp.registration.list":          {run: (*metaCall).registrationList},
		"wamp.registration.lookup":        {run: (*metaCall).registrationLookup},
		"wamp.registration.match":         {run: (*metaCall).registrationMatch},
		"wamp.registration.get":           {run: (*metaCall).registrationGet},
		"wamp.registration.list_callees":  {run: (*metaCall).registrationListCallees},
		"wamp.registration.count_callees": {run: (*metaCall).registrationCountCallees},
		"wamp.registration.remove_callee": {run: (*metaCall).registrationRemoveCallee, named: true},
	}
}

var (
	refuseArguments = &refusal{codec.ErrInvalidArgument, "this procedure takes other arguments: see the meta API " +
		"of the specification"}
	refuseNoSession = &refusal{codec.ErrNoSuchSession, "there is no other session of that id in this realm"}
	refuseNoSuchSub = &refusal{codec.ErrNoSuchSubscription, "there is no subscription of that id in this realm"}
	refuseNoSuchReg = &refusal{codec.ErrNoSuchRegistration, "there is no registration of that id in this realm"}
	refuseReason    = &refusal{codec.ErrInvalidURI, "the reason is not a valid URI"}
	refuseUnnamed   = &refusal{codec.ErrNotAuthorized, "permission for this procedure has to name it, or its " +
		"namespace: a pattern that covers it among others does not do"}
	refuseBusy = &refusal{codec.ErrUnavailable, "the router has no room to work on that now; try again later"}
)

// callMeta answers the open call c of a procedure in the namespace wamp. It returns why it cannot be called.
func (s *session) callMeta(x port.Executor, l *perLoop, c *call, m *codec.Message) *refusal {
	p, found := metaProcedures[string(m.URI)]
	if !found || p.offered != nil && !p.offered(l.set) {
		return refuseNoProcedure
	}
	if c.streaming() {
		return refuseFeature
	}
	if p.named && !s.named(l.set, m.URI) {
		l.counters.unauthorized.Add(1)
		return refuseUnnamed
	}
	if passes(m) {
		return refuseMetaPassthru
	}
	mc := &metaCall{call: c, session: s, payload: &m.Payload}
	if !mc.read(m) {
		return refuseArguments
	}
	p.run(mc, x, l)
	if mc.payload = nil; mc.waiting != nil {
		c.startWaiting(x)
	}
	return nil
}

// named reports whether the permission by which s may call a procedure is one for the namespace wamp, or the answer
// of an authorizer, which has seen its name.
func (s *session) named(set *settings, uri []byte) bool {
	if s.trusted {
		return true
	}
	if set.Policy == nil { // everybody may do everything, and nothing is named
		return false
	}
	r := set.Policy.Role(s.who().AuthRole)
	return r.Names(uri) || !r.Decide(Call, uri, codec.Exact).Definitive
}

// read decodes the arguments.
func (m *metaCall) read(msg *codec.Message) bool {
	p := &msg.Payload
	if len(p.Args)+len(p.Kwargs) > metaArgumentsMax {
		return false
	}
	values := metaValuesMax
	for _, part := range []struct {
		raw []byte
		to  func(v any) bool
	}{
		{p.Args, func(v any) (ok bool) { m.args, ok = v.([]any); return ok }},
		{p.Kwargs, func(v any) (ok bool) { m.kwargs, ok = v.(map[string]any); return ok }},
	} {
		if len(part.raw) == 0 {
			continue
		}
		v, err := codec.ValueWithin(msg.Format, part.raw, &values)
		if err != nil || !part.to(v) {
			return false
		}
	}
	return true
}

// answer sends the RESULT with these arguments. The caller's loop.
func (m *metaCall) answer(x port.Executor, l *perLoop, args ...any) {
	b, err := encodeArgs(m.session.serializer, args)
	m.finish(x, l, b, err)
}

// answerLong is answer where the arguments are so many that the pool encodes them.
func (m *metaCall) answerLong(x port.Executor, args ...any) {
	var b []byte
	err := errNoForm
	m.wait(x).async(x, func() { b, err = encodeArgs(m.session.serializer, args) }, func(x port.Executor) {
		m.finish(x, m.session.realm.router.perLoop[x.Loop()], b, err)
	})
}

// wait holds the session until the call is answered. The caller's loop.
func (m *metaCall) wait(x port.Executor) *waiting {
	s := m.session
	if m.waiting == nil {
		if s.waiting == nil {
			s.waiting = &waiting{session: s}
			s.conn.Hold(x)
		}
		m.waiting = s.waiting
	}
	m.waiting.more = true
	return m.waiting
}

// answered lets the session go on if it is held for m. The caller's loop.
func (m *metaCall) answered(x port.Executor) {
	w := m.waiting
	if m.waiting = nil; w != nil && w.current() {
		w.end(x)
	}
}

func encodeArgs(s codec.Serializer, args []any) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	return codec.AppendValue(nil, s, args)
}

func (m *metaCall) finish(x port.Executor, l *perLoop, args []byte, err error) {
	m.finishWith(x, l, &codec.Payload{Format: m.session.serializer, Args: args}, err)
}

// finishWith sends the RESULT with a payload in the caller's serializer.
func (m *metaCall) finishWith(x port.Executor, l *perLoop, p *codec.Payload, err error) {
	s := m.session
	var frame [][]byte
	if err == nil {
		l.details = codec.Details{}
		if len(p.Args)+len(p.Kwargs) > s.realm.router.bounds.largeBytes { // it is linked into the queue, not copied
			frame, err = s.frame(codec.AppendResultHead(nil, s.serializer, m.call.request, &l.details, p), p)
		} else {
			l.out, err = codec.AppendResult(l.out[:0], s.serializer, m.call.request, &l.details, p, s.bytesMax)
		}
	}
	switch {
	case errors.Is(err, errNoForm):
		m.fail(x, l, refuseBusy)
	case err != nil:
		m.fail(x, l, refuseAnswerLength)
	case m.call.answerPieces(x, l, l.out, frame, true):
		l.counts(x).results++
	}
	l.trim()
	m.answered(x)
}

// fail answers with an error. The caller's loop.
func (m *metaCall) fail(x port.Executor, l *perLoop, why *refusal) {
	m.call.fail(x, l, why)
	m.answered(x)
}

// atHome runs f on the caller's loop, from any loop.
func (m *metaCall) atHome(x port.Executor, f func(x port.Executor, l *perLoop)) {
	s := m.session
	if x.Loop() == s.home {
		f(x, s.realm.router.perLoop[s.home])
		return
	}
	x.Post(s.home, s.id, metaJob(func(x port.Executor) { f(x, s.realm.router.perLoop[s.home]) }))
}

// settle answers with nothing, or with an error if there is one, from any loop.
func (m *metaCall) settle(x port.Executor, why *refusal) {
	m.atHome(x, func(x port.Executor, l *perLoop) {
		if why != nil {
			m.fail(x, l, why)
		} else {
			m.answer(x, l)
		}
	})
}

// A metaJob is something short to do on another loop.
type metaJob func(x port.Executor)

// Run does it.
func (f metaJob) Run(x port.Executor, _ int) (more bool) {
	f(x)
	return false
}

// everywhere runs f on every loop, chunk by chunk, and then done on the caller's loop. It is behind what the session
// has published before.
func (m *metaCall) everywhere(x port.Executor, f func(x port.Executor, budget int) (more bool),
	done func(x port.Executor, l *perLoop),
) {
	m.wait(x)
	var pending atomic.Int32
	pending.Store(int32(x.Loops()))
	for i := range x.Loops() {
		x.Post(i, m.session.id, metaWalk(func(x port.Executor, budget int) (more bool) {
			if f(x, budget) {
				return true
			}
			if pending.Add(-1) == 0 {
				m.atHome(x, done)
			}
			return false
		}))
	}
}

// A metaWalk is one loop's part of everywhere.
type metaWalk func(x port.Executor, budget int) (more bool)

// Run goes on with it.
func (f metaWalk) Run(x port.Executor, budget int) (more bool) { return f(x, budget) }

// number returns argument i as an id.
func (m *metaCall) number(i int) (id uint64, ok bool) {
	if len(m.args) <= i {
		return 0, false
	}
	return wholeNumber(m.args[i])
}

// wholeNumber returns a value as an id.
func wholeNumber(v any) (id uint64, ok bool) {
	switch v := v.(type) {
	case int64:
		return uint64(v), v >= 0
	case uint64:
		return v, true
	case int:
		return uint64(v), v >= 0
	case float64: // so wampy writes ids beyond 2^32 in MessagePack and CBOR
		if v >= 0 && v <= codec.MaxID && v == math.Trunc(v) {
			return uint64(v), true
		}
	}
	return 0, false
}

// text returns argument i as a text.
func (m *metaCall) text(i int) (text string, ok bool) {
	if len(m.args) <= i {
		return "", false
	}
	text, ok = m.args[i].(string)
	return text, ok
}

// keyword returns a keyword argument that is a text, "" if it is not there or null.
func (m *metaCall) keyword(name string) (text string, ok bool) {
	v, found := m.kwargs[name]
	if !found || v == nil {
		return "", true
	}
	text, ok = v.(string)
	return text, ok
}

// pattern returns argument 0 as a URI, and its match policy from the options in argument 1.
func (m *metaCall) pattern() (uri []byte, match codec.Match, ok bool) {
	text, ok := m.text(0)
	if !ok || len(m.args) > 2 {
		return nil, 0, false
	}
	name := any("exact")
	if len(m.args) == 2 && m.args[1] != nil {
		options, isDict := m.args[1].(map[string]any)
		if !isDict {
			return nil, 0, false
		}
		if v := options["match"]; v != nil {
			name = v
		}
	}
	i := slices.IndexFunc(matchNames[:], func(n string) bool { return any(n) == name })
	if i < 0 {
		return nil, 0, false
	}
	return []byte(text), codec.Match(i), true
}

// matchNames are the match policies as the meta API spells them, by codec.Match.
var matchNames = [...]string{codec.Exact: "exact", codec.Prefix: "prefix", codec.Wildcard: "wildcard"}
