package codec

import (
	"math"
	"math/big"
)

// big writes an integer beyond 64 bits.
func (t *transcoder) big(tok *token) {
	switch {
	case t.lex.s == JSON && len(tok.b) > bignumDigitsMax:
		t.dst = appendText(t.dst, t.to, signed(tok.neg, tok.b))
	case t.lex.s == JSON:
		v, _ := new(big.Int).SetString(string(tok.b), 10)
		if tok.neg {
			v.Neg(v)
		}
		t.dst = appendBig(t.dst, t.to, v)
	case len(tok.b) > bignumBytesMax:
		t.dst = appendBin(t.dst, t.to, tok.b)
	default:
		t.dst = appendBig(t.dst, t.to, bigOf(tok))
	}
}

func signed(neg bool, digits []byte) []byte {
	if neg {
		return append([]byte{'-'}, digits...)
	}
	return digits
}

// bigOf returns the value of an integer from CBOR. The magnitude is in tok.b, or in tok.u.
func bigOf(tok *token) *big.Int {
	v := new(big.Int)
	if tok.kind == kindBig {
		v.SetBytes(tok.b)
	} else {
		v.SetUint64(tok.u)
	}
	if tok.neg {
		v.Not(v)
	}
	return v
}

// appendBig appends v: in JSON its digits, in CBOR the shortest integer or bignum, in MessagePack an integer, or a
// float64 if that is exact, or its digits as text (PROTOCOL 14.4).
func appendBig(dst []byte, to Serializer, v *big.Int) []byte {
	switch {
	case to == JSON:
		return v.Append(dst, 10)
	case v.IsUint64():
		return appendUint(dst, to, v.Uint64())
	case v.IsInt64():
		return appendInt(dst, to, v.Int64())
	case to == MessagePack:
		if f, accuracy := new(big.Float).SetInt(v).Float64(); accuracy == big.Exact && !math.IsInf(f, 0) {
			return appendFloat(dst, to, f, false)
		}
		return appendText(dst, to, v.String())
	}
	major, tag := byte(cborUint), uint64(2)
	if v.Sign() < 0 {
		v.Not(v)
		major, tag = cborNegint, 3
	}
	if v.IsUint64() {
		return appendCBORHead(dst, major, v.Uint64())
	}
	return appendBin(appendCBORHead(dst, cborTag, tag), CBOR, v.Bytes())
}
