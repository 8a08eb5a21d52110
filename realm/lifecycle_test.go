package realm

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/realmtest"
)

func (p *peer) finished(code port.CloseCode) {
	p.bed.t.Helper()
	if got, ok := p.Finished(); !ok || got != code {
		p.bed.t.Fatalf("finished: %v with %d, want %d", ok, got, code)
	}
}

func (p *peer) open() {
	p.bed.t.Helper()
	if _, ok := p.Finished(); ok {
		p.bed.t.Fatal("finished")
	}
}

// TestSES24: a connection that says nothing is closed by the HELLO timer, without a message; so is one that says
// nothing after its GOODBYE.
func TestSES24(t *testing.T) {
	b := newBed(t, 1, Config{})
	quiet, left := b.connect(0, codec.JSON, 1<<20), b.join(0)
	joined := b.join(0)
	left.say(codec.Goodbye, values{}, codec.CloseCloseRealm)
	left.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	b.Advance(10*time.Second - 1)
	b.Settle()
	quiet.open()
	left.open()
	b.Advance(1)
	b.Settle()
	quiet.finished(port.ClosePolicy)
	left.finished(port.ClosePolicy)
	quiet.silent()
	left.silent()
	joined.open()
	if n := b.router.Stats().Timeouts; n != 2 {
		t.Errorf("%d timeouts counted", n)
	}
}

// TestSES28: after the router's GOODBYE, input is ignored until the reply, which closes the transport.
func TestSES28(t *testing.T) {
	b := newBed(t, 2, Config{})
	leaver, other := b.join(0), b.join(1)
	other.subscribe(1, "t")
	leaver.Shutdown()
	b.Settle()
	leaver.expect(codec.Goodbye, values{"message": "the node stops"}, codec.CloseSystemShutdown)
	leaver.say(codec.Publish, 1, values{"acknowledge": true}, "t")
	leaver.say(codec.Hello, "realm1", values{})
	leaver.silent()
	other.silent()
	leaver.open()
	leaver.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	leaver.finished(port.CloseGoingAway)
	leaver.silent()
}

// TestSES29: the reply to the router's GOODBYE does not come.
func TestSES29(t *testing.T) {
	b := newBed(t, 1, Config{GoodbyeTimeout: 3 * time.Second})
	p := b.join(0)
	p.Shutdown()
	b.Settle()
	b.Advance(3*time.Second - 1)
	b.Settle()
	p.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
	p.open()
	b.Advance(1)
	b.Settle()
	p.finished(port.CloseGoingAway)
	p.silent()
}

// TestSES30: both sides say GOODBYE at the same time; each sees exactly one.
func TestSES30(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	p.Shutdown()
	p.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	b.Settle()
	p.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
	p.silent()
	p.finished(port.CloseGoingAway)
}

// TestSES31: shutdown reaches every session; connections without one are closed at once.
func TestSES31(t *testing.T) {
	b := newBed(t, 3, Config{})
	var peers []*peer
	for i := range 9 {
		peers = append(peers, b.join(i%3))
	}
	stranger := b.connect(0, codec.JSON, 1<<20)
	for _, p := range append(peers, stranger) {
		p.Shutdown()
	}
	b.Settle()
	for _, p := range peers {
		p.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
		p.silent()
	}
	stranger.silent()
	stranger.finished(port.CloseGoingAway)
}

// TestSES32: closing one realm leaves the others alone; nobody can join it any more.
func TestSES32(t *testing.T) {
	b := newBed(t, 2, Config{})
	in, also := b.join(0), b.join(1)
	out := b.connect(1, codec.JSON, 1<<20)
	out.hello("realm2")
	caller := b.connect(0, codec.CBOR, 1<<20)
	caller.hello("realm2")
	out.register(1, "p", "single")
	closed := 0
	if err := b.router.closeRealm("realm1", func() { closed++ }); err != nil {
		t.Fatal(err)
	}
	if err := b.router.closeRealm("realm1", func() {}); !errors.Is(err, ErrNoSuchRealm) {
		t.Errorf("closed again: %v", err)
	}
	b.Settle()
	if closed != 1 {
		t.Errorf("told %d times that the realm is closed", closed)
	}
	in.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	also.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	caller.say(codec.Call, 1, values{}, "p")
	out.expect(codec.Invocation, 1, nil, values{})
	late := b.connect(0, codec.JSON, 1<<20)
	late.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
	late.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
	in.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	in.finished(port.CloseNormal)
}

