package codec

import "encoding/binary"

// A Framing is how a transport wraps one message on its way out.
type Framing uint8

// Framings.
const (
	WebSocket         Framing = iota // one unmasked, unfragmented frame; text for JSON, binary otherwise
	WebSocketBatch                   // the same around one batch entry: JSON + 0x1E, or 32-bit length + message
	RawSocket                        // 4-octet prefix
	WebSocketBatchOld                // as WebSocketBatch, but JSON ends in 0x18; for JSON only (PROTOCOL 13.2)
)

// A Variant is the serializer and the framing of a connection, and whether WebSocket frames may be compressed
// (permessage-deflate). It indexes arrays of NumVariants.
type Variant uint8

// NumVariants is the number of Variants: three serializers in three framings, and JSON in WebSocketBatchOld; those of
// WebSocket also compressed.
const NumVariants = 17

var variants = [NumVariants]struct {
	serializer Serializer
	framing    Framing
	deflates   bool
}{
	{JSON, WebSocket, false},
	{MessagePack, WebSocket, false},
	{CBOR, WebSocket, false},
	{JSON, WebSocketBatch, false},
	{MessagePack, WebSocketBatch, false},
	{CBOR, WebSocketBatch, false},
	{JSON, RawSocket, false},
	{MessagePack, RawSocket, false},
	{CBOR, RawSocket, false},
	{JSON, WebSocketBatchOld, false},
	{JSON, WebSocket, true},
	{MessagePack, WebSocket, true},
	{CBOR, WebSocket, true},
	{JSON, WebSocketBatch, true},
	{MessagePack, WebSocketBatch, true},
	{CBOR, WebSocketBatch, true},
	{JSON, WebSocketBatchOld, true},
}

// MakeVariant combines s and f. Only JSON has terminators: for other serializers WebSocketBatchOld means
// WebSocketBatch. Its frames are not compressed: see Deflating.
func MakeVariant(s Serializer, f Framing) Variant {
	if f == WebSocketBatchOld && s != JSON {
		f = WebSocketBatch
	}
	return Variant(uint8(s-1) + 3*uint8(f))
}

// VariantsOf returns all Variants of the serializer s, those with compressed frames last. The caller must not change
// the result.
func VariantsOf(s Serializer) []Variant { return variantsOf[s] }

var variantsOf = [...][]Variant{
	JSON: {0, 3, 6, 9, 10, 13, 16}, MessagePack: {1, 4, 7, 11, 14}, CBOR: {2, 5, 8, 12, 15},
}

// Serializer returns v's serializer.
func (v Variant) Serializer() Serializer { return variants[v].serializer }

// Framing returns v's framing.
func (v Variant) Framing() Framing { return variants[v].framing }

const (
	websocketText   = 0x81 // FIN and opcode
	websocketBinary = 0x82

	rawSocketExact = 0x08 // the X bit of the RawSocket prefix: exactly 2^24 octets
)

// MessageBytesMax returns the length in octets of the longest message that a frame of v can carry: 2^24 in RawSocket,
// the most that its prefix expresses (PROTOCOL 13.3), and the constant MessageBytesMax in the other framings.
func (v Variant) MessageBytesMax() int {
	if v.Framing() == RawSocket {
		return rawSocketBytesMax
	}
	return MessageBytesMax
}

// batchOverhead returns how many octets batching puts before and behind a message (PROTOCOL 13.2).
func (v Variant) batchOverhead() (before, behind int) {
	if f := v.Framing(); f != WebSocketBatch && f != WebSocketBatchOld {
		return 0, 0
	}
	if v.Serializer() == JSON {
		return 0, 1
	}
	return 4, 0
}

// headerLen returns the length of the header of a message of n octets. The length of a batch entry is part of the
// header.
func (v Variant) headerLen(n int) int {
	if v.Framing() == RawSocket {
		return 4
	}
	before, behind := v.batchOverhead()
	switch n += before + behind; {
	case n < 126:
		return before + 2
	case n < 1<<16:
		return before + 4
	}
	return before + 10
}

