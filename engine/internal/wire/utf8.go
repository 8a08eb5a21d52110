package wire

import "encoding/binary"

// A UTF8 validates text that arrives in pieces. It fails at the first octet that no valid text can have there. The
// zero value is at the start of a text.
type UTF8 struct {
	need   uint8 // continuation bytes still to come
	lo, hi uint8 // bounds of the next one
}

const highBits = 0x8080808080808080

// Feed takes the next piece and reports whether the text can still become valid.
func (u *UTF8) Feed(b []byte) bool {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if u.need > 0 {
			if c < u.lo || c > u.hi {
				return false
			}
			u.need--
			u.lo, u.hi = 0x80, 0xBF
			continue
		}
		if c < 0x80 {
			for len(b)-i >= 8 && binary.NativeEndian.Uint64(b[i:])&highBits == 0 {
				i += 8
			}
			if i == len(b) {
				break
			}
			c = b[i]
			if c < 0x80 {
				continue
			}
		}
		u.lo, u.hi = 0x80, 0xBF
		switch {
		case c < 0xC2 || c > 0xF4:
			return false
		case c < 0xE0:
			u.need = 1
		case c < 0xF0:
			u.need = 2
			switch c {
			case 0xE0: // overlong
				u.lo = 0xA0
			case 0xED: // surrogates
				u.hi = 0x9F
			}
		default:
			u.need = 3
			switch c {
			case 0xF0: // overlong
				u.lo = 0x90
			case 0xF4: // above U+10FFFF
				u.hi = 0x8F
			}
		}
	}
	return true
}

// Whole reports whether the text may end here.
func (u *UTF8) Whole() bool { return u.need == 0 }
