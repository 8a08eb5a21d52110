package realm

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// What clients prove themselves with in these tests.
const (
	ticketOf  = "a ticket of 24 characters"
	secretOf  = "secret123"
	seedOfKey = "4ffddd896a530ce5ee8c86b83b0d31835490a97a9cd718cb2f09c9fd31c4a7d7"
)

var certificateOf = []byte("not really DER")

// users are those of the tests: joe has everything, ann a ticket.
func users(t testing.TB) []auth.User {
	t.Helper()
	stored, err := auth.PlainTicket(ticketOf)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := hex.DecodeString(seedOfKey)
	return []auth.User{{
		AuthID: "joe", Role: "user", Tickets: []auth.StoredTicket{stored}, CRA: &auth.CRACredential{Key: secretOf},
		Keys:         [][32]byte{[32]byte(ed25519.NewKeyFromSeed(seed)[32:])},
		Certificates: [][32]byte{sha256.Sum256(certificateOf)},
		Extra:        map[string]any{"color": "blue"},
	}, {
		AuthID: "ann", Role: "user", Tickets: []auth.StoredTicket{stored},
	}}
}

// loginConfig offers the static methods.
func loginConfig(t testing.TB) auth.Config {
	t.Helper()
	return auth.Config{
		Realm: "realm1", Users: users(t), WAMPCRA: true, TLS: true,
		Anonymous:  &auth.AnonymousOptions{Role: "guest", From: auth.Source{Local: true}},
		Ticket:     &auth.TicketOptions{},
		Cryptosign: &auth.CryptosignOptions{},
		Cookie:     &auth.CookieOptions{Store: auth.NewCookies(10, time.Hour)},
	}
}

