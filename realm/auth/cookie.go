package auth

import (
	"cmp"
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// CookieOptions let clients in again that have logged in before by another method (PROTOCOL 10.7). The cookie is
// HttpOnly and SameSite=Strict, and Secure on TLS; the caller sets it with the WebSocket handshake and checks Origin.
type CookieOptions struct {
	Store CookieStore
	// AllowPlain accepts cookies that cross the network unencrypted, as TicketOptions.AllowPlain does tickets.
	AllowPlain bool
}

func (o *CookieOptions) check() error {
	if o.Store == nil {
		return errors.New("cookie: there is no store")
	}
	return nil
}

// A CookieStore remembers which principal a cookie stands for in a realm. Any goroutine may call it. It must not
// block.
type CookieStore interface {
	// Bind makes id stand for p in p.Realm, in place of whom it stood for before. An id that the store did not issue
	// is ignored: a stranger could have planted it in a victim's browser.
	Bind(id string, p *Principal, now time.Time)
	// Lookup returns the principal that id stands for, nil if there is none or it has expired.
	Lookup(id, realm string, now time.Time) *Principal
	// Unbind is logout: id stands for nobody in that realm any more.
	Unbind(id, realm string)
}

type cookie struct{ *CookieOptions }

func (m cookie) blocked(a *Attempt) obstacle {
	switch {
	case a.hello.Transport.Cookie == "":
		return obstacle{why: "needs a cookie, which a login by another method binds"}
	case !m.AllowPlain && !a.hello.Transport.secret():
		return obstacle{why: "needs TLS, loopback or a Unix socket"}
	}
	return obstacle{}
}

// principal returns who the cookie stands for. A static user must still exist, with the credential of that login, and
// has its role of today.
func (m cookie) principal(a *Attempt) (u *User, known bool) {
	bound := m.Store.Lookup(a.hello.Transport.Cookie, a.hello.Realm, a.hello.Now)
	if bound == nil || a.hello.AuthID != "" && a.hello.AuthID != bound.AuthID {
		return nil, false
	}
	p := *bound
	if u := a.realm.users[p.AuthID]; u != nil && p.Provider == providerStatic {
		p.Role, p.Extra = u.Role, u.Extra
	}
	if !a.realm.Admits(&p) {
		return nil, false
	}
	a.provider, a.expires, a.proof, a.vouched = p.Provider, p.Expires, p.proof, p.vouched
	return &User{AuthID: p.AuthID, Role: p.Role, Extra: p.Extra}, true
}

func (cookie) mock(*Realm) *User { return nil }

func (cookie) start(a *Attempt) Outcome { return a.welcome(nil) }

// BindCookie makes the cookie of h stand for p, who has just been welcomed. It does nothing without a cookie, if the
// realm does not offer the method, and for anonymous principals and those that came by the cookie. A cookie that
// would not be accepted over this connection is not bound either.
//
// Without TLS anybody may have planted the cookie that a client brings, and would then be p with it. It never comes
// to stand for p; if it stood for somebody else in this realm, that ends, and the next handshake gives a new one.
func (r *Realm) BindCookie(h *Hello, p *Principal) {
	o := r.config.Cookie
	if o == nil || h.Transport.Cookie == "" || p.Method == methodAnonymous || p.Method == methodCookie ||
		p.Realm != cmp.Or(h.Realm, r.config.Realm) || !o.AllowPlain && !h.Transport.secret() {
		return
	}
	if t := &h.Transport; !t.Encrypted && !t.CookieNew {
		if was := o.Store.Lookup(t.Cookie, p.Realm, h.Now); was != nil && was.AuthID != p.AuthID {
			o.Store.Unbind(t.Cookie, p.Realm)
		}
		return
	}
	bound := *p
	bound.Extra = maps.Clone(p.Extra)
	for _, proof := range []string{"verifier", "scram_server_signature"} { // of one handshake only
		delete(bound.Extra, proof)
	}
	o.Store.Bind(h.Transport.Cookie, &bound, h.Now)
}

// UnbindCookie is logout, by GOODBYE with wamp.close.logout. It does nothing if the realm does not offer the method.
func (r *Realm) UnbindCookie(h *Hello) {
	if r.config.Cookie != nil && h.Transport.Cookie != "" {
		r.config.Cookie.Store.Unbind(h.Transport.Cookie, cmp.Or(h.Realm, r.config.Realm))
	}
}

// Cookies is a CookieStore in memory. At its limit the binding that was used least recently goes: that client logs in
// again. Any goroutine may call it.
type Cookies struct {
	// Fixed by NewCookies.
	secret   [32]byte // signs ids
	max      int
	lifetime time.Duration

	mu     sync.Mutex
	bound  map[cookieKey]*list.Element // of boundCookie
	recent list.List                   // most recently used first
	ids    map[cookieKey]boundID       // those that stand for somebody, in whatever realm
}

// A cookieKey is a hash of id and realm, so that memory holds no id that somebody could use.
type cookieKey [sha256.Size]byte

type boundCookie struct {
	key       cookieKey
	id        cookieKey // of no realm
	principal *Principal
	until     time.Time
}

// A boundID is what is known of an id in all realms together.
type boundID struct {
	realms int
	until  time.Time // the latest of its bindings that there ever was
}

// NewCookies makes a store of at most max bindings, each valid for lifetime after the login or until the principal
// expires, whichever is earlier. Ids that it issues are of no use after a restart.
func NewCookies(max int, lifetime time.Duration) *Cookies {
	c := &Cookies{
		max: max, lifetime: lifetime, bound: map[cookieKey]*list.Element{}, ids: map[cookieKey]boundID{},
	}
	rand.Read(c.secret[:])
	return c
}

// cookieIDBytes is the random part of an id, 256 bit; a tag of the same length follows.
const cookieIDBytes = 32

// Issue returns an id for a new cookie. The store keeps nothing of it until it is bound.
func (c *Cookies) Issue() string {
	var id [cookieIDBytes]byte
	rand.Read(id[:])
	tag := mac(c.secret[:], string(id[:]))
	return base64.RawURLEncoding.EncodeToString(append(id[:], tag[:]...))
}

// Valid reports whether the store issued id. A handshake without a valid one gets a new one.
func (c *Cookies) Valid(id string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(b) != cookieIDBytes+sha256.Size {
		return false
	}
	tag := mac(c.secret[:], string(b[:cookieIDBytes]))
	return hmac.Equal(tag[:], b[cookieIDBytes:])
}

func makeCookieKey(id, realm string) cookieKey { return sha256.Sum256([]byte(id + "\x00" + realm)) }

// Bind implements CookieStore.
func (c *Cookies) Bind(id string, p *Principal, now time.Time) {
	if !c.Valid(id) || c.max <= 0 {
		return
	}
	b := &boundCookie{
		key: makeCookieKey(id, p.Realm), id: makeCookieKey(id, ""), principal: p, until: now.Add(c.lifetime),
	}
	if !p.Expires.IsZero() && p.Expires.Before(b.until) {
		b.until = p.Expires
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.bound[b.key]; e != nil {
		c.remove(e)
	}
	if len(c.bound) >= c.max {
		c.remove(c.recent.Back())
	}
	c.bound[b.key] = c.recent.PushFront(b)
	known := c.ids[b.id]
	known.realms++
	if b.until.After(known.until) {
		known.until = b.until
	}
	c.ids[b.id] = known
}

// Bound reports whether id may stand for somebody in some realm. Any goroutine may call it.
func (c *Cookies) Bound(id string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.ids[makeCookieKey(id, "")].until)
}

// Lookup implements CookieStore.
func (c *Cookies) Lookup(id, realm string, now time.Time) *Principal {
	if !c.Valid(id) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.bound[makeCookieKey(id, realm)]
	if e == nil {
		return nil
	}
	b := e.Value.(*boundCookie)
	if !now.Before(b.until) {
		c.remove(e)
		return nil
	}
	c.recent.MoveToFront(e)
	return b.principal
}

// Unbind implements CookieStore.
func (c *Cookies) Unbind(id, realm string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.bound[makeCookieKey(id, realm)]; e != nil {
		c.remove(e)
	}
}

// UnbindAll logs a principal out wherever it has logged in: every binding of that authid in that realm goes. It walks
// all bindings.
func (c *Cookies) UnbindAll(realm, authid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range slices.Collect(maps.Values(c.bound)) {
		if p := e.Value.(*boundCookie).principal; p.Realm == realm && p.AuthID == authid {
			c.remove(e)
		}
	}
}

func (c *Cookies) remove(e *list.Element) {
	b := e.Value.(*boundCookie)
	delete(c.bound, b.key)
	c.recent.Remove(e)
	known := c.ids[b.id]
	if known.realms--; known.realms == 0 {
		delete(c.ids, b.id)
		return
	}
	c.ids[b.id] = known
}
