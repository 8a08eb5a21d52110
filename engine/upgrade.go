//go:build linux

package engine

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gobwas/ws"
	"github.com/valyala/bytebufferpool"

	"banyan/codec"
)

// A subprotocol is one of the names of PROTOCOL 13.1.
type subprotocol struct {
	serializer codec.Serializer
	batched    bool
}

var subprotocols = map[string]subprotocol{
	"wamp.2.json":            {codec.JSON, false},
	"wamp.2.msgpack":         {codec.MessagePack, false},
	"wamp.2.cbor":            {codec.CBOR, false},
	"wamp.2.json.batched":    {codec.JSON, true},
	"wamp.2.msgpack.batched": {codec.MessagePack, true},
	"wamp.2.cbor.batched":    {codec.CBOR, true},
}

// memory is the stream the upgrader works on: the head it reads and the answer it writes.
type memory struct {
	bytes.Reader
	answer *bytebufferpool.ByteBuffer
}

func (m *memory) Write(b []byte) (int, error) { return m.answer.Write(b) }

// upgrade answers a request to become a WebSocket. raw is the head h was parsed from. What the upgrader does not look at, or
// answers otherwise than PROTOCOL 13.1 says, is judged first.
func (c *conn) upgrade(h *head, raw []byte) {
	cfg := &c.loop.engine.cfg
	var refused *refusal
	switch {
	case h.method != http.MethodGet:
		refused = &refusal{http.StatusMethodNotAllowed, "Allow: GET", "a WebSocket opens with GET"}
	case h.minor == 0:
		refused = &refusal{http.StatusHTTPVersionNotSupported, "", "a WebSocket needs HTTP/1.1"}
	case !h.validKey():
		refused = &refusal{http.StatusBadRequest, "", "Sec-WebSocket-Key must be 16 octets in base64"}
	case h.version != "13":
		refused = &refusal{http.StatusUpgradeRequired, "Sec-WebSocket-Version: 13", "this server speaks WebSocket version 13"}
	case !originAllowed(h, cfg.Origins):
		refused = &refusal{http.StatusForbidden, "", "this origin may not connect; see the origin option"}
	}
	if refused != nil {
		c.httpRefuse(refused)
		return
	}
	m := memory{answer: bytebufferpool.Get()}
	defer bytebufferpool.Put(m.answer)
	m.Reset(raw)
	up := ws.Upgrader{
		ReadBufferSize: headBytesMax,
		Protocol: func(name []byte) bool {
			_, known := subprotocols[string(name)]
			return known
		},
	}
	shake, err := up.Upgrade(&m)
	chosen, known := subprotocols[shake.Protocol]
	switch {
	case err != nil && m.answer.Len() > 0:
		c.loop.engine.rare.handshakesRefused.Add(1)
		c.append(m.answer.B)
		c.fail(0, "")
		return
	case err != nil:
		c.httpRefuse(&refusal{http.StatusBadRequest, "", "malformed upgrade request"})
		return
	case !known:
		c.httpRefuse(&refusal{http.StatusBadRequest, "", "no subprotocol in common; offer wamp.2.json, wamp.2.msgpack or wamp.2.cbor"})
		return
	}
	c.append(m.answer.B)
	c.phase = phaseWebSocket
	c.closeFrame = true
	c.peer.Transport = "websocket"
	c.batched = chosen.batched
	framing := codec.WebSocket
	if chosen.batched {
		framing = codec.WebSocketBatch
	}
	c.variant = codec.MakeVariant(chosen.serializer, framing)
	c.messageMax = unlimited
	c.open()
}

// originAllowed reports whether a page from h's Origin may connect: no Origin (not a browser), the host name of the request
// itself on any port, or something configured.
func originAllowed(h *head, allowed []string) bool {
	if h.origins == 0 {
		return true
	}
	for _, a := range allowed {
		if a == "*" || strings.EqualFold(a, h.origin) {
			return true
		}
	}
	u, err := url.Parse(h.origin)
	if err != nil || u.Host == "" || h.origins > 1 {
		return false
	}
	if strings.EqualFold(u.Hostname(), hostName(h.host)) {
		return true
	}
	for _, a := range allowed {
		if strings.EqualFold(a, u.Hostname()) || strings.EqualFold(a, u.Host) {
			return true
		}
	}
	return false
}

// hostName is the Host header without its port.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
