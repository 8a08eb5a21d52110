package realm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// certified is a peer with a client certificate that trust judges.
func (b *bed) certified(loop int, trust *port.Trust, cookie string) *peer {
	return b.far(loop, codec.JSON, func(p *port.Peer) {
		p.TLS = &port.TLS{Certificate: certificateOf, Trust: func() port.Trust { return *trust }}
		p.Cookie, p.CookieNew = cookie, true
	})
}

// TestReviewCertificate: whoever logged in by a certificate that nobody vouches for any more is told to leave, and so
// is everybody behind a listener that lets nobody in without one; others stay. Nothing else in the configuration has
// changed.
func TestReviewCertificate(t *testing.T) {
	store := auth.NewCookies(10, 1<<40)
	ac := loginConfig(t)
	ac.Cookie = &auth.CookieOptions{Store: store}
	ac.Anonymous.From = auth.Source{Any: true}
	cfg := Config{Realms: []RealmConfig{
		{URI: "realm1", Auth: makeAuth(t, ac)}, {URI: "open", Anonymous: AnonymousAnywhere},
	}}
	b := newBed(t, 2, cfg)
	trust, always := port.Trusted, port.Trusted
	kept := b.certified(1, &always, "")
	kept.offer("", nil, "tls")
	kept.welcomed("", "user", "tls", "static")
	cookie := store.Issue()
	var byTLS, byCookie, byTicket, nameless, open *peer
	join := func() {
		t.Helper()
		byTLS = b.certified(0, &trust, cookie)
		byTLS.offer("", nil, "tls")
		byTLS.welcomed("", "user", "tls", "static")
		byCookie = b.far(1, codec.JSON, func(p *port.Peer) { p.Cookie = cookie })
		byCookie.offer("", nil, "cookie")
		byCookie.welcomed("", "user", "cookie", "static")
		byTicket = b.certified(0, &trust, "")
		byTicket.ticketJoin("joe")
		nameless = b.certified(0, &trust, "")
		nameless.offer("", nil, "anonymous")
		nameless.welcomed("", "guest", "anonymous", "static")
		open = b.certified(1, &trust, "")
		open.say(codec.Hello, "open", values{"roles": values{"subscriber": values{}}})
		open.expect(codec.Welcome, nil, nil)
	}
	review := func() (report Report) {
		t.Helper()
		if err := b.router.Review(func(r Report) { report = r }); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		return report
	}
	leave := func(all ...*peer) {
		t.Helper()
		for _, p := range all {
			m := p.expect(codec.Goodbye, nil, codec.CloseKilled)
			if text := fmt.Sprint(m[1]); !strings.Contains(text, "could not join any more") {
				t.Error(text)
			}
			p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
		}
	}
	for i, apply := range []func() Report{review, func() Report { return b.apply(cfg) }} {
		trust = port.Trusted
		join()
		if r := apply(); r.SessionsDismissed != 0 || fmt.Sprint(r.Changed) != "[open realm1]" {
			t.Fatalf("%d: %+v", i, r)
		}
		trust = port.Untrusted
		if r := apply(); r.SessionsDismissed != 2 {
			t.Fatalf("%d: untrusted: %+v", i, r)
		}
		leave(byTLS, byCookie)
		for _, p := range []*peer{kept, byTicket, nameless, open} {
			p.silent()
		}
		trust = port.Unwelcome
		if r := apply(); r.SessionsDismissed != 3 {
			t.Fatalf("%d: unwelcome: %+v", i, r)
		}
		leave(byTicket, nameless, open)
		kept.silent()
	}
}

