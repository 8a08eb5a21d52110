package realm

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// authorizerBed is a router whose role "anonymous" has an authorizer, com.app.authorize, and few permissions:
// everything below static. is allowed, everything below never. is denied. authorize is a local session that is to
// answer; say answers for it.
type authorizerBed struct {
	*bed
	authorize *localConn
	asked     int // invocations that were taken by next
}

func newAuthorizerBed(t *testing.T, loops int, edit func(*Authorizer, *Config)) *authorizerBed {
	t.Helper()
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	az := Authorizer{Procedure: "com.app.authorize", Timeout: time.Second, Cache: true, CacheTime: time.Minute}
	cfg := Config{Realms: []RealmConfig{{
		URI: "realm1", Policy: compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{
				{URI: "static.*", Allow: all},
				{URI: "never.*", Allow: &policy.Actions{}},
				{URI: "told.*", Disclose: policy.Disclose{Publisher: true, Caller: true}, Cache: true},
			},
		}, policy.RoleDefinition{Name: "lost", Dynamic: true}),
	}}}
	if edit != nil {
		edit(&az, &cfg)
	}
	cfg.Realms[0].Authorizers = map[string]Authorizer{"anonymous": az}
	b := &authorizerBed{bed: newBed(t, loops, cfg)}
	b.authorize = b.localAs(loops-1, trustedRole)
	b.say(b.authorize, codec.Register, 1, values{}, az.Procedure)
	b.heard[b.authorize] = nil
	return b
}

// next returns the next question to the authorizer, nil if there is none.
func (b *authorizerBed) next() []any {
	b.t.Helper()
	b.Settle()
	if len(b.heard[b.authorize]) == b.asked {
		return nil
	}
	m := b.heard[b.authorize][b.asked]
	b.asked++
	if m[0] != int64(codec.Invocation) {
		b.t.Fatalf("the authorizer heard %v", m)
	}
	return m
}

// answer expects a question about an action and URI, and answers it.
func (b *authorizerBed) answer(a Action, uri string, result any) []any {
	b.t.Helper()
	m := b.next()
	if m == nil {
		b.t.Fatalf("nobody asked about %s %s", a, uri)
	}
	args := m[4].([]any)
	if len(args) != 4 || args[1] != uri || args[2] != a.String() {
		b.t.Fatalf("asked about %v, want %s %s", args, a, uri)
	}
	b.say(b.authorize, codec.Yield, int(m[1].(int64)), values{}, []any{result})
	return args
}

// quiet expects that nobody asks.
func (b *authorizerBed) quiet() {
	b.t.Helper()
	if m := b.next(); m != nil {
		b.t.Fatalf("the authorizer was asked %v", m)
	}
}

