package auth

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"
)

// craTestText is the challenge of the test data in PROTOCOL 10.3.
const craTestText = `{"authid":"peter","authrole":"user","authmethod":"wampcra","authprovider":"static",` +
	`"nonce":"LHRTC9zeOIrt_9U3","timestamp":"2014-06-22T16:36:25.448Z","session":3251278072152162}`

// AUTH-14: the test data of PROTOCOL 10.3.
func TestAUTH14Vectors(t *testing.T) {
	if got := signCRA("secret123", craTestText); got != "Nj02bD6rVoOa09jNtz3S7J41/Dky20wsdL70cFpFsvI=" {
		t.Errorf("unsalted: %s", got)
	}
	key, err := DeriveCRA("secret123", "salt123", 1000, 32)
	if err != nil || key != "Eu7CQLfR+/Ffb+275A4s9/6H/RGKYxM4s6IMrsNKzC8=" {
		t.Errorf("derived key: %s, %v", key, err)
	}
	if got := signCRA(key, craTestText); got != "lhLRsWxn8BhCGfCDpqnmS77ptjoHHeT80YQa6MYhsw4=" {
		t.Errorf("salted: %s", got)
	}
}

func craRealm(t testing.TB) *Realm {
	t.Helper()
	key, err := DeriveCRA("secret123", "salt123", 1000, 32)
	if err != nil {
		t.Fatal(err)
	}
	return makeRealm(t, Config{WAMPCRA: true, Users: []User{
		{AuthID: "peter", Role: "user", CRA: &CRACredential{Key: "secret123"}},
		{
			AuthID: "salty", Role: "admin",
			CRA: &CRACredential{Key: key, Salt: "salt123", Iterations: 1000, KeyLen: 32},
		},
	}})
}

// answerCRA is what a client answers.
func answerCRA(t testing.TB, secret string, extra map[string]any) string {
	t.Helper()
	key := []byte(secret)
	if salt, ok := extra["salt"].(string); ok {
		derived, err := pbkdf2.Key(sha256.New, secret, []byte(salt), extra["iterations"].(int), extra["keylen"].(int))
		if err != nil {
			t.Fatal(err)
		}
		key = []byte(b64(derived))
	}
	return b64(hmacOf(key, extra["challenge"].(string)))
}

// AUTH-11, AUTH-12, AUTH-13, AUTH-17.
func TestAUTH11to17WampCRA(t *testing.T) {
	r := craRealm(t)
	nonces := map[string]bool{}
	for _, authid := range []string{"peter", "salty", "peter", "salty"} {
		h := hello(authid, "wampcra")
		a, o := r.Begin(h)
		want(t, o, Challenge)
		var c map[string]any
		if err := json.Unmarshal([]byte(o.Extra["challenge"].(string)), &c); err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]any{
			"authid": authid, "authrole": map[string]string{"peter": "user", "salty": "admin"}[authid],
			"authmethod": "wampcra", "authprovider": "static", "timestamp": "2026-11-29T12:00:00.000Z",
			"session": float64(h.Session),
		} {
			if c[key] != value {
				t.Errorf("challenge.%s is %v, want %v", key, c[key], value)
			}
		}
		nonce, _ := c["nonce"].(string)
		if len(unb64(t, nonce)) < 16 || nonces[nonce] {
			t.Errorf("nonce %q is short or came before", nonce)
		}
		nonces[nonce] = true
		if authid == "peter" && len(o.Extra) != 1 {
			t.Errorf("unsalted extra %v", o.Extra)
		}
		if authid == "salty" && (o.Extra["salt"] != "salt123" || o.Extra["keylen"] != 32 ||
			o.Extra["iterations"] != 1000) {
			t.Errorf("salted extra %v", o.Extra)
		}
		o = a.Answer(noon, answerCRA(t, "secret123", o.Extra), nil)
		wantWelcome(t, o, authid, c["authrole"].(string), "wampcra", "static")
	}
}

