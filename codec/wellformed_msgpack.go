package codec

import "encoding/binary"

// A msgpackHead says what follows the head octets 0xc0 to 0xdf: how many octets of length or value, and whether they
// are the length of data (extra more octets than it says), of a list or of a dictionary.
type msgpackHead struct {
	octets uint8
	what   uint8 // one of the msgpackIs constants
	extra  uint8
}

const (
	msgpackIsReserved = iota
	msgpackIsValue    // the octets are the value itself
	msgpackIsData
	msgpackIsList
	msgpackIsDict
)

var msgpackHeads = [32]msgpackHead{
	0x00: {0, msgpackIsValue, 0},                                                          // nil
	0x02: {0, msgpackIsValue, 0},                                                          // false
	0x03: {0, msgpackIsValue, 0},                                                          // true
	0x04: {1, msgpackIsData, 0}, 0x05: {2, msgpackIsData, 0}, 0x06: {4, msgpackIsData, 0}, // bin
	0x07: {1, msgpackIsData, 1}, 0x08: {2, msgpackIsData, 1}, 0x09: {4, msgpackIsData, 1}, // ext: with a type
	0x0a: {4, msgpackIsValue, 0}, 0x0b: {8, msgpackIsValue, 0}, // float
	0x0c: {1, msgpackIsValue, 0}, 0x0d: {2, msgpackIsValue, 0}, // uint
	0x0e: {4, msgpackIsValue, 0}, 0x0f: {8, msgpackIsValue, 0},
	0x10: {1, msgpackIsValue, 0}, 0x11: {2, msgpackIsValue, 0}, // int
	0x12: {4, msgpackIsValue, 0}, 0x13: {8, msgpackIsValue, 0},
	0x14: {2, msgpackIsValue, 0}, 0x15: {3, msgpackIsValue, 0}, // fixext
	0x16: {5, msgpackIsValue, 0}, 0x17: {9, msgpackIsValue, 0}, 0x18: {17, msgpackIsValue, 0},
	0x19: {1, msgpackIsData, 0}, 0x1a: {2, msgpackIsData, 0}, 0x1b: {4, msgpackIsData, 0}, // str
	0x1c: {2, msgpackIsList, 0}, 0x1d: {4, msgpackIsList, 0},
	0x1e: {2, msgpackIsDict, 0}, 0x1f: {4, msgpackIsDict, 0},
}

// bigEndian reads n octets at b[i], which are there.
func bigEndian(b []byte, i, n int) uint64 {
	switch n {
	case 1:
		return uint64(b[i])
	case 2:
		return uint64(binary.BigEndian.Uint16(b[i:]))
	case 4:
		return uint64(binary.BigEndian.Uint32(b[i:]))
	default:
		return binary.BigEndian.Uint64(b[i:])
	}
}

// skipMsgpack is skip for MessagePack: lengths and reserved heads, not the UTF-8 inside strings.
//
// hot: BenchmarkDecode. Iterative with lent scratch; msgp.Skip recurses up to 100 000 levels on a stranger's word.
func skipMsgpack(b []byte, i, depth int, st nesting) (end int, why string) {
	left, open := uint64(1), 0
	for {
		if uint(i) >= uint(len(b)) {
			return i, whyShort
		}
		c := b[i]
		i++
		left--
		var n uint64
		switch {
		case c < 0x80 || c >= 0xe0:
			if left != 0 {
				continue
			}
			goto closed
		case c >= 0xa0 && c < 0xc0:
			i += int(c & 31)
			if i > len(b) {
				return i, whyShort
			}
			goto closed
		case c < 0x90:
			n = 2 * uint64(c&15)
		case c < 0xa0:
			n = uint64(c & 15)
		default:
			h := &msgpackHeads[c&31]
			if h.what == msgpackIsReserved {
				return i - 1, whyReserved
			}
			k := int(h.octets)
			if k > len(b)-i {
				return i, whyShort
			}
			if h.what == msgpackIsValue {
				i += k
				goto closed
			}
			n = bigEndian(b, i, k)
			i += k
			switch h.what {
			case msgpackIsData:
				n += uint64(h.extra)
				if n > uint64(len(b)-i) {
					return i, whyShort
				}
				i += int(n)
				goto closed
			case msgpackIsDict:
				n *= 2
			}
		}
		if depth+open >= len(st) {
			return i, whyDeep
		}
		if n > uint64(len(b)-i) {
			return i, whyCount
		}
		if n > 0 {
			st[open] = left
			open++
			left = n
			continue
		}
	closed:
		for left == 0 {
			if open == 0 {
				return i, ""
			}
			open--
			left = st[open]
		}
	}
}
