package realm

import (
	"slices"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// Testaments (PROTOCOL 7.12): publications that a session leaves behind. They are kept with the session, checked when
// they are made and again when it ends, and published by the voice of the realm on its behalf: behind everything that
// the session has published, and before on_leave.

// A testament is one of them. Immutable.
type testament struct {
	topic     string
	options   []byte        // of PUBLISH, as far as they are heeded: a dictionary in MessagePack
	entries   int           // of the lists in options
	keyBytes  int           // of the rkey in options
	passes    bool          // it is in payload passthru mode
	discloses bool          // disclose_me
	payload   codec.Payload // in MessagePack
}

func (t *testament) bytes() int {
	return len(t.topic) + len(t.options) + len(t.payload.Args) + len(t.payload.Kwargs) + testamentOverhead
}

// testaments are those of a session by scope, in the order in which they are published. Owned by loop.
type testaments struct {
	scopes [2][]*testament
	bytes  int
}

// testamentScopes are the scopes by name.
var testamentScopes = map[string]int{"detached": 0, "destroyed": 1}

// testamentOptions are the options of PUBLISH that are heeded.
var testamentOptions = []string{
	"exclude", "exclude_authid", "exclude_authrole", "eligible", "eligible_authid", "eligible_authrole", "retain",
	"rkey", "transaction_hash", "ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid",
}

var refuseTestaments = &refusal{codec.ErrOptionNotAllowed, "this session has as many testaments, or bytes in them, " +
	"as the router allows"}

var refuseTestamentMemory = &refusal{codec.ErrOptionNotAllowed, "the router has no memory left for testaments"}

// scope reads the keyword argument scope.
func (m *metaCall) scope() (scope int, ok bool) {
	name, ok := m.keyword("scope")
	if !ok {
		return 0, false
	}
	if name == "" {
		name = "destroyed"
	}
	scope, ok = testamentScopes[name]
	return scope, ok
}

func (m *metaCall) flushTestaments(x port.Executor, l *perLoop) {
	scope, ok := m.scope()
	if !ok || len(m.args) != 0 {
		m.fail(x, l, refuseArguments)
		return
	}
	t := &m.session.testaments
	before := t.bytes
	for _, gone := range t.scopes[scope] {
		t.bytes -= gone.bytes()
	}
	t.scopes[scope] = nil
	x.Charge(t.bytes - before)
	m.answer(x, l)
}

func (m *metaCall) addTestament(x port.Executor, l *perLoop) {
	t, scope, ok := m.testament()
	if !ok {
		m.fail(x, l, refuseArguments)
		return
	}
	s := m.session
	x.Work(len(t.options) >> directShift)
	switch {
	case t.passes && s.roles&codec.PublisherPassthru == 0 && !l.set.LaxPassthru:
		m.fail(x, l, refuseTestamentPassthru)
		return
	case t.entries > l.set.limits.FilterEntriesMax:
		m.fail(x, l, refuseFilter)
		return
	case l.set.Sharding && t.keyBytes > shardKeyBytesMax:
		m.fail(x, l, refuseShardKey)
		return
	}
	if why := l.set.admit(Publish, []byte(t.topic), codec.Exact); why != nil {
		m.fail(x, l, why)
		return
	}
	s.may(x, l, Publish, []byte(t.topic), codec.Exact, func(x port.Executor, l *perLoop, why *refusal) {
		if why == nil {
			why = s.bequeath(x, t, scope)
		}
		if why != nil {
			m.fail(x, l, why)
		} else {
			m.answer(x, l)
		}
	})
}

// bequeath keeps a testament, which counts in the budget of the process until it is published.
func (s *session) bequeath(x port.Executor, t *testament, scope int) *refusal {
	all := &s.testaments
	if len(all.scopes[0])+len(all.scopes[1]) >= testamentsMax || all.bytes+t.bytes() > testamentBytesMax {
		return refuseTestaments
	}
	if !x.Charge(t.bytes()) {
		return refuseTestamentMemory
	}
	all.scopes[scope] = append(all.scopes[scope], t)
	all.bytes += t.bytes()
	return nil
}

// testament reads the arguments of add_testament.
func (m *metaCall) testament() (t *testament, scope int, ok bool) {
	t = &testament{payload: codec.Payload{Format: codec.MessagePack}}
	heeded := map[string]any{}
	if t.topic, ok = m.text(0); !ok || len(m.args) > 3 {
		return nil, 0, false
	}
	var err error
	if len(m.args) > 1 && m.args[1] != nil {
		args, isList := m.args[1].([]any)
		if !isList {
			return nil, 0, false
		}
		t.payload.Args, err = codec.AppendValue(nil, codec.MessagePack, args)
	}
	if err == nil && len(m.args) > 2 && m.args[2] != nil {
		kwargs, isDict := m.args[2].(map[string]any)
		if !isDict {
			return nil, 0, false
		}
		if len(kwargs) > 0 {
			if t.payload.Args == nil {
				t.payload.Args = []byte{0x90}
			}
			t.payload.Kwargs, err = codec.AppendValue(nil, codec.MessagePack, kwargs)
		}
	}
	if scope, ok = m.scope(); !ok || err != nil {
		return nil, 0, false
	}
	if v := m.kwargs["publish_options"]; v != nil {
		options, isDict := v.(map[string]any)
		if !isDict {
			return nil, 0, false
		}
		for _, name := range testamentOptions {
			if v, found := options[name]; found {
				heeded[name] = v
			}
		}
		t.discloses = options["disclose_me"] == true
	}
	return t, scope, t.read(heeded)
}

// read takes over options, if they are what PUBLISH takes.
func (t *testament) read(options map[string]any) (ok bool) {
	dict, err := codec.AppendValue(nil, codec.MessagePack, options)
	if err != nil {
		return false
	}
	msg, err := codec.Append(nil, codec.MessagePack, &codec.Message{
		Type: codec.Publish, Format: codec.MessagePack, Request: 1, URI: []byte(t.topic), Dict: dict,
	})
	if err != nil {
		return false
	}
	var d codec.Decoder
	var m codec.Message
	if err := d.Decode(codec.MessagePack, msg, &m); err != nil {
		return false
	}
	t.options, t.entries, t.passes = slices.Clip(dict), m.Options.ListEntries(), passes(&m)
	t.keyBytes = len(m.Options.Text(codec.KeyRkey))
	return true
}

// may decides whether s may do a with a URI, beside the request under way, and calls done with why not: at once, or
// when the authorizer has answered, unless the session has left by then. l.set are the settings of the realm of s.
func (s *session) may(x port.Executor, l *perLoop, a Action, uri []byte, match codec.Match,
	done func(x port.Executor, l *perLoop, why *refusal),
) {
	m := &codec.Message{Type: codec.Publish, Format: s.serializer, URI: uri}
	if a == Subscribe {
		m.Type = codec.Subscribe
	}
	w := s.waiting
	s.waiting = nil // a verdict that is there is about the call
	why, _ := s.authorize(x, l, a, m.URI, match, nil, 0)
	s.waiting = w
	if why != refuseUndecided {
		done(x, l, why)
		return
	}
	s.askBeside(x, l, s.rights.authorizer, m, a, match, func(x port.Executor, l *perLoop, v *verdict) {
		switch {
		case s.left:
		case v.why == nil && !v.answer.Allow:
			l.counters.unauthorized.Add(1)
			done(x, l, refuseRight)
		default:
			done(x, l, v.why)
		}
	})
}

// askBeside asks an authorizer about m, which is not the message under way, and calls done with what came of it.
func (s *session) askBeside(x port.Executor, l *perLoop, az *Authorizer, m *codec.Message, a Action,
	match codec.Match, done func(x port.Executor, l *perLoop, v *verdict),
) {
	request, why := s.request(m, a, match)
	if why != nil {
		l.counters.authorizersFailed.Add(1)
		done(x, l, &verdict{why: why})
		return
	}
	l.counters.asked.Add(1)
	s.realm.ask(x, az.Procedure, request.Arguments(), az.Timeout, func(x port.Executor, got *answer) {
		l := s.realm.router.perLoop[x.Loop()]
		v := readVerdict(got)
		if v.why != nil {
			l.counters.authorizersFailed.Add(1)
		}
		done(x, l, v)
	})
}

// part ends the public life of a session that is gone: its testaments, then on_leave.
func (s *session) part(x port.Executor) {
	switch {
	case s.hidden:
		return
	case s.quiet:
		x.Charge(-s.testaments.bytes)
		return
	case s.testaments.bytes == 0:
		s.tellLeave(x)
		return
	}
	if s.parting = s.publishing != nil; s.parting {
		return // part is called again
	}
	// What the session has published goes through lanes of its own to every loop; the voice waits until it is there.
	x.Post(s.home, s.id, metaJob(func(x port.Executor) {
		pending := new(atomic.Int32)
		pending.Store(int32(x.Loops()))
		for i := range x.Loops() {
			x.Post(i, s.id, metaJob(func(x port.Executor) {
				if pending.Add(-1) == 0 {
					s.publishTestaments(x, s.tellLeave)
				}
			}))
		}
	}))
}

// publishTestaments hands those to the voice that the session may publish now, and then calls then. What the
// permissions leave open the authorizer of the role is asked, about all of them at once. Any loop, after the session
// is gone.
func (s *session) publishTestaments(x port.Executor, then func(x port.Executor)) {
	rm := s.realm
	set := rm.settings.Load()
	all := slices.Concat(s.testaments.scopes[:]...)
	decisions := make([]policy.Decision, len(all))
	open := 1 // decisions, and this function
	decided := func(x port.Executor) {
		if open--; open > 0 {
			return
		}
		for i, t := range all {
			s.publishTestament(x, set, t, decisions[i])
		}
		then(x)
	}
	for i, t := range all {
		open++
		s.decideTestament(x, set, t, func(x port.Executor, d policy.Decision) {
			decisions[i] = d
			decided(x)
		})
	}
	decided(x)
}

// decideTestament calls done with whether the session may publish t: at once, or when the authorizer has answered.
func (s *session) decideTestament(x port.Executor, set *settings, t *testament,
	done func(x port.Executor, d policy.Decision),
) {
	if set.Policy == nil || s.trusted {
		done(x, policy.Decision{Definitive: true, Allow: true})
		return
	}
	who, l := s.who(), s.realm.router.perLoop[x.Loop()]
	d := set.Policy.Decide(who.AuthRole, Publish, []byte(t.topic), codec.Exact)
	if d.Definitive {
		done(x, d)
		return
	}
	az, found := set.Authorizers[who.AuthRole]
	m := &codec.Message{Type: codec.Publish, Format: codec.MessagePack, URI: []byte(t.topic)}
	if !found {
		l.counters.authorizersFailed.Add(1)
		done(x, d)
		return
	}
	key := policy.Key{AuthRole: who.AuthRole, AuthID: who.AuthID, URI: m.URI, Action: Publish, Match: codec.Exact}
	if kept, _, found := set.answers.Find(&key, s.realm.router.uptime()); found {
		done(x, kept)
		return
	}
	s.askBeside(x, l, &az, m, Publish, codec.Exact, func(x port.Executor, _ *perLoop, v *verdict) {
		if v.why == nil {
			d = d.Answered(v.answer)
		}
		done(x, d)
	})
}

// publishTestament hands one to the voice, if that is allowed.
func (s *session) publishTestament(x port.Executor, set *settings, t *testament, d policy.Decision) {
	if !d.Allow {
		s.realm.router.perLoop[x.Loop()].counters.unauthorized.Add(1)
		x.Charge(-t.bytes())
		return
	}
	e := &metaEvent{topic: t.topic, testament: t, trust: d.Trust}
	if t.discloses && !set.ForbidDisclosure || d.Disclose {
		e.who = s.who()
	}
	s.realm.meta.ready(x, s.realm.meta.put(x, e))
}

// tellLeave publishes on_leave.
func (s *session) tellLeave(x port.Executor) {
	if ms := &s.realm.meta; ms.wanted() {
		ms.tell(x, "wamp.session.on_leave", s.id, s.who().AuthID, s.who().AuthRole)
	}
}

// withDisclosure returns a dictionary of less than 15 entries in MessagePack with one more, which discloses the
// publisher.
func withDisclosure(options []byte) []byte {
	return append(append([]byte{options[0] + 1}, options[1:]...), "\xabdisclose_me\xc3"...)
}