// TestAUZ08: an authorizer is asked about each kind of request, and its answer is followed. A refused PUBLISH without
// acknowledge is counted and nothing else.
func TestAUZ08(t *testing.T) {
	for s := codec.JSON; s <= codec.CBOR; s++ {
		b := newAuthorizerBed(t, 2, nil)
		p, other := b.joinAs(0, s, 1<<20), b.join(1)
		for _, yes := range []any{true, values{"allow": true}, values{"allow": true, "cache": false, "x": 1}} {
			p.say(codec.Subscribe, 1, values{"match": "prefix"}, "a.")
			p.silent()
			args := b.answer(Subscribe, "a.", yes)
			p.expect(codec.Subscribed, 1, nil)
			if o := args[3].(values); o["match"] != "prefix" {
				t.Errorf("options %v", o)
			}
			if who := args[0].(values); who["session"] != int64(p.id) || who["authrole"] != "anonymous" ||
				who["authmethod"] != "anonymous" || who["realm"] != "realm1" {
				t.Errorf("session %v", who)
			}
			p.say(codec.Register, 2, values{"invoke": "random"}, "a.p")
			b.answer(Register, "a.p", yes)
			p.expect(codec.Registered, 2, nil)

			other.say(codec.Publish, 3, values{"acknowledge": true, "x_y": 7}, "a.t", []any{"hi"})
			other.silent()
			if o := b.answer(Publish, "a.t", yes)[3].(values); o["x_y"] != int64(7) || o["acknowledge"] != true {
				t.Errorf("options %v", o)
			}
			other.expect(codec.Published, 3, nil)
			p.expect(codec.Event, nil, nil, values{"topic": "a.t"}, []any{"hi"})

			other.say(codec.Call, 4, values{}, "a.p", []any{"sum"})
			other.silent()
			p.silent()
			b.answer(Call, "a.p", yes)
			invocation := p.expect(codec.Invocation, nil, nil, values{}, []any{"sum"})
			p.say(codec.Yield, int(invocation[1].(int64)), values{}, []any{5})
			other.expect(codec.Result, 4, values{}, []any{int64(5)})
		}
		for _, no := range []any{false, values{"allow": false}} {
			p.say(codec.Subscribe, 5, values{}, "b")
			b.answer(Subscribe, "b", no)
			p.refused(codec.Subscribe, 5, codec.ErrNotAuthorized)
			p.say(codec.Register, 6, values{}, "b")
			b.answer(Register, "b", no)
			p.refused(codec.Register, 6, codec.ErrNotAuthorized)
			other.say(codec.Publish, 7, values{"acknowledge": true}, "a.t")
			b.answer(Publish, "a.t", no)
			other.refused(codec.Publish, 7, codec.ErrNotAuthorized)
			before := b.router.Stats().Unauthorized
			other.say(codec.Publish, 8, values{}, "a.t")
			b.answer(Publish, "a.t", no)
			other.silent()
			if n := b.router.Stats().Unauthorized; n != before+1 {
				t.Errorf("%d refusals counted, want %d", n, before+1)
			}
			other.say(codec.Call, 9, values{}, "a.p")
			b.answer(Call, "a.p", no)
			other.refused(codec.Call, 9, codec.ErrNotAuthorized)
		}
		p.silent()
		if n := b.router.Stats().OpenCalls; n != 0 {
			t.Errorf("%d open calls", n)
		}
	}
}

// TestAUZStaticFirst: where a permission decides, nobody is asked.
func TestAUZStaticFirst(t *testing.T) {
	b := newAuthorizerBed(t, 1, nil)
	p := b.join(0)
	p.subscribe(1, "static.t")
	p.say(codec.Publish, 2, values{"exclude_me": false}, "static.t")
	p.expect(codec.Event, nil, nil, values{})
	p.say(codec.Subscribe, 3, values{}, "never.t")
	p.refused(codec.Subscribe, 3, codec.ErrNotAuthorized)
	p.say(codec.Call, 4, values{}, "never.p")
	p.refused(codec.Call, 4, codec.ErrNotAuthorized)
	b.quiet()
}

