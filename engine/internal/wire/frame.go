package wire

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// WebSocket frames (RFC 6455 section 5, PROTOCOL 13.1).

// Opcodes, and the bits around them.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA

	BitFin = 0x80

	bitMask    = 0x80
	bitsRSV    = 0x70
	bitRSV1    = 0x40 // a compressed message, in its first frame (RFC 7692 6)
	bitControl = 0x08
)

// ControlBytesMax is the longest payload of a control frame, in octets.
const ControlBytesMax = 125

// A Frame is the header of one client frame.
type Frame struct {
	Fin        bool
	Compressed bool // the message that begins here is compressed
	Opcode     byte
	Bytes      int // length of the header itself
	Length     int // length of the payload
	Mask       [4]byte
}

// Control reports whether f is a close, a ping or a pong.
func (f *Frame) Control() bool { return f.Opcode&bitControl != 0 }

// FrameRules say which frames may come now.
type FrameRules struct {
	InMessage bool // a fragmented message is under way
	Text      bool // data frames are text; otherwise binary
	Deflate   bool // messages may be compressed
	BytesMax  int  // octets by which the message may still grow
}

// ReadFrame reads the header at the start of b, which holds at least one octet. whole is false while octets of the
// header are missing.
func ReadFrame(b []byte, r FrameRules) (f Frame, whole bool, fault Fault) {
	f.Fin = b[0]&BitFin != 0
	f.Compressed = b[0]&bitRSV1 != 0
	f.Opcode = b[0] & 0x0F
	if fault = judgeFirst(b[0], r); fault != NoFault || len(b) == 1 {
		return f, false, fault
	}
	if b[1]&bitMask == 0 {
		return f, false, Unmasked
	}
	length := uint64(b[1] &^ bitMask)
	if f.Control() && length > ControlBytesMax {
		return f, false, LongControl
	}
	extra := 0
	switch length {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if extra > 0 {
		// Missing octets count as zero: the length can only become larger.
		length = 0
		for i := range extra {
			length <<= 8
			if 2+i < len(b) {
				length |= uint64(b[2+i])
			}
		}
	}
	if length > 1<<63-1 {
		return f, false, LengthRange
	}
	if !f.Control() && length > uint64(max(r.BytesMax, 0)) {
		return f, false, TooBig
	}
	f.Bytes = 2 + extra + len(f.Mask)
	if len(b) < f.Bytes {
		return f, false, NoFault
	}
	f.Length = int(length)
	copy(f.Mask[:], b[2+extra:])
	return f, true, NoFault
}

// judgeFirst judges the first octet of a frame.
func judgeFirst(first byte, r FrameRules) Fault {
	opcode := first & 0x0F
	reserved := byte(bitsRSV)
	if r.Deflate && (opcode == OpText || opcode == OpBinary) {
		reserved &^= bitRSV1
	}
	if first&reserved != 0 {
		return ReservedBits
	}
	switch opcode {
	case OpContinuation:
		if !r.InMessage {
			return StrayContinuation
		}
	case OpText, OpBinary:
		if r.InMessage {
			return NestedMessage
		}
		if (opcode == OpText) != r.Text {
			return WrongType
		}
	case OpClose, OpPing, OpPong:
		if first&BitFin == 0 {
			return FragmentedControl
		}
	default:
		return ReservedOpcode
	}
	return NoFault
}

// UsualFrame recognizes the most frequent frame: a whole binary message of less than 64 KiB, and not above bytesMax,
// of which every octet is in b. It returns the lengths of its header and of its payload. For any other frame head is
// 0, and ReadFrame says what it is.
//
// hot: bench rpc --callers 16 --inflight 64.
func UsualFrame(b []byte, bytesMax int) (head, length int) {
	if len(b) < 8 || b[0] != BitFin|OpBinary || b[1]&bitMask == 0 {
		return 0, 0
	}
	head, length = 6, int(b[1]&^bitMask)
	switch length {
	case 126:
		head, length = 8, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 0, 0
	}
	if len(b) < head+length || length > bytesMax {
		return 0, 0
	}
	return head, length
}

// Unmask unmasks the payload of a whole frame in place.
func Unmask(payload []byte, mask [4]byte) { ws.Cipher(payload, mask, 0) }

// A Message is the state of a WebSocket message that arrives in several pieces, frames or parts of frames. The zero
// value is a message before its first frame. The caller keeps the octets.
type Message struct {
	Opcode     byte // of the first frame: OpText or OpBinary
	Compressed bool // what Take takes is to be inflated

	missing int // octets that the present frame still lacks
	pos     int // where the next octet stands in the mask
	mask    [4]byte
	text    UTF8
	fin     bool // the present frame is the last
}

// Begin starts the next frame of the message. f has passed ReadFrame.
func (m *Message) Begin(f Frame) {
	if f.Opcode != OpContinuation {
		m.Opcode, m.Compressed = f.Opcode, f.Compressed
	}
	m.missing, m.pos, m.mask, m.fin = f.Length, 0, f.Mask, f.Fin
}

// Missing returns how many octets the present frame still lacks.
func (m *Message) Missing() int { return m.missing }

// Take takes the next octets of the present frame, at most Missing, and unmasks them in place. whole reports that the
// message ends with them. A frame without payload is taken with an empty piece. The fault is InvalidText or none;
// compressed text is judged when it is inflated.
func (m *Message) Take(piece []byte) (whole bool, fault Fault) {
	ws.Cipher(piece, m.mask, m.pos)
	m.pos = (m.pos + len(piece)) % len(m.mask)
	m.missing -= len(piece)
	whole = m.fin && m.missing == 0
	if m.Opcode == OpText && !m.Compressed && (!m.text.Feed(piece) || whole && !m.text.Whole()) {
		return false, InvalidText
	}
	return whole, NoFault
}