// TestSES36: ABORT has three elements and a message that says something; the WebSocket is closed as the protocol
// wants it (SES-35).
func TestSES36(t *testing.T) {
	t.Attr("checklist", "SES-35")
	b := newBed(t, 1, Config{})
	p := b.join(0)
	p.say(codec.Welcome, 1, values{})
	abort := p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
	if message, _ := abort[1].(values)["message"].(string); message == "" {
		t.Errorf("no message in %v", abort)
	}
	p.finished(port.CloseViolation)
}

// TestViolate: the transport itself reports a breach.
func TestViolate(t *testing.T) {
	b := newBed(t, 1, Config{})
	var handlers []port.Handler
	open := b.router.Open
	b.Open = func(x port.Executor, c port.Conn) port.Handler {
		handlers = append(handlers, open(x, c))
		return handlers[len(handlers)-1]
	}
	p := b.join(0)
	p.Do(func(x port.Executor) { handlers[0].Violate(x, &codec.Violation{Reason: "a text frame"}) })
	b.Settle()
	p.expect(codec.Abort, values{"message": "a text frame"}, codec.ErrProtocolViolation)
	p.finished(port.CloseViolation)
	if stats := b.router.Stats(); stats.Sessions != 0 || stats.Violations != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestSES42: session ids are spread over the whole range and unique among the living.
func TestSES42(t *testing.T) {
	b := newBed(t, 2, Config{})
	seen := map[uint64]bool{}
	var living []*peer
	for range 10_000 {
		p := b.join(len(seen) % 2)
		if p.id < 1 || p.id > codec.MaxID || seen[p.id] {
			t.Fatalf("id %d", p.id)
		}
		seen[p.id] = true
		if living = append(living, p); len(living) == 50 {
			for _, p := range living {
				p.HangUp()
			}
			b.Settle()
			living = living[:0]
		}
	}
	spread(t, seen)
}

// spread checks that ids fill each sixteenth of the range about evenly.
func spread(t *testing.T, ids map[uint64]bool) {
	t.Helper()
	var parts [16]int
	for id := range ids {
		parts[(id-1)>>49]++
	}
	want := len(ids) / 16
	for i, n := range parts {
		if n < want*3/4 || n > want*5/4 {
			t.Errorf("part %d of the range holds %d ids, expected about %d", i, n, want)
		}
	}
}

// TestID13: so are publication ids.
func TestID13(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	seen := map[uint64]bool{}
	const n = 100_000
	for i := 1; i <= n; i++ {
		p.post(codec.Publish, i, values{"acknowledge": true}, "t")
		if i%1000 == 0 {
			b.Settle()
			for published := p.hear(); published != nil; published = p.hear() {
				seen[uint64(published[2].(int64))] = true
			}
		}
	}
	if len(seen) != n {
		t.Fatalf("%d distinct ids", len(seen))
	}
	spread(t, seen)
}

// TestID10: with strict request ids the sequence goes on at 1 after 2^53.
func TestID10(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", StrictRequestIDs: true}}})
	p := b.join(0)
	b.router.named["realm1"].sessions[0].head.lastRequest = codec.MaxID - 1
	p.say(codec.Publish, codec.MaxID, values{"acknowledge": true}, "t")
	p.expect(codec.Published, codec.MaxID, nil)
	p.say(codec.Publish, 1, values{"acknowledge": true}, "t")
	p.expect(codec.Published, 1, nil)
	p.say(codec.Publish, 3, values{"acknowledge": true}, "t")
	p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
}

// TestInvocationIDsWrap: invocation ids go on at 1 after 2^53, and late answers are still told from forged ones.
func TestInvocationIDsWrap(t *testing.T) {
	b := newBed(t, 1, Config{})
	callee := b.join(0)
	id := callee.register(1, "p", "single")
	b.router.named["realm1"].sessions[0].head.lastInvocation = codec.MaxID - 1
	for i, want := range []int{codec.MaxID, 1, 2} {
		callee.say(codec.Call, i+2, values{}, "p")
		callee.expect(codec.Invocation, want, id, values{})
		callee.say(codec.Yield, want, values{})
		callee.expect(codec.Result, i+2, values{})
		callee.say(codec.Yield, want, values{})
		callee.silent()
	}
}

// TestSES49: transport loss that coincides with GOODBYE ends the session once.
func TestSES49(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{}, "p")
	callee.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	callee.HangUp()
	callee.HangUp()
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrCanceled)
	caller.silent()
	if stats := b.router.Stats(); stats.Sessions != 1 || stats.Registrations != 0 || stats.OpenCalls != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestAnonymous: without authentication, only local peers come in unless the realm, or the listener, says otherwise;
