package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

func dynamicRealm(t testing.TB) *Realm {
	t.Helper()
	return makeRealm(t, Config{
		Anonymous: &AnonymousOptions{From: Source{Any: true}}, Ticket: &TicketOptions{}, WAMPCRA: true,
		WAMPSCRAM:     true,
		CrossbarSCRAM: true, Cryptosign: &CryptosignOptions{}, TLS: true,
		Dynamic: &DynamicOptions{
			Authenticator: "com.example.authenticate", Timeout: 2 * time.Second,
			Methods: []string{"anonymous", "ticket", "wampcra", "wamp-scram", "scram", "cryptosign", "tls"},
		},
	})
}

// asked begins with a method and leads to the request, through the ticket if need be.
func asked(t testing.TB, r *Realm, h *Hello) (*Attempt, *Request) {
	t.Helper()
	a, o := r.Begin(h)
	if o.Kind == Challenge {
		o = a.Answer(noon, "the ticket", nil)
	}
	want(t, o, Ask)
	return a, o.Request
}

func dynamicHello(t testing.TB, authid, method string) *Hello {
	h := hello(authid, method)
	h.Extra = extra(t, map[string]any{"pubkey": signKeys[0], "nonce": scramNonce, "own": []any{int64(1)}})
	h.Transport.Certificate = []byte("DER")
	return h
}

// PROTOCOL 10.8: what the authenticator is asked.
func TestDynamicRequest(t *testing.T) {
	r := dynamicRealm(t)
	for _, method := range r.Methods() {
		h := dynamicHello(t, "alice", method)
		h.AuthRole = "admin"
		_, q := asked(t, r, h)
		if q.Authenticator != "com.example.authenticate" || q.Timeout != 2*time.Second || q.Realm != testRealm ||
			q.AuthID != "alice" {
			t.Errorf("%+v", q)
		}
		b, err := codec.AppendValue(nil, codec.MessagePack, q.Details)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := codec.Value(codec.MessagePack, b)
		d := v.(map[string]any)
		transport := d["transport"].(map[string]any)
		if d["authmethod"] != method || d["session"] != int64(h.Session) || d["authrole"] != "admin" ||
			d["authextra"].(map[string]any)["pubkey"] != signKeys[0] || transport["peer"] != "203.0.113.7" ||
			transport["listener"] != "public" || transport["is_secure"] != true || transport["is_local"] != false {
			t.Errorf("details %v", d)
		}
		if got := d["ticket"]; (method == "ticket") != (got == "the ticket") || method != "ticket" && got != nil {
			t.Errorf("%s: ticket %v", method, got)
		}
	}
	h := dynamicHello(t, "", "anonymous")
	h.Transport, h.Extra = Transport{Local: true}, Extra{}
	_, q := asked(t, r, h)
	if q.AuthID != "" || q.Details["authrole"] != nil || q.Details["transport"].(map[string]any)["peer"] != nil ||
		len(q.Details["authextra"].(map[string]any)) != 0 {
		t.Errorf("%+v", q)
	}
	h.Transport.Peer = netip.MustParseAddr("::ffff:192.0.2.1")
	_, q = asked(t, r, h)
	if q.Details["transport"].(map[string]any)["peer"] != "192.0.2.1" {
		t.Errorf("%+v", q)
	}
}

// AUTH-42, AUTH-43: a role, and a dictionary.
func TestAUTH42and43DynamicResult(t *testing.T) {
	r := dynamicRealm(t)
	for _, method := range []string{"anonymous", "ticket", "tls"} {
		a, _ := asked(t, r, dynamicHello(t, "alice", method))
		wantWelcome(t, a.Resume("operator", nil), "alice", "operator", method, "dynamic")

		a, _ = asked(t, r, dynamicHello(t, "alice", method))
		p := wantWelcome(t, a.Resume(map[string]any{
			"realm": "com.example.other", "authid": "alice.b", "role": "boss", "extra": map[string]any{"x": int64(1)},
		}, nil), "alice.b", "boss", method, "dynamic")
		if p.Realm != "com.example.other" || p.Extra["x"] != int64(1) {
			t.Errorf("%+v", p)
		}
	}
	a, _ := asked(t, r, dynamicHello(t, "", "anonymous"))
	o := a.Resume("guest", nil)
	want(t, o, Welcome)
	if len(o.Principal.AuthID) != 24 || o.Principal.Realm != testRealm {
		t.Errorf("%+v", o.Principal)
	}
	// A template's realms share a Realm: the one of HELLO is joined, unless the authenticator names another.
	h := dynamicHello(t, "alice", "tls")
	h.Realm = "tenant.7"
	a, q := asked(t, r, h)
	if p := wantWelcome(t, a.Resume("r", nil), "alice", "r", "tls", "dynamic"); p.Realm != "tenant.7" ||
		q.Realm != "tenant.7" {
		t.Errorf("%+v %+v", p, q)
	}
}

