package codec

import "unicode/utf8"

// dictionary reads the dictionary at the cursor. It checks the known keys and puts them into m.Options, and skips all
// others.
func (r *input) dictionary(s Serializer, e int, m *Message, known keySet) bool {
	start := r.i
	w := dictWalk{s: s}
	if !w.open(r) {
		return r.expected(e, wantedDict)
	}
	for {
		k, more, ok := w.key(r, e)
		if !ok {
			return false
		}
		if !more {
			break
		}
		at := r.i
		var why string
		if r.i, why = skip(s, r.b, at, 2, r.st); why != "" {
			return r.fail(e, why)
		}
		if known == 0 {
			continue
		}
		key, ok := findKey(k)
		if !ok && !utf8.Valid(k) {
			return r.fail(e, whyKeyUTF8)
		}
		if !ok && known&(1<<KeyEligible) != 0 && looksLikeList(k) {
			m.Options.unknownList = true
		}
		if !ok || known&(1<<key) == 0 {
			continue
		}
		if want := m.Options.set(s, key, r.b[at:r.i]); want != "" {
			r.i, r.key = at, keyTable[key].name
			return r.expected(e, want)
		}
	}
	m.Dict = r.b[start:r.i:r.i]
	m.Options.dict = m.Dict
	return true
}

// A dictWalk reads the keys of the dictionary at an input's cursor, one by one. The caller skips the values.
type dictWalk struct {
	s     Serializer
	left  int  // pairs; unused if until
	until bool // a mark ends the dictionary, and no count is known
	first bool // JSON: no comma comes before the next key
}

// open enters the dictionary. It returns false if there is none.
func (w *dictWalk) open(r *input) bool {
	w.first = true
	if r.i >= len(r.b) {
		return false
	}
	c := r.b[r.i]
	switch w.s {
	case JSON:
		w.until = true
		if c != '{' {
			return false
		}
		r.i++
		return true
	case MessagePack:
		switch {
		case c&0xf0 == 0x80:
			w.left = int(c & 15)
			r.i++
			return true
		case c == 0xde && len(r.b)-r.i >= 3:
			w.left = int(bigEndian(r.b, r.i+1, 2))
			r.i += 3
			return true
		case c == 0xdf && len(r.b)-r.i >= 5:
			w.left = int(bigEndian(r.b, r.i+1, 4))
			r.i += 5
			return true
		}
		return false
	default:
		n, end, why := cborHead(r.b, r.i)
		if c&0xe0 != cborDict || why != "" {
			return false
		}
		w.until = c&31 == cborIndefinite
		if n > uint64(len(r.b)) {
			n = uint64(len(r.b)) // the missing pairs are noticed at the end of the input
		}
		w.left = int(n)
		r.i = end
		return true
	}
}

// key reads the next key and moves to its value. more is false after the last pair.
func (w *dictWalk) key(r *input, e int) (k []byte, more, ok bool) {
	if w.s == JSON {
		return w.keyJSON(r, e)
	}
	if w.until {
		if r.i < len(r.b) && r.b[r.i] == cborBreak {
			r.i++
			return nil, false, true
		}
	} else {
		if w.left == 0 {
			return nil, false, true
		}
		w.left--
	}
	if k, ok = r.textValue(w.s); !ok {
		return nil, false, r.expected(e, wantedKey)
	}
	return k, true, true
}

func (w *dictWalk) keyJSON(r *input, e int) (k []byte, more, ok bool) {
	r.i = skipSpace(r.b, r.i)
	if r.i < len(r.b) && r.b[r.i] == '}' {
		r.i++
		return nil, false, true
	}
	if !w.first {
		if r.i >= len(r.b) || r.b[r.i] != ',' {
			return nil, false, r.fail(e, whyJSONComma)
		}
		r.i = skipSpace(r.b, r.i+1)
	}
	w.first = false
	if k, ok = r.textValue(JSON); !ok {
		return nil, false, r.expected(e, wantedKey)
	}
	r.i = skipSpace(r.b, r.i)
	if r.i >= len(r.b) || r.b[r.i] != ':' {
		return nil, false, r.fail(e, whyJSONColon)
	}
	r.i = skipSpace(r.b, r.i+1)
	return k, true, true
}

// textValue reads the text at the cursor. The text aliases the message, or the scratch if it had escapes or chunks.
func (r *input) textValue(s Serializer) (text []byte, ok bool) {
	if r.i >= len(r.b) {
		return nil, false
	}
	c := r.b[r.i]
	switch s {
	case JSON:
		if c != '"' {
			return nil, false
		}
		end, why := skipJSONString(r.b, r.i)
		if why != "" {
			return nil, false
		}
		text = r.b[r.i+1 : end-1]
		r.i = end
		if isPlain(text) {
			return text, true
		}
		n := len(r.scratch)
		r.scratch = appendUnescaped(r.scratch, text)
		return r.scratch[n:len(r.scratch):len(r.scratch)], true
	case MessagePack:
		var n uint64
		at := r.i + 1
		switch {
		case c&0xe0 == 0xa0:
			n = uint64(c & 31)
		case c >= 0xd9 && c <= 0xdb:
			octets := 1 << (c - 0xd9)
			if octets > len(r.b)-at {
				return nil, false
			}
			n = bigEndian(r.b, at, octets)
			at += octets
		default:
			return nil, false
		}
		if n > uint64(len(r.b)-at) {
			return nil, false
		}
		end := at + int(n)
		r.i = end
		return r.b[at:end:end], true
	default:
		if c&0xe0 != cborText {
			return nil, false
		}
		n, at, why := cborHead(r.b, r.i)
		if why != "" {
			return nil, false
		}
		if c&31 == cborIndefinite {
			end, why := skipChunks(r.b, at, cborText)
			if why != "" {
				return nil, false
			}
			x := lexer{s: CBOR, b: r.b[r.i:end], scratch: make([]byte, 0, end-at)}
			var t token
			x.next(&t)
			r.i = end
			return t.b, true
		}
		if n > uint64(len(r.b)-at) {
			return nil, false
		}
		end := at + int(n)
		r.i = end
		return r.b[at:end:end], true
	}
}
