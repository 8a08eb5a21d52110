package codec

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every Go type that AppendValue takes, and what Value makes of it.
func TestValueTypes(t *testing.T) {
	for _, c := range []struct{ in, want any }{
		{nil, nil},
		{true, true},
		{int(-5), int64(-5)},
		{int8(-128), int64(-128)},
		{int16(-129), int64(-129)},
		{int32(math.MinInt32), int64(math.MinInt32)},
		{int64(math.MinInt64), int64(math.MinInt64)},
		{uint(5), int64(5)},
		{uint8(255), int64(255)},
		{uint16(256), int64(256)},
		{uint32(math.MaxUint32), int64(math.MaxUint32)},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{float32(0.5), 0.5},
		{0.1, 0.1},
		{"text", "text"},
		{"bad \xff", "bad \uFFFD"},
		{[]byte{0, 255}, []byte{0, 255}},
		{[]byte{}, []byte{}},
		{list{}, list{}},
		{list{1, list{nil}}, list{int64(1), list{nil}}},
		{[]string{"a", "\xff"}, list{"a", "\uFFFD"}},
		{[]uint64{1, MaxID}, list{int64(1), int64(MaxID)}},
		{dict{"b": 1, "a": dict{}}, dict{"b": int64(1), "a": dict{}}},
		{dict{"\xff": 1}, dict{"\uFFFD": int64(1)}},
	} {
		for _, ser := range serializers {
			b, err := AppendValue([]byte("x"), ser.s, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, mustValue(t, ser.s, b[1:])); diff != "" {
				t.Errorf("%s %T:\n%s", ser.name, c.in, diff)
			}
		}
	}
}

func TestValueForeignForms(t *testing.T) {
	for _, c := range []struct {
		s    Serializer
		in   string
		want any
	}{
		{JSON, ` {"\u0000AA==" : "\u0000AA==", "a" : 1e400 } `, dict{
			"\x00AA==": []byte{0}, "a": json.Number("1e400"),
		}},
		{JSON, `[18446744073709551616,-9223372036854775809]`, list{
			json.Number("18446744073709551616"), json.Number("-9223372036854775809"),
		}},
		{
			MessagePack, "\x84\x01\x02\xc4\x01a\x03\xc3\x04\xd6\xff\x00\x00\x00\x01\x05",
			dict{"1": int64(2), "YQ==": int64(3), "true": int64(4), "1970-01-01T00:00:01Z": int64(5)},
		},
		{MessagePack, "\x92\xd4\x05\x07\xa1\xff", list{[]byte{7}, "\xff"}},
		{CBOR, "\x9f\xc1\x05\xbf\xc1\x06\xf7\xff\x5f\x41a\xff\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00\x3b\xff" +
			"\xff\xff\xff\xff\xff\xff\xff\xff", list{
			int64(5),
			dict{"6": nil},
			[]byte("a"), json.Number("18446744073709551616"),
			json.Number("-18446744073709551616"),
		}},
	} {
		if diff := cmp.Diff(c.want, mustValue(t, c.s, []byte(c.in))); diff != "" {
			t.Errorf("%q:\n%s", c.in, diff)
		}
	}
	for _, c := range []struct {
		s  Serializer
		in string
	}{
		{JSON, ``},
		{JSON, `[`},
		{JSON, `[] []`},
		{JSON, `nul`},
		{MessagePack, ""},
		{MessagePack, "\x91"},
		{MessagePack, "\xc0\xc0"},
		{CBOR, "\x1c"},
		{CBOR, "\x80\x80"},
	} {
		v, err := Value(c.s, []byte(c.in))
		var violation *Violation
		if !errors.As(err, &violation) {
			t.Errorf("%q: %v, %v", c.in, v, err)
		}
	}
	if v, err := Value(MessagePack, []byte("\x81\x91\x01\x02")); !errors.Is(err, errKeyForm) {
		t.Errorf("a list as key: %v, %v", v, err)
	}
	if v, err := Value(MessagePack, []byte("\x81\x01\x81\x80\x02")); !errors.Is(err, errKeyForm) {
		t.Errorf("a dictionary as key inside: %v, %v", v, err)
	}
}

