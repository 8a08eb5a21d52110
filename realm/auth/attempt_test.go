package auth

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
)

// AUTH-01: none listed is anonymous. PROTOCOL 10.1: the authid is random, the provider static.
func TestAUTH01Anonymous(t *testing.T) {
	r := makeRealm(t, Config{Anonymous: &AnonymousOptions{Role: "public", From: Source{Any: true}}})
	seen := map[string]bool{}
	for _, methods := range [][]string{nil, {}, {"anonymous"}, {"unknown", "anonymous"}} {
		_, o := r.Begin(hello("", methods...))
		want(t, o, Welcome)
		p := wantWelcome(t, o, o.Principal.AuthID, "public", "anonymous", "static")
		if len(p.AuthID) != 24 || seen[p.AuthID] || p.Realm != testRealm || p.Extra != nil {
			t.Fatalf("principal %+v", p)
		}
		seen[p.AuthID] = true
	}
	// A claimed authid gives an anonymous client nothing.
	_, o := r.Begin(hello("admin"))
	want(t, o, Welcome)
	if o.Principal.AuthID == "admin" {
		t.Fatal("an anonymous client chose its authid")
	}
}

func TestAUTH01AnonymousSources(t *testing.T) {
	local := Transport{Local: true}
	far := Transport{Peer: netip.MustParseAddr("203.0.113.7")}
	near := Transport{Peer: netip.MustParseAddr("10.1.2.3")}
	mapped := Transport{Peer: netip.MustParseAddr("::ffff:10.1.2.3")}
	edge := Transport{Peer: netip.MustParseAddr("11.0.0.0")}
	six := Transport{Peer: netip.MustParseAddr("2001:db8::1")}
	zone := Transport{Peer: netip.MustParseAddr("fe80::1%eth0")}
	proxied := Transport{Peer: netip.MustParseAddr("127.0.0.1")} // not local: a proxy forwarded it
	for _, c := range []struct {
		list    []string
		in, out []Transport
	}{
		{nil, []Transport{local}, []Transport{far, near, proxied}},
		{[]string{"local"}, []Transport{local}, []Transport{far, proxied}},
		{[]string{"loopback"}, []Transport{local}, []Transport{far}},
		{[]string{"any"}, []Transport{local, far, six}, nil},
		{[]string{"none"}, nil, []Transport{local, far, near, six}},
		{[]string{"10.0.0.0/8"}, []Transport{near, mapped}, []Transport{local, far, edge, six}},
		{[]string{"10.9.9.9/8", "2001:db8::/32"}, []Transport{near, six}, []Transport{far}},
		{[]string{"203.0.113.7"}, []Transport{far}, []Transport{near, six, local}},
		{[]string{"fe80::/10"}, []Transport{zone}, []Transport{six}},
	} {
		from, err := ParseSource(c.list)
		if err != nil {
			t.Fatal(err)
		}
		r := makeRealm(t, Config{Anonymous: &AnonymousOptions{Role: "public", From: from}})
		for _, tr := range c.in {
			h := hello("")
			h.Transport = tr
			if _, o := r.Begin(h); o.Kind != Welcome {
				t.Errorf("from %v: %v: %s", c.list, tr.Peer, describe(o))
			}
		}
		for _, tr := range c.out {
			h := hello("")
			h.Transport = tr
			_, o := r.Begin(h)
			wantRefusal(t, o, codec.ErrAuthenticationRequired)
			if !contains(o, "anonymous: only from ") {
				t.Errorf("from %v: the refusal does not help: %s", c.list, o.Refusal.Message)
			}
		}
	}
	for _, bad := range [][]string{
		{"none", "any"},
		{"10.0.0.0/33"},
		{"lokal"},
		{"fe80::1%eth0"},
		{"::ffff:10.0.0.0/104"},
	} {
		if _, err := ParseSource(bad); err == nil {
			t.Errorf("ParseSource accepts %q", bad)
		}
	}
}

