package auth

import (
	"net/netip"
	"strings"
	"testing"

	"banyan/codec"
)

// AUTH-07, AUTH-08: the challenge is {}, the right ticket is welcomed, a wrong one is denied.
func TestAUTH07and08Ticket(t *testing.T) {
	argon, err := HashPassword("pass word", 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	token := NewTicket()
	r := makeRealm(t, Config{Ticket: &TicketOptions{}, Users: []User{
		{
			AuthID: "plain", Role: "user", Tickets: []StoredTicket{plain(t, "open sesame")},
			Extra: map[string]any{"x": 1},
		},
		{AuthID: "hashed", Role: "user", Tickets: []StoredTicket{mustTicket(t, HashTicket(token))}},
		{AuthID: "argon", Role: "user", Tickets: []StoredTicket{mustTicket(t, argon)}},
		{AuthID: "two", Role: "user", Tickets: []StoredTicket{plain(t, "old"), mustTicket(t, argon)}},
	}})
	for _, c := range []struct {
		authid, ticket string
		right, work    bool
	}{
		{"plain", "open sesame", true, false},
		{"plain", "open sesam", false, false},
		{"plain", "", false, false},
		{"plain", "open sesame ", false, false},
		{"hashed", token, true, false},
		{"hashed", HashTicket(token), false, false}, // the stored form is no ticket
		{"argon", "pass word", true, true},
		{"argon", "pass wore", false, true},
		{"argon", argon, false, true},
		{"two", "old", true, true},
		{"two", "pass word", true, true},
		{"two", "new", false, true},
	} {
		a, o := r.Begin(hello(c.authid, "ticket"))
		want(t, o, Challenge)
		if o.Method != "ticket" || o.Extra == nil || len(o.Extra) != 0 {
			t.Fatalf("challenge %s %v, want {}", o.Method, o.Extra)
		}
		o = a.Answer(noon, c.ticket, nil)
		if (o.Kind == Work) != c.work {
			t.Errorf("%s with %q: work is %v", c.authid, c.ticket, o.Kind == Work)
		}
		o = finish(o)
		if !c.right {
			wantDenied(t, o)
			continue
		}
		p := wantWelcome(t, o, c.authid, "user", "ticket", "static")
		if c.authid == "two" { // the proof is that of the ticket that was right
			for i, left := range [][]StoredTicket{{plain(t, "old")}, {mustTicket(t, argon)}} {
				now := makeRealm(t, Config{Ticket: &TicketOptions{}, Users: []User{
					{AuthID: "two", Role: "user", Tickets: left},
				}})
				if got, want := now.Admits(p), (c.ticket == "old") == (i == 0); got != want {
					t.Errorf("%q with ticket %d alone: admitted %v", c.ticket, i, got)
				}
			}
		}
		if c.authid == "plain" && p.Extra["x"] != 1 {
			t.Errorf("the user's extra is lost: %v", p.Extra)
		}
	}
}

// PROTOCOL 10.2: a ticket does not cross an unencrypted network unless that is allowed.
func TestTicketOnPlainTransport(t *testing.T) {
	users := []User{{AuthID: "a", Role: "r", Tickets: []StoredTicket{plain(t, "x")}}}
	for _, c := range []struct{ local, encrypted, allow, ok bool }{
		{false, false, false, false},
		{false, false, true, true},
		{false, true, false, true},
		{true, false, false, true},
	} {
		r := makeRealm(t, Config{Ticket: &TicketOptions{AllowPlain: c.allow}, Users: users})
		h := hello("a", "ticket")
		h.Transport = Transport{Local: c.local, Encrypted: c.encrypted, Peer: netip.MustParseAddr("127.0.0.1")}
		_, o := r.Begin(h)
		if c.ok {
			want(t, o, Challenge)
			continue
		}
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		if !contains(o, "needs TLS") {
			t.Errorf("the refusal does not help: %s", o.Refusal.Message)
		}
	}
}

func TestParseTicket(t *testing.T) {
	const salt, hash = "c2FsdHNhbHQ", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	good := func(m, ti, p string) string {
		return "$argon2id$v=19$m=" + m + ",t=" + ti + ",p=" + p + "$" + salt + "$" + hash
	}
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"sha256:" + strings.Repeat("0f", 32), true},
		{"sha256:" + strings.Repeat("0F", 32), true},
		{"sha256:" + strings.Repeat("0f", 31), false},
		{"sha256:" + strings.Repeat("0f", 33), false},
		{"sha256:" + strings.Repeat("0g", 32), false},
		{"secret", false},
		{"", false},
		{good("8", "1", "1"), true},
		{good("7", "1", "1"), false},
		{good("1048576", "1", "1"), true},
		{good("1048577", "1", "1"), false},
		{good("64", "100", "1"), true},
		{good("64", "101", "1"), false},
		{good("64", "0", "1"), false},
		{good("64", "1", "16"), true},
		{good("64", "1", "17"), false},
		{good("64", "1", "0"), false},
		{good("-64", "1", "1"), false},
		{strings.Replace(good("64", "1", "1"), "v=19", "v=16", 1), false},
		{strings.Replace(good("64", "1", "1"), "argon2id", "argon2i", 1), false},
		{strings.Replace(good("64", "1", "1"), salt, "c2FsdA", 1), false},
		{good("64", "1", "1") + "$", false},
		{good("64", "1", "1")[:80], false},
		{"$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + hash, false},
	} {
		if _, err := ParseTicket(c.text); (err == nil) != c.ok {
			t.Errorf("ParseTicket(%q): %v", c.text, err)
		}
	}
	if _, err := PlainTicket(""); err == nil {
		t.Error("an empty ticket is accepted")
	}
	if _, err := PlainTicket(strings.Repeat("x", signatureBytesMax)); err != nil {
		t.Error(err)
	}
	if _, err := PlainTicket(strings.Repeat("x", signatureBytesMax+1)); err == nil {
		t.Error("a ticket is accepted that no client can send")
	}
}

// The reference implementation of Argon2 made this hash: its output is what other tools write into a users file.
func TestParseTicketOfArgon2Tool(t *testing.T) {
	const encoded = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	s := mustTicket(t, encoded)
	if s.holds("password") != 1 || s.holds("differentpassword") != 0 {
		t.Error("the published hash of \"password\" does not verify")
	}
}
