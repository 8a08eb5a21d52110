package auth

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

// PROTOCOL 10.7: a login binds the cookie, later HELLOs skip the challenge, logout unbinds.
func TestCookie(t *testing.T) {
	store := NewCookies(10, time.Hour)
	users := []User{{
		AuthID: "alice", Role: "user", Tickets: []StoredTicket{plain(t, "x")},
		Extra: map[string]any{"a": 1},
	}}
	c := Config{
		Cookie: &CookieOptions{Store: store}, Ticket: &TicketOptions{}, Users: users,
		Anonymous: &AnonymousOptions{Role: "public", From: Source{Any: true}},
	}
	r := makeRealm(t, c)
	id := store.Issue()
	login := func(authid string) *Hello {
		h := hello(authid, "cookie", "ticket")
		h.Transport.Cookie = id
		return h
	}
	h := login("alice")
	h.Transport.CookieNew = true
	a, o := r.Begin(h)
	want(t, o, Challenge)
	o = a.Answer(noon, "x", nil)
	want(t, o, Welcome)
	r.BindCookie(h, o.Principal)

	_, o = r.Begin(login(""))
	if p := wantWelcome(t, o, "alice", "user", "cookie", "static"); p.Extra["a"] != 1 {
		t.Errorf("%+v", p)
	}
	_, o = r.Begin(login("alice"))
	want(t, o, Welcome)
	_, o = r.Begin(login("bob")) // the client wants to be somebody else: the next method
	want(t, o, Challenge)
	h = login("")
	h.Transport.Cookie = store.Issue()
	_, o = r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)

	// Another realm, and a realm of the same template, know nothing of it.
	h = login("")
	h.Realm = "com.example.other"
	_, o = r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)

	// An unencrypted network does not see it work.
	h = login("")
	h.Transport.Encrypted = false
	_, o = r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	c.Cookie = &CookieOptions{Store: store, AllowPlain: true}
	_, o = makeRealm(t, c).Begin(h)
	want(t, o, Welcome)
	c.Cookie = &CookieOptions{Store: store}

	// After a reload: the role of today, and nothing for a user that is gone or whose method is.
	c.Users = []User{{AuthID: "alice", Role: "admin", Tickets: users[0].Tickets}}
	_, o = makeRealm(t, c).Begin(login(""))
	wantWelcome(t, o, "alice", "admin", "cookie", "static")
	for _, change := range []func(c *Config){
		func(c *Config) { c.Users = nil }, func(c *Config) { c.Ticket = nil }, func(c *Config) { c.Cookie = nil },
		func(c *Config) {
			c.Users = []User{{AuthID: "alice", Role: "admin", Tickets: []StoredTicket{plain(t, "another")}}}
		},
	} {
		gone := c
		change(&gone)
		_, o = makeRealm(t, gone).Begin(login(""))
		want(t, o, Refuse)
	}

	r.UnbindCookie(login(""))
	_, o = r.Begin(login(""))
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

