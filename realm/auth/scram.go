package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/xdg-go/scram"
)

// Key derivation functions of SCRAM (PROTOCOL 10.4).
const (
	KDFArgon2id = "argon2id13" // Argon2id version 1.3, parallelism 1
	KDFPBKDF2   = "pbkdf2"     // PBKDF2-HMAC-SHA256
)

// A SCRAMCredential is what the router keeps of a password. It checks a proof, but does not make one.
type SCRAMCredential struct {
	KDF                  string // KDFArgon2id or KDFPBKDF2; Crossbar.io's argon2id-13 is the first
	Salt                 []byte
	Iterations           int
	Memory               int // KiB; Argon2id only
	StoredKey, ServerKey [32]byte
}

func (c *SCRAMCredential) check() error {
	switch {
	case len(c.Salt) == 0 || len(c.Salt) > saltBytesMax:
		return fmt.Errorf("scram: the salt has %d octets; it can have 1 to %d", len(c.Salt), saltBytesMax)
	case c.KDF == KDFPBKDF2 && (c.Iterations < 1 || c.Iterations > pbkdf2IterationsMax):
		return fmt.Errorf("scram: %d iterations of pbkdf2; it can be 1 to %d", c.Iterations, pbkdf2IterationsMax)
	case c.KDF == KDFPBKDF2 && c.Memory != 0:
		return errors.New("scram: pbkdf2 has no memory parameter")
	case c.KDF == KDFPBKDF2:
	case c.KDF != KDFArgon2id:
		return fmt.Errorf("scram: the kdf is %q; it can be %s or %s", c.KDF, KDFArgon2id, KDFPBKDF2)
	case c.Iterations < 1 || c.Iterations > argon2IterationsMax:
		return fmt.Errorf("scram: %d iterations of argon2id; it can be 1 to %d", c.Iterations, argon2IterationsMax)
	case c.Memory < argon2KiBMin || c.Memory > argon2KiBMax:
		return fmt.Errorf("scram: argon2id with %d KiB; it can be %d to %d", c.Memory, argon2KiBMin, argon2KiBMax)
	}
	if c.StoredKey == [32]byte{} || c.ServerKey == [32]byte{} {
		return errors.New("scram: stored_key or server_key is missing")
	}
	return nil
}

// wampscram is the method wamp-scram of the specification. The library xdg-go/scram holds the conversation: WAMP's
// fields are packed into the strings of RFC 5802 and back. The library never sees a KDF, so argon2id13 is the same.
type wampscram struct{}

func (wampscram) blocked(a *Attempt) obstacle {
	e, t := &a.hello.Extra, &a.hello.Transport
	switch {
	case a.hello.AuthID == "":
		return obstacle{why: "needs an authid"}
	case e.wrong&keyNonce != 0 || !validNonce(e.Nonce):
		return obstacle{why: "needs authextra.nonce, base64 of random octets, at most 256 characters"}
	case e.wrong&keyChannelBinding != 0:
		return obstacle{why: "authextra.channel_binding must be a text", final: true}
	case e.ChannelBinding == "" && a.realm.config.RequireChannelBinding:
		return obstacle{
			why:   "this realm requires a channel binding; name one in authextra.channel_binding",
			final: true,
		}
	case e.ChannelBinding != "" && len(scramBinding(t, e.ChannelBinding).Data) == 0:
		return obstacle{why: "the channel binding is not available on this connection", final: true}
	}
	return obstacle{}
}

