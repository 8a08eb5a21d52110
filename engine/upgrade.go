//go:build linux

package engine

import (
	"net/http"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A subprotocol is one of the names of PROTOCOL 13.1.
type subprotocol struct {
	serializer codec.Serializer
	framing    codec.Framing
}

var subprotocols = map[string]subprotocol{
	"wamp.2.json":            {codec.JSON, codec.WebSocket},
	"wamp.2.msgpack":         {codec.MessagePack, codec.WebSocket},
	"wamp.2.cbor":            {codec.CBOR, codec.WebSocket},
	"wamp.2.json.batched":    {codec.JSON, codec.WebSocketBatch},
	"wamp.2.msgpack.batched": {codec.MessagePack, codec.WebSocketBatch},
	"wamp.2.cbor.batched":    {codec.CBOR, codec.WebSocketBatch},
}

// acceptDeflate returns the header line that accepts an offer of permessage-deflate, or "" if the listener allows
// none, the connection is encrypted and the listener does not allow it there, or no offer is good.
func (c *conn) acceptDeflate(h *wire.Head) (header string) {
	switch c.loop.live.rules(c.peer.Listener).Deflate {
	case DeflateOff:
		return ""
	case DeflateUnencrypted:
		if c.peer.Encrypted {
			return ""
		}
	}
	return h.AcceptDeflate(codec.DeflateWindowBits)
}

const foreignOrigin = "this origin may not connect; see the origin option"

// upgrade makes the connection a WebSocket, or says why not.
//
// A request that a proxy passed on is not local, whatever the address of the proxy: strangers stand behind it. The
// same goes for Unix sockets, where only a proxy can bring a browser, so its pages have to be of a name that nobody
// else can point here, too.
func (c *conn) upgrade(h *wire.Head) *wire.Refusal {
	c.forwarded(h)
	if refused := h.JudgeUpgrade(); refused != nil {
		return refused
	}
	if why := c.admitAddress(); why != admitted {
		return c.comeBack(why)
	}
	if c.opening.lacks("websocket") {
		return &wire.Refusal{Status: http.StatusForbidden, Reason: "this address speaks no WebSocket"}
	}
	if !h.OriginAllowed(c.loop.live.rules(c.peer.Listener).Origins, c.peer.Local) {
		return &wire.Refusal{Status: http.StatusForbidden, Reason: foreignOrigin}
	}
	for _, name := range h.Protocols {
		chosen, known := subprotocols[name]
		if !known {
			continue
		}
		header, deflate := c.takeCookie(h), c.acceptDeflate(h)
		c.q.Lock()
		if buf, ok := c.Tail(port.Reply); ok {
			c.Commit(c.loop, wire.AppendUpgrade(buf, h.Key, name, header, deflate))
		}
		c.q.Unlock()
		c.phase = phaseWebSocket
		c.closeFrame = true
		c.peer.Transport = "websocket"
		c.batched = chosen.framing == codec.WebSocketBatch
		if c.variant = codec.MakeVariant(chosen.serializer, chosen.framing); deflate != "" {
			c.variant = c.variant.Deflating()
		}
		c.messageMax = unlimited
		c.open()
		return nil
	}
	return &wire.Refusal{
		Status: http.StatusBadRequest,
		Reason: "no subprotocol in common; offer wamp.2.json, wamp.2.msgpack or wamp.2.cbor",
	}
}