// What does not bind a cookie.
func TestCookieNotBound(t *testing.T) {
	store := NewCookies(10, time.Hour)
	r := makeRealm(t, Config{Cookie: &CookieOptions{Store: store}, Ticket: &TicketOptions{AllowPlain: true}})
	good := Principal{Realm: testRealm, AuthID: "a", Role: "r", Method: "ticket", Provider: "static"}
	for name, c := range map[string]struct {
		change func(h *Hello, p *Principal)
		bound  bool
	}{
		"good":          {func(*Hello, *Principal) {}, true},
		"anonymous":     {func(_ *Hello, p *Principal) { p.Method = "anonymous" }, false},
		"by cookie":     {func(_ *Hello, p *Principal) { p.Method = "cookie" }, false},
		"no cookie":     {func(h *Hello, _ *Principal) { h.Transport.Cookie = "" }, false},
		"another realm": {func(_ *Hello, p *Principal) { p.Realm = "com.example.other" }, false},
		"not encrypted": {func(h *Hello, _ *Principal) { h.Transport.Encrypted = false }, false},
		"own machine": {
			func(h *Hello, _ *Principal) {
				h.Transport.Encrypted, h.Transport.Local, h.Transport.CookieNew = false, true, true
			},
			true,
		},
		"brought to its own machine": {
			func(h *Hello, _ *Principal) { h.Transport.Encrypted, h.Transport.Local = false, true },
			false,
		},
		"planted": {func(h *Hello, _ *Principal) { h.Transport.Cookie = strings.Repeat("A", 86) }, false},
		"somebody's": {
			func(h *Hello, _ *Principal) { h.Transport.Cookie = NewCookies(1, time.Hour).Issue() },
			false,
		},
		"changed": {
			func(h *Hello, _ *Principal) { h.Transport.Cookie = "A" + h.Transport.Cookie[1:] + "A" },
			false,
		},
		"template realms": {func(h *Hello, p *Principal) { h.Realm, p.Realm = "t.7", "t.7" }, true},
	} {
		h, p := hello("a", "ticket"), good
		h.Transport.Cookie = store.Issue()
		c.change(h, &p)
		r.BindCookie(h, &p)
		if got := store.Lookup(h.Transport.Cookie, p.Realm, noon); (got != nil) != c.bound {
			t.Errorf("%s: bound is %v", name, got != nil)
		}
	}
	makeRealm(t, Config{Ticket: &TicketOptions{}}).BindCookie(hello("a", "ticket"), &good) // off: nothing happens
	makeRealm(t, Config{Ticket: &TicketOptions{}}).UnbindCookie(hello("a", "ticket"))
	// The proof of one handshake is no part of who somebody is.
	h, p := hello("a", "wamp-scram"), good
	h.Transport.Cookie = store.Issue()
	p.Extra = map[string]any{"verifier": "v=x", "scram_server_signature": "x", "mine": 1}
	r.BindCookie(h, &p)
	if got := store.Lookup(h.Transport.Cookie, testRealm, noon); len(got.Extra) != 1 || len(p.Extra) != 3 {
		t.Errorf("%v %v", got.Extra, p.Extra)
	}
	if _, err := NewRealm(&Config{Realm: testRealm, Cookie: &CookieOptions{}}); err == nil {
		t.Error("a cookie method without a store")
	}
}

// A cookie that was planted before a login does not become the victim's where anybody can plant one, and what it
// stood for ends with the login. Over TLS the name protects it.
func TestPlantedCookie(t *testing.T) {
	for _, c := range []struct {
		name      string
		encrypted bool
		isNew     bool
		was       string // whom it stands for before
		want      string // and afterwards
	}{
		{"TLS", true, false, "", "victim"},
		{"TLS, somebody's", true, false, "attacker", "victim"},
		{"plain", false, false, "", ""},
		{"plain, new", false, true, "", "victim"},
		{"plain, somebody's", false, false, "attacker", ""},
		{"plain, one's own", false, false, "victim", "victim"},
	} {
		store := NewCookies(10, time.Hour)
		r := makeRealm(t, Config{
			Cookie: &CookieOptions{Store: store, AllowPlain: true}, Ticket: &TicketOptions{AllowPlain: true},
		})
		h := hello("victim", "ticket")
		h.Transport.Cookie, h.Transport.CookieNew, h.Transport.Encrypted = store.Issue(), c.isNew, c.encrypted
		if c.was != "" {
			store.Bind(h.Transport.Cookie, &Principal{Realm: testRealm, AuthID: c.was}, noon)
		}
		r.BindCookie(h, &Principal{Realm: testRealm, AuthID: "victim", Method: "ticket", Provider: "static"})
		got := ""
		if p := store.Lookup(h.Transport.Cookie, testRealm, noon); p != nil {
			got = p.AuthID
		}
		if got != c.want {
			t.Errorf("%s: it stands for %q, want %q", c.name, got, c.want)
		}
	}
}

