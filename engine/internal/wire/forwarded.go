package wire

import (
	"net/netip"
	"strings"
)

// ForwardedClient finds the client in list, a value of X-Forwarded-For: each proxy has added the address of whom it
// was connected to at the right. The client is the rightmost address that is not trusted, or the leftmost of all if
// every one is; the client itself may have invented what stands to its left. The port is 0 unless the list tells it.
// It reports false if the list ends, or cannot be read, before there is one.
func ForwardedClient(list string, trusted func(netip.Addr) bool) (client netip.AddrPort, ok bool) {
	for list != "" {
		var item string
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			list, item = list[:i], list[i+1:]
		} else {
			list, item = "", list
		}
		at, good := forwardedAddress(trimBlanks(item))
		if !good {
			return netip.AddrPort{}, false
		}
		if client, ok = at, true; !trusted(at.Addr()) {
			return client, true
		}
	}
	return client, ok
}

// forwardedAddress reads ADDRESS, ADDRESS:PORT (IPv4), [ADDRESS] or [ADDRESS]:PORT.
func forwardedAddress(s string) (at netip.AddrPort, ok bool) {
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		bare, bracketed := s, strings.HasPrefix(s, "[")
		if bracketed {
			bare, ok = strings.CutSuffix(s[1:], "]")
			if !ok {
				return netip.AddrPort{}, false
			}
		}
		ip, err := netip.ParseAddr(bare)
		if err != nil || bracketed && !ip.Is6() {
			return netip.AddrPort{}, false
		}
		at = netip.AddrPortFrom(ip, 0)
	}
	ip := at.Addr().Unmap()
	if ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, at.Port()), true
}
