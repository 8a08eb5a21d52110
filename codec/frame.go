package codec

import "encoding/binary"

// A Framing is how a transport wraps one message on its way out.
type Framing uint8

// Framings.
const (
	WebSocket         Framing = iota // one unmasked, unfragmented frame; text for JSON, binary otherwise
	WebSocketBatch                   // the same around one batch entry: JSON + 0x1E, or 32-bit length + message
	WebSocketBatchOld                // as WebSocketBatch, but JSON ends in 0x18 (PROTOCOL 13.2)
	RawSocket                        // 4-octet prefix
	numFramings
)

// A Variant is a serializer and a framing: what a connection wants its bytes to look like. It indexes arrays of NumVariants.
type Variant uint8

// NumVariants is the number of Variants.
const NumVariants = 3 * int(numFramings)

// MakeVariant combines s and f.
func MakeVariant(s Serializer, f Framing) Variant { return Variant(uint8(s-1) + 3*uint8(f)) }

// Serializer returns v's serializer.
func (v Variant) Serializer() Serializer { return Serializer(v%3) + 1 }

// Framing returns v's framing.
func (v Variant) Framing() Framing { return Framing(v / 3) }

const (
	websocketText   = 0x81 // FIN and opcode
	websocketBinary = 0x82

	rawSocketBytesMax = 1 << 24 // the longest message that the prefix can express
	rawSocketExact    = 0x08    // the X bit: exactly 2^24 octets
)

// batchOverhead returns the octets that batching puts before and behind a message (PROTOCOL 13.2).
func (v Variant) batchOverhead() (before, behind int) {
	if f := v.Framing(); f != WebSocketBatch && f != WebSocketBatchOld {
		return 0, 0
	}
	if v.Serializer() == JSON {
		return 0, 1
	}
	return 4, 0
}

// headerLen returns the length of the header of a message of n octets, the length of a batch entry included.
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

// putHeader writes the header of a message of n octets to h, which is as long as headerLen says. RawSocket cannot express a message
// beyond 2^24 octets; its prefix then has every reserved bit set, and whoever framed it must not send it.
func (v Variant) putHeader(h []byte, n int) {
	if v.Framing() == RawSocket {
		switch {
		case n < rawSocketBytesMax:
			binary.BigEndian.PutUint32(h, uint32(n))
		case n == rawSocketBytesMax:
			binary.BigEndian.PutUint32(h, rawSocketExact<<24)
		default:
			binary.BigEndian.PutUint32(h, 1<<32-1)
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

// appendTerminator appends what batching puts behind a JSON message.
func (v Variant) appendTerminator(dst []byte) []byte {
	if _, behind := v.batchOverhead(); behind == 0 {
		return dst
	}
	if v.Framing() == WebSocketBatchOld {
		return append(dst, batchEndOld)
	}
	return append(dst, batchEnd)
}

// AppendFrame appends msg wrapped for v. In RawSocket, msg has at most 2^24 octets.
func AppendFrame(dst []byte, v Variant, msg []byte) []byte {
	start := len(dst)
	dst = BeginFrame(dst, v, len(msg))
	dst = append(dst, msg...)
	dst, _ = EndFrame(dst, v, start, len(msg))
	return dst
}

var noHeader [14]byte

// BeginFrame makes room for the header of a message of about estimate bytes that the caller appends next; EndFrame writes the header, moving
// the message if the estimate chose another header length. start is len(dst) before BeginFrame.
func BeginFrame(dst []byte, v Variant, estimate int) []byte {
	return append(dst, noHeader[:v.headerLen(estimate)]...)
}

// EndFrame completes the frame that BeginFrame began at start with the same estimate; it returns the message's length. Beyond what the
// peer accepts, beyond 2^24 in any RawSocket, the caller withdraws the frame.
func EndFrame(dst []byte, v Variant, start, estimate int) (framed []byte, messageLen int) {
	had := v.headerLen(estimate)
	n := len(dst) - start - had
	need := v.headerLen(n)
	if need != had {
		if need > had {
			dst = append(dst, noHeader[:need-had]...)
		}
		copy(dst[start+need:], dst[start+had:start+had+n])
		dst = dst[:start+need+n]
	}
	v.putHeader(dst[start:start+need], n)
	return v.appendTerminator(dst), n
}

// FrameLen returns the length of the first whole frame of v in b, and of the message in it; 0, 0 if b does not begin with a whole
// frame. It reads frames that AppendFrame or EndFrame wrote, so that a run of them can be walked.
func FrameLen(v Variant, b []byte) (frame, message int) {
	header, payload := 4, uint64(0)
	if v.Framing() == RawSocket {
		if len(b) < header {
			return 0, 0
		}
		payload = uint64(binary.BigEndian.Uint32(b))
		if payload == rawSocketExact<<24 {
			payload = rawSocketBytesMax
		}
	} else {
		if len(b) < 2 {
			return 0, 0
		}
		switch b[1] {
		case 126:
			if len(b) < 4 {
				return 0, 0
			}
			payload = uint64(binary.BigEndian.Uint16(b[2:]))
		case 127:
			header = 10
			if len(b) < header {
				return 0, 0
			}
			payload = binary.BigEndian.Uint64(b[2:])
		default:
			header, payload = 2, uint64(b[1])
		}
	}
	before, behind := v.batchOverhead()
	if payload > uint64(len(b)-header) || payload < uint64(before+behind) {
		return 0, 0
	}
	return header + int(payload), int(payload) - before - behind
}
