package codec

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// The writers of single values. What they write is always the shortest form of definite length (PROTOCOL 14.6). In
// JSON they write no commas; who writes containers does.

// appendCBORHead appends a head of that major type with the shortest argument.
func appendCBORHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return append(dst, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(dst, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16),
		byte(n>>8), byte(n))
}

func appendUint(dst []byte, s Serializer, u uint64) []byte {
	switch s {
	case JSON:
		return strconv.AppendUint(dst, u, 10)
	case MessagePack:
		return msgp.AppendUint64(dst, u)
	default:
		return appendCBORHead(dst, cborUint, u)
	}
}

func appendInt(dst []byte, s Serializer, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(dst, s, uint64(v))
	case s == JSON:
		return strconv.AppendInt(dst, v, 10)
	case s == MessagePack:
		return msgp.AppendInt64(dst, v)
	default:
		return appendCBORHead(dst, cborNegint, ^uint64(v))
	}
}

func appendBool(dst []byte, s Serializer, v bool) []byte {
	switch s {
	case JSON:
		return strconv.AppendBool(dst, v)
	case MessagePack:
		return msgp.AppendBool(dst, v)
	}
	if v {
		return append(dst, cborSimple|21)
	}
	return append(dst, cborSimple|20)
}

func appendNull(dst []byte, s Serializer) []byte {
	switch s {
	case JSON:
		return append(dst, "null"...)
	case MessagePack:
		return msgp.AppendNil(dst)
	}
	return append(dst, cborSimple|22)
}

// appendFloat appends f, in 32 bits if it came in no more (narrow) and the serializer has such floats. JSON has no
// NaN and no infinities and writes null for them (PROTOCOL 14.4).
func appendFloat(dst []byte, s Serializer, f float64, narrow bool) []byte {
	switch {
	case s == JSON:
		return appendJSONFloat(dst, f)
	case s == MessagePack && narrow:
		return msgp.AppendFloat32(dst, float32(f))
	case s == MessagePack:
		return msgp.AppendFloat64(dst, f)
	case narrow:
		n := math.Float32bits(float32(f))
		return append(dst, cborSimple|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	n := math.Float64bits(f)
	return append(dst, cborSimple|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16),
		byte(n>>8), byte(n))
}

// appendJSONFloat always writes a fraction or an exponent, so that a float stays one.
func appendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	start := len(dst)
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e17) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// appendText appends text, which has to be valid UTF-8 except in MessagePack; JSON replaces what is not.
func appendText[T string | []byte](dst []byte, s Serializer, text T) []byte {
	n := len(text)
	switch s {
	case JSON:
		return appendJSONText(dst, text, math.MaxInt)
	case MessagePack:
		switch {
		case n < 32:
			dst = append(dst, 0xa0|byte(n))
		case n < 1<<8:
			dst = append(dst, 0xd9, byte(n))
		case n < 1<<16:
			dst = append(dst, 0xda, byte(n>>8), byte(n))
		default:
			dst = append(dst, 0xdb, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		}
	default:
		dst = appendCBORHead(dst, cborText, uint64(n))
	}
	return appendLong(dst, text)
}

const hexDigits = "0123456789abcdef"

// appendJSONText appends text as a JSON string, or only as much of it as makes dst longer than limit.
func appendJSONText[T string | []byte](dst []byte, text T, limit int) []byte {
	dst = append(dst, '"')
	plain := 0 // the octets from here on need no escape
	for i := 0; i < len(text); {
		c := text[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = appendLong(dst, text[plain:i])
		if isTight(dst) {
			dst = growLong(dst, growRoom)
		}
		if len(dst) > limit {
			return dst
		}
		i++
		plain = i
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\uFFFD"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = appendLong(dst, text[plain:])
	return append(dst, '"')
}

// appendBin appends binary; in JSON as PROTOCOL 14.2 has it.
func appendBin(dst []byte, s Serializer, b []byte) []byte {
	switch s {
	case JSON:
		dst = append(dst, `"\u0000`...)
		if len(b) > stepBytes {
			dst = growLong(dst, base64.StdEncoding.EncodedLen(len(b)))
		}
		dst = base64.StdEncoding.AppendEncode(dst, b)
		return append(dst, '"')
	case MessagePack:
		if len(b) > stepBytes {
			dst = growLong(dst, growRoom+len(b))
			return appendLong(msgp.AppendBytesHeader(dst, uint32(len(b))), b)
		}
		return msgp.AppendBytes(dst, b)
	default:
		dst = appendCBORHead(dst, cborBytes, uint64(len(b)))
		return appendLong(dst, b)
	}
}

// appendListHead begins a list of n items; JSON needs a ']' behind them.
func appendListHead(dst []byte, s Serializer, n int) []byte {
	switch s {
	case JSON:
		return append(dst, '[')
	case MessagePack:
		return msgp.AppendArrayHeader(dst, uint32(n))
	default:
		return appendCBORHead(dst, cborList, uint64(n))
	}
}

// appendDictHead begins a dictionary of n pairs; JSON needs a '}' behind them.
func appendDictHead(dst []byte, s Serializer, n int) []byte {
	switch s {
	case JSON:
		return append(dst, '{')
	case MessagePack:
		return msgp.AppendMapHeader(dst, uint32(n))
	default:
		return appendCBORHead(dst, cborDict, uint64(n))
	}
}

// appendEmptyDict appends a dictionary without pairs.
func appendEmptyDict(dst []byte, s Serializer) []byte {
	switch s {
	case JSON:
		return append(dst, "{}"...)
	case MessagePack:
		return append(dst, 0x80)
	default:
		return append(dst, cborDict)
	}
}

// A dictWriter writes a dictionary whose number of pairs is known.
type dictWriter struct {
	dst   []byte
	s     Serializer
	first bool
}

func beginDict(dst []byte, s Serializer, n int) dictWriter {
	return dictWriter{dst: appendDictHead(dst, s, n), s: s, first: true}
}

// key writes a key of less than 24 octets that needs no escapes.
func (w *dictWriter) key(name string) {
	switch w.s {
	case JSON:
		if !w.first {
			w.dst = append(w.dst, ',')
		}
		w.first = false
		w.dst = append(w.dst, '"')
		w.dst = append(w.dst, name...)
		w.dst = append(w.dst, '"', ':')
		return
	case MessagePack:
		w.dst = append(w.dst, 0xa0|byte(len(name)))
	default:
		w.dst = append(w.dst, cborText|byte(len(name)))
	}
	w.dst = append(w.dst, name...)
}

// anyKey writes any text as key.
func (w *dictWriter) anyKey(name []byte) {
	if w.s == JSON && !w.first {
		w.dst = append(w.dst, ',')
	}
	w.first = false
	w.dst = appendText(w.dst, w.s, name)
	if w.s == JSON {
		w.dst = append(w.dst, ':')
	}
}

func (w *dictWriter) end() []byte {
	if w.s == JSON {
		return append(w.dst, '}')
	}
	return w.dst
}