// AUTH-02 to AUTH-06, and PROTOCOL 10.1 (2): the first method of the client's list that is usable.
func TestAUTH02to06MethodChoice(t *testing.T) {
	key := func(seed byte) [32]byte { return [32]byte{seed, 1} }
	users := []User{
		{AuthID: "both", Role: "user", Tickets: []StoredTicket{plain(t, "x")}, CRA: &CRACredential{Key: "secret"}},
		{AuthID: "cra", Role: "user", CRA: &CRACredential{Key: "secret"}},
		{AuthID: "robot", Role: "user", Keys: [][32]byte{key(1)}, Tickets: []StoredTicket{plain(t, "y")}},
	}
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, Cryptosign: &CryptosignOptions{}, TLS: true, Users: users,
	})
	cra := makeRealm(t, Config{WAMPCRA: true, Users: users})
	anon := makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, Anonymous: &AnonymousOptions{
			Role: "public",
			From: Source{Any: true},
		},
		Users: users,
	})
	const required, none = codec.ErrAuthenticationRequired, codec.ErrNoMatchingAuthMethod
	for _, c := range []struct {
		id      string
		r       *Realm
		authid  string
		pubkey  string
		methods []string
		method  string // of the challenge, or "" and
		uri     string
	}{
		{"AUTH-02", r, "", "", nil, "", required},
		{"AUTH-02", r, "both", "", []string{}, "", required},
		{"AUTH-02", r, "both", "", []string{"anonymous"}, "", required},
		{"AUTH-03", r, "both", "", []string{"unknown", "wamp-scram"}, "", none},
		{"AUTH-03", r, "both", "", []string{"unknown", "anonymous"}, "", none},
		{"AUTH-04", r, "both", "", []string{"unknown", "ticket"}, "ticket", ""},
		{"AUTH-05", r, "both", "", []string{"wampcra", "ticket"}, "wampcra", ""},
		{"AUTH-05", r, "both", "", []string{"ticket", "wampcra"}, "ticket", ""},
		{"AUTH-06", cra, "both", "", []string{"ticket"}, "", none},
		{"AUTH-05", r, "cra", "", []string{"ticket", "wampcra"}, "wampcra", ""}, // not usable for this authid
		{"AUTH-09", r, "", "", []string{"ticket"}, "", none},
		{"AUTH-09", r, "", "", []string{"wampcra"}, "", none},
		{"AUTH-33", r, "robot", "", []string{"cryptosign"}, "", none},
		{"AUTH-33", r, "robot", "", []string{"cryptosign", "ticket"}, "ticket", ""},
		{"AUTH-36", r, "robot", hexKey(key(2)), []string{"cryptosign", "ticket"}, "ticket", ""},
		{"AUTH-29", r, "robot", hexKey(key(1)), []string{"cryptosign", "ticket"}, "cryptosign", ""},
		{"AUTH-49", r, "both", "", []string{"tls", "ticket"}, "ticket", ""},
		{"AUTH-10", r, "nobody", "", []string{"wamp-scram", "unknown", "ticket"}, "ticket", ""},
		{"AUTH-10", r, "cra", "", []string{"ticket"}, "ticket", ""}, // a mock: it must look like "nobody" above
		{"AUTH-34", r, "", hexKey(key(9)), []string{"cryptosign"}, "cryptosign", ""},
		{"AUTH-01", anon, "", "", []string{"ticket", "anonymous"}, "anonymous", ""},
		{"AUTH-05", anon, "both", "", []string{"anonymous", "ticket"}, "anonymous", ""},
	} {
		h := hello(c.authid, c.methods...)
		h.Extra = extra(t, map[string]any{"pubkey": c.pubkey})
		_, o := c.r.Begin(h)
		if c.uri != "" {
			if o.Kind != Refuse || o.Refusal.URI != c.uri {
				t.Errorf("%s: %s offers %q: %s, want %s", c.id, c.authid, c.methods, describe(o), c.uri)
			}
			continue
		}
		method := o.Method
		if o.Kind == Welcome {
			method = o.Principal.Method
		}
		if method != c.method {
			t.Errorf("%s: %s offers %q: %s, want %s", c.id, c.authid, c.methods, describe(o), c.method)
		}
	}
	_, o := r.Begin(hello("both", "wamp-scram"))
	if !contains(o, "this realm offers ticket, wampcra, cryptosign, tls") {
		t.Errorf("the refusal does not help: %s", describe(o))
	}
}

// A listener may let in fewer methods than the realm.
func TestListenerMethods(t *testing.T) {
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true,
		Users: []User{{
			AuthID: "a", Role: "r", Tickets: []StoredTicket{plain(t, "x")},
			CRA: &CRACredential{Key: "s"},
		}},
	})
	h := hello("a", "ticket", "wampcra")
	h.Transport.Allowed = []string{"wampcra"}
	_, o := r.Begin(h)
	want(t, o, Challenge)
	if o.Method != "wampcra" {
		t.Fatal(describe(o))
	}
	h.Methods = []string{"ticket"}
	_, o = r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	if !contains(o, "offers wampcra") || contains(o, "ticket,") {
		t.Fatal(describe(o))
	}
	h.Transport.Allowed = []string{}
	_, o = r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

