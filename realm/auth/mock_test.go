package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mixedUsers has users of several shapes: 60 % salted CRA and SCRAM, 30 % tickets by Argon2id, 10 % plain CRA.
func mixedUsers(t testing.TB) []User {
	t.Helper()
	argon, err := HashPassword("x", 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	cra, err := NewCRA("x", 1000)
	if err != nil {
		t.Fatal(err)
	}
	scram := mustSCRAM(t, "x", KDFArgon2id, 3, 64)
	var users []User
	for i := range 20 {
		u := User{AuthID: fmt.Sprintf("u%02d", i), Role: "user"}
		switch {
		case i < 12:
			u.CRA, u.SCRAM, u.Crossbar = cra, scram, scram
		case i < 18:
			u.Tickets = []StoredTicket{mustTicket(t, argon), plain(t, "y")}
		default:
			u.Role, u.CRA = "admin", &CRACredential{Key: "secret"}
		}
		users = append(users, u)
	}
	return users
}

func mixedRealm(t testing.TB, key byte) *Realm {
	t.Helper()
	return makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true,
		Cryptosign: &CryptosignOptions{},
		Users:      mixedUsers(t), MockKey: bytes.Repeat([]byte{key}, mockKeyBytesMin),
	})
}

// look describes a challenge as a stranger sees it: everything but the values that are random in any case.
func look(t testing.TB, o Outcome) string {
	t.Helper()
	want(t, o, Challenge)
	e := maps.Clone(o.Extra)
	for _, key := range []string{"nonce", "salt"} {
		if text, ok := e[key].(string); ok {
			e[key] = fmt.Sprintf("%d characters, form %d", len(text), saltForm(text))
		}
	}
	if text, ok := e["challenge"].(string); ok && o.Method == "wampcra" {
		var c map[string]any
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		c["nonce"], c["authid"] = len(c["nonce"].(string)), ""
		e["challenge"] = fmt.Sprint(c)
	} else if ok {
		e["challenge"] = len(text)
	}
	return fmt.Sprint(o.Method, e)
}

// AUTH-10, AUTH-27, AUTH-50: an unknown authid gets a challenge that looks like one of a real user, the same each
// time.
func TestAUTH10and27and50MockChallenge(t *testing.T) {
	r, again, other := mixedRealm(t, 1), mixedRealm(t, 1), mixedRealm(t, 2)
	for _, methods := range [][]string{
		{"ticket"},
		{"wampcra"},
		{"wamp-scram"},
		{"scram"},
		{"wampcra", "ticket"},
		{"ticket", "wampcra"},
		{"wamp-scram", "wampcra", "ticket"},
	} {
		begin := func(r *Realm, authid string) Outcome {
			h := hello(authid, methods...)
			h.Extra.Nonce = scramNonce
			_, o := r.Begin(h)
			return o
		}
		looks := map[string]int{}
		for i := range 20 {
			looks[look(t, begin(r, fmt.Sprintf("u%02d", i)))]++
		}
		seen := map[string]int{}
		salts := map[any]bool{}
		const strangers = 300
		for i := range strangers {
			authid := fmt.Sprint("nobody", i)
			o := begin(r, authid)
			seen[look(t, o)]++
			for _, r := range []*Realm{r, again} {
				if next := begin(r, authid); look(t, next) != look(t, o) || next.Extra["salt"] != o.Extra["salt"] {
					t.Fatalf("%s gets %v and then %v", authid, o.Extra, next.Extra)
				}
			}
			if salt := o.Extra["salt"]; salt != nil {
				if salts[salt] || begin(other, authid).Extra["salt"] == salt {
					t.Fatalf("%v: two strangers, or two keys, have one salt %v", methods, salt)
				}
				salts[salt] = true
			}
		}
		for l, n := range seen {
			if looks[l] == 0 {
				t.Errorf("%v: strangers get %s, which no user gets; users get %v", methods, l,
					slices.Collect(maps.Keys(looks)))
			}
			// As often as users do, within a third: the key is fixed, so this does not vary.
			if share := n * 20 / strangers; share < looks[l]*2/3-1 || share > looks[l]*4/3+1 {
				t.Errorf("%v: %d of %d strangers, but %d of 20 users get %s", methods, n, strangers, looks[l], l)
			}
		}
	}
}

// A user without credentials for the offered method looks like an unknown authid.
func TestAUTH50UserWithoutTheMethod(t *testing.T) {
	r := mixedRealm(t, 1)
	for _, method := range []string{"ticket", "wampcra", "wamp-scram", "scram"} {
		for i := range 20 {
			h := hello(fmt.Sprintf("u%02d", i), method)
			h.Extra.Nonce = scramNonce
			a, o := r.Begin(h)
			want(t, o, Challenge)
			if a.known == slices.Contains(r.users[h.AuthID].methods(), method) {
				continue
			}
			t.Errorf("%s of %s: known is %v", method, h.AuthID, a.known)
		}
	}
}

