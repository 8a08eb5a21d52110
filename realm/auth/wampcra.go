package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A CRACredential is what a user proves by WAMP-CRA (PROTOCOL 10.3). The key is a secret as good as the password:
// keep it where others cannot read it.
type CRACredential struct {
	// Key is the shared secret, or, if salted, the base64 text that PBKDF2 makes of it: see NewCRA.
	Key string
	// Salt is told to the client, which derives Key from its secret; "" for a secret that is not salted. Its UTF-8
	// octets are the salt of PBKDF2, it is not decoded.
	Salt       string
	Iterations int
	KeyLen     int // octets before base64; 16 to 64
}

func (c *CRACredential) check() error {
	switch {
	case c.Key == "" || len(c.Key) > secretBytesMax:
		return fmt.Errorf("wampcra: the key has %d octets; it can have 1 to %d", len(c.Key), secretBytesMax)
	case c.Salt == "" && (c.Iterations != 0 || c.KeyLen != 0):
		return errors.New("wampcra: iterations and keylen without a salt")
	case c.Salt == "":
		return nil
	case len(c.Salt) > saltBytesMax:
		return fmt.Errorf("wampcra: the salt is longer than %d octets", saltBytesMax)
	case c.Iterations < 1 || c.Iterations > pbkdf2IterationsMax:
		return fmt.Errorf("wampcra: %d iterations; it can be 1 to %d", c.Iterations, pbkdf2IterationsMax)
	case c.KeyLen < 16 || c.KeyLen > 64:
		return fmt.Errorf("wampcra: keylen is %d; it can be 16 to 64", c.KeyLen)
	}
	if b, ok := readBase64(c.Key); !ok || len(b) != c.KeyLen {
		return fmt.Errorf("wampcra: with a salt the key is the base64 text of %d derived octets, not the password",
			c.KeyLen)
	}
	return nil
}

type wampcra struct{}

func (wampcra) blocked(a *Attempt) obstacle {
	if a.hello.AuthID == "" {
		return obstacle{why: "needs an authid"}
	}
	return obstacle{}
}

func (wampcra) principal(a *Attempt) (u *User, known bool) {
	if a.claimed == nil || a.claimed.CRA == nil {
		return nil, false
	}
	return a.claimed, a.exists
}

func (wampcra) mock(r *Realm) *User { return r.mocks.one[methodCRA] }

// A craChallenge is the object that CHALLENGE.Extra.challenge holds as text.
type craChallenge struct {
	AuthID       string `json:"authid"`
	AuthRole     string `json:"authrole"`
	AuthMethod   string `json:"authmethod"`
	AuthProvider string `json:"authprovider"`
	Nonce        string `json:"nonce"`
	Timestamp    string `json:"timestamp"`
	Session      uint64 `json:"session"`
}

func (wampcra) start(a *Attempt) Outcome {
	var nonce [24]byte
	a.hello.draw(nonce[:])
	authid := a.hello.AuthID
	if a.known {
		authid = a.user.AuthID // a dynamic authenticator may assign another
	}
	text, err := json.Marshal(&craChallenge{
		AuthID: authid, AuthRole: a.user.Role, AuthMethod: methodCRA, AuthProvider: a.provider,
		Nonce:     base64.StdEncoding.EncodeToString(nonce[:]),
		Timestamp: a.hello.Now.UTC().Format("2006-01-02T15:04:05.000Z"), Session: a.hello.Session,
	})
	if err != nil {
		return broken("wampcra: the challenge cannot be written")
	}
	extra := map[string]any{"challenge": string(text)}
	c := a.user.CRA
	salt := a.saltText(methodCRA, c.Salt) // of known users too: the same work
	if a.known {
		salt = c.Salt
	}
	if c.Salt != "" {
		extra["salt"], extra["iterations"], extra["keylen"] = salt, c.Iterations, c.KeyLen
	}
	a.proof = c.proof()
	return a.challenge(extra, func(_ time.Time, signature string, _ *Extra) Outcome {
		right := signCRA(c.Key, string(text))
		return a.judge(subtle.ConstantTimeCompare([]byte(right), []byte(signature)) == 1, nil)
	})
}

// signCRA returns the signature of a challenge.
func signCRA(key, challenge string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(challenge))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