// validNonce checks a client's nonce: printable ASCII without a comma (RFC 5802).
func validNonce(nonce string) bool {
	if nonce == "" || len(nonce) > nonceBytesMax {
		return false
	}
	return !strings.ContainsFunc(nonce, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

// scramBinding returns the binding of that kind; without data if the connection cannot provide it.
func scramBinding(t *Transport, kind string) scram.ChannelBinding {
	switch kind {
	case bindUnique, bindEndPoint, bindExporter:
		return scram.ChannelBinding{Type: scram.ChannelBindingType(kind), Data: t.binding(kind)}
	}
	return scram.ChannelBinding{}
}

func (wampscram) principal(a *Attempt) (u *User, known bool) {
	if a.claimed == nil || a.claimed.SCRAM == nil {
		return nil, false
	}
	return a.claimed, a.exists
}

func (wampscram) mock(r *Realm) *User { return r.mocks.one[methodSCRAM] }

func (m wampscram) start(a *Attempt) Outcome {
	var random [24]byte
	a.hello.draw(random[:])
	return m.converse(a, base64.StdEncoding.EncodeToString(random[:]))
}

// converse begins the conversation; own is the router's part of the nonce.
func (wampscram) converse(a *Attempt, own string) Outcome {
	e := &a.hello.Extra
	c := a.scramCredential(a.user.SCRAM)
	nonce := e.Nonce + own
	a.proof = proof{methodSCRAM, c.StoredKey}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(c.Salt), Iters: c.Iterations},
			StoredKey:  c.StoredKey[:], ServerKey: c.ServerKey[:],
		}, nil
	})
	if err != nil {
		return broken("wamp-scram: the conversation cannot start")
	}
	server.WithNonceGenerator(func() string { return own })
	flag := "n"
	var binding scram.ChannelBinding
	conversation := server.NewConversation()
	if e.ChannelBinding != "" {
		flag = "p=" + e.ChannelBinding
		binding = scramBinding(&a.hello.Transport, e.ChannelBinding)
		conversation = server.NewConversationWithChannelBindingRequired(binding)
	}
	if _, err := conversation.Step(flag + ",,n=" + escapeName(a.hello.AuthID) + ",r=" + e.Nonce); err != nil {
		return broken("wamp-scram: the conversation cannot start")
	}
	extra := map[string]any{
		"nonce": nonce, "salt": base64.StdEncoding.EncodeToString(c.Salt), "kdf": c.KDF, "iterations": c.Iterations,
		"memory": nil,
	}
	if c.KDF == KDFArgon2id {
		extra["memory"] = c.Memory
	}
	return a.challenge(extra, func(_ time.Time, signature string, e *Extra) Outcome {
		final, ok := scramFinal(e, signature, nonce, a.hello.Extra.ChannelBinding, flag)
		if !ok {
			return denyScram(methodSCRAM, "other-error")
		}
		verifier, err := conversation.Step(final)
		if err != nil || !conversation.Valid() || !a.known {
			reason, found := strings.CutPrefix(verifier, "e=")
			if !found {
				reason = "invalid-proof" // right, but of a mock
			}
			return denyScram(methodSCRAM, reason)
		}
		return a.judge(true, map[string]any{"verifier": verifier})
	})
}

// scramFinal packs an AUTHENTICATE into a client-final-message; ok is false if its fields do not fit the challenge.
func scramFinal(e *Extra, proof, nonce, bound, flag string) (final string, ok bool) {
	if e.wrong&(keyNonce|keyChannelBinding|keyCBindData) != 0 || e.Nonce != nonce || e.ChannelBinding != bound ||
		(e.CBindData != "") != (bound != "") || len(e.CBindData) > cbindBytesMax {
		return "", false
	}
	if b, isBase64 := readBase64(proof); !isBase64 || len(b) != 32 {
		return "", false
	}
	data, ok := readBase64(e.CBindData)
	if !ok {
		return "", false
	}
	cbind := base64.StdEncoding.EncodeToString(append([]byte(flag+",,"), data...))
	return "c=" + cbind + ",r=" + nonce + ",p=" + proof, true
}

// scramCredential returns c, for a mock with the salt of the claimed authid. It makes that salt for everybody.
func (a *Attempt) scramCredential(c *SCRAMCredential) SCRAMCredential {
	own := *c
	salt := a.salt("scram", len(c.Salt)) // one for both dialects
	if !a.known {
		own.Salt = salt
	}
	return own
}

func denyScram(method, reason string) Outcome {
	o := deny(method)
	o.Refusal.Scram = reason
	return o
}

// escapeName writes a name as RFC 5802 does.
func escapeName(name string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
}