// PROTOCOL 10.8: the secret material for the methods with a challenge of their own.
func TestDynamicSecrets(t *testing.T) {
	r := dynamicRealm(t)
	// wampcra, unsalted and salted; the challenge has the identity that the authenticator assigned.
	for _, d := range []map[string]any{
		{"role": "user", "authid": "peter", "secret": "secret123"},
		{
			"role": "user", "authid": "peter", "secret": "Eu7CQLfR+/Ffb+275A4s9/6H/RGKYxM4s6IMrsNKzC8=",
			"salt":       "salt123",
			"iterations": 1000.0, "keylen": int64(32),
		},
		{
			"role": "user", "authid": "peter", "secret": "Eu7CQLfR+/Ffb+275A4s9/6H/RGKYxM4s6IMrsNKzC8=",
			"salt": "salt123",
		},
	} {
		a, _ := asked(t, r, dynamicHello(t, "pete", "wampcra"))
		o := a.Resume(d, nil)
		want(t, o, Challenge)
		text := o.Extra["challenge"].(string)
		if !strings.HasPrefix(text,
			`{"authid":"peter","authrole":"user","authmethod":"wampcra","authprovider":"dynamic",`) {
			t.Error(text)
		}
		wantWelcome(t, a.Answer(noon, answerCRA(t, "secret123", o.Extra), nil), "peter", "user", "wampcra", "dynamic")
		a, _ = asked(t, r, dynamicHello(t, "pete", "wampcra"))
		o = a.Resume(d, nil)
		wantDenied(t, a.Answer(noon, answerCRA(t, "secret124", o.Extra), nil))
	}
	for _, method := range []string{"wamp-scram", "scram"} {
		c, err := newSCRAM("pencil", KDFPBKDF2, []byte("somesalt"), 4096, 0, false) // pbkdf2: the same in both
		if err != nil {
			t.Fatal(err)
		}
		a, _ := asked(t, r, dynamicHello(t, "alice", method))
		o := a.Resume(map[string]any{
			"role": "user", "kdf": "pbkdf2", "salt": "736f6d6573616c74", "iterations": int64(4096), "memory": nil,
			"stored-key": fmt.Sprintf("%x", c.StoredKey), "server-key": fmt.Sprintf("%x", c.ServerKey),
		}, nil)
		want(t, o, Challenge)
		if o.Extra["salt"] != b64([]byte("somesalt")) {
			t.Errorf("%v", o.Extra)
		}
		if method == "wamp-scram" {
			proof, e, _ := scramUser{name: "alice", password: "pencil"}.answer(t, scramNonce, o.Extra)
			wantWelcome(t, a.Answer(noon, proof, &e), "alice", "user", method, "dynamic")
		}
		// Crossbar.io's name of Argon2id.
		a, _ = asked(t, r, dynamicHello(t, "alice", method))
		o = a.Resume(map[string]any{
			"role": "user", "kdf": "argon2id-13", "salt": "736f6d6573616c74", "iterations": 3, "memory": 64,
			"stored-key": fmt.Sprintf("%x", c.StoredKey), "server-key": fmt.Sprintf("%x", c.ServerKey),
		}, nil)
		want(t, o, Challenge)
		if o.Extra["kdf"] != map[string]string{"wamp-scram": "argon2id13", "scram": "argon2id-13"}[method] {
			t.Errorf("%v", o.Extra)
		}
	}
	for _, c := range []struct {
		pubkey any
		ok     bool
	}{
		{signKeys[0], true},
		{[]any{signKeys[1], signKeys[0]}, true},
		{signKeys[1], false},
	} {
		a, _ := asked(t, r, dynamicHello(t, "", "cryptosign"))
		o := a.Resume(map[string]any{"role": "user", "pubkey": c.pubkey}, nil)
		if !c.ok {
			wantDenied(t, o)
			continue
		}
		want(t, o, Challenge)
		o = a.Answer(noon, signChallenge(t, signSeeds[0], o.Extra["challenge"].(string), nil), nil)
		wantWelcome(t, o, signKeys[0], "user", "cryptosign", "dynamic")
	}
}

