package realm

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// A login is a client that tries to join a realm with Auth, from HELLO to WELCOME or ABORT (PROTOCOL 4.1, 10.1). An
// auth.Attempt decides, step by step:
//
//	challenge  the loop sends CHALLENGE; the handler is challenged, and its timer waits for AUTHENTICATE
//	work       the pool hashes or verifies; the handler is deciding, and the connection is held
//	ask        the router calls a procedure, or a goroutine the Authenticator; the same
//
// A handler that ends meanwhile drops its login: what comes back then sees that it is no longer the handler's.
//
// Owned by loop, but for what the pool or the goroutine works on.
type login struct {
	// Fixed at HELLO.
	handler *handler
	realm   *realm
	auth    *auth.Realm
	limiter *auth.Limiter
	guarded string // whose users the limiter counts
	roles   codec.Roles
	hello   auth.Hello // Session is held in the directory

	attempt  *auth.Attempt
	counted  bool                // by the limiter, as a failure unless it succeeds
	settled  bool                // the limiter knows how it ended
	extra    int                 // octets of HELLO.Details.authextra
	charged  int                 // bytes that the budget counts for it
	check    func() auth.Outcome // that the pool does, or that waits for it
	question *question           // to an authenticator that is a procedure, or nil
	consults func()              // ends the context of an Authenticator that is asked, or nil
	timer    port.Timer          // until the limiter or the pool must have room, or the Authenticator have answered
}

// beginLogin begins an attempt to join rm.
func (h *handler) beginLogin(x port.Executor, l *perLoop, rm *realm, set *settings, d *codec.HelloDetails) {
	r := h.router
	switch {
	case len(d.AuthExtra) > extraBytesMax:
		h.refuse(x, l, codec.ErrPayloadSizeExceeded, "authextra of "+strconv.Itoa(len(d.AuthExtra))+
			" octets: at most "+strconv.Itoa(extraBytesMax)+" are allowed")
		return
	case len(d.AuthRole) > authRoleBytesMax:
		h.refuse(x, l, codec.ErrNoSuchRole, "an authrole of "+strconv.Itoa(len(d.AuthRole))+" octets")
		return
	}
	extra, err := auth.ReadExtra(d.AuthExtra)
	if err != nil {
		h.violation(x, "HELLO.Details.authextra: malformed")
		return
	}
	g := &login{
		handler: h, realm: rm, auth: set.Auth, limiter: r.limiter.Load(), roles: d.Roles,
		guarded: set.Auth.Guarded(rm.uri),
		hello: auth.Hello{
			Realm: rm.uri, AuthID: d.AuthID, AuthRole: d.AuthRole, Methods: d.AuthMethods, Extra: extra,
			Transport: set.transport(h.conn.Peer()), Now: r.clock(), Random: randomness{x},
		},
	}
	g.hello.Methods = slices.Clone(d.AuthMethods[:min(len(d.AuthMethods), authMethodsMax)])
	for i, name := range g.hello.Methods {
		if len(name) > authMethodBytesMax {
			g.hello.Methods[i] = "" // no method has that name either
		}
	}
	if wait := g.limiter.Wait(g.hello.Transport.Peer, g.guarded, d.AuthID, g.hello.Now); wait > 0 {
		g.limit(x, l, wait)
		return
	}
	g.extra = len(d.AuthExtra)
	if !g.charge(x, g.extra) {
		g.busy(x, l)
		return
	}
	g.hello.Session = r.directory.draw(x, &r.ids)
	h.login = g
	var o auth.Outcome
	g.attempt, o = set.Auth.Begin(&g.hello)
	g.hello.Extra = auth.Extra{} // the attempt has what it needs
	g.proceed(x, o)
}

// charge makes the budget of the process count n octets that the client had the login keep, as far as they are more
// than loginBytesFree. It returns false, and changes nothing, if there is no room.
func (g *login) charge(x port.Executor, n int) bool {
	n = max(n-loginBytesFree, 0)
	if n != g.charged && !x.Charge(n-g.charged) {
		return false
	}
	g.charged = n
	return true
}

