package codec

import (
	"encoding/binary"
	"unicode/utf8"
)

// arguments reads Arguments, the first element of the payload, at the cursor (PROTOCOL 1.1, 12.2). empty reports an
// empty list, which counts as absent unless ArgumentsKw follow.
func (r *input) arguments(s Serializer, e int, m *Message, transparent bool) (empty, ok bool) {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, r.st)
	switch {
	case why != "":
		return false, r.fail(e, why)
	case k == kindNull:
	case k == kindList:
		if !empty && transparent && m.Options.Has(KeyEncAlgo) {
			return false, r.fail(e, whyAlgoList)
		}
		m.Payload.Args = r.b[start:end:end]
	case transparent && (k == kindBin || k == kindText):
		if !m.Options.Has(KeyEncAlgo) {
			return false, r.fail(e, whyNoAlgo)
		}
		m.Payload.Args = r.b[start:end:end]
		m.Payload.Transparent = true
	default:
		return false, r.expected(e, wantedList)
	}
	r.i = end
	return empty, true
}

// argumentsKw reads ArgumentsKw, the last element of the payload, at the cursor.
func (r *input) argumentsKw(s Serializer, e int, m *Message) bool {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	if k == kindDict && s != JSON {
		if !r.keywords(s, e) {
			return false
		}
	} else {
		end, why := skip(s, r.b, start, 1, r.st)
		if why != "" {
			return r.fail(e, why)
		}
		if k != kindNull && k != kindDict {
			return r.expected(e, wantedDict)
		}
		r.i = end
	}
	switch {
	case k == kindNull:
	case m.Payload.Transparent:
		return r.fail(e, whyAfterTransparent)
	case !empty && m.Options.Has(KeyEncAlgo):
		return r.fail(e, whyAlgoList)
	case !empty:
		m.Payload.Kwargs = r.b[start:r.i:r.i]
	}
	return true
}

// keywords skips ArgumentsKw in MessagePack or CBOR and checks that the keys are text, because clients hang up on
// other keys (PROTOCOL 1.1, 1.5). Keys of dictionaries inside the values may be anything (PROTOCOL 14.4).
func (r *input) keywords(s Serializer, e int) bool {
	w := dictWalk{s: s}
	if !w.open(r) {
		return r.expected(e, wantedDict)
	}
	for {
		if !w.until {
			w.left -= r.shortPairs(s, w.left)
		}
		k, more, ok := w.key(r, e)
		if !ok || !more {
			return ok
		}
		if !utf8.Valid(k) {
			return r.fail(e, whyKeyUTF8)
		}
		var why string
		if r.i, why = skip(s, r.b, r.i, 2, r.st); why != "" {
			return r.fail(e, why)
		}
	}
}

// shortPairs skips at most n simple pairs and returns how many. The key of a simple pair is ASCII of at most 8
// octets; the value is text of less than 256 octets, a number, a boolean or null. It stops at the first pair of
// another kind.
//
// hot: BenchmarkDecode/ser=msgpack/msg=publish takes 149 ns if every pair goes through dictWalk, and 115 ns with
// this.
func (r *input) shortPairs(s Serializer, n int) (pairs int) {
	const keyMax = 8
	textHead, text8Head, lengths := byte(cborText), byte(cborText|24), &shortLengths[1]
	if s == MessagePack {
		textHead, text8Head, lengths = 0xa0, 0xd9, &shortLengths[0]
	}
	b, i := r.b, r.i
	for ; pairs < n && i+1+keyMax < len(b) && b[i]-textHead <= keyMax; pairs++ {
		length := uint(b[i] - textHead)
		key := binary.LittleEndian.Uint64(b[i+1:]) << (64 - 8*length) // the octets behind the key are shifted out
		if key&jsonHighBits != 0 {
			break
		}
		end := i + 1 + int(length)
		c := b[end]
		value := int(lengths[c])
		if value == 0 {
			if c != text8Head || end+1 >= len(b) {
				break
			}
			value = 2 + int(b[end+1])
		}
		if value > len(b)-end {
			break
		}
		i = end + value
	}
	r.i = i
	return pairs
}

// shortLengths[0] gives the length of a MessagePack value by its first octet, shortLengths[1] that of a CBOR value; 0
// if more octets decide.
var shortLengths = func() (lengths [2][256]uint8) {
	for c := range 256 {
		switch {
		case c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3:
			lengths[0][c] = 1
		case c&0xe0 == 0xa0:
			lengths[0][c] = 1 + uint8(c&31)
		case c >= 0xca && c <= 0xd3:
			lengths[0][c] = 1 + msgpackHeads[c&31].octets
		}
		switch argument := c & 31; c & 0xe0 {
		case cborUint, cborNegint:
			if argument < 24 {
				lengths[1][c] = 1
			} else if argument < 28 {
				lengths[1][c] = 1 + 1<<(argument-24)
			}
		case cborText:
			if argument < 24 {
				lengths[1][c] = 1 + uint8(argument)
			}
		case cborSimple:
			if argument < 24 {
				lengths[1][c] = 1
			} else if argument >= 25 && argument < 28 {
				lengths[1][c] = 1 + 1<<(argument-24)
			}
		}
	}
	return lengths
}()
