package codec

// A cborReader reads messages in CBOR.
type cborReader struct{ input }

func (r *cborReader) message(b []byte, m *Message) bool {
	r.begin(b)
	if len(b) == 0 {
		return r.fail(-1, "empty")
	}
	n, at, why := cborHead(b, 0)
	if b[0]&0xe0 != cborList || why != "" {
		return r.expected(-1, wantedList)
	}
	r.i = at
	end := len(b)
	if b[0]&31 == cborIndefinite {
		// Rare: count the elements, then read on as if the count had been announced.
		for n = 0; at < len(b) && b[at] != cborBreak; n++ {
			if at, why = skipCBOR(b, at, 1, r.st); why != "" {
				return r.fail(-1, why)
			}
		}
		if at >= len(b) {
			return r.fail(-1, whyShort)
		}
		end = at
		if at+1 != len(b) {
			return r.fail(-1, whyTrailing)
		}
	}
	if n == 0 {
		return r.fail(-1, whyEmptyList)
	}
	r.left = int(min(n, uint64(len(b)))) // more elements than octets fail the count all the same
	code, ok := r.integer()
	if !ok || code > maxCode {
		return r.expected(0, wantedCode)
	}
	m.Type = Type(code)
	if !r.elements(m) {
		return false
	}
	if r.i != end {
		return r.fail(-1, whyTrailing)
	}
	return true
}

// count checks the number of elements of the message, the type code included.
func (r *cborReader) count(least, most int) bool {
	if r.left < least || r.left > most {
		return r.miscounted(r.left, least, most)
	}
	r.left--
	return true
}

// more reports whether another element follows.
func (r *cborReader) more() bool { return r.left > 0 }

// integer reads a non-negative integer, or an integral float, and moves past it only if it is one.
func (r *cborReader) integer() (u uint64, ok bool) {
	if r.i >= len(r.b) {
		return 0, false
	}
	c := r.b[r.i]
	if c < 24 {
		r.i++
		return uint64(c), true
	}
	n, end, why := cborHead(r.b, r.i)
	if why != "" || c&31 == cborIndefinite {
		return 0, false
	}
	if c&0xe0 == cborUint {
		r.i = end
		return n, true
	}
	if c&0xe0 != cborSimple {
		return 0, false
	}
	x := lexer{s: CBOR, b: r.b, i: r.i}
	var t token
	x.next(&t)
	if u, ok = x.integer(&t); ok {
		r.i = end
	}
	return u, ok
}

func (r *cborReader) id(e int, dst *uint64) bool {
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

func (r *cborReader) idOrZero(e int, dst *uint64) bool {
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

func (r *cborReader) requestType(e int, dst *Type) bool {
	at := r.i
	code, ok := r.integer()
	if *dst, ok = requestTypeOf(code, ok); !ok {
		r.i = at
		return r.expected(e, wantedCode)
	}
	r.left--
	return true
}

func (r *cborReader) text(e int, dst *[]byte) bool {
	t, ok := r.textValue(CBOR)
	if !ok {
		return r.expected(e, wantedText)
	}
	r.left--
	*dst = t
	return true
}

func (r *cborReader) textOrNull(e int, dst *[]byte) bool {
	if r.null() {
		return true
	}
	return r.text(e, dst)
}

// null moves past a null or undefined.
func (r *cborReader) null() bool {
	if r.i < len(r.b) && (r.b[r.i] == 0xf6 || r.b[r.i] == 0xf7) {
		r.i++
		r.left--
		return true
	}
	return false
}

func (r *cborReader) dict(e int, m *Message, known keySet) bool {
	if r.i < len(r.b) && r.b[r.i] == cborDict {
		m.Dict = r.b[r.i : r.i+1 : r.i+1]
		r.i++
		r.left--
		return true
	}
	r.left--
	return r.dictionary(CBOR, e, m, known)
}

func (r *cborReader) optionalDict(e int, m *Message, known keySet) bool {
	return !r.more() || r.null() || r.dict(e, m, known)
}

func (r *cborReader) revocation(e int, m *Message, known keySet) bool {
	return r.revocable(e, m, r.more()) && (!r.more() || r.dict(e, m, known))
}

func (r *cborReader) tail(e int, m *Message, transparent bool) bool {
	if !r.more() {
		return true
	}
	r.left--
	empty, ok := r.arguments(CBOR, e, m, transparent)
	if !ok {
		return false
	}
	if r.more() {
		r.left--
		if !r.argumentsKw(CBOR, e+1, m) {
			return false
		}
	}
	if empty && m.Payload.Kwargs == nil {
		m.Payload.Args = nil
	}
	return true
}
