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

// A testament is one of them: the parts of a PUBLISH, in the serializer of the session. Immutable.
type testament struct {
	topic     string
	options   []byte // those that are heeded, a dictionary
	entries   int    // of the lists in options
	keyBytes  int    // of the rkey in options
	passes    bool   // it is in payload passthru mode
	discloses bool   // disclose_me
	payload   codec.Payload
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

// testamentOptions are the options of PUBLISH that are heeded beside disclose_me.
var testamentOptions = []codec.Key{
	codec.KeyExclude, codec.KeyExcludeAuthid, codec.KeyExcludeAuthrole,
	codec.KeyEligible, codec.KeyEligibleAuthid, codec.KeyEligibleAuthrole, codec.KeyRetain, codec.KeyRkey,
	codec.KeyPptScheme, codec.KeyPptSerializer, codec.KeyPptCipher, codec.KeyPptKeyid,
	codec.KeyEncAlgo, codec.KeyEncKey, codec.KeyEncSerializer, codec.KeyTransactionHash,
}

var refuseTestaments = &refusal{codec.ErrOptionNotAllowed, "this session has as many testaments, or bytes in them, " +
	"as the router allows"}

var refuseTestamentMemory = &refusal{codec.ErrOptionNotAllowed, "the router has no memory left for testaments"}

var refuseTestamentRole = &refusal{codec.ErrNotAuthorized, "a session that has not announced the role publisher " +
	"publishes nothing, no testaments either"}

// scope reads the keyword argument scope.
func (m *metaCall) scope() (scope int, ok bool) {
	name, ok := m.keyword("scope")
	if !ok {
		return 0, false
	}
	if m.kwargs["scope"] == nil {
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
	case l.set.EnforceRoles && !s.plays(codec.Publish):
		m.fail(x, l, refuseTestamentRole)
		return
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
	m.wait(x)
	s.may(x, l, Publish, []byte(t.topic), codec.Exact, func(x port.Executor, l *perLoop, why *refusal, on terms) {
		switch {
		case why != nil:
		case t.discloses && !on.disclosed && s.realm.settings.Load().ForbidDisclosure:
			why = refuseDisclosure
		default:
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

// testament reads the arguments of add_testament: what they make is a PUBLISH, byte by byte as the session would have
// sent it, and is no testament if it would be a violation. In transparent form (PROTOCOL 12.2) binary or text stands
// where the list args does. As in a PUBLISH, args and kwargs may be left out.
func (m *metaCall) testament() (t *testament, scope int, ok bool) {
	topic, ok := m.text(0)
	if !ok || len(m.args) > 3 {
		return nil, 0, false
	}
	if scope, ok = m.scope(); !ok {
		return nil, 0, false
	}
	s := m.session.serializer
	will := codec.Message{
		Type: codec.Publish, Format: s, Request: 1, URI: []byte(topic), Payload: codec.Payload{Format: s},
	}
	for i, item := range (codec.Raw{Format: s, Octets: m.payload.Args}).Items() {
		switch {
		case i == 0 || m.args[i] == nil:
		case i == 1:
			will.Payload.Args = item.Octets
		default:
			if kwargs, isDict := m.args[i].(map[string]any); !isDict || len(kwargs) > 0 { // empty counts as absent
				will.Payload.Kwargs = item.Octets
			}
		}
	}
	if options, found := (codec.Raw{Format: s, Octets: m.payload.Kwargs}).Entry("publish_options"); found &&
		m.kwargs["publish_options"] != nil {
		will.Dict = options.Octets
	}
	t = &testament{topic: topic}
	return t, scope, t.read(&will)
}

// read takes over what is heeded of a PUBLISH, if it is one.
func (t *testament) read(will *codec.Message) (ok bool) {
	msg, err := codec.Append(nil, will.Format, will)
	if err != nil {
		return false
	}
	var d codec.Decoder
	d.SetDepthMax(codec.DepthMaxMost)
	var m codec.Message
	if err := d.Decode(will.Format, msg, &m); err != nil {
		return false
	}
	t.options, t.entries, t.passes = m.Options.Only(testamentOptions...), m.Options.ListEntries(), passes(&m)
	t.discloses = m.Options.Bool(codec.KeyDiscloseMe, false)
	t.keyBytes = len(m.Options.Text(codec.KeyRkey))
	t.payload = m.Payload.Clone()
	return true
}

// may decides whether s may do a with a URI, beside the request under way, and calls done with why not: at once, or
// when the authorizer has answered, unless the session has left by then. l.set are the settings of the realm of s.
func (s *session) may(x port.Executor, l *perLoop, a Action, uri []byte, match codec.Match,
	done func(x port.Executor, l *perLoop, why *refusal, on terms),
) {
	m := &codec.Message{Type: codec.Publish, Format: s.serializer, URI: uri}
	if a == Subscribe {
		m.Type = codec.Subscribe
	}
	w := s.waiting
	s.waiting = nil // a verdict that is there is about the call
	why, on := s.authorize(x, l, a, m.URI, match, nil, 0)
	s.waiting = w
	if why != refuseUndecided {
		done(x, l, why, on)
		return
	}
	undecided := s.rights.role.Decide(a, m.URI, match)
	s.askBeside(x, l, s.rights.authorizer, m, a, match, func(x port.Executor, l *perLoop, v *verdict) {
		d := undecided.Answered(v.answer)
		switch {
		case s.left:
		case v.why == nil && !d.Allow:
			l.counters.unauthorized.Add(1)
			done(x, l, refuseRight, terms{})
		default:
			done(x, l, v.why, terms{d.Disclose, d.Trust})
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

// publishTestament hands one to the voice, if that is allowed, disclosure included (PROTOCOL 7.5).
func (s *session) publishTestament(x port.Executor, set *settings, t *testament, d policy.Decision) {
	if !d.Allow || t.discloses && set.ForbidDisclosure && !d.Disclose {
		s.realm.router.perLoop[x.Loop()].counters.unauthorized.Add(1)
		x.Charge(-t.bytes())
		return
	}
	e := &metaEvent{topic: t.topic, testament: t, trust: d.Trust}
	if t.discloses || d.Disclose {
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
