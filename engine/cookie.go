//go:build linux

package engine

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"banyan/engine/internal/wire"
)

// CookieRules say which cookie WebSocket clients get with their handshake (PROTOCOL 10.7). Who it stands for is not
// the engine's business: port.Peer.Cookie has its value.
//
// The cookie is HttpOnly and SameSite=Strict. Over TLS it is Secure, too, and its name begins with "__Host-", so that
// no other host of the same domain can plant one. On plain connections others can: there a value that stands for
// nobody is replaced with each handshake, so that nobody logs in with one that somebody else knows.
type CookieRules struct {
	Name   string                  // without the prefix
	MaxAge time.Duration           // how long a browser keeps it, at least a second
	Issue  func() string           // makes a value; any goroutine, must not block
	Valid  func(value string) bool // whether Issue has made it; the same
	Bound  func(value string) bool // whether it stands for somebody, in any realm; the same
}

func (r *CookieRules) check() error {
	switch {
	case r == nil:
		return nil
	case (&http.Cookie{Name: r.Name}).Valid() != nil:
		return fmt.Errorf("engine: %q is no name of a cookie", r.Name)
	case r.MaxAge < time.Second:
		return fmt.Errorf("engine: a cookie that lives for %v; at least 1s is possible", r.MaxAge)
	case r.Issue == nil || r.Valid == nil || r.Bound == nil:
		return errors.New("engine: cookies need functions that make and judge their values")
	}
	return nil
}

// takeCookie reads the cookie of a handshake. A client without a good one gets a new one: by the header line that is
// returned, or "".
func (c *conn) takeCookie(h *wire.Head) (header string) {
	r := c.loop.live.Cookie
	if r == nil {
		return ""
	}
	n := http.Cookie{
		Name: r.Name, Path: "/", MaxAge: int(r.MaxAge / time.Second), HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
	if c.peer.Encrypted {
		n.Name, n.Secure = "__Host-"+r.Name, true
	}
	sent := http.Request{Header: http.Header{"Cookie": {h.Cookie}}}
	for _, s := range sent.CookiesNamed(n.Name) {
		if r.Valid(s.Value) && (c.peer.Encrypted || r.Bound(s.Value)) {
			c.peer.Cookie = s.Value
			return ""
		}
	}
	n.Value = r.Issue()
	c.peer.Cookie, c.peer.CookieNew = n.Value, true
	return "Set-Cookie: " + n.String()
}