// the message says what to do.
func TestAnonymous(t *testing.T) {
	for _, test := range []struct {
		realm, listener Anonymous
		local, in       bool
	}{
		{AnonymousByRealm, AnonymousByRealm, true, true},
		{AnonymousByRealm, AnonymousByRealm, false, false},
		{AnonymousLocal, AnonymousByRealm, false, false},
		{AnonymousAnywhere, AnonymousByRealm, false, true},
		{AnonymousNone, AnonymousByRealm, true, false},
		{AnonymousAnywhere, AnonymousNone, true, false},
		{AnonymousAnywhere, AnonymousLocal, false, false},
		{AnonymousNone, AnonymousLocal, true, true},
		{AnonymousLocal, AnonymousAnywhere, false, true},
	} {
		b := newBed(t, 1, Config{
			Realms:    []RealmConfig{{URI: "realm1", Anonymous: test.realm}},
			Listeners: []Listener{{Anonymous: test.listener}},
		})
		p := &peer{Conn: b.Connect(0, codec.MakeVariant(codec.JSON, codec.WebSocket), 1<<20, test.local), bed: b}
		p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
		if test.in {
			p.expect(codec.Welcome, nil, nil)
			continue
		}
		p.expect(codec.Abort, nil, codec.ErrAuthenticationRequired)
		p.finished(port.CloseNormal)
	}
	for methods, in := range map[string]bool{"ticket": false, "anonymous": true} {
		b := newBed(t, 1, Config{
			Realms: []RealmConfig{{URI: "realm1"}}, Listeners: []Listener{{AuthMethods: []string{methods}}},
		})
		p := b.connect(0, codec.JSON, 1<<20)
		p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
		if in {
			p.expect(codec.Welcome, nil, nil)
		} else {
			p.expect(codec.Abort, nil, codec.ErrAuthenticationRequired)
		}
	}
}

// TestLIM01: what a session may hold is limited, with an error, and what it holds stays.
func TestLIM01(t *testing.T) {
	b := newBed(t, 1, Config{SubscriptionsMax: 2, RegistrationsMax: 1, CallsMax: 1})
	p, caller := b.join(0), b.join(0)
	first := p.subscribe(1, "a")
	p.subscribe(2, "b")
	p.say(codec.Subscribe, 3, values{}, "c")
	p.refused(codec.Subscribe, 3, codec.ErrOptionNotAllowed)
	p.say(codec.Subscribe, 4, values{}, "a")
	p.expect(codec.Subscribed, 4, first)
	id := p.register(5, "p", "single")
	p.say(codec.Register, 6, values{}, "q")
	p.refused(codec.Register, 6, codec.ErrOptionNotAllowed)
	caller.say(codec.Call, 1, values{}, "p")
	p.expect(codec.Invocation, 1, id, values{})
	caller.say(codec.Call, 2, values{}, "p")
	caller.refused(codec.Call, 2, codec.ErrOptionNotAllowed)
	other := b.join(0)
	other.say(codec.Call, 1, values{}, "p")
	other.refused(codec.Call, 1, codec.ErrNetworkFailure)
	p.say(codec.Yield, 1, values{})
	caller.expect(codec.Result, 1, values{})
	caller.say(codec.Call, 3, values{}, "p")
	p.expect(codec.Invocation, 2, id, values{})
}

// TestLIM01More: patterns, callees of one registration and list entries are limited on their own, each at n and n +
// 1, and what ended makes room.
func TestLIM01More(t *testing.T) {
	b := newBed(t, 1, Config{PatternsMax: 1, CalleesMax: 2, FilterEntriesMax: 3})
	p := b.join(0)
	for range 2 {
		p.say(codec.Subscribe, 1, values{"match": "prefix"}, "a")
		id := p.expect(codec.Subscribed, 1, nil)[2].(int64)
		p.say(codec.Subscribe, 2, values{"match": "wildcard"}, "a..b")
		p.refused(codec.Subscribe, 2, codec.ErrOptionNotAllowed)
		exact := p.subscribe(3, "exact")
		for _, id := range []int64{id, exact} {
			p.say(codec.Unsubscribe, 4, id)
			p.expect(codec.Unsubscribed, 4)
		}
	}
	one, two, three := b.join(0), b.join(0), b.join(0)
	for range 2 {
		one.register(1, "p", "random")
		id := two.register(1, "p", "random")
		three.say(codec.Register, 1, values{"invoke": "random"}, "p")
		three.refused(codec.Register, 1, codec.ErrOptionNotAllowed)
		for _, p := range []*peer{one, two} {
			p.say(codec.Unregister, 2, id)
			p.expect(codec.Unregistered, 2)
		}
	}
	lists := values{"acknowledge": true, "exclude": []any{int64(1)}, "eligible_authrole": []any{"a", "b"}}
	p.say(codec.Publish, 5, lists, "t")
	p.expect(codec.Published, 5, nil)
	lists["exclude_authid"] = []any{"c"}
	p.say(codec.Publish, 6, lists, "t")
	p.refused(codec.Publish, 6, codec.ErrOptionNotAllowed)
	delete(lists, "acknowledge")
	p.say(codec.Publish, 7, lists, "t")
	p.silent()
}

