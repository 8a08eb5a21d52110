package auth

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"time"
)

// CryptosignOptions let clients in by an Ed25519 key (PROTOCOL 10.5).
type CryptosignOptions struct {
	// RouterKey signs the challenges of clients that ask the router to authenticate itself. Nil leaves them without
	// an answer. It must be no user's key, because it signs 32 octets of a stranger's choice.
	RouterKey ed25519.PrivateKey
}

type cryptosign struct{ *CryptosignOptions }

func newCryptosign(o *CryptosignOptions) (cryptosign, error) {
	if n := len(o.RouterKey); n != 0 && n != ed25519.PrivateKeySize {
		return cryptosign{}, errors.New("cryptosign: the router key is no Ed25519 private key")
	}
	return cryptosign{o}, nil
}

// signedBytes is the length of AUTHENTICATE.Signature before hex: the signature and the message. A signature alone
// does not do.
const signedBytes = ed25519.SignatureSize + 32

func (m cryptosign) blocked(a *Attempt) obstacle {
	e, t := &a.hello.Extra, &a.hello.Transport
	key, err := ParseKey(e.PubKey)
	switch {
	case err != nil || e.wrong&keyPubKey != 0:
		return obstacle{why: "needs authextra.pubkey, 64 hex digits"}
	case m.isRouter(key):
		return obstacle{why: "the key is the router's own"}
	case e.wrong&keyChallenge != 0 || e.Challenge != "" && !readHex(make([]byte, 32), e.Challenge):
		return obstacle{why: "authextra.challenge must be 64 hex digits"}
	case e.wrong&keyChannelBinding != 0:
		return obstacle{why: "authextra.channel_binding must be a text", final: true}
	case a.realm.config.RequireChannelBinding && m.channel(t, e.ChannelBinding) == nil:
		return obstacle{
			why: "this realm requires a channel binding, tls-unique or tls-exporter, that the connection " +
				"can provide",
			final: true,
		}
	}
	return obstacle{}
}

// channel returns the 32 octets that stand for the TLS connection, nil if it has none of that kind.
func (cryptosign) channel(t *Transport, kind string) []byte {
	switch kind {
	case bindUnique:
		if b := t.binding(kind); len(b) > 0 {
			sum := sha256.Sum256(b)
			return sum[:]
		}
	case bindExporter:
		if b := t.binding(kind); len(b) == 32 {
			return b
		}
	}
	return nil
}

// principal returns the owner of the key, unless HELLO names somebody else.
func (cryptosign) principal(a *Attempt) (u *User, known bool) {
	key, _ := ParseKey(a.hello.Extra.PubKey)
	u = a.realm.keys[key]
	if u == nil || a.hello.AuthID != "" && a.hello.AuthID != u.AuthID {
		return nil, false
	}
	return u, true
}

func (cryptosign) mock(r *Realm) *User { return r.mocks.one[methodCryptosign] }

func (m cryptosign) start(a *Attempt) Outcome {
	var challenge, message [32]byte
	a.hello.draw(challenge[:])
	e := &a.hello.Extra
	extra := map[string]any{"challenge": hex.EncodeToString(challenge[:])}
	channel := m.channel(&a.hello.Transport, e.ChannelBinding)
	copy(message[:], challenge[:])
	if channel != nil {
		extra["channel_binding"] = e.ChannelBinding
		subtle.XORBytes(message[:], message[:], channel)
	}
	if len(m.RouterKey) > 0 && e.Challenge != "" {
		extra["pubkey"] = hexKey([32]byte(m.RouterKey[ed25519.SeedSize:]))
		var asked [32]byte
		readHex(asked[:], e.Challenge)
		if channel != nil {
			subtle.XORBytes(asked[:], asked[:], channel)
		}
		extra["signature"] = hex.EncodeToString(append(ed25519.Sign(m.RouterKey, asked[:]), asked[:]...))
	}
	key, _ := ParseKey(e.PubKey)
	a.proof = proof{methodCryptosign, key}
	return a.challenge(extra, func(_ time.Time, signature string, _ *Extra) Outcome {
		return a.judge(verifySigned(key, message, signature), nil)
	})
}

// verifySigned checks an AUTHENTICATE.Signature against the message that the router expects. The message that the
// client sent along proves nothing: it is only compared.
func verifySigned(key, message [32]byte, signature string) bool {
	var signed [signedBytes]byte
	if !readHex(signed[:], signature) {
		return false
	}
	same := subtle.ConstantTimeCompare(signed[ed25519.SignatureSize:], message[:]) == 1
	return ed25519.Verify(key[:], message[:], signed[:ed25519.SignatureSize]) && same
}
