package codec

import (
	"encoding/binary"
	"unicode/utf8"
)

// arguments reads the payload tail's first element, Arguments, at the cursor (PROTOCOL 1.1, 12.2). empty says that it is an
// empty list, which counts as absent unless ArgumentsKw follow.
func (r *input) arguments(s Serializer, e int, m *Message, transparent bool) (empty, ok bool) {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, r.st)
	switch {
	case why != "":
		return false, r.fail(e, why)
	case k == kindNull:
		empty = false
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

// argumentsKw reads the last element of the payload tail, at the cursor.
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

// keywords moves over ArgumentsKw in MessagePack or CBOR, whose keys have to be text: clients hang up on others (PROTOCOL 1.1, 1.5). The
// values, dictionaries among them, may be anything (PROTOCOL 14.4).
func (r *input) keywords(s Serializer, e int) bool {
	w := dictWalk{s: s}
	if !w.open(r) {
		return r.expected(e, wantedDict)
	}
	for {
		if s == MessagePack {
			w.left -= r.shortPairs(w.left)
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

// shortPairs moves over at most n pairs of a MessagePack dictionary whose keys are ASCII of at most 8 octets and whose values are short
// text, numbers or booleans, and returns how many it found.
//
// hot: BenchmarkDecode/ser=msgpack/msg=publish, 149 ns when every pair takes the general way.
func (r *input) shortPairs(n int) (pairs int) {
	const keyMax = 8
	b, i := r.b, r.i
next:
	for ; pairs < n && i+1+keyMax < len(b) && b[i]-0xa0 <= keyMax; pairs++ {
		length := uint(b[i] - 0xa0)
		key := binary.LittleEndian.Uint64(b[i+1:]) << (64 - 8*length) // the octets behind the key are shifted out
		if key&jsonHighBits != 0 {
			break
		}
		end := i + 1 + int(length)
		switch c := b[end]; {
		case c < 0x80 || c >= 0xe0 || c == 0xc2 || c == 0xc3:
			end++
		case c&0xe0 == 0xa0:
			end += 1 + int(c&31)
		case c == 0xd9 && end+1 < len(b):
			end += 2 + int(b[end+1])
		case c >= 0xca && c <= 0xd3:
			end += 1 + int(msgpackHeads[c&31].octets)
		default:
			break next
		}
		if end > len(b) {
			break
		}
		i = end
	}
	r.i = i
	return pairs
}
