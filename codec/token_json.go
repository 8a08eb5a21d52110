package codec

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

func (x *lexer) nextJSON(t *token) {
	// The structure has been checked: commas and colons say nothing more.
	for x.i < len(x.b) && (x.b[x.i] == ',' || x.b[x.i] == ':' || x.b[x.i] <= ' ') {
		x.i++
	}
	if x.i >= len(x.b) {
		return
	}
	start := x.i
	switch c := x.b[start]; c {
	case '{', '[':
		x.i++
		t.kind, t.open, t.n = kindList, true, -1
		if c == '{' {
			t.kind = kindDict
		}
	case '}', ']':
		x.i++
	case 'n':
		x.i += 4
		t.kind = kindNull
	case 't':
		x.i += 4
		t.kind, t.u = kindBool, 1
	case 'f':
		x.i += 5
		t.kind = kindBool
	case '"':
		x.i, _ = skipJSONString(x.b, start)
		t.kind = kindText
		t.b = x.b[start+1 : x.i-1]
		if !isPlain(t.b) {
			if x.scratch = x.scratch[:0]; len(t.b) > stepBytes {
				x.scratch = growLong(x.scratch, len(t.b))
			}
			x.scratch = appendUnescaped(x.scratch, t.b)
			t.b = x.scratch
		}
	default:
		x.i, _ = skipJSONNumber(x.b, start)
		lexNumber(t, x.b[start:x.i])
	}
}

// lexNumber fills t from the JSON number b. A number without fraction and exponent is an integer.
func lexNumber(t *token, b []byte) {
	for _, c := range b {
		if c == '.' || c|0x20 == 'e' {
			t.f = parseFloat(b)
			t.kind, t.b = kindFloat, b
			return
		}
	}
	t.kind = kindInt
	t.neg = b[0] == '-'
	if t.neg {
		b = b[1:]
	}
	u, zero, ok := parseDigits(b)
	switch {
	case !ok:
		t.kind, t.b = kindBig, b
	case zero:
		t.neg = false
	case t.neg:
		t.u = u - 1
	default:
		t.u = u
	}
}

// isPlain reports whether the inside of a JSON string has no escapes.
func isPlain(b []byte) bool {
	return bytes.IndexByte(b, '\\') < 0
}

// appendUnescaped appends the text of a JSON string; b is the well-formed string without its quotes. A lone surrogate
// becomes U+FFFD, since AppendRune writes that for it.
func appendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = b[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, length := surrogateEscape(b, i-2)
			i += length - 2
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// decodeBinary appends the binary that text stands for to dst: U+0000, then standard base64 with padding (PROTOCOL
// 14.2). If text has another form, ok is false and it is text.
func decodeBinary(dst, text []byte) (bin []byte, ok bool) {
	if len(text) == 0 || text[0] != 0 {
		return dst, false
	}
	for _, c := range text {
		if c == '\n' || c == '\r' { // the decoder would skip them, and the text could not be restored
			return dst, false
		}
	}
	if len(text) > stepBytes {
		dst = growLong(dst, base64.StdEncoding.DecodedLen(len(text)))
	}
	bin, err := base64.StdEncoding.AppendDecode(dst, text[1:])
	return bin, err == nil
}