// TestNumbersBeyondGo: what no number of Go holds is told as its digits, and encoded as the number again.
func TestNumbersBeyondGo(t *testing.T) {
	for _, c := range []struct {
		in                  json.Number
		json, msgpack, cbor string
	}{
		{
			"18446744073709551616", "18446744073709551616",
			"\xcb\x43\xf0\x00\x00\x00\x00\x00\x00", "\xc2\x49\x01" + strings.Repeat("\x00", 8),
		},
		{
			"-18446744073709551617", "-18446744073709551617",
			"\xb5-18446744073709551617", "\xc3\x49\x01" + strings.Repeat("\x00", 8),
		},
		{"1e400", "1e400", "\xa51e400", "\x651e400"},
		{"7", "7", "\x07", "\x07"},
		{"", "0", "\x00", "\x00"},
	} {
		for s, want := range map[Serializer]string{JSON: c.json, MessagePack: c.msgpack, CBOR: c.cbor} {
			if b, err := AppendValue([]byte("x"), s, c.in); err != nil || string(b) != "x"+want {
				t.Errorf("%s in serializer %d: %q, %v, want %q", c.in, s, b, err, want)
			}
		}
	}
	for _, bad := range []json.Number{"1 ", "x", "-", "01", "1e", "0x1", "1]"} {
		for s := JSON; s <= CBOR; s++ {
			if b, err := AppendValue([]byte("x"), s, bad); err == nil || string(b) != "x" {
				t.Errorf("%q is a number: %q, %v", bad, b, err)
			}
		}
	}
}

// TestValueOpaque: what is no Go map is left as it is encoded, and all around it is built.
func TestValueOpaque(t *testing.T) {
	values := 100
	for s, c := range map[Serializer]struct{ in, opaque string }{
		MessagePack: {"\x93\x01\x81\xa1k\x82\x01\x02\x91\x03\x04\x05", "\x82\x01\x02\x91\x03\x04"},
		CBOR: {
			"\x83\x01\xbf\x61k\xd8\x20\xbf\x01\x02\xa0\x04\xff\xff\x05", "\xd8\x20\xbf\x01\x02\xa0\x04\xff",
		},
	} {
		got, err := ValueWithin(s, []byte(c.in), &values)
		want := list{int64(1), dict{"k": Raw{s, []byte(c.opaque)}}, int64(5)}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", c.in, err, diff)
		}
		if _, err := Value(s, []byte(c.in)); !errors.Is(err, errKeyForm) {
			t.Errorf("%q: %v", c.in, err)
		}
		if b, err := AppendValue(nil, s, got); err != nil || len(mustItems(t, s, b)) != 3 {
			t.Errorf("%q: %q, %v", c.in, b, err)
		}
		if _, err := AppendValue(nil, JSON, got); !errors.Is(err, errKeyForm) {
			t.Errorf("%q in JSON: %v", c.in, err)
		}
	}
}

// mustItems returns the items of a list.
func mustItems(t *testing.T, s Serializer, b []byte) []Raw {
	t.Helper()
	if _, why := skip(s, b, 0, 0, make(nesting, DepthMaxMost)); why != "" {
		t.Fatal(why)
	}
	return Raw{s, b}.Items()
}

// TestValueWithin: containers, keys and values count, what is left of them is told, and one too many is none.
func TestValueWithin(t *testing.T) {
	for s, raw := range map[Serializer]string{
		JSON:        `[1,{"a":[]},"x"]`,
		MessagePack: "\x93\x01\x81\xa1a\x90\xa1x",
		CBOR:        "\x9f\x01\xbf\x61a\x80\xff\x61x\xff",
	} {
		for have, want := range map[int]int{8: 2, 6: 0, 5: -1, 0: -1} {
			left := have
			v, err := ValueWithin(s, []byte(raw), &left)
			failed := errors.Is(err, ErrTooMuchWork)
			if failed != (want < 0) || !failed && err != nil || left != want || failed && v != nil {
				t.Errorf("%v with %d: %v, %v, %d left", s, have, v, err, left)
			}
		}
	}
}