// AUTH-50: denials of wrong answers and of strangers are equal, and so is the work behind them: the credentials that
// the answer is compared with cost the same, and the number of allocations, which follows every step, is the same.
func TestAUTH50SameWork(t *testing.T) {
	known, _ := ParseKey(signKeys[0])
	for name, c := range map[string]struct {
		methods []string
		user    User
	}{
		"sha256":   {[]string{"ticket"}, User{Tickets: []StoredTicket{plain(t, "right")}}},
		"two":      {[]string{"ticket"}, User{Tickets: []StoredTicket{plain(t, "right"), plain(t, "old")}}},
		"salted":   {[]string{"wampcra"}, User{CRA: exampleUser.CRA}},
		"unsalted": {[]string{"wampcra"}, User{CRA: &CRACredential{Key: strings.Repeat("s", 44)}}},
		"pbkdf2":   {[]string{"wamp-scram"}, User{SCRAM: mustSCRAM(t, "x", KDFPBKDF2, 1, 0)}},
		"argon2id": {[]string{"wamp-scram"}, User{SCRAM: mustSCRAM(t, "x", KDFArgon2id, 1, 8)}},
		"dialect":  {[]string{"scram"}, User{Crossbar: mustSCRAM(t, "x", KDFArgon2id, 1, 8)}},
		"key":      {[]string{"cryptosign"}, User{Keys: [][32]byte{known}}},
	} {
		c.user.AuthID, c.user.Role = "real0", "user"
		r := makeRealm(t, Config{
			Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true,
			Cryptosign: &CryptosignOptions{}, Users: []User{c.user},
		})
		answer := b64(make([]byte, 32))
		keys := map[string]string{"real0": signKeys[0], "fake0": signKeys[1]}
		run := func(authid string) (Outcome, *Attempt) {
			h := hello(authid, c.methods...)
			h.Extra.Nonce, h.Extra.PubKey = scramNonce, keys[authid]
			a, o := r.Begin(h)
			want(t, o, Challenge)
			e := &Extra{}
			if c.methods[0] == "wamp-scram" {
				e.Nonce = o.Extra["nonce"].(string)
			}
			if c.methods[0] == "cryptosign" {
				answer = strings.Repeat("00", 64) + o.Extra["challenge"].(string)
			}
			return a.Answer(noon, answer, e), a
		}
		real, _ := run("real0")
		fake, a := run("fake0")
		if real.Kind != fake.Kind || real.Kind != Refuse || *real.Refusal != *fake.Refusal {
			t.Errorf("%s: %+v and %+v", name, real.Refusal, fake.Refusal)
		}
		if c.methods[0] != "cryptosign" && a.user.shape() != r.users["real0"].shape() {
			t.Errorf("%s: compared with %q, a user with %q", name, a.user.shape(), r.users["real0"].shape())
		}
		allocations := func(authid string) float64 { return testing.AllocsPerRun(50, func() { run(authid) }) }
		if raceEnabled {
			continue
		}
		if known, unknown := allocations("real0"), allocations("fake0"); known != unknown {
			t.Errorf("%s: a user costs %v allocations, a stranger %v", name, known, unknown)
		}
	}
}

// AUTH-50 for tickets that cost Argon2id: the stranger's attempt costs it too.
func TestAUTH50SameWorkArgon2(t *testing.T) {
	r := mixedRealm(t, 1)
	for i := range 50 {
		a, o := r.Begin(hello(fmt.Sprint("nobody", i), "ticket"))
		want(t, o, Challenge)
		o = a.Answer(noon, "y", nil)
		if a.user.Tickets[0].cost() != "argon2id 1 64 1 16" || len(a.user.Tickets) != 2 {
			t.Fatal(a.user.Tickets[0].cost())
		}
		want(t, o, Work)
		if i == 0 {
			wantDenied(t, o.Work())
		}
	}
}

// Whatever a stranger answers, a mock never lets in: not even with the mock's own secrets.
func TestMockNeverWelcomes(t *testing.T) {
	r := mixedRealm(t, 1)
	a, o := r.Begin(hello("nobody", "wampcra"))
	want(t, o, Challenge)
	wantDenied(t, a.Answer(noon, signCRA(a.user.CRA.Key, o.Extra["challenge"].(string)), nil))

	a, o = r.Begin(hello("nobody", "ticket"))
	want(t, o, Challenge)
	ticket, err := PlainTicket("known")
	if err != nil {
		t.Fatal(err)
	}
	a.user.Tickets[1] = ticket
	wantDenied(t, finish(a.Answer(noon, "known", nil)))

	for _, method := range []string{"wamp-scram", "scram"} {
		a, o = r.Begin(scramHello("nobody", method))
		want(t, o, Challenge)
		o = a.judge(true, nil)
		wantDenied(t, o)
	}
	// The mocks keep no secret of the users they imitate.
	for _, s := range r.mocks.shapes {
		for _, u := range r.users {
			if s.user.CRA != nil && u.CRA != nil && s.user.CRA.Key == u.CRA.Key ||
				s.user.SCRAM != nil && u.SCRAM != nil && s.user.SCRAM.StoredKey == u.SCRAM.StoredKey {
				t.Error("a mock has a secret of a user")
			}
			for _, mine := range s.user.Tickets {
				for _, theirs := range u.Tickets {
					if bytes.Equal(mine.digest, theirs.digest) ||
						mine.argon != nil && theirs.argon != nil && bytes.Equal(mine.argon.salt, theirs.argon.salt) {
						t.Error("a mock has a ticket or a salt of a user")
					}
				}
			}
		}
	}
}

