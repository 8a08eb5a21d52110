package peer

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/pbkdf2"
)

// A Login says as whom a session joins. The zero Login offers no method: the session is anonymous.
type Login struct {
	Method  string `json:"method"`
	AuthID  string `json:"authid"`
	Secret  string `json:"secret"`  // ticket or password; for cryptosign the private key in hex
	Binding string `json:"binding"` // channel binding, such as tls-exporter; empty: none
	Reroute bool   `json:"reroute"` // announce call_reroute; not with a Method
}

// An Identity is what WELCOME says about the session. A library may not tell Provider and Extra.
type Identity struct {
	AuthID   string         `json:"authid"`
	Role     string         `json:"authrole"`
	Method   string         `json:"authmethod"`
	Provider string         `json:"authprovider"`
	Extra    map[string]any `json:"authextra"`
}

// xor binds a challenge of cryptosign to a connection. The signature is of the result, which goes with it.
func xor(challenge string, binding []byte) (string, error) {
	data, err := hex.DecodeString(challenge)
	if err != nil || len(data) != len(binding) {
		return "", errors.New("the challenge and the channel binding have different lengths")
	}
	for i := range data {
		data[i] ^= binding[i]
	}
	return hex.EncodeToString(data), nil
}

func privateKey(seed string) (ed25519.PrivateKey, error) {
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		return nil, errors.New("the private key is no 32 bytes in hex")
	}
	return ed25519.NewKeyFromSeed(raw), nil
}

// A scram is the client's part of wamp-scram, as the specification has it: neither library has the method.
type scram struct {
	login           Login
	nonce, verifier string
}

func newScram(login Login) *scram {
	return &scram{login: login, nonce: rand.Text()}
}

func (s *scram) extra() map[string]any { return map[string]any{"nonce": s.nonce} }

// prove returns the signature and the extra of AUTHENTICATE.
func (s *scram) prove(challenge map[string]any) (string, map[string]any, error) {
	nonce, _ := challenge["nonce"].(string)
	saltText, _ := challenge["salt"].(string)
	salt, err := base64.StdEncoding.DecodeString(saltText)
	iterations := number(challenge["iterations"])
	if err != nil || !strings.HasPrefix(nonce, s.nonce) || nonce == s.nonce || iterations < 1 {
		return "", nil, fmt.Errorf("a malformed challenge: %v", challenge)
	}
	var salted []byte
	switch challenge["kdf"] {
	case "argon2id13":
		memory := uint32(number(challenge["memory"]))
		salted = argon2.IDKey([]byte(s.login.Secret), salt, uint32(iterations), memory, 1, 32)
	case "pbkdf2":
		salted = pbkdf2.Key([]byte(s.login.Secret), salt, iterations, 32, sha256.New)
	default:
		return "", nil, fmt.Errorf("unknown kdf %v", challenge["kdf"])
	}
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.login.AuthID)
	message := fmt.Sprintf("n=%s,r=%s,r=%s,s=%s,i=%d,c=biws,r=%s", name, s.nonce, nonce, saltText, iterations, nonce)
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	for i, octet := range mac(stored[:], message) {
		key[i] ^= octet
	}
	s.verifier = "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), message))
	extra := map[string]any{"nonce": nonce, "channel_binding": nil, "cbind_data": nil}
	return base64.StdEncoding.EncodeToString(key), extra, nil
}

// check fails unless the router knew the password, too.
func (s *scram) check(welcome map[string]any) error {
	if got := welcome["verifier"]; got != s.verifier {
		return fmt.Errorf("the router's verifier is %v, want %s", got, s.verifier)
	}
	return nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func number(value any) int {
	switch v := value.(type) {
	case int64:
		return int(v)
	case uint64:
		return int(v)
	case int:
		return v
	case float64:
		return int(v)
	case int8, int16, int32, uint8, uint16, uint32:
		n := 0
		_, _ = fmt.Sscan(fmt.Sprint(v), &n) // always a number
		return n
	}
	return 0
}
