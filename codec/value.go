package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// AppendValue encodes a Go value: nil, bool, integers, floats, json.Number, string, []byte, []any, []string,
// []uint64, map[string]any, Raw. It sorts the keys of dictionaries and replaces invalid UTF-8 in strings. On error it
// returns dst unchanged in length. Cold paths only.
func AppendValue(dst []byte, s Serializer, v any) ([]byte, error) {
	out, err := appendValue(dst, s, v, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendValue(dst []byte, s Serializer, v any, depth int) ([]byte, error) {
	if depth > DepthMaxMost {
		return dst, errDepth
	}
	switch v := v.(type) {
	case nil:
		return appendNull(dst, s), nil
	case bool:
		return appendBool(dst, s, v), nil
	case int:
		return appendInt(dst, s, int64(v)), nil
	case int8:
		return appendInt(dst, s, int64(v)), nil
	case int16:
		return appendInt(dst, s, int64(v)), nil
	case int32:
		return appendInt(dst, s, int64(v)), nil
	case int64:
		return appendInt(dst, s, v), nil
	case uint:
		return appendUint(dst, s, uint64(v)), nil
	case uint8:
		return appendUint(dst, s, uint64(v)), nil
	case uint16:
		return appendUint(dst, s, uint64(v)), nil
	case uint32:
		return appendUint(dst, s, uint64(v)), nil
	case uint64:
		return appendUint(dst, s, v), nil
	case float32:
		return appendFloat(dst, s, float64(v), true), nil
	case float64:
		return appendFloat(dst, s, v, false), nil
	case string:
		return appendCleanText(dst, s, v), nil
	case []byte:
		return appendBin(dst, s, v), nil
	case []any:
		return appendSlice(dst, s, v, func(dst []byte, item any) ([]byte, error) {
			return appendValue(dst, s, item, depth+1)
		})
	case []string:
		return appendSlice(dst, s, v, func(dst []byte, item string) ([]byte, error) {
			return appendCleanText(dst, s, item), nil
		})
	case []uint64:
		return appendSlice(dst, s, v, func(dst []byte, item uint64) ([]byte, error) {
			return appendUint(dst, s, item), nil
		})
	case map[string]any:
		return appendMap(dst, s, v, depth)
	case json.Number:
		return appendNumber(dst, s, v)
	case Raw:
		return Transcode(dst, v.Octets, v.Format, s, math.MaxInt)
	}
	return dst, fmt.Errorf("codec: no encoding for a %T", v)
}

// appendNumber writes digits as Transcode does.
func appendNumber(dst []byte, s Serializer, n json.Number) ([]byte, error) {
	if n == "" {
		n = "0" // as encoding/json has it
	}
	if end, why := skipJSONNumber([]byte(n), 0); why != "" || end != len(n) {
		return dst, fmt.Errorf("codec: %q is no number", string(n))
	}
	return Transcode(dst, []byte(n), JSON, s, math.MaxInt)
}

func appendCleanText(dst []byte, s Serializer, text string) []byte {
	return appendText(dst, s, cleanText(text))
}

func appendSlice[T any](dst []byte, s Serializer, items []T,
	one func([]byte, T) ([]byte, error),
) (_ []byte, err error) {
	dst = appendListHead(dst, s, len(items))
	for i, item := range items {
		if s == JSON && i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = one(dst, item); err != nil {
			return dst, err
		}
	}
	if s == JSON {
		dst = append(dst, ']')
	}
	return dst, nil
}

func appendMap(dst []byte, s Serializer, m map[string]any, depth int) (_ []byte, err error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = appendDictHead(dst, s, len(m))
	for i, k := range keys {
		if s == JSON && i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCleanText(dst, s, k)
		if s == JSON {
			dst = append(dst, ':')
		}
		if dst, err = appendValue(dst, s, m[k], depth+1); err != nil {
			return dst, err
		}
	}
	if s == JSON {
		dst = append(dst, '}')
	}
	return dst, nil
}

// Value decodes one encoded value into the same Go types: integers are int64, or uint64 above its range; integers
// beyond 64 bits and JSON numbers beyond float64 are json.Number; JSON strings that stand for binary are []byte
// (PROTOCOL 14.2), as are extensions; tags leave their content; keys that are no text are rendered as JSON.
// The error is a *Violation and says why raw is malformed, or that a key is a list or dictionary. Cold paths only.
func Value(s Serializer, raw []byte) (any, error) {
	values := math.MaxInt
	return decodeValue(s, raw, &values, false)
}

// ValueWithin is Value for what holds no more than that many values, containers and keys included. It takes their
// number off values, and fails with ErrTooMuchWork if that is not enough. A dictionary that has a list or dictionary
// as key is a Raw, which aliases raw.
func ValueWithin(s Serializer, raw []byte, values *int) (any, error) {
	return decodeValue(s, raw, values, true)
}

func decodeValue(s Serializer, raw []byte, values *int, opaque bool) (any, error) {
	start := 0
	if s == JSON {
		start = skipSpace(raw, 0)
	}
	end, why := skip(s, raw, start, 0, make(nesting, DepthMaxMost))
	if why == "" && s == JSON {
		end = skipSpace(raw, end)
	}
	if why == "" && end != len(raw) {
		why = whyTrailing
	}
	if why != "" {
		return nil, &Violation{Reason: "value: " + why}
	}
	x := valueReader{lexer: lexer{s: s, b: raw}, left: values, opaque: opaque}
	v, _, err := x.value()
	return v, err
}

// A valueReader builds Go values.
type valueReader struct {
	lexer
	left   *int // values that may still be built
	opaque bool // a dictionary that is no Go map is a Raw
}

// value builds the next value. skip has bounded the depth of its recursion. end reports that a container ended
// instead.
func (x *valueReader) value() (v any, end bool, err error) {
	start := x.i
	var t token
	x.next(&t)
	for t.kind == kindTag {
		x.next(&t)
	}
	if t.kind == kindEnd {
		return nil, true, nil
	}
	if *x.left--; *x.left < 0 {
		return nil, false, ErrTooMuchWork
	}
	switch t.kind {
	case kindNull:
		return nil, false, nil
	case kindBool:
		return t.u != 0, false, nil
	case kindInt, kindBig:
		return x.goInteger(&t), false, nil
	case kindFloat:
		if x.s == JSON && t.f-t.f != 0 {
			return json.Number(t.b), false, nil
		}
		return t.f, false, nil
	case kindText:
		if x.s == JSON {
			if bin, ok := decodeBinary([]byte{}, t.b); ok {
				return bin, false, nil
			}
		}
		return string(t.b), false, nil
	case kindBin, kindExt:
		return append([]byte{}, t.b...), false, nil
	case kindList:
		items := []any{}
		for n := t.n; t.open || n > 0; n-- {
			item, end, err := x.value()
			if err != nil {
				return nil, false, err
			}
			if end {
				break
			}
			items = append(items, item)
		}
		return items, false, nil
	}
	m, err := x.dictionary(&t)
	if x.opaque && errors.Is(err, errKeyForm) {
		x.i = start
		return Raw{x.s, x.skip()}, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return m, false, nil
}

// dictionary builds the dictionary whose head is t.
func (x *valueReader) dictionary(t *token) (map[string]any, error) {
	m := map[string]any{}
	for n := t.n; t.open || n > 0; n-- {
		at := x.i
		k, end, err := x.value()
		if err != nil {
			return nil, err
		}
		if end {
			break
		}
		name, ok := k.(string)
		if !ok {
			if name, err = x.keyText(at); err != nil {
				return nil, err
			}
		}
		if m[name], _, err = x.value(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// keyText returns the key at x.b[at] as Transcode writes it in JSON.
func (x *lexer) keyText(at int) (string, error) {
	if x.s == JSON { // in a key, text that looks like binary is text
		k := lexer{s: JSON, b: x.b, i: at}
		var t token
		k.next(&t)
		return string(t.b), nil
	}
	t := transcoder{lex: lexer{s: x.s, b: x.b, i: at}, to: JSON}
	var tok token
	t.lex.next(&tok)
	for tok.kind == kindTag {
		t.lex.next(&tok)
	}
	if tok.kind == kindList || tok.kind == kindDict {
		return "", errKeyForm
	}
	t.key(&tok)
	x2 := lexer{s: JSON, b: t.dst}
	x2.next(&tok)
	return string(tok.b), nil
}

// goInteger returns the integer t as int64 or uint64, or as json.Number beyond 64 bits.
func (x *lexer) goInteger(t *token) any {
	switch {
	case t.kind == kindInt && t.u <= 1<<63-1 && t.neg:
		return ^int64(t.u)
	case t.kind == kindInt && t.u <= 1<<63-1:
		return int64(t.u)
	case t.kind == kindInt && !t.neg:
		return t.u
	case t.kind == kindBig && x.s == JSON:
		return json.Number(signed(t.neg, t.b))
	case len(t.b) > bignumBytesMax:
		return append([]byte{}, t.b...)
	}
	return json.Number(bigOf(t).String())
}