// transport describes the connection of a peer.
func (set *settings) transport(p *port.Peer) auth.Transport {
	t := auth.Transport{
		Listener: strconv.Itoa(p.Listener), Local: p.Local, Encrypted: p.Encrypted,
		Cookie: p.Cookie, CookieNew: p.CookieNew, Peer: peerAddress(p.Address),
	}
	if p.TLS != nil {
		if t.Certificate = p.TLS.Certificate; t.Certificate != nil && p.TLS.Trust != nil {
			trust := p.TLS.Trust // a cookie may keep it for longer than the peer is there
			t.Vouched, t.Until = func() bool { return trust() == port.Trusted }, p.TLS.Until
			if !t.Vouched() {
				t.Certificate = nil
			}
		}
		t.Binding = auth.Bindings(p.TLS.Unique, p.TLS.Exporter, p.TLS.EndPoint)
	}
	if p.Listener < 0 || p.Listener >= len(set.limits.Listeners) {
		return t
	}
	o := &set.limits.Listeners[p.Listener]
	if o.Name != "" {
		t.Listener = o.Name
	}
	if len(o.AuthMethods) > 0 {
		t.Allowed = o.AuthMethods
	}
	t.Anonymous = anonymousSources[o.Anonymous]
	return t
}

// unwelcome reports whether the listener would not let the peer through a TLS handshake any more.
func unwelcome(p *port.Peer) bool {
	return p.TLS != nil && p.TLS.Trust != nil && p.TLS.Trust() == port.Unwelcome
}

var refuseCertificate = &refusal{
	codec.ErrAuthenticationDenied, "this listener does not accept your TLS client certificate, or the lack of one, " +
		"any more",
}

// anonymousSources are the rules of listeners as auth has them.
var anonymousSources = [...]*auth.Source{
	AnonymousByRealm: nil, AnonymousLocal: {Local: true}, AnonymousAnywhere: {Any: true}, AnonymousNone: {},
}

// peerAddress reads the address of a peer, with or without a port. It is invalid for Unix sockets.
func peerAddress(text string) netip.Addr {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr()
	}
	a, _ := netip.ParseAddr(text)
	return a
}

// proceed does what the attempt says. It runs when nothing else of the login is under way.
func (g *login) proceed(x port.Executor, o auth.Outcome) {
	h := g.handler
	l := h.router.perLoop[x.Loop()]
	switch o.Kind {
	case auth.Challenge:
		g.challenge(x, l, &o)
	case auth.Work:
		g.check = o.Work
		g.decide(x, l, g.work)
	case auth.Ask:
		g.decide(x, l, func(x port.Executor, l *perLoop) { g.ask(x, l, o.Request) })
	case auth.Welcome:
		g.welcome(x, l, o.Principal)
	case auth.Refuse:
		g.refuse(x, l, o.Refusal)
	default: // the work panicked, which the pool has logged
		g.refuse(x, l, &auth.Refusal{URI: codec.ErrAuthenticationFailed, Message: "the check of the login failed"})
	}
}

// challenge sends CHALLENGE and waits for AUTHENTICATE.
func (g *login) challenge(x port.Executor, l *perLoop, o *auth.Outcome) {
	h := g.handler
	s := h.conn.Variant().Serializer()
	extra, err := codec.AppendValue(nil, s, o.Extra)
	if err != nil {
		g.refuse(x, l, &auth.Refusal{
			URI: codec.ErrAuthenticationFailed, Message: "the challenge has no form in your serializer",
		})
		return
	}
	l.out = codec.AppendChallenge(l.out[:0], s, o.Method, extra)
	if most := h.conn.MessageBytesMax(); len(l.out) > most {
		g.refuse(x, l, &auth.Refusal{URI: codec.ErrPayloadSizeExceeded, Message: "CHALLENGE is longer than the " +
			strconv.Itoa(most) + " octets that your transport accepts"})
		return
	}
	l.counters.challenged.Add(1)
	h.state = stateChallenged
	h.send(x, l.out)
	x.Start(&h.timer, h.router.settings.Load().AuthTimeout)
	h.conn.Resume(x)
}

// decide holds the connection until the pool or an authenticator, which then asks, has an outcome.
func (g *login) decide(x port.Executor, l *perLoop, then func(x port.Executor, l *perLoop)) {
	g.count(x, l, func(x port.Executor, l *perLoop) {
		g.hold(x)
		then(x, l)
	})
}

