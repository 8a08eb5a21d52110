package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// SER-01 to SER-17, SER-19: single values from one serializer to the others. An empty expectation is not checked.
func TestTranscodeValues(t *testing.T) {
	for _, c := range []struct {
		id   string
		from Serializer
		in   string
		want raw
	}{
		{
			"SER-02", MessagePack, "\xc4\x10\x10\xe3\xff\x90\x53\x07\x5c\x52\x6f\x5f\xc0\x6d\x4f\xe3\x7c\xdb",
			raw{json: `"\u0000EOP/kFMHXFJvX8BtT+N82w=="`},
		},
		{"SER-02 empty", MessagePack, "\xc4\x00", raw{json: `"\u0000"`, cbor: "\x40"}},
		{"SER-03", JSON, `"\u0000EOP/kFMHXFJvX8BtT+N82w=="`, raw{
			msgpack: "\xc4\x10\x10\xe3\xff\x90\x53\x07\x5c\x52\x6f\x5f\xc0\x6d\x4f\xe3\x7c\xdb",
			cbor:    "\x50\x10\xe3\xff\x90\x53\x07\x5c\x52\x6f\x5f\xc0\x6d\x4f\xe3\x7c\xdb",
		}},
		{"SER-03 escaped", JSON, `"\u0000\u0041A=\u003d"`, raw{msgpack: "\xc4\x01\x00", cbor: "\x41\x00"}},
		{"SER-03 empty", JSON, `"\u0000"`, raw{msgpack: "\xc4\x00", cbor: "\x40"}},
		{"SER-03 not a key", JSON, `{"\u0000AA==":1}`, raw{
			msgpack: "\x81\xa5\x00AA==\x01",
			cbor:    "\xa1\x65\x00AA==\x01",
		}},
		{"SER-04 text", MessagePack, "\xa2AA", raw{json: `"AA"`, cbor: "\x62AA"}},
		{"SER-05 padding", JSON, `"\u0000AA"`, raw{msgpack: "\xa3\x00AA", cbor: "\x63\x00AA"}},
		{"SER-05 alphabet", JSON, `"\u0000A-_="`, raw{msgpack: "\xa5\x00A-_=", cbor: "\x65\x00A-_="}},
		{"SER-05 line break", JSON, `"\u0000AA\n=="`, raw{msgpack: "\xa6\x00AA\n==", cbor: "\x66\x00AA\n=="}},
		{"SER-05 carriage return", JSON, `"\u0000AA\r=="`, raw{msgpack: "\xa6\x00AA\r==", cbor: "\x66\x00AA\r=="}},
		{"SER-05 text with U+0000", MessagePack, "\xa5\x00AA==", raw{json: `"\u0000AA=="`, cbor: "\x65\x00AA=="}},
		{"SER-06 0", JSON, `0`, raw{msgpack: "\x00", cbor: "\x00"}},
		{"SER-06 -0", JSON, `-0`, raw{msgpack: "\x00", cbor: "\x00"}},
		{"SER-06 -1", JSON, `-1`, raw{msgpack: "\xff", cbor: "\x20"}},
		{"SER-06 -33", JSON, `-33`, raw{msgpack: "\xd0\xdf", cbor: "\x38\x20"}},
		{"SER-06 2^31", JSON, `2147483648`, raw{msgpack: "\xce\x80\x00\x00\x00", cbor: "\x1a\x80\x00\x00\x00"}},
		{"SER-06 2^53+1", JSON, `9007199254740993`, raw{
			msgpack: "\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
			cbor:    "\x1b\x00\x20\x00\x00\x00\x00\x00\x01",
		}},
		{"SER-06 2^63-1", JSON, `9223372036854775807`, raw{
			msgpack: "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff",
			cbor:    "\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
		}},
		{"SER-06 -2^63", JSON, `-9223372036854775808`, raw{
			msgpack: "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
			cbor:    "\x3b\x7f\xff\xff\xff\xff\xff\xff\xff",
		}},
		{"SER-06 2^64-1", JSON, `18446744073709551615`, raw{
			msgpack: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
			cbor:    "\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
		}},
		{
			"SER-06 from long forms", MessagePack, "\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
			raw{json: `-1`, cbor: "\x20"},
		},
		{"SER-06 from cbor", CBOR, "\x1b\x00\x00\x00\x00\x00\x00\x00\x05", raw{json: `5`, msgpack: "\x05"}},
		{
			"SER-06 signed heads", MessagePack, "\x94\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd0\x05",
			raw{json: `[-128,-32768,-2147483648,5]`},
		},
		{"SER-07 1.0", JSON, `1.0`, raw{
			msgpack: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
			cbor:    "\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00",
		}},
		{
			"SER-07 1.0 back", MessagePack, "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
			raw{json: `1.0`, cbor: "\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"},
		},
		{"SER-07 exponent", JSON, `1e2`, raw{msgpack: "\xcb\x40\x59\x00\x00\x00\x00\x00\x00"}},
		{
			"SER-07 -0.0", MessagePack, "\xcb\x80\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `-0.0`, cbor: "\xfb\x80\x00\x00\x00\x00\x00\x00\x00"},
		},
		{"SER-07 -0.0 back", JSON, `-0.0`, raw{msgpack: "\xcb\x80\x00\x00\x00\x00\x00\x00\x00"}},
		{"SER-07 1e300", CBOR, "\xfb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", raw{json: `1e+300`}},
		{
			"SER-07 0.1", CBOR, "\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a",
			raw{json: `0.1`, msgpack: "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"},
		},
		{
			"SER-07 float32", MessagePack, "\xca\x3d\xcc\xcc\xcd",
			raw{json: `0.10000000149011612`, cbor: "\xfa\x3d\xcc\xcc\xcd"},
		},
		{"SER-07 beyond float64", JSON, `1e400`, raw{msgpack: "\xa51e400", cbor: "\x651e400"}},
		{"SER-07 beyond float64, negative", JSON, `-1e400`, raw{msgpack: "\xa6-1e400", cbor: "\x66-1e400"}},
		{"SER-08", JSON, `[true,false,null,[null]]`, raw{
			msgpack: "\x94\xc3\xc2\xc0\x91\xc0",
			cbor:    "\x84\xf5\xf4\xf6\x81\xf6",
		}},
		{"SER-08 back", CBOR, "\x84\xf5\xf4\xf6\x81\xf7", raw{
			json:    `[true,false,null,[null]]`,
			msgpack: "\x94\xc3\xc2\xc0\x91\xc0",
		}},
		{"SER-08 simple values", CBOR, "\x82\xe0\xf8\xff", raw{json: `[null,null]`}},
		{"SER-09", JSON, `{"a":null}`, raw{msgpack: "\x81\xa1a\xc0", cbor: "\xa1\x61a\xf6"}},
		{
			"SER-10 NaN", MessagePack, "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
			raw{json: `null`, cbor: "\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00"},
		},
		{"SER-10 Inf", CBOR, "\xfa\x7f\x80\x00\x00", raw{json: `null`, msgpack: "\xca\x7f\x80\x00\x00"}},
		{"SER-10 half NaN", CBOR, "\xf9\x7e\x00", raw{json: `null`, msgpack: "\xca\x7f\xc0\x00\x00"}},
		{"SER-10 -Inf", CBOR, "\xf9\xfc\x00", raw{json: `null`, msgpack: "\xca\xff\x80\x00\x00"}},
		{
			"SER-11 escapes", JSON, `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`,
			raw{msgpack: "\xae\"\\/\b\f\n\r\té😀", cbor: "\x6e\"\\/\b\f\n\r\té😀"},
		},
		{"SER-11 back", CBOR, "\x6e\"\\/\b\f\n\r\té😀", raw{json: `"\"\\/\u0008\u000c\n\r\té😀"`}},
		{
			"SER-11 lone surrogates", JSON, `"\ud800\udc00\udc00\ud800x\ud83d\u0041"`,
			raw{msgpack: "\xaf\U00010000\uFFFD\uFFFDx\uFFFDA"},
		},
		{
			"SER-14", CBOR, "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `18446744073709551616`, msgpack: "\xcb\x43\xf0\x00\x00\x00\x00\x00\x00"},
		},
		{
			"SER-14 inexact", CBOR, "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x01",
			raw{json: `18446744073709551617`, msgpack: "\xb418446744073709551617"},
		},
		{
			"SER-14 negative", CBOR, "\xc3\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `-18446744073709551617`, msgpack: "\xb5-18446744073709551617"},
		},
		{"SER-14 small", CBOR, "\xc2\x42\x00\x05", raw{json: `5`, msgpack: "\x05"}},
		{"SER-14 small negative", CBOR, "\xc3\x41\x05", raw{json: `-6`, msgpack: "\xfa"}},
		{"SER-14 empty", CBOR, "\xc2\x40", raw{json: `0`, msgpack: "\x00"}},
		{
			"SER-14 chunks", CBOR, "\xc2\x5f\x45\x01\x00\x00\x00\x00\x44\x00\x00\x00\x00\xff",
			raw{json: `18446744073709551616`},
		},
		{"SER-14 no octets", CBOR, "\xc2\x61a", raw{json: `"a"`}},
		{
			"SER-14 major 1", CBOR, "\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
			raw{json: `-18446744073709551616`, msgpack: "\xcb\xc3\xf0\x00\x00\x00\x00\x00\x00"},
		},
		{
			"SER-14 major 1 inexact", CBOR, "\x3b\x80\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `-9223372036854775809`, msgpack: "\xb4-9223372036854775809"},
		},
		{
			"SER-14 from digits", JSON, `18446744073709551616`,
			raw{
				cbor:    "\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00",
				msgpack: "\xcb\x43\xf0\x00\x00\x00\x00\x00\x00",
			},
		},
		{
			"SER-14 from negative digits", JSON, `-18446744073709551617`,
			raw{cbor: "\xc3\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		},
		{"SER-14 within major 1", JSON, `-18446744073709551616`, raw{cbor: "\x3b\xff\xff\xff\xff\xff\xff\xff\xff"}},
		{
			"SER-15 seconds", MessagePack, "\xd6\xff\x00\x00\x00\x01",
			raw{json: `"1970-01-01T00:00:01Z"`, cbor: "\xc1\x01"},
		},
		{
			"SER-15 nanoseconds", MessagePack, "\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01",
			raw{json: `"1970-01-01T00:00:01.000000001Z"`, cbor: "\xd9\x03\xe9\xa2\x01\x01\x28\x01"},
		},
		{
			"SER-15 before 1970", MessagePack, "\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
			raw{json: `"1969-12-31T23:59:59Z"`, cbor: "\xc1\x20"},
		},
		{
			"SER-15 far", MessagePack, "\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
			raw{json: `"\u0000AAAAAH//////////"`, cbor: "\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"},
		},
		{
			"SER-15 before the year 0", MessagePack, "\xc7\x0c\xff\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `"\u0000AAAAAIAAAAAAAAAA"`, cbor: "\xc1\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"},
		},
		{"SER-15 odd length", MessagePack, "\xd5\xff\x01\x02", raw{json: `"\u0000AQI="`, cbor: "\x42\x01\x02"}},
		{
			"SER-15 bad nanoseconds", MessagePack, "\xc7\x0c\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00",
			raw{json: `"\u0000/////wAAAAAAAAAA"`},
		},
		{"SER-15 extension", MessagePack, "\xd4\x05\x07", raw{json: `"\u0000Bw=="`, cbor: "\x41\x07"}},
		{"SER-15 long extension", MessagePack, "\xc8\x00\x03\x05abc", raw{json: `"\u0000YWJj"`, cbor: "\x43abc"}},
		{
			"SER-16 tag 0", CBOR, "\xc0\x74" + "2013-03-21T20:04:00Z",
			raw{json: `"2013-03-21T20:04:00Z"`, msgpack: "\xb42013-03-21T20:04:00Z"},
		},
		{"SER-16 tag 1", CBOR, "\xc1\x1a\x51\x4b\x67\xb0", raw{json: `1363896240`, msgpack: "\xce\x51\x4b\x67\xb0"}},
		{"SER-16 tags in tags", CBOR, "\xd9\xd9\xf7\xd8\x20\x81\xc1\x05", raw{json: `[5]`, msgpack: "\x91\x05"}},
		{
			"SER-16 half", CBOR, "\x84\xf9\x3c\x00\xf9\x00\x01\xf9\x7b\xff\xf9\xc0\x00",
			raw{
				json:    `[1.0,5.960464477539063e-08,65504.0,-2.0]`,
				msgpack: "\x94\xca\x3f\x80\x00\x00\xca\x33\x80\x00\x00\xca\x47\x7f\xe0\x00\xca\xc0\x00\x00\x00",
			},
		},
		{
			"SER-16 indefinite", CBOR,
			"\x9f\x01\xbf\x61a\x9f\xff\x7f\x61b\x61c\xff\x5f\x41d\xff\xff\x82\x02\x9f\x03\xff\xff",
			raw{
				json:    `[1,{"a":[],"bc":"\u0000ZA=="},[2,[3]]]`,
				msgpack: "\x93\x01\x82\xa1a\x90\xa2bc\xc4\x01d\x92\x02\x91\x03",
			},
		},
		{
			"SER-16 tag in indefinite", CBOR, "\x9f\xc1\x05\xc1\x9f\xff\xff",
			raw{json: `[5,[]]`, msgpack: "\x92\x05\x90"},
		},
		{
			"SER-17", MessagePack, "\x84\x01\xa1a\xc3\xa1b\xc0\xa1c\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1d",
			raw{
				json: `{"1":"a","true":"b","null":"c","1.5":"d"}`,
				cbor: "\xa4\x01\x61a\xf5\x61b\xf6\x61c\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00\x61d",
			},
		},
		{"SER-17 binary key", MessagePack, "\x81\xc4\x02ab\x01", raw{json: `{"YWI=":1}`, cbor: "\xa1\x42ab\x01"}},
		{
			"SER-17 timestamp key", MessagePack, "\x81\xd6\xff\x00\x00\x00\x01\x01",
			raw{json: `{"1970-01-01T00:00:01Z":1}`},
		},
		{"SER-17 key of octets", MessagePack, "\x81\xa1\xff\x01", raw{json: `{"/w==":1}`, cbor: "\xa1\x41\xff\x01"}},
		{"SER-17 list as key", MessagePack, "\x81\x91\x01\x02", raw{cbor: "\xa1\x81\x01\x02"}},
		{"SER-17 tagged key", CBOR, "\xa1\xc1\x05\x06", raw{json: `{"5":6}`, msgpack: "\x81\x05\x06"}},
		{
			"SER-17 big key", CBOR, "\xa1\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06",
			raw{json: `{"18446744073709551616":6}`},
		},
		{"SER-19", MessagePack, "\xa2\xff\xfe", raw{json: `"\u0000//4="`, cbor: "\x42\xff\xfe"}},
		{"SER-19 from cbor", CBOR, "\x62\xff\xfe", raw{json: `"\u0000//4="`, msgpack: "\xc4\x02\xff\xfe"}},
		{
			"SER-20", JSON, " [ 1 ,\t{ \"a\" :\n2 } , \"\\/\" , 1E+2 ]\r",
			raw{
				msgpack: "\x94\x01\x81\xa1a\x02\xa1/\xcb\x40\x59\x00\x00\x00\x00\x00\x00",
				cbor:    "\x84\x01\xa1\x61a\x02\x61/\xfb\x40\x59\x00\x00\x00\x00\x00\x00",
			},
		},
		{
			"order and duplicates", JSON, `{"b":1,"a":2,"b":3}`,
			raw{msgpack: "\x83\xa1b\x01\xa1a\x02\xa1b\x03", cbor: "\xa3\x61b\x01\x61a\x02\x61b\x03"},
		},
	} {
		for _, ser := range serializers {
			want := c.want.in(ser.s)
			if want == "" {
				continue
			}
			st := make(nesting, depthMax)
			if _, why := skip(c.from, []byte(c.in), len(c.in)-len(strings.TrimLeft(c.in, " ")), 0, st); why != "" {
				t.Fatalf("%s: the test's own input: %s", c.id, why)
			}
			got, err := Transcode([]byte("x"), []byte(c.in), c.from, ser.s, MessageBytesMax)
			if err != nil || string(got[1:]) != want {
				t.Errorf("%s to %s: %q became %q, want %q (%v)", c.id, ser.name, c.in, got, want, err)
			}
			st2 := make(nesting, depthMax)
			if end, why := skip(ser.s, got[1:], 0, 0, st2); why != "" || end != len(got)-1 {
				t.Errorf("%s to %s: %q is malformed: %s", c.id, ser.name, got[1:], why)
			}
		}
		if got, err := Transcode(nil, []byte(c.in), c.from, c.from, MessageBytesMax); err != nil ||
			string(got) != c.in {
			t.Errorf("%s: to its own serializer: %q, %v", c.id, got, err)
		}
	}
}

// SER-01, SER-06, SER-07, SER-08, SER-11: through every pair and back.
func TestTranscodeRoundTrips(t *testing.T) {
	t.Attr("checklist", "SER-01 SER-06 SER-07 SER-08 SER-11")
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	v := list{
		all, "", "x", "\u0001 é 東 😀 \"\\/\u2028", true, false, nil,
		list{},
		dict{},
		list{nil, list{list{}}},
		dict{"a": dict{"b": nil}},
		int64(0), int64(-1), int64(1) << 31, int64(MaxID), int64(MaxID + 1), int64(math.MaxInt64),
		int64(math.MinInt64), uint64(math.MaxUint64),
		1.0, 0.1, 1e300, math.Copysign(0, -1), 5e-324, 123456789012345678.0, 1e17, 1e-7,
	}
	for _, a := range serializers {
		src, err := AppendValue(nil, a.s, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range serializers {
			there, err := Transcode(nil, src, a.s, b.s, MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Transcode(nil, there, b.s, a.s, MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(src, back) {
				t.Errorf("%s-%s-%s: %q became %q by way of %q", a.name, b.name, a.name, src, back, there)
			}
			if diff := cmp.Diff(any(v), mustValue(t, b.s, there)); diff != "" {
				t.Errorf("%s-%s:\n%s", a.name, b.name, diff)
			}
		}
	}
}

// SER-25, SER-26: large payloads.
func TestTranscodeLarge(t *testing.T) {
	t.Attr("checklist", "SER-25 SER-26")
	items := make([]byte, 0, 100_000*2)
	items = append(items, '[')
	for i := range 100_000 {
		if i > 0 {
			items = append(items, ',')
		}
		items = append(items, byte('0'+i%10))
	}
	items = append(items, ']')
	pairs := dict{}
	for i := range 10_000 {
		pairs[fmt.Sprint("key", i)] = int64(i)
	}
	object, err := AppendValue(nil, JSON, pairs)
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range [][]byte{items, object} {
		for _, to := range []Serializer{MessagePack, CBOR} {
			there, err := Transcode(nil, src, JSON, to, MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Transcode(nil, there, to, JSON, MessageBytesMax)
			if err != nil || !bytes.Equal(back, src) {
				t.Errorf("to %d and back: %v", to, err)
			}
		}
	}
	big := make([]byte, 16<<20)
	for i := range big {
		big[i] = byte(i * i >> 3)
	}
	src := appendBin(nil, MessagePack, big)
	there, err := Transcode(nil, src, MessagePack, JSON, MessageBytesMax)
	if err != nil || len(there) != 8+base64.StdEncoding.EncodedLen(len(big)) {
		t.Fatalf("%d octets, %v", len(there), err)
	}
	if back, err := Transcode(nil, there, JSON, MessagePack, MessageBytesMax); err != nil || !bytes.Equal(back, src) {
		t.Errorf("16 MiB of binary changed: %v", err)
	}
}

func TestTranscodeRefusals(t *testing.T) {
	for _, c := range []struct {
		from, to Serializer
		in       string
	}{
		{MessagePack, JSON, "\x81\x91\x01\x02"},
		{CBOR, JSON, "\x81\xa1\xa0\x02"},
		{CBOR, JSON, "\xbf\xc1\x9f\xff\x02\xff"},
		{MessagePack, CBOR, strings.Repeat("\x91", DepthMaxMost+1) + "\xc0"},
		{JSON, CBOR, strings.Repeat("[", DepthMaxMost+1) + strings.Repeat("]", DepthMaxMost+1)},
	} {
		if got, err := Transcode([]byte("x"), []byte(c.in), c.from, c.to, MessageBytesMax); err == nil ||
			string(got) != "x" {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

// Beyond a kilobyte an integer is not converted: that costs more than linear time.
func TestTranscodeHugeIntegers(t *testing.T) {
	digits := strings.Repeat("7", 1<<20)
	for _, to := range []Serializer{MessagePack, CBOR} {
		got, err := Transcode(nil, []byte("[-"+digits+"]"), JSON, to, MessageBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		if v := mustValue(t, to, got).([]any)[0]; v != "-"+digits {
			t.Errorf("%d: %T", to, v)
		}
	}
	octets := strings.Repeat("\x01", 1<<20)
	got, err := Transcode(nil, append(appendCBORHead([]byte{cborTag | 2}, cborBytes, 1<<20), octets...), CBOR,
		MessagePack, MessageBytesMax)
	if err != nil {
		t.Fatal(err)
	}
	if v := mustValue(t, MessagePack, got); string(v.([]byte)) != octets {
		t.Errorf("%T", v)
	}
	// The largest that is converted, and the next.
	for n, converted := range map[int]bool{bignumBytesMax: true, bignumBytesMax + 1: false} {
		got, err := Transcode(nil, append(appendCBORHead([]byte{cborTag | 2}, cborBytes, uint64(n)), octets[:n]...),
			CBOR, JSON, MessageBytesMax)
		if err != nil || (got[0] != '"') != converted {
			t.Errorf("%d octets: %.20q, %v", n, got, err)
		}
	}
	for n, converted := range map[int]bool{bignumDigitsMax: true, bignumDigitsMax + 1: false} {
		got, err := Transcode(nil, []byte(digits[:n]), JSON, CBOR, MessageBytesMax)
		if err != nil || (got[0] == cborTag|2) != converted {
			t.Errorf("%d digits: %.20q, %v", n, got, err)
		}
	}
	digits = digits[:2000]
	for _, s := range []Serializer{JSON, CBOR} {
		there, err := Transcode(nil, []byte(digits), JSON, s, MessageBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		if v := mustValue(t, s, there); v != json.Number(digits) {
			t.Errorf("%d: %v", s, v)
		}
		if back, err := Transcode(nil, there, s, JSON, MessageBytesMax); err != nil || string(back) != digits {
			t.Errorf("%d: %q, %v", s, back, err)
		}
	}
}

func TestTranscodeAllocates(t *testing.T) {
	buf := make([]byte, 0, 1<<16)
	v := list{}
	for i := range 500 {
		v = append(v, list{i, float64(i), fmt.Sprint("é\n", i), []byte{1, 2, byte(i)}, dict{"k": -i}})
	}
	for _, from := range serializers {
		src := splice(t, nil, from.s, v)
		for _, to := range serializers {
			buf, _ = Transcode(buf[:0], src, from.s, to.s, MessageBytesMax)
			// the pool may have been emptied
			if n := testing.AllocsPerRun(20, func() {
				buf, _ = Transcode(buf[:0], src, from.s, to.s, MessageBytesMax)
			}); n > 1 && !raceEnabled {
				t.Errorf("%s-%s: %v allocations", from.name, to.name, n)
			}
		}
	}
}

// randomValue builds a value that every serializer can express.
func randomValue(r *rand.Rand, depth int) any {
	n := r.IntN(12)
	if depth == 0 && n > 9 {
		n = 0
	}
	switch n {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int64(r.Uint64() >> r.IntN(64))
	case 3:
		return -int64(r.Uint64() >> (1 + r.IntN(63)))
	case 4:
		return math.MaxUint64 - uint64(r.IntN(100))
	case 5:
		return r.NormFloat64()
	case 6:
		return float64(r.IntN(100))
	case 7, 8:
		b := make([]rune, r.IntN(40))
		for i := range b {
			b[i] = rune(1 + r.IntN(0x2fff))
		}
		return string(b)
	case 9:
		b := make([]byte, r.IntN(300))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	case 10:
		l := make(list, r.IntN(20))
		for i := range l {
			l[i] = randomValue(r, depth-1)
		}
		return l
	}
	d := dict{}
	for i := range r.IntN(20) {
		d[fmt.Sprint("k", i)] = randomValue(r, depth-1)
	}
	return d
}

// Random trees look the same to everybody's decoder after any transcoding.
func TestTranscodeAgainstForeign(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		v := randomValue(r, 5)
		for _, from := range serializers {
			src, err := AppendValue(nil, from.s, v)
			if err != nil {
				t.Fatal(err)
			}
			for _, to := range serializers {
				out, err := Transcode(nil, src, from.s, to.s, MessageBytesMax)
				if err != nil {
					t.Fatal(err)
				}
				if d := difference(v, mustValue(t, to.s, out)); d != "" {
					t.Fatalf("%d %s-%s:\n%s", i, from.name, to.name, d)
				}
				if to.s == JSON {
					continue // compared by the fuzz targets; binary has no foreign reader
				}
				if d := difference(leveled(v), leveled(foreignAny(t, to.s, out))); d != "" {
					t.Fatalf("%d %s-%s, foreign:\n%s", i, from.name, to.name, d)
				}
			}
		}
	}
}
