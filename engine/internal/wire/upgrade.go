package wire

import (
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// The opening handshake of WebSocket (RFC 6455 section 4, PROTOCOL 13.1).

const (
	keyText   = 24 // octets of a Sec-WebSocket-Key
	keyBytes  = 16 // octets behind its base64
	acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

var strictBase64 = base64.StdEncoding.Strict()

// proxyHint tells what to do when a proxy on the way has removed what an upgrade needs.
const proxyHint = `: a proxy on the way probably removed it.
nginx needs these lines beside proxy_pass:

    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;

Without the last one the router takes whoever the proxy lets in for a client of this machine.
`

// AsksWebSocket reports whether the client wants a WebSocket. It may do so wrongly, see JudgeUpgrade.
func (h *Head) AsksWebSocket() bool { return h.Upgrade && h.Connection || h.Keys > 0 }

// JudgeUpgrade says why a request that AsksWebSocket cannot become one. The subprotocol and the origin are judged
// apart from this.
func (h *Head) JudgeUpgrade() *Refusal {
	missing := ""
	switch {
	case h.Minor == 0:
		missing = "HTTP/1.1" // an Upgrade in HTTP/1.0 is to be ignored (RFC 9110 7.8)
	case !h.Upgrade:
		missing = "the header Upgrade: websocket"
	case !h.Connection:
		missing = "the header Connection: Upgrade"
	}
	switch {
	case h.Method != http.MethodGet:
		return &Refusal{http.StatusMethodNotAllowed, "Allow: GET", "a WebSocket opens with GET"}
	case missing != "":
		return &Refusal{http.StatusUpgradeRequired, upgradeHeaders, "a WebSocket needs " + missing + proxyHint}
	case h.Body:
		return badRequest("a request for a WebSocket cannot have a body; leave out Content-Length and " +
			"Transfer-Encoding")
	case !h.validKey():
		return badRequest("Sec-WebSocket-Key must be 16 octets in base64")
	case h.Version != "13":
		return &Refusal{
			http.StatusUpgradeRequired, upgradeHeaders + "\r\nSec-WebSocket-Version: 13",
			"this server speaks WebSocket version 13",
		}
	}
	return nil
}

// upgradeHeaders go with every answer 426 (RFC 9110 15.5.22).
const upgradeHeaders = "Upgrade: websocket\r\nConnection: Upgrade"

// validKey reports whether the key is there once and is 16 octets in base64.
func (h *Head) validKey() bool {
	if h.Keys != 1 || len(h.Key) != keyText {
		return false
	}
	var key [keyText]byte
	n, err := strictBase64.Decode(key[:], []byte(h.Key))
	return err == nil && n == keyBytes
}

// AppendUpgrade appends the answer that makes a WebSocket of a request: 101. protocol is the chosen subprotocol,
// headers are more header lines without their ends, or "".
func AppendUpgrade(dst []byte, key, protocol string, headers ...string) []byte {
	var joined [keyText + len(acceptKey)]byte
	copy(joined[copy(joined[:], key):], acceptKey)
	sum := sha1.Sum(joined[:])
	dst = append(dst,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
	dst = append(dst, protocol...)
	for _, header := range headers {
		if header != "" {
			dst = append(append(dst, "\r\n"...), header...)
		}
	}
	return append(dst, "\r\n\r\n"...)
}

// OriginAllowed reports whether a page of h's Origin may connect: if there is no Origin (the client is no browser),
// if the page has the host name of the request itself on any port, or if allowed holds the host name, the host with
// its port, the whole origin, or "*".
//
// On a local connection the name of the request itself counts only if nobody can make it point here: an IP literal,
// localhost or *.localhost. With any other name a page of a stranger, whose name server answers 127.0.0.1, would
// become a local client.
func (h *Head) OriginAllowed(allowed []string, local bool) bool {
	if h.Origins != 1 {
		return h.Origins == 0
	}
	for _, a := range allowed {
		if a == "*" || strings.EqualFold(a, h.Origin) {
			return true
		}
	}
	u, err := url.Parse(h.Origin)
	if err != nil || u.Host == "" {
		return false
	}
	for _, a := range allowed {
		if strings.EqualFold(a, u.Hostname()) || strings.EqualFold(a, u.Host) {
			return true
		}
	}
	return strings.EqualFold(u.Hostname(), hostName(h.Host)) && (!local || fixedName(u.Hostname()))
}

// fixedName reports whether no name server decides where name leads.
func fixedName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// hostName is the Host header without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
