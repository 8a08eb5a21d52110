package cli

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"banyan/bench/client"
	"banyan/realm/auth"
)

// A proof is one side of a login: what HELLO says besides the authid, and what answers a challenge. Sign returns
// AUTHENTICATE.Signature and its Extra.
type proof struct {
	method string
	extra  string // of HELLO, as JSON members
	sign   func(challenge map[string]any) (signature, extra string)
}

func hmac256(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// proofs are all that a user has that answer challenges.
func (u *person) proofs(t testing.TB) []proof {
	key, err := auth.ParsePrivateKey(u.key)
	if err != nil {
		t.Fatal(err)
	}
	return []proof{
		{"ticket", "", func(map[string]any) (string, string) { return u.ticket, "" }},
		{"wampcra", "", func(c map[string]any) (string, string) {
			signed := hmac256([]byte(u.password), c["challenge"].(string))
			return base64.StdEncoding.EncodeToString(signed), ""
		}},
		u.scram(t, "wamp-scram", "", nil, "cm9vdHJvb3Ryb290cm9vdA=="),
		u.scram(t, "scram", "", nil, "cm9vdHJvb3Ryb290cm9vdA=="),
		{"cryptosign", publicOf(key), func(c map[string]any) (string, string) { return signed(t, key, c, nil), "" }},
	}
}

func publicOf(key ed25519.PrivateKey) string { return fmt.Sprintf(`"pubkey":"%x"`, key.Public()) }

// signed answers a challenge of cryptosign; channel is the binding, nil if there is none.
func signed(t testing.TB, key ed25519.PrivateKey, challenge map[string]any, channel []byte) string {
	message, err := hex.DecodeString(challenge["challenge"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if channel != nil {
		subtle.XORBytes(message, message, channel)
	}
	return hex.EncodeToString(append(ed25519.Sign(key, message), message...))
}

// scram is a proof of one of the two dialects, bound to data if kind says so.
func (u *person) scram(t testing.TB, method, kind string, data []byte, nonce string) proof {
	extra := fmt.Sprintf(`"nonce":%q`, nonce)
	flag, bound := "n,,", "null"
	if kind != "" {
		extra += fmt.Sprintf(`,"channel_binding":%q`, kind)
		flag, bound = "p="+kind+",,", fmt.Sprintf("%q", kind)
	}
	text := base64.StdEncoding.EncodeToString
	return proof{method, extra, func(c map[string]any) (string, string) {
		salt, err := base64.StdEncoding.DecodeString(c["salt"].(string))
		if err != nil {
			t.Fatal(err)
		}
		iterations := int(c["iterations"].(float64))
		salted, err := pbkdf2.Key(sha256.New, u.password, salt, iterations, 32)
		if err != nil {
			t.Fatal(err)
		}
		bind := text(append([]byte(flag), data...))
		if method == "scram" {
			bind = ""
		}
		message := fmt.Sprintf("n=%s,r=%s,r=%s,s=%s,i=%d,c=%s,r=%[3]s", u.authid, nonce, c["nonce"], c["salt"],
			iterations, bind)
		clientKey := hmac256(salted, "Client Key")
		stored := sha256.Sum256(clientKey)
		out := make([]byte, 32)
		subtle.XORBytes(out, clientKey, hmac256(stored[:], message))
		cbind := "null"
		if kind != "" {
			cbind = fmt.Sprintf("%q", text(data))
		}
		return text(out), fmt.Sprintf(`"nonce":%q,"channel_binding":%s,"cbind_data":%s`, c["nonce"], bound, cbind)
	}}
}

// challenged says HELLO and returns the extra of CHALLENGE, nil if there is none, and what came.
func (k *talk) challenged(realm, authid string, p *proof) (challenge map[string]any, answer string) {
	k.t.Helper()
	answer = k.ask(fmt.Sprintf(`[1,%q,{%s,"authid":%q,"authmethods":[%q],"authextra":{%s}}]`, realm, allRoles, authid,
		p.method, p.extra))
	var list []any
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		k.t.Fatalf("%v: %s", err, answer)
	}
	if list[0] == 4.0 {
		challenge = list[2].(map[string]any)
	}
	return challenge, answer
}

// authenticate answers a challenge.
func (k *talk) authenticate(signature, extra string) string {
	k.t.Helper()
	return k.ask(fmt.Sprintf(`[5,%q,{%s}]`, signature, extra))
}

// attackSignatures tries proofs that are not for this challenge, this connection or this user.
func attackSignatures(t *testing.T, s *secured) {
	plain := func() *talk { return s.talk(t, "plain", client.Options{}) }
	refused := func(what, answer string) {
		t.Helper()
		if !strings.HasPrefix(answer, "[3,") {
			t.Errorf("%s: %s", what, answer)
		}
	}
	challenge := func(k *talk, authid string, p *proof) map[string]any {
		t.Helper()
		c, answer := k.challenged("bank", authid, p)
		if c == nil {
			t.Fatalf("%s by %s: %s", authid, p.method, answer)
		}
		return c
	}
	joined := s.stats(t).Realm.Joined
	good := int64(0)
	alice, mallory := s.alice.proofs(t), s.mallory.proofs(t)
	for i := range alice {
		p, own := &alice[i], &mallory[i]
		k := plain()
		signature, extra := p.sign(challenge(k, "alice", p))
		if answer := k.authenticate(signature, extra); !strings.Contains(answer, `"authrole":"teller"`) {
			t.Fatalf("alice by %s: %s", p.method, answer)
		}
		good++
		// AUTH-46, SES-18: once more, on the connection that it was for.
		refused(p.method+" repeated in the session", k.authenticate(signature, extra))
		if p.method == "ticket" {
			continue // a ticket is meant to be used again
		}
		// AUTH-16: replayed.
		k = plain()
		second := challenge(k, "alice", p)
		refused(p.method+" replayed", k.authenticate(signature, extra))
		// AUTH-16: replayed with the extra of the new challenge (SCRAM carries its nonce there).
		k = plain()
		_, extra = p.sign(challenge(k, "alice", p))
		refused(p.method+" replayed with new extra", k.authenticate(signature, extra))
		// AUTH-17: the challenge is another one each time.
		if first := challenge(plain(), "alice", p); fmt.Sprint(first) == fmt.Sprint(second) {
			t.Errorf("%s: two challenges are equal: %v", p.method, first)
		}
		// AUTH-31: the answer to the challenge of another connection, both ways.
		a, b := plain(), plain()
		forA, extraA := p.sign(challenge(a, "alice", p))
		forB, extraB := p.sign(challenge(b, "alice", p))
		refused(p.method+" of another connection", a.authenticate(forB, extraB))
		refused(p.method+" of another connection", b.authenticate(forA, extraA))
		// AUTH-36: the attacker's own secret under the name of the victim.
		k = plain()
		if c, answer := k.challenged("bank", "alice", own); c != nil {
			refused("mallory as alice by "+p.method, k.authenticate(own.sign(c)))
		} else {
			refused("mallory as alice by "+p.method, answer)
		}
		// Reflected: the router's own words as proof.
		k = plain()
		c := challenge(k, "alice", p)
		for _, name := range []string{"challenge", "nonce", "signature", "salt"} {
			if text, ok := c[name].(string); ok {
				encoded, _ := json.Marshal(text)
				refused(p.method+" answered by its own "+name, k.ask(fmt.Sprintf(`[5,%s,{}]`, encoded)))
				break
			}
		}
	}
	// AUTH-49: a certificate is that of its owner.
	for who, want := range map[*person]string{&s.alice: `"authrole":"teller"`, &s.mallory: "[3,"} {
		k := s.talk(t, "tls", client.Options{TLS: &tls.Config{
			Certificates: []tls.Certificate{who.certificate.tls(t)},
		}})
		p := proof{method: "tls"}
		if _, answer := k.challenged("bank", "alice", &p); !strings.Contains(answer, want) {
			t.Errorf("the certificate of %s: %s", who.authid, answer)
		}
	}
	good++
	good += attackSCRAM(t, s)
	good += attackCryptosign(t, s)
	if now := s.stats(t).Realm.Joined; now != joined+good {
		t.Errorf("%d have joined, %d should", now-joined, good)
	}
}

// attackSCRAM tries what only SCRAM has: a signature of the server, nonces, and channel bindings (AUTH-22, AUTH-23,
// AUTH-25, AUTH-26).
func attackSCRAM(t *testing.T, s *secured) (good int64) {
	const nonce = "bm9uY2Vub25jZW5vbmNlIQ=="
	for method, verifier := range map[string]string{"wamp-scram": `"v=`, "scram": `"scram_server_signature":"`} {
		p := s.alice.scram(t, method, "", nil, nonce)
		k := s.talk(t, "plain", client.Options{})
		c, _ := k.challenged("bank", "alice", &p)
		answer := k.authenticate(p.sign(c))
		_, server, ok := strings.Cut(answer, verifier)
		if !ok {
			t.Fatalf("%s: %s", method, answer)
		}
		good++
		server, _, _ = strings.Cut(server, `"`)
		k = s.talk(t, "plain", client.Options{})
		c, _ = k.challenged("bank", "alice", &p)
		_, extra := p.sign(c)
		if answer := k.authenticate(server, extra); !strings.HasPrefix(answer, "[3,") {
			t.Errorf("%s: the signature of the server as proof: %s", method, answer)
		}
		// The nonce of another conversation, whole, as the client's.
		reused := s.alice.scram(t, method, "", nil, c["nonce"].(string))
		k = s.talk(t, "plain", client.Options{})
		if second, answer := k.challenged("bank", "alice", &reused); second == nil {
			t.Errorf("%s: %s", method, answer)
		} else if len(second["nonce"].(string)) < len(c["nonce"].(string))+22 {
			t.Errorf("%s: the router adds fewer than 16 octets to a nonce: %v", method, second["nonce"])
		}
	}

	// Channel bindings, over TLS.
	state := func(k *client.Conn) tls.ConnectionState { return tlsState(t, k) }
	endpoint := sha256.Sum256(s.server.der)
	exporter := func(k *client.Conn) []byte {
		cs := state(k)
		b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	foreign := exporter(s.talk(t, "tls", client.Options{}).Conn)
	for name, c := range map[string]struct {
		kind string
		data func(own []byte) []byte
		good bool
		edit func(extra string) string
	}{
		"end point":              {"tls-server-end-point", func([]byte) []byte { return endpoint[:] }, true, nil},
		"exporter":               {"tls-exporter", func(own []byte) []byte { return own }, true, nil},
		"of another connection":  {"tls-exporter", func([]byte) []byte { return foreign }, false, nil},
		"of another certificate": {"tls-server-end-point", func([]byte) []byte { return foreign }, false, nil},
		"of another kind":        {"tls-exporter", func([]byte) []byte { return endpoint[:] }, false, nil},
		"empty":                  {"tls-exporter", func([]byte) []byte { return nil }, false, nil},
		"taken back": {
			"tls-exporter", func(own []byte) []byte { return own }, false,
			func(extra string) string {
				return strings.Replace(extra, `"channel_binding":"tls-exporter"`, `"channel_binding":null`, 1)
			},
		},
		"unbound data": {
			"", func([]byte) []byte { return nil }, false,
			func(extra string) string {
				return strings.Replace(extra, `"cbind_data":null`, `"cbind_data":"AAAA"`, 1)
			},
		},
		"not asked for where it must be": {"", func([]byte) []byte { return nil }, false, nil},
		"that there is not":              {"tls-unique", func([]byte) []byte { return foreign }, false, nil},
		"nobody knows":                   {"x-none", func([]byte) []byte { return foreign }, false, nil},
	} {
		realm := "bank"
		if c.good || strings.HasPrefix(name, "not asked") {
			realm = "bound"
		}
		k := s.talk(t, "tls", client.Options{})
		p := s.alice.scram(t, "wamp-scram", c.kind, c.data(exporter(k.Conn)), nonce)
		challenge, answer := k.challenged(realm, "alice", &p)
		if challenge != nil {
			signature, extra := p.sign(challenge)
			if c.edit != nil {
				extra = c.edit(extra)
			}
			answer = k.authenticate(signature, extra)
		}
		if strings.HasPrefix(answer, "[2,") != c.good || !c.good && !strings.HasPrefix(answer, "[3,") {
			t.Errorf("wamp-scram with a binding %s: %s", name, answer)
		}
		if c.good {
			good++
		}
	}
	return good
}

// tlsState is the TLS of a connection.
func tlsState(t *testing.T, c *client.Conn) tls.ConnectionState {
	t.Helper()
	cs, ok := c.TLS()
	if !ok {
		t.Fatal("the connection has no TLS")
	}
	return cs
}

// attackCryptosign tries what only cryptosign has: chosen messages, the router's own signatures, and relayed
// signatures of bound channels (AUTH-31 to AUTH-40).
func attackCryptosign(t *testing.T, s *secured) (good int64) {
	key, err := auth.ParsePrivateKey(s.alice.key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := auth.ParsePrivateKey(s.mallory.key)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(message []byte) string { return hex.EncodeToString(append(ed25519.Sign(key, message), message...)) }
	expect := func(name, listener, realm, extra string, wants bool, answer func(k *talk, c map[string]any) string) {
		t.Helper()
		k := s.talk(t, listener, client.Options{})
		p := proof{method: "cryptosign", extra: extra}
		c, got := k.challenged(realm, "alice", &p)
		if c != nil {
			got = k.authenticate(answer(k, c), "")
		}
		if strings.HasPrefix(got, "[2,") != wants || !wants && !strings.HasPrefix(got, "[3,") {
			t.Errorf("cryptosign %s: %s", name, got)
		}
		if wants {
			good++
		}
	}
	channel := func(k *talk) []byte {
		cs := tlsState(k.t, k.Conn)
		b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	public := publicOf(key)
	bound := public + `,"channel_binding":"tls-exporter"`
	zero := make([]byte, 32)
	expect("over a message of its own choice", "plain", "bank", public, false,
		func(*talk, map[string]any) string { return sign(zero) })
	expect("that is bare", "plain", "bank", public, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, nil)[:128] })
	expect("with the message exchanged", "plain", "bank", public, false,
		func(_ *talk, c map[string]any) string { return sign(zero)[:128] + c["challenge"].(string) })
	expect("beside another message", "plain", "bank", public, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, nil)[:128] + hex.EncodeToString(zero) })
	expect("of mallory with the key of alice", "plain", "bank", public, false,
		func(_ *talk, c map[string]any) string { return signed(t, own, c, nil) })
	expect("by the key of mallory", "plain", "bank", publicOf(own), false,
		func(_ *talk, c map[string]any) string { return signed(t, own, c, nil) })
	expect("bound", "tls", "bound", bound, true,
		func(k *talk, c map[string]any) string { return signed(t, key, c, channel(k)) })
	expect("not bound where it must be", "tls", "bound", public, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, nil) })
	expect("that is not bound, although that was agreed", "tls", "bank", bound, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, nil) })
	expect("bound without TLS", "plain", "bound", bound, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, nil) })
	// Somebody in the middle has a TLS connection with alice and another one with the router.
	toAlice := channel(s.talk(t, "tls", client.Options{}))
	expect("relayed from another channel", "tls", "bound", bound, false,
		func(_ *talk, c map[string]any) string { return signed(t, key, c, toAlice) })

	// The router is made to sign the challenge that it gave on another connection (AUTH-37).
	k := s.talk(t, "plain", client.Options{})
	for _, reflected := range []string{public, ""} {
		p := proof{method: "cryptosign", extra: public}
		c, _ := k.challenged("bank", "alice", &p)
		asks := proof{
			method: "cryptosign", extra: fmt.Sprintf(`%s,"challenge":%q`, public, c["challenge"]),
		}
		mirror, answer := s.talk(t, "plain", client.Options{}).challenged("bank", "alice", &asks)
		if mirror == nil || mirror["signature"] == nil {
			t.Fatalf("the router does not sign: %s", answer)
		}
		if reflected == "" { // under the name of the router's own key
			k = s.talk(t, "plain", client.Options{})
			p.extra = fmt.Sprintf(`"pubkey":%q`, mirror["pubkey"])
			if c, answer = k.challenged("bank", "alice", &p); c == nil {
				if !strings.HasPrefix(answer, "[3,") {
					t.Errorf("the router's own key: %s", answer)
				}
				continue
			}
		}
		if got := k.authenticate(mirror["signature"].(string), ""); !strings.HasPrefix(got, "[3,") {
			t.Errorf("a signature of the router, reflected: %s", got)
		}
		k = s.talk(t, "plain", client.Options{})
	}
	return good
}