// Without users of a method its challenge still has parameters as the helpers make them.
func TestMockWithoutUsers(t *testing.T) {
	r := makeRealm(t, Config{Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true})
	_, o := r.Begin(hello("nobody", "wampcra"))
	if o.Extra["iterations"] != CRAIterations || o.Extra["keylen"] != 32 || len(o.Extra["salt"].(string)) != 24 {
		t.Errorf("%v", o.Extra)
	}
	for method, kdf := range map[string]string{"wamp-scram": "argon2id13", "scram": "argon2id-13"} {
		_, o = r.Begin(scramHello("nobody", method))
		if o.Extra["kdf"] != kdf || o.Extra["iterations"] != Argon2Iterations || o.Extra["memory"] != Argon2KiB {
			t.Errorf("%v", o.Extra)
		}
	}
	a, o := r.Begin(hello("nobody", "ticket"))
	want(t, o, Challenge)
	wantDenied(t, finish(a.Answer(noon, "x", nil)))
}

// The shapes are bounded, at n and n+1; the most common ones stay.
func TestShapesBound(t *testing.T) {
	for _, extra := range []int{0, 1} {
		var users []User
		for i := range shapesMax + extra {
			for j := range 1 + i {
				users = append(users, User{
					AuthID: fmt.Sprint(i, "-", j), Role: fmt.Sprint("role", i), CRA: &CRACredential{Key: "s"},
				})
			}
		}
		m := makeRealm(t, Config{WAMPCRA: true, Users: users}).mocks
		if len(m.shapes) != shapesMax || m.one[methodCRA].Role != fmt.Sprint("role", shapesMax+extra-1) {
			t.Errorf("%d shapes, most common %s", len(m.shapes), m.one[methodCRA].Role)
		}
		rare := slices.ContainsFunc(m.shapes, func(s shape) bool { return s.user.Role == "role0" })
		if rare != (extra == 0) {
			t.Errorf("the rarest shape is there: %v", rare)
		}
		var sum uint64
		for _, s := range m.shapes {
			sum += s.weight
		}
		if sum != m.total {
			t.Errorf("total %d, sum %d", m.total, sum)
		}
		picked := map[*User]uint64{}
		for i := range m.total {
			picked[m.pick(i)]++
		}
		for _, s := range m.shapes {
			if picked[s.user] != s.weight {
				t.Errorf("%s is picked %d times of %d", s.user.Role, picked[s.user], s.weight)
			}
		}
	}
}

// Mock salts have the alphabet and the length of the salt that they imitate.
func TestMockSaltForms(t *testing.T) {
	for _, like := range []string{
		"salt123", "0123456789abcdef", "c2FsdHNhbHRzYWx0c2FsdA==", "a", "Zm9v",
		strings.Repeat("s", 256),
	} {
		r := makeRealm(t, Config{WAMPCRA: true, Users: []User{{
			AuthID: "a", Role: "r", CRA: &CRACredential{
				Key: b64(make([]byte, 32)), Salt: like, Iterations: 1,
				KeyLen: 32,
			},
		}}})
		_, o := r.Begin(hello("nobody", "wampcra"))
		salt := o.Extra["salt"].(string)
		_, hexErr := hex.DecodeString(salt)
		_, base64Err := base64.StdEncoding.DecodeString(salt)
		if len(salt) != len(like) || salt == like && len(like) > 1 || // one character may be drawn again
			saltForm(like) == formHex && hexErr != nil || saltForm(like) == formBase64 && base64Err != nil {
			t.Errorf("like %q: %q", like, salt)
		}
	}
}

// The process's key serves when none is given, and a short one is refused, at n and n-1.
func TestMockKey(t *testing.T) {
	c := Config{Realm: testRealm, WAMPCRA: true}
	salt := func() any {
		r, err := NewRealm(&c)
		if err != nil {
			t.Fatal(err)
		}
		_, o := r.Begin(hello("nobody", "wampcra"))
		return o.Extra["salt"]
	}
	first := salt()
	if salt() != first {
		t.Error("a reload changes the salts of strangers")
	}
	c.MockKey = bytes.Repeat([]byte{1}, mockKeyBytesMin)
	if salt() == first {
		t.Error("the key is not used")
	}
	c.MockKey = c.MockKey[1:]
	if _, err := NewRealm(&c); err == nil {
		t.Error("a short key is accepted")
	}
}
