package realm

import (
	"fmt"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// Logins that are replayed, and sessions that end with their proof, their realm or their template.

// TestAUTHReplay: a signature is good for one challenge on one connection (AUTH-16), and a challenge that is sent
// back proves nothing (AUTH-31).
func TestAUTHReplay(t *testing.T) {
	t.Attr("checklist", "AUTH-16 AUTH-31")
	b := loginBed(t, 1, nil)
	begin := func(method string) (*peer, string) {
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", values{"authextra": values{"pubkey": keyOf()}}, method)
		return p, p.challenged(method)["challenge"].(string)
	}
	for method, sign := range map[string]func(string) string{"wampcra": signCRA, "cryptosign": signKey} {
		p, challenge := begin(method)
		signature := sign(challenge)
		p.say(codec.Authenticate, signature, values{})
		p.welcomed("joe", "user", method, "static")
		p, other := begin(method) // replayed
		if other == challenge {
			t.Errorf("%s: the same challenge twice", method)
		}
		p.say(codec.Authenticate, signature, values{})
		p.aborted(codec.ErrAuthenticationDenied)
		p, challenge = begin(method) // reflected
		p.say(codec.Authenticate, challenge, values{})
		p.aborted(codec.ErrAuthenticationDenied)
		one, first := begin(method) // one open challenge answered on another connection
		two, _ := begin(method)
		two.say(codec.Authenticate, sign(first), values{})
		two.aborted(codec.ErrAuthenticationDenied)
		one.say(codec.Authenticate, sign(first), values{})
		one.welcomed("joe", "user", method, "static")
	}
}

// TestAUTHExpiry: a session ends with the proof of its identity.
func TestAUTHExpiry(t *testing.T) {
	for _, after := range []time.Duration{time.Minute, 250 * 24 * time.Hour} {
		b := loginBed(t, 1, nil)
		p := b.far(0, codec.JSON, nil)
		p.ticketJoin("joe")
		p.Do(func(x port.Executor) {
			s := b.router.directory.find(p.id)
			s.admission.principal.Expires = noon.Add(after)
			s.handler.watch(x, time.Time{})
		})
		b.Settle()
		for b.Now()+100*24*time.Hour < after { // a timer fires early, and is set again
			b.Advance(100 * 24 * time.Hour)
			b.Settle()
			p.silent()
		}
		b.Advance(after - b.Now() - time.Millisecond)
		b.Settle()
		p.silent()
		b.Advance(time.Millisecond)
		b.Settle()
		p.expect(codec.Goodbye, nil, codec.CloseKilled)
		p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
		if n := b.router.Stats().Expired; n != 1 {
			t.Errorf("%d expired", n)
		}
		b.idle(0)
	}
	store := auth.NewCookies(10, time.Hour) // the proof is that of an earlier login
	b := loginBed(t, 1, func(ac *auth.Config, _ *Config) { ac.Cookie = &auth.CookieOptions{Store: store} })
	id := store.Issue()
	browser := b.far(0, codec.JSON, func(p *port.Peer) { p.Cookie = id })
	browser.ticketJoin("joe")
	bound := *store.Lookup(id, "realm1", noon)
	bound.Expires = noon.Add(time.Minute)
	store.Bind(id, &bound, noon)
	browser.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	browser.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	browser.offer("", nil, "cookie")
	browser.welcomed("joe", "user", "cookie", "static")
	b.Advance(time.Minute - time.Millisecond)
	b.Settle()
	browser.silent()
	b.Advance(time.Millisecond)
	b.Settle()
	browser.expect(codec.Goodbye, nil, codec.CloseKilled)

	b = loginBed(t, 1, nil) // the timer of a session that has left does nothing
	p := b.far(0, codec.JSON, nil)
	p.ticketJoin("joe")
	p.Do(func(x port.Executor) {
		s := b.router.directory.find(p.id)
		s.admission.principal.Expires = noon.Add(time.Minute)
		s.handler.watch(x, time.Time{})
	})
	b.Settle()
	p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	p.ticketJoin("joe")
	b.Advance(time.Minute)
	b.Settle()
	p.silent()
}

// TestAUTHExpiryFollowsTheClock: the proof ends at a time of day. If the clock is set forward over it, the session
// ends expiryPauseMax later at most; if it is set back, not before that time comes.
func TestAUTHExpiryFollowsTheClock(t *testing.T) {
	b := loginBed(t, 1, nil)
	set := time.Duration(0)
	b.router.clock = func() time.Time { return noon.Add(b.Now() + set) }
	after := func(d time.Duration) {
		b.Advance(d)
		b.Settle()
	}
	join := func() *peer {
		p := b.far(0, codec.JSON, nil)
		p.ticketJoin("joe")
		p.Do(func(x port.Executor) {
			s := b.router.directory.find(p.id)
			s.admission.principal.Expires = noon.Add(24 * time.Hour)
			s.handler.watch(x, time.Time{})
		})
		b.Settle()
		return p
	}
	forward := join()
	after(time.Hour)
	set = 23*time.Hour - 1 // a moment before the end
	after(expiryPauseMax - 2)
	forward.silent()
	after(1)
	forward.silent()
	after(1) // it has looked at the clock by now
	forward.expect(codec.Goodbye, nil, codec.CloseKilled)
	forward.HangUp()

	set = -b.Now() // noon
	back := join()
	after(23 * time.Hour)
	set -= 2 * time.Hour
	after(3*time.Hour - 1)
	back.silent()
	after(1)
	back.expect(codec.Goodbye, nil, codec.CloseKilled)
	if n := b.router.Stats().Expired; n != 2 {
		t.Errorf("%d expired", n)
	}
}

// TestAUTHRealmGoes: a login of a realm that is closed meanwhile does not end in it.
func TestAUTHRealmGoes(t *testing.T) {
	b := loginBed(t, 1, func(_ *auth.Config, cfg *Config) {
		cfg.Realms = append(cfg.Realms, RealmConfig{URI: "realm2"})
	})
	p := b.far(0, codec.JSON, nil)
	p.offer("joe", nil, "ticket")
	p.challenged("ticket")
	if err := b.router.closeRealm("realm1", func() {}); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	p.say(codec.Authenticate, ticketOf, values{})
	p.aborted(codec.ErrNoSuchRealm)
	b.idle(0)
}

// TestAUTHTemplate: realms that a template makes share its Auth, and each has its own principals' challenges.
func TestAUTHTemplate(t *testing.T) {
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		cfg.Templates = []Template{{
			Match: codec.Prefix, RealmConfig: RealmConfig{URI: "tenant.", Auth: makeAuth(t, *ac)},
		}}
	})
	for i := range 2 {
		p := b.far(0, codec.JSON, nil)
		uri := fmt.Sprint("tenant.", i)
		p.say(codec.Hello, uri, values{
			"roles": values{"caller": values{}}, "authid": "joe", "authmethods": []any{"ticket"},
		})
		p.challenged("ticket")
		p.say(codec.Authenticate, ticketOf, values{})
		if m := p.expect(codec.Welcome, nil, nil); m[2].(values)["realm"] != uri {
			t.Errorf("%v", m)
		}
	}
	if n := b.router.Stats().Realms; n != 3 {
		t.Errorf("%d realms", n)
	}
}
