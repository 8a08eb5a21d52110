package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/auth"
	"banyan/realm/policy"
)

var everyRole = values{"roles": values{
	"publisher": values{}, "subscriber": values{}, "caller": values{}, "callee": values{},
}}

// tenants is a router whose realms all come from one template with logins.
func tenants(t *testing.T, loops, most int) (*bed, Config) {
	t.Helper()
	cfg := Config{
		Templates:    []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{Auth: makeAuth(t, loginConfig(t))}}},
		RealmsMax:    most,
		AuthFailures: auth.LimiterConfig{Burst: 1000},
	}
	return newBed(t, loops, cfg), cfg
}

// ask sends HELLO for a realm and expects CHALLENGE.
func (p *peer) ask(realm string) {
	p.bed.t.Helper()
	p.say(codec.Hello, realm, values{"roles": everyRole["roles"], "authid": "joe", "authmethods": []any{"ticket"}})
	p.challenged("ticket")
}

// TestTemplateGuesses: realms of a template have its users in common, so failures in one of them count in all: who
// guesses does not begin again with each realm.
func TestTemplateGuesses(t *testing.T) {
	b := newBed(t, 2, Config{
		Templates:    []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{Auth: makeAuth(t, loginConfig(t))}}},
		AuthFailures: auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: 60, Burst: 2},
	})
	for i := range 2 {
		p := b.far(i, codec.JSON, nil)
		p.ask(fmt.Sprint("tenant.", i))
		p.say(codec.Authenticate, "wrong", values{})
		p.aborted(codec.ErrAuthenticationDenied)
	}
	p := b.far(0, codec.JSON, nil)
	p.say(codec.Hello, "tenant.2", values{
		"roles": everyRole["roles"], "authid": "joe", "authmethods": []any{"ticket"},
	})
	if message := p.aborted(codec.ErrAuthenticationDenied); !strings.Contains(message, "too many") {
		t.Errorf("the third guess: %q", message)
	}
	p = b.far(1, codec.JSON, nil)
	p.say(codec.Hello, "tenant.2", values{
		"roles": everyRole["roles"], "authid": "ann", "authmethods": []any{"ticket"},
	})
	p.challenged("ticket")
}

// HELLO alone makes no realm: strangers without a password take no place from those who have one (PROTOCOL 4.2).
func TestStrangersMakeNoRealms(t *testing.T) {
	b, _ := tenants(t, 2, 2)
	for i := range 20 {
		p := b.far(i%2, codec.JSON, nil)
		p.ask(fmt.Sprint("tenant.", i))
		if i%3 == 0 {
			p.say(codec.Authenticate, "wrong", values{})
			p.expect(codec.Abort, nil, nil)
		}
		if n := len(b.router.Realms()); n != 0 {
			t.Fatalf("%d realms after %d strangers", n, i+1)
		}
	}
	for i, want := range []int{1, 2, 2} {
		p := b.far(i%2, codec.JSON, nil)
		p.ask([]string{"tenant.a", "tenant.b", "tenant.a"}[i])
		p.say(codec.Authenticate, ticketOf, values{})
		p.expect(codec.Welcome, nil, nil)
		if got := b.router.Realms(); len(got) != want || b.router.Stats().Realms != int64(want) {
			t.Errorf("realms %v, %d counted", got, b.router.Stats().Realms)
		}
	}
	p := b.far(0, codec.JSON, nil)
	p.say(codec.Hello, "tenant.c", everyRole)
	p.expect(codec.Abort, nil, codec.ErrNoSuchRealm) // RealmsMax
}

// A realm that a template made goes with its last session and gives its place to another, again and again; a
// configured one stays.
func TestAutomaticRealmGoes(t *testing.T) {
	b := newBed(t, 1, Config{
		Realms: []RealmConfig{{URI: "realm1"}}, Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 2,
	})
	b.join(0).HangUp()
	for i := range 3 {
		one, two := b.connect(0, codec.JSON, 1<<20), b.connect(0, codec.CBOR, 1<<20)
		uri := fmt.Sprint("made", i)
		one.hello(uri)
		two.hello(uri)
		first := b.router.named[uri]
		sub := one.subscribe(1, "t")
		two.say(codec.Publish, 1, values{}, "t")
		one.expect(codec.Event, int(sub), nil, values{})
		two.say(codec.Goodbye, values{}, codec.CloseCloseRealm)
		two.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
		full := b.connect(0, codec.JSON, 1<<20)
		full.say(codec.Hello, "other", everyRole)
		full.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
		two.hello(uri)
		one.HangUp()
		b.Settle()
		if b.router.named[uri] != first {
			t.Error("the realm went although somebody was there")
		}
		two.HangUp()
		b.Settle()
		if got := b.router.Realms(); !slices.Equal(got, []string{"realm1"}) {
			t.Errorf("realms %v", got)
		}
	}
	nothingLeft(t, b.router, b.World)
}