// AUTH-44: errors of the authenticator, and an authenticator that is not there.
func TestAUTH44DynamicErrors(t *testing.T) {
	t.Attr("checklist", "AUTH-51")
	r := dynamicRealm(t)
	long := strings.Repeat("é", messageBytesMax)
	for _, method := range r.Methods() {
		for _, c := range []struct {
			err          error
			uri, message string
		}{
			{&AuthenticatorError{codec.ErrNoSuchPrincipal, "who?"}, codec.ErrNoSuchPrincipal, "who?"},
			{&AuthenticatorError{"wamp.error.own", "no"}, "wamp.error.own", "no"},
			{fmt.Errorf("call: %w", &AuthenticatorError{"wamp.error.own", "no"}), "wamp.error.own", "no"},
			{&AuthenticatorError{"com.example.locked", "locked"}, codec.ErrAuthenticationDenied, "locked"},
			{&AuthenticatorError{"wamp.error.", "x"}, codec.ErrAuthenticationDenied, "x"},
			{&AuthenticatorError{"wamp.error.a b", "x"}, codec.ErrAuthenticationDenied, "x"},
			{&AuthenticatorError{"wamp.error." + long, long}, codec.ErrAuthenticationDenied, long[:messageBytesMax]},
			{&AuthenticatorError{"", "a" + long}, codec.ErrAuthenticationDenied, "a" + long[:messageBytesMax-2]},
			{errors.New("dial 10.0.0.5: refused"), codec.ErrAuthenticationFailed, ""},
		} {
			a, _ := asked(t, r, dynamicHello(t, "alice", method))
			o := a.Resume("admin", c.err) // a result beside an error does not count
			wantRefusal(t, o, c.uri)
			if c.message != "" && o.Refusal.Message != c.message || contains(o, "10.0.0.5") {
				t.Errorf("%s: message %q", method, o.Refusal.Message)
			}
			// AUTH-51: nothing comes after the end.
			wantRefusal(t, a.Resume("admin", nil), codec.ErrProtocolViolation)
		}
	}
}

// What an authenticator must not return, fails the attempt and lets nobody in.
func TestDynamicMalformedResults(t *testing.T) {
	r := dynamicRealm(t)
	scram := func(key string, value any) map[string]any {
		d := map[string]any{
			"role": "user", "kdf": "argon2id13", "salt": "736f6d6573616c74", "iterations": 3, "memory": 64,
			"stored-key": strings.Repeat("ab", 32), "server-key": strings.Repeat("ab", 32),
		}
		d[key] = value
		return d
	}
	for _, c := range []struct {
		method   string
		returned any
	}{
		{"ticket", nil},
		{"ticket", ""},
		{"ticket", 5},
		{"ticket", true},
		{"ticket", []any{"admin"}},
		{"ticket", map[string]any{}},
		{"ticket", map[string]any{"role": nil}},
		{"ticket", map[string]any{"role": 5}},
		{"ticket", map[string]any{"role": "a\nb"}},
		{"ticket", map[string]any{"role": strings.Repeat("r", roleBytesMax+1)}},
		{"ticket", map[string]any{"role": "r", "authid": ""}},
		{"ticket", map[string]any{"role": "r", "authid": strings.Repeat("r", authIDBytesMax+1)}},
		{"ticket", map[string]any{"role": "r", "realm": ""}},
		{"ticket", map[string]any{"role": "r", "realm": strings.Repeat("r", realmBytesMax+1)}},
		{"ticket", map[string]any{"role": "r", "extra": "x"}},
		{"ticket", map[string]any{"role": "r", "extra": map[string]any{"x": func() {}}}},
		{"ticket", map[string]any{"challenge": map[string]any{"x": func() {}}}},
		{"tls", map[string]any{"challenge": map[string]any{}}},
		{"wampcra", "role alone"},
		{"wampcra", map[string]any{"role": "r"}},
		{"wampcra", map[string]any{"role": "r", "secret": ""}},
		{"wampcra", map[string]any{"role": "r", "secret": 5}},
		{"wampcra", map[string]any{"role": "r", "secret": "not derived", "salt": "salt"}},
		{"wampcra", map[string]any{"role": "r", "secret": b64(make([]byte, 32)), "salt": "s", "iterations": 0}},
		{"wampcra", map[string]any{"role": "r", "secret": b64(make([]byte, 32)), "salt": "s", "iterations": 1.5}},
		{"wampcra", map[string]any{"role": "r", "secret": b64(make([]byte, 32)), "salt": "s", "keylen": "32"}},
		{"wamp-scram", "role alone"},
		{"wamp-scram", scram("kdf", "bcrypt")},
		{"wamp-scram", scram("salt", "zz")},
		{"wamp-scram", scram("salt", "a")},
		{"wamp-scram", scram("salt", nil)},
		{"wamp-scram", scram("iterations", nil)},
		{"wamp-scram", scram("iterations", 1e18)},
		{"wamp-scram", scram("memory", nil)},
		{"wamp-scram", scram("stored-key", "ab")},
		{"wamp-scram", scram("stored-key", nil)},
		{"scram", scram("server-key", nil)},
		{"cryptosign", "role alone"},
		{"cryptosign", map[string]any{"role": "r", "pubkey": "ff"}},
		{"cryptosign", map[string]any{"role": "r", "pubkey": []any{}}},
		{"cryptosign", map[string]any{"role": "r", "pubkey": []any{5}}},
		{"cryptosign", map[string]any{"role": "r", "pubkey": slices.Repeat([]any{signKeys[0]}, keysPerUserMax+1)}},
	} {
		a, _ := asked(t, r, dynamicHello(t, "alice", c.method))
		o := a.Resume(c.returned, nil)
		if c.method == "cryptosign" && o.Kind == Refuse && o.Refusal.URI == codec.ErrAuthenticationDenied {
			continue // a list without the announced key is a denial
		}
		if o.Kind != Refuse || o.Refusal.URI != codec.ErrAuthenticationFailed {
			t.Errorf("%s returned %v: %s", c.method, c.returned, describe(o))
		}
	}
}

