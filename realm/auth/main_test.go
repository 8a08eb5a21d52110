package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

const testRealm = "com.example.realm"

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func makeRealm(t testing.TB, c Config) *Realm {
	t.Helper()
	if c.Realm == "" {
		c.Realm = testRealm
	}
	r, err := NewRealm(&c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hello is a HELLO from a client far away, over TLS.
func hello(authid string, methods ...string) *Hello {
	return &Hello{
		AuthID: authid, Methods: methods, Session: 3251278072152162, Now: noon,
		Transport: Transport{Listener: "public", Peer: netip.MustParseAddr("203.0.113.7"), Encrypted: true},
	}
}

// seeded is a source of randomness that repeats.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// want fails unless o is of that kind.
func want(t testing.TB, o Outcome, k Kind) {
	t.Helper()
	if o.Kind != k {
		t.Fatalf("outcome %s, want kind %d", describe(o), k)
	}
}

func describe(o Outcome) string {
	switch o.Kind {
	case Challenge:
		return "Challenge " + o.Method
	case Ask:
		return "Ask"
	case Work:
		return "Work"
	case Welcome:
		return "Welcome " + o.Principal.AuthID + " as " + o.Principal.Role
	case Refuse:
		return "Refuse " + o.Refusal.URI + ": " + o.Refusal.Message
	}
	return "nothing"
}

func wantRefusal(t testing.TB, o Outcome, uri string) {
	t.Helper()
	want(t, o, Refuse)
	if o.Refusal.URI != uri {
		t.Fatalf("refused with %s (%s), want %s", o.Refusal.URI, o.Refusal.Message, uri)
	}
}

func wantDenied(t testing.TB, o Outcome) {
	t.Helper()
	wantRefusal(t, o, codec.ErrAuthenticationDenied)
}

func wantWelcome(t testing.TB, o Outcome, authid, role, method, provider string) *Principal {
	t.Helper()
	want(t, o, Welcome)
	p := o.Principal
	if p.AuthID != authid || p.Role != role || p.Method != method || p.Provider != provider {
		t.Fatalf("welcomed %+v, want %s, %s, %s, %s", p, authid, role, method, provider)
	}
	return p
}

// finish runs the work of o.
func finish(o Outcome) Outcome {
	for o.Kind == Work {
		o = o.Work()
	}
	return o
}

func mustTicket(t testing.TB, text string) StoredTicket {
	t.Helper()
	s, err := ParseTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain(t testing.TB, text string) StoredTicket {
	t.Helper()
	s, err := PlainTicket(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw encodes a dictionary as a client's message carries it.
func raw(t testing.TB, d map[string]any) []byte {
	t.Helper()
	b, err := codec.AppendValue(nil, codec.MessagePack, d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func extra(t testing.TB, d map[string]any) Extra {
	t.Helper()
	e, err := ReadExtra(raw(t, d))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The arithmetic of clients, written apart from the router's.

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signChallenge is what a cryptosign client answers.
func signChallenge(t testing.TB, seed, challenge string, channel []byte) string {
	t.Helper()
	message := unhex(t, challenge)
	for i := range channel {
		message[i] ^= channel[i]
	}
	key := ed25519.NewKeyFromSeed(unhex(t, seed))
	return hex.EncodeToString(append(ed25519.Sign(key, message), message...))
}

// scramProof is what a SCRAM client sends and the signature of the server that it expects.
func scramProof(salted []byte, authMessage string) (proof string, server []byte) {
	clientKey := hmacOf(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	signature := hmacOf(stored[:], authMessage)
	for i := range clientKey {
		clientKey[i] ^= signature[i]
	}
	return b64(clientKey), hmacOf(hmacOf(salted, "Server Key"), authMessage)
}

// contains reports whether a refusal says something, for tests of messages that help.
func contains(o Outcome, text string) bool {
	return o.Refusal != nil && strings.Contains(o.Refusal.Message, text)
}
