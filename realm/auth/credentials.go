package auth

import (
	"crypto/ed25519"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"
)

// What the helpers below use unless they are told otherwise.
const (
	CRAIterations    = 600_000   // PBKDF2-HMAC-SHA256; the client does the work
	PBKDF2Iterations = 600_000   // of SCRAM
	Argon2Iterations = 3         // with
	Argon2KiB        = 64 * 1024 // 64 MiB
	saltBytes        = 16
	craKeyBytes      = 32
	ticketBytes      = 32 // random octets of NewTicket
)

func checkPassword(password string) error {
	if password == "" || len(password) > secretBytesMax {
		return fmt.Errorf("auth: a password has 1 to %d octets", secretBytesMax)
	}
	return nil
}

// NewCRA makes a salted credential for WAMP-CRA. It takes as long as the client's login will.
func NewCRA(password string, iterations int) (*CRACredential, error) {
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	c := &CRACredential{
		Salt: base64.StdEncoding.EncodeToString(randomBytes(saltBytes)), Iterations: iterations, KeyLen: craKeyBytes,
	}
	var err error
	if c.Key, err = DeriveCRA(password, c.Salt, c.Iterations, c.KeyLen); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return c, nil
}

// DeriveCRA returns the key of a salted WAMP-CRA credential (PROTOCOL 10.3): the base64 text is the key.
func DeriveCRA(password, salt string, iterations, keyLen int) (string, error) {
	if iterations < 1 || iterations > pbkdf2IterationsMax {
		return "", fmt.Errorf("auth: %d iterations; it can be 1 to %d", iterations, pbkdf2IterationsMax)
	}
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), iterations, keyLen)
	if err != nil {
		return "", fmt.Errorf("auth: wampcra: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

// NewSCRAM makes a credential for wamp-scram. memory is in KiB and only for KDFArgon2id; 0 for KDFPBKDF2.
func NewSCRAM(password, kdf string, iterations, memory int) (*SCRAMCredential, error) {
	return newSCRAM(password, kdf, randomBytes(saltBytes), iterations, memory, false)
}

// NewCrossbarSCRAM makes a credential for the method scram of Crossbar.io.
func NewCrossbarSCRAM(password, kdf string, iterations, memory int) (*SCRAMCredential, error) {
	return newSCRAM(password, kdf, randomBytes(saltBytes), iterations, memory, true)
}

func newSCRAM(password, kdf string, salt []byte, iterations, memory int, crossbar bool) (*SCRAMCredential, error) {
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	c := &SCRAMCredential{
		KDF: kdf, Salt: salt, Iterations: iterations, Memory: memory,
		StoredKey: [32]byte{1}, ServerKey: [32]byte{1}, // for the check; made below
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	salted, err := saltPassword(password, c, crossbar)
	if err != nil {
		return nil, err
	}
	clientKey := mac(salted, "Client Key")
	c.StoredKey = sha256.Sum256(clientKey[:])
	c.ServerKey = mac(salted, "Server Key")
	return c, nil
}

// saltPassword returns SaltedPassword (PROTOCOL 10.4).
func saltPassword(password string, c *SCRAMCredential, crossbar bool) ([]byte, error) {
	if !crossbar { // Autobahn for Python prepares the authid only
		prepared, err := stringprep.SASLprep.Prepare(password)
		if err != nil { // the error may quote the password
			return nil, errors.New("auth: SASLprep (RFC 4013) refuses the password: it has characters, such as " +
				"emoji, or directions of writing that SCRAM cannot carry")
		}
		if prepared == "" {
			return nil, errors.New("auth: nothing is left of the password after SASLprep (RFC 4013)")
		}
		password = prepared
	}
	if c.KDF == KDFPBKDF2 {
		key, err := pbkdf2.Key(sha256.New, password, c.Salt, c.Iterations, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("auth: scram: %w", err)
		}
		return key, nil
	}
	hash := argon2.IDKey([]byte(password), c.Salt, uint32(c.Iterations), uint32(c.Memory), 1, sha256.Size)
	if crossbar {
		return []byte(base64.RawStdEncoding.EncodeToString(hash)), nil
	}
	return hash, nil
}

// NewKey makes a key pair for cryptosign: the private key as the hex form of its 32 octet seed, as clients read it,
// and the public key.
func NewKey() (private string, public [32]byte) {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // does not fail
	return hex.EncodeToString(key.Seed()), [32]byte(key[ed25519.SeedSize:])
}

// ParsePrivateKey reads what NewKey writes, such as for CryptosignOptions.RouterKey.
func ParsePrivateKey(text string) (ed25519.PrivateKey, error) {
	var seed [ed25519.SeedSize]byte
	if !readHex(seed[:], text) {
		return nil, errors.New("auth: a private key is 64 hex digits, the seed of an Ed25519 key")
	}
	return ed25519.NewKeyFromSeed(seed[:]), nil
}

// NewTicket makes a ticket of 256 random bits, 43 characters that need no escape in a shell or a URL.
func NewTicket() string { return base64.RawURLEncoding.EncodeToString(randomBytes(ticketBytes)) }

// HashPassword returns what ParseTicket reads, for a ticket that a person chose. Each attempt with such a ticket
// costs the router one Argon2id with these parameters.
func HashPassword(password string, iterations, memoryKiB int) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	if iterations < 1 || iterations > argon2IterationsMax || memoryKiB < argon2KiBMin || memoryKiB > argon2KiBMax {
		return "", fmt.Errorf("auth: argon2id takes 1 to %d iterations and %d to %d KiB",
			argon2IterationsMax, argon2KiBMin, argon2KiBMax)
	}
	p := argon2Params{
		salt: randomBytes(saltBytes), iterations: uint32(iterations), kib: uint32(memoryKiB), threads: 1,
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.kib, p.iterations, p.threads,
		encode(p.salt), encode(p.hash(password))), nil
}
