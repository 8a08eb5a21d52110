package auth

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// All problems are reported at once, each with the user or the method.
func TestNewRealmReportsAll(t *testing.T) {
	_, err := NewRealm(&Config{
		Realm: "", Anonymous: &AnonymousOptions{}, Ticket: &TicketOptions{JWT: &JWTOptions{}}, CrossbarSCRAM: true,
		Cookie: &CookieOptions{}, Dynamic: &DynamicOptions{}, RequireChannelBinding: true, AuthIDPolicy: 3,
		Users: []User{
			{AuthID: "alice", Role: ""},
			{AuthID: "bob", Role: "r", Tickets: make([]StoredTicket, ticketsPerUserMax+1)},
			{AuthID: "bob", Role: "r"},
			{AuthID: "", Role: "r"},
			{AuthID: "carol", Role: "r", Keys: [][32]byte{{1}}, Certificates: [][32]byte{{2}}},
			{AuthID: "dave", Role: "r", Keys: [][32]byte{{1}}, Certificates: [][32]byte{{2}}},
			{AuthID: "eve", Role: "r", Extra: map[string]any{"x": func() {}}},
			{AuthID: "frank\x00", Role: "r"},
			{AuthID: "grace", Role: "r", CRA: &CRACredential{}, SCRAM: &SCRAMCredential{}},
		},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{
		"the realm is empty", "anonymous: the role is empty", "jwt: there are no keys", "knows no channel binding",
		"cookie: there is no store", "dynamic: there is no authenticator", "policy 3",
		`user "alice": the role is empty`,
		"5 tickets; at most 4", "an empty StoredTicket", `user "bob": stands twice`, `user "": the authid is empty`,
		`user "dave": key 0100`, `already that of "carol"`, `user "dave": certificate 0200`, `user "eve": extra`,
		`user "frank\x00": the authid`, `user "grace": wampcra: the key`, "scram: the salt",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q", part)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestUserBounds(t *testing.T) {
	name := strings.Repeat("n", authIDBytesMax)
	tickets := func(n int) (list []StoredTicket) {
		for range n {
			list = append(list, plain(t, "x"))
		}
		return list
	}
	for text, c := range map[string]struct {
		u  User
		ok bool
	}{
		"authid n":       {User{AuthID: name, Role: "r"}, true},
		"authid n+1":     {User{AuthID: name + "n", Role: "r"}, false},
		"role n":         {User{AuthID: "a", Role: name}, true},
		"role n+1":       {User{AuthID: "a", Role: name + "n"}, false},
		"not UTF-8":      {User{AuthID: "\xff", Role: "r"}, false},
		"tickets n":      {User{AuthID: "a", Role: "r", Tickets: tickets(ticketsPerUserMax)}, true},
		"tickets n+1":    {User{AuthID: "a", Role: "r", Tickets: tickets(ticketsPerUserMax + 1)}, false},
		"keys n":         {User{AuthID: "a", Role: "r", Keys: madeKeys(keysPerUserMax)}, true},
		"keys n+1":       {User{AuthID: "a", Role: "r", Keys: madeKeys(keysPerUserMax + 1)}, false},
		"certs n+1":      {User{AuthID: "a", Role: "r", Certificates: make([][32]byte, keysPerUserMax+1)}, false},
		"no authid":      {User{Role: "r"}, false},
		"extra":          {User{AuthID: "a", Role: "r", Extra: map[string]any{"a": []any{1, "x", nil}}}, true},
		"extra no value": {User{AuthID: "a", Role: "r", Extra: map[string]any{"a": make(chan int)}}, false},
	} {
		if err := c.u.check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	// Two keys and no authid: which one would be the name?
	if _, err := NewRealm(&Config{
		Realm: testRealm,
		Users: []User{{Role: "r", Keys: [][32]byte{{1}, {2}}}},
	}); err == nil {
		t.Error("a user without authid and with two keys is accepted")
	}
}

// Issue: 10 000 users take under 10 MB.
func TestTenThousandUsers(t *testing.T) {
	const n = 10_000
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	c := Config{
		Realm: testRealm, Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, Cryptosign: &CryptosignOptions{},
	}
	for i := range n {
		u := User{AuthID: fmt.Sprint("user", i), Role: "user"}
		switch i % 4 {
		case 0:
			u.Keys = [][32]byte{{byte(i), byte(i >> 8), 1}, {byte(i), byte(i >> 8), 2}}
		case 1:
			u.CRA = &CRACredential{
				Key: strings.Repeat("A", 43) + "=", Salt: fmt.Sprintf("%016d", i), Iterations: 1000, KeyLen: 32,
			}
		case 2:
			u.Tickets = []StoredTicket{mustTicket(t, HashTicket(fmt.Sprint(i)))}
		case 3:
			u.SCRAM = &SCRAMCredential{
				KDF: KDFArgon2id, Salt: make([]byte, 16), Iterations: 3, Memory: 65536, StoredKey: [32]byte{1},
				ServerKey: [32]byte{1},
			}
		}
		c.Users = append(c.Users, u)
	}
	r := makeRealm(t, c)
	c.Users = nil
	if used := live() - before; used > 10<<20 {
		t.Errorf("%d users take %d octets", n, used)
	} else {
		t.Logf("%d users take %d octets", n, used)
	}
	a, _ := r.Begin(hello("user2", "ticket"))
	want(t, a.Answer(noon, "2", nil), Welcome)
	runtime.KeepAlive(r)
}

// Two snapshots: an attempt ends with the one that it began with, and later snapshots say which sessions may stay.
func TestSnapshots(t *testing.T) {
	users := []User{{AuthID: "a", Role: "r", Tickets: []StoredTicket{plain(t, "x")}}}
	c := Config{
		Ticket: &TicketOptions{}, Users: users, TLS: true,
		Anonymous: &AnonymousOptions{Role: "public", From: Source{Any: true}},
	}
	old := makeRealm(t, c)
	users[0].Role = "changed behind its back"
	a, _ := old.Begin(hello("a", "ticket"))
	p := wantWelcome(t, a.Answer(noon, "x", nil), "a", "r", "ticket", "static")
	_, o := old.Begin(hello(""))
	anonymous := o.Principal

	if !old.Admits(p) || !old.Admits(anonymous) {
		t.Error("its own sessions are not admitted")
	}
	dynamic := &Principal{AuthID: "d", Role: "r", Method: "tls", Provider: "dynamic"}
	token := &Principal{AuthID: "j", Role: "r", Method: "ticket", Provider: "jwt"}
	if old.Admits(dynamic) || old.Admits(token) {
		t.Error("sessions by authenticators that the realm does not have are admitted")
	}
	users[0].Role = "r"
	for name, c := range map[string]struct {
		change           func(c *Config)
		static, nameless bool
	}{
		"nothing":         {func(*Config) {}, true, true},
		"user gone":       {func(c *Config) { c.Users = nil }, false, true},
		"method off":      {func(c *Config) { c.Ticket = nil }, false, true},
		"anonymous off":   {func(c *Config) { c.Anonymous = nil }, true, false},
		"other anonymous": {func(c *Config) { c.Anonymous = &AnonymousOptions{Role: "guest"} }, true, false},
		"other role":      {func(c *Config) { c.Users = []User{{AuthID: "a", Role: "s"}} }, false, true},
		"ticket dynamic": {func(c *Config) {
			c.Users = nil
			c.Dynamic = &DynamicOptions{Authenticator: "x", Methods: []string{"ticket"}, Timeout: 1}
		}, false, true},
		"anonymous by ask": {
			func(c *Config) {
				c.Dynamic = &DynamicOptions{Authenticator: "x", Methods: []string{"anonymous"}, Timeout: 1}
			}, true,
			false,
		},
	} {
		next := Config{
			Ticket: &TicketOptions{}, Users: users, TLS: true,
			Anonymous: &AnonymousOptions{Role: "public", From: Source{Any: true}},
		}
		c.change(&next)
		r := makeRealm(t, next)
		if r.Admits(p) != c.static || r.Admits(anonymous) != c.nameless {
			t.Errorf("%s: static %v, anonymous %v", name, r.Admits(p), r.Admits(anonymous))
		}
	}
	ask := makeRealm(t, Config{TLS: true, Dynamic: &DynamicOptions{
		Authenticator: "x", Methods: []string{"tls"}, Timeout: 1,
	}})
	if !ask.Admits(dynamic) {
		t.Error("a dynamic session is not admitted")
	}
	if policy := makeRealm(t, Config{AuthIDPolicy: ReplaceDuplicates}).AuthIDPolicy(); policy != ReplaceDuplicates {
		t.Errorf("policy %d", policy)
	}
}

// The same randomness gives the same challenge: simulations replay.
func TestSeededRandomness(t *testing.T) {
	r := craRealm(t)
	text := func(seed byte) string {
		h := hello("peter", "wampcra")
		h.Random = seeded(seed)
		_, o := r.Begin(h)
		return o.Extra["challenge"].(string)
	}
	if first, again := text(1), text(1); first != again || first == text(2) {
		t.Error("randomness does not come from Hello.Random")
	}
	defer func() {
		if recover() == nil {
			t.Error("an attempt goes on without randomness")
		}
	}()
	h := hello("peter", "wampcra")
	h.Random = strings.NewReader("short")
	r.Begin(h)
}

// AUTH-12: the timestamp is that of HELLO in UTC whatever the zone of Now.
func TestTimestampIsUTC(t *testing.T) {
	t.Attr("checklist", "AUTH-12")
	h := hello("peter", "wampcra")
	h.Now = noon.In(time.FixedZone("east", 7200))
	_, o := craRealm(t).Begin(h)
	if !strings.Contains(o.Extra["challenge"].(string),
		`"timestamp":"2026-11-29T12:00:00.000Z","session":3251278072152162}`) {
		t.Error(o.Extra["challenge"])
	}
}

// A session outlives a reload only over a connection through which it could still come.
func TestAdmitsOver(t *testing.T) {
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, Anonymous: &AnonymousOptions{Role: "public", From: Source{Local: true}},
	})
	for i, c := range []struct {
		method    string
		transport Transport
		want      bool
	}{
		{"ticket", Transport{}, true},
		{"ticket", Transport{Allowed: []string{"wampcra", "ticket"}}, true},
		{"ticket", Transport{Allowed: []string{"wampcra"}}, false},
		{"anonymous", Transport{}, false},
		{"anonymous", Transport{Local: true}, true},
		{"anonymous", Transport{Anonymous: &Source{Any: true}}, true},
		{"anonymous", Transport{Local: true, Anonymous: &Source{}}, false},
		{"anonymous", Transport{Local: true, Allowed: []string{"ticket"}}, false},
	} {
		if got := r.AdmitsOver(&Principal{Method: c.method}, &c.transport); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func madeKeys(n int) (keys [][32]byte) {
	for range n {
		_, public := NewKey()
		keys = append(keys, public)
	}
	return keys
}
