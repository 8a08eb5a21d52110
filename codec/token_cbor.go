package codec

import "math"

func (x *lexer) nextCBOR(t *token) {
	if x.i >= len(x.b) {
		return
	}
	c := x.b[x.i]
	n, end, _ := cborHead(x.b, x.i)
	x.i = end
	indefinite := c&31 == cborIndefinite
	switch c & 0xe0 {
	case cborUint, cborNegint:
		t.kind, t.u, t.neg = kindInt, n, c&0xe0 == cborNegint
	case cborBytes, cborText:
		t.kind = kindBin
		if c&0xe0 == cborText {
			t.kind = kindText
		}
		if indefinite {
			x.chunks(t)
			return
		}
		x.data(t, n)
	case cborList:
		t.kind, t.n, t.open = kindList, int(n), indefinite
	case cborDict:
		t.kind, t.n, t.open = kindDict, int(n), indefinite
	case cborTag:
		t.kind, t.u = kindTag, n
		if n == 2 || n == 3 {
			x.bignum(t, n == 3)
		}
	default:
		switch c & 31 {
		case 20, 21:
			t.kind, t.u = kindBool, uint64(c&1)
		case 25:
			t.kind, t.f, t.narrow = kindFloat, float64(halfFloat(uint16(n))), true
		case 26:
			t.kind, t.f, t.narrow = kindFloat, float64(math.Float32frombits(uint32(n))), true
		case 27:
			t.kind, t.f = kindFloat, math.Float64frombits(n)
		case cborIndefinite:
			t.kind = kindEnd
		default:
			t.kind = kindNull
		}
	}
}

// chunks joins the chunks of an indefinite string in the lexer's scratch.
func (x *lexer) chunks(t *token) {
	x.scratch = x.scratch[:0]
	for x.b[x.i] != cborBreak {
		n, i, _ := cborHead(x.b, x.i)
		x.scratch = append(x.scratch, x.b[i:i+int(n)]...)
		x.i = i + int(n)
	}
	x.i++
	t.b = x.scratch
}

// bignum reads the integer behind tag 2 or 3. Without a byte string the tag is an ordinary one.
func (x *lexer) bignum(t *token, negative bool) {
	if x.b[x.i]&0xe0 != cborBytes {
		return
	}
	x.nextCBOR(t)
	t.kind, t.neg, t.u = kindBig, negative, 0
	for len(t.b) > 0 && t.b[0] == 0 {
		t.b = t.b[1:]
	}
	if len(t.b) <= 8 {
		t.kind = kindInt
		for _, c := range t.b {
			t.u = t.u<<8 | uint64(c)
		}
	}
}

// halfFloat widens an IEEE 754 half.
func halfFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&0x3ff)
	switch exp {
	case 0:
		f := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
