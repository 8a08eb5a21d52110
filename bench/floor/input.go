package floor

import (
	"bytes"

	"banyan/codec"
)

// An input walks over the elements of one message. It assumes that the message is well formed and, in JSON, has no
// spaces, as the clients of this module send it.
type input struct {
	s codec.Serializer
	b []byte
	i int
}

// rest returns the elements not walked over yet: in JSON with the comma before them and the closing bracket.
func (in *input) rest() []byte { return in.b[in.i:] }

// list walks over the head of the message and returns it.
func (in *input) list() []byte {
	in.i = 1
	return in.b[:1]
}

// separator walks over the comma in front of an element.
func (in *input) separator() {
	if in.s == codec.JSON && in.b[in.i] == ',' {
		in.i++
	}
}

func (in *input) uint() (v uint64) {
	in.separator()
	if in.s == codec.JSON {
		for in.i < len(in.b) && in.b[in.i]-'0' < 10 {
			v = 10*v + uint64(in.b[in.i]-'0')
			in.i++
		}
		return v
	}
	c := in.b[in.i]
	in.i++
	octets := 0
	if in.s == codec.MessagePack {
		if c < 0x80 {
			return uint64(c)
		}
		octets = 1 << (c - 0xCC) // 0xCC to 0xCF
	} else {
		if c < 24 {
			return uint64(c)
		}
		octets = 1 << (c - 0x18) // 0x18 to 0x1B
	}
	return in.big(octets)
}

func (in *input) big(octets int) (v uint64) {
	for range octets {
		v = v<<8 | uint64(in.b[in.i])
		in.i++
	}
	return v
}

// dict walks over a dictionary and returns it.
func (in *input) dict() []byte {
	in.separator()
	from := in.i
	in.skip()
	return in.b[from:in.i]
}

// text walks over a text.
func (in *input) text() {
	in.separator()
	in.skip()
}

// skip walks over any value.
func (in *input) skip() {
	switch in.s {
	case codec.JSON:
		in.skipJSON()
	case codec.MessagePack:
		in.skipMsgpack()
	default:
		in.skipCBOR()
	}
}

// skipJSON walks over a text, or over a dictionary or list by its brackets.
func (in *input) skipJSON() {
	for depth := 0; in.i < len(in.b); {
		c := in.b[in.i]
		in.i++
		switch c {
		case '"':
			for in.i < len(in.b) && in.b[in.i] != '"' {
				if in.b[in.i] == '\\' {
					in.i++
				}
				in.i++
			}
			in.i++
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 && bytes.IndexByte([]byte(`"}]`), c) >= 0 {
			return
		}
	}
}

func (in *input) skipMsgpack() {
	c := in.b[in.i]
	in.i++
	switch {
	case c < 0x80 || c >= 0xE0: // small integers
	case c < 0x90:
		in.skipMany(2 * int(c&0x0F))
	case c < 0xA0:
		in.skipMany(int(c & 0x0F))
	case c < 0xC0:
		in.i += int(c & 0x1F)
	case c >= 0xC4 && c <= 0xC6: // binary
		in.i += int(in.big(1 << (c - 0xC4)))
	case c == 0xCA:
		in.i += 4
	case c == 0xCB:
		in.i += 8
	case c >= 0xCC && c <= 0xCF:
		in.i += 1 << (c - 0xCC)
	case c >= 0xD0 && c <= 0xD3:
		in.i += 1 << (c - 0xD0)
	case c >= 0xD9 && c <= 0xDB: // text
		in.i += int(in.big(1 << (c - 0xD9)))
	case c == 0xDC || c == 0xDD:
		in.skipMany(int(in.big(2 << (c - 0xDC))))
	case c == 0xDE || c == 0xDF:
		in.skipMany(2 * int(in.big(2<<(c-0xDE))))
	}
}

func (in *input) skipCBOR() {
	c := in.b[in.i]
	in.i++
	n := uint64(c & 31)
	if n >= 24 && n <= 27 {
		n = in.big(1 << (n - 24))
	}
	switch c >> 5 {
	case 2, 3:
		in.i += int(n)
	case 4:
		in.skipMany(int(n))
	case 5:
		in.skipMany(2 * int(n))
	case 6:
		in.skip()
	}
}

func (in *input) skipMany(n int) {
	for range n {
		in.skip()
	}
}
