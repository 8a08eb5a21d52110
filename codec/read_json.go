package codec

// A jsonReader reads messages in JSON. It learns the number of elements only at the end of the message.
type jsonReader struct {
	input
	least, most int // elements that the message may have
}

func (r *jsonReader) message(b []byte, m *Message) bool {
	r.begin(b)
	r.i = skipSpace(b, 0)
	if r.i >= len(b) {
		return r.fail(-1, "empty")
	}
	if b[r.i] != '[' {
		return r.expected(-1, wantedList)
	}
	r.i = skipSpace(b, r.i+1)
	if r.i < len(b) && b[r.i] == ']' {
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
	r.i = skipSpace(b, r.i)
	if r.i >= len(b) {
		return r.fail(-1, whyShort)
	}
	if b[r.i] == ',' {
		return r.miscounted(r.most+1, r.least, r.most)
	}
	if b[r.i] != ']' {
		return r.fail(-1, whyJSONComma)
	}
	if r.i = skipSpace(b, r.i+1); r.i != len(b) {
		return r.fail(-1, whyTrailing)
	}
	return true
}

// count stores how many elements the message may have, the type code included.
func (r *jsonReader) count(least, most int) bool {
	r.least, r.most = least, most
	return true
}

// more moves to the next element, if there is one.
func (r *jsonReader) more() bool {
	b := r.b
	i := r.i
	if i < len(b) && b[i] != ',' {
		i = skipSpace(b, i)
	}
	if i >= len(b) || b[i] != ',' {
		return false
	}
	r.i = skipSpace(b, i+1)
	return true
}

// next moves to element e. It fails if the message has no such element.
func (r *jsonReader) next(e int) bool {
	if r.more() {
		return true
	}
	r.i = skipSpace(r.b, r.i)
	switch {
	case r.i >= len(r.b):
		return r.fail(-1, whyShort)
	case r.b[r.i] == ']':
		return r.miscounted(e, r.least, r.most)
	}
	return r.fail(-1, whyJSONComma)
}

// integer reads a non-negative integer or an integral float. If there is neither, the cursor stays.
func (r *jsonReader) integer() (u uint64, ok bool) {
	b, i := r.b, r.i
	for ; i < len(b) && i < r.i+19; i++ { // 19 digits cannot overflow
		d := b[i] - '0'
		if d > 9 {
			break
		}
		u = u*10 + uint64(d)
	}
	if i > r.i && i < len(b) && (b[i] == ',' || b[i] == ']') && (b[r.i] != '0' || i == r.i+1) {
		r.i = i
		return u, true
	}
	return r.slowInteger()
}

// slowInteger is integer for signs, fractions, exponents and white space.
func (r *jsonReader) slowInteger() (u uint64, ok bool) {
	if r.i >= len(r.b) || r.b[r.i] != '-' && r.b[r.i]-'0' > 9 {
		return 0, false
	}
	end, why := skipJSONNumber(r.b, r.i)
	if why != "" {
		return 0, false
	}
	x := lexer{s: JSON}
	var t token
	lexNumber(&t, r.b[r.i:end])
	if u, ok = x.integer(&t); ok {
		r.i = end
	}
	return u, ok
}

func (r *jsonReader) id(e int, dst *uint64) bool {
	if !r.next(e) {
		return false
	}
	at := r.i
	u, ok := r.integer()
	if !ok || u-1 >= MaxID {
		r.i = at
		return r.expected(e, wantedID)
	}
	*dst = u
	return true
}

func (r *jsonReader) idOrZero(e int, dst *uint64) bool {
	if !r.next(e) {
		return false
	}
	at := r.i
	u, ok := r.integer()
	if !ok || u > MaxID {
		r.i = at
		return r.expected(e, wantedID)
	}
	*dst = u
	return true
}

func (r *jsonReader) requestType(e int, dst *Type) bool {
	if !r.next(e) {
		return false
	}
	at := r.i
	code, ok := r.integer()
	if *dst, ok = requestTypeOf(code, ok); !ok {
		r.i = at
		return r.expected(e, wantedCode)
	}
	return true
}

func (r *jsonReader) text(e int, dst *[]byte) bool {
	return r.next(e) && r.textHere(e, dst)
}

func (r *jsonReader) textHere(e int, dst *[]byte) bool {
	t, ok := r.textValue(JSON)
	if !ok {
		return r.expected(e, wantedText)
	}
	*dst = t
	return true
}

func (r *jsonReader) textOrNull(e int, dst *[]byte) bool {
	return r.next(e) && (r.null() || r.textHere(e, dst))
}

// null skips a null.
func (r *jsonReader) null() bool {
	end := skipWord(r.b, r.i, "null")
	if end < 0 {
		return false
	}
	r.i = end
	return true
}

func (r *jsonReader) dict(e int, m *Message, known keySet) bool {
	if !r.next(e) || !r.dictionary(JSON, e, m, known) {
		return false
	}
	// Few dictionaries reach others: the forwarded keys are rare, and so are details in an ERROR.
	if m.Options.has&forwardedKeys != 0 || m.Type == Error {
		r.cleanDict(m)
	}
	return true
}

func (r *jsonReader) optionalDict(e int, m *Message, known keySet) bool {
	return !r.more() || r.null() || r.dictionary(JSON, e, m, known)
}

func (r *jsonReader) revocation(e int, m *Message, known keySet) bool {
	more := r.more()
	return r.revocable(e, m, more) && (!more || r.dictionary(JSON, e, m, known))
}

func (r *jsonReader) payload(e int, m *Message, transparent bool) bool {
	if !r.more() {
		return true
	}
	empty, ok := r.arguments(JSON, e, m, transparent)
	if !ok {
		return false
	}
	if r.more() && !r.argumentsKw(JSON, e+1, m) {
		return false
	}
	if empty && m.Payload.Kwargs == nil {
		m.Payload.Args = nil
	}
	return true
}
