package codec

// A msgpackReader reads messages in MessagePack.
type msgpackReader struct{ input }

func (r *msgpackReader) message(b []byte, m *Message) bool {
	r.begin(b)
	if len(b) == 0 {
		return r.fail(-1, "empty")
	}
	switch c := b[0]; {
	case c&0xf0 == 0x90:
		r.left, r.i = int(c&15), 1
	case c == 0xdc && len(b) >= 3:
		r.left, r.i = int(bigEndian(b, 1, 2)), 3
	case c == 0xdd && len(b) >= 5:
		r.left, r.i = int(bigEndian(b, 1, 4)), 5
	default:
		return r.expected(-1, wantedList)
	}
	if r.left == 0 {
		return r.fail(-1, whyEmptyList)
	}
	code, ok := r.integer()
	if !ok || code > maxCode {
		return r.expected(0, wantedCode)
	}
	m.Type = Type(code)
	if !r.elements(m) {
		return false
	}
	if r.i != len(b) {
		return r.fail(-1, whyTrailing)
	}
	return true
}

// count checks the number of elements of the message, the type code included.
func (r *msgpackReader) count(least, most int) bool {
	if r.left < least || r.left > most {
		return r.miscounted(r.left, least, most)
	}
	r.left--
	return true
}

// more reports whether another element follows.
func (r *msgpackReader) more() bool { return r.left > 0 }

// integer reads a non-negative integer, or an integral float, and moves past it only if it is one.
func (r *msgpackReader) integer() (u uint64, ok bool) {
	b, i := r.b, r.i
	if i >= len(b) {
		return 0, false
	}
	c := b[i]
	if c < 0x80 {
		r.i++
		return uint64(c), true
	}
	if c < 0xca || c > 0xd3 {
		return 0, false
	}
	n := int(msgpackHeads[c&31].octets)
	if n > len(b)-i-1 {
		return 0, false
	}
	if c >= 0xcc && c <= 0xcf {
		r.i = i + 1 + n
		return bigEndian(b, i+1, n), true
	}
	x := lexer{s: MessagePack, b: b, i: i}
	var t token
	x.next(&t)
	if u, ok = x.integer(&t); ok {
		r.i = x.i
	}
	return u, ok
}

func (r *msgpackReader) id(e int, dst *uint64) bool {
	at := r.i
	u, ok := r.integer()
	if !ok || u-1 >= MaxID {
		r.i = at
		return r.expected(e, wantedID)
	}
	r.left--
	*dst = u
	return true
}

func (r *msgpackReader) idOrZero(e int, dst *uint64) bool {
	at := r.i
	u, ok := r.integer()
	if !ok || u > MaxID {
		r.i = at
		return r.expected(e, wantedID)
	}
	r.left--
	*dst = u
	return true
}

func (r *msgpackReader) requestType(e int, dst *Type) bool {
	at := r.i
	code, ok := r.integer()
	if *dst, ok = requestTypeOf(code, ok); !ok {
		r.i = at
		return r.expected(e, wantedCode)
	}
	r.left--
	return true
}

func (r *msgpackReader) text(e int, dst *[]byte) bool {
	t, ok := r.textValue(MessagePack)
	if !ok {
		return r.expected(e, wantedText)
	}
	r.left--
	*dst = t
	return true
}

func (r *msgpackReader) textOrNull(e int, dst *[]byte) bool {
	if r.null() {
		return true
	}
	return r.text(e, dst)
}

// null moves past a null.
func (r *msgpackReader) null() bool {
	if r.i < len(r.b) && r.b[r.i] == 0xc0 {
		r.i++
		r.left--
		return true
	}
	return false
}

func (r *msgpackReader) dict(e int, m *Message, known keySet) bool {
	if r.i < len(r.b) && r.b[r.i] == 0x80 {
		m.Dict = r.b[r.i : r.i+1 : r.i+1]
		r.i++
		r.left--
		return true
	}
	r.left--
	return r.dictionary(MessagePack, e, m, known)
}

func (r *msgpackReader) optionalDict(e int, m *Message, known keySet) bool {
	return !r.more() || r.null() || r.dict(e, m, known)
}

func (r *msgpackReader) revocation(e int, m *Message, known keySet) bool {
	return r.revocable(e, m, r.more()) && (!r.more() || r.dict(e, m, known))
}

func (r *msgpackReader) tail(e int, m *Message, transparent bool) bool {
	if !r.more() {
		return true
	}
	r.left--
	empty, ok := r.arguments(MessagePack, e, m, transparent)
	if !ok {
		return false
	}
	if r.more() {
		r.left--
		if !r.argumentsKw(MessagePack, e+1, m) {
			return false
		}
	}
	if empty && m.Payload.Kwargs == nil {
		m.Payload.Args = nil
	}
	return true
}