// hold holds the connection: what the client sends has to wait.
func (g *login) hold(x port.Executor) {
	h := g.handler
	x.Stop(&h.timer)
	h.state = stateDeciding
	h.conn.Hold(x)
}

// count has the limiter count the login, which is about to be judged by then. A login that is crowded waits for
// AuthTimeout at most; the client of one that the limiter does not let is told so.
func (g *login) count(x port.Executor, l *perLoop, then func(x port.Executor, l *perLoop)) {
	if g.tryCount(x, l, then) {
		return
	}
	l.counters.loginsCrowded.Add(1)
	g.hold(x)
	wait, until := crowdedWait, g.handler.router.clock().Add(g.handler.router.settings.Load().AuthTimeout)
	again := func(x port.Executor) { // at random times, so that those who came at once do not come back at once
		x.Start(&g.timer, wait/2+time.Duration(x.Rand()%uint64(wait)))
		wait = min(2*wait, crowdedWaitMost)
	}
	g.timer.Fire = func(x port.Executor) {
		l := g.handler.router.perLoop[x.Loop()]
		switch {
		case g.tryCount(x, l, then):
		case g.handler.router.clock().After(until):
			g.busy(x, l)
		default:
			again(x)
		}
	}
	again(x)
}

// tryCount is count for now. It returns false, and has done nothing, if the login is crowded.
func (g *login) tryCount(x port.Executor, l *perLoop, then func(x port.Executor, l *perLoop)) bool {
	if g.counted {
		then(x, l)
		return true
	}
	now := g.handler.router.clock()
	wait, crowded := g.limiter.Take(g.hello.Transport.Peer, g.guarded, g.hello.AuthID, now)
	switch {
	case wait == 0:
		g.counted = true
		then(x, l)
	case crowded:
		return false
	default:
		g.limit(x, l, wait)
	}
	return true
}

// limit refuses because of earlier failures.
func (g *login) limit(x port.Executor, l *perLoop, wait time.Duration) {
	l.counters.limited.Add(1)
	why := auth.LimitRefusal(wait).Refusal
	g.handler.refuse(x, l, why.URI, why.Message)
}

// uncount takes back that the login was counted: it failed at nothing of its own.
func (g *login) uncount() {
	if g.settle() {
		g.limiter.Withdrawn(g.hello.Transport.Peer, g.guarded, g.hello.AuthID, g.handler.router.clock())
	}
}

// settle reports whether the limiter has counted the login and does not know yet how it ends, which it is to be told.
func (g *login) settle() bool {
	was := g.counted && !g.settled
	g.settled = g.counted
	return was
}

// work has the attempt's work done in the pool, or has it wait until others of this loop are done.
func (g *login) work(x port.Executor, l *perLoop) {
	if l.checks.running < checksAtOnce {
		l.checks.start(x, l, g)
		return
	}
	if len(l.checks.waiting) >= checksWaiting {
		l.checks.waiting = slices.DeleteFunc(l.checks.waiting, func(o *login) bool { return !o.current() })
	}
	if len(l.checks.waiting) >= checksWaiting {
		g.busy(x, l)
		return
	}
	l.checks.waiting = append(l.checks.waiting, g)
	g.timer.Fire = func(x port.Executor) { g.busy(x, g.handler.router.perLoop[x.Loop()]) }
	x.Start(&g.timer, g.handler.router.settings.Load().AuthTimeout)
}

// checks are the logins of one loop that the pool is to check: a few at a time, so that other work need not wait for
// long behind them; the rest in the order in which they came. Owned by loop.
type checks struct {
	running int
	waiting []*login // some may be over
}

// start gives one to the pool.
func (c *checks) start(x port.Executor, l *perLoop, g *login) {
	var o auth.Outcome
	c.running++
	work := g.check
	if !x.AsyncSlow(func(context.Context) { o = work() }, func(x port.Executor) {
		c.running--
		if g.current() {
			g.proceed(x, o)
		}
		c.next(x, l)
	}) {
		c.running--
		g.busy(x, l)
	}
}

// next starts the ones that have waited longest.
func (c *checks) next(x port.Executor, l *perLoop) {
	for len(c.waiting) > 0 && c.running < checksAtOnce {
		g := c.waiting[0]
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		if g.current() {
			x.Stop(&g.timer)
			c.start(x, l, g)
		}
	}
}

