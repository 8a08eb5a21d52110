package auth

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"banyan/codec"
)

// A scramUser is what a SCRAM client knows.
type scramUser struct {
	name, password string // name as HELLO says it
	binding        string
	data           []byte
}

// saltedOf is SaltedPassword as a client makes it of a challenge.
func saltedOf(t testing.TB, password string, extra map[string]any) []byte {
	t.Helper()
	salt := unb64(t, extra["salt"].(string))
	iterations := extra["iterations"].(int)
	if extra["kdf"] == "pbkdf2" {
		key, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	return argon2.IDKey([]byte(password), salt, uint32(iterations), uint32(extra["memory"].(int)), 1, 32)
}

// answer returns AUTHENTICATE and the verifier that the client expects in WELCOME.
func (u scramUser) answer(t testing.TB, clientNonce string, extra map[string]any) (proof string, e Extra,
	verifier string,
) {
	t.Helper()
	flag := "n"
	if u.binding != "" {
		flag = "p=" + u.binding
	}
	nonce := extra["nonce"].(string)
	escaped := strings.ReplaceAll(strings.ReplaceAll(u.name, "=", "=3D"), ",", "=2C")
	message := "n=" + escaped + ",r=" + clientNonce +
		fmt.Sprintf(",r=%s,s=%s,i=%d", nonce, extra["salt"], extra["iterations"]) +
		",c=" + b64(append([]byte(flag+",,"), u.data...)) + ",r=" + nonce
	proof, server := scramProof(saltedOf(t, u.password, extra), message)
	e = Extra{Nonce: nonce, ChannelBinding: u.binding}
	if u.binding != "" {
		e.CBindData = b64(u.data)
	}
	return proof, e, "v=" + b64(server)
}

const scramNonce = "egVDf3DMJh0="

func scramHello(authid, method string) *Hello {
	h := hello(authid, method)
	h.Extra.Nonce = scramNonce
	return h
}

func mustSCRAM(t testing.TB, password, kdf string, iterations, memory int) *SCRAMCredential {
	t.Helper()
	c, err := NewSCRAM(password, kdf, iterations, memory)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func scramRealm(t testing.TB) *Realm {
	t.Helper()
	return makeRealm(t, Config{WAMPSCRAM: true, Users: []User{
		{AuthID: "pb", Role: "user", SCRAM: mustSCRAM(t, "pencil", KDFPBKDF2, 4096, 0)},
		{AuthID: "argon", Role: "user", SCRAM: mustSCRAM(t, "pencil", KDFArgon2id, 2, 64)},
		{
			AuthID: "a,b=c", Role: "user", SCRAM: mustSCRAM(t, "pencil", KDFPBKDF2, 4096, 0),
			Extra: map[string]any{"x": 1},
		},
	}})
}

// AUTH-19, AUTH-20, AUTH-24, AUTH-28.
func TestAUTH19to28Scram(t *testing.T) {
	r := scramRealm(t)
	for _, authid := range []string{"pb", "argon", "a,b=c"} {
		a, o := r.Begin(scramHello(authid, "wamp-scram"))
		want(t, o, Challenge)
		nonce := o.Extra["nonce"].(string)
		server, found := strings.CutPrefix(nonce, scramNonce)
		if !found || len(unb64(t, server)) < 16 {
			t.Errorf("nonce %q", nonce)
		}
		if memory := o.Extra["memory"]; (authid == "argon") != (memory == 64) ||
			(authid != "argon") != (memory == nil) {
			t.Errorf("%s: memory %v", authid, memory)
		}
		proof, e, verifier := scramUser{name: authid, password: "pencil"}.answer(t, scramNonce, o.Extra)
		o = a.Answer(noon, proof, &e)
		p := wantWelcome(t, o, authid, "user", "wamp-scram", "static")
		if p.Extra["verifier"] != verifier {
			t.Errorf("verifier %v, want %s", p.Extra["verifier"], verifier)
		}
		if authid == "a,b=c" && p.Extra["x"] != 1 {
			t.Errorf("the user's extra is lost: %v", p.Extra)
		}
	}
	if u := r.users["a,b=c"]; len(u.Extra) != 1 {
		t.Errorf("the verifier stayed in the user's extra: %v", u.Extra)
	}
}

// AUTH-21: the test data of PROTOCOL 10.4, RFC 7677 and that of the specification's nonces, through the whole
// attempt.
func TestAUTH21Vectors(t *testing.T) {
	for _, v := range []struct{ client, server, salt, stored, serverKey, proof, verifier string }{
		{
			"rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==", "", "",
			"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
		{
			"egVDf3DMJh0=", "SBmkFIh7sSo=", "aBc+fx0NAVA=",
			"0fCr7EYY8YwoS0VQMtES7YBGB7DlELfCsFIeOvlTzkc=", "aCtxeIoGuHVmsyd50QLzSXZWPgYI9rjZqGZ7ldyNmc4=",
			"L1uwjEEL7BdbtlWMKxNcQ1A/CmNjct+7xdAguB/rpnA=", "v=AyTAljdPHv74Zx+gn+6DqiFnl4XOZUXpC7k/pSkjBOg=",
		},
	} {
		c, err := newSCRAM("pencil", KDFPBKDF2, unb64(t, v.salt), 4096, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if v.stored != "" && (b64(c.StoredKey[:]) != v.stored || b64(c.ServerKey[:]) != v.serverKey) {
			t.Errorf("keys %s %s", b64(c.StoredKey[:]), b64(c.ServerKey[:]))
		}
		r := makeRealm(t, Config{WAMPSCRAM: true, Users: []User{{AuthID: "user", Role: "user", SCRAM: c}}})
		h := hello("user", "wamp-scram")
		h.Extra.Nonce = v.client
		a, o := r.Begin(h)
		want(t, o, Challenge)
		o = wampscram{}.converse(a, v.server) // the vector's nonce in place of a random one
		if o.Extra["salt"] != v.salt || o.Extra["nonce"] != v.client+v.server || o.Extra["iterations"] != 4096 {
			t.Errorf("challenge %v", o.Extra)
		}
		o = a.Answer(noon, v.proof, &Extra{Nonce: v.client + v.server})
		if p := wantWelcome(t, o, "user", "user", "wamp-scram", "static"); p.Extra["verifier"] != v.verifier {
			t.Errorf("verifier %v, want %s", p.Extra["verifier"], v.verifier)
		}
	}
}

// AUTH-22, AUTH-23, AUTH-26: wrong answers of every kind. A mock answers them with the same words.
func TestAUTH22to26ScramWrongAnswers(t *testing.T) {
	r := scramRealm(t)
	earlier, o := r.Begin(scramHello("pb", "wamp-scram"))
	oldProof, oldExtra, _ := scramUser{name: "pb", password: "pencil"}.answer(t, scramNonce, o.Extra)
	want(t, earlier.Answer(noon, oldProof, &oldExtra), Welcome)
	for _, c := range []struct {
		name   string
		change func(proof string, e *Extra) string
		reason string
	}{
		{"wrong proof", func(string, *Extra) string { return b64(make([]byte, 32)) }, "invalid-proof"},
		{"replay with the new nonce", func(string, *Extra) string { return oldProof }, "invalid-proof"},
		{"replay", func(_ string, e *Extra) string { *e = oldExtra; return oldProof }, "other-error"},
		{"AUTH-23 nonce", func(p string, e *Extra) string { e.Nonce += "A"; return p }, "other-error"},
		{"AUTH-23 client's nonce", func(p string, e *Extra) string { e.Nonce = scramNonce; return p }, "other-error"},
		{"AUTH-23 no nonce", func(p string, e *Extra) string { e.Nonce = ""; return p }, "other-error"},
		{"nonce is no text", func(p string, e *Extra) string { e.wrong = keyNonce; return p }, "other-error"},
		{
			"AUTH-26 data without binding", func(p string, e *Extra) string { e.CBindData = "AAAA"; return p },
			"other-error",
		},
		{
			"binding not in HELLO", func(p string, e *Extra) string { e.ChannelBinding = "tls-unique"; return p },
			"other-error",
		},
		{"empty", func(string, *Extra) string { return "" }, "other-error"},
		{"31 octets", func(string, *Extra) string { return b64(make([]byte, 31)) }, "other-error"},
		{"33 octets", func(string, *Extra) string { return b64(make([]byte, 33)) }, "other-error"},
		{"no base64", func(p string, _ *Extra) string { return "!" + p[1:] }, "other-error"},
		{"comma", func(p string, _ *Extra) string { return p + ",p=" + p }, "other-error"},
		{"line break", func(p string, _ *Extra) string { return p + "\n" }, "other-error"},
	} {
		for _, authid := range []string{"pb", "argon", "nobody"} {
			a, o := r.Begin(scramHello(authid, "wamp-scram"))
			want(t, o, Challenge)
			proof, e, _ := scramUser{name: authid, password: "pencil"}.answer(t, scramNonce, o.Extra)
			proof = c.change(proof, &e)
			o = a.Answer(noon, proof, &e)
			if o.Kind != Refuse || o.Refusal.URI != codec.ErrAuthenticationDenied || o.Refusal.Scram != c.reason {
				t.Errorf("%s, %s: %s, %+v", c.name, authid, describe(o), o.Refusal)
			}
		}
	}
	// The password of another user, and no extra at all.
	a, o := r.Begin(scramHello("pb", "wamp-scram"))
	proof, e, _ := scramUser{name: "pb", password: "pencils"}.answer(t, scramNonce, o.Extra)
	wantDenied(t, a.Answer(noon, proof, &e))
	a, _ = r.Begin(scramHello("pb", "wamp-scram"))
	wantDenied(t, a.Answer(noon, proof, nil))
}

// AUTH-25, AUTH-26 and PROTOCOL 10.4: channel bindings.
func TestAUTH25and26ScramBinding(t *testing.T) {
	c := mustSCRAM(t, "pencil", KDFPBKDF2, 4096, 0)
	users := []User{{AuthID: "pb", Role: "user", SCRAM: c, Tickets: []StoredTicket{plain(t, "x")}}}
	bound := makeRealm(t, Config{
		WAMPSCRAM: true, Ticket: &TicketOptions{}, Users: users, RequireChannelBinding: true,
	})
	free := makeRealm(t, Config{WAMPSCRAM: true, Ticket: &TicketOptions{}, Users: users})
	data := map[string][]byte{
		"tls-unique": []byte("twelve bytes"), "tls-server-end-point": make([]byte, 48), "tls-exporter": make([]byte,
			32),
	}
	offer := func(kind string) *Hello {
		h := scramHello("pb", "wamp-scram")
		h.Extra.ChannelBinding = kind
		h.Transport.Binding = func(kind string) []byte { return data[kind] }
		return h
	}
	for kind, d := range data {
		for _, r := range []*Realm{bound, free} {
			a, o := r.Begin(offer(kind))
			want(t, o, Challenge)
			proof, e, _ := scramUser{"pb", "pencil", kind, d}.answer(t, scramNonce, o.Extra)
			want(t, a.Answer(noon, proof, &e), Welcome)

			for name, change := range map[string]func(e *Extra){
				"without data":   func(e *Extra) { e.CBindData = "" },
				"other data":     func(e *Extra) { e.CBindData = b64([]byte("another conn")) },
				"no base64":      func(e *Extra) { e.CBindData = "?" },
				"other kind":     func(e *Extra) { e.ChannelBinding = "tls-other" },
				"kind left out":  func(e *Extra) { e.ChannelBinding = "" },
				"data too long":  func(e *Extra) { e.CBindData = strings.Repeat("AAAA", cbindBytesMax/4+1) },
				"data not text":  func(e *Extra) { e.wrong = keyCBindData },
				"both left out":  func(e *Extra) { e.ChannelBinding, e.CBindData = "", "" },
				"kind not text":  func(e *Extra) { e.wrong = keyChannelBinding },
				"nonce not text": func(e *Extra) { e.wrong = keyNonce },
			} {
				a, o := r.Begin(offer(kind))
				proof, e, _ := scramUser{"pb", "pencil", kind, d}.answer(t, scramNonce, o.Extra)
				change(&e)
				if o := a.Answer(noon, proof, &e); o.Kind != Refuse {
					t.Errorf("%s %s: %s", kind, name, describe(o))
				}
			}
			// The proof is right for what another connection is bound to.
			a, o = r.Begin(offer(kind))
			proof, e, _ = scramUser{"pb", "pencil", kind, []byte("another conn")}.answer(t, scramNonce, o.Extra)
			o = a.Answer(noon, proof, &e)
			wantDenied(t, o)
			if o.Refusal.Scram != "channel-bindings-dont-match" {
				t.Errorf("scram error %q", o.Refusal.Scram)
			}
		}
	}
	for _, r := range []*Realm{bound, free} {
		for _, kind := range []string{"tls-nonsense", "TLS-UNIQUE", "n"} {
			_, o := r.Begin(offer(kind))
			wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		}
		h := offer("tls-unique") // AUTH-25: TLS 1.3 has none
		h.Transport.Binding = func(string) []byte { return nil }
		_, o := r.Begin(h)
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		h.Transport.Binding = nil
		h.Methods = []string{"wamp-scram", "ticket"} // no way around
		_, o = r.Begin(h)
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	}
	_, o := bound.Begin(offer(""))
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	if !contains(o, "requires a channel binding") {
		t.Error(describe(o))
	}
	h := offer("")
	h.Extra.wrong = keyChannelBinding
	_, o = free.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

func TestScramNonces(t *testing.T) {
	r := scramRealm(t)
	for nonce, ok := range map[string]bool{
		"": false, "A": true, "AA==": true, strings.Repeat("A", nonceBytesMax): true,
		strings.Repeat("A", nonceBytesMax+1): false, "a,b": false, "a b": false, "é": false,
		"a\x00": false, "\x7f": false,
	} {
		h := hello("pb", "wamp-scram")
		h.Extra.Nonce = nonce
		_, o := r.Begin(h)
		if ok {
			want(t, o, Challenge)
		} else {
			wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		}
	}
	h := scramHello("pb", "wamp-scram")
	h.Extra.wrong = keyNonce
	_, o := r.Begin(h)
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

// The dialect of Crossbar.io, as its client computes.
func TestCrossbarScram(t *testing.T) {
	argon, err1 := NewCrossbarSCRAM("pencil", KDFArgon2id, 2, 64)
	pb, err2 := NewCrossbarSCRAM("pencil", KDFPBKDF2, 4096, 0)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	r := makeRealm(t, Config{CrossbarSCRAM: true, Users: []User{
		{AuthID: "argon", Role: "user", Crossbar: argon}, {AuthID: "pb", Role: "user", Crossbar: pb},
	}})
	answer := func(authid, password string, extra map[string]any) (string, string) {
		nonce := extra["nonce"].(string)
		message := fmt.Sprintf("n=%s,r=%s,r=%s,s=%s,i=%d,c=,r=%s",
			authid, scramNonce, nonce, extra["salt"], extra["iterations"], nonce)
		salted := saltedOf(t, password, extra)
		if extra["kdf"] == "argon2id-13" {
			salted = []byte(strings.TrimRight(b64(salted), "="))
		}
		proof, server := scramProof(salted, message)
		return proof, b64(server)
	}
	var old string
	for _, authid := range []string{"argon", "pb"} {
		a, o := r.Begin(scramHello(authid, "scram"))
		want(t, o, Challenge)
		nonce := unb64(t, o.Extra["nonce"].(string))
		if !bytes.HasPrefix(nonce, unb64(t, scramNonce)) || len(nonce) < 8+16 {
			t.Errorf("nonce %x", nonce)
		}
		keys := map[string]bool{
			"nonce": true, "salt": true, "kdf": true, "iterations": true,
			"memory": authid == "argon",
		}
		for k := range o.Extra {
			if !keys[k] {
				t.Errorf("%s: the client would refuse the key %s", authid, k)
			}
		}
		proof, server := answer(authid, "pencil", o.Extra)
		old = proof
		p := wantWelcome(t, a.Answer(noon, proof, nil), authid, "user", "scram", "static")
		if p.Extra["scram_server_signature"] != server {
			t.Errorf("server signature %v, want %s", p.Extra["scram_server_signature"], server)
		}
	}
	for _, change := range map[string]func(right string) string{
		"replay": func(string) string { return old }, "empty": func(string) string { return "" },
		"zeros":      func(string) string { return b64(make([]byte, 32)) },
		"31 octets":  func(string) string { return b64(make([]byte, 31)) },
		"33 octets":  func(string) string { return b64(make([]byte, 33)) },
		"one more":   func(p string) string { return b64(append(unb64(t, p), 0)) },
		"line break": func(p string) string { return p + "\n" },
	} {
		for _, authid := range []string{"pb", "nobody"} {
			a, o := r.Begin(scramHello(authid, "scram"))
			proof, _ := answer(authid, "pencil", o.Extra)
			wantDenied(t, a.Answer(noon, change(proof), nil))
		}
	}
	a, o := r.Begin(scramHello("pb", "scram"))
	proof, _ := answer("pb", "pencils", o.Extra)
	wantDenied(t, a.Answer(noon, proof, nil))
	for _, nonce := range []string{"", "AAA", "AB==", "AA==\n", strings.Repeat("A", nonceBytesMax+4)} {
		h := hello("pb", "scram")
		h.Extra.Nonce = nonce
		_, o := r.Begin(h)
		wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
	}
	_, o = r.Begin(scramHello("p,b", "scram"))
	wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
}

func TestSCRAMCredentialCheck(t *testing.T) {
	good := SCRAMCredential{
		KDF: KDFPBKDF2, Salt: []byte{1}, Iterations: 1, StoredKey: [32]byte{1}, ServerKey: [32]byte{1},
	}
	argon := good
	argon.KDF, argon.Memory = KDFArgon2id, 8
	for name, c := range map[string]struct {
		from   SCRAMCredential
		change func(c *SCRAMCredential)
		ok     bool
	}{
		"pbkdf2":          {good, func(*SCRAMCredential) {}, true},
		"argon2id":        {argon, func(*SCRAMCredential) {}, true},
		"longest salt":    {good, func(c *SCRAMCredential) { c.Salt = make([]byte, saltBytesMax) }, true},
		"salt too long":   {good, func(c *SCRAMCredential) { c.Salt = make([]byte, saltBytesMax+1) }, false},
		"no salt":         {good, func(c *SCRAMCredential) { c.Salt = nil }, false},
		"no iterations":   {good, func(c *SCRAMCredential) { c.Iterations = 0 }, false},
		"most iterations": {good, func(c *SCRAMCredential) { c.Iterations = pbkdf2IterationsMax }, true},
		"one more": {
			good,
			func(c *SCRAMCredential) { c.Iterations++; c.Iterations += pbkdf2IterationsMax }, false,
		},
		"memory of pbkdf2":   {good, func(c *SCRAMCredential) { c.Memory = 8 }, false},
		"other kdf":          {good, func(c *SCRAMCredential) { c.KDF = "bcrypt" }, false},
		"Crossbar's name":    {argon, func(c *SCRAMCredential) { c.KDF = "argon2id-13" }, false},
		"argon, most":        {argon, func(c *SCRAMCredential) { c.Iterations = argon2IterationsMax }, true},
		"argon, one more":    {argon, func(c *SCRAMCredential) { c.Iterations = argon2IterationsMax + 1 }, false},
		"argon, none":        {argon, func(c *SCRAMCredential) { c.Iterations = 0 }, false},
		"memory too small":   {argon, func(c *SCRAMCredential) { c.Memory = argon2KiBMin - 1 }, false},
		"memory, most":       {argon, func(c *SCRAMCredential) { c.Memory = argon2KiBMax }, true},
		"memory, one more":   {argon, func(c *SCRAMCredential) { c.Memory = argon2KiBMax + 1 }, false},
		"no stored key":      {good, func(c *SCRAMCredential) { c.StoredKey = [32]byte{} }, false},
		"no server key":      {good, func(c *SCRAMCredential) { c.ServerKey = [32]byte{} }, false},
		"argon without salt": {argon, func(c *SCRAMCredential) { c.Salt = nil }, false},
	} {
		c.change(&c.from)
		if err := c.from.check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The reference implementation of Argon2 made this hash; with it the salted password is checked against other tools.
func TestArgon2Vector(t *testing.T) {
	c := &SCRAMCredential{KDF: KDFArgon2id, Salt: []byte("somesalt"), Iterations: 2, Memory: 65536}
	const raw = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
	salted, err := saltPassword("password", c, false)
	if err != nil || hex.EncodeToString(salted) != raw {
		t.Errorf("wamp-scram: %x, %v", salted, err)
	}
	salted, err = saltPassword("password", c, true)
	if err != nil || string(salted) != "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc" {
		t.Errorf("scram: %s, %v", salted, err)
	}
}
