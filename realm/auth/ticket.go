package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// TicketOptions let clients in by a text that is a secret, or by a JWT in its place.
type TicketOptions struct {
	// AllowPlain accepts tickets that cross the network unencrypted. Without it the method needs TLS, loopback or a
	// Unix socket (PROTOCOL 10.2).
	AllowPlain bool
	JWT        *JWTOptions
}

// A StoredTicket is what the router keeps of a ticket: never the ticket itself.
type StoredTicket struct {
	digest []byte        // SHA-256 of the ticket, or what Argon2id makes of it; 32 octets
	argon  *argon2Params // nil for SHA-256
}

// argon2Params are the parameters of an Argon2id hash.
type argon2Params struct {
	salt            []byte
	iterations, kib uint32
	threads         uint8
}

// PlainTicket takes a ticket as it is, such as from a secret file. It keeps only the SHA-256.
func PlainTicket(ticket string) (StoredTicket, error) {
	if len(ticket) < ticketBytesMin || len(ticket) > signatureBytesMax {
		return StoredTicket{}, fmt.Errorf("auth: a ticket has 1 to %d octets", signatureBytesMax)
	}
	sum := sha256.Sum256([]byte(ticket))
	return StoredTicket{digest: sum[:]}, nil
}

// ParseTicket reads what HashTicket and HashPassword write: "sha256:" and 64 hex digits, which suits a ticket of 128
// random bits or more, or "$argon2id$v=19$m=65536,t=3,p=1$salt$hash", which suits a password.
func ParseTicket(text string) (StoredTicket, error) {
	if digits, ok := strings.CutPrefix(text, "sha256:"); ok {
		t := StoredTicket{digest: make([]byte, sha256.Size)}
		if !readHex(t.digest, digits) {
			return StoredTicket{}, errors.New("auth: a ticket hash is sha256: and 64 hex digits")
		}
		return t, nil
	}
	if t, ok := parseArgon2(text); ok {
		return t, nil
	}
	return StoredTicket{}, errors.New(
		"auth: a ticket hash is sha256:<64 hex digits>, or " +
			"$argon2id$v=19$m=<KiB>,t=<iterations>,p=<threads>$<salt>$<hash> " +
			"with a hash of 32 octets, at most 1 GiB, 100 iterations and 16 threads")
}

func parseArgon2(text string) (t StoredTicket, ok bool) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return t, false
	}
	var p argon2Params
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return t, false
	}
	for i, field := range []struct {
		name     string
		min, max int
		set      func(int)
	}{
		{"m=", argon2KiBMin, argon2KiBMax, func(n int) { p.kib = uint32(n) }},
		{"t=", 1, argon2IterationsMax, func(n int) { p.iterations = uint32(n) }},
		{"p=", 1, argon2ThreadsMax, func(n int) { p.threads = uint8(n) }},
	} {
		digits, found := strings.CutPrefix(numbers[i], field.name)
		n, err := strconv.Atoi(digits)
		if !found || err != nil || n < field.min || n > field.max {
			return t, false
		}
		field.set(n)
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	hash, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > saltBytesMax || len(hash) != sha256.Size {
		return t, false
	}
	p.salt = salt
	return StoredTicket{digest: hash, argon: &p}, true
}

// cost describes how expensive a check is, and nothing secret.
func (t *StoredTicket) cost() string {
	if t.argon == nil {
		return "sha256"
	}
	return fmt.Sprintf("argon2id %d %d %d %d", t.argon.iterations, t.argon.kib, t.argon.threads, len(t.argon.salt))
}

// holds returns 1 if ticket is the stored one, 0 if not. Its time does not depend on which of the two.
func (t *StoredTicket) holds(ticket string) int {
	if t.argon == nil {
		sum := sha256.Sum256([]byte(ticket))
		return subtle.ConstantTimeCompare(sum[:], t.digest)
	}
	return subtle.ConstantTimeCompare(t.argon.hash(ticket), t.digest)
}

func (p *argon2Params) hash(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.iterations, p.kib, p.threads, sha256.Size)
}

type ticket struct {
	*TicketOptions
	jwt *jwtVerifier // nil without JWT
}

func newTicket(o *TicketOptions) (ticket, error) {
	m := ticket{TicketOptions: o}
	if o.JWT == nil {
		return m, nil
	}
	v, err := newJWT(o.JWT)
	if err != nil {
		return m, fmt.Errorf("ticket: %w", err)
	}
	m.jwt = v
	return m, nil
}

func (m ticket) blocked(a *Attempt) obstacle {
	switch {
	case !m.AllowPlain && !a.hello.Transport.secret():
		return obstacle{why: "needs TLS, loopback or a Unix socket, because the ticket is sent as it is"}
	case a.hello.AuthID == "" && m.jwt == nil && !a.realm.dynamic[methodTicket]:
		return obstacle{why: "needs an authid"}
	}
	return obstacle{}
}

func (m ticket) principal(a *Attempt) (u *User, known bool) {
	if a.claimed != nil && len(a.claimed.Tickets) > 0 {
		return a.claimed, a.exists
	}
	if m.jwt != nil {
		return m.mock(a.realm), false // a JWT names its principal; any other ticket is wrong
	}
	return nil, false
}

func (ticket) mock(r *Realm) *User { return r.mocks.one[methodTicket] }

func (m ticket) start(a *Attempt) Outcome { return a.challenge(map[string]any{}, m.answer(a)) }

func (m ticket) answer(a *Attempt) answerFunc {
	return func(now time.Time, signature string, _ *Extra) Outcome {
		if m.jwt != nil && looksLikeJWT(signature) {
			return Outcome{Kind: Work, Work: func() Outcome { return m.jwt.verify(a, now, signature) }}
		}
		check := func() Outcome {
			right, which := 0, 0
			for i := range a.user.Tickets { // all of them, so that the time does not tell which one was right
				holds := a.user.Tickets[i].holds(signature)
				right |= holds
				which = subtle.ConstantTimeSelect(holds, i, which)
			}
			if right == 1 {
				a.proof = a.user.Tickets[which].proof()
			}
			return a.judge(right == 1, nil)
		}
		for i := range a.user.Tickets {
			if a.user.Tickets[i].argon != nil {
				return Outcome{Kind: Work, Work: check}
			}
		}
		return check()
	}
}

// HashTicket returns what ParseTicket reads, for a ticket of high entropy such as NewTicket makes.
func HashTicket(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "sha256:" + hex.EncodeToString(sum[:])
}