// AUTH-45: an authenticator that asks once more, and one that never stops asking.
func TestAUTH45TwoRounds(t *testing.T) {
	t.Attr("checklist", "AUTH-47")
	r := dynamicRealm(t)
	a, o := r.Begin(dynamicHello(t, "alice", "ticket"))
	want(t, o, Challenge)
	o = a.Answer(noon, "password", nil)
	want(t, o, Ask)
	if o.Request.Details["round"] != 1 || o.Request.Details["ticket"] != "password" {
		t.Errorf("%v", o.Request.Details)
	}
	wantRefusal(t, a.Answer(noon, "again", nil), codec.ErrProtocolViolation) // AUTH-47: not while it is asked
	a, _ = r.Begin(dynamicHello(t, "alice", "ticket"))
	a.Answer(noon, "password", nil)
	o = a.Resume(map[string]any{"challenge": map[string]any{"prompt": "code"}}, nil)
	want(t, o, Challenge)
	if o.Method != "ticket" || o.Extra["prompt"] != "code" {
		t.Errorf("%+v", o)
	}
	o = a.Answer(noon, "123456", nil)
	want(t, o, Ask)
	if o.Request.Details["round"] != 2 || o.Request.Details["ticket"] != "123456" {
		t.Errorf("%v", o.Request.Details)
	}
	wantWelcome(t, a.Resume("user", nil), "alice", "user", "ticket", "dynamic")

	a, o = r.Begin(dynamicHello(t, "alice", "ticket"))
	rounds := 0
	for o.Kind == Challenge {
		rounds++
		a.Answer(noon, "x", nil)
		o = a.Resume(map[string]any{"challenge": map[string]any{}}, nil)
	}
	wantRefusal(t, o, codec.ErrAuthenticationFailed)
	if rounds != roundsMax {
		t.Errorf("%d rounds, want %d", rounds, roundsMax)
	}
}

func TestDynamicOptionsCheck(t *testing.T) {
	jwtTicket := &TicketOptions{JWT: &JWTOptions{}}
	for name, c := range map[string]struct {
		config Config
		ok     bool
	}{
		"good": {Config{
			TLS: true, Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: []string{"tls"}, Timeout: 1},
		}, true},
		"no name": {Config{
			TLS: true, Dynamic: &DynamicOptions{Authenticator: "", Methods: []string{"tls"}, Timeout: 1},
		}, false},
		"no methods": {Config{
			TLS: true, Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: nil, Timeout: 1},
		}, false},
		"no timeout": {Config{
			TLS: true, Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: []string{"tls"}, Timeout: 0},
		}, false},
		"not offered": {Config{
			TLS: true, Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: []string{"ticket"}, Timeout: 1},
		}, false},
		"cookie": {Config{
			Cookie:  &CookieOptions{Store: NewCookies(1, 1)},
			Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: []string{"cookie"}, Timeout: 1},
		}, false},
		"JWT and dynamic": {
			Config{
				Ticket: jwtTicket, Dynamic: &DynamicOptions{
					Authenticator: "com.x", Methods: []string{"ticket"}, Timeout: 1,
				},
			},
			false,
		},
		"static users": {Config{
			WAMPCRA: true, Dynamic: &DynamicOptions{Authenticator: "com.x", Methods: []string{"wampcra"}, Timeout: 1},
			Users: []User{{AuthID: "a", Role: "r", CRA: &CRACredential{Key: "s"}}},
		}, false},
		"static users of another method": {Config{
			WAMPCRA: true, TLS: true, Dynamic: &DynamicOptions{
				Authenticator: "com.x", Methods: []string{"tls"}, Timeout: 1,
			},
			Users: []User{{AuthID: "a", Role: "r", CRA: &CRACredential{Key: "s"}}},
		}, true},
	} {
		c.config.Realm = testRealm
		if _, err := NewRealm(&c.config); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
