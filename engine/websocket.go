//go:build linux

package engine

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"banyan/codec"
	"banyan/engine/port"
)

// The WebSocket parser (RFC 6455 section 5, PROTOCOL 13.1). A whole, unfragmented frame is unmasked and handled where it was
// read; everything else is collected in a partial that grows with what arrived. Checks fall at the first octet that shows the fault.

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	bitFin     = 0x80
	bitMask    = 0x80
	bitsRSV    = 0x70
	bitControl = 0x08

	controlBytesMax = 125
	reasonBytesMax  = controlBytesMax - 2

	// pongsPerRead is how many pings of one read are answered each; of more than these only the last is (RFC 6455 5.5.3 allows
	// that for all of them).
	pongsPerRead = 64
)

// Close codes that only the transport uses.
const (
	closeInvalidText port.CloseCode = 1007
	closeTooBig      port.CloseCode = 1009
)

var pingFrame = []byte{bitFin | opPing, 0}

// A header is a parsed frame header.
type header struct {
	fin    bool
	opcode byte
	bytes  int // of the header itself
	length int // of the payload
	mask   [4]byte
}

// firstFault judges the first octet of a frame. inMessage says that a fragmented message is under way.
func firstFault(first byte, inMessage bool) string {
	if first&bitsRSV != 0 {
		return "reserved bits set"
	}
	switch first & 0x0F {
	case opContinuation:
		if !inMessage {
			return "continuation of nothing"
		}
	case opText, opBinary:
		if inMessage {
			return "message within a message"
		}
	case opClose, opPing, opPong:
		if first&bitFin == 0 {
			return "fragmented control frame"
		}
	default:
		return "reserved opcode"
	}
	return ""
}

// parseHeader reads the header at the start of b, whose first octet is good. whole is false when octets are missing; fault says
// what is wrong, as early as that can be seen.
func parseHeader(b []byte) (h header, whole bool, fault string) {
	h.fin = b[0]&bitFin != 0
	h.opcode = b[0] & 0x0F
	if len(b) == 1 {
		return h, false, ""
	}
	if b[1]&bitMask == 0 {
		return h, false, "unmasked frame"
	}
	h.length = int(b[1] &^ bitMask)
	if h.opcode&bitControl != 0 && h.length > controlBytesMax {
		return h, false, "control frame too long"
	}
	h.bytes = 2
	switch h.length {
	case 126:
		h.bytes = 4
		if len(b) < h.bytes {
			return h, false, ""
		}
		h.length = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.bytes = 10
		if len(b) > 2 && b[2]&0x80 != 0 {
			return h, false, "frame length out of range"
		}
		if len(b) < h.bytes {
			return h, false, ""
		}
		h.length = int(binary.BigEndian.Uint64(b[2:]))
	}
	if len(b) < h.bytes+4 {
		return h, false, ""
	}
	copy(h.mask[:], b[h.bytes:])
	h.bytes += 4
	return h, true, ""
}

// webSocket handles the frames in data and reports how much of it is done with.
func (c *conn) webSocket(data []byte) (used int) {
	if c.part != nil && c.part.rest != nil && !c.halted() {
		c.batchRest()
	}
	for !c.halted() {
		if p := c.part; p != nil && p.need > 0 {
			n := min(p.need, len(data)-used)
			if n == 0 {
				return used
			}
			if !c.webSocketPiece(p, data[used:used+n]) {
				return len(data)
			}
			used += n
			continue
		}
		if len(data) == used {
			return used
		}
		if n := c.usualFrame(data[used:]); n > 0 {
			used += n
			continue
		}
		fault := firstFault(data[used], c.part != nil)
		if fault == "" && c.wrongType(data[used]&0x0F) {
			c.violate(&codec.Violation{Reason: "text and binary frames do not match the serializer"})
			return len(data)
		}
		var h header
		whole := false
		if fault == "" {
			h, whole, fault = parseHeader(data[used:])
		}
		if fault != "" {
			c.breach(fault)
			return len(data)
		}
		if !whole {
			return used
		}
		payload := data[used+h.bytes:]
		if h.opcode&bitControl != 0 {
			if len(payload) < h.length {
				return used
			}
			payload = payload[:h.length]
			ws.Cipher(payload, h.mask, 0)
			used += h.bytes + h.length
			c.control(h.opcode, payload)
			continue
		}
		used += h.bytes
		sofar := 0
		if c.part != nil {
			sofar = len(c.part.buf)
		}
		if h.length > c.loop.engine.cfg.MessageBytesMax-sofar {
			c.loop.engine.rare.tooBig.Add(1)
			c.fail(closeTooBig, "message too big")
			return len(data)
		}
		if c.part == nil && h.fin && len(payload) >= h.length {
			payload = payload[:h.length]
			ws.Cipher(payload, h.mask, 0)
			used += h.length
			if h.opcode == opText && !utf8.Valid(payload) {
				c.fail(closeInvalidText, "invalid UTF-8")
				return len(data)
			}
			c.message(payload)
			continue
		}
		p := c.part
		if p == nil {
			p = newPartial()
			p.kind = h.opcode
			c.part = p
		}
		p.need, p.pos, p.mask, p.fin = h.length, 0, h.mask, h.fin
		if h.length == 0 && !c.webSocketPiece(p, nil) {
			return len(data)
		}
	}
	return used
}

