package codec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// SER-21, MSG-41: strings are looked at eight octets at a time. Every octet that may not stand in one is found at
// every place, in short strings and long ones, in keys and values.
func TestJSONStringOctets(t *testing.T) {
	t.Attr("checklist", "SER-21 MSG-41")
	for _, length := range []int{1, 7, 8, 9, 15, 16, 17, 40} {
		for at := range length {
			for c := range 256 {
				s := []byte(strings.Repeat("a", length))
				s[at] = byte(c)
				want := c >= 0x20 && c < 0x80 && c != '"' && c != '\\'
				for _, form := range []string{
					`[16,1,{},"a",["%s"]]`, `[16,1,{"x":"%s"},"a"]`,
					`[16,1,{},"a",[],{"%s":1}]`,
				} {
					if _, err := decode(JSON, fmt.Appendf(nil, form, s)); (err == nil) != want {
						t.Fatalf("%q: %v", fmt.Sprintf(form, s), err)
					}
				}
			}
		}
	}
	for at := range 20 { // what is right is found right as well, across the steps
		for _, c := range []string{`\"`, `\\`, `\u0000`, "é", "\u2028", "😀", `\ud83d\ude00`} {
			s := strings.Repeat("a", at) + c + strings.Repeat("b", 20)
			if _, err := decode(JSON, []byte(`[16,1,{},"a",["`+s+`"]]`)); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		for _, c := range []string{"\xc3", "\xe2\x80", "\xf0\x9f\x98", "\xed\xa0\x80", `\u00g0`, `\x00`, `\ud8g0`} {
			s := strings.Repeat("a", at) + c + strings.Repeat("b", 20)
			if _, err := decode(JSON, []byte(`[16,1,{},"a",["`+s+`"]]`)); err == nil {
				t.Errorf("%q is accepted", s)
			}
		}
	}
}

// ID-02, ID-03: integers beyond 64 bits do not come back as small ones.
func TestIntegersDoNotWrap(t *testing.T) {
	t.Attr("checklist", "ID-02 ID-03")
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"9007199254740992", true}, // 2^53
		{"9007199254740993", false},
		{"9223372036854775808", false},    // 2^63, 19 digits
		{"9999999999999999999", false},    // the most of 19 digits
		{"18446744073709551615", false},   // 2^64-1
		{"18446744073709551616", false},   // 2^64
		{"18446744073709551617", false},   // 2^64+1
		{"36893488147419103233", false},   // 2^65+1
		{"184467440737095516160", false},  // 10 x 2^64
		{"184467440737095516170", false},  // 21 digits
		{"18446744073709551617.0", false}, // as a float
		{"18446744073709551617e0", false},
		{"123456789012345678901.0", false},
		{"12345678901234567890.1", false},
		{"1234567890123456789012e-5", false},
		{"100000000000000000000000000001.0", false},
		{"12345678901234567890123e-22", false},
		{"1844674407370955161.7e1", false},
		{"01", false},
		{"00", false},
		{"-1", false},
		{"0", false},
		{"340282366920938463463374607431768211457", false}, // 2^128+1
		{"100000000000000000000000000000000000001", false},
	} {
		for _, form := range []string{
			"[48,%s,{},\"a\"]", "[48, %s ,{},\"a\"]", "[33,1,%s]", "[8,68,%s,{},\"a\"]",
			`[16,1,{"exclude":[%s]},"a"]`,
		} {
			m, err := decode(JSON, fmt.Appendf(nil, form, c.text))
			if (err == nil) != c.ok {
				t.Errorf(form+": %+v, %v", c.text, m.Request, err)
			}
		}
	}
	// 16 in the lower 16 or 64 bits; 16 in the lower 10
	for _, text := range []string{"65553", "65552", "18446744073709551632", "1040"} {
		if m, err := decode(JSON, []byte(`[`+text+`,1,{},"a"]`)); err == nil {
			t.Errorf("type %s: %v", text, m.Type)
		}
	}
	// The same in the binary serializers: 2^64-1 is the most they can say, 2^32+1 must not lose its upper half.
	for _, b := range []string{
		"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
		"\xcf\x80\x00\x00\x00\x00\x00\x00\x01",
	} {
		if m, err := decode(MessagePack, []byte("\x94\x30"+b+"\x80\xa1a")); err == nil {
			t.Errorf("% x: %d", b, m.Request)
		}
		if m, err := decode(CBOR, []byte("\x84\x18\x30\x1b"+b[1:]+"\xa0\x61a")); err == nil {
			t.Errorf("% x: %d", b, m.Request)
		}
	}
	for _, b := range []string{"\xc2\x41\x05", "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x01"} { // bignums are no ids
		if m, err := decode(CBOR, []byte("\x84\x18\x30"+b+"\xa0\x61a")); err == nil {
			t.Errorf("% x: %d", b, m.Request)
		}
	}
}