// current reports whether the handler is still busy with g.
func (g *login) current() bool { return g.handler.login == g }

// busy refuses because the router has no room for the work, which is no failure of the client's.
func (g *login) busy(x port.Executor, l *perLoop) {
	l.counters.loginsBusy.Add(1)
	g.uncount()
	g.handler.refuse(x, l, codec.ErrAuthenticationFailed, "the router has more logins to check than it can; "+
		"try again in a few seconds")
}

// ask asks the authenticator, and goes on with its answer.
func (g *login) ask(x port.Executor, l *perLoop, q *auth.Request) {
	set := g.realm.settings.Load()
	if set.Authenticator != nil {
		g.consult(x, l, set.Authenticator, q)
		return
	}
	rm := g.handler.router.realms.Find([]byte(q.ProcedureRealm), codec.Exact)
	if rm == nil {
		g.answered(x, q, nil, errNoAnswer)
		return
	}
	var authid any
	if q.AuthID != "" {
		authid = q.AuthID
	}
	g.question = rm.ask(x, q.Authenticator, []any{q.Realm, authid, q.Details}, q.Timeout,
		func(x port.Executor, a *answer) {
			g.question = nil
			returned, err := a.first()
			g.answered(x, q, returned, err)
		})
}

// consult asks an Authenticator on a goroutine of its own.
func (g *login) consult(x port.Executor, l *perLoop, f Authenticator, q *auth.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), q.Timeout)
	var returned any
	err := errNoAnswer
	once := false
	end := func(x port.Executor, returned any, err error) {
		if once {
			return // it came after the timer
		}
		once = true
		cancel()
		x.Stop(&g.timer)
		g.consults = nil
		g.answered(x, q, returned, err)
	}
	if !g.handler.router.aside(x, func() { returned, err = f(ctx, q) }, func(x port.Executor) {
		if g.current() {
			end(x, returned, err)
		}
	}) {
		cancel()
		g.busy(x, l)
		return
	}
	g.consults = cancel
	g.timer.Fire = func(x port.Executor) { end(x, nil, errNoAnswer) } // it does not heed its context
	x.Start(&g.timer, q.Timeout+authenticatorGrace)
}

// answered goes on with what the authenticator returned.
func (g *login) answered(x port.Executor, q *auth.Request, returned any, err error) {
	if err != nil && !isDenial(err) {
		x.Warn("an authenticator did not answer a login as it should", "authenticator", q.Authenticator, "realm",
			q.Realm, "reason", err)
		g.handler.router.perLoop[x.Loop()].counters.authenticatorsFailed.Add(1)
	}
	g.proceed(x, g.attempt.Resume(returned, err))
}

// receiveChallenged handles a message that should be AUTHENTICATE (AUTH-47).
func (g *login) receiveChallenged(x port.Executor, l *perLoop, m *codec.Message) {
	h := g.handler
	switch m.Type {
	case codec.Authenticate:
	case codec.Abort:
		h.finish(x, port.CloseNormal, "")
		return
	default:
		h.violation(x, "message type "+strconv.Itoa(int(m.Type))+" where CHALLENGE waits for AUTHENTICATE")
		return
	}
	extra, err := readExtra(m)
	if err != nil {
		h.violation(x, "AUTHENTICATE.Extra: "+err.Error())
		return
	}
	answer := len(m.URI)
	if extra != nil {
		answer += len(extra.Raw)
	}
	if !g.charge(x, g.extra+answer) { // an earlier answer is not kept
		g.busy(x, l)
		return
	}
	signature := string(m.URI)
	g.count(x, l, func(x port.Executor, _ *perLoop) {
		x.Stop(&h.timer)
		g.proceed(x, g.attempt.Answer(h.router.clock(), signature, extra))
	})
}