// TestAUZ09: an authorizer that raises, answers too late, answers with something else or is not there fails the
// request. So does a role without one.
func TestAUZ09(t *testing.T) {
	t.Attr("checklist", "RPC-19")
	b := newAuthorizerBed(t, 1, nil)
	p := b.join(0)
	request := 0
	fails := func(uri string, reply func(invocation int)) {
		t.Helper()
		for _, typ := range []codec.Type{codec.Subscribe, codec.Register, codec.Publish, codec.Call} {
			request++
			p.say(typ, request, values{"acknowledge": true}, "a")
			p.silent()
			m := b.next()
			reply(int(m[1].(int64)))
			p.refused(typ, request, uri)
		}
		request++
		p.say(codec.Publish, request, values{}, "a")
		reply(int(b.next()[1].(int64)))
		p.silent()
		if p.Held() {
			t.Error("held after the verdict")
		}
	}
	fails(codec.ErrAuthorizationFailed, func(i int) {
		b.say(b.authorize, codec.Error, codec.Invocation, i, values{}, "com.app.broken")
	})
	fails(codec.ErrAuthorizationFailed, func(i int) { // its denial is a result, not an error
		b.say(b.authorize, codec.Error, codec.Invocation, i, values{}, codec.ErrNotAuthorized)
	})
	fails(codec.ErrAuthorizationRequired, func(i int) {
		b.say(b.authorize, codec.Error, codec.Invocation, i, values{}, codec.ErrAuthorizationRequired)
	})
	for _, rubbish := range []any{nil, 1, "yes", []any{true}, values{}, values{"allow": 1}, values{"allow": nil}} {
		fails(codec.ErrAuthorizationFailed, func(i int) {
			b.say(b.authorize, codec.Yield, i, values{}, []any{rubbish})
		})
	}
	fails(codec.ErrAuthorizationFailed, func(i int) { b.say(b.authorize, codec.Yield, i, values{}) })
	fails(codec.ErrAuthorizationFailed, func(i int) {
		b.Advance(time.Second - time.Millisecond)
		b.Settle()
		p.silent()
		b.Advance(time.Millisecond)
		b.Settle()
		m := b.heard[b.authorize][b.asked]
		b.asked++
		if m[0] != int64(codec.Interrupt) {
			t.Errorf("the authorizer heard %v instead of INTERRUPT", m)
		}
		b.say(b.authorize, codec.Yield, i, values{}, []any{true}) // too late
	})
	s := b.router.Stats()
	if s.AuthorizersFailed != s.AuthorizersAsked || s.AuthorizersFailed == 0 || s.OpenCalls != 0 {
		t.Errorf("asked %d, failed %d, open %d", s.AuthorizersAsked, s.AuthorizersFailed, s.OpenCalls)
	}
	b.authorizerLeaves()
	p.say(codec.Subscribe, 1, values{}, "a")
	p.refused(codec.Subscribe, 1, codec.ErrAuthorizationFailed)
	lost := b.localAs(0, "lost")
	b.say(lost, codec.Subscribe, 1, values{}, "a")
	if m := b.heard[lost][0]; m[4] != codec.ErrAuthorizationFailed {
		t.Errorf("%v", m)
	}
	p.say(codec.Subscribe, 2, values{"x": strings.Repeat("a", authorizerOptionsMax)}, "a")
	p.refused(codec.Subscribe, 2, codec.ErrAuthorizationFailed)
}

func (b *authorizerBed) authorizerLeaves() {
	b.Submit(b.authorize.home, b.authorize.hangUp)
	b.Settle()
}

// TestAUZAuthorizerLeaves: the authorizer's session ends while it is asked.
func TestAUZAuthorizerLeaves(t *testing.T) {
	b := newAuthorizerBed(t, 2, nil)
	p := b.join(0)
	p.say(codec.Call, 1, values{}, "a")
	b.authorizerLeaves()
	p.refused(codec.Call, 1, codec.ErrAuthorizationFailed)
	p.say(codec.Subscribe, 2, values{}, "static.t")
	p.expect(codec.Subscribed, 2, nil)
}