// The bounds of what HELLO and AUTHENTICATE may carry, at n and n+1.
func TestHelloBounds(t *testing.T) {
	long := strings.Repeat("a", authIDBytesMax)
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{},
		Users: []User{{
			AuthID: long, Role: "r",
			Tickets: []StoredTicket{plain(t, strings.Repeat("t", signatureBytesMax))},
		}},
	})
	a, o := r.Begin(hello(long, "ticket"))
	want(t, o, Challenge)
	want(t, a.Answer(noon, strings.Repeat("t", signatureBytesMax), nil), Welcome)
	a, _ = r.Begin(hello(long, "ticket"))
	wantDenied(t, a.Answer(noon, strings.Repeat("t", signatureBytesMax+1), nil))
	_, o = r.Begin(hello(long+"a", "ticket"))
	wantDenied(t, o)

	filler := slices.Repeat([]string{"unknown"}, methodsMax-1)
	_, o = r.Begin(hello(long, append(slices.Clone(filler), "ticket")...))
	want(t, o, Challenge)
	_, o = r.Begin(hello(long, append(filler, "unknown", "ticket")...))
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

// AUTH-46: AUTHENTICATE without an open challenge is a violation; each challenge takes one answer.
func TestAUTH46AnswersOutOfTurn(t *testing.T) {
	r := makeRealm(t, Config{
		Ticket:    &TicketOptions{},
		Anonymous: &AnonymousOptions{Role: "public", From: Source{Any: true}},
		Users:     []User{{AuthID: "a", Role: "r", Tickets: []StoredTicket{plain(t, "x")}}},
	})
	a, o := r.Begin(hello(""))
	want(t, o, Welcome)
	wantRefusal(t, a.Answer(noon, "x", nil), codec.ErrProtocolViolation)

	a, _ = r.Begin(hello("a", "ticket"))
	wantRefusal(t, a.Resume("admin", nil), codec.ErrProtocolViolation)
	wantDenied(t, a.Answer(noon, "wrong", nil))
	wantRefusal(t, a.Answer(noon, "x", nil), codec.ErrProtocolViolation) // no second try

	a, _ = r.Begin(hello("a", "ticket"))
	want(t, a.Answer(noon, "x", nil), Welcome)
	wantRefusal(t, a.Answer(noon, "x", nil), codec.ErrProtocolViolation)
	a, _ = r.Begin(hello(strings.Repeat("a", 300), "ticket"))
	wantRefusal(t, a.Answer(noon, "x", nil), codec.ErrProtocolViolation)
}

// A role that HELLO asks for gives nothing.
func TestRequestedRoleIsIgnored(t *testing.T) {
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, Users: []User{{AuthID: "a", Role: "guest", Tickets: []StoredTicket{plain(t, "x")}}},
	})
	h := hello("a", "ticket")
	h.AuthRole = "admin"
	h.Extra = extra(t, map[string]any{"authrole": "admin", "role": "admin"})
	a, _ := r.Begin(h)
	wantWelcome(t, a.Answer(noon, "x", nil), "a", "guest", "ticket", "static")
}

// AUTH-34 with reveal_unknown_principal: no challenge for principals that do not exist.
func TestRevealUnknownPrincipal(t *testing.T) {
	t.Attr("checklist", "AUTH-34")
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true,
		Cryptosign:             &CryptosignOptions{},
		RevealUnknownPrincipal: true,
		Users:                  []User{{AuthID: "a", Role: "r", Tickets: []StoredTicket{plain(t, "x")}}},
	})
	for _, method := range []string{"ticket", "wampcra", "wamp-scram", "scram", "cryptosign"} {
		h := hello("nobody", method)
		h.Extra = extra(t, map[string]any{"pubkey": strings.Repeat("ab", 32), "nonce": "AAAA"})
		_, o := r.Begin(h)
		wantRefusal(t, o, codec.ErrNoSuchPrincipal)
	}
	_, o := r.Begin(hello("a", "ticket"))
	want(t, o, Challenge)
}