// SER-16, RFC 8949 3.2.3: the chunks of an indefinite string are definite strings of its kind.
func TestCBORChunks(t *testing.T) {
	t.Attr("checklist", "SER-16")
	for _, c := range []struct {
		value string
		ok    bool
	}{
		{"\x7f\x61a\x61b\xff", true},
		{"\x5f\x41a\xff", true},
		{"\x7f\xff", true},
		{"\x7f\x7f\x61a\xff\xff", false},
		{"\x7f\x7f\x61a\xff", false},
		{"\x5f\x5f\x41a\xff", false},
		{"\x7f\x61a\x7f\xff", false},
		{"\x7f\x61a\x7f\xff\xff", false},
		{"\x5f\x5f\x41a\xff\xff", false},
		{"\x7f\x41a\xff", false},
		{"\x5f\x61a\xff", false},
		{"\x7f\x01\xff", false},
		{"\x7f\xf6\xff", false},
		{"\x7f\xc1\x61a\xff", false},
		{"\x7f\x62a\xff", false},
		{"\x7f\x61a", false},
		{"\x7f\x7c\x61a\xff", false},
		{"\x7f\x7b\xff\xff\xff\xff\xff\xff\xff\xffa\xff", false},
		{"\x7f\x7b\x80\x00\x00\x00\x00\x00\x00\x00a\xff", false},
	} {
		for _, form := range []string{
			"\x85\x10\x01\xa0\x61a\x81%s", "\x84\x10\x01\xa1\x61x%s\x61a", "\x86\x10\x01\xa0\x61a\x80\xa1\x61k%s",
			"\x9f\x10\x01\xa0\x61a\x81%s\xff",
		} {
			if _, err := decode(CBOR, fmt.Appendf(nil, form, c.value)); (err == nil) != c.ok {
				t.Errorf("%q: %v", fmt.Sprintf(form, c.value), err)
			}
		}
		if c.value[0] == 0x7f { // as key of options and of ArgumentsKw, and as URI
			for _, form := range []string{
				"\x84\x10\x01\xa1%s\x01\x61a", "\x86\x10\x01\xa0\x61a\x80\xa1%s\x01",
				"\x84\x10\x01\xa0%s",
			} {
				if _, err := decode(CBOR, fmt.Appendf(nil, form, c.value)); (err == nil) != c.ok {
					t.Errorf("%q: %v", fmt.Sprintf(form, c.value), err)
				}
			}
		}
	}
}

// RFC 8949 3.2.2: an indefinite dictionary ends behind a value, at any depth.
func TestCBORIndefiniteDictionaries(t *testing.T) {
	for _, c := range []struct {
		value string
		ok    bool
	}{
		{"\xbf\xff", true},
		{"\xbf\x61a\x01\xff", true},
		{"\xbf\x61a\xff", false},
		{"\xbf\x61a\x01\x61b\xff", false},
		{"\xbf\x61a\xbf\x61b\xff\xff", false},
		{"\xbf\x61a\xbf\x61b\x01\xff\xff", true},
		{"\x9f\xff", true},
		{"\x9f\x01\xff", true},
		{"\xbf\x9f\xff\x9f\xff\xff", true},
		{"\xc1\xff", false},
		{"\x81\xff", false},
		{"\xa1\x61a\xff", false},
	} {
		for _, form := range []string{
			"\x85\x10\x01\xa0\x61a\x81%s", "\x84\x10\x01\xa1\x61x%s\x61a",
			"\x86\x10\x01\xa0\x61a\x80\xa1\x61k%s",
		} {
			if _, err := decode(CBOR, fmt.Appendf(nil, form, c.value)); (err == nil) != c.ok {
				t.Errorf("%q: %v", fmt.Sprintf(form, c.value), err)
			}
		}
	}
}

// RFC 8949 3.3: simple values below 32 have one octet.
func TestCBORSimpleValues(t *testing.T) {
	for n := range 256 {
		if _, err := decode(CBOR, []byte("\x85\x10\x01\xa0\x61a\x81\xf8"+
			string([]byte{byte(n)}))); (err == nil) != (n >= 32) {
			t.Errorf("simple value %d in two octets: %v", n, err)
		}
	}
}

// SES-09, MSG-31: undefined counts as null where null may stand.
func TestCBORUndefined(t *testing.T) {
	t.Attr("checklist", "MSG-31")
	if m, err := decode(CBOR, []byte("\x83\x01\xf7\xa0")); err != nil || m.URI != nil {
		t.Errorf("%+v, %v", m, err)
	}
	for _, b := range []string{
		"\x84\x18\x22\x01\x05\xf7", "\x86\x10\x01\xa0\x61a\xf7\xf7",
		"\x84\x10\x01\xa1\x6backnowledge\xf7\x61a",
	} {
		if m, err := decode(CBOR, []byte(b)); err != nil || m.Options.Has(KeyAcknowledge) || m.Payload.Args != nil {
			t.Errorf("% x: %+v, %v", b, m, err)
		}
	}
}

