//go:build linux

package engine

import (
	"encoding/binary"
	"math"

	"banyan/codec"
	"banyan/engine/port"
)

// RawSocket (PROTOCOL 13.3): a handshake of four octets each way, then frames with a prefix of four octets.

const (
	rawMagic       = 0x7F
	rawPrefixBytes = 4

	rawMessage = 0
	rawPing    = 1
	rawPong    = 2

	rawTypeMask = 0x07
	rawX        = 0x08
	rawReserved = 0xF0

	rawSmallestLimit = 512
)

// Errors of the handshake, in the upper half of the second octet.
const (
	rawErrSerializer  = 1
	rawErrLength      = 2
	rawErrReserved    = 3
	rawErrConnections = 4
)

// rawHello answers the opening handshake.
func (c *conn) rawHello(data []byte) (used int) {
	if len(data) < 4 {
		return 0
	}
	serializer := codec.Serializer(data[1] & 0x0F)
	longest := rawSmallestLimit << (data[1] >> 4)
	switch {
	case data[2] != 0 || data[3] != 0:
		c.rawRefuse(rawErrReserved)
	case serializer < codec.JSON || serializer > codec.CBOR:
		c.rawRefuse(rawErrSerializer)
	case longest < c.loop.engine.cfg.PeerMessageBytesMin:
		c.rawRefuse(rawErrLength)
	case c.refused:
		c.rawRefuse(rawErrConnections)
	default:
		c.append([]byte{rawMagic, c.loop.engine.rawExponent<<4 | byte(serializer), 0, 0})
		c.phase = phaseRawSocket
		c.peer.Transport = "rawsocket"
		c.variant = codec.MakeVariant(serializer, codec.RawSocket)
		c.messageMax = longest
		c.open()
	}
	return 4
}

func (c *conn) rawRefuse(code byte) {
	c.loop.engine.rare.handshakesRefused.Add(1)
	c.append([]byte{rawMagic, code << 4, 0, 0})
	c.fail(0, "")
}

// rawSocket handles the frames in data and reports how much of it is done with.
func (c *conn) rawSocket(data []byte) (used int) {
	for !c.halted() {
		if p := c.part; p != nil {
			n := min(p.need, len(data)-used)
			if n == 0 {
				return used
			}
			p.add(data[used : used+n])
			used += n
			p.need -= n
			if p.need == 0 {
				c.part = nil
				c.rawFrame(p.kind, p.buf)
				p.release()
			}
			continue
		}
		if len(data) == used {
			return used
		}
		first := data[used]
		kind := first & rawTypeMask
		if first&rawReserved != 0 || kind > rawPong {
			c.breach("reserved bits or type in a frame prefix")
			return len(data)
		}
		if len(data)-used < rawPrefixBytes {
			return used
		}
		length := int(binary.BigEndian.Uint32(data[used:]) & 0xFFFFFF)
		if first&rawX != 0 {
			if length != 0 {
				c.breach("length out of range")
				return len(data)
			}
			length = 1 << 24
		}
		if length > rawSmallestLimit<<c.loop.engine.rawExponent {
			c.loop.engine.rare.tooBig.Add(1)
			c.fail(0, "")
			return len(data)
		}
		used += rawPrefixBytes
		if len(data)-used >= length {
			c.rawFrame(kind, data[used:used+length])
			used += length
			continue
		}
		c.part = newPartial()
		c.part.kind, c.part.need = kind, length
	}
	return used
}

func (c *conn) rawFrame(kind byte, payload []byte) {
	switch kind {
	case rawMessage:
		if len(payload) == 0 {
			c.violate(&codec.Violation{Reason: "empty message"})
			return
		}
		c.receive(payload)
	case rawPing:
		c.rawPong(payload)
	}
}

// rawPong answers a ping with the same payload. The client's own limit binds the answer too.
func (c *conn) rawPong(payload []byte) {
	if len(payload) > c.messageMax {
		c.breach("ping longer than the client's own limit")
		return
	}
	c.q.mu.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, appendRaw(buf, rawPong, payload))
	}
	c.q.mu.Unlock()
}

// appendRaw appends one RawSocket frame.
func appendRaw(dst []byte, kind byte, payload []byte) []byte {
	if len(payload) == 1<<24 {
		return append(append(dst, kind|rawX, 0, 0, 0), payload...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)&math.MaxInt32)|uint32(kind)<<24)
	return append(dst, payload...)
}
