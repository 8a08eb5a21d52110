package codec

// A countedReader reads messages in MessagePack and CBOR: their heads announce the number of elements. The two
// serializers differ in the head of the message and in the octets of countedHeads.
type countedReader struct {
	input
	s     Serializer
	heads countedHeads
}

// countedHeads are the octets in which the two serializers differ.
type countedHeads struct {
	smallEnd  byte // every octet below it is an integer
	uintHead  byte // the head of an unsigned integer of 1 octet; the next three are for 2, 4 and 8 octets
	null      byte
	emptyDict byte
}

var countedHeadsOf = [...]countedHeads{
	MessagePack: {smallEnd: 0x80, uintHead: 0xcc, null: 0xc0, emptyDict: 0x80},
	CBOR:        {smallEnd: 24, uintHead: cborUint | 24, null: cborNull, emptyDict: cborDict},
}

// message reads the message b in the serializer s.
func (r *countedReader) message(s Serializer, b []byte, m *Message) bool {
	r.begin(b)
	if len(b) == 0 {
		return r.fail(-1, "empty")
	}
	r.s, r.heads = s, countedHeadsOf[s]
	end, ok := 0, false
	if s == MessagePack {
		end, ok = r.listMsgpack()
	} else {
		end, ok = r.listCBOR()
	}
	if !ok {
		return false
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
	if r.i != end {
		return r.fail(-1, whyTrailing)
	}
	return true
}

// listMsgpack reads the head of the message and returns where its last element ends.
func (r *countedReader) listMsgpack() (end int, ok bool) {
	b := r.b
	n := uint64(0)
	switch c := b[0]; {
	case c&0xf0 == 0x90:
		n, r.i = uint64(c&15), 1
	case c == 0xdc && len(b) >= 3:
		n, r.i = bigEndian(b, 1, 2), 3
	case c == 0xdd && len(b) >= 5:
		n, r.i = bigEndian(b, 1, 4), 5
	default:
		return 0, r.expected(-1, wantedList)
	}
	r.left = int(min(n, uint64(len(b)))) // a larger number fails count as well
	return len(b), true
}

// listCBOR reads the head of the message and returns where its last element ends.
func (r *countedReader) listCBOR() (end int, ok bool) {
	b := r.b
	n, at, why := cborHead(b, 0)
	if b[0]&0xe0 != cborList || why != "" {
		return 0, r.expected(-1, wantedList)
	}
	r.i = at
	end = len(b)
	if b[0]&31 == cborIndefinite {
		// Rare: count the elements, then continue as if the head had announced them.
		for n = 0; at < len(b) && b[at] != cborBreak; n++ {
			if at, why = skipCBOR(b, at, 1, r.st); why != "" {
				return 0, r.fail(-1, why)
			}
		}
		if at >= len(b) {
			return 0, r.fail(-1, whyShort)
		}
		end = at
		if at+1 != len(b) {
			return 0, r.fail(-1, whyTrailing)
		}
	}
	r.left = int(min(n, uint64(len(b)))) // a larger number fails count as well
	return end, true
}

// integer reads a non-negative integer or an integral float. If there is neither, the cursor stays.
func (r *countedReader) integer() (u uint64, ok bool) {
	b, i := r.b, r.i
	if i >= len(b) {
		return 0, false
	}
	c := b[i]
	if c < r.heads.smallEnd {
		r.i++
		return uint64(c), true
	}
	if k := c - r.heads.uintHead; k < 4 {
		n := 1 << k
		if n > len(b)-i-1 {
			return 0, false
		}
		r.i = i + 1 + n
		return bigEndian(b, i+1, n), true
	}
	return r.oddInteger()
}

// oddInteger is integer for floats and for the signed forms of MessagePack.
func (r *countedReader) oddInteger() (u uint64, ok bool) {
	if k, _ := kindAt(r.s, r.b, r.i); k != kindInt && k != kindFloat {
		return 0, false
	}
	end, why := skip(r.s, r.b, r.i, 1, r.st)
	if why != "" {
		return 0, false
	}
	x := lexer{s: r.s, b: r.b, i: r.i}
	var t token
	x.next(&t)
	if u, ok = x.integer(&t); ok {
		r.i = end
	}
	return u, ok
}

// count checks the number of elements of the message, the type code included.
func (r *countedReader) count(least, most int) bool {
	if r.left < least || r.left > most {
		return r.miscounted(r.left, least, most)
	}
	r.left--
	return true
}

// more reports whether another element follows.
func (r *countedReader) more() bool { return r.left > 0 }

func (r *countedReader) id(e int, dst *uint64) bool {
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

func (r *countedReader) idOrZero(e int, dst *uint64) bool {
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

func (r *countedReader) requestType(e int, dst *Type) bool {
	at := r.i
	code, ok := r.integer()
	if *dst, ok = requestTypeOf(code, ok); !ok {
		r.i = at
		return r.expected(e, wantedCode)
	}
	r.left--
	return true
}

func (r *countedReader) text(e int, dst *[]byte) bool {
	t, ok := r.textValue(r.s)
	if !ok {
		return r.expected(e, wantedText)
	}
	r.left--
	*dst = t
	return true
}

func (r *countedReader) textOrNull(e int, dst *[]byte) bool {
	if r.null() {
		return true
	}
	return r.text(e, dst)
}

// null skips a null; in CBOR also undefined.
func (r *countedReader) null() bool {
	if r.i >= len(r.b) {
		return false
	}
	c := r.b[r.i]
	if c != r.heads.null && (r.s != CBOR || c != cborUndefined) {
		return false
	}
	r.i++
	r.left--
	return true
}

func (r *countedReader) dict(e int, m *Message, known keySet) bool {
	r.left--
	if r.i < len(r.b) && r.b[r.i] == r.heads.emptyDict {
		m.Dict = r.b[r.i : r.i+1 : r.i+1]
		r.i++
		return true
	}
	return r.dictionary(r.s, e, m, known)
}

func (r *countedReader) optionalDict(e int, m *Message, known keySet) bool {
	return !r.more() || r.null() || r.dict(e, m, known)
}

func (r *countedReader) revocation(e int, m *Message, known keySet) bool {
	return r.revocable(e, m, r.more()) && (!r.more() || r.dict(e, m, known))
}

func (r *countedReader) payload(e int, m *Message, transparent bool) bool {
	if !r.more() {
		return true
	}
	r.left--
	empty, ok := r.arguments(r.s, e, m, transparent)
	if !ok {
		return false
	}
	if r.more() {
		r.left--
		if !r.argumentsKw(r.s, e+1, m) {
			return false
		}
	}
	if empty && m.Payload.Kwargs == nil {
		m.Payload.Args = nil
	}
	return true
}