// refuse ends the login with ABORT and closes the connection. The limiter counts it, unless the client has no method
// that it could use here: that is no guess, and a client that is set up wrong must not lock out its neighbours.
func (g *login) refuse(x port.Executor, l *perLoop, why *auth.Refusal) {
	h := g.handler
	guess := why.URI != codec.ErrNoMatchingAuthMethod && why.URI != codec.ErrAuthenticationRequired
	if !g.counted && guess {
		wait, _ := g.limiter.Take(g.hello.Transport.Peer, g.guarded, g.hello.AuthID, h.router.clock())
		g.counted = wait == 0 // drop settles it
	}
	l.counters.loginsFailed.Add(1)
	if why.URI == codec.ErrProtocolViolation {
		h.violation(x, why.Message)
		return
	}
	if why.Scram == "" {
		h.refuse(x, l, why.URI, why.Message)
		return
	}
	l.counters.refused.Add(1)
	h.dispose(x, l)
	s := h.conn.Variant().Serializer()
	dict, _ := codec.AppendValue(nil, s, map[string]any{"message": why.Message, "scram": why.Scram})
	l.out, _ = codec.Append(l.out[:0], s, &codec.Message{
		Type: codec.Abort, Format: s, Dict: dict, URI: []byte(why.URI),
	})
	h.send(x, l.out)
	h.finish(x, port.CloseNormal, why.URI)
}

// drop gives back what an unfinished login holds. The limiter goes on counting it if it was about to be judged.
func (g *login) drop(x port.Executor) {
	r := g.handler.router
	r.directory.release(x, g.hello.Session)
	g.charge(x, 0)
	g.attempt, g.check = nil, nil // it may stay in checks.waiting for a while
	x.Stop(&g.timer)
	if g.settle() {
		g.limiter.Failed(g.hello.Transport.Peer, g.guarded, g.hello.AuthID, r.clock())
	}
	if g.question != nil {
		g.question.cancel(x)
		g.question = nil
	}
	if g.consults != nil {
		g.consults()
	}
}

// welcome makes the session of a principal, if it may still join.
func (g *login) welcome(x port.Executor, l *perLoop, p *auth.Principal) {
	h, r := g.handler, g.handler.router
	rm, set, why := g.admit(p)
	if why != nil {
		g.turnAway(x, l, why)
		return
	}
	if rm, why = r.useBy(x, rm, set); why != nil {
		g.turnAway(x, l, why)
		return
	}
	s := newSession(x, h, rm, g.hello.Session, g.roles, codec.Identity{
		Session: g.hello.Session, AuthID: p.AuthID, AuthRole: p.Role,
	})
	s.admission = &admission{principal: p, gate: g.realm}
	who := codec.WelcomeIdentity{AuthID: p.AuthID, AuthRole: p.Role, AuthMethod: p.Method, AuthProvider: p.Provider}
	if len(p.Extra) > 0 {
		who.AuthExtra, _ = codec.AppendValue(nil, codec.MessagePack, p.Extra) // checked when p was made
	}
	var ok bool
	if l.out, ok = set.welcomeForm(s.serializer).Append(l.out[:0], s.id, &who, s.bytesMax); !ok {
		rm.release(x)
		g.turnAway(x, l, &refusal{codec.ErrPayloadSizeExceeded, "WELCOME is longer than the " +
			strconv.Itoa(s.bytesMax) + " octets that your transport accepts"})
		return
	}
	if why := s.enter(x, set); why != nil {
		rm.release(x)
		g.turnAway(x, l, why)
		return
	}
	h.login = nil
	g.charge(x, 0)
	if g.settle() {
		g.limiter.Succeeded(g.hello.Transport.Peer, g.guarded, g.hello.AuthID, r.clock())
	}
	h.begin(x, l, s, l.out)
	h.conn.Resume(x)
	g.auth.BindCookie(&g.hello, p)
}

// admit returns the realm that p joins and its settings, or why p cannot join although it has proved who it is: the
// realm or its logins may have changed meanwhile.
func (g *login) admit(p *auth.Principal) (rm *realm, set *settings, why *refusal) {
	r := g.handler.router
	rm = r.present(g.realm)
	if rm != nil {
		g.realm = rm
	}
	peer, gate := g.handler.conn.Peer(), g.realm.settings.Load()
	if unwelcome(peer) {
		return nil, nil, refuseCertificate
	}
	if t := gate.transport(peer); gate.Auth == nil || !gate.Auth.Admits(p) || !gate.Auth.AdmitsOver(p, &t) {
		return nil, nil, refuseChanged
	}
	if p.Realm != g.realm.uri {
		rm = nil
		if uri := []byte(p.Realm); len(uri) <= r.settings.Load().URIBytesMax &&
			codec.ValidURI(uri, codec.Exact, false) {
			rm = r.realm(uri)
		}
	}
	if rm == nil {
		return nil, nil, noSuchRealm(p.Realm)
	}
	set = rm.settings.Load()
	if set.Policy != nil && set.Policy.Role(p.Role) == nil {
		return nil, nil, refuseRole(p.Role)
	}
	return rm, set, nil
}

