package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// crossbar is the method "scram" of Crossbar.io and Autobahn for Python, a prototype of the specification's. It is
// not what RFC 5802 says, so the library of wamp-scram does not fit:
//
//   - the challenge nonce is base64 of both nonces' octets, not the client's text followed by the router's;
//   - the authid is not escaped; c= is empty, not base64 of "n,,"; AUTHENTICATE.Extra is empty;
//   - WELCOME has scram_server_signature in base64 instead of the verifier;
//   - with Argon2id the salted password is the unpadded base64 text of the hash. A user's keys therefore differ from
//     those for wamp-scram: User.Crossbar beside User.SCRAM.
//
// The client refuses CHALLENGE keys that it does not know, and a memory that is null.
type crossbar struct{}

func (crossbar) blocked(a *Attempt) obstacle {
	e := &a.hello.Extra
	nonce, ok := readBase64(e.Nonce)
	switch {
	case a.hello.AuthID == "" || strings.Contains(a.hello.AuthID, ","):
		return obstacle{why: "needs an authid without a comma"}
	case e.wrong&keyNonce != 0 || !ok || len(nonce) == 0 || len(e.Nonce) > nonceBytesMax:
		return obstacle{why: "needs authextra.nonce, base64 of random octets, at most 256 characters"}
	}
	return obstacle{}
}

func (crossbar) principal(a *Attempt) (u *User, known bool) {
	if a.claimed == nil || a.claimed.Crossbar == nil {
		return nil, false
	}
	return a.claimed, a.exists
}

func (crossbar) mock(r *Realm) *User { return r.mocks.one[methodCrossbar] }

func (crossbar) start(a *Attempt) Outcome {
	c := a.scramCredential(a.user.Crossbar)
	a.proof = proof{methodCrossbar, c.StoredKey}
	both, _ := readBase64(a.hello.Extra.Nonce)
	var random [24]byte
	a.hello.draw(random[:])
	nonce := base64.StdEncoding.EncodeToString(append(both, random[:]...))
	salt := base64.StdEncoding.EncodeToString(c.Salt)
	extra := map[string]any{"nonce": nonce, "salt": salt, "kdf": c.KDF, "iterations": c.Iterations}
	if c.KDF == KDFArgon2id {
		extra["kdf"], extra["memory"] = "argon2id-13", c.Memory
	}
	message := fmt.Sprintf("n=%s,r=%s,r=%s,s=%s,i=%d,c=,r=%s",
		a.hello.AuthID, a.hello.Extra.Nonce, nonce, salt, c.Iterations, nonce)
	return a.challenge(extra, func(_ time.Time, signature string, _ *Extra) Outcome {
		proof, ok := readBase64(signature)
		if !ok || len(proof) != sha256.Size {
			return denyScram(methodCrossbar, "other-error")
		}
		signed := mac(c.StoredKey[:], message)
		var clientKey [sha256.Size]byte
		subtle.XORBytes(clientKey[:], proof, signed[:])
		stored := sha256.Sum256(clientKey[:])
		right := hmac.Equal(stored[:], c.StoredKey[:])
		server := mac(c.ServerKey[:], message)
		if !right || !a.known {
			return denyScram(methodCrossbar, "invalid-proof")
		}
		return a.judge(right, map[string]any{
			"scram_server_signature": base64.StdEncoding.EncodeToString(server[:]),
		})
	})
}