// AUTH-15, AUTH-16: wrong answers of every kind, and right ones of other challenges.
func TestAUTH15and16WrongAnswers(t *testing.T) {
	r := craRealm(t)
	earlier, o := r.Begin(hello("peter", "wampcra"))
	old := answerCRA(t, "secret123", o.Extra)
	oldText := o.Extra["challenge"].(string)
	want(t, earlier.Answer(noon, old, nil), Welcome)
	for name, answer := range map[string]func(extra map[string]any) string{
		"wrong secret": func(e map[string]any) string { return answerCRA(t, "secret124", e) },
		"empty":        func(map[string]any) string { return "" },
		"replay":       func(map[string]any) string { return old },
		"earlier text": func(map[string]any) string { return b64(hmacOf([]byte("secret123"), oldText)) },
		"no base64": func(e map[string]any) string {
			return string(hmacOf([]byte("secret123"),
				e["challenge"].(string)))
		},
		"no padding": func(e map[string]any) string {
			return strings.TrimRight(answerCRA(t, "secret123", e),
				"=")
		},
		"with more":        func(e map[string]any) string { return answerCRA(t, "secret123", e) + "A" },
		"the challenge":    func(e map[string]any) string { return e["challenge"].(string) },
		"derived key only": func(map[string]any) string { return "Eu7CQLfR+/Ffb+275A4s9/6H/RGKYxM4s6IMrsNKzC8=" },
	} {
		for _, authid := range []string{"peter", "salty", "nobody"} {
			a, o := r.Begin(hello(authid, "wampcra"))
			want(t, o, Challenge)
			if o := a.Answer(noon, answer(o.Extra), nil); o.Kind != Refuse {
				t.Errorf("%s of %s: %s", name, authid, describe(o))
			}
		}
	}
	// With the same randomness and another session the same answer is wrong: the session id is signed.
	h := hello("peter", "wampcra")
	h.Random = seeded(1)
	_, o = r.Begin(h)
	answer := answerCRA(t, "secret123", o.Extra)
	h.Random, h.Session = seeded(1), h.Session+1
	a, _ := r.Begin(h)
	wantDenied(t, a.Answer(noon, answer, nil))
	h.Random, h.Session = seeded(1), h.Session-1
	a, _ = r.Begin(h)
	want(t, a.Answer(noon, answer, nil), Welcome)
}

func TestCRACredentialCheck(t *testing.T) {
	key32 := b64(make([]byte, 32))
	for name, c := range map[string]struct {
		c  CRACredential
		ok bool
	}{
		"secret":            {CRACredential{Key: "s"}, true},
		"longest secret":    {CRACredential{Key: strings.Repeat("s", secretBytesMax)}, true},
		"too long":          {CRACredential{Key: strings.Repeat("s", secretBytesMax+1)}, false},
		"empty":             {CRACredential{}, false},
		"salted":            {CRACredential{Key: key32, Salt: "s", Iterations: 1, KeyLen: 32}, true},
		"password kept":     {CRACredential{Key: "secret123", Salt: "s", Iterations: 1000, KeyLen: 32}, false},
		"other length":      {CRACredential{Key: key32, Salt: "s", Iterations: 1000, KeyLen: 31}, false},
		"keylen 16":         {CRACredential{Key: b64(make([]byte, 16)), Salt: "s", Iterations: 1, KeyLen: 16}, true},
		"keylen 15":         {CRACredential{Key: b64(make([]byte, 15)), Salt: "s", Iterations: 1, KeyLen: 15}, false},
		"keylen 64":         {CRACredential{Key: b64(make([]byte, 64)), Salt: "s", Iterations: 1, KeyLen: 64}, true},
		"keylen 65":         {CRACredential{Key: b64(make([]byte, 65)), Salt: "s", Iterations: 1, KeyLen: 65}, false},
		"no iterations":     {CRACredential{Key: key32, Salt: "s", KeyLen: 32}, false},
		"most iterations":   {CRACredential{Key: key32, Salt: "s", Iterations: 10_000_000, KeyLen: 32}, true},
		"one more":          {CRACredential{Key: key32, Salt: "s", Iterations: 10_000_001, KeyLen: 32}, false},
		"iterations, plain": {CRACredential{Key: "s", Iterations: 1000}, false},
		"longest salt": {
			CRACredential{Key: key32, Salt: strings.Repeat("s", 256), Iterations: 1, KeyLen: 32},
			true,
		},
		"salt too long": {
			CRACredential{Key: key32, Salt: strings.Repeat("s", 257), Iterations: 1, KeyLen: 32},
			false,
		},
	} {
		if err := c.c.check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
