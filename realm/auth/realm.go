package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Method names (PROTOCOL 10.1).
const (
	methodAnonymous  = "anonymous"
	methodTicket     = "ticket"
	methodCRA        = "wampcra"
	methodSCRAM      = "wamp-scram"
	methodCrossbar   = "scram"
	methodCryptosign = "cryptosign"
	methodTLS        = "tls"
	methodCookie     = "cookie"
)

// What WELCOME.Details.authprovider says.
const (
	providerStatic  = "static"
	providerJWT     = "jwt"
	providerDynamic = "dynamic"
)

// An AuthIDPolicy says what happens when an authid joins that a session of the realm has already. The caller applies
// it.
type AuthIDPolicy uint8

// The policies.
const (
	AllowDuplicates   AuthIDPolicy = iota // any number of sessions
	RefuseDuplicates                      // the later one is refused
	ReplaceDuplicates                     // the older one is closed
)

// A Config is what a Realm is made of. A method whose field is nil or false is off.
type Config struct {
	Realm string // its URI

	Anonymous     *AnonymousOptions
	Ticket        *TicketOptions
	WAMPCRA       bool
	WAMPSCRAM     bool
	CrossbarSCRAM bool // the method "scram", not the specification's; see crossbar.go
	Cryptosign    *CryptosignOptions
	TLS           bool
	Cookie        *CookieOptions
	Dynamic       *DynamicOptions

	Users []User

	// RequireChannelBinding refuses clients of cryptosign, wamp-scram and scram that are not bound to their TLS
	// connection: those that do not ask for it, and those whose connection cannot provide what they ask for.
	// Crossbar.io's dialect knows no binding, so it cannot be on together with this.
	RequireChannelBinding bool
	// RevealUnknownPrincipal answers no_such_principal at once instead of a mock challenge.
	RevealUnknownPrincipal bool
	AuthIDPolicy           AuthIDPolicy
	// MockKey makes the salts of mock challenges; at least 32 random octets. Nil is one of the process: then the
	// salts of unknown authids change with a restart and differ between nodes, and those of users do not, so who
	// compares can tell them apart. Give one that lasts.
	MockKey []byte
}

// A Realm decides who joins one realm. It is immutable; any goroutine may use it.
type Realm struct {
	config  Config
	methods map[string]method
	dynamic map[string]bool // methods that ask the dynamic authenticator
	names   []string        // of methods, in the order of the table in PROTOCOL 10.1
	users   map[string]*User
	keys    map[[32]byte]*User
	certs   map[[32]byte]*User
	mocks   mocks
}

// NewRealm makes a Realm. Its error joins all problems of c, each naming the user or the method it is about.
func NewRealm(c *Config) (*Realm, error) {
	r := &Realm{config: *c, methods: map[string]method{}, dynamic: map[string]bool{}}
	r.config.Users = nil
	var problems []error
	report := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	report(checkName("realm", c.Realm, realmBytesMax))
	offer := func(name string, m method) {
		r.methods[name] = m
		r.names = append(r.names, name)
	}
	if c.Anonymous != nil {
		report(c.Anonymous.check(c.Dynamic))
		offer(methodAnonymous, anonymous{c.Anonymous})
	}
	if c.Ticket != nil {
		t, err := newTicket(c.Ticket)
		report(err)
		offer(methodTicket, t)
	}
	if c.WAMPCRA {
		offer(methodCRA, wampcra{})
	}
	if c.WAMPSCRAM {
		offer(methodSCRAM, wampscram{})
	}
	if c.CrossbarSCRAM {
		if c.RequireChannelBinding {
			report(errors.New(
				"scram, the dialect of Crossbar.io, knows no channel binding; turn it off or do not require one"))
		}
		offer(methodCrossbar, crossbar{})
	}
	if c.Cryptosign != nil {
		m, err := newCryptosign(c.Cryptosign)
		report(err)
		offer(methodCryptosign, m)
	}
	if c.TLS {
		offer(methodTLS, clientCertificate{})
	}
	if c.Cookie != nil {
		report(c.Cookie.check())
		offer(methodCookie, cookie{c.Cookie})
	}
	if c.Dynamic != nil {
		report(c.Dynamic.check(r))
	}
	if len(c.MockKey) > 0 && len(c.MockKey) < mockKeyBytesMin {
		report(fmt.Errorf("the mock key has %d octets; it needs %d random ones", len(c.MockKey), mockKeyBytesMin))
	}
	if c.AuthIDPolicy > ReplaceDuplicates {
		report(fmt.Errorf("unknown authid policy %d", c.AuthIDPolicy))
	}
	if err := r.index(c.Users); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("auth: realm %q: %w", c.Realm, errors.Join(problems...))
	}
	r.mocks = newMocks(c.MockKey, c.Users)
	return r, nil
}