// TestMSG24Depth: nesting is limited by option, short messages and large ones alike.
func TestMSG24Depth(t *testing.T) {
	for _, long := range []bool{false, true} {
		b := newBed(t, 1, Config{DepthMax: 100})
		for _, deep := range []int{99, 100} { // the message, its arguments, and deep - 1 lists in them
			p := b.join(0)
			arg := any("x")
			for range deep - 1 {
				arg = []any{arg}
			}
			args := []any{arg}
			if long {
				args = append(args, large)
			}
			p.say(codec.Publish, 1, values{"acknowledge": true}, "t", args)
			if deep == 99 {
				p.expect(codec.Published, 1, nil)
			} else {
				p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
			}
		}
	}
}

// TestTemplateLimit: realms made on demand are bounded.
func TestTemplateLimit(t *testing.T) {
	b := newBed(t, 1, Config{
		Realms: []RealmConfig{{URI: "realm1"}}, Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 3,
	})
	for i := range 4 {
		p := b.connect(0, codec.JSON, 1<<20)
		p.say(codec.Hello, fmt.Sprintf("made%d", i), values{"roles": values{"caller": values{}}})
		if i < 2 {
			p.expect(codec.Welcome, nil, nil)
		} else {
			p.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
		}
	}
	if n := b.router.Stats().Realms; n != 3 {
		t.Errorf("%d realms", n)
	}
}

