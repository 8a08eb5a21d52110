package realm

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// What logins cost, and how often they may fail.

// beginTicket lets joe log in with that ticket, up to where its hash is to be looked at.
func beginTicket(t *testing.T, b *bed, ticket string) *peer {
	t.Helper()
	p := b.far(0, codec.JSON, nil)
	p.post(codec.Hello, "realm1", values{
		"roles": values{"caller": values{}}, "authid": "joe", "authmethods": []any{"ticket"},
	})
	b.RunLoop(0)
	p.challenged("ticket")
	p.post(codec.Authenticate, ticket, values{})
	b.RunLoop(0)
	return p
}

// TestAUTHWork: what takes long is done in the pool, with the connection held; a pool without room refuses; a client
// that leaves meanwhile leaves nothing behind (AUTH-51).
func TestAUTHWork(t *testing.T) {
	t.Attr("checklist", "AUTH-51")
	b := loginBed(t, 1, func(ac *auth.Config, _ *Config) {
		ac.Users = hashedUsers(t)
	})
	b.Forced = func(int, string) bool { return false }
	begin := func(ticket string) *peer { return beginTicket(t, b, ticket) }
	p := begin("a password")
	if b.Async() != 1 || !p.Held() {
		t.Fatalf("%d pieces of work, held %v", b.Async(), p.Held())
	}
	p.post(codec.Subscribe, 1, values{}, "t") // sent early: it waits for the session
	b.RunLoop(0)
	p.silent()
	b.Settle()
	p.welcomed("joe", "user", "ticket", "static")
	p.expect(codec.Subscribed, 1, nil)

	p = begin("wrong")
	b.Settle()
	p.aborted(codec.ErrAuthenticationDenied)

	p = begin("a password") // the connection is lost
	p.Do(func(x port.Executor) { p.Conn.Lock(); p.Conn.Finish(x, port.CloseNormal, ""); p.Conn.Unlock() })
	b.RunLoop(0)
	b.idle(1)

	p = begin("a password") // the node stops
	p.Shutdown()
	b.RunLoop(0)
	p.finished(port.CloseGoingAway)
	if p.Held() {
		t.Error("still held")
	}
	b.idle(1)

	b.AsyncMax = 1
	first := begin("a password")
	second := begin("a password")
	if message := second.aborted(codec.ErrAuthenticationFailed); !strings.Contains(message, "try again") {
		t.Errorf("busy: %q", message)
	}
	b.Settle()
	first.welcomed("joe", "user", "ticket", "static")
	if s := b.router.Stats(); s.LoginsBusy != 1 {
		t.Errorf("%d times busy", s.LoginsBusy)
	}
	b.idle(2)
}

// hashedUsers is joe, whose ticket the pool has to check.
func hashedUsers(t *testing.T) []auth.User {
	t.Helper()
	hash, err := auth.HashPassword("a password", 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := auth.ParseTicket(hash)
	if err != nil {
		t.Fatal(err)
	}
	return []auth.User{{AuthID: "joe", Role: "user", Tickets: []auth.StoredTicket{stored}}}
}

// TestAUTHChecks: the pool has a few logins of a loop at a time; the others wait in their order, so many and so long;
// one that is over does not keep those behind it.
func TestAUTHChecks(t *testing.T) {
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Users = hashedUsers(t)
		cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: -1}
	})
	b.Forced = func(int, string) bool { return false }
	var peers []*peer
	for range checksAtOnce + 4 {
		peers = append(peers, beginTicket(t, b, "a password"))
	}
	if b.Async() != checksAtOnce {
		t.Fatalf("%d pieces of work", b.Async())
	}
	one, two, three, four := peers[checksAtOnce], peers[checksAtOnce+1], peers[checksAtOnce+2], peers[checksAtOnce+3]
	one.Shutdown()
	b.RunLoop(0)
	for _, g := range b.router.perLoop[0].checks.waiting {
		if kept := g.attempt != nil || g.check != nil; kept != g.current() {
			t.Errorf("a login that waits keeps what it has: %v; it is over: %v", kept, !g.current())
		}
	}
	b.StepAsync(0)
	b.RunLoop(0)
	peers[0].welcomed("joe", "user", "ticket", "static")
	if n := b.Async(); n != checksAtOnce {
		t.Fatalf("%d pieces of work after one is done", n)
	}
	b.StepAsync(checksAtOnce - 1) // the one that came behind the one that is over
	b.RunLoop(0)
	two.welcomed("joe", "user", "ticket", "static")
	three.silent()
	b.Advance(defaultAuthTimeout)
	b.RunLoop(0)
	four.aborted(codec.ErrAuthenticationFailed)
	three.silent() // it is in the pool
	b.Settle()
	three.welcomed("joe", "user", "ticket", "static")
	b.idle(checksAtOnce + 2)

	for range checksAtOnce + checksWaiting {
		peers = append(peers, beginTicket(t, b, "a password"))
	}
	beginTicket(t, b, "a password").aborted(codec.ErrAuthenticationFailed)
	last := peers[len(peers)-1]
	peers[len(peers)-2].Shutdown()
	b.RunLoop(0)
	more := beginTicket(t, b, "a password") // in the place of the one that is over
	b.Settle()
	last.welcomed("joe", "user", "ticket", "static")
	more.welcomed("joe", "user", "ticket", "static")
	if n := b.router.Stats().LoginsBusy; n != 2 {
		t.Errorf("%d busy", n)
	}
	if l := b.router.perLoop[0]; l.checks.running != 0 || len(l.checks.waiting) != 0 || b.Loops[0].Armed() != 0 {
		t.Errorf("%d run, %d wait, %d timers", l.checks.running, len(l.checks.waiting), b.Loops[0].Armed())
	}
}