// index makes the tables of users. Credentials for a method that the realm does not offer are no error: realms may
// share a list of users.
func (r *Realm) index(users []User) error {
	var problems []error
	own := slices.Clone(users)
	r.users = make(map[string]*User, len(own))
	r.keys, r.certs = map[[32]byte]*User{}, map[[32]byte]*User{}
	for i := range own {
		u := &own[i]
		if u.AuthID == "" && len(u.Keys) == 1 {
			u.AuthID = hexKey(u.Keys[0])
		}
		report := func(err error) {
			problems = append(problems, fmt.Errorf("user %s: %w", strconv.Quote(u.AuthID), err))
		}
		if err := u.check(); err != nil {
			report(err)
		}
		if r.users[u.AuthID] != nil {
			report(errors.New("stands twice"))
		}
		r.users[u.AuthID] = u
		for _, k := range u.Keys {
			if other := r.keys[k]; other != nil {
				report(fmt.Errorf("key %s is already that of %q; a key belongs to one user", hexKey(k), other.AuthID))
			}
			if r.config.Cryptosign.isRouter(k) {
				report(fmt.Errorf("key %s is the router's own; a user needs a key of its own", hexKey(k)))
			}
			r.keys[k] = u
		}
		for _, sum := range u.Certificates {
			if other := r.certs[sum]; other != nil {
				report(fmt.Errorf("certificate %x is already that of %q", sum, other.AuthID))
			}
			r.certs[sum] = u
		}
		for _, name := range u.methods() {
			if r.dynamic[name] {
				report(fmt.Errorf("has credentials for %s, which asks the dynamic authenticator", name))
			}
		}
	}
	return errors.Join(problems...)
}

// AuthIDPolicy returns what the realm does about a second session with the same authid.
func (r *Realm) AuthIDPolicy() AuthIDPolicy { return r.config.AuthIDPolicy }

// Guarded returns the name under which a Limiter counts failures to log in to a realm: its URI, except where realms
// of a template have their users in common. A guess in one of them is one in all.
func (r *Realm) Guarded(uri string) string {
	if len(r.users) == 0 || uri == r.config.Realm {
		return uri
	}
	return "template " + r.config.Realm // no URI has a space
}

// Methods returns the names of the methods that the realm offers.
func (r *Realm) Methods() []string { return slices.Clone(r.names) }

// Admits reports whether a session that joined as p by an older snapshot of this realm could still be that: its
// method is offered, a static user still exists with the same role and the credential that was proved, and an
// authority still vouches for the TLS certificate that was.
func (r *Realm) Admits(p *Principal) bool {
	if r.methods[p.Method] == nil || p.vouched != nil && !p.vouched() {
		return false
	}
	dynamic := r.dynamic[p.Method] || p.Method == methodCookie && r.config.Dynamic != nil
	switch {
	case p.Provider == providerDynamic:
		return dynamic
	case p.Provider == providerJWT:
		return r.takesJWT(methodTicket)
	case p.Method == methodAnonymous:
		return !dynamic && r.config.Anonymous.Role == p.Role
	}
	u := r.users[p.AuthID]
	return u != nil && u.Role == p.Role && u.has(p.proof) && !r.dynamic[p.Method]
}

// AdmitsOver reports whether a client could still come over that connection with the method of p: the listener lets
// the method in, and anonymous clients come from where they may.
func (r *Realm) AdmitsOver(p *Principal, t *Transport) bool {
	if t.Allowed != nil && !slices.Contains(t.Allowed, p.Method) {
		return false
	}
	if p.Method != methodAnonymous || r.config.Anonymous == nil {
		return true
	}
	return r.config.Anonymous.source(t).holds(t)
}

func hexKey(k [32]byte) string { return fmt.Sprintf("%x", k[:]) }

// isRouter reports whether k is the public key of the router itself.
func (o *CryptosignOptions) isRouter(k [32]byte) bool {
	if o == nil || len(o.RouterKey) != ed25519.PrivateKeySize {
		return false
	}
	return [32]byte(o.RouterKey[ed25519.SeedSize:]) == k
}
