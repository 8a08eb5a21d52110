//go:build linux

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"banyan/engine/internal/wire"
)

// forwarded takes account of the headers by which a proxy says that it passed the request on.
//
// A request that a proxy passed on is not local, whatever the address of the proxy: strangers stand behind it. For
// whom it was passed on is only believed if the proxy is trusted; otherwise the address stays that of the connection.
func (c *conn) forwarded(h *wire.Head) {
	if !h.Forwarded {
		return
	}
	c.peer.Local = false
	rules := c.loop.live.rules(c.peer.Listener)
	onUnix := c.peer.Network == "unix" && !c.proxied // after a PROXY header its address counts
	if len(rules.TrustedProxies) == 0 || !onUnix && !rules.trusts(c.peer.Address) {
		return
	}
	client, _ := wire.ForwardedClient(h.ForwardedFor, rules.trustsAddr)
	c.behindProxy(client)
	last := h.ForwardedProto[strings.LastIndexByte(h.ForwardedProto, ',')+1:]
	switch strings.ToLower(strings.TrimSpace(last)) {
	case "https", "wss":
		c.peer.Encrypted = true
	}
}

// trusts reports whether address, HOST:PORT, is one of a trusted proxy.
func (v *ListenerRules) trusts(address string) bool {
	if len(v.TrustedProxies) == 0 {
		return false
	}
	at, err := netip.ParseAddrPort(address)
	return err == nil && v.trustsAddr(at.Addr())
}

func (v *ListenerRules) trustsAddr(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range v.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// checkRules judges what is in ListenerRules, of all listeners and of each.
func (v *Live) checkRules() error {
	all := ListenerRules{v.Origins, v.TrustedProxies, v.Deflate}
	err := all.check()
	v.Origins, v.TrustedProxies = all.Origins, all.TrustedProxies
	v.Listeners = slices.Clone(v.Listeners)
	for i := range v.Listeners {
		err = errors.Join(err, v.Listeners[i].check())
	}
	return err
}

func (v *ListenerRules) check() error {
	v.Origins = slices.Clone(v.Origins)
	if v.Deflate >= deflateRules {
		return fmt.Errorf("engine: unknown rule for compression: %d", v.Deflate)
	}
	if len(v.TrustedProxies) > trustedProxiesMax {
		return fmt.Errorf("engine: %d trusted proxies; at most %d", len(v.TrustedProxies), trustedProxiesMax)
	}
	var all []netip.Prefix
	for _, p := range v.TrustedProxies {
		if !p.IsValid() {
			return fmt.Errorf("engine: %v is no address or prefix of a proxy", p)
		}
		if ip := p.Addr(); ip.Is4In6() {
			if p.Bits() < 96 {
				return fmt.Errorf("engine: the prefix %v is of IPv4 and IPv6; write one of either", p)
			}
			p = netip.PrefixFrom(ip.Unmap(), p.Bits()-96)
		}
		all = append(all, p.Masked())
	}
	v.TrustedProxies = all
	return nil
}
