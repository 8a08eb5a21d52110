package realm

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
