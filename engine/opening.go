//go:build linux

package engine

import (
	"fmt"
	"slices"
	"time"

	"banyan/engine/internal/wire"
)

// What a connection opens with. Several protocols share a port, and the first octets tell them apart:
//
//  1. a PROXY header, if the listener wants one (proxyprotocol.go)
//  2. a record of TLS, if the listener has it (tlshandshake.go); then the first octets inside are looked at again
//  3. RawSocket, or HTTP and in it WebSocket or requests of long-poll

// An opening says what may come first on a listener. Immutable.
type opening struct {
	tls    *ListenTLS // nil without TLS
	speaks []string   // of "websocket" and "rawsocket"; nil for both
	proxy  bool       // every connection begins with a PROXY header
	poll   string     // the path of HTTP long-poll, or ""
	hsts   string     // a header line for answers over TLS, or ""
}

// newOpening returns the rules for an address of Config.Listen; nil if it is as every address is by default.
func (cfg *Config) newOpening(address string) *opening {
	o := &opening{
		proxy: cfg.ProxyProtocol[address], speaks: cfg.Protocols[address], poll: cfg.LongPoll[address],
	}
	if t, ok := cfg.TLS[address]; ok {
		o.tls = &t
		if t.HSTS > 0 {
			o.hsts = fmt.Sprintf("Strict-Transport-Security: max-age=%d", t.HSTS/time.Second)
		}
	}
	if o.tls == nil && !o.proxy && len(o.speaks) == 0 && o.poll == "" {
		return nil
	}
	return o
}

// listenName is what log lines call an address of Config.Listen.
func (cfg *Config) listenName(address string) string {
	if name := cfg.ListenNames[address]; name != "" {
		return name
	}
	return address
}

// sniff tells what the connection opens with. It returns how many octets are done with; as long as it needs more the
// phase does not change.
func (c *conn) sniff(data []byte) (used int) {
	o := c.opening
	if o != nil && o.proxy && !c.proxied {
		if used = c.proxyHeader(data); used == len(data) || !c.proxied {
			return used
		}
		data = data[used:]
	}
	switch first := data[0]; {
	case first == wire.TLSHandshake && o != nil && o.tls != nil && c.tls == nil:
		c.beginTLS(o.tls.Credentials, data)
		return used + len(data)
	case wire.OpensHTTP(first):
		c.phase = phaseHTTP
	case first == wire.RawMagic && !c.lacksTLS() && !o.lacks("rawsocket"):
		c.phase = phaseRawHello
	default:
		c.refuseOpening(data)
	}
	return used
}

// lacks reports that the listener does not speak a protocol.
func (o *opening) lacks(protocol string) bool {
	return o != nil && len(o.speaks) > 0 && !slices.Contains(o.speaks, protocol)
}

// lacksTLS reports that the listener wants TLS and the connection has none.
func (c *conn) lacksTLS() bool {
	return c.opening != nil && c.opening.tls != nil && !c.opening.tls.Plain && c.tls == nil
}

// refuseOpening closes a connection that speaks nothing that is spoken here.
func (c *conn) refuseOpening(data []byte) {
	e := c.loop.engine
	looks := wire.LooksLike(data)
	switch {
	case c.lacksTLS():
		e.warn("a client speaks without TLS, but the listener wants TLS; its connection is closed",
			"listener", c.listenName(), "peer", c.peer.Address, "looks_like", looks)
	case data[0] == wire.RawMagic:
		e.warn("a client speaks RawSocket, but the listener does not; its connection is closed",
			"listener", c.listenName(), "peer", c.peer.Address)
	case data[0] == wire.TLSHandshake && c.tls == nil:
		e.warn("a client speaks TLS, but the listener has none; its connection is closed",
			"listener", c.listenName(), "peer", c.peer.Address, "looks_like", looks,
			"try", "give the listener a certificate, or let the client connect without TLS")
	default:
		e.cfg.Log.Debug("connection speaks neither HTTP nor RawSocket", "peer", c.peer.Address, "looks_like", looks)
	}
	c.loop.closeSoon(c)
	c.finished.Store(true)
}

// listenName is what log lines call the listener.
func (c *conn) listenName() string {
	cfg := &c.loop.engine.cfg
	if i := c.peer.Listener; i >= 0 && i < len(cfg.Listen) {
		return cfg.listenName(cfg.Listen[i])
	}
	return ""
}
