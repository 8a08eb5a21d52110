package auth

import (
	"testing"

	"banyan/codec"
)

// FuzzAnswer feeds what a stranger can send in HELLO and AUTHENTICATE. Nobody gets in without a secret, nothing
// panics, and each attempt ends.
func FuzzAnswer(f *testing.F) {
	argon, err := HashPassword("right", 1, 8)
	if err != nil {
		f.Fatal(err)
	}
	scram := mustSCRAM(f, "right", KDFPBKDF2, 1, 0)
	key, err := ParseKey(signKeys[0])
	if err != nil {
		f.Fatal(err)
	}
	router, err := ParsePrivateKey(signSeeds[1])
	if err != nil {
		f.Fatal(err)
	}
	r := makeRealm(f, Config{
		Ticket: &TicketOptions{}, WAMPCRA: true, WAMPSCRAM: true, CrossbarSCRAM: true, TLS: true,
		Cryptosign: &CryptosignOptions{RouterKey: router}, Cookie: &CookieOptions{Store: NewCookies(1, 1)},
		Users: []User{{
			AuthID: "alice", Role: "r", Keys: [][32]byte{key}, CRA: &CRACredential{Key: "right"}, SCRAM: scram,
			Crossbar: scram,
			Tickets:  []StoredTicket{mustTicket(f, argon)},
		}},
	})
	helloExtra := raw(f, map[string]any{
		"pubkey": signKeys[0], "nonce": scramNonce, "challenge": signChallenges[1], "channel_binding": "tls-exporter",
	})
	answerExtra := raw(f, map[string]any{
		"nonce": scramNonce, "channel_binding": "tls-exporter",
		"cbind_data": "AAAA",
	})
	for _, method := range []string{"ticket", "wampcra", "wamp-scram", "scram", "cryptosign", "tls", "cookie", ""} {
		for _, authid := range []string{"alice", "nobody", ""} {
			f.Add(method, authid, helloExtra, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", answerExtra, true)
			f.Add(method, authid, []byte{0x80}, signChallenges[0], []byte(nil), false)
		}
	}
	f.Fuzz(func(t *testing.T, method, authid string, helloExtra []byte, signature string, answerExtra []byte,
		bound bool,
	) {
		first, err := ReadExtra(helloExtra)
		if err != nil {
			return
		}
		h := hello(authid, method)
		h.Extra, h.Random, h.Transport.Cookie = first, seeded(3), signature
		if bound {
			h.Transport.Binding = func(string) []byte { return make([]byte, 32) }
		}
		a, o := r.Begin(h)
		if o.Kind == Challenge {
			if _, err := codec.AppendValue(nil, codec.JSON, o.Extra); err != nil {
				t.Fatalf("a challenge without an encoding: %v", err)
			}
			if second, err := ReadExtra(answerExtra); err == nil {
				if method == "wamp-scram" && second.Nonce == "" {
					second.Nonce = o.Extra["nonce"].(string) // reach what is behind
				}
				o = finish(a.Answer(noon, signature, &second))
			} else {
				o = finish(a.Answer(noon, signature, nil))
			}
		}
		if o.Kind != Refuse || o.Refusal.URI == "" {
			if method == "ticket" && authid == "alice" && signature == "right" {
				return
			}
			t.Fatalf("%q %q: %s", method, authid, describe(o))
		}
	})
}