// TestAUZ10: an answer that may be kept is kept, for its authid, URI, action and match, and no longer than it may; a
// change of the settings forgets all.
func TestAUZ10(t *testing.T) {
	b := newAuthorizerBed(t, 1, nil)
	p, other := b.join(0), b.join(0)
	keep := values{"allow": true, "cache": true}
	other.say(codec.Subscribe, 1, values{}, "static.t") // other.t below has a record, a.t none
	other.expect(codec.Subscribed, 1, nil)
	other.say(codec.Register, 2, values{}, "a.p")
	b.answer(Register, "a.p", true)
	other.expect(codec.Registered, 2, nil)
	other.say(codec.Subscribe, 3, values{}, "a.r")
	b.answer(Subscribe, "a.r", true)
	other.expect(codec.Subscribed, 3, nil)
	call := func() {
		t.Helper()
		p.say(codec.Call, 4, values{}, "a.p")
		b.Settle()
	}
	called := func() {
		t.Helper()
		invocation := other.expect(codec.Invocation, nil, nil, values{})
		other.say(codec.Yield, int(invocation[1].(int64)), values{})
		p.expect(codec.Result, 4, values{})
	}
	publish := func(topic string) { t.Helper(); p.say(codec.Publish, 5, values{"acknowledge": true}, topic) }
	published := func(topic string) {
		t.Helper()
		p.expect(codec.Published, 5, nil)
		if topic == "a.r" {
			other.expect(codec.Event, nil, nil, values{})
		}
	}
	first := func() {
		t.Helper()
		for _, topic := range []string{"a.t", "a.r"} {
			publish(topic)
			b.answer(Publish, topic, keep)
			published(topic)
		}
		call()
		b.answer(Call, "a.p", keep)
		called()
	}
	known := func() {
		t.Helper()
		for range 3 {
			publish("a.t")
			b.quiet()
			published("a.t")
			publish("a.r")
			b.quiet()
			published("a.r")
			call()
			b.quiet()
			called()
		}
	}
	first()
	known()
	s := b.router.directory.find(p.id)
	rm := s.realm
	if bits := s.rights.memo.find(&rm.topics.Find([]byte("a.r"), codec.Exact).rights,
		rm.topics.Find([]byte("a.r"), codec.Exact).id, rm.settings.Load().epoch); bits&permitAllowed == 0 {
		t.Errorf("the session remembers %b", bits)
	}
	p.say(codec.Subscribe, 6, values{}, "a.t") // another action
	b.answer(Subscribe, "a.t", keep)
	p.expect(codec.Subscribed, 6, nil)
	p.say(codec.Subscribe, 7, values{"match": "prefix"}, "a.t") // another match
	b.answer(Subscribe, "a.t", keep)
	p.expect(codec.Subscribed, 7, nil)
	p.say(codec.Unsubscribe, 8, p.subscribed(7))
	p.expect(codec.Unsubscribed, 8)
	p.say(codec.Unsubscribe, 8, p.subscribed(6))
	p.expect(codec.Unsubscribed, 8)
	stranger := b.join(0) // another authid
	stranger.say(codec.Publish, 1, values{"acknowledge": true}, "a.r")
	b.answer(Publish, "a.r", false)
	stranger.refused(codec.Publish, 1, codec.ErrNotAuthorized)

	b.Advance(time.Minute - time.Millisecond)
	known()
	b.Advance(time.Millisecond)
	first()
	known()
	cfg := *b.router.settings.Load()
	b.apply(cfg)
	first()
	known()
	no := values{"allow": false, "cache": true} // a no is kept like a yes
	p.say(codec.Call, 9, values{}, "a.q")
	b.answer(Call, "a.q", no)
	p.refused(codec.Call, 9, codec.ErrNotAuthorized)
	p.say(codec.Call, 10, values{}, "a.q")
	b.quiet()
	p.refused(codec.Call, 10, codec.ErrNotAuthorized)
	p.HangUp()
	b.Settle()
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}
}

// subscribed returns the id of the subscription that p holds last but n; request 7 was the newest of two.
func (p *peer) subscribed(request int) int {
	s := p.bed.router.directory.find(p.id)
	for id, mb := range s.subscriptions {
		if (mb.sub.match == codec.Prefix) == (request == 7) {
			return int(id)
		}
	}
	return 0
}

// TestAUZNotKept: without cache in the answer and the permission, or without Authorizer.Cache, the authorizer is
// asked each time.
func TestAUZNotKept(t *testing.T) {
	for _, cache := range []bool{true, false} {
		b := newAuthorizerBed(t, 1, func(az *Authorizer, _ *Config) { az.Cache = cache })
		p := b.join(0)
		for range 3 {
			p.say(codec.Call, 1, values{}, "a")
			if cache {
				b.answer(Call, "a", true)
			} else {
				b.answer(Call, "a", values{"allow": true, "cache": true})
			}
			p.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
		}
		p.say(codec.Call, 1, values{}, "told.a") // the permission says that answers may be kept
		b.answer(Call, "told.a", true)
		p.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
		p.say(codec.Call, 1, values{}, "told.a")
		if cache {
			b.quiet()
		} else {
			b.answer(Call, "told.a", true)
		}
		p.refused(codec.Call, 1, codec.ErrNoSuchProcedure)

		b.say(b.localAs(0, trustedRole), codec.Subscribe, 1, values{}, "told.t") // a record
		for i := range 3 {
			p.say(codec.Publish, 2, values{"acknowledge": true}, "told.t")
			if i == 0 || !cache {
				b.answer(Publish, "told.t", values{"allow": true, "cache": true})
			} else {
				b.quiet()
			}
			p.expect(codec.Published, 2, nil)
		}
	}
}