// TestAUTHCertificateExpires: with its certificate ends a session that logged in by it, or by a cookie of such a
// login, or that its listener would not let in without; any other stays until its own proof ends.
func TestAUTHCertificateExpires(t *testing.T) {
	store := auth.NewCookies(10, 1<<60)
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Cookie = &auth.CookieOptions{Store: store}
		cfg.Realms = append(cfg.Realms, RealmConfig{URI: "open", Anonymous: AnonymousAnywhere})
	})
	const ends = 40 * 24 * time.Hour
	cookie := store.Issue()
	come := func(then port.Trust) *peer {
		return b.far(0, codec.JSON, func(p *port.Peer) {
			trust := func() port.Trust {
				if b.Now() < ends {
					return port.Trusted
				}
				return then
			}
			p.TLS = &port.TLS{Certificate: certificateOf, Until: noon.Add(ends), Trust: trust}
			p.Cookie, p.CookieNew = cookie, true
		})
	}
	gone := func(p *peer) {
		t.Helper()
		m := p.expect(codec.Goodbye, nil, codec.CloseKilled)
		if text := fmt.Sprint(m[1]); !strings.Contains(text, "expired") {
			t.Error(text)
		}
		p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	}
	byTLS, byTicket := come(port.Untrusted), come(port.Untrusted)
	behind, open := come(port.Unwelcome), come(port.Unwelcome)
	byTLS.offer("", nil, "tls")
	byTLS.welcomed("", "user", "tls", "static")
	byCookie := b.far(0, codec.JSON, func(p *port.Peer) { p.Cookie = cookie })
	byCookie.offer("", nil, "cookie")
	byCookie.welcomed("", "user", "cookie", "static")
	cookie = ""
	byTicket.ticketJoin("joe")
	byTicket.Do(func(x port.Executor) {
		s := b.router.directory.find(byTicket.id)
		s.admission.principal.Expires = noon.Add(ends + time.Hour)
	})
	behind.ticketJoin("joe")
	open.say(codec.Hello, "open", values{"roles": values{"subscriber": values{}}})
	open.expect(codec.Welcome, nil, nil)
	byTicketToo, byTLSFirst := come(port.Untrusted), come(port.Untrusted)
	byTicketToo.ticketJoin("joe")
	byTLSFirst.offer("", nil, "tls")
	byTLSFirst.welcomed("", "user", "tls", "static")
	byTLSFirst.Do(func(x port.Executor) {
		s := b.router.directory.find(byTLSFirst.id)
		s.admission.principal.Expires = noon.Add(ends - time.Hour)
		s.handler.watch(x, time.Time{})
	})
	b.Settle()
	b.Advance(ends - time.Hour - time.Millisecond)
	b.Settle()
	byTLSFirst.silent()
	b.Advance(time.Millisecond)
	b.Settle()
	gone(byTLSFirst)
	b.Advance(time.Hour - time.Millisecond)
	b.Settle()
	for _, p := range []*peer{byTLS, byCookie, byTicket, byTicketToo, behind, open} {
		p.silent()
	}
	b.Advance(time.Millisecond)
	b.Settle()
	gone(byTLS)
	gone(byCookie)
	gone(behind)
	gone(open)
	b.Advance(time.Hour - time.Millisecond)
	b.Settle()
	byTicket.silent()
	b.Advance(time.Millisecond)
	b.Settle()
	gone(byTicket)
	b.Advance(1000 * 24 * time.Hour)
	b.Settle()
	byTicketToo.silent()
	if n := b.router.Stats().Expired; n != 6 {
		t.Errorf("%d expired, want 6", n)
	}
	b.idle(1)
}

// TestAUTHExpiredAlready: a proof that expires before its session has begun ends it at once.
func TestAUTHExpiredAlready(t *testing.T) {
	b := loginBed(t, 1, nil)
	p := b.far(0, codec.JSON, nil)
	p.ticketJoin("joe")
	p.Do(func(x port.Executor) {
		s := b.router.directory.find(p.id)
		s.admission.principal.Expires = noon.Add(-time.Minute)
		s.handler.watch(x, time.Time{})
	})
	b.Settle()
	b.Advance(0)
	b.Settle()
	p.expect(codec.Goodbye, nil, codec.CloseKilled)
}

// TestAUTHCertificateLost: a certificate that nobody vouches for any more is none: no login by it, nor by a cookie of
// such a login; and where the listener wants one nobody joins, in whatever realm.
func TestAUTHCertificateLost(t *testing.T) {
	store := auth.NewCookies(10, 1<<40)
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Cookie = &auth.CookieOptions{Store: store}
		cfg.Realms = append(cfg.Realms, RealmConfig{URI: "open", Anonymous: AnonymousAnywhere})
	})
	trust := port.Trusted
	cookie := store.Issue()
	p := b.certified(0, &trust, cookie)
	p.offer("", nil, "tls")
	p.welcomed("", "user", "tls", "static")
	by := func(method string) *peer {
		p := b.certified(0, &trust, cookie)
		p.offer("", nil, method)
		return p
	}
	open := func() *peer {
		p := b.certified(0, &trust, "")
		p.say(codec.Hello, "open", values{"roles": values{"subscriber": values{}}})
		return p
	}
	by("cookie").welcomed("", "user", "cookie", "static")
	trust = port.Untrusted
	by("tls").aborted(codec.ErrNoMatchingAuthMethod)
	by("cookie").aborted(codec.ErrNoMatchingAuthMethod)
	p = b.certified(0, &trust, "")
	p.ticketJoin("joe")
	open().expect(codec.Welcome, nil, nil)
	trust = port.Unwelcome
	by("tls").aborted(codec.ErrAuthenticationDenied)
	by("ticket").aborted(codec.ErrAuthenticationDenied)
	open().aborted(codec.ErrAuthenticationDenied)

	// Between HELLO and WELCOME.
	for _, c := range []struct {
		then port.Trust
		uri  string
	}{{port.Untrusted, ""}, {port.Unwelcome, codec.ErrAuthenticationDenied}} {
		trust = port.Trusted
		p = b.certified(0, &trust, "")
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		trust = c.then
		p.say(codec.Authenticate, ticketOf, values{})
		if c.uri == "" {
			p.welcomed("joe", "user", "ticket", "static")
		} else {
			p.aborted(c.uri)
		}
	}
}

// TestAUTHListenerMeanwhile: a login whose listener closes its method between HELLO and WELCOME is refused.
func TestAUTHListenerMeanwhile(t *testing.T) {
	b := loginBed(t, 1, nil)
	p := b.far(0, codec.JSON, nil)
	p.offer("joe", nil, "ticket")
	p.challenged("ticket")
	cfg := *b.router.settings.Load()
	cfg.Listeners = []Listener{{AuthMethods: []string{"cryptosign"}}}
	b.apply(cfg)
	p.say(codec.Authenticate, ticketOf, values{})
	p.aborted(codec.ErrAuthenticationFailed)
}
