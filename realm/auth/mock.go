package auth

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// mocks imitate users for authids that have none. A mock has the credentials of a real user with all secrets replaced
// by random bytes, so the methods it has, the parameters and the cost of a check are those of real users. Which user
// it imitates, and its salts, depend on the authid and the key only.
//
// The tables are immutable. Real users pass through the same code: find and salt compute the mock's values for every
// authid and then take the real ones.
type mocks struct {
	key    []byte
	shapes []shape // sorted by text, so that a reload changes as few mocks as possible
	total  uint64  // of the weights
	// one is the most common user with credentials for a method, for principals that have none for it.
	one map[string]*User
}

// A shape is what a stranger could see of users that are alike.
type shape struct {
	text   string
	weight uint64 // real users of this shape
	user   *User  // the mock
}

var processKey = sync.OnceValue(func() []byte {
	b := make([]byte, mockKeyBytesMin)
	rand.Read(b)
	return b
})

func newMocks(key []byte, users []User) mocks {
	if len(key) == 0 {
		key = processKey()
	}
	m := mocks{key: slices.Clone(key), one: map[string]*User{}}
	examples := map[string]*User{}
	count := map[string]uint64{}
	for i := range users {
		text := users[i].shape()
		if examples[text] == nil {
			examples[text] = &users[i]
		}
		count[text]++
	}
	for text, u := range examples {
		m.shapes = append(m.shapes, shape{text, count[text], m.imitate(u)})
	}
	slices.SortFunc(m.shapes, func(a, b shape) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.text, b.text))
	})
	if len(m.shapes) > shapesMax {
		m.shapes = m.shapes[:shapesMax]
	}
	example := m.imitate(&exampleUser)
	for _, name := range []string{methodTicket, methodCRA, methodSCRAM, methodCrossbar} {
		m.one[name] = example
		for _, s := range m.shapes {
			if slices.Contains(s.user.methods(), name) {
				m.one[name] = s.user
				break
			}
		}
	}
	m.one[methodCryptosign] = &User{} // its challenge has no parameters
	if len(m.shapes) == 0 {
		m.shapes = []shape{{weight: 1, user: example}}
	}
	slices.SortFunc(m.shapes, func(a, b shape) int { return strings.Compare(a.text, b.text) })
	for _, s := range m.shapes {
		m.total += s.weight
	}
	return m
}

// exampleUser is what mocks imitate when no user has credentials for a method: what the helpers of credentials.go
// make by default.
var exampleUser = User{
	Role:    "user",
	Tickets: []StoredTicket{{digest: make([]byte, sha256.Size)}},
	CRA: &CRACredential{
		Key:  base64.StdEncoding.EncodeToString(make([]byte, craKeyBytes)),
		Salt: base64.StdEncoding.EncodeToString(make([]byte, saltBytes)), Iterations: CRAIterations,
		KeyLen: craKeyBytes,
	},
	SCRAM: &SCRAMCredential{
		KDF: KDFArgon2id, Salt: make([]byte, saltBytes), Iterations: Argon2Iterations, Memory: Argon2KiB,
	},
	Crossbar: &SCRAMCredential{
		KDF: KDFArgon2id, Salt: make([]byte, saltBytes), Iterations: Argon2Iterations, Memory: Argon2KiB,
	},
}

// shape describes what a stranger could tell u from other users by: methods, parameters, the cost of a check.
func (u *User) shape() string {
	var b strings.Builder
	for i := range u.Tickets {
		b.WriteString("ticket " + u.Tickets[i].cost() + "\n")
	}
	if c := u.CRA; c != nil {
		fmt.Fprintf(&b, "cra %q %d %d %d %d\n", u.Role, saltForm(c.Salt), len(c.Salt), c.Iterations, c.KeyLen)
	}
	for _, c := range []*SCRAMCredential{u.SCRAM, u.Crossbar} {
		if c != nil {
			fmt.Fprintf(&b, "scram %s %d %d %d\n", c.KDF, len(c.Salt), c.Iterations, c.Memory)
		}
		b.WriteString("-\n")
	}
	return b.String()
}

// imitate returns u with random secrets and without keys, certificates and extra.
func (m *mocks) imitate(u *User) *User {
	mock := &User{AuthID: "", Role: u.Role}
	for i := range u.Tickets {
		t := u.Tickets[i]
		t.digest = randomBytes(len(t.digest))
		if t.argon != nil {
			argon := *t.argon
			argon.salt = randomBytes(len(argon.salt))
			t.argon = &argon
		}
		mock.Tickets = append(mock.Tickets, t)
	}
	if u.CRA != nil {
		c := *u.CRA
		c.Key = base64.StdEncoding.EncodeToString(randomBytes(craKeyBytes))
		mock.CRA = &c
	}
	random := func(c *SCRAMCredential) *SCRAMCredential {
		if c == nil {
			return nil
		}
		r := *c
		rand.Read(r.StoredKey[:])
		rand.Read(r.ServerKey[:])
		return &r
	}
	mock.SCRAM, mock.Crossbar = random(u.SCRAM), random(u.Crossbar)
	return mock
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// find returns the user that a claims to be, or the mock of its authid.
func (r *Realm) find(a *Attempt) (u *User, exists bool) {
	a.seed = mac(r.mocks.key, a.hello.AuthID)
	u = r.mocks.pick(binary.LittleEndian.Uint64(a.seed[:]))
	if own := r.users[a.hello.AuthID]; own != nil {
		return own, true
	}
	return u, false
}

// pick returns the mock for a random number. It looks at every shape, whatever the number is.
func (m *mocks) pick(random uint64) *User {
	at := random % m.total
	picked := m.shapes[0].user
	for _, s := range m.shapes {
		if at < s.weight {
			picked, at = s.user, m.total
		} else if at < m.total {
			at -= s.weight
		}
	}
	return picked
}

// salt returns n octets for the mock challenge of a method; always the same for one authid.
func (a *Attempt) salt(method string, n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	for block := 0; len(out) < n; block++ {
		sum := mac(a.seed[:], fmt.Sprintf("%s %d", method, block))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// Forms of a salt that is a text.
const (
	formText = iota
	formHex
	formBase64
)

// saltForm tells in which alphabet a salt that is a text is written.
func saltForm(salt string) int {
	if _, err := hex.DecodeString(salt); err == nil {
		return formHex
	}
	if _, ok := readBase64(salt); ok {
		return formBase64
	}
	return formText
}

// saltText returns a salt as long as like and in its alphabet, for the mock challenge of a method.
func (a *Attempt) saltText(method, like string) string {
	random := a.salt(method, len(like)+1)
	switch saltForm(like) {
	case formHex:
		return hex.EncodeToString(random)[:len(like)]
	case formBase64:
		b, _ := readBase64(like)
		return base64.StdEncoding.EncodeToString(random[:len(b)])
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	for i := range random {
		random[i] = alphabet[int(random[i])%len(alphabet)]
	}
	return string(random[:len(like)])
}

func mac(key []byte, text string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Sum(sum[:0])
	return sum
}