var refuseChanged = &refusal{
	codec.ErrAuthenticationFailed, "the logins of this realm have changed meanwhile; try again",
}

// refuseRole is SES-50: PROTOCOL 4.2, 5.
func refuseRole(role string) *refusal {
	return &refusal{codec.ErrNoSuchRole, "this realm has no role " + strconv.Quote(role)}
}

// turnAway refuses a client that has proved who it is.
func (g *login) turnAway(x port.Executor, l *perLoop, why *refusal) {
	g.uncount()
	g.handler.refuse(x, l, why.uri, why.message)
}

// An admission says how a session has joined a realm with Auth.
type admission struct {
	// Fixed at join.
	principal *auth.Principal
	// gate is the realm of HELLO, whose Auth let it in; an authenticator may have assigned another one. It may be
	// automatic and unknown: see Router.present.
	gate *realm
}

// watch sets the timer of a session to the first time behind seen at which it may have to end by itself, if there is
// one. That is a time of day. Timers do not notice when somebody sets the clock, so each runs for a while only.
func (h *handler) watch(x port.Executor, seen time.Time) {
	var next time.Time
	proof, certificate := h.session.expiries()
	for _, t := range []time.Time{proof, certificate} {
		if t.After(seen) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !next.IsZero() {
		x.Start(&h.timer, min(next.Sub(h.router.clock()), expiryPauseMax)) // outdate sets it again if it fires early
	}
}

// expiries are when the proof of the identity ends, and when the certificate of the client does; zero for never.
func (s *session) expiries() (proof, certificate time.Time) {
	if s.admission != nil {
		proof = s.admission.principal.Expires
	}
	if t := s.conn.Peer().TLS; t != nil {
		certificate = t.Until
	}
	return proof, certificate
}

// outdate runs when the timer of watch does. It ends the session if the proof of its identity has expired, or if it
// could not join any more because the certificate of its client has.
func (h *handler) outdate(x port.Executor) {
	s, now := h.session, h.router.clock()
	proof, certificate := s.expiries()
	over := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	if over(proof) || over(certificate) && !s.admitted(s.realm.settings.Load()) {
		h.router.perLoop[x.Loop()].counters.expired.Add(1)
		h.goodbye(x, codec.CloseKilled, "the proof of identity has expired; log in again", port.CloseNormal)
		return
	}
	h.watch(x, now)
}

// logout forgets the cookie of s (PROTOCOL 10.7).
func (s *session) logout() {
	a := s.admission
	if a == nil {
		return
	}
	gate := s.realm.router.present(a.gate)
	if gate == nil {
		return
	}
	if gate := gate.settings.Load().Auth; gate != nil {
		gate.UnbindCookie(&auth.Hello{Realm: a.gate.uri, Transport: auth.Transport{Cookie: s.conn.Peer().Cookie}})
	}
}

// randomness is the source of an attempt's nonces: the generator of its loop. Owned by loop.
type randomness struct{ x port.Executor }

// Read implements io.Reader. It never fails.
func (r randomness) Read(b []byte) (int, error) {
	var word [8]byte
	for rest := b; len(rest) > 0; {
		binary.LittleEndian.PutUint64(word[:], r.x.Rand())
		rest = rest[copy(rest, word[:]):]
	}
	return len(b), nil
}

// readExtra reads AUTHENTICATE.Extra, nil if there is none (AUTH-52).
func readExtra(m *codec.Message) (*auth.Extra, error) {
	if m.Dict == nil {
		return nil, nil
	}
	raw, err := codec.Transcode(nil, m.Dict, m.Format, codec.MessagePack, extraBytesMax)
	if err != nil {
		return nil, errors.New("malformed, or longer than " + strconv.Itoa(extraBytesMax) + " octets")
	}
	e, err := auth.ReadExtra(raw)
	if err != nil {
		return nil, errors.New("malformed")
	}
	return &e, nil
}