// TestTemplates: the first template that matches makes the realm, by the rules of patterns.
func TestTemplates(t *testing.T) {
	b := newBed(t, 1, Config{
		Realms: []RealmConfig{{URI: "realm1"}},
		Templates: []Template{
			{Match: codec.Wildcard, RealmConfig: RealmConfig{URI: "tenant..app", Anonymous: AnonymousNone}},
			{Match: codec.Prefix, RealmConfig: RealmConfig{URI: "tenant.", StrictURIs: true}},
		},
	})
	for uri, want := range map[string]string{
		"tenant.a.app":   codec.ErrAuthenticationRequired,
		"tenant.a.app.b": "", "tenant.a.apple": "", "tenant.b": "", "tenant.a": "",
		"tenant": codec.ErrNoSuchRealm, "other.a.app": codec.ErrNoSuchRealm,
	} {
		p := b.connect(0, codec.JSON, 1<<20)
		p.say(codec.Hello, uri, values{"roles": values{"caller": values{}}})
		if want != "" {
			p.expect(codec.Abort, nil, want)
			continue
		}
		p.expect(codec.Welcome, nil, nil)
		p.say(codec.Subscribe, 1, values{}, "UPPER")
		p.refused(codec.Subscribe, 1, codec.ErrInvalidURI)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Realms: []RealmConfig{{URI: "bad realm"}}},
		{Realms: []RealmConfig{{URI: "a"}, {URI: "a"}}},
		{Realms: []RealmConfig{{URI: "a"}}, Loops: 65},
		{Realms: []RealmConfig{{URI: "a"}}, HelloTimeout: -1},
		{Realms: []RealmConfig{{URI: "a"}}, GoodbyeTimeout: -1},
		{Realms: []RealmConfig{{URI: "a"}}, RealmsMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, SubscriptionsMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, PatternsMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, RegistrationsMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, CalleesMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, CallsMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, FilterEntriesMax: -1},
		{Realms: []RealmConfig{{URI: "a"}}, DepthMax: codec.DepthMaxMost + 1},
		{Realms: []RealmConfig{{URI: "a"}}, FilterEntriesMax: codec.ListEntriesMax + 1},
		{Realms: []RealmConfig{{URI: "a", Anonymous: AnonymousNone + 1}}},
		{Realms: []RealmConfig{{URI: "a"}}, Listeners: []Listener{{Anonymous: AnonymousNone + 1}}},
		{Realms: []RealmConfig{{URI: "a"}}, AuthTimeout: -1},
		{Realms: []RealmConfig{{URI: "a", Quotas: Quotas{CallsMax: -1}}}},
		{Templates: []Template{{RealmConfig: RealmConfig{URI: "a"}}}},
		{Templates: []Template{{Match: codec.Wildcard + 1}}},
		{Templates: []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{URI: "a b"}}}},
		{Templates: []Template{{Match: codec.Prefix}, {Match: codec.Prefix}}},
		{Realms: []RealmConfig{{URI: "a", Authorizers: map[string]Authorizer{"r": {Procedure: "p"}}}}},
		{Realms: []RealmConfig{{
			URI: "a", Policy: grant(t, map[string]bool{"r": true}),
			Authorizers: map[string]Authorizer{"other": {Procedure: "p"}},
		}}},
		{Realms: []RealmConfig{{
			URI: "a", Policy: grant(t, map[string]bool{"r": true}),
			Authorizers: map[string]Authorizer{"r": {Procedure: "a b"}},
		}}},
		{Realms: []RealmConfig{{
			URI: "a", Policy: grant(t, map[string]bool{"r": true}),
			Authorizers: map[string]Authorizer{"r": {Procedure: "p", Timeout: -1}},
		}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	most := Config{
		Realms: []RealmConfig{{URI: "a"}}, Loops: 64, DepthMax: codec.DepthMaxMost,
		FilterEntriesMax: codec.ListEntriesMax,
	}
	if _, err := New(most); err != nil {
		t.Errorf("%+v was refused: %v", most, err)
	}
}

// TestSES38: WELCOME announces what the transcripts show to work, sorted, and nothing else.
func TestSES38(t *testing.T) {
	b := newBed(t, 1, Config{Agent: "test"})
	p := b.connect(0, codec.JSON, 1<<20)
	p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
	details := p.expect(codec.Welcome, nil, nil)[2].(values)
	if details["agent"] != "test" {
		t.Errorf("agent %v", details["agent"])
	}
	broker := (&settings{}).brokerFeatures()
	for role, want := range map[string][]string{"broker": broker, "dealer": dealerFeatures} {
		if !slices.IsSorted(want) {
			t.Errorf("%s features are not sorted", role)
		}
		features := details["roles"].(values)[role].(values)["features"].(values)
		if len(features) != len(want) {
			t.Errorf("%s announces %v", role, features)
		}
		for _, name := range want {
			if features[name] != true {
				t.Errorf("%s.%s is %v", role, name, features[name])
			}
		}
	}
}

// TestLIM04: connections that come and go leave nothing behind.
func TestLIM04(t *testing.T) {
	b := newBed(t, 2, Config{})
	for i := range 2_000 {
		p := b.join(i % 2)
		p.subscribe(1, fmt.Sprint("t", i))
		p.register(2, fmt.Sprint("p", i), "single")
		if i%2 == 0 {
			p.say(codec.Goodbye, values{}, codec.CloseCloseRealm)
		}
		p.HangUp()
		b.Settle()
	}
	nothingLeft(t, b.router, b.World)
}

// nothingLeft checks that no table holds anything once everybody has left.
func nothingLeft(t *testing.T, r *Router, w *realmtest.World) {
	t.Helper()
	s := &sim{t: t, router: r, w: w}
	s.leftBehind()
}

// TestTRN55Smallest: the smallest client there is, RawSocket with 512 octets and JSON, joins.
func TestTRN55Smallest(t *testing.T) {
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		b := newBed(t, 1,
			Config{Realms: []RealmConfig{{URI: "com.example.a.realm.with.a.long.name.in.a.long.deployment"}}})
		p := b.connect(0, s, 512)
		p.say(codec.Hello, "com.example.a.realm.with.a.long.name.in.a.long.deployment",
			values{"roles": values{"caller": values{}}})
		welcome := p.expect(codec.Welcome, nil, nil)
		details := welcome[2].(values)
		for _, role := range []string{"broker", "dealer"} {
			if _, ok := details["roles"].(values)[role].(values)["features"].(values); !ok {
				t.Errorf("%d: no features of the %s: %v", s, role, details)
			}
		}
		if details["authrole"] != "anonymous" || details["authid"] == "" {
			t.Errorf("%d: %v", s, details)
		}
		p.open()
	}
}

// TestTRN55: a transport that does not take WELCOME gets ABORT if that fits, is closed in any case, and leaves no
// session behind.
func TestTRN55(t *testing.T) {
	b := newBed(t, 1, Config{})
	hello := func(bytesMax int) *peer {
		p := b.connect(0, codec.JSON, bytesMax)
		p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
		return p
	}
	roomy := hello(180)
	roomy.expect(codec.Abort, nil, codec.ErrPayloadSizeExceeded)
	roomy.finished(port.ClosePolicy)
	tight := hello(64)
	tight.silent()
	tight.finished(port.ClosePolicy)
	if n := b.router.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions", n)
	}
}