// TestAUZ11: the session of the authorizer is not asked about itself, nor is the router's own; everybody else is.
func TestAUZ11(t *testing.T) {
	b := newAuthorizerBed(t, 1, nil)
	b.say(b.authorize, codec.Publish, 2, values{"acknowledge": true}, "anything")
	b.say(b.authorize, codec.Unregister, 3, 1)
	b.authorizerLeaves()
	cfg := *b.router.settings.Load() // a client becomes the authorizer
	rc := cfg.Realms[0]
	rc.Authorizers = map[string]Authorizer{"anonymous": {Procedure: "static.authorize", Timeout: time.Second}}
	cfg.Realms = []RealmConfig{rc}
	b.apply(cfg)
	self, other := b.join(0), b.join(0)
	self.say(codec.Subscribe, 1, values{}, "t")
	self.refused(codec.Subscribe, 1, codec.ErrAuthorizationFailed)
	self.register(2, "static.authorize", "single")
	self.say(codec.Subscribe, 3, values{}, "t")
	self.expect(codec.Subscribed, 3, nil)
	self.say(codec.Subscribe, 4, values{}, "never.t")
	self.refused(codec.Subscribe, 4, codec.ErrNotAuthorized)
	other.say(codec.Subscribe, 1, values{}, "t")
	other.silent()
	invocation := self.expect(codec.Invocation, nil, nil, values{}, nil)
	self.say(codec.Yield, int(invocation[1].(int64)), values{}, []any{true})
	other.expect(codec.Subscribed, 1, nil)
}

// TestAUZ12: permissions and answers disclose publisher (PUB-26) and caller (RPC-79), whatever the realm says about
// disclose_me.
func TestAUZ12(t *testing.T) {
	t.Attr("checklist", "PUB-26 RPC-79")
	b := newAuthorizerBed(t, 1, func(_ *Authorizer, cfg *Config) { cfg.Realms[0].ForbidDisclosure = true })
	p, other := b.join(0), b.localAs(0, trustedRole)
	b.say(other, codec.Subscribe, 1, values{"match": "prefix"}, "")
	b.say(other, codec.Register, 2, values{"match": "prefix"}, "")
	id := func(prefix string) values {
		s := b.router.directory.find(p.id)
		return values{
			prefix: int64(p.id), prefix + "_authid": s.identity.AuthID, prefix + "_authrole": "anonymous",
		}
	}
	for i, test := range []struct {
		uri       string
		answer    any
		disclosed bool
	}{
		{"told.x", true, true},
		{"told.x", nil, true}, // from the cache
		{"told.y", values{"allow": true, "disclose": false}, false},
		{"a", values{"allow": true, "disclose": true}, true},
		{"a", true, false},
	} {
		for _, typ := range []codec.Type{codec.Publish, codec.Call} {
			at := len(b.heard[other])
			p.say(typ, 10+i, values{}, test.uri)
			if test.answer != nil {
				action := Publish
				if typ == codec.Call {
					action = Call
				}
				b.answer(action, test.uri, test.answer)
			}
			m := b.heard[other][at]
			details, prefix := m[3].(values), "publisher"
			if typ == codec.Call {
				prefix = "caller"
			}
			for key, want := range id(prefix) {
				if got := details[key]; test.disclosed && got != want || !test.disclosed && got != nil {
					t.Errorf("%d %s: %s is %v, want %v", i, prefix, key, got, want)
				}
			}
		}
	}
	p.say(codec.Publish, 20, values{"acknowledge": true, "disclose_me": true}, "static.x")
	p.refused(codec.Publish, 20, codec.ErrOptionDisallowedDiscloseMe)
	p.say(codec.Publish, 21, values{"acknowledge": true, "disclose_me": true}, "told.x")
	p.expect(codec.Published, 21, nil)
}