// TestAUTHCrowded: right logins of one address, more at a time than it is granted failures, wait for each other and
// are all let in. Wrong ones are not judged beyond that, and who waits for too long is told that the router is busy.
func TestAUTHCrowded(t *testing.T) {
	const burst = 3
	newCrowd := func(password string) (b *bed, peers []*peer) {
		b = loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
			ac.Users = hashedUsers(t)
			cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: 0.001, AuthIDPerMinute: -1, Burst: burst}
		})
		b.Forced = func(int, string) bool { return false }
		for range 10 * burst {
			peers = append(peers, beginTicket(t, b, password))
		}
		if n := b.Async(); n != burst {
			t.Fatalf("%d are judged at a time, want %d", n, burst)
		}
		return b, peers
	}
	b, peers := newCrowd("a password")
	for range 200 { // 10 ms each: the longest wait is 1.5 s, but the way to it is long
		b.Advance(10 * time.Millisecond)
		b.Settle()
	}
	for _, p := range peers {
		p.welcomed("joe", "user", "ticket", "static")
	}
	if s := b.router.Stats(); s.LoginsCrowded != 9*burst || s.LoginsBusy != 0 || s.LoginsFailed != 0 {
		t.Errorf("%+v", s)
	}
	b.idle(len(peers))

	b, peers = newCrowd("a wrong one")
	for range 200 {
		b.Advance(10 * time.Millisecond)
		b.Settle()
	}
	for i, p := range peers {
		if text := p.aborted(codec.ErrAuthenticationDenied); strings.Contains(text, "too many") != (i >= burst) {
			t.Errorf("%d: %q", i, text)
		}
	}

	b, peers = newCrowd("a password")
	peers[burst].Shutdown() // while it waits
	b.RunLoop(0)
	for range defaultAuthTimeout/crowdedWaitMost + 2 {
		b.Advance(crowdedWaitMost)
		b.RunLoop(0)
	}
	for _, p := range peers[burst+1:] {
		if text := p.aborted(codec.ErrAuthenticationFailed); !strings.Contains(text, "try again in a few") {
			t.Errorf("%q", text)
		}
	}
	b.Settle()
	for _, p := range peers[:burst] {
		p.welcomed("joe", "user", "ticket", "static")
	}
	b.idle(burst)
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers", n)
	}
}

