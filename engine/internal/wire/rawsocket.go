package wire

import "encoding/binary"

// RawSocket (PROTOCOL 13.3): a handshake of four octets each way, then frames with a prefix of four octets.

const (
	// RawMagic is the first octet of either handshake.
	RawMagic = 0x7F
	// RawBytesMin is the smallest message limit that a handshake can announce, in octets; the largest is RawBytesMax.
	RawBytesMin = 512
	// RawBytesMax is the longest message that a prefix can announce, in octets.
	RawBytesMax = 1 << 24
	// RawHelloBytes is the length of a handshake, RawPrefixBytes of a prefix, in octets.
	RawHelloBytes  = 4
	RawPrefixBytes = 4
)

// Frame types.
const (
	RawMessage = 0
	RawPing    = 1
	RawPong    = 2
)

const (
	rawTypeMask = 0x07
	rawX        = 0x08 // the payload has exactly RawBytesMax octets
	rawReserved = 0xF0

	rawSerializerMin = 1 // JSON
	rawSerializerMax = 3 // CBOR
)

// A RawError is an error of the handshake: it stands in the upper half of the second octet. The zero value means
// none.
type RawError byte

// The errors of the handshake.
const (
	RawErrorSerializer  RawError = 1
	RawErrorLength      RawError = 2
	RawErrorReserved    RawError = 3
	RawErrorConnections RawError = 4
)

// String says what is wrong, for logs.
func (e RawError) String() string {
	switch e {
	case RawErrorSerializer:
		return "serializer unsupported"
	case RawErrorLength:
		return "maximum message length unacceptable"
	case RawErrorReserved:
		return "reserved octets set"
	case RawErrorConnections:
		return "too many connections"
	}
	return ""
}

// A RawHello is a client's handshake.
type RawHello struct {
	Serializer byte // 1 JSON, 2 MessagePack, 3 CBOR
	BytesMax   int  // the longest message that the client accepts, in octets
}

// ReadRawHello reads the handshake at the start of b, whose first octet is RawMagic. whole is false while octets are
// missing. A client must accept messages of bytesMin octets.
func ReadRawHello(b []byte, bytesMin int) (h RawHello, whole bool, refused RawError) {
	if len(b) < RawHelloBytes {
		return h, false, 0
	}
	h.Serializer = b[1] & 0x0F
	h.BytesMax = RawBytesMin << (b[1] >> 4)
	switch {
	case b[2] != 0 || b[3] != 0:
		return h, true, RawErrorReserved
	case h.Serializer < rawSerializerMin || h.Serializer > rawSerializerMax:
		return h, true, RawErrorSerializer
	case h.BytesMax < bytesMin:
		return h, true, RawErrorLength
	}
	return h, true, 0
}

// AppendRawHello appends the router's handshake, which announces messages of up to RawBytesMin << exponent octets.
func AppendRawHello(dst []byte, exponent, serializer byte) []byte {
	return append(dst, RawMagic, exponent<<4|serializer, 0, 0)
}

// AppendRawError appends the handshake that refuses a client.
func AppendRawError(dst []byte, e RawError) []byte {
	return append(dst, RawMagic, byte(e)<<4, 0, 0)
}

// ReadRawPrefix reads the prefix at the start of b, which holds at least one octet. whole is false while octets are
// missing. A frame of any type may have bytesMax octets.
func ReadRawPrefix(b []byte, bytesMax int) (kind byte, length int, whole bool, fault Fault) {
	kind = b[0] & rawTypeMask
	if b[0]&rawReserved != 0 || kind > RawPong {
		return kind, 0, false, RawReserved
	}
	if len(b) >= RawPrefixBytes {
		length = int(binary.BigEndian.Uint32(b) & 0xFFFFFF)
	} else {
		// Missing octets count as zero: the length can only become larger.
		for i := 1; i < len(b); i++ {
			length |= int(b[i]) << (8 * (RawPrefixBytes - 1 - i))
		}
	}
	exact := b[0]&rawX != 0
	switch {
	case exact && bytesMax < RawBytesMax:
		return kind, 0, false, TooBig
	case exact && length != 0:
		return kind, 0, false, RawLength
	case exact:
		length = RawBytesMax
	case length > bytesMax:
		return kind, 0, false, TooBig
	}
	return kind, length, len(b) >= RawPrefixBytes, NoFault
}

// AppendRawFrame appends one frame with at most RawBytesMax octets of payload.
func AppendRawFrame(dst []byte, kind byte, payload []byte) []byte {
	switch n := len(payload); {
	case n < RawBytesMax:
		dst = binary.BigEndian.AppendUint32(dst, uint32(kind)<<24|uint32(n))
	case n == RawBytesMax:
		dst = append(dst, kind|rawX, 0, 0, 0)
	default:
		panic("wire: a RawSocket frame cannot express its length")
	}
	return append(dst, payload...)
}