func makeAuth(t testing.TB, c auth.Config) *auth.Realm {
	t.Helper()
	r, err := auth.NewRealm(&c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// loginBed is a router with one realm that has logins; edit may change its configuration.
func loginBed(t *testing.T, loops int, edit func(*auth.Config, *Config)) *bed {
	t.Helper()
	ac := loginConfig(t)
	cfg := Config{Realms: []RealmConfig{{URI: "realm1"}}, AuthFailures: auth.LimiterConfig{Burst: 100}}
	if edit != nil {
		edit(&ac, &cfg)
	}
	if cfg.Realms[0].Auth == nil {
		cfg.Realms[0].Auth = makeAuth(t, ac)
	}
	return newBed(t, loops, cfg)
}

// far connects a peer from another machine, over TLS.
func (b *bed) far(loop int, s codec.Serializer, edit func(*port.Peer)) *peer {
	p := port.Peer{Transport: "rawsocket", Network: "tcp", Address: "203.0.113.7:4711", Encrypted: true}
	if edit != nil {
		edit(&p)
	}
	return &peer{Conn: b.ConnectPeer(loop, codec.MakeVariant(s, codec.RawSocket), 1<<20, p), bed: b}
}

// offer sends HELLO with some methods.
func (p *peer) offer(authid string, more values, methods ...any) {
	p.bed.t.Helper()
	none := values{}
	d := values{"roles": values{"publisher": none, "subscriber": none, "caller": none, "callee": none}}
	if len(methods) > 0 {
		d["authmethods"] = methods
	}
	if authid != "" {
		d["authid"] = authid
	}
	maps.Copy(d, more)
	p.say(codec.Hello, "realm1", d)
}

// challenged expects CHALLENGE and returns its extra.
func (p *peer) challenged(method string) values {
	p.bed.t.Helper()
	return p.expect(codec.Challenge, method, nil)[2].(values)
}

// welcomed expects WELCOME for a principal and returns its details.
func (p *peer) welcomed(authid, role, method, provider string) values {
	p.bed.t.Helper()
	m := p.expect(codec.Welcome, nil, nil)
	p.id = uint64(m[1].(int64))
	d := m[2].(values)
	for key, want := range map[string]string{
		"authid": authid, "authrole": role, "authmethod": method, "authprovider": provider, "realm": "realm1",
	} {
		if d[key] != want && (key != "authid" || want != "") {
			p.bed.t.Fatalf("%s %v, want %q", key, d[key], want)
		}
	}
	return d
}

// aborted expects ABORT and the end of the connection.
func (p *peer) aborted(uri string) string {
	p.bed.t.Helper()
	m := p.expect(codec.Abort, nil, uri)
	p.silent()
	if _, ended := p.Finished(); !ended {
		p.bed.t.Fatal("the connection goes on after ABORT")
	}
	message, _ := m[1].(values)["message"].(string)
	return message
}

func signCRA(challenge string) string {
	h := hmac.New(sha256.New, []byte(secretOf))
	h.Write([]byte(challenge))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func signKey(challenge string) string {
	seed, _ := hex.DecodeString(seedOfKey)
	message, _ := hex.DecodeString(challenge)
	return hex.EncodeToString(append(ed25519.Sign(ed25519.NewKeyFromSeed(seed), message), message...))
}

func keyOf() string {
	seed, _ := hex.DecodeString(seedOfKey)
	return hex.EncodeToString(ed25519.NewKeyFromSeed(seed)[32:])
}

// ticketJoin joins with the ticket.
func (p *peer) ticketJoin(authid string) {
	p.bed.t.Helper()
	p.offer(authid, nil, "ticket")
	p.challenged("ticket")
	p.say(codec.Authenticate, ticketOf, values{})
	p.welcomed(authid, "user", "ticket", "static")
}

// idle checks that nothing of a login is left: no session, no id, no timer, no work.
func (b *bed) idle(sessions int) {
	b.t.Helper()
	b.Settle()
	ids := 0
	for i := range b.router.directory.shards {
		ids += len(b.router.directory.shards[i].sessions)
	}
	for _, rm := range b.router.named {
		for _, k := range rm.askers {
			if k != nil {
				ids-- // the router's own
				if len(k.open) > 0 {
					b.t.Errorf("%d questions are open", len(k.open))
				}
			}
		}
	}
	if s := b.router.Stats(); s.Sessions != int64(sessions) || ids != sessions {
		b.t.Errorf("%d sessions and %d ids, want %d", s.Sessions, ids, sessions)
	}
	if b.Async() > 0 {
		b.t.Errorf("%d pieces of work wait", b.Async())
	}
}

// TestAUTHMethods: every static method, in every serializer, from HELLO to WELCOME (AUTH-01, 04, 05, 07, 11, 12, 29,
// 35, 49, 52).
func TestAUTHMethods(t *testing.T) {
	t.Attr("checklist", "AUTH-01 AUTH-04 AUTH-05 AUTH-07 AUTH-11 AUTH-12 AUTH-29 AUTH-35 AUTH-49 AUTH-52")
	for s := codec.JSON; s <= codec.CBOR; s++ {
		b := loginBed(t, 2, nil)
		p := b.far(0, s, nil)
		p.offer("joe", nil, "unknown", "ticket", "wampcra")
		if extra := p.challenged("ticket"); len(extra) > 0 {
			t.Errorf("ticket: CHALLENGE.Extra %v", extra)
		}
		if p.Joined() {
			t.Error("joined before WELCOME")
		}
		p.say(codec.Authenticate, ticketOf) // without Extra
		if d := p.welcomed("joe", "user", "ticket", "static"); d["authextra"].(values)["color"] != "blue" {
			t.Errorf("authextra %v", d["authextra"])
		}
		if !p.Joined() {
			t.Error("not joined after WELCOME")
		}

		p = b.far(1, s, nil)
		p.offer("joe", nil, "wampcra", "ticket")
		var challenge struct {
			AuthID, AuthRole, AuthMethod, AuthProvider, Nonce, Timestamp string
			Session                                                      uint64
		}
		text := p.challenged("wampcra")["challenge"].(string)
		if err := json.Unmarshal([]byte(text), &challenge); err != nil {
			t.Fatal(err)
		}
		p.say(codec.Authenticate, signCRA(text), values{})
		p.welcomed("joe", "user", "wampcra", "static")
		if p.id != challenge.Session || challenge.AuthID != "joe" || challenge.AuthRole != "user" {
			t.Errorf("session %d, challenge %+v", p.id, challenge)
		}

		p = b.far(0, s, nil)
		p.offer("", values{"authextra": values{"pubkey": keyOf()}}, "cryptosign")
		p.say(codec.Authenticate, signKey(p.challenged("cryptosign")["challenge"].(string)), values{})
		p.welcomed("joe", "user", "cryptosign", "static")

		p = b.far(0, s, func(p *port.Peer) { p.TLS = &port.TLS{Certificate: certificateOf} })
		p.offer("", nil, "tls")
		p.welcomed("joe", "user", "tls", "static")

		p = b.connect(1, s, 1<<20) // local
		p.offer("", nil)
		p.welcomed("", "guest", "anonymous", "static")
		p.subscribe(1, "t")
		b.idle(5)
	}
}

// TestAUTHBinding: the channel binding of the connection reaches the method (AUTH-39).
func TestAUTHBinding(t *testing.T) {
	t.Attr("checklist", "AUTH-39")
	b := loginBed(t, 1, nil)
	for _, right := range []bool{true, false} {
		p := b.far(0, codec.JSON, func(p *port.Peer) {
			p.TLS = &port.TLS{
				Unique: []byte("unique"), EndPoint: []byte("end point"), Exporter: []byte(strings.Repeat("b", 32)),
			}
		})
		p.offer("joe", values{
			"authextra": values{"pubkey": keyOf(), "channel_binding": "tls-exporter"},
		}, "cryptosign")
		extra := p.challenged("cryptosign")
		if extra["channel_binding"] != "tls-exporter" {
			t.Fatalf("%v", extra)
		}
		message, _ := hex.DecodeString(extra["challenge"].(string))
		for i := range message {
			if right {
				message[i] ^= 'b'
			}
		}
		p.say(codec.Authenticate, signKey(hex.EncodeToString(message)), values{})
		if right {
			p.welcomed("joe", "user", "cryptosign", "static")
		} else {
			p.aborted(codec.ErrAuthenticationDenied)
		}
	}
}

// TestAUTHRefusals: what ends a login, and how (AUTH-02, 03, 06, 08, 09, 10, 15, 32, 33, 34).
func TestAUTHRefusals(t *testing.T) {
	t.Attr("checklist", "AUTH-02 AUTH-03 AUTH-06 AUTH-08 AUTH-09 AUTH-10 AUTH-15 AUTH-32 AUTH-33 AUTH-34")
	b := loginBed(t, 1, nil)
	for i, test := range []struct {
		authid  string
		methods []any
		answer  string // to a CHALLENGE, if there is one
		extra   values
		uri     string
	}{
		{"", nil, "", nil, codec.ErrAuthenticationRequired}, // anonymous only from here
		{"", []any{"anonymous"}, "", nil, codec.ErrAuthenticationRequired},
		{"joe", []any{"x", "y"}, "", nil, codec.ErrNoMatchingAuthMethod},
		{"joe", []any{"wamp-scram"}, "", nil, codec.ErrNoMatchingAuthMethod}, // not offered
		{"joe", []any{"tls", "cookie"}, "", nil, codec.ErrNoMatchingAuthMethod},
		{"joe", []any{"ticket"}, "wrong", nil, codec.ErrAuthenticationDenied},
		{"nobody", []any{"ticket"}, ticketOf, nil, codec.ErrAuthenticationDenied},
		{"", []any{"ticket"}, "", nil, codec.ErrNoMatchingAuthMethod},
		{"joe", []any{"wampcra"}, "wrong", nil, codec.ErrAuthenticationDenied},
		{"nobody", []any{"wampcra"}, "wrong", nil, codec.ErrAuthenticationDenied},
		{"joe", []any{"cryptosign"}, "", values{"pubkey": "ab"}, codec.ErrNoMatchingAuthMethod},
		{
			"joe",
			[]any{"cryptosign"},
			"zz",
			values{"pubkey": strings.Repeat("a", 64)},
			codec.ErrAuthenticationDenied,
		},
		{"joe", []any{"cryptosign"}, "zz", values{"pubkey": keyOf()}, codec.ErrAuthenticationDenied},
		{strings.Repeat("a", 300), []any{"ticket"}, "", nil, codec.ErrAuthenticationDenied},
		{
			"joe",
			[]any{"ticket"},
			"",
			values{"x": strings.Repeat("a", extraBytesMax)},
			codec.ErrPayloadSizeExceeded,
		},
	} {
		p := b.far(0, codec.MessagePack, nil)
		more := values{}
		if test.extra != nil {
			more["authextra"] = test.extra
		}
		p.offer(test.authid, more, test.methods...)
		if test.answer != "" {
			if m := p.hear(); m == nil || m[0] != int64(codec.Challenge) {
				t.Fatalf("%d: %v", i, m)
			}
			p.say(codec.Authenticate, test.answer, values{})
		}
		p.aborted(test.uri)
	}
	b.idle(0)
	if n := b.router.Stats().LoginsFailed; n == 0 {
		t.Error("not counted")
	}
}

// TestAUTHStates: while CHALLENGE waits, only AUTHENTICATE and ABORT are messages; the timer ends the wait; nothing
// is left of a login that ends (AUTH-18, 46, 47, 48, 51).
func TestAUTHStates(t *testing.T) {
	t.Attr("checklist", "AUTH-18 AUTH-46 AUTH-47 AUTH-48 AUTH-51")
	b := loginBed(t, 1, nil)
	begin := func() *peer {
		t.Helper()
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		return p
	}
	none := values{}
	for name, send := range map[string]func(p *peer){
		"second HELLO": func(p *peer) { p.offer("joe", nil, "ticket") },
		"subscribe":    func(p *peer) { p.say(codec.Subscribe, 1, none, "t") },
		"publish":      func(p *peer) { p.say(codec.Publish, 1, none, "t") },
		"call":         func(p *peer) { p.say(codec.Call, 1, none, "p") },
		"register":     func(p *peer) { p.say(codec.Register, 1, none, "p") },
		"yield":        func(p *peer) { p.say(codec.Yield, 1, none) },
		"goodbye":      func(p *peer) { p.say(codec.Goodbye, none, codec.CloseGoodbyeAndOut) },
		"challenge":    func(p *peer) { p.say(codec.Challenge, "ticket", none) },
		"number":       func(p *peer) { p.say(codec.Authenticate, 5, none) },
		"list":         func(p *peer) { p.say(codec.Authenticate, ticketOf, []any{}) },
		"long extra": func(p *peer) {
			p.say(codec.Authenticate, ticketOf, values{"x": strings.Repeat("a", extraBytesMax)})
		},
		"rubbish": func(p *peer) { p.Send([]byte("[5")); b.Settle() },
	} {
		p := begin()
		send(p)
		p.aborted(codec.ErrProtocolViolation)
		p.finished(port.CloseViolation)
		b.idle(0)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	p := b.far(0, codec.JSON, nil)
	p.say(codec.Authenticate, ticketOf, none)
	p.aborted(codec.ErrProtocolViolation)

	p = begin()
	p.say(codec.Abort, none, codec.ErrCannotAuthenticate)
	p.silent()
	p.finished(port.CloseNormal)

	p = begin()
	b.Advance(defaultAuthTimeout - time.Millisecond)
	b.Settle()
	p.silent()
	b.Advance(time.Millisecond)
	b.Settle()
	p.aborted(codec.ErrAuthenticationFailed)
	p.finished(port.ClosePolicy)

	p = begin()
	p.HangUp()
	b.idle(0)

	p = begin()
	p.Shutdown()
	b.Settle()
	p.silent()
	p.finished(port.CloseGoingAway)
	b.idle(0)
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers are armed", n)
	}

	// AUTHENTICATE twice: the second meets an established session.
	p = begin()
	p.post(codec.Authenticate, ticketOf, none)
	p.post(codec.Authenticate, ticketOf, none)
	b.Settle()
	p.welcomed("joe", "user", "ticket", "static")
	p.aborted(codec.ErrProtocolViolation)
	b.idle(0)
}

// TestAUTHSession: on one connection logins follow sessions, and each has its own.
func TestAUTHSession(t *testing.T) {
	b := loginBed(t, 1, nil)
	p := b.far(0, codec.JSON, nil)
	p.ticketJoin("joe")
	first := p.id
	p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	p.ticketJoin("ann")
	if p.id == first {
		t.Error("the same session")
	}
	p.subscribe(1, "t")
	b.idle(1)
}

// TestAUTHWork: what takes long is done in the pool, with the connection held; a pool without room refuses; a client
// that leaves meanwhile leaves nothing behind (AUTH-51).
func TestAUTHWork(t *testing.T) {
	t.Attr("checklist", "AUTH-51")
	hash, err := auth.HashPassword("a password", 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := auth.ParseTicket(hash)
	if err != nil {
		t.Fatal(err)
	}
	b := loginBed(t, 1, func(ac *auth.Config, _ *Config) {
		ac.Users = []auth.User{{AuthID: "joe", Role: "user", Tickets: []auth.StoredTicket{stored}}}
	})
	b.Forced = func(int, string) bool { return false }
	begin := func(answer string) *peer {
		t.Helper()
		p := b.far(0, codec.JSON, nil)
		p.post(codec.Hello, "realm1", values{
			"roles": values{"caller": values{}}, "authid": "joe", "authmethods": []any{"ticket"},
		})
		b.RunLoop(0)
		p.challenged("ticket")
		p.post(codec.Authenticate, answer, values{})
		b.RunLoop(0)
		return p
	}
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

// TestAUTHChecks: the pool has a few logins of a loop at a time; the others wait in their order, so many and so long;
// one that is over does not keep those behind it.
func TestAUTHChecks(t *testing.T) {
	hash, err := auth.HashPassword("a password", 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := auth.ParseTicket(hash)
	if err != nil {
		t.Fatal(err)
	}
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Users = []auth.User{{AuthID: "joe", Role: "user", Tickets: []auth.StoredTicket{stored}}}
		cfg.AuthFailures = auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: -1}
	})
	b.Forced = func(int, string) bool { return false }
	begin := func() *peer {
		t.Helper()
		p := b.far(0, codec.JSON, nil)
		p.post(codec.Hello, "realm1", values{
			"roles": values{"caller": values{}}, "authid": "joe", "authmethods": []any{"ticket"},
		})
		b.RunLoop(0)
		p.challenged("ticket")
		p.post(codec.Authenticate, "a password", values{})
		b.RunLoop(0)
		return p
	}
	var peers []*peer
	for range checksAtOnce + 4 {
		peers = append(peers, begin())
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
		peers = append(peers, begin())
	}
	begin().aborted(codec.ErrAuthenticationFailed)
	last := peers[len(peers)-1]
	peers[len(peers)-2].Shutdown()
	b.RunLoop(0)
	more := begin() // in the place of the one that is over
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
	hash, err := auth.HashPassword("a password", 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := auth.ParseTicket(hash)
	if err != nil {
		t.Fatal(err)
	}
	b := loginBed(t, 1, func(ac *auth.Config, cfg *Config) {
		ac.Users[0].Tickets = []auth.StoredTicket{stored}
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
	begin := func() *peer {
		t.Helper()
		p := b.far(0, codec.JSON, nil)
		p.post(codec.Hello, "realm1", values{
			"roles": values{"caller": values{}}, "authid": "joe", "authmethods": []any{"ticket"},
		})
		b.RunLoop(0)
		p.challenged("ticket")
		p.post(codec.Authenticate, "a password", values{})
		b.RunLoop(0)
		return p
	}
	b.AsyncMax = 1
	first := begin()
	for range 5 { // no room in the pool
		begin().aborted(codec.ErrAuthenticationFailed)
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

// TestAUTHListener: a listener may let in fewer methods, and says from where anonymous clients come.
func TestAUTHListener(t *testing.T) {
	b := loginBed(t, 1, func(_ *auth.Config, cfg *Config) {
		cfg.Listeners = []Listener{
			{AuthMethods: []string{"wampcra"}},
			{Anonymous: AnonymousAnywhere},
			{Anonymous: AnonymousNone},
			{Anonymous: AnonymousLocal},
			{},
		}
	})
	at := func(listener int, local bool) *peer {
		return b.far(0, codec.JSON, func(p *port.Peer) { p.Listener, p.Local = listener, local })
	}
	p := at(0, false)
	p.offer("joe", nil, "ticket", "wampcra")
	p.challenged("wampcra")
	p = at(0, false)
	p.offer("joe", nil, "ticket")
	p.aborted(codec.ErrNoMatchingAuthMethod)
	for _, test := range []struct {
		listener  int
		local, in bool
	}{
		{1, false, true},
		{2, true, false},
		{3, true, true},
		{3, false, false},
		{4, true, true},
		{4, false, false},
		{99, true, true},
	} {
		p := at(test.listener, test.local)
		p.offer("", nil)
		if test.in {
			p.welcomed("", "guest", "anonymous", "static")
		} else {
			p.aborted(codec.ErrAuthenticationRequired)
		}
	}
}

// TestAUTHPlainTicket: a ticket does not cross the network in the open; what is local or encrypted is the peer's
// word.
func TestAUTHPlainTicket(t *testing.T) {
	b := loginBed(t, 1, nil)
	p := b.far(0, codec.JSON, func(p *port.Peer) { p.Encrypted = false })
	p.offer("joe", nil, "ticket")
	p.aborted(codec.ErrNoMatchingAuthMethod)
	b.far(0, codec.JSON, func(p *port.Peer) { p.Encrypted, p.Local = false, true }).ticketJoin("joe")
}

// TestAUTHCookie: a login is bound to the cookie of the connection, until logout.
func TestAUTHCookie(t *testing.T) {
	store := auth.NewCookies(10, time.Hour)
	b := loginBed(t, 1, func(ac *auth.Config, _ *Config) { ac.Cookie = &auth.CookieOptions{Store: store} })
	id, other := store.Issue(), store.Issue()
	browser := func(id string) *peer {
		return b.far(0, codec.JSON, func(p *port.Peer) { p.Cookie = id })
	}
	browser(id).ticketJoin("joe")
	p := browser(other)
	p.offer("", nil, "cookie")
	p.aborted(codec.ErrNoMatchingAuthMethod)
	for _, reason := range []string{codec.CloseGoodbyeAndOut, codec.CloseLogout} {
		p = browser(id)
		p.offer("", nil, "cookie", "ticket")
		p.welcomed("joe", "user", "cookie", "static")
		p.say(codec.Goodbye, values{}, reason)
		p.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	}
	p = browser(id)
	p.offer("", nil, "cookie")
	p.aborted(codec.ErrNoMatchingAuthMethod)

	// Without TLS a login binds only what the handshake gave.
	for _, isNew := range []bool{false, true} {
		id := store.Issue()
		b.far(0, codec.JSON, func(p *port.Peer) {
			p.Network, p.Local, p.Encrypted, p.Cookie, p.CookieNew = "unix", true, false, id, isNew
		}).ticketJoin("joe")
		if got := store.Lookup(id, "realm1", noon) != nil; got != isNew {
			t.Errorf("new %v: bound %v", isNew, got)
		}
	}
}

// TestSES50: a role that the realm does not have keeps its principal out, whoever it is.
func TestSES50(t *testing.T) {
	rules := grant(t, map[string]bool{"other": true})
	b := loginBed(t, 1, func(_ *auth.Config, cfg *Config) { cfg.Realms[0].Policy = rules })
	p := b.far(0, codec.JSON, nil)
	p.offer("joe", nil, "ticket")
	p.challenged("ticket")
	p.say(codec.Authenticate, ticketOf, values{})
	p.aborted(codec.ErrNoSuchRole)
	b.idle(0)

	b = newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Policy: rules}}})
	p = b.connect(0, codec.JSON, 1<<20)
	p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
	p.aborted(codec.ErrNoSuchRole)
}

// TestAUTHRoleIsAssigned: nobody gets a role, a realm or an authid by asking for it.
func TestAUTHRoleIsAssigned(t *testing.T) {
	b := loginBed(t, 1, nil)
	p := b.connect(0, codec.JSON, 1<<20)
	p.offer("joe", values{"authrole": "trusted"}, "anonymous")
	if d := p.welcomed("", "guest", "anonymous", "static"); d["authid"] == "joe" {
		t.Error("an anonymous client is joe")
	}
	p = b.far(0, codec.JSON, nil)
	p.offer("joe", values{"authrole": "admin"}, "ticket")
	p.challenged("ticket")
	p.say(codec.Authenticate, ticketOf, values{"authrole": "admin", "authid": "ann"})
	p.welcomed("joe", "user", "ticket", "static")
	p = b.far(0, codec.JSON, nil)
	p.offer("joe", values{"authrole": strings.Repeat("a", authRoleBytesMax+1)}, "ticket")
	p.aborted(codec.ErrNoSuchRole)
}

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
			s.admission.watch(x, s)
		})
		b.Settle()
		for b.Now()+expiryMost < after {
			b.Advance(expiryMost)
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
		s.admission.watch(x, s)
	})
	b.Settle()
	p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	p.ticketJoin("joe")
	b.Advance(time.Minute)
	b.Settle()
	p.silent()
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
