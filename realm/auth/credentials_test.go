package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

// The helpers of the commands passwd, keygen and hash-ticket make what a login accepts.
func TestCredentialHelpers(t *testing.T) {
	cra, err := NewCRA("pass wörd", 1000)
	if err != nil {
		t.Fatal(err)
	}
	seed, public := NewKey()
	token := NewTicket()
	if b, err := base64.RawURLEncoding.DecodeString(token); err != nil || len(b) != 32 || NewTicket() == token {
		t.Errorf("ticket %q", token)
	}
	password, err := HashPassword("pass wörd", 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, Cryptosign: &CryptosignOptions{},
		Users: []User{{
			AuthID: "alice", Role: "user", CRA: cra, SCRAM: mustSCRAM(t, "pass wörd", KDFArgon2id, 1, 64),
			Keys:    [][32]byte{public},
			Tickets: []StoredTicket{mustTicket(t, HashTicket(token)), mustTicket(t, password)},
		}},
	})
	a, o := r.Begin(hello("alice", "wampcra"))
	want(t, a.Answer(noon, answerCRA(t, "pass wörd", o.Extra), nil), Welcome)
	a, o = r.Begin(scramHello("alice", "wamp-scram"))
	proof, e, _ := scramUser{name: "alice", password: "pass wörd"}.answer(t, scramNonce, o.Extra)
	want(t, a.Answer(noon, proof, &e), Welcome)
	for _, ticket := range []string{token, "pass wörd"} {
		a, _ = r.Begin(hello("alice", "ticket"))
		want(t, finish(a.Answer(noon, ticket, nil)), Welcome)
	}
	a, o = r.Begin(signHello(t, "alice", hexKey(public)))
	want(t, a.Answer(noon, signChallenge(t, seed, o.Extra["challenge"].(string), nil), nil), Welcome)
}

// Two credentials of one password differ: the salts are random.
func TestSaltsAreRandom(t *testing.T) {
	a, _ := NewCRA("x", 1)
	b, _ := NewCRA("x", 1)
	if a.Salt == b.Salt || a.Key == b.Key {
		t.Error("two wampcra credentials are equal")
	}
	c, d := mustSCRAM(t, "x", KDFPBKDF2, 1, 0), mustSCRAM(t, "x", KDFPBKDF2, 1, 0)
	if string(c.Salt) == string(d.Salt) || c.StoredKey == d.StoredKey || len(c.Salt) != 16 {
		t.Error("two SCRAM credentials are equal")
	}
	e, _ := HashPassword("x", 1, 8)
	f, _ := HashPassword("x", 1, 8)
	if e == f {
		t.Error("two password hashes are equal")
	}
	s1, k1 := NewKey()
	s2, k2 := NewKey()
	if s1 == s2 || k1 == k2 {
		t.Error("two keys are equal")
	}
}

// SASLprep (RFC 4013) maps a password before it is hashed, so it does not matter how it was typed.
func TestSASLprep(t *testing.T) {
	salt := []byte("somesalt")
	for typed, same := range map[string]string{"pass\u00a0word": "pass word", "\u2168": "IX", "I\u00adX": "IX"} {
		a, err := newSCRAM(typed, KDFPBKDF2, salt, 1, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		b, err := newSCRAM(same, KDFPBKDF2, salt, 1, 0, false)
		if err != nil || a.StoredKey != b.StoredKey {
			t.Errorf("%q and %q differ, %v", typed, same, err)
		}
	}
	for _, bad := range []string{"\x07", "\u0627\u0031x", "\u00ad"} {
		if _, err := NewSCRAM(bad, KDFPBKDF2, 1, 0); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCredentialBounds(t *testing.T) {
	longest := strings.Repeat("p", secretBytesMax)
	for name, make := range map[string]func(password string) error{
		"cra":      func(p string) error { _, err := NewCRA(p, 1); return err },
		"scram":    func(p string) error { _, err := NewSCRAM(p, KDFPBKDF2, 1, 0); return err },
		"crossbar": func(p string) error { _, err := NewCrossbarSCRAM(p, KDFPBKDF2, 1, 0); return err },
		"password": func(p string) error { _, err := HashPassword(p, 1, 8); return err },
	} {
		for password, ok := range map[string]bool{"": false, "p": true, longest: true, longest + "p": false} {
			if err := make(password); (err == nil) != ok {
				t.Errorf("%s of %d octets: %v", name, len(password), err)
			}
		}
	}
	for _, c := range []struct {
		iterations, memory int
		ok                 bool
	}{
		{1, argon2KiBMin, true},
		{1, argon2KiBMin - 1, false},
		{0, 8, false},
		{argon2IterationsMax, argon2KiBMin, true},
		{argon2IterationsMax + 1, argon2KiBMin, false},
		{1, argon2KiBMax + 1, false},
	} {
		if _, err := HashPassword("p", c.iterations, c.memory); (err == nil) != c.ok {
			t.Errorf("argon2id %d %d: %v", c.iterations, c.memory, err)
		}
		if _, err := NewSCRAM("p", KDFArgon2id, c.iterations, c.memory); (err == nil) != c.ok {
			t.Errorf("scram argon2id %d %d: %v", c.iterations, c.memory, err)
		}
	}
	if _, err := NewSCRAM("p", "md5", 1, 0); err == nil {
		t.Error("an unknown kdf")
	}
	for _, n := range []int{0, pbkdf2IterationsMax + 1} {
		if _, err := NewCRA("p", n); err == nil {
			t.Errorf("%d iterations", n)
		}
	}
	for text, ok := range map[string]bool{
		signSeeds[0]: true, signSeeds[0][:62]: false,
		"zz" + signSeeds[0][2:]: false,
	} {
		if _, err := ParsePrivateKey(text); (err == nil) != ok {
			t.Errorf("ParsePrivateKey(%q): %v", text, err)
		}
	}
}
