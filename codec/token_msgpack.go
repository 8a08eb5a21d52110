package codec

import "math"

func (x *lexer) nextMsgpack(t *token) {
	if x.i >= len(x.b) {
		return
	}
	c := x.b[x.i]
	x.i++
	switch {
	case c < 0x80:
		t.kind, t.u = kindInt, uint64(c)
		return
	case c >= 0xe0:
		t.kind, t.neg, t.u = kindInt, true, uint64(^c)
		return
	case c < 0x90:
		t.kind, t.n = kindDict, int(c&15)
		return
	case c < 0xa0:
		t.kind, t.n = kindList, int(c&15)
		return
	case c < 0xc0:
		t.kind = kindText
		x.data(t, uint64(c&31))
		return
	}
	h := &msgpackHeads[c&31]
	var n uint64
	if h.octets == 1 || h.octets == 2 || h.octets == 4 || h.octets == 8 {
		n = bigEndian(x.b, x.i, int(h.octets))
	}
	switch c {
	case 0xc0:
		t.kind = kindNull
	case 0xc2, 0xc3:
		t.kind, t.u = kindBool, uint64(c&1)
	case 0xca:
		t.kind, t.f, t.narrow = kindFloat, float64(math.Float32frombits(uint32(n))), true
	case 0xcb:
		t.kind, t.f = kindFloat, math.Float64frombits(n)
	case 0xcc, 0xcd, 0xce, 0xcf:
		t.kind, t.u = kindInt, n
	case 0xd0:
		t.signed(int64(int8(n)))
	case 0xd1:
		t.signed(int64(int16(n)))
	case 0xd2:
		t.signed(int64(int32(n)))
	case 0xd3:
		t.signed(int64(n))
	case 0xc4, 0xc5, 0xc6:
		t.kind = kindBin
		x.i += int(h.octets)
		x.data(t, n)
		return
	case 0xd9, 0xda, 0xdb:
		t.kind = kindText
		x.i += int(h.octets)
		x.data(t, n)
		return
	case 0xdc, 0xdd:
		t.kind, t.n = kindList, int(n)
	case 0xde, 0xdf:
		t.kind, t.n = kindDict, int(n)
	case 0xc7, 0xc8, 0xc9:
		t.kind = kindExt
		x.i += int(h.octets)
		t.ext = int8(x.b[x.i])
		x.i++
		x.data(t, n)
		return
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		t.kind, t.ext = kindExt, int8(x.b[x.i])
		x.i++
		x.data(t, uint64(h.octets-1))
		return
	}
	x.i += int(h.octets)
}

func (x *lexer) data(t *token, n uint64) {
	t.b = x.b[x.i : x.i+int(n)]
	x.i += int(n)
}

func (t *token) signed(v int64) {
	t.kind, t.u = kindInt, uint64(v)
	if v < 0 {
		t.neg, t.u = true, ^uint64(v)
	}
}

// undefined reports whether t is an extension of type 0 with one octet. JavaScript's msgpackr, and with it wampy,
// writes that for undefined. As an option it counts as absent, like null.
func (t *token) undefined() bool { return t.kind == kindExt && t.ext == 0 && len(t.b) == 1 }
