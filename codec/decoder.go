package codec

import "strconv"

// A Decoder decodes messages. It belongs to one goroutine or loop and is reused; decoding allocates nothing (scratch aside).
// The zero value is ready.
//
// How a message is read, all in the caller's turn: the list's head → the type code → the generated chain of that type and
// serializer (decode_*_gen.go), each link one element → the end of the input. Every link checks before it moves.
type Decoder struct {
	json    jsonReader
	msgpack msgpackReader
	cbor    cborReader
}

// Decode reads one whole message from b into m, which is overwritten. It checks structure, element counts, types, ids, known option
// keys, depth and payload well-formedness (PROTOCOL 1.3, 1.5, 14.3, 14.6), for messages of both directions. The error is a
// *Violation. m aliases b and the Decoder's scratch until the next Decode.
//
// hot: BenchmarkDecode, 0 allocs/op.
func (d *Decoder) Decode(s Serializer, b []byte, m *Message) error {
	*m = Message{Format: s}
	m.Payload.Format = s
	m.Options.format = s
	switch s {
	case JSON:
		if !d.json.message(b, m) {
			return d.json.violation(s, m)
		}
	case MessagePack:
		if !d.msgpack.message(b, m) {
			return d.msgpack.violation(s, m)
		}
	case CBOR:
		if !d.cbor.message(b, m) {
			return d.cbor.violation(s, m)
		}
	default:
		return &Violation{Reason: "unknown serializer " + strconv.Itoa(int(s))}
	}
	return nil
}

// An input is what the three readers share: the message being read, the cursor, and why reading stopped.
type input struct {
	b       []byte
	i       int
	left    int // MessagePack, CBOR: elements of the message not yet read
	st      nesting
	scratch []byte // unescaped text of this message; only appended to, so that earlier text stays where it is

	// Why reading failed.
	element int    // position of the element, -1 for the message as a whole
	key     string // the option concerned, "" if none
	want    string // what was expected, if the element has the wrong type
	why     string // what is wrong otherwise
}

// scratchBytesMax is how much scratch a Decoder keeps from one message to the next.
const scratchBytesMax = 64 << 10

func (r *input) begin(b []byte) {
	if cap(r.scratch) > scratchBytesMax {
		r.scratch = nil
	}
	r.b, r.i, r.scratch = b, 0, r.scratch[:0]
	r.key, r.want, r.why = "", "", ""
}

// fail notes that element e is wrong. It returns false.
func (r *input) fail(e int, why string) bool {
	r.element, r.why = e, why
	return false
}

// expected notes that element e, at the cursor, is not what was wanted. It returns false.
func (r *input) expected(e int, want string) bool {
	r.element, r.want = e, want
	return false
}

func (r *input) unknownType(t Type) bool {
	return r.fail(0, "unknown message type "+strconv.Itoa(int(t)))
}

// violation puts the failure into words.
func (r *input) violation(s Serializer, m *Message) *Violation {
	where := "message"
	switch {
	case r.element >= 0:
		where = elementName(m.Type, r.element)
	case m.Type != 0:
		where = m.Type.String()
	}
	if r.key != "" {
		where += "." + r.key
	}
	if r.why != "" {
		return &Violation{Reason: where + ": " + r.why}
	}
	return &Violation{Reason: where + ": expected " + r.want + ", got " + r.found(s)}
}

// found names what stands at the cursor.
func (r *input) found(s Serializer) string {
	i := r.i
	if s == JSON {
		i = skipSpace(r.b, i)
	}
	end, why := skip(s, r.b, i, 1, &r.st)
	if why != "" {
		return "something malformed (" + why + ")"
	}
	if s == JSON && (r.b[i] == ']' || r.b[i] == '}') {
		return "the end of the message"
	}
	var t token
	x := lexer{s: s, b: r.b[i:end]}
	x.next(&t)
	switch t.kind {
	case kindInt, kindFloat:
		if end-i <= 24 && s == JSON {
			return string(r.b[i:end])
		}
		if t.kind == kindInt && !t.neg {
			return strconv.FormatUint(t.u, 10)
		}
		if t.kind == kindInt {
			return "a negative integer"
		}
		return strconv.FormatFloat(t.f, 'g', -1, 64)
	}
	return t.kind.String()
}