// SER-28: texts and binaries around every length at which their heads change come back, in the shortest form.
func TestLengthsOfHeads(t *testing.T) {
	t.Attr("checklist", "SER-28")
	for _, n := range []int{0, 1, 23, 24, 31, 32, 33, 254, 255, 256, 257, 65534, 65535, 65536, 65537} {
		text := strings.Repeat("a", n)
		for _, v := range []any{text, []byte(text)} {
			for _, ser := range serializers {
				b, err := AppendValue(nil, ser.s, v)
				if err != nil {
					t.Fatal(err)
				}
				if got := mustValue(t, ser.s, b); fmt.Sprint(got) != fmt.Sprint(v) {
					t.Errorf("%s: %T of %d octets changed", ser.name, v, n)
				}
				for _, to := range serializers {
					there, err := Transcode(nil, b, ser.s, to.s, 1<<20)
					if err != nil || fmt.Sprint(mustValue(t, to.s, there)) != fmt.Sprint(v) {
						t.Errorf("%s-%s: %T of %d octets changed: %v", ser.name, to.name, v, n, err)
					}
				}
				if ser.s == MessagePack {
					theirs := msgp.AppendString(nil, text)
					if _, ok := v.([]byte); ok {
						theirs = msgp.AppendBytes(nil, []byte(text))
					}
					if string(theirs) != string(b) {
						t.Errorf("%T of %d octets: % x", v, n, b[:min(len(b), 6)])
					}
				}
			}
		}
	}
}

// A violation's text is of this message: nothing of what an earlier client sent to the same Decoder is in it.
func TestViolationForgetsEarlierOnes(t *testing.T) {
	bad := []list{
		pub(dict{"acknowledge": 1}),
		{48, 1, dict{"timeout": "x"}, "a"},
		{7, 1},
		{},
		{48, 0, dict{}, "a"},
		{32, 1, dict{}},
		{32, 1, dict{}, 5},
		pub(dict{}, dict{}), pub(dict{}, list{}, list{}),
		{8, 999, 1, dict{}, "a"},
		{67, 0},
		{35, 1, dict{}},
		{99, 1},
		{1, 5, dict{}},
	}
	for _, ser := range serializers {
		var used Decoder
		for _, earlier := range bad {
			for _, now := range bad {
				var m Message
				if err := used.Decode(ser.s, encode(t, ser.s, earlier...), &m); err == nil {
					t.Fatalf("%v is fine", earlier)
				}
				b := encode(t, ser.s, now...)
				got := used.Decode(ser.s, b, &m)
				_, want := decode(ser.s, b)
				if got == nil || got.Error() != want.Error() {
					t.Errorf("%s %v after %v: %v, want %v", ser.name, now, earlier, got, want)
				}
			}
		}
	}
}

// The same of Options: what a message set is gone in the next.
func TestDecoderForgetsEarlierMessages(t *testing.T) {
	full := []list{
		pub(dict{"acknowledge": true, "exclude_me": false, "exclude": list{1}, "ppt_scheme": "x", "enc_algo": "mqtt"},
			[]byte("x")),
		{48, 5, dict{"timeout": 5, "receive_progress": true}, "a", list{1}, dict{"a": 1}},
		{64, 5, dict{"match": "prefix", "invoke": "last", "concurrency": 3}, "a"},
		{49, 5, dict{"mode": "kill"}},
		{8, 68, 5, dict{"x": 1}, "a", list{1}},
	}
	for _, ser := range serializers {
		for _, earlier := range full {
			for _, now := range []list{
				{70, 1, dict{}},
				{16, 1, dict{}, "a"},
				{49, 1, dict{}},
				{64, 1, dict{"x": 1}, "a"},
				{36, 1, 2, dict{}},
			} {
				var d Decoder
				var m Message
				if err := d.Decode(ser.s, encode(t, ser.s, earlier...), &m); err != nil {
					t.Fatal(err)
				}
				b := encode(t, ser.s, now...)
				if err := d.Decode(ser.s, b, &m); err != nil {
					t.Fatal(err)
				}
				want, err := decode(ser.s, b)
				if err != nil || fmt.Sprintf("%+v", m) != fmt.Sprintf("%+v", *want) {
					t.Errorf("%s %v after %v: %+v, want %+v", ser.name, now, earlier, m, want)
				}
			}
		}
	}
}

// The table of short values says what skip says.
func TestShortLengths(t *testing.T) {
	for i, s := range []Serializer{MessagePack, CBOR} {
		for c := range 256 {
			n := int(shortLengths[i][c])
			if n == 0 {
				continue
			}
			end, why := skip(s, append([]byte{byte(c)}, make([]byte, 100)...), 0, 0, make(nesting, depthMax))
			if end != n || why != "" {
				t.Errorf("serializer %d, %#x: %d octets, skip says %d, %s", s, c, n, end, why)
			}
		}
	}
}
