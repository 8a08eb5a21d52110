package auth

import (
	"crypto/rand"
	"io"
	"net/netip"
	"time"
)

// A Hello is what a client says in HELLO and what the router knows about it. Begin copies it; the slices and the
// functions in it must stay valid while the attempt lives.
type Hello struct {
	// Said by the client.
	Realm    string   // "" is the realm of the Config; another one if realms made by a template share a Realm
	AuthID   string   // "" if it names none
	AuthRole string   // the role it asks for; only dynamic authenticators see it, no static user gets it by asking
	Methods  []string // in the client's order of preference; none means anonymous
	Extra    Extra    // HELLO.Details.authextra

	// Known to the router.
	Transport Transport
	Session   uint64    // the id that the session will get; WAMP-CRA signs it (PROTOCOL 4.2)
	Now       time.Time // when HELLO came
	Random    io.Reader // must not fail; nil is crypto/rand. Simulations give theirs
}

// A Transport is what the router knows about the connection of a client.
type Transport struct {
	Listener  string     // its name; dynamic authenticators see it
	Allowed   []string   // the methods that the listener lets in; nil is all of the realm's
	Anonymous *Source    // from where the listener lets anonymous clients in; nil leaves it to the realm
	Peer      netip.Addr // of the client itself, behind a trusted proxy too; invalid on Unix sockets
	Local     bool       // loopback or Unix socket, and not forwarded by a proxy (PROTOCOL 13.5)
	Encrypted bool       // TLS up to the router, or up to a proxy that is trusted to say so
	// Certificate is the TLS client certificate in DER, nil if there is none. TLS has verified it.
	Certificate []byte
	// Vouched reports whether an authority still vouches for it; nil: always. Any goroutine.
	Vouched func() bool
	Until   time.Time // when it expires, or one that vouches for it; zero for never
	// Binding returns the raw data of a channel binding, nil if the connection cannot provide it: see Bindings. The
	// function is nil without TLS.
	Binding func(kind string) []byte
	Cookie  string // the value of the HTTP cookie that came with the WebSocket handshake, "" without
	// CookieNew: the client brought none, the router gave it that one with the handshake.
	CookieNew bool
}

// binding returns the raw channel binding data, nil if there is none.
func (t *Transport) binding(kind string) []byte {
	if t.Binding == nil {
		return nil
	}
	return t.Binding(kind)
}

// secret reports whether a secret may cross the connection in plain text.
func (t *Transport) secret() bool { return t.Encrypted || t.Local }

// draw fills b with random bytes.
func (h *Hello) draw(b []byte) {
	random := h.Random
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, b); err != nil {
		panic("auth: the source of randomness failed: " + err.Error())
	}
}