const (
	wantedList          = "a list"
	whyEmptyList        = "an empty list"
	wantedCode          = "a message type code"
	wantedID            = "an id from 1 to 2^53"
	wantedText          = "text"
	wantedDict          = "a dictionary"
	wantedKey           = "text as key"
	wantedTail          = "a list"
	wantedTailKw        = "a dictionary"
	whyTrailing         = "octets after the end of the message"
	whyRevocation       = "a dictionary may only follow the request id 0"
	whyAfterTransparent = "nothing may follow a transparent payload"
	whyZero             = "the request id 0 needs a dictionary (revocation)"
	whyNoAlgo           = "a transparent payload needs the option enc_algo"
	whyAlgoList         = "with the option enc_algo the payload has to be one binary or text element"
)

// requestTypeOf checks ERROR's first element.
func requestTypeOf(code uint64, ok bool) (Type, bool) {
	if !ok || code > maxCode || shapeOf(Type(code)) == nil {
		return 0, false
	}
	return Type(code), true
}

// revocable checks that a dictionary follows the request id just read if and only if that is 0.
func (r *input) revocable(e int, m *Message, dict bool) bool {
	switch {
	case dict && m.Request != 0:
		return r.fail(e, whyRevocation)
	case !dict && m.Request == 0:
		return r.fail(e-1, whyZero)
	}
	return true
}

// miscounted notes that the message has n elements.
func (r *input) miscounted(n, least, most int) bool {
	need := strconv.Itoa(least)
	if least != most {
		need += " to " + strconv.Itoa(most)
	}
	if n > most {
		return r.fail(-1, "too many elements, at most "+strconv.Itoa(most)+" are allowed")
	}
	return r.fail(-1, "has "+strconv.Itoa(n)+" elements, needs "+need)
}

// maxCode is the largest message type code, core and extension range (PROTOCOL 1.1).
const maxCode = 1023

// dictionary reads the dictionary at the cursor: known keys go to m.Options, checked, all others are skipped.
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
		if r.i, why = skip(s, r.b, at, 2, &r.st); why != "" {
			return r.fail(e, why)
		}
		if known == 0 {
			continue
		}
		key, ok := findKey(k)
		if !ok || known&(1<<key) == 0 {
			continue
		}
		if want := m.Options.set(s, key, r.b[at:r.i]); want != "" {
			r.i, r.key = at, keyTable[key].name
			return r.expected(e, want)
		}
	}
	m.Dict = r.b[start:r.i]
	m.Options.dict = m.Dict
	return true
}

// A dictWalk goes through the pairs of the dictionary at an input's cursor. The caller skips the values.
type dictWalk struct {
	s     Serializer
	left  int  // pairs; unused if open
	until bool // the dictionary ends with a mark instead of a count
	first bool
}

// open enters the dictionary, if it is one.
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

// key reads the next key and moves to its value; more is false behind the last pair.
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

// textValue reads the text at the cursor. It aliases the message, or the scratch where escapes or chunks had to be undone.
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

// arguments reads the payload tail's first element, Arguments, at the cursor (PROTOCOL 1.1, 12.2). empty says that it is an
// empty list, which counts as absent unless ArgumentsKw follow.
func (r *input) arguments(s Serializer, e int, m *Message, transparent bool) (empty, ok bool) {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, &r.st)
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
		return false, r.expected(e, wantedTail)
	}
	r.i = end
	return empty, true
}

// argumentsKw reads the last element of the payload tail, at the cursor.
func (r *input) argumentsKw(s Serializer, e int, m *Message) bool {
	start := r.i
	k, empty := kindAt(s, r.b, start)
	end, why := skip(s, r.b, start, 1, &r.st)
	switch {
	case why != "":
		return r.fail(e, why)
	case k == kindNull:
	case k != kindDict:
		return r.expected(e, wantedTailKw)
	case m.Payload.Transparent:
		return r.fail(e, whyAfterTransparent)
	case !empty && m.Options.Has(KeyEncAlgo):
		return r.fail(e, whyAlgoList)
	case !empty:
		m.Payload.Kwargs = r.b[start:end:end]
	}
	r.i = end
	return true
}
