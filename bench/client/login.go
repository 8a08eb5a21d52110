package client

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"

	"banyan/codec"
)

// A Login says who joins, and proves it (PROTOCOL 10). The methods that it has a proof for are offered, the strongest
// first: cryptosign, wamp-scram, wampcra, ticket. Without any proof: those of the transport, tls and anonymous.
type Login struct {
	AuthID   string
	Key      ed25519.PrivateKey
	Password string // for wamp-scram and wampcra
	Ticket   string
}

// challengesMax is how many challenges a login answers before it gives up.
const challengesMax = 8

// methods are the authmethods of HELLO.
func (l *Login) methods() (all []any) {
	if l.Key != nil {
		all = append(all, "cryptosign")
	}
	if l.Password != "" {
		all = append(all, "wamp-scram", "wampcra")
	}
	if l.Ticket != "" {
		all = append(all, "ticket")
	}
	if all == nil {
		all = []any{"tls", "anonymous"}
	}
	return all
}

// hello adds what HELLO says about the login. nonce is the client's of SCRAM.
func (l *Login) hello(details map[string]any, nonce string) {
	if l == nil {
		return
	}
	if l.AuthID != "" {
		details["authid"] = l.AuthID
	}
	details["authmethods"] = l.methods()
	extra := map[string]any{}
	if l.Key != nil {
		extra["pubkey"] = hex.EncodeToString(l.Key.Public().(ed25519.PublicKey))
	}
	if l.Password != "" {
		extra["nonce"] = nonce
	}
	details["authextra"] = extra
}

// answer returns the signature and the extra for a challenge, and what WELCOME.Details.authextra.verifier has to be:
// "" if the method has none.
func (l *Login) answer(method, nonce string, challenge map[string]any) (signature string, extra map[string]any,
	verifier string, err error,
) {
	text := func(key string) string { s, _ := challenge[key].(string); return s }
	switch {
	case l == nil:
	case method == "ticket" && l.Ticket != "":
		return l.Ticket, map[string]any{}, "", nil
	case method == "cryptosign" && l.Key != nil:
		message, err := hex.DecodeString(text("challenge"))
		if err != nil {
			return "", nil, "", protocolErrorf("a challenge that is not hex")
		}
		return hex.EncodeToString(append(ed25519.Sign(l.Key, message), message...)), map[string]any{}, "", nil
	case method == "wampcra" && l.Password != "":
		key := []byte(l.Password)
		if salt := text("salt"); salt != "" {
			derived, err := pbkdf2.Key(sha256.New, l.Password, []byte(salt), number(challenge["iterations"], 1000),
				number(challenge["keylen"], 32))
			if err != nil {
				return "", nil, "", protocolErrorf("a salted challenge: %v", err)
			}
			key = base64.StdEncoding.AppendEncode(nil, derived)
		}
		return base64.StdEncoding.EncodeToString(sign(key, text("challenge"))), map[string]any{}, "", nil
	case method == "wamp-scram" && l.Password != "":
		return l.scram(nonce, challenge)
	}
	return "", nil, "", fmt.Errorf("the router wants a login by %s, for which nothing was given", method)
}

// scram answers a challenge of wamp-scram, without channel binding (PROTOCOL 10.4).
func (l *Login) scram(nonce string, challenge map[string]any) (proof string, extra map[string]any, verifier string,
	err error,
) {
	joint, _ := challenge["nonce"].(string)
	salted, _ := challenge["salt"].(string)
	salt, err := base64.StdEncoding.DecodeString(salted)
	iterations := number(challenge["iterations"], 0)
	if err != nil || !strings.HasPrefix(joint, nonce) || len(joint) == len(nonce) || iterations < 1 {
		return "", nil, "", protocolErrorf("a malformed challenge of wamp-scram")
	}
	password, err := stringprep.SASLprep.Prepare(l.Password)
	if err != nil {
		return "", nil, "", fmt.Errorf("the password: %w", err)
	}
	var key []byte
	switch challenge["kdf"] {
	case "pbkdf2":
		if key, err = pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size); err != nil {
			return "", nil, "", protocolErrorf("a challenge of wamp-scram: %v", err)
		}
	case "argon2id13":
		memory := number(challenge["memory"], 0)
		if memory < 1 || memory > argonKiBMax || iterations > argonIterationsMax {
			return "", nil, "", protocolErrorf("a challenge that wants %d KiB and %d iterations", memory, iterations)
		}
		key = argon2.IDKey([]byte(password), salt, uint32(iterations), uint32(memory), 1, sha256.Size)
	default:
		return "", nil, "", fmt.Errorf("the router derives keys by %v, which is not known", challenge["kdf"])
	}
	message := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(l.AuthID) + ",r=" + nonce +
		",r=" + joint + ",s=" + salted + ",i=" + strconv.Itoa(iterations) + ",c=biws,r=" + joint
	clientKey := sign(key, "Client Key")
	stored := sha256.Sum256(clientKey)
	signed := make([]byte, sha256.Size)
	subtle.XORBytes(signed, clientKey, sign(stored[:], message))
	server := sign(sign(key, "Server Key"), message)
	return base64.StdEncoding.EncodeToString(signed),
		map[string]any{"nonce": joint, "channel_binding": nil, "cbind_data": nil},
		"v=" + base64.StdEncoding.EncodeToString(server), nil
}

// What a router may make a client compute: 1 GiB, some seconds.
const (
	argonKiBMax        = 1 << 20
	argonIterationsMax = 100
)

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// number is an integer of a challenge, or otherwise.
func number(v any, otherwise int) int {
	switch n := v.(type) {
	case int64:
		return int(n)
	case uint64:
		return int(n)
	case float64:
		return int(n)
	}
	return otherwise
}

// authenticate answers the router's challenges until it says something else, which it returns.
func (c *Conn) authenticate(d *codec.Decoder, m *codec.Message, nonce string) (verifier string, err error) {
	for range challengesMax {
		if m.Type != codec.Challenge {
			return verifier, nil
		}
		challenge, err := dict(m)
		if err != nil {
			return "", err
		}
		signature, extra, want, err := c.login.answer(string(m.URI), nonce, challenge)
		if err != nil {
			return "", err
		}
		verifier = want
		raw, err := codec.AppendValue(nil, c.serializer, extra)
		if err != nil {
			return "", err
		}
		answer, err := codec.Append(nil, c.serializer, &codec.Message{
			Type: codec.Authenticate, Format: c.serializer, URI: []byte(signature), Dict: raw,
		})
		if err != nil {
			return "", err
		}
		c.Queue(answer)
		b, err := c.Receive()
		if err != nil {
			return "", err
		}
		if err := d.Decode(c.serializer, b, m); err != nil {
			return "", protocolErrorf("undecodable answer to AUTHENTICATE: %v", err)
		}
	}
	return "", errors.New("the router does not stop to challenge")
}

// verified reports whether the router has proved that it knows the user, if the method has such a proof.
func verified(welcome map[string]any, verifier string) error {
	if verifier == "" {
		return nil
	}
	extra, _ := welcome["authextra"].(map[string]any)
	if got, _ := extra["verifier"].(string); subtle.ConstantTimeCompare([]byte(got), []byte(verifier)) != 1 {
		return errors.New("the router does not know this user's password either: it may be another router")
	}
	return nil
}

// newNonce makes the client's nonce of SCRAM.
func newNonce() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}