// TestDisclosedByPermission is PUB-26 and RPC-79 for static permissions, from the record the second time.
func TestDisclosedByPermission(t *testing.T) {
	t.Attr("checklist", "PUB-26 RPC-79")
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t, policy.RoleDefinition{
		Name: "anonymous", Permissions: []policy.Permission{
			{URI: "t", Allow: all, Disclose: policy.Disclose{Publisher: true}},
			{URI: "p", Allow: all, Disclose: policy.Disclose{Caller: true}},
			{URI: "other", Allow: all},
		},
	})}}})
	p, other := b.join(0), b.join(0)
	other.subscribe(1, "t")
	other.subscribe(2, "other")
	other.register(3, "p", "single")
	for range 3 {
		p.say(codec.Publish, 1, values{}, "t")
		if m := other.expect(codec.Event, nil, nil, nil); m[3].(values)["publisher"] != int64(p.id) {
			t.Errorf("%v", m)
		}
		p.say(codec.Publish, 1, values{}, "other")
		other.expect(codec.Event, nil, nil, values{})
		p.say(codec.Call, 1, values{}, "p")
		m := other.expect(codec.Invocation, nil, nil, nil)
		if m[3].(values)["caller"] != int64(p.id) {
			t.Errorf("%v", m)
		}
		other.say(codec.Yield, int(m[1].(int64)), values{})
		p.expect(codec.Result, 1, values{})
	}
}

// TestORD10: while an authorizer decides about one message of a session, the ones behind wait, and others' do not.
func TestORD10(t *testing.T) {
	b := newAuthorizerBed(t, 2, nil)
	p, other := b.join(0), b.join(0)
	other.subscribe(1, "static.t")
	other.say(codec.Subscribe, 2, values{}, "slow")
	b.answer(Subscribe, "slow", true)
	other.expect(codec.Subscribed, 2, nil)
	p.post(codec.Publish, 1, values{"acknowledge": true}, "static.t", []any{0})
	p.post(codec.Publish, 2, values{"acknowledge": true}, "slow", []any{1})
	p.post(codec.Publish, 3, values{"acknowledge": true}, "static.t", []any{2})
	p.post(codec.Call, 4, values{}, "static.none")
	b.Settle()
	p.expect(codec.Published, 1, nil)
	other.expect(codec.Event, nil, nil, values{}, []any{int64(0)})
	p.silent()
	other.silent()
	other.say(codec.Publish, 5, values{"acknowledge": true}, "static.t")
	other.expect(codec.Published, 5, nil)
	b.answer(Publish, "slow", true)
	for i := range 2 {
		p.expect(codec.Published, 2+i, nil)
		other.expect(codec.Event, nil, nil, values{}, []any{int64(1 + i)})
	}
	p.refused(codec.Call, 4, codec.ErrNoSuchProcedure)
}

// TestAUZ15: a session that leaves while its authorizer is asked leaves nothing behind, and a late answer does
// nothing.
func TestAUZ15(t *testing.T) {
	b := newAuthorizerBed(t, 2, nil)
	for name, leave := range map[string]func(p *peer){
		"lost": func(p *peer) {
			p.Do(func(x port.Executor) { p.Lock(); p.Finish(x, port.CloseNormal, ""); p.Unlock() })
		},
		"stopped": func(p *peer) { p.Shutdown() },
		"killed":  func(p *peer) { _ = b.router.kill(p.id, "", "", func(bool) {}) },
	} {
		for _, typ := range []codec.Type{codec.Subscribe, codec.Register, codec.Publish, codec.Call} {
			p := b.join(0)
			p.say(typ, 1, values{"acknowledge": true}, "a")
			m := b.next()
			leave(p)
			b.Settle()
			if i := b.heard[b.authorize][b.asked]; i[0] != int64(codec.Interrupt) {
				t.Errorf("%s: the authorizer heard %v instead of INTERRUPT", name, i)
			}
			b.asked++
			b.say(b.authorize, codec.Yield, int(m[1].(int64)), values{}, []any{true})
			for m := p.hear(); m != nil; m = p.hear() {
				if typ := codec.Type(m[0].(int64)); typ != codec.Goodbye && typ != codec.Error {
					t.Errorf("%s: %v", name, m)
				}
			}
			p.HangUp()
			b.Settle()
			s := b.router.Stats()
			if s.Sessions != 1 || s.Subscriptions != 0 || s.Registrations != 1 || s.OpenCalls != 0 {
				t.Errorf("%s: left behind: %+v", name, s)
			}
		}
	}
}

