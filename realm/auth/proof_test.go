package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"testing"
)

// A session stays as long as its user has the credential that it logged in with: another one of the same method, or
// the same one beside others, is told apart.
func TestCredentialsThatChange(t *testing.T) {
	cert, _ := makeCertificate(t, x509.ECDSAWithSHA256)
	other, _ := makeCertificate(t, x509.ECDSAWithSHA256)
	key := func(i int) [32]byte { k, _ := ParseKey(signKeys[i]); return k }
	crossbarOf := func(password string) *SCRAMCredential {
		c, err := NewCrossbarSCRAM(password, KDFPBKDF2, 4096, 0)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	scramOf := func(password string) *SCRAMCredential { return mustSCRAM(t, password, KDFPBKDF2, 4096, 0) }
	first, second := plain(t, "first"), plain(t, "second")
	kept, changed := scramOf("pencil"), scramOf("pencils")
	keptDialect := crossbarOf("pencil")
	fingerprint := func(c *x509.Certificate) [32]byte { return sha256.Sum256(c.Raw) }

	for _, c := range []struct {
		name, method string
		has          User
		hello        func(h *Hello)
		answer       func(extra map[string]any) (string, *Extra) // nil for methods without a challenge
		stays, goes  []User
	}{
		{
			name: "ticket", method: methodTicket, has: User{Tickets: []StoredTicket{first, second}},
			answer: func(map[string]any) (string, *Extra) { return "second", nil },
			stays:  []User{{Tickets: []StoredTicket{second}}, {Tickets: []StoredTicket{plain(t, "third"), second}}},
			goes:   []User{{Tickets: []StoredTicket{first}}, {}, {Keys: [][32]byte{[32]byte(second.digest)}}},
		},
		{
			name: "cra", method: methodCRA, has: User{CRA: &CRACredential{Key: "secret"}},
			answer: func(e map[string]any) (string, *Extra) { return answerCRA(t, "secret", e), nil },
			stays:  []User{{CRA: &CRACredential{Key: "secret"}}},
			goes:   []User{{CRA: &CRACredential{Key: "Secret"}}, {}},
		},
		{
			name: "scram", method: methodSCRAM, has: User{SCRAM: kept},
			hello: func(h *Hello) { h.Extra.Nonce = scramNonce },
			answer: func(e map[string]any) (string, *Extra) {
				proof, x, _ := scramUser{name: "a", password: "pencil"}.answer(t, scramNonce, e)
				return proof, &x
			},
			stays: []User{{SCRAM: kept, Crossbar: changed}},
			goes:  []User{{SCRAM: changed}, {Crossbar: kept}, {}},
		},
		{
			name: "dialect", method: methodCrossbar, has: User{Crossbar: keptDialect},
			hello: func(h *Hello) { h.Extra.Nonce = scramNonce },
			answer: func(e map[string]any) (string, *Extra) {
				message := fmt.Sprintf("n=a,r=%s,r=%s,s=%s,i=%d,c=,r=%s",
					scramNonce, e["nonce"], e["salt"], e["iterations"], e["nonce"])
				signature, _ := scramProof(saltedOf(t, "pencil", e), message)
				return signature, nil
			},
			stays: []User{{Crossbar: keptDialect, SCRAM: changed}},
			goes:  []User{{Crossbar: crossbarOf("pencils")}, {SCRAM: keptDialect}, {}},
		},
		{
			name: "key", method: methodCryptosign, has: User{Keys: [][32]byte{key(0), key(1)}},
			hello: func(h *Hello) { h.Extra = extra(t, map[string]any{"pubkey": signKeys[1]}) },
			answer: func(e map[string]any) (string, *Extra) {
				return signChallenge(t, signSeeds[1], e["challenge"].(string), nil), nil
			},
			stays: []User{{Keys: [][32]byte{key(1)}}, {Keys: [][32]byte{key(2), key(1)}}},
			goes:  []User{{Keys: [][32]byte{key(0)}}, {}, {Certificates: [][32]byte{key(1)}}},
		},
		{
			name: "certificate", method: methodTLS, has: User{Certificates: [][32]byte{fingerprint(cert)}},
			hello: func(h *Hello) { h.Transport.Certificate = cert.Raw },
			stays: []User{{Certificates: [][32]byte{fingerprint(other), fingerprint(cert)}}},
			goes:  []User{{Certificates: [][32]byte{fingerprint(other)}}, {}, {Keys: [][32]byte{fingerprint(cert)}}},
		},
	} {
		realmOf := func(u User) *Realm {
			u.AuthID, u.Role = "a", "r"
			return makeRealm(t, Config{
				Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true, TLS: true,
				Cryptosign: &CryptosignOptions{}, Users: []User{u},
			})
		}
		h := hello("a", c.method)
		if c.hello != nil {
			c.hello(h)
		}
		a, o := realmOf(c.has).Begin(h)
		if c.answer != nil {
			want(t, o, Challenge)
			signature, more := c.answer(o.Extra)
			o = a.Answer(noon, signature, more)
		}
		p := wantWelcome(t, o, "a", "r", c.method, "static")
		for i, u := range append([]User{c.has}, c.stays...) {
			if !realmOf(u).Admits(p) {
				t.Errorf("%s: change %d ends it", c.name, i)
			}
		}
		for i, u := range c.goes {
			if realmOf(u).Admits(p) {
				t.Errorf("%s: change %d does not end it", c.name, i)
			}
		}
	}
}
