//go:build linux

package engine

import (
	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A RawSocket connection (PROTOCOL 13.3): a handshake each way, then frames. engine/internal/wire parses and judges
// them.

// rawHello answers the opening handshake. It returns how many octets are done with.
func (c *conn) rawHello(data []byte) (used int) {
	hello, whole, refused := wire.ReadRawHello(data, c.loop.live.PeerMessageBytesMin)
	if !whole {
		return 0
	}
	if refused == 0 && (c.refused != admitted || c.admitAddress() != admitted) {
		refused = wire.RawErrorConnections
	}
	if refused != 0 {
		c.rawRefuse(refused)
		return wire.RawHelloBytes
	}
	c.announced = c.loop.live.rawSocketExponent()
	c.append(wire.AppendRawHello(nil, c.announced, hello.Serializer))
	c.phase = phaseRawSocket
	c.peer.Transport = "rawsocket"
	c.variant = codec.MakeVariant(codec.Serializer(hello.Serializer), codec.RawSocket)
	c.messageMax = hello.BytesMax
	c.open()
	return wire.RawHelloBytes
}

// rawRefuse answers the opening handshake with an error and closes.
func (c *conn) rawRefuse(reason wire.RawError) {
	e := c.loop.engine
	e.rare.handshakesRefused.Add(1)
	e.cfg.Log.Debug("RawSocket handshake refused", "reason", reason.String(), "peer", c.peer.Address)
	c.append(wire.AppendRawError(nil, reason))
	c.fail(0, "")
}

// rawSocket handles the frames in data and returns how many octets are done with.
func (c *conn) rawSocket(data []byte) (used int) {
	for !c.halted() {
		if p := c.part; p != nil {
			if p.ready {
				c.deliver(p)
				continue
			}
			n := min(p.missing, len(data)-used)
			if n == 0 {
				return used
			}
			c.collect(p, data[used:used+n])
			used += n
			if p.missing -= n; p.missing == 0 {
				c.complete(p)
			}
			continue
		}
		if len(data) == used {
			return used
		}
		kind, length, whole, fault := wire.ReadRawPrefix(data[used:], c.rawLimit())
		if fault != wire.NoFault {
			c.fault(fault)
			return len(data)
		}
		if !whole {
			return used
		}
		used += wire.RawPrefixBytes
		if len(data)-used >= length {
			c.rawFrame(kind, data[used:used+length])
			used += length
			continue
		}
		p := newPartial()
		p.kind, p.missing = kind, length
		c.part = p
	}
	return used
}

// rawLimit is the longest frame that may come now, in octets: what the handshake announced, whatever Apply has
// changed since, but no more than may come before a session is joined.
func (c *conn) rawLimit() int {
	most := wire.RawBytesMin << c.announced
	if !c.joined {
		most = min(most, joinBytesMax)
	}
	return most
}

func (c *conn) rawFrame(kind byte, payload []byte) {
	switch kind {
	case wire.RawMessage:
		if len(payload) == 0 {
			c.violate(&codec.Violation{Reason: "empty message"})
			return
		}
		c.receive(payload)
	case wire.RawPing:
		c.rawPong(payload)
	}
}

// rawPong answers a ping with the same payload. The client's own limit binds the answer too.
func (c *conn) rawPong(payload []byte) {
	if len(payload) > c.messageMax {
		c.breach("ping longer than the client's own limit")
		return
	}
	c.q.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, wire.AppendRawFrame(buf, wire.RawPong, payload))
	}
	c.q.Unlock()
}