// Whether an id stands for somebody, in whatever realm, and until when.
func TestCookieBound(t *testing.T) {
	s := NewCookies(2, time.Hour)
	one, other := s.Issue(), s.Issue()
	in := func(realm string) *Principal { return &Principal{Realm: realm, AuthID: "a"} }
	check := func(what string, id string, at time.Time, want bool) {
		t.Helper()
		if s.Bound(id, at) != want {
			t.Errorf("%s: bound is %v", what, !want)
		}
	}
	check("new", one, noon, false)
	s.Bind(one, in("x"), noon)
	s.Bind(one, in("y"), noon.Add(time.Minute))
	check("in two realms", one, noon.Add(time.Hour+time.Minute-1), true)
	check("expired", one, noon.Add(time.Hour+time.Minute), false)
	s.Bind(one, in("y"), noon) // shorter than it was
	s.Bind(one, &Principal{Realm: "x", AuthID: "a", Expires: noon.Add(time.Second)}, noon)
	check("until the later one", one, noon.Add(time.Hour-1), true)
	check("another", other, noon, false)
	s.Bind(one, in("x"), noon)
	s.Unbind(one, "x")
	check("in one of them", one, noon, true)
	s.Bind(other, in("x"), noon)
	check("the other", other, noon, true)
	s.Bind(other, in("y"), noon) // one is the least recently used
	check("without a place", one, noon, false)
	s.UnbindAll("x", "a")
	s.UnbindAll("y", "a")
	check("logged out", other, noon, false)
	if len(s.ids) != 0 {
		t.Errorf("%d ids", len(s.ids))
	}
}

// The store: ids, expiry, the bound at n and n+1.
func TestCookies(t *testing.T) {
	const n = 3
	s := NewCookies(n, time.Hour)
	p := &Principal{Realm: testRealm, AuthID: "a"}
	ids := make([]string, n+1)
	seen := map[string]bool{}
	for i := range ids {
		ids[i] = s.Issue()
		if len(ids[i]) != 86 || seen[ids[i]] || !s.Valid(ids[i]) {
			t.Errorf("id %q", ids[i])
		}
		seen[ids[i]] = true
	}
	bound := func(id string, at time.Time) bool { return s.Lookup(id, testRealm, at) != nil }
	for _, id := range ids[:n] {
		s.Bind(id, p, noon)
	}
	for _, id := range ids[:n] {
		if !bound(id, noon.Add(time.Hour-1)) {
			t.Error("a binding is gone too early")
		}
	}
	bound(ids[0], noon)
	s.Bind(ids[n], p, noon) // ids[1] is now the least recently used
	for i, want := range []bool{true, false, true, true} {
		if bound(ids[i], noon) != want {
			t.Errorf("binding %d: %v", i, !want)
		}
	}
	s.Bind(ids[0], &Principal{Realm: testRealm, AuthID: "b"}, noon) // again: in place of the old one
	if len(s.bound) != n || s.recent.Len() != n || s.Lookup(ids[0], testRealm, noon).AuthID != "b" {
		t.Errorf("%d bindings", len(s.bound))
	}
	if bound(ids[2], noon.Add(time.Hour)) || len(s.bound) != n-1 {
		t.Error("an expired binding is there")
	}
	s.Bind(ids[2], &Principal{Realm: testRealm, AuthID: "a", Expires: noon.Add(time.Minute)}, noon)
	if !bound(ids[2], noon.Add(time.Minute-1)) || bound(ids[2], noon.Add(time.Minute)) {
		t.Error("a binding outlives its principal")
	}
	if s.Lookup(ids[0], "com.example.other", noon) != nil {
		t.Error("a cookie of another realm")
	}
	s.Bind(ids[1], p, noon)
	s.UnbindAll("com.example.other", "a")
	s.UnbindAll(testRealm, "a")
	if len(s.bound) != 1 || !bound(ids[0], noon) {
		t.Errorf("%d bindings", len(s.bound))
	}
	s.Unbind(ids[0], testRealm)
	s.Unbind(ids[0], testRealm)
	if len(s.bound) != 0 || s.recent.Len() != 0 {
		t.Error("something stayed")
	}
	none := NewCookies(0, time.Hour)
	none.Bind(none.Issue(), p, noon)
	if len(none.bound) != 0 {
		t.Error("a store of none keeps one")
	}
}