// Two loops make the same realm at the same time: one of them does, and both sessions are in it.
func TestAutomaticRealmOnce(t *testing.T) {
	b := newBed(t, 2, Config{Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 1})
	one, two := b.connect(0, codec.JSON, 1<<20), b.connect(1, codec.JSON, 1<<20)
	b.Settle()
	one.post(codec.Hello, "made", everyRole)
	two.post(codec.Hello, "made", everyRole)
	b.pauseAt(0, "realm.use", 1)
	b.RunLoop(1)
	b.Settle()
	one.expect(codec.Welcome, nil, nil)
	two.expect(codec.Welcome, nil, nil)
	sub := one.subscribe(1, "t")
	two.say(codec.Publish, 1, values{}, "t")
	one.expect(codec.Event, int(sub), nil, values{})
	if n := b.router.named["made"].users.Load(); n != 2 {
		t.Errorf("%d users", n)
	}
	one.HangUp()
	two.HangUp()
	b.Settle()
	nothingLeft(t, b.router, b.World)
}

// The last session leaves while another has found the realm: whoever is first, the second one finds a realm that
// works, and what ends with the old one does not reach it.
func TestAutomaticRealmGoesMeanwhile(t *testing.T) {
	for _, step := range []string{"realm.use", "realm.release"} {
		b := newBed(t, 2, Config{Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 1})
		last, next := b.connect(0, codec.JSON, 1<<20), b.connect(1, codec.JSON, 1<<20)
		last.hello("made")
		last.subscribe(1, "wamp.session.on_join")
		one := b.connect(0, codec.JSON, 1<<20)
		one.hello("made")
		one.HangUp()
		b.Settle()
		if !b.router.named["made"].asked.Load() {
			t.Fatal("nobody heard of a session")
		}
		if step == "realm.use" {
			next.post(codec.Hello, "made", everyRole)
			b.pauseAt(1, step, 1)
			last.HangUp()
			b.RunLoop(0)
		} else {
			last.HangUp()
			b.pauseAt(0, step, 1)
			next.post(codec.Hello, "made", everyRole)
			b.RunLoop(1)
		}
		b.Settle()
		next.expect(codec.Welcome, nil, nil)
		third := b.connect(0, codec.CBOR, 1<<20)
		third.hello("made")
		sub := next.subscribe(1, "t")
		third.say(codec.Publish, 1, values{}, "t")
		next.expect(codec.Event, int(sub), nil, values{})
		next.HangUp()
		third.HangUp()
		b.Settle()
		nothingLeft(t, b.router, b.World)
	}
}

// The configuration changes while a login is under way to a realm that is not there yet: the new settings decide.
func TestAutomaticRealmChanges(t *testing.T) {
	b, cfg := tenants(t, 1, 10)
	login := func(change Config) *peer {
		p := b.far(0, codec.JSON, nil)
		p.ask("tenant.a")
		b.apply(change)
		p.say(codec.Authenticate, ticketOf, values{})
		return p
	}
	static := []RealmConfig{{URI: "realm1"}}
	p := login(cfg)
	p.expect(codec.Welcome, nil, nil)
	p.HangUp()
	none := login(Config{Realms: static})
	none.expect(codec.Abort, nil, nil)
	b.apply(cfg)
	strict := cfg.clone()
	strict.Templates[0].StrictURIs = true
	p = login(strict)
	p.expect(codec.Welcome, nil, nil)
	p.say(codec.Subscribe, 1, values{}, "UPPER")
	p.refused(codec.Subscribe, 1, codec.ErrInvalidURI)
	// A reload leaves those alone who came through a realm that is not there.
	b.apply(strict)
	p.silent()
	p.HangUp()
	b.Settle()
	if got := b.router.Realms(); len(got) != 0 {
		t.Errorf("realms %v", got)
	}
	b.idle(0)
}

