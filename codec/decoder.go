package codec

import (
	"strconv"
	"unicode/utf8"
)

// A Decoder decodes messages. It belongs to one goroutine or loop and is reused. Decoding allocates nothing but
// scratch. The zero value is ready.
//
// Decoders share nothing. To decode a large message away from the loop, give the other goroutine a Decoder of its
// own, and take over the Message together with that Decoder and the bytes: the Message aliases both.
//
// Decode reads in this order: the head of the list, the type code, the elements (generated, decode_*_gen.go), the end
// of the input.
type Decoder struct {
	json    jsonReader
	counted countedReader // MessagePack and CBOR
}

// SetDepthMax sets how deep containers may nest in one message. The message's own list and CBOR tags count. 0 means
// the default, 64; more than DepthMaxMost means DepthMaxMost.
func (d *Decoder) SetDepthMax(n int) {
	if n <= 0 {
		n = depthMax
	}
	d.json.st = make(nesting, min(n, DepthMaxMost))
	d.counted.st = d.json.st
}

// Decode reads one whole message from b into m, which is overwritten. It checks structure, element counts, types,
// ids, known option keys, depth and payload well-formedness (PROTOCOL 1.3, 1.5, 14.3, 14.6), for messages of both
// directions. The error is a *Violation. m aliases b and the Decoder's scratch until the next Decode.
//
// hot: BenchmarkDecode, 0 allocs/op.
func (d *Decoder) Decode(s Serializer, b []byte, m *Message) error {
	*m = Message{Format: s}
	m.Payload.Format = s
	m.Options.format = s
	if d.json.st == nil {
		d.SetDepthMax(0)
	}
	switch s {
	case JSON:
		if !d.json.message(b, m) {
			return d.json.violation(s, m)
		}
	case MessagePack, CBOR:
		if !d.counted.message(s, b, m) {
			return d.counted.violation(s, m)
		}
	default:
		return &Violation{Reason: "unknown serializer " + strconv.Itoa(int(s))}
	}
	return nil
}

// An input is the part that the two readers share: the message, the cursor, and the reason why reading stopped.
type input struct {
	b       []byte
	i       int
	left    int     // MessagePack, CBOR: elements of the message not yet read
	st      nesting // scratch of skip
	scratch []byte  // unescaped text of this message; it only grows, so that earlier text does not move

	// Why reading failed.
	element int    // position of the element, -1 for the message as a whole
	key     string // the option concerned, "" if none
	want    string // the expected type, if the element has another one
	why     string // any other fault
}

func (r *input) begin(b []byte) {
	if cap(r.scratch) > scratchBytesMax {
		r.scratch = nil
	}
	r.b, r.i, r.scratch = b, 0, r.scratch[:0]
	r.key, r.want, r.why = "", "", ""
}

// fail records that element e is wrong, and returns false.
func (r *input) fail(e int, why string) bool {
	r.element, r.why = e, why
	return false
}

// expected records that element e, at the cursor, is not of the type want, and returns false.
func (r *input) expected(e int, want string) bool {
	r.element, r.want = e, want
	return false
}

func (r *input) unknownType(t Type) bool {
	return r.fail(0, "unknown message type "+strconv.Itoa(int(t)))
}

// violation returns the recorded fault in words.
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
	switch {
	case r.why == whyDeep:
		return &Violation{Reason: where + ": containers nest deeper than " + strconv.Itoa(len(r.st))}
	case r.why != "":
		return &Violation{Reason: where + ": " + r.why}
	}
	return &Violation{Reason: where + ": expected " + r.want + ", got " + r.found(s)}
}

// found describes the value at the cursor.
func (r *input) found(s Serializer) string {
	i := r.i
	if s == JSON {
		i = skipSpace(r.b, i)
	}
	if s == JSON && i < len(r.b) && (r.b[i] == ']' || r.b[i] == '}') {
		return "the end of the container"
	}
	end, why := skip(s, r.b, i, 1, r.st)
	if why != "" {
		return "something malformed (" + why + ")"
	}
	return describe(s, r.b[i:end], r.want)
}

// describe says what raw is, which is one value and not what was expected.
func describe(s Serializer, raw []byte, expected string) string {
	x := lexer{s: s, b: raw}
	var t token
	x.next(&t)
	switch t.kind {
	case kindInt, kindFloat:
		if len(raw) <= 24 && s == JSON {
			return string(raw)
		}
		if t.kind == kindInt && !t.neg {
			return strconv.FormatUint(t.u, 10)
		}
		if t.kind == kindInt {
			return "a negative integer"
		}
		return strconv.FormatFloat(t.f, 'g', -1, 64)
	case kindText:
		return describeText(t.b)
	case kindList:
		for _, w := range []want{wantIDs, wantTexts, wantLinks} {
			if expected == wanted[w] {
				return "a list that holds " + describeItem(s, raw, w)
			}
		}
	}
	return t.kind.String()
}

// describeText says what is wrong with a text, or begins to quote it.
func describeText(text []byte) string {
	const quotedRunes = 24
	switch {
	case !utf8.Valid(text):
		return "text that is not valid UTF-8"
	case len(text) > 0 && text[0] == 0:
		return "text that begins with U+0000 (binary in JSON)"
	}
	short := string(text[:min(len(text), quotedRunes*utf8.UTFMax)])
	if runes := []rune(short); len(runes) > quotedRunes {
		short = string(runes[:quotedRunes])
	}
	quoted := "text " + strconv.Quote(short)
	if len(short) < len(text) {
		quoted += "…"
	}
	return quoted
}

// describeItem says what the first item is that a list of w cannot have.
func describeItem(s Serializer, raw []byte, w want) string {
	x := lexer{s: s, b: raw}
	var list token
	x.next(&list)
	good, _ := x.items(&list, w)
	x = lexer{s: s, b: raw}
	x.next(&list)
	for range good {
		x.skip()
	}
	item := x.skip()
	if k, _ := kindAt(s, item, 0); k == kindDict && w == wantLinks {
		return "a dictionary with other values"
	}
	return describe(s, item, "")
}

// The expected types of elements, and the other faults, in words.
const (
	wantedList          = "a list"
	whyEmptyList        = "an empty list"
	wantedCode          = "a message type code"
	wantedID            = "an id from 1 to 2^53"
	wantedText          = "text"
	wantedDict          = "a dictionary"
	wantedKey           = "text as key"
	whyKeyUTF8          = "a key is not valid UTF-8"
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

// miscounted records that the message has n elements, and returns false.
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