// usualFrame handles what nearly every frame is: a whole binary message of less than 64 KiB that is all there. It returns its length, or
// 0 for anything else, which it leaves alone.
func (c *conn) usualFrame(b []byte) int {
	if len(b) < 8 || b[0] != bitFin|opBinary || b[1]&bitMask == 0 || c.part != nil || !c.binary {
		return 0
	}
	head, length := 6, int(b[1]&^bitMask)
	switch length {
	case 126:
		head, length = 8, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 0
	}
	if len(b) < head+length || length > c.loop.engine.cfg.MessageBytesMax {
		return 0
	}
	payload := b[head : head+length]
	ws.Cipher(payload, [4]byte(b[head-4:head]), 0)
	c.message(payload)
	return head + length
}

// webSocketPiece adds the next octets of the present frame. It reports false when the connection failed.
func (c *conn) webSocketPiece(p *partial, piece []byte) bool {
	piece = p.add(piece)
	ws.Cipher(piece, p.mask, p.pos)
	p.pos = (p.pos + len(piece)) % 4
	p.need -= len(piece)
	last := p.fin && p.need == 0
	if p.kind == opText && (!p.text.Feed(piece) || last && !p.text.Whole()) {
		c.fail(closeInvalidText, "invalid UTF-8")
		return false
	}
	if !last {
		return true
	}
	c.part = nil
	c.message(p.buf)
	p.release()
	return true
}

// wrongType reports a data frame that the serializer does not use: text is for JSON, binary for everything else.
func (c *conn) wrongType(opcode byte) bool {
	if opcode != opText && opcode != opBinary {
		return false
	}
	return (opcode == opText) != (c.variant.Serializer() == codec.JSON)
}

// control handles a whole control frame.
func (c *conn) control(opcode byte, payload []byte) {
	switch opcode {
	case opPing:
		if c.loop.pongs >= pongsPerRead {
			c.loop.lastPong = payload
			return
		}
		c.loop.pongs++
		c.pong(payload)
	case opClose:
		c.peerDone = true
		code, reason := judgeClose(payload)
		c.fail(code, reason)
	}
}

func (c *conn) pong(payload []byte) {
	c.q.mu.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		buf = append(buf, bitFin|opPong, byte(len(payload)))
		c.Commit(c.loop, append(buf, payload...))
	}
	c.q.mu.Unlock()
}

// judgeClose returns the code to answer a close frame with: its own, or what is wrong with it.
func judgeClose(payload []byte) (port.CloseCode, string) {
	switch {
	case len(payload) == 0:
		return port.CloseNormal, ""
	case len(payload) == 1:
		return port.CloseViolation, "close frame of one octet"
	}
	code := binary.BigEndian.Uint16(payload)
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return port.CloseViolation, "invalid close code"
	}
	if !utf8.Valid(payload[2:]) {
		return closeInvalidText, "invalid UTF-8"
	}
	return port.CloseCode(code), ""
}

// appendClose appends a close frame. A reason that is too long is cut between two characters.
func appendClose(dst []byte, code port.CloseCode, reason string) []byte {
	if len(reason) > reasonBytesMax {
		n := reasonBytesMax
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst = append(dst, bitFin|opClose, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(dst, reason...)
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

// batch handles the messages of a batch in their order (PROTOCOL 13.2). A violation ends it; the messages before it took effect. What a
// pause leaves is kept.
func (c *conn) batch(b []byte) {
	for {
		msg, rest, old, err := codec.SplitBatch(c.variant.Serializer(), b)
		if err != nil {
			c.violate(asViolation(err))
			return
		}
		if c.variant.Framing() == codec.WebSocketBatch && old && !c.batchSeen {
			c.variant = codec.MakeVariant(codec.JSON, codec.WebSocketBatchOld)
		}
		c.batchSeen = true
		c.receive(msg)
		b = rest
		if len(b) == 0 || c.finished.Load() {
			return
		}
		if c.hold != 0 {
			c.part = newPartial()
			c.part.rest = append(takeBuffer(len(b)), b...)
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

// batchRest goes on with the batch that a pause interrupted.
func (c *conn) batchRest() {
	p := c.part
	c.part = nil
	rest := p.rest
	p.rest = nil
	p.release()
	c.batch(rest)
	giveBuffer(rest)
}
