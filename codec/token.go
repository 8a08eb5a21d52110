package codec

// A kind is the kind of a value, the same in all serializers.
type kind uint8

const (
	kindEnd   kind = iota // the end of an open list or dictionary, or of the input
	kindNull              // null, nil, undefined, unassigned simple values
	kindBool              // token.u is 0 or 1
	kindInt               // token.u, or -1-token.u if token.neg
	kindBig               // a larger integer: token.b holds digits (JSON) or octets of magnitude (CBOR tags 2, 3)
	kindFloat             // token.f; token.narrow if it was narrower than 64 bits
	kindText              // token.b, not checked for UTF-8 in MessagePack and CBOR
	kindBin               // token.b
	kindList              // token.n items follow; token.open: until kindEnd
	kindDict              // token.n pairs follow; token.open: until kindEnd
	kindExt               // MessagePack: token.b of type token.ext
	kindTag               // CBOR: tag token.u; its content follows
)

func (k kind) String() string {
	return [...]string{
		"the end", "null", "a boolean", "an integer", "a big integer", "a float", "text", "binary", "a list",
		"a dictionary", "an extension", "a tag",
	}[k]
}

// A token is the head of a container or a whole scalar.
type token struct {
	kind   kind
	neg    bool
	narrow bool
	open   bool
	ext    int8
	u      uint64
	f      float64
	n      int
	b      []byte // aliases the input or the lexer's scratch; dies with the next token
}

// A lexer reads the tokens of one value. It trusts its input: the caller has checked it with skip.
type lexer struct {
	s       Serializer
	b       []byte
	i       int
	scratch []byte
}

func (x *lexer) reset(s Serializer, b []byte) {
	x.s, x.b, x.i = s, b, 0
}

// next reads the next token into t.
func (x *lexer) next(t *token) {
	*t = token{}
	switch x.s {
	case JSON:
		x.nextJSON(t)
	case MessagePack:
		x.nextMsgpack(t)
	default:
		x.nextCBOR(t)
	}
}

// skip skips the next value and returns its octets. It recurses once per level of nesting, which Decode has bounded.
func (x *lexer) skip() []byte {
	octets, _ := x.item()
	return octets
}

// item is skip, and reports whether a container ends instead.
func (x *lexer) item() (octets []byte, end bool) {
	for x.s == JSON && (x.b[x.i] == ',' || x.b[x.i] == ':' || x.b[x.i] <= ' ') {
		x.i++
	}
	start := x.i
	end = x.over()
	return x.b[start:x.i:x.i], end
}

// over skips the next value. It returns true if a container ends instead.
func (x *lexer) over() (end bool) {
	var t token
	x.next(&t)
	switch t.kind {
	case kindEnd:
		return true
	case kindTag:
		return x.over()
	case kindList, kindDict:
		n := t.n
		if t.kind == kindDict {
			n *= 2
		}
		for ; t.open || n > 0; n-- {
			if x.over() {
				break
			}
		}
	}
	return false
}

// integer returns the value of t if t is a non-negative integer of at most 64 bits or an integral float.
func (x *lexer) integer(t *token) (u uint64, ok bool) {
	switch t.kind {
	case kindInt:
		return t.u, !t.neg
	case kindFloat:
		if x.s == JSON {
			return integralDecimal(t.b)
		}
		return integralFloat(t.f)
	}
	return 0, false
}

// integralFloat converts f if it is an integer from 0 to 2^64-1.
func integralFloat(f float64) (u uint64, ok bool) {
	if !(f >= 0 && f < 1<<64) {
		return 0, false
	}
	u = uint64(f)
	return u, float64(u) == f
}

// integralDecimal converts a JSON number with fraction or exponent if it is an integer from 0 to 2^64-1. It does not
// go through a float64, where 9007199254740993.0 would become 2^53.
func integralDecimal(b []byte) (u uint64, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	var digits [20]byte // significant ones, without zeros at the ends
	n, zeros, exponent := 0, 0, 0
	fraction := false
	for i, c := range b {
		switch {
		case c == '.':
			fraction = true
			continue
		case c|0x20 == 'e':
			e, sign := 0, 1
			for _, c := range b[i+1:] {
				switch {
				case c == '-':
					sign = -1
				case c != '+' && e < 1<<26: // does not overflow 32 bits, together with the digits of a message
					e = e*10 + int(c-'0')
				}
			}
			exponent += sign * e
		case c == '0' && n == 0:
			if fraction {
				exponent--
			}
			continue
		default:
			if fraction {
				exponent--
			}
			if c == '0' {
				zeros++
				continue
			}
			if n+zeros >= len(digits) {
				return 0, false
			}
			for ; zeros > 0; zeros-- {
				digits[n] = '0'
				n++
			}
			digits[n] = c
			n++
			continue
		}
		break
	}
	if n == 0 {
		return 0, true
	}
	exponent += zeros
	if neg || exponent < 0 || n+exponent > len(digits) {
		return 0, false
	}
	u, _, ok = parseDigits(digits[:n])
	for ; exponent > 0 && ok; exponent-- {
		if u > (1<<64-1)/10 {
			return 0, false
		}
		u *= 10
	}
	return u, ok
}

// parseDigits converts decimal digits. ok is false if they exceed 64 bits; zero reports whether all of them are
// zeros.
func parseDigits(b []byte) (u uint64, zero, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if u > (1<<64-1-d)/10 {
			return 0, false, false
		}
		u = u*10 + d
	}
	return u, u == 0, true
}
