package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tinylib/msgp/msgp"
)

// seeds gives f every message there is in s: our own, and the published vectors if they are at hand.
func seeds(f *testing.F, s Serializer, name string) {
	f.Helper()
	for _, m := range everyMessage(f, s) {
		b, err := Append(nil, s, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, b := range benchMessages(f, s) {
		f.Add(b)
	}
	dir := os.Getenv("WAMP_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "wamp", "vectors")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "singlemessage", "*", "*.json"))
	for _, file := range files {
		for _, sample := range readVectors(f, file).Samples {
			for _, enc := range sample.Serializers[name] {
				f.Add(unhex(f, enc.Hex))
			}
		}
	}
}

// wellFormed is our verdict on b as one value.
func wellFormed(s Serializer, b []byte) bool {
	st := make(nesting, depthMax)
	start := 0
	if s == JSON {
		start = skipSpace(b, 0)
	}
	end, why := skip(s, b, start, 0, st)
	if s == JSON {
		end = skipSpace(b, end)
	}
	return why == "" && end == len(b)
}

// checkMessage decodes b and, if it is a message, sends it through every serializer and back.
func checkMessage(t *testing.T, s Serializer, b []byte) {
	t.Helper()
	m, err := decode(s, b)
	if err != nil {
		var v *Violation
		if !errors.As(err, &v) || v.Reason == "" {
			t.Fatalf("%T %v", err, err)
		}
		return
	}
	if !wellFormed(s, b) {
		t.Fatalf("a message that is malformed: %q", b)
	}
	for _, part := range [][]byte{m.Dict, m.Payload.Args, m.Payload.Kwargs} {
		if part == nil {
			continue
		}
		if _, err := Value(s, part); errors.Is(err, errKeyForm) {
			return // no Go value to compare with
		}
	}
	want := content(t, m)
	for _, to := range serializers {
		out, err := Append(nil, to.s, m)
		if err != nil {
			if to.s == JSON && errors.Is(err, errKeyForm) {
				continue
			}
			t.Fatalf("to %s: %v", to.name, err)
		}
		again, err := decode(to.s, out)
		if err != nil {
			if utf8.Valid(m.URI) && utf8.Valid(m.Dict) {
				t.Fatalf("%q became %q: %v", b, out, err)
			}
			continue
		}
		if to.s != s {
			continue // values compare in FuzzTranscode
		}
		if d := difference(leveled(want), leveled(content(t, again))); d != "" {
			t.Fatalf("%s (-in +out):\n%s", to.name, d)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	seeds(f, JSON, "json")
	for _, s := range []string{
		`[1e5,-0,0.5e-3,"\ud800\udc00\ud800"]`, "[\"\xff\"]", `{"a":{"b":[[],{}]}}`,
		`[16,1,{"a":1,"a":2},"x",[],{}]`, "\"\u0000\"", `[20000000000000000000,1e400]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkMessage(t, JSON, b)
		ours := wellFormed(JSON, b)
		d := jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true),
			jsontext.AllowInvalidUTF8(false))
		_, err := d.ReadValue()
		if err == nil {
			if _, err = d.ReadToken(); err == nil {
				err = errors.New("trailing value")
			} else if err.Error() == "EOF" {
				err = nil
			}
		}
		theirs := err == nil
		// jsontext refuses lone surrogates, which a payload may hold; encoding/json accepts them but also invalid
		// UTF-8.
		if !theirs && strings.Contains(err.Error(), "surrogate") {
			theirs = json.Valid(b) && utf8.Valid(b)
		}
		if ours != theirs && depthOf(b) <= depthMax {
			t.Fatalf("%q: ours %t, theirs %t (%v)", b, ours, theirs, err)
		}
		if !ours {
			return
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if d := difference(leveledJSON(want), leveled(mustValue(t, JSON, b))); d != "" {
			t.Fatalf("%q (-theirs +ours):\n%s", b, d)
		}
	})
}

// depthOf is the deepest nesting of brackets in b, strings ignored: an upper bound.
func depthOf(b []byte) (deepest int) {
	depth := 0
	for _, c := range b {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

// leveledJSON is leveled for what encoding/json reads with UseNumber.
func leveledJSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			f, err := v.Float64()
			if err != nil && f != 0 {
				return "number " + string(v)
			}
			return leveled(f)
		}
		n, _ := new(big.Int).SetString(string(v), 10)
		if n.IsInt64() || n.IsUint64() {
			return "int " + n.String()
		}
		return "number " + string(v)
	case string:
		if bin, ok := decodeBinary(nil, []byte(v)); ok {
			return leveled(bin)
		}
		return v
	}
	return mapped(v, leveledJSON)
}

func FuzzDecodeMsgpack(f *testing.F) {
	seeds(f, MessagePack, "msgpack")
	for _, s := range []string{
		"\xc1", "\xdd\x00\x00\x00\x01\xc0",
		"\xdf\x00\x00\x00\x01\xa1a\xd6\xff\x00\x00\x00\x01", "\xc7\x0c\xff" + strings.Repeat("\x00", 12),
		"\xd8\x05" + strings.Repeat("a", 16),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkMessage(t, MessagePack, b)
		ours := wellFormed(MessagePack, b)
		rest, err := msgp.Skip(b)
		theirs := err == nil && len(rest) == 0
		if ours && !theirs {
			t.Fatalf("% x: ours true, theirs %v", b, err)
		}
		if theirs && !ours {
			st := make(nesting, depthMax)
			if _, why := skipMsgpack(b, 0, 0, st); why != whyDeep {
				t.Fatalf("% x: ours %s, theirs true", b, why)
			}
		}
		if !ours {
			return
		}
		want, _, err := msgp.ReadIntfBytes(b)
		if err != nil || hasExtension(b) || hasBinaryKey(&lexer{s: MessagePack, b: b}) {
			// msgp has no form for other keys than text, takes binary ones as text, and has its own for extensions
			return
		}
		if got, err := Value(MessagePack, b); err != nil || !reflect.DeepEqual(leveled(want), leveled(got)) {
			t.Fatalf("% x: ours %v (%v), theirs %v", b, got, err, want)
		}
	})
}

// hasExtension reports whether an extension is in b.
func hasExtension(b []byte) bool {
	x := lexer{s: MessagePack, b: b}
	for x.i < len(b) {
		var t token
		if x.next(&t); t.kind == kindExt {
			return true
		}
	}
	return false
}

// hasBinaryKey reports whether a dictionary in the value at x has a binary key.
func hasBinaryKey(x *lexer) (has bool) {
	var t token
	x.next(&t)
	for range t.n {
		if t.kind == kindDict {
			key := *x
			var k token
			key.next(&k)
			has = has || k.kind == kindBin
			has = hasBinaryKey(x) || has
		}
		has = hasBinaryKey(x) || has
	}
	return has
}

func FuzzDecodeCBOR(f *testing.F) {
	seeds(f, CBOR, "cbor")
	for _, s := range []string{
		"\x9f\xff", "\xbf\x61a\x01\xff", "\x5f\x41a\x42bc\xff",
		"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\xf8\x20", "\xf9\x3c\x00", "\xd9\xd9\xf7\x01",
		"\xc1\xc1\xc1\x01", "\x7f\xff",
	} {
		f.Add([]byte(s))
	}
	mode, err := cbor.DecOptions{
		MaxNestedLevels: 200, MaxArrayElements: 1<<31 - 1, MaxMapPairs: 1<<31 - 1,
		UTF8: cbor.UTF8DecodeInvalid, IntDec: cbor.IntDecConvertNone,
		UnrecognizedTagToAny: cbor.UnrecognizedTagContentToAny, TimeTagToAny: cbor.TimeTagToRFC3339Nano,
	}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkMessage(t, CBOR, b)
		ours := wellFormed(CBOR, b)
		err := mode.Wellformed(b)
		theirs := err == nil
		if ours != theirs {
			st := make(nesting, depthMax)
			_, why := skipCBOR(b, 0, 0, st)
			// Announced counts and lengths beyond any input, and depth, are told apart differently; the verdicts have
			// to agree otherwise.
			if why != whyDeep && why != whyCount && !strings.Contains(err.Error(), "exceeded max") {
				t.Fatalf("% x: ours %q, theirs %v", b, why, err)
			}
		}
		if !ours || len(b) == 0 || hasCBORTag(b) {
			return
		}
		var want any
		if err := mode.Unmarshal(b, &want); err != nil {
			return // keys that Go's maps cannot hold
		}
		got, err := Value(CBOR, b)
		if err != nil {
			t.Fatalf("% x: %v", b, err)
		}
		if !textKeys(want) {
			return
		}
		if d := difference(leveled(want), leveled(got)); d != "" {
			t.Fatalf("ours and theirs (-theirs +ours):\n%s", d)
		}
	})
}

// hasCBORTag reports whether a tag or a simple value that only CBOR has may be in b.
func hasCBORTag(b []byte) bool {
	x := lexer{s: CBOR, b: b}
	for x.i < len(b) {
		c := b[x.i]
		if c&0xe0 == cborTag || c >= 0xe0 && c <= 0xf3 || c == 0xf7 || c == 0xf8 || c == cborNegint|27 {
			return true
		}
		var t token
		x.next(&t)
	}
	return false
}

func textKeys(v any) bool {
	switch v := v.(type) {
	case []any:
		for i := range v {
			if !textKeys(v[i]) {
				return false
			}
		}
	case map[any]any:
		for k := range v {
			if _, ok := k.(string); !ok || !textKeys(v[k]) {
				return false
			}
		}
	}
	return true
}

// Every well-formed value goes through every pair; what cannot lose anything comes back the same.
func FuzzTranscode(f *testing.F) {
	for _, ser := range serializers {
		for _, m := range everyMessage(f, ser.s) {
			b, err := Append(nil, ser.s, m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, uint8(ser.s))
		}
	}
	f.Add([]byte("\x9f\xbf\x61a\x9f\xff\xff\xc1\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff"), uint8(CBOR))
	f.Add([]byte("\x82\xd6\xff\x00\x00\x00\x01\xc4\x01a\x91\xa1\xff\xca\x7f\x80\x00\x00"), uint8(MessagePack))
	f.Add([]byte(`{"\u0000AA==":["\u0000AA==","\u0000A",1e400,123456789012345678901234567890,-0]}`), uint8(JSON))
	f.Fuzz(func(t *testing.T, b []byte, serializer uint8) {
		from := Serializer(serializer%3 + 1)
		if !wellFormed(from, b) {
			return
		}
		for _, to := range serializers {
			out, err := Transcode(nil, b, from, to.s, MessageBytesMax)
			if err != nil {
				if to.s == JSON && errors.Is(err, errKeyForm) {
					continue
				}
				t.Fatalf("%d-%s %q: %v", from, to.name, b, err)
			}
			if !wellFormed(to.s, out) {
				t.Fatalf("%d-%s: %q became %q, which is malformed", from, to.name, b, out)
			}
			if to.s == JSON && !json.Valid(out) {
				t.Fatalf("encoding/json refuses %q", out)
			}
			// Once through, a second pass changes nothing: the value has found its form.
			there, err := Transcode(nil, out, to.s, CBOR, MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Transcode(nil, there, CBOR, to.s, MessageBytesMax)
			if err != nil {
				t.Fatalf("%q: %v", there, err)
			}
			again, err := Transcode(nil, back, to.s, CBOR, MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(there, again) && from == JSON {
				t.Fatalf("%d-%s: %q is not stable: %q, then %q", from, to.name, b, there, again)
			}
		}
	})
}
