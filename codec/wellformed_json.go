package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	whyJSONToken   = "not a JSON value"
	whyJSONString  = "a raw control character in a string"
	whyJSONEscape  = "an unknown escape in a string"
	whyJSONUTF8    = "invalid UTF-8"
	whyJSONNumber  = "a malformed number"
	whyJSONComma   = "expected a comma or the end of the container"
	whyJSONKey     = "expected a string as key"
	whyJSONColon   = "expected a colon after the key"
	jsonLowBits    = 0x0101010101010101
	jsonHighBits   = 0x8080808080808080
	jsonQuotes     = 0x2222222222222222
	jsonBackslash  = 0x5c5c5c5c5c5c5c5c
	jsonFirstPrint = 0x2020202020202020
)

// skipSpace returns the first octet from b[i] on that is not JSON white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipJSON is skip for JSON (RFC 8259). It checks structure, literals, numbers, escapes and UTF-8.
//
// hot: BenchmarkDecode. It keeps one bit per open container; with recursion a stranger would choose the size of the
// stack.
func skipJSON(b []byte, i, depth int, st nesting) (end int, why string) {
	open, isDict := 0, uint64(0) // isDict: bit 0 is the innermost open container; st keeps the full words of 64
value:
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, whyShort
	}
	switch c := b[i]; {
	case c == '"':
		if i, why = skipJSONString(b, i); why != "" {
			return i, why
		}
	case c == '{' || c == '[':
		if depth+open >= len(st) {
			return i, whyDeep
		}
		if open&63 == 0 {
			st[open>>6] = isDict
		}
		open++
		isDict = isDict<<1 | uint64(c>>5&1) // '{' is 0x7b, '[' is 0x5b
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == c+2 {
			i++
			open--
			isDict >>= 1
			if open&63 == 0 {
				isDict = st[open>>6]
			}
			break
		}
		if isDict&1 != 0 {
			goto key
		}
		goto value
	case c == '-' || c-'0' <= 9:
		if i, why = skipJSONNumber(b, i); why != "" {
			return i, why
		}
	case c == 't':
		if i = skipWord(b, i, "true"); i < 0 {
			return len(b), whyJSONToken
		}
	case c == 'f':
		if i = skipWord(b, i, "false"); i < 0 {
			return len(b), whyJSONToken
		}
	case c == 'n':
		if i = skipWord(b, i, "null"); i < 0 {
			return len(b), whyJSONToken
		}
	default:
		return i, whyJSONToken
	}
	for open > 0 {
		i = skipSpace(b, i)
		if i >= len(b) {
			return i, whyShort
		}
		c := b[i]
		i++
		switch {
		case c == ',':
			if isDict&1 != 0 {
				goto key
			}
			goto value
		case c == '}' && isDict&1 != 0, c == ']' && isDict&1 == 0:
			open--
			isDict >>= 1
			if open&63 == 0 {
				isDict = st[open>>6]
			}
		default:
			return i - 1, whyJSONComma
		}
	}
	return i, ""
key:
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, whyShort
	}
	if b[i] != '"' {
		return i, whyJSONKey
	}
	if i, why = skipJSONString(b, i); why != "" {
		return i, why
	}
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, whyShort
	}
	if b[i] != ':' {
		return i, whyJSONColon
	}
	i++
	goto value
}

// skipWord returns the end of word at b[i], -1 if it is not there.
func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipJSONString returns the end of the string whose opening quote is b[i].
//
// hot: BenchmarkDecode/ser=json/msg=publish takes 218 ns with steps of eight octets, and 304 ns octet by octet.
func skipJSONString(b []byte, i int) (end int, why string) {
	i++
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, s := w^jsonQuotes, w^jsonBackslash
			// The lowest mark is right: a borrow can set wrong marks only above it.
			mark := ((q-jsonLowBits)&^q | (s-jsonLowBits)&^s | (w-jsonFirstPrint)&^w | w) & jsonHighBits
			if mark != 0 {
				i += bits.TrailingZeros64(mark) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return i, whyShort
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, ""
		case c == '\\':
			if i+1 >= len(b) {
				return i, whyShort
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if _, ok := hex4(b, i+2); !ok {
					return i, whyJSONEscape
				}
				i += 6
			default:
				return i, whyJSONEscape
			}
		case c < 0x20:
			return i, whyJSONString
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return i, whyJSONUTF8
			}
			i += n
		}
	}
}

// hex4 reads the four hexadecimal digits at b[i].
func hex4(b []byte, i int) (r rune, ok bool) {
	if len(b)-i < 4 {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skipJSONNumber returns the end of the number at b[i], which is '-' or a digit.
func skipJSONNumber(b []byte, i int) (end int, why string) {
	if b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return i, whyShort
	case b[i] == '0':
		i++
	case b[i]-'1' <= 8:
		i = skipDigits(b, i)
	default:
		return i, whyJSONNumber
	}
	if i < len(b) && b[i] == '.' {
		end = skipDigits(b, i+1)
		if end == i+1 {
			return end, whyJSONNumber
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end = skipDigits(b, i)
		if end == i {
			return end, whyJSONNumber
		}
		i = end
	}
	return i, ""
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}
