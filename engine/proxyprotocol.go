//go:build linux

package engine

import (
	"net/netip"

	"banyan/engine/internal/wire"
)

// proxyHeader reads the PROXY header that the connection has to begin with. It returns how many octets are done with;
// c.proxied says that the header was read.
//
// Behind a proxy nobody is local: strangers stand behind it. That goes for the proxy itself, too.
func (c *conn) proxyHeader(data []byte) (used int) {
	if !c.proxyTrusted() {
		c.refuseProxy("a connection that is for proxies comes from none of the trusted ones; it is closed",
			"try", "add the address to the trusted proxies, or connect through one of them")
		return 0
	}
	h, length, err := wire.ReadProxyHeader(data)
	if err != nil {
		c.refuseProxy("a connection without a good PROXY header is closed", "cause", err,
			"try", "let the proxy send a PROXY header, version 1 or 2")
		return 0
	}
	if length == 0 {
		return 0
	}
	c.proxied = true
	c.peer.Local = false
	if h.Own {
		return length
	}
	c.behindProxy(h.Client)
	c.peer.Encrypted = h.Encrypted
	return length
}

// refuseProxy closes a connection because of its PROXY header.
func (c *conn) refuseProxy(message string, args ...any) {
	e := c.loop.engine
	e.rare.proxyRefused.Add(1)
	e.warn(message, append(args, "listener", c.listenName(), "peer", c.peer.Address)...)
	c.finished.Store(true)
	c.loop.closeSoon(c)
}

// behindProxy notes that whoever the connection comes from so far is a proxy, and that client stands behind it; not
// valid: the proxy does not tell who.
func (c *conn) behindProxy(client netip.AddrPort) {
	if c.peer.Proxy == "" {
		c.peer.Proxy = c.peer.Address
		if c.peer.Network == "unix" {
			c.peer.Proxy = "unix"
		}
	}
	c.peer.Local, c.peer.Address = false, ""
	if client.IsValid() {
		c.peer.Address = client.String()
	}
}

// proxyTrusted reports whether a PROXY header is believed: from the trusted proxies, and from whoever may connect to
// a Unix socket that is for proxies.
func (c *conn) proxyTrusted() bool {
	rules := c.loop.live.rules(c.peer.Listener)
	return c.peer.Network == "unix" || rules.trusts(c.peer.Address)
}