// putHeader writes the header of a message of n octets to h. len(h) is v.headerLen(n); n is at most
// v.MessageBytesMax().
func (v Variant) putHeader(h []byte, n int) {
	if v.Framing() == RawSocket {
		if n == rawSocketBytesMax {
			binary.BigEndian.PutUint32(h, rawSocketExact<<24)
		} else {
			binary.BigEndian.PutUint32(h, uint32(n))
		}
		return
	}
	before, behind := v.batchOverhead()
	h[0] = websocketBinary
	if v.Serializer() == JSON {
		h[0] = websocketText
	}
	switch payload := before + n + behind; len(h) - before {
	case 2:
		h[1] = byte(payload)
	case 4:
		h[1] = 126
		binary.BigEndian.PutUint16(h[2:], uint16(payload))
	default:
		h[1] = 127
		binary.BigEndian.PutUint64(h[2:], uint64(payload))
	}
	if before > 0 {
		binary.BigEndian.PutUint32(h[len(h)-before:], uint32(n))
	}
}

// appendTerminator appends the octet that batching puts behind a JSON message.
func (v Variant) appendTerminator(dst []byte) []byte {
	if _, behind := v.batchOverhead(); behind == 0 {
		return dst
	}
	if v.Framing() == WebSocketBatchOld {
		return append(dst, batchEndOld)
	}
	return append(dst, batchEnd)
}

// AppendFrame appends msg in a frame of v. If msg is longer than v.MessageBytesMax() no frame can carry it:
// AppendFrame returns dst unchanged, and false.
func AppendFrame(dst []byte, v Variant, msg []byte) (framed []byte, ok bool) {
	if len(msg) > v.MessageBytesMax() {
		return dst, false
	}
	start := len(dst)
	dst = append(dst, noHeader[:v.headerLen(len(msg))]...)
	v.putHeader(dst[start:], len(msg))
	dst = appendLong(dst, msg)
	return v.appendTerminator(dst), true
}

var noHeader [14]byte

// BeginFrame makes room for the header of a message of about estimate octets. The caller appends the message and
// calls EndFrame, which writes the header.
func BeginFrame(dst []byte, v Variant, estimate int) []byte {
	return append(dst, noHeader[:v.headerLen(estimate)]...)
}

// EndFrame completes the frame that BeginFrame began with the same estimate when dst had the length start. It moves
// the message if the header needs another length than the estimate said. If the message is longer than bytesMax, the
// receiver's limit in octets, or than v.MessageBytesMax(), EndFrame removes the frame: it returns dst[:start] and
// false.
func EndFrame(dst []byte, v Variant, start, estimate, bytesMax int) (framed []byte, ok bool) {
	had := v.headerLen(estimate)
	n := len(dst) - start - had
	if n > min(bytesMax, v.MessageBytesMax()) {
		return dst[:start], false
	}
	need := v.headerLen(n)
	if need != had {
		if need > had {
			dst = append(dst, noHeader[:need-had]...)
		}
		copy(dst[start+need:], dst[start+had:start+had+n])
		dst = dst[:start+need+n]
	}
	v.putHeader(dst[start:start+need], n)
	return v.appendTerminator(dst), true
}

// CutFrame cuts the first frame off run, a sequence of frames of v that AppendFrame or EndFrame wrote. rest holds the
// frames behind it; n is the length in octets of the message in the frame. If run does not begin with a whole frame,
// ok is false and frame and rest are nil: a loop over the rest always ends.
func CutFrame(v Variant, run []byte) (frame, rest []byte, n int, ok bool) {
	header, payload, ok := v.readHeader(run)
	before, behind := v.batchOverhead()
	if !ok || payload > uint64(len(run)-header) || payload < uint64(before+behind) {
		return nil, nil, 0, false
	}
	end := header + int(payload)
	return run[:end:end], run[end:], int(payload) - before - behind, true
}

// readHeader reads the header of the frame at the beginning of b. It returns the length of the header and of the
// payload, which includes the octets of batching. ok is false if the header is cut short or putHeader does not write
// such a header.
func (v Variant) readHeader(b []byte) (header int, payload uint64, ok bool) {
	if v.Framing() == RawSocket {
		if len(b) < 4 {
			return 0, 0, false
		}
		prefix := binary.BigEndian.Uint32(b)
		if prefix == rawSocketExact<<24 {
			return 4, rawSocketBytesMax, true
		}
		return 4, uint64(prefix), prefix < rawSocketBytesMax
	}
	if len(b) < 2 {
		return 0, 0, false
	}
	switch {
	case b[1] < 126:
		return 2, uint64(b[1]), true
	case b[1] == 126 && len(b) >= 4:
		return 4, uint64(binary.BigEndian.Uint16(b[2:])), true
	case b[1] == 127 && len(b) >= 10:
		return 10, binary.BigEndian.Uint64(b[2:]), true
	}
	return 0, 0, false
}