// An automatic realm whose authorizer was asked goes with its asker.
func TestAutomaticRealmAndAsker(t *testing.T) {
	dynamic := compile(t, policy.RoleDefinition{Name: "anonymous", Dynamic: true})
	b := newBed(t, 1, Config{Templates: []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{
		Policy: dynamic, Authorizers: map[string]Authorizer{"anonymous": {Procedure: "decide"}},
	}}}})
	for range 2 {
		p := b.connect(0, codec.JSON, 1<<20)
		p.hello("made")
		p.say(codec.Subscribe, 1, values{}, "t")
		p.refused(codec.Subscribe, 1, codec.ErrAuthorizationFailed)
		if rm := b.router.named["made"]; rm.askers[0] == nil {
			t.Fatal("nobody was asked")
		}
		p.HangUp()
		b.Settle()
		if n := len(b.router.named); n != 0 {
			t.Errorf("%d realms", n)
		}
		nothingLeft(t, b.router, b.World)
	}
}

// More logins are under way than there is room for: room is looked for again when they end.
func TestStrangersAtTheLimit(t *testing.T) {
	b, _ := tenants(t, 1, 1)
	one, two := b.far(0, codec.JSON, nil), b.far(0, codec.JSON, nil)
	one.ask("tenant.a")
	two.ask("tenant.b")
	one.say(codec.Authenticate, ticketOf, values{})
	one.expect(codec.Welcome, nil, nil)
	two.say(codec.Authenticate, ticketOf, values{})
	two.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
}

// Two loops have room for one realm, and each is about to make one of its own: the second is refused. RealmsMax holds
// however the loops take turns.
func TestRealmsMaxMeanwhile(t *testing.T) {
	for _, most := range []int{1, 2} {
		b := newBed(t, 2, Config{Templates: []Template{{Match: codec.Prefix}}, RealmsMax: most})
		one, two := b.connect(0, codec.JSON, 1<<20), b.connect(1, codec.JSON, 1<<20)
		b.Settle()
		one.post(codec.Hello, "made.one", everyRole)
		b.pauseAt(0, "realm.use", 1) // there was room
		two.post(codec.Hello, "made.two", everyRole)
		b.RunLoop(1)
		two.expect(codec.Welcome, nil, nil)
		b.Settle()
		if most == 1 {
			one.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
		} else {
			one.expect(codec.Welcome, nil, nil)
		}
		if n := len(b.router.Realms()); n != most {
			t.Errorf("%d realms, %d allowed", n, most)
		}
	}
}

// The configuration changes between the look for a realm and its first session: what it says now counts.
func TestAutomaticRealmUsedMeanwhile(t *testing.T) {
	before := Config{Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 2}
	strict := before.clone()
	strict.Templates[0].StrictURIs = true
	refused := before.clone()
	refused.Templates[0].Auth = makeAuth(t, loginConfig(t))
	fewer := before.clone()
	fewer.Realms, fewer.RealmsMax = []RealmConfig{{URI: "realm1"}}, 1
	for _, c := range []struct {
		name  string
		now   Config
		abort string
	}{
		{"stricter", strict, ""},
		{"with logins", refused, codec.ErrAuthenticationFailed},
		{"without a template", Config{Realms: []RealmConfig{{URI: "realm1"}}}, codec.ErrNoSuchRealm},
		{"without room", fewer, codec.ErrNoSuchRealm},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, 1, before)
			p := b.connect(0, codec.JSON, 1<<20)
			b.Settle()
			p.post(codec.Hello, "made", everyRole)
			b.pauseAt(0, "realm.use", 1)
			if err := b.router.apply(c.now, func(Report) {}); err != nil {
				t.Fatal(err)
			}
			b.Settle()
			if c.abort != "" {
				p.expect(codec.Abort, nil, c.abort)
				return
			}
			p.expect(codec.Welcome, nil, nil)
			p.say(codec.Subscribe, 1, values{}, "UPPER")
			p.refused(codec.Subscribe, 1, codec.ErrInvalidURI)
		})
	}
}