// TestAUZRealmGoes: a realm that is closed while its authorizer is asked takes the question with it; ids of askers
// are given back.
func TestAUZRealmGoes(t *testing.T) {
	for name, closeIt := range map[string]func(b *bed){
		"closed": func(b *bed) {
			if err := b.router.closeRealm("realm1", func() {}); err != nil {
				t.Fatal(err)
			}
		},
		"no longer configured": func(b *bed) { b.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}}) },
	} {
		b := newAuthorizerBed(t, 2, func(_ *Authorizer, cfg *Config) {
			cfg.Realms = append(cfg.Realms, RealmConfig{URI: "realm2"})
		})
		p := b.join(0)
		p.say(codec.Subscribe, 1, values{}, "a")
		if b.next() == nil {
			t.Fatal("not asked")
		}
		closeIt(b.bed)
		b.Settle()
		p.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
		p.HangUp()
		b.idle(0)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestAUZLarge: a message that was checked in the pool waits for its authorizer like others, and goes its way.
func TestAUZLarge(t *testing.T) {
	b := newAuthorizerBed(t, 2, nil)
	b.router.bounds.largeBytes = 1 << 10
	p, other := b.join(0), b.joinAs(1, codec.JSON, 1<<20)
	long := strings.Repeat("x", 4<<10)
	other.say(codec.Subscribe, 1, values{}, "a")
	b.answer(Subscribe, "a", true)
	other.expect(codec.Subscribed, 1, nil)
	other.say(codec.Register, 2, values{}, "p")
	b.answer(Register, "p", true)
	other.expect(codec.Registered, 2, nil)
	p.say(codec.Publish, 1, values{"acknowledge": true}, "a", []any{long})
	b.answer(Publish, "a", true)
	p.expect(codec.Published, 1, nil)
	other.expect(codec.Event, nil, nil, values{}, []any{long})
	p.say(codec.Call, 2, values{}, "p", []any{long})
	b.answer(Call, "p", true)
	m := other.expect(codec.Invocation, nil, nil, values{}, []any{long})
	other.say(codec.Yield, int(m[1].(int64)), values{}, []any{long})
	p.expect(codec.Result, 2, values{}, []any{long})
	p.say(codec.Publish, 3, values{"acknowledge": true}, "a", []any{long})
	b.answer(Publish, "a", false)
	p.refused(codec.Publish, 3, codec.ErrNotAuthorized)
	other.silent()
}

// TestAUZChunked: an event with many matches that an authorizer has allowed goes on chunk by chunk.
func TestAUZChunked(t *testing.T) {
	b := newAuthorizerBed(t, 1, nil)
	b.router.bounds.matchesAtOnce = 2
	p, other := b.join(0), b.localAs(0, trustedRole)
	for i := range 7 {
		b.say(other, codec.Subscribe, i+1, values{"match": "prefix"}, "abcdefgh"[:i+1])
	}
	at := len(b.heard[other])
	p.say(codec.Publish, 1, values{"acknowledge": true}, "abcdefgh")
	b.answer(Publish, "abcdefgh", true)
	p.expect(codec.Published, 1, nil)
	if n := len(b.heard[other]) - at; n != 7 {
		t.Errorf("%d events, want 7", n)
	}
	if p.Held() {
		t.Error("still held")
	}
}

// TestAUZApplyMeanwhile: a policy that is replaced while its authorizer is asked decides where it can, and its
// predecessor's answer is not remembered.
func TestAUZApplyMeanwhile(t *testing.T) {
	b := newAuthorizerBed(t, 1, nil)
	p := b.join(0)
	apply := func(permissions ...policy.Permission) {
		t.Helper()
		cfg := *b.router.settings.Load()
		rc := cfg.Realms[0]
		rc.Policy = compile(t, policy.RoleDefinition{Name: "anonymous", Dynamic: true, Permissions: permissions})
		cfg.Realms = []RealmConfig{rc}
		b.apply(cfg)
		b.Settle()
	}
	p.say(codec.Call, 1, values{}, "a")
	apply(policy.Permission{URI: "a", Allow: &policy.Actions{}})
	b.answer(Call, "a", values{"allow": true, "cache": true})
	p.refused(codec.Call, 1, codec.ErrNotAuthorized)
	apply()
	p.say(codec.Call, 2, values{}, "a")
	apply()
	b.answer(Call, "a", values{"allow": true, "cache": true})
	p.refused(codec.Call, 2, codec.ErrNoSuchProcedure)
	p.say(codec.Call, 3, values{}, "a")
	b.answer(Call, "a", false)
	p.refused(codec.Call, 3, codec.ErrNotAuthorized)

	other := b.localAs(0, trustedRole) // the same with a record, on which a session remembers
	b.say(other, codec.Subscribe, 1, values{}, "t")
	p.say(codec.Publish, 4, values{"acknowledge": true}, "t")
	apply()
	b.answer(Publish, "t", values{"allow": true, "cache": true})
	p.expect(codec.Published, 4, nil)
	p.say(codec.Publish, 5, values{"acknowledge": true}, "t")
	b.answer(Publish, "t", false)
	p.refused(codec.Publish, 5, codec.ErrNotAuthorized)
	if n := b.router.Stats().Chunked; n != 0 {
		t.Errorf("%d publications took more than a turn", n)
	}
}

// TestMemo: entries take each other's place, and what is over is forgotten with the first.
func TestMemo(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	s := b.router.directory.find(p.id)
	r := &rights{epoch: 7}
	permits := make([]permit, memoEntries+1)
	yes := policy.Decision{Allow: true, Definitive: true, Cache: true}
	do := func(f func(x port.Executor)) { p.Do(f); b.Settle() }
	do(func(x port.Executor) {
		for i := range permits {
			r.remember(x, s, &permits[i], uint64(i), yes, time.Duration(100-i)*time.Second)
		}
	})
	found := func(i int) bool { return r.memo.find(&permits[i], uint64(i), 7) != 0 }
	for i := range permits {
		if found(i) != (i != 0) {
			t.Errorf("entry %d: %v", i, found(i))
		}
	}
	if r.memo.find(&permits[1], 1, 8) != 0 || (*memo)(nil).find(&permits[1], 1, 7) != 0 {
		t.Error("found in another epoch, or nowhere")
	}
	b.Advance(time.Duration(100-memoEntries)*time.Second - 1)
	b.Settle()
	if !found(5) {
		t.Error("forgotten too early")
	}
	b.Advance(1)
	b.Settle()
	for i := range permits {
		if found(i) {
			t.Errorf("entry %d outlived its time", i)
		}
	}
	do(func(x port.Executor) {
		r.remember(x, s, &permits[3], 3, yes, time.Second)
		r.epoch = 8
		r.remember(x, s, &permits[4], 4, yes, time.Second)
	})
	if found(3) || r.memo.find(&permits[4], 4, 8) == 0 {
		t.Error("another epoch did not begin anew")
	}
}

// TestAUZ13: what gives something up, or answers, needs no permission.
func TestAUZ13(t *testing.T) {
	rules := grant(t, map[string]bool{"anonymous": true})
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Policy: rules}}})
	p, other := b.join(0), b.join(0)
	topic, procedure := p.subscribe(1, "t"), p.register(2, "p", "single")
	for i := range 3 {
		other.say(codec.Call, i+1, values{}, "p")
		p.expect(codec.Invocation, i+1, nil, values{})
	}
	b.router.named["realm1"].settings.Load().Policy.Role("anonymous") // the walk of Apply is not the subject here
	deny := *b.router.named["realm1"].settings.Load()
	set := newSettings(deny.limits, deny.RealmConfig, deny.epoch+1)
	set.Policy = grant(t, map[string]bool{"anonymous": false})
	b.router.named["realm1"].put(set)
	p.say(codec.Yield, 1, values{})
	other.expect(codec.Result, 1, values{})
	p.say(codec.Error, codec.Invocation, 2, values{}, "com.app.no")
	other.refused0(codec.Call, 2, "com.app.no")
	other.say(codec.Cancel, 3, values{"mode": "skip"})
	other.refused(codec.Call, 3, codec.ErrCanceled)
	p.say(codec.Unsubscribe, 3, int(topic))
	p.expect(codec.Unsubscribed, 3)
	p.say(codec.Unregister, 4, int(procedure))
	p.expect(codec.Unregistered, 4)
}

// refused0 expects an ERROR without arguments.
func (p *peer) refused0(t codec.Type, request int, uri string) {
	p.bed.t.Helper()
	p.expect(codec.Error, t, request, values{}, uri)
}
