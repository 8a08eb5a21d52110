//go:build linux

package engine

import (
	"errors"
	"unicode/utf8"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A WebSocket connection reads its frames (RFC 6455 section 5, PROTOCOL 13.1):
//
//  1. a whole, unfragmented frame is unmasked and handled where it was read
//  2. every other message is collected in a partial, which grows with the octets that arrived
//  3. a compressed message is inflated (inflate.go)
//  4. a whole message is one WAMP message, or a batch of them
//
// engine/internal/wire parses and judges; this file only does what follows from its answers.

var pingFrame = wire.AppendControl(nil, wire.OpPing, nil)

// webSocket handles the frames in data and returns how many octets are done with.
func (c *conn) webSocket(data []byte) (used int) {
	for !c.halted() {
		p := c.part
		if p != nil && p.ready {
			c.deliver(p)
			continue
		}
		if p != nil && p.frames.Missing() > 0 {
			n := min(p.frames.Missing(), len(data)-used)
			if n == 0 {
				return used
			}
			c.webSocketPiece(p, data[used:used+n])
			used += n
			continue
		}
		if len(data) == used {
			return used
		}
		if p == nil && c.binary {
			if head, length := wire.UsualFrame(data[used:], c.messageLimit()); head > 0 {
				payload := data[used+head : used+head+length]
				wire.Unmask(payload, [4]byte(data[used+head-4:]))
				used += head + length
				c.message(payload)
				continue
			}
		}
		f, whole, fault := wire.ReadFrame(data[used:], c.frameRules())
		if fault != wire.NoFault {
			c.fault(fault)
			return len(data)
		}
		if !whole {
			return used
		}
		payload := data[used+f.Bytes:]
		switch {
		case f.Control():
			if len(payload) < f.Length {
				return used
			}
			payload = payload[:f.Length]
			wire.Unmask(payload, f.Mask)
			used += f.Bytes + f.Length
			c.control(f.Opcode, payload)
			continue
		case p == nil && f.Fin && len(payload) >= f.Length:
			used += f.Bytes + f.Length
			c.webSocketWhole(f, payload[:f.Length])
			continue
		case p == nil:
			p = newPartial()
			c.part = p
		}
		used += f.Bytes
		p.frames.Begin(f)
		if f.Length == 0 {
			c.webSocketPiece(p, nil)
		}
	}
	if c.finished.Load() {
		return len(data)
	}
	return used
}

// frameRules says which frames may come now.
func (c *conn) frameRules() wire.FrameRules {
	r := wire.FrameRules{Text: !c.binary, BytesMax: c.messageLimit(), Deflate: c.variant.Deflates()}
	if c.part != nil {
		r.InMessage = true
		r.BytesMax -= c.part.bytes
	}
	return r
}

// webSocketWhole handles a message of one frame that is all there.
func (c *conn) webSocketWhole(f wire.Frame, payload []byte) {
	wire.Unmask(payload, f.Mask)
	if f.Compressed {
		c.inflateFrame(f, payload)
		return
	}
	if f.Opcode == wire.OpText && !utf8.Valid(payload) {
		c.fault(wire.InvalidText)
		return
	}
	c.message(payload)
}

// webSocketPiece adds the next octets of the present frame to p, and handles the message if it ends with them.
func (c *conn) webSocketPiece(p *partial, piece []byte) {
	whole, fault := p.frames.Take(c.collect(p, piece))
	switch {
	case fault != wire.NoFault:
		c.fault(fault)
	case whole && p.frames.Compressed:
		c.inflatePartial(p)
	case whole:
		c.complete(p)
	}
}

// fault ends the connection because of what its frames hold.
func (c *conn) fault(f wire.Fault) {
	switch f {
	case wire.WrongType:
		c.violate(&codec.Violation{Reason: f.String()})
	case wire.TooBig:
		c.tooBig()
		c.fail(wire.CloseTooBig, f.String())
	case wire.InvalidText, wire.BadDeflate:
		c.fail(wire.CloseInvalidText, f.String())
	default:
		c.breach(f.String())
	}
}

// control handles a whole control frame.
func (c *conn) control(opcode byte, payload []byte) {
	switch opcode {
	case wire.OpPing:
		if c.loop.pongs >= pongsPerRead {
			c.loop.lastPong = payload
			return
		}
		c.loop.pongs++
		c.pong(payload)
	case wire.OpClose:
		c.peerDone = true
		code, reason := wire.JudgeClose(payload)
		c.fail(port.CloseCode(code), reason)
	}
}

func (c *conn) pong(payload []byte) {
	c.q.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, wire.AppendControl(buf, wire.OpPong, payload))
	}
	c.q.Unlock()
}

// message hands a whole WebSocket message to the session, as one WAMP message or as a batch of them.
func (c *conn) message(b []byte) {
	switch {
	case c.batched:
		c.batch(b)
	case len(b) == 0:
		c.violate(&codec.Violation{Reason: "empty message"})
	default:
		c.receive(b)
	}
}

// batch handles the messages of a batch in their order (PROTOCOL 13.2). A violation ends it; the messages before it
// took effect. If the connection halts in between, the rest waits in c.part.
func (c *conn) batch(b []byte) {
	for {
		msg, rest, old, err := codec.SplitBatch(c.variant.Serializer(), b)
		if err != nil {
			c.violate(asViolation(err))
			return
		}
		if old && !c.batchSeen && c.phase == phaseLongPoll {
			c.longPoll().useOldEnd()
		} else if c.variant.Framing() == codec.WebSocketBatch && old && !c.batchSeen {
			old := codec.MakeVariant(codec.JSON, codec.WebSocketBatchOld)
			if c.variant.Deflates() {
				old = old.Deflating()
			}
			c.variant = old
		}
		c.batchSeen = true
		c.receive(msg)
		b = rest
		if len(b) == 0 || c.finished.Load() {
			return
		}
		if c.halted() {
			c.keepBatch(b)
			return
		}
	}
}

func asViolation(err error) *codec.Violation {
	if v, ok := errors.AsType[*codec.Violation](err); ok {
		return v
	}
	return &codec.Violation{Reason: err.Error()}
}