// TestAUTHLimiter: failures are limited by address and authid; success, a lost connection and a busy router do not
// count.
func TestAUTHLimiter(t *testing.T) {
	b := loginBed(t, 1, func(_ *auth.Config, cfg *Config) {
		cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 2}
	})
	for range 5 {
		p := b.far(0, codec.JSON, nil)
		p.ticketJoin("joe")
		p.HangUp()
		p = b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		p.HangUp()
		b.Settle()
	}
	for range 2 {
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		p.say(codec.Authenticate, "wrong", values{})
		p.aborted(codec.ErrAuthenticationDenied)
	}
	p := b.far(0, codec.JSON, nil)
	p.offer("ann", nil, "ticket")
	if message := p.aborted(codec.ErrAuthenticationDenied); !strings.Contains(message, "too many") {
		t.Errorf("%q", message)
	}
	p = b.far(0, codec.JSON, func(p *port.Peer) { p.Address = "[2001:db8::1]:1" })
	p.ticketJoin("ann")
	p = b.far(0, codec.JSON, func(p *port.Peer) { p.Network, p.Address, p.Local = "unix", "", true })
	p.ticketJoin("ann")
	if n := b.router.Stats().LoginsLimited; n != 1 {
		t.Errorf("%d limited", n)
	}
	b.Advance(time.Second)
	b.far(0, codec.JSON, nil).ticketJoin("ann")

	// Any number may be challenged at the same time, and those who are right get in; guesses in parallel do not.
	b.Advance(time.Hour)
	b.Settle()
	begin := func(authid string) *peer {
		t.Helper()
		p := b.far(0, codec.JSON, func(p *port.Peer) { p.Address = "198.51.100.1:1" })
		p.offer(authid, nil, "ticket")
		p.challenged("ticket")
		return p
	}
	var peers []*peer
	for range 20 {
		peers = append(peers, begin("joe"))
	}
	for _, p := range peers[:10] {
		p.say(codec.Authenticate, ticketOf, values{})
		p.welcomed("joe", "user", "ticket", "static")
	}
	denied, limited := 0, 0
	for _, p := range peers[10:] {
		p.say(codec.Authenticate, "wrong", values{})
		if strings.Contains(p.aborted(codec.ErrAuthenticationDenied), "too many") {
			limited++
		} else {
			denied++
		}
	}
	if denied != 2 || limited != 8 {
		t.Errorf("%d guesses, %d limited", denied, limited)
	}
	// What succeeds without being judged gives no guess back.
	for range 5 {
		p := b.far(0, codec.JSON, func(p *port.Peer) {
			p.Address, p.TLS = "198.51.100.2:1", &port.TLS{Certificate: certificateOf}
		})
		p.offer("", nil, "tls")
		p.welcomed("joe", "user", "tls", "static")
	}
	denied = 0
	for i := range 6 {
		p := b.far(0, codec.JSON, func(p *port.Peer) {
			p.Address, p.TLS = "198.51.100.2:1", &port.TLS{Certificate: certificateOf}
		})
		if i%2 == 0 {
			p.offer("", nil, "tls")
		} else {
			p.offer("nobody", nil, "ticket")
		}
		switch m := p.hear(); m[0] {
		case int64(codec.Challenge):
			p.say(codec.Authenticate, "wrong", values{})
			denied++
		case int64(codec.Abort):
			if denied < 2 {
				t.Errorf("refused after %d guesses", denied)
			}
		}
	}
	if denied != 2 {
		t.Errorf("%d guesses", denied)
	}
}

// TestAUTHCounted: what is refused at once counts as a failure; what the router cannot look at, or has no room for,
// does not.
func TestAUTHCounted(t *testing.T) {
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Users[0].Tickets = hashedUsers(t)[0].Tickets
		cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 2}
		cfg.Realms[0].Quotas.SessionsMax = 1
	})
	b.far(0, codec.JSON, nil).ticketJoin("ann")
	for range 5 { // no room in the realm
		p := b.far(0, codec.JSON, nil)
		p.offer("ann", nil, "ticket")
		p.challenged("ticket")
		p.say(codec.Authenticate, ticketOf, values{})
		p.aborted(codec.ErrOptionNotAllowed)
	}
	b.Forced = func(int, string) bool { return false }
	b.AsyncMax = 1
	first := beginTicket(t, b, "a password")
	for range 5 { // no room in the pool
		beginTicket(t, b, "a password").aborted(codec.ErrAuthenticationFailed)
	}
	b.Settle()
	first.aborted(codec.ErrOptionNotAllowed)
	for range 20 { // a client that is set up wrong is no stranger who guesses
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "tls")
		p.aborted(codec.ErrNoMatchingAuthMethod)
		p = b.far(0, codec.JSON, nil)
		p.offer("joe", nil)
		p.aborted(codec.ErrAuthenticationRequired)
	}
	for i := range 3 { // a refusal before any challenge counts all the same
		p := b.far(0, codec.JSON, nil)
		p.offer(strings.Repeat("j", 257), nil, "ticket")
		p.aborted(codec.ErrAuthenticationDenied)
		if n := b.router.Stats().LoginsLimited; n != int64(i/2) {
			t.Errorf("after %d: %d limited", i+1, n)
		}
	}
}

// TestLimiterKnowsWhoSucceeded: strangers who try the authid of somebody who has logged in from elsewhere do not keep
// that one out; they do keep out who has not.
func TestLimiterKnowsWhoSucceeded(t *testing.T) {
	b := loginBed(t, 1, func(_ *auth.Config, cfg *Config) {
		cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 2}
	})
	b.far(0, codec.JSON, nil).ticketJoin("joe")
	for i := range 2 {
		p := b.far(0, codec.JSON, func(p *port.Peer) { p.Address = "198.51.100." + string(rune('1'+i)) + ":1" })
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		p.say(codec.Authenticate, "wrong", values{})
		p.aborted(codec.ErrAuthenticationDenied)
	}
	p := b.far(0, codec.JSON, func(p *port.Peer) { p.Address = "198.51.100.9:1" })
	p.offer("joe", nil, "ticket")
	if message := p.aborted(codec.ErrAuthenticationDenied); !strings.Contains(message, "too many") {
		t.Errorf("%q", message)
	}
	b.far(0, codec.JSON, nil).ticketJoin("joe")
}
