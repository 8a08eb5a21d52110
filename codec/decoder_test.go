package codec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// decode decodes b with a fresh Decoder.
func decode(s Serializer, b []byte) (*Message, error) {
	var d Decoder
	m := new(Message)
	return m, d.Decode(s, b, m)
}

// A raw is a value already encoded in each serializer.
type raw struct{ json, msgpack, cbor string }

// encode encodes a message given as Go values; raws are spliced in.
func encode(t testing.TB, s Serializer, elements ...any) []byte {
	t.Helper()
	b := appendListHead(nil, s, len(elements))
	for i, e := range elements {
		if i > 0 {
			b = comma(b, s)
		}
		b = splice(t, b, s, e)
	}
	return endMessage(b, s)
}

func splice(t testing.TB, b []byte, s Serializer, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case raw:
		return append(b, [...]string{JSON: v.json, MessagePack: v.msgpack, CBOR: v.cbor}[s]...)
	case []any:
		b = appendListHead(b, s, len(v))
		for i, e := range v {
			if i > 0 {
				b = comma(b, s)
			}
			b = splice(t, b, s, e)
		}
		return endMessage(b, s)
	case map[string]any:
		w := beginDict(b, s, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			w.anyKey([]byte(k))
			w.dst = splice(t, w.dst, s, v[k])
		}
		return w.end()
	}
	b, err := AppendValue(b, s, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type dict = map[string]any

type list = []any

var (
	pub  = func(options dict, tail ...any) list { return append(list{16, 1, options, "a.b"}, tail...) }
	deep = func(n int) (v any) {
		v = "x"
		for range n {
			v = list{v}
		}
		return v
	}
)

// The checklist's statements about what is a violation and what is not, as far as the codec decides them, in every
// serializer.
func TestDecodeChecklist(t *testing.T) {
	half := raw{"16.5", "\xcb\x40\x30\x80\x00\x00\x00\x00\x00", "\xf9\x4c\x20"}
	badKey := raw{`{1:true}`, "\x81\x01\xc3", "\xa1\x01\xf5"}
	for _, c := range []struct {
		id      string
		message list
		want    string // what the violation has to name; "" if the message is fine
	}{
		{"MSG-01 empty list", list{}, "empty list"},
		{"MSG-03 unknown type", list{99, 1, dict{}}, "unknown message type 99"},
		{"MSG-03 heartbeat", list{7, 1, 1}, "unknown message type 7"},
		{"MSG-03 extension", list{300, 1}, "unknown message type 300"},
		{"MSG-03 too large", list{70000, 1}, "type code"},
		{"MSG-04 text", list{"16", 1, dict{}, "a.b"}, "type code"},
		{"MSG-04 negative", list{-16, 1, dict{}, "a.b"}, "type code"},
		{"MSG-07", list{32, 1, dict{}}, "SUBSCRIBE: has 3 elements, needs 4"},
		{"MSG-08", list{32, 1, dict{}, "a.b", list{}}, "SUBSCRIBE: too many elements, at most 4"},
		{"MSG-09", list{16, 1, list{}, "a.b"}, "PUBLISH.Options: expected a dictionary, got a list"},
		{"MSG-10", list{48, 1, dict{}, 5}, "CALL.Procedure: expected text, got 5"},
		{"MSG-11", list{48, 1, dict{}, "a.b", dict{}}, "CALL.Arguments: expected a list, got a dictionary"},
		{"MSG-12", list{48, 1, dict{}, "a.b", list{}, list{}}, "CALL.ArgumentsKw: expected a dictionary, got a list"},
		{"MSG-13", list{34, 1, "5"}, "UNSUBSCRIBE.Subscription: expected an id from 1 to 2^53, got text"},
		{"MSG-15", list{8, 999, 1, dict{}, "a.b"}, "ERROR.REQUEST.Type"},
		{"MSG-16", pub(dict{"x": 1, "match": 5, "timeout": "x", "_y": dict{"z": list{1, nil}}}), ""},
		{"MSG-17 integer", pub(dict{"acknowledge": 1}), "PUBLISH.Options.acknowledge: expected a boolean, got 1"},
		{"MSG-17 text", pub(dict{"acknowledge": "hello"}), "acknowledge"},
		{"MSG-18", pub(dict{"acknowledge": nil, "exclude": nil}), ""},
		{"MSG-19 exclude_me", pub(dict{"exclude_me": "x"}), "exclude_me"},
		{"MSG-19 retain", pub(dict{"retain": "x"}), "retain"},
		{"MSG-20 no list", pub(dict{"exclude": "x"}), "exclude: expected a list of ids, got text"},
		{"MSG-20 items", pub(dict{"eligible": list{1, "x"}}), "eligible"},
		{"MSG-20 zero", pub(dict{"eligible": list{0}}), "eligible"},
		{"MSG-20 fine", pub(dict{"eligible": list{}, "exclude": list{1, uint64(MaxID)}}), ""},
		{"MSG-21 no list", pub(dict{"exclude_authid": "x"}), "exclude_authid"},
		{"MSG-21 items", pub(dict{"eligible_authrole": list{"x", 1}}), "eligible_authrole"},
		{"MSG-22 unknown", list{32, 1, dict{"match": "invalid"}, "a.b"}, "SUBSCRIBE.Options.match"},
		{"MSG-22 integer", list{32, 1, dict{"match": 123}, "a.b"}, "match"},
		{"MSG-23", list{32, 1, dict{"get_retained": "hello"}, "a.b"}, "get_retained"},
		{"MSG-24", list{64, 1, dict{"invoke": "bogus"}, "a.b"}, "invoke"},
		{"MSG-25", list{49, 1, dict{"mode": "bogus"}}, "mode"},
		{"MSG-26 text", pub(dict{"forward_for": "x"}), "forward_for"},
		{"MSG-26 text in subscribe", list{32, 1, dict{"forward_for": "x"}, "a.b"}, "forward_for"},
		{"MSG-26 item", pub(dict{"forward_for": list{5}}), "forward_for"},
		{"MSG-26 session", pub(dict{"forward_for": list{dict{"session": "x"}}}), "forward_for"},
		{"MSG-26 session zero", pub(dict{"forward_for": list{dict{"session": 0}}}), "forward_for"},
		{
			"MSG-26 session too large", pub(dict{"forward_for": list{dict{"session": uint64(MaxID + 1)}}}),
			"forward_for",
		},
		{"ID-02 revocation", list{35, uint64(MaxID + 1)}, "UNSUBSCRIBED"},
		{"ID-02 reply", list{35, uint64(MaxID)}, ""},
		{"MSG-26 authid", pub(dict{"forward_for": list{dict{"authid": 5}}}), "forward_for"},
		{"MSG-26 empty", pub(dict{"forward_for": list{}}), ""},
		{"MSG-26 fine", pub(dict{"forward_for": list{
			dict{"session": 5, "authid": "a", "authrole": nil, "x": list{1}},
			dict{},
		}}), ""},
		{"MSG-27 integer", pub(dict{"transaction_hash": 5}), "transaction_hash"},
		{"MSG-27 text", pub(dict{"transaction_hash": "ab"}), ""},
		{"MSG-33", list{337, 5}, ""},
		{"MSG-33 details", list{337, 5, dict{"x": 1}}, ""},
		{"MSG-34 unsubscribe", list{34, 1, 5, dict{"x": 1}}, ""},
		{"MSG-34 unregister", list{66, 1, 5, dict{}}, ""},
		{"MSG-34 no dictionary", list{66, 1, 5, "x"}, "UNREGISTER.Options"},
		{"MSG-35", list{16, 1, badKey, "a.b"}, "PUBLISH.Options: expected text as key"},
		{"MSG-36 integral", list{16.0, 1, dict{}, "a.b"}, ""},
		{"MSG-36 fraction", list{half, 1, dict{}, "a.b"}, "type code"},
		{"ID-01", list{48, 0, dict{}, "a.b"}, "CALL.Request: expected an id from 1 to 2^53, got 0"},
		{"ID-01 response", list{33, 1, 0}, "SUBSCRIBED.Subscription"},
		{"ID-02", list{48, uint64(MaxID), dict{}, "a.b"}, ""},
		{"ID-03", list{48, uint64(MaxID + 1), dict{}, "a.b"}, "CALL.Request"},
		{"ID-03 largest", list{48, uint64(math.MaxUint64), dict{}, "a.b"}, "CALL.Request"},
		{"ID-04", list{48, -1, dict{}, "a.b"}, "CALL.Request"},
		{"ID-05", list{48, 5.0, dict{}, "a.b"}, ""},
		{"ID-05 largest", list{48, float64(MaxID), dict{}, "a.b"}, ""},
		{"ID-05 beyond", list{48, float64(MaxID + 2), dict{}, "a.b"}, "CALL.Request"},
		{"ID-05 fraction", list{48, 5.5, dict{}, "a.b"}, "CALL.Request"},
		{"ID-05 zero", list{48, 0.0, dict{}, "a.b"}, "CALL.Request"},
		{"ID-05 negative", list{48, -5.0, dict{}, "a.b"}, "CALL.Request"},
		{"SER-08 boolean for id", list{48, true, dict{}, "a.b"}, "CALL.Request"},
		{"SER-12 within", pub(dict{}, list{deep(62)}), ""},
		{"SER-12 above", pub(dict{}, list{deep(63)}), "deeper than 64"},
		{"SER-12 option within", pub(dict{"x": deep(62)}), ""},
		{"SER-12 option above", pub(dict{"x": deep(63)}), "deeper than 64"},
		{"revocation", list{35, 0, dict{"subscription": 5, "reason": "a.b"}}, ""},
		{"revocation unregistered", list{67, 0, dict{"registration": 5}}, ""},
		{"revocation wrong id", list{67, 0, dict{"registration": "5"}}, "registration"},
		{"revocation without dictionary", list{67, 0}, "UNREGISTERED.UNREGISTER.Request"},
		{"revocation of a request", list{35, 7, dict{}}, "UNSUBSCRIBED.Details"},
		{"null realm", list{1, nil, dict{"roles": dict{}}}, ""},
		{"null topic", list{16, 1, dict{}, nil}, "PUBLISH.Topic: expected text, got null"},
		{"null options", list{16, 1, nil, "a.b"}, "PUBLISH.Options: expected a dictionary, got null"},
		{"binary topic", list{16, 1, dict{}, raw{"5", "\xc4\x01a", "\x41a"}}, "PUBLISH.Topic"},
		{"no extra", list{5, "sig"}, ""},
		{"null extra", list{5, "sig", nil}, ""},
		{
			"timeout negative",
			list{48, 1, dict{"timeout": -1}, "a.b"},
			"CALL.Options.timeout: expected a number from 0 to 18446744073709551615, got ",
		},
		{
			"timeout too long",
			list{48, 1, dict{"timeout": 1e300}, "a.b"},
			"CALL.Options.timeout: expected a number from 0 to 18446744073709551615, got 1e+300",
		},
		{"timeout of 2^64", list{48, 1, dict{"timeout": float64(1 << 64)}, "a.b"}, "to 18446744073709551615, got 1"},
		{"timeout of 2^64-1", list{48, 1, dict{"timeout": uint64(math.MaxUint64)}, "a.b"}, ""},
		{"timeout fraction negative", list{48, 1, dict{"timeout": -1.5}, "a.b"}, "timeout"},
		{"timeout text", list{48, 1, dict{"timeout": "1"}, "a.b"}, "timeout"},
		{"roles no dictionary", list{1, "r", dict{"roles": list{}}}, "HELLO.Details.roles"},
		{"authmethods", list{1, "r", dict{"authmethods": "ticket"}}, "authmethods"},
		{"transparent", pub(dict{"enc_algo": "x_own"}, []byte("ab")), ""},
		{"transparent text", pub(dict{"enc_algo": "mqtt"}, "ab"), ""},
		{"transparent absent", pub(dict{"enc_algo": "xbr"}), ""},
		{"transparent empty list", pub(dict{"enc_algo": "xbr"}, list{}), ""},
		{
			"transparent without algorithm", pub(dict{}, []byte("ab")),
			"PUBLISH.Arguments: a transparent payload needs the option enc_algo",
		},
		{"transparent null algorithm", pub(dict{"enc_algo": nil}, []byte("ab")), "enc_algo"},
		{"transparent list", pub(dict{"enc_algo": "cryptobox"}, list{1}), "enc_algo"},
		{"transparent keywords", pub(dict{"enc_algo": "cryptobox"}, list{}, dict{"a": 1}), "enc_algo"},
		{"transparent and keywords", pub(dict{"enc_algo": "cryptobox"}, []byte("ab"), dict{}), "nothing may follow"},
		{"transparent unknown algorithm", pub(dict{"enc_algo": "bogus"}, []byte("ab")), "enc_algo"},
		{"transparent nowhere else", list{3, dict{"enc_algo": "xbr"}, "a.b", []byte("ab")}, "ABORT.Arguments"},
		{"payload number", pub(dict{}, 5), "PUBLISH.Arguments: expected a list, got 5"},
		{"payload of a goodbye", list{6, dict{}, "a.b", list{}}, "GOODBYE: too many"},
		{"abort with payload", list{3, dict{"message": 5}, "any thing", list{1}, dict{"a": 1}}, ""},
	} {
		for _, ser := range serializers {
			t.Run(c.id+"/"+ser.name, func(t *testing.T) {
				b := encode(t, ser.s, c.message...)
				_, err := decode(ser.s, b)
				if c.want == "" {
					if err != nil {
						t.Fatalf("%q: %v", b, err)
					}
					return
				}
				var v *Violation
				if !errors.As(err, &v) || !strings.Contains(v.Reason, c.want) {
					t.Fatalf("%q: want a violation with %q, got %v", b, c.want, err)
				}
			})
		}
	}
}

// A violation says what was there instead, never the same words as what was expected.
func TestDecodeSaysWhatWasThere(t *testing.T) {
	pub := func(option string, value any) list { return list{16, 1, dict{option: value}, "a.b"} }
	const n = 24 // runes of a text that are quoted
	for _, c := range []struct {
		message list
		want    string
	}{
		{pub("transaction_hash", "\x00QUJD"), "expected text, got text that begins with U+0000 (binary in JSON)"},
		{
			pub("transaction_hash", raw{`"\u0000QUJD"`, "\xa2\x00A", "\x62\x00A"}),
			"expected text, got text that begins with U+0000",
		},
		{pub("exclude_authid", list{
			"a",
			"\x00QUJD",
		}), "a list of text, got a list that holds text that begins with U+0000"},
		{pub("exclude_authid", list{"a", "b", 5}), "expected a list of text, got a list that holds 5"},
		{pub("exclude", list{1, "x"}), `expected a list of ids, got a list that holds text "x"`},
		{pub("exclude", list{0, "x"}), "expected a list of ids, got a list that holds 0"},
		{pub("exclude", list{1, list{}}), "expected a list of ids, got a list that holds a list"},
		{pub("exclude", list{1, dict{}}), "expected a list of ids, got a list that holds a dictionary"},
		{pub("exclude", list{1, nil}), "expected a list of ids, got a list that holds null"},
		{pub("exclude", dict{}), "expected a list of ids, got a dictionary"},
		{pub("forward_for", list{dict{}, 5}), "got a list that holds 5"},
		{pub("forward_for", list{dict{"authid": 5}}), "got a list that holds a dictionary with other values"},
		{list{32, 1, dict{"match": "fuzzy"}, "a.b"}, `"exact", "prefix" or "wildcard", got text "fuzzy"`},
		{pub("enc_algo", "bogus"), `got text "bogus"`},
		{pub("acknowledge", strings.Repeat("ä", n)), `got text "` + strings.Repeat("ä", n) + `"`},
		{pub("acknowledge", strings.Repeat("ä", n+1)), `got text "` + strings.Repeat("ä", n) + `"…`},
		{
			pub("acknowledge", strings.Repeat("\U0001F333", n+1)),
			`got text "` + strings.Repeat("\U0001F333", n) + `"…`,
		},
		{pub("acknowledge", "a\nb"), `got text "a\nb"`},
	} {
		for _, ser := range serializers {
			_, err := decode(ser.s, encode(t, ser.s, c.message...))
			var v *Violation
			if !errors.As(err, &v) || !strings.Contains(v.Reason, c.want) {
				t.Errorf("%s: %v, want %q", ser.name, err, c.want)
			}
		}
	}
	notUTF8 := map[Serializer]string{
		MessagePack: "\x94\x10\x01\x81\xb0transaction_hash\xa1\xff\xa1a",
		CBOR:        "\x84\x10\x01\xa1\x70transaction_hash\x61\xff\x61a",
	}
	for s, message := range notUTF8 {
		const want = "PUBLISH.Options.transaction_hash: expected text, got text that is not valid UTF-8"
		if _, err := decode(s, []byte(message)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// MSG-02, MSG-05, MSG-06, MSG-41, SER-21: octets that are no message.
func TestDecodeMalformed(t *testing.T) {
	for _, c := range []struct {
		id string
		s  Serializer
		b  string
	}{
		{"MSG-02", JSON, `{}`},
		{"MSG-02", JSON, `5`},
		{"MSG-02", JSON, `"x"`},
		{"MSG-02", MessagePack, "\x80"},
		{"MSG-02", MessagePack, "\x05"},
		{"MSG-02", CBOR, "\xa0"},
		{"MSG-02", CBOR, "\x05"},
		{"MSG-05", JSON, ``},
		{"MSG-05", JSON, `  `},
		{"MSG-05", JSON, `[`},
		{"MSG-05", JSON, `[16`},
		{"MSG-05", JSON, `[16,`},
		{"MSG-05", JSON, `[16,1,{},"a.b"`},
		{"MSG-05", JSON, `[16,1,{},"a.b",`},
		{"MSG-05", JSON, `[16 1,{},"a.b"]`},
		{"MSG-05", JSON, `[16,1,{}"a.b"]`},
		{"MSG-05", JSON, `[16,1,{"x":1,},"a.b"]`},
		{"MSG-05", JSON, `[16,1,{"x" 1},"a.b"]`},
		{"MSG-05", JSON, `[16,1,{,"x":1},"a.b"]`},
		{"MSG-05", JSON, `[016,1,{},"a.b"]`},
		{"MSG-05", JSON, `[16,01,{},"a.b"]`},
		{"MSG-05", JSON, `[16,+1,{},"a.b"]`},
		{"MSG-05", JSON, `[16,1.,{},"a.b"]`},
		{"MSG-05", JSON, `[16,1,{},"a.b",]`},
		{"MSG-05", JSON, `[16,1,{},"a.b"}`},
		{"MSG-05", JSON, "[16,1,{},\"a\xff\"]"},
		{"MSG-05", JSON, "[16,1,{\"\xc3\":1},\"a\"]"},
		{"MSG-05", MessagePack, ""},
		{"MSG-05", MessagePack, "\x94\x10\x01\x80"},
		{"MSG-05", MessagePack, "\x94\x10\x01\x80\xa3a."},
		{"MSG-05", MessagePack, "\xc1"},
		{"MSG-05", MessagePack, "\x94\x10\x01\x80\xdb\xff\xff\xff\xffa"},
		{"MSG-05", MessagePack, "\x94\x10\x01\xdf\xff\xff\xff\xff\xa1a"},
		{"MSG-05", MessagePack, "\xdd\xff\xff\xff\xff\x10"},
		{"MSG-05", MessagePack, "\x94\x10\xcd\x01"},
		{"MSG-05", MessagePack, "\x92"},
		{"MSG-05", CBOR, ""},
		{"MSG-05", CBOR, "\x84\x10\x01\xa0"},
		{"MSG-05", CBOR, "\x84\x10\x01\xa0\x63a."},
		{"MSG-05", CBOR, "\x9f\x10\x01\xa0\x61a"},
		{"MSG-05", CBOR, "\x9f"},
		{"MSG-05", CBOR, "\x84\x10\x01\xa0\x7b\xff\xff\xff\xff\xff\xff\xff\xffa"},
		{"MSG-05", CBOR, "\x84\x10\x01\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01"},
		{"MSG-05", CBOR, "\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x10"},
		{"MSG-05", CBOR, "\x84\x10\x1c\xa0\x61a"},
		{"MSG-05", CBOR, "\x84\x10\x1f\xa0\x61a"},
		{"MSG-06", JSON, `[16,1,{},"a.b"]x`},
		{"MSG-06", JSON, `[16,1,{},"a.b"][]`},
		{"MSG-06", MessagePack, "\x94\x10\x01\x80\xa1a\xc0"},
		{"MSG-06", CBOR, "\x84\x10\x01\xa0\x61a\x00"},
		{"MSG-06", CBOR, "\x9f\x10\x01\xa0\x61a\xff\xff"},
		{"MSG-41", JSON, `[16,1,{},"a",["\q"]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[NaN]]`},
		{"MSG-41", JSON, "[16,1,{},\"a\",[\"\n\"]]"},
		{"MSG-41", JSON, `[16,1,{},"a",[1,]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[1],{"a":1,}]`},
		{"MSG-41", JSON, `[16,1,{},"a",[1],{1:1}]`},
		{"MSG-41", JSON, `[16,1,{},"a",["\u12g4"]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[-]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[1e]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[01]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[.5]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[tru]]`},
		{"MSG-41", JSON, `[16,1,{},"a",[[}]]`},
		{"MSG-41", JSON, "[16,1,{},\"a\",[\"\xed\xa0\x80\"]]"},
		{"MSG-41", JSON, "[16,1,{},\"a\",[\"\xc0\x80\"]]"},
		{"MSG-41", MessagePack, "\x95\x10\x01\x80\xa1a\x91"},
		{"MSG-41", MessagePack, "\x95\x10\x01\x80\xa1a\x91\xc1"},
		{"MSG-41", MessagePack, "\x95\x10\x01\x80\xa1a\x91\xc4\x05a"},
		{"MSG-41", MessagePack, "\x95\x10\x01\x80\xa1a\x91\xd8\x00"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81\x1c"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81\xff"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81\xf8\x10"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81\x5f\x61a\xff"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x9f\x01"},
		{"MSG-41", CBOR, "\x86\x10\x01\xa0\x61a\x80\xbf\x61a\xff"},
		{"MSG-41", CBOR, "\x85\x10\x01\xa0\x61a\x81\xdf\x01"},
		{"SER-21 BOM", JSON, "\ufeff[16,1,{},\"a.b\"]"},
		{"SER-21", JSON, `[16,1,{},"a.b",[NaN]]`},
		{"SER-21", JSON, `[16,1,{},'a.b']`},
		{"SER-21", JSON, `[16,1,{},"a.b"/**/]`},
		{"SER-21", JSON, "[16,1,{},\"a.b\"] // x"},
	} {
		if _, err := decode(c.s, []byte(c.b)); err == nil {
			t.Errorf("%s: serializer %d accepts %q", c.id, c.s, c.b)
		}
	}
	if _, err := decode(4, []byte("[]")); err == nil {
		t.Error("an unknown serializer decodes")
	}
}

// MSG-40: a stranger's nesting costs its octets once and no stack; every prefix of every message is refused without
// harm.
func TestDecodeHostile(t *testing.T) {
	t.Attr("checklist", "MSG-40")
	const n = 100 << 10
	for _, c := range []struct {
		s         Serializer
		head, rep string
	}{
		{JSON, "", "["},
		{JSON, `[16,1,{},"a",`, "["},
		{JSON, `[16,1,{},"a",[],`, `{"a":`},
		{JSON, `[16,1,{"x":`, "["},
		{MessagePack, "", "\x91"},
		{MessagePack, "\x95\x10\x01\x80\xa1a", "\x91"},
		{MessagePack, "\x95\x10\x01\x81\xa1x", "\x81\xa1a"},
		{CBOR, "", "\x81"},
		{CBOR, "\x85\x10\x01\xa0\x61a", "\x9f"},
		{CBOR, "\x85\x10\x01\xa0\x61a\x81", "\xc1"},
		{CBOR, "\x85\x10\x01\xa0\x61a", "\xbf\x61a"},
		{CBOR, "\x9f", "\x9f"},
	} {
		b := []byte(c.head + strings.Repeat(c.rep, n/len(c.rep)))
		if _, err := decode(c.s, b); err == nil {
			t.Errorf("%d: accepts %q…", c.s, b[:20])
		}
	}
	for _, ser := range serializers {
		for _, m := range everyMessage(t, ser.s) {
			b, err := Append(nil, ser.s, m)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b {
				if _, err := decode(ser.s, b[:i]); err == nil {
					t.Errorf("%s %v: accepts the prefix %q", ser.name, m.Type, b[:i])
				}
			}
		}
	}
}

// MSG-28, MSG-29, MSG-31, SER-09, SER-22: what counts as absent.
func TestDecodeTail(t *testing.T) {
	for _, c := range []struct {
		id           string
		tail         list
		args, kwargs string // as JSON; "" if absent
	}{
		{"SER-22 absent", list{}, "", ""},
		{"MSG-28 empty", list{list{}}, "", ""},
		{"MSG-28 both empty", list{list{}, dict{}}, "", ""},
		{"MSG-29 keywords only", list{list{}, dict{"a": 1}}, "[]", `{"a":1}`},
		{"MSG-31 null", list{nil}, "", ""},
		{"MSG-31 both null", list{nil, nil}, "", ""},
		{"MSG-31 null and keywords", list{nil, dict{"a": 1}}, "", `{"a":1}`},
		{"MSG-31 null keywords", list{list{1}, nil}, "[1]", ""},
		{"empty keywords", list{list{1}, dict{}}, "[1]", ""},
		{"SER-09 null value", list{list{1}, dict{"a": nil}}, "[1]", `{"a":null}`},
		{"one null", list{list{nil}}, "[null]", ""},
	} {
		for _, ser := range serializers {
			m, err := decode(ser.s, encode(t, ser.s, pub(dict{}, c.tail...)...))
			if err != nil {
				t.Errorf("%s/%s: %v", c.id, ser.name, err)
				continue
			}
			for _, part := range []struct {
				got  []byte
				want string
			}{{m.Payload.Args, c.args}, {m.Payload.Kwargs, c.kwargs}} {
				got := ""
				if part.got != nil {
					b, err := Transcode(nil, part.got, ser.s, JSON, MessageBytesMax)
					if err != nil {
						t.Fatal(err)
					}
					got = string(b)
				}
				if got != part.want {
					t.Errorf("%s/%s: got %s, want %s", c.id, ser.name, got, part.want)
				}
			}
		}
	}
	// The same in the long forms that our encoder never writes.
	for _, c := range []struct {
		s Serializer
		b string
	}{
		{JSON, `[16 , 1 , { } , "a" , [ ] , { } ]`},
		{MessagePack, "\x96\x10\x01\xde\x00\x00\xd9\x01a\xdc\x00\x00\xdf\x00\x00\x00\x00"},
		{CBOR, "\x9f\x10\x01\xbf\xff\x7f\x61a\xff\x9f\xff\xb8\x00\xff"},
	} {
		m, err := decode(c.s, []byte(c.b))
		if err != nil || m.Payload.Args != nil || m.Payload.Kwargs != nil || string(m.URI) != "a" || m.Request != 1 {
			t.Errorf("%q: %+v, %v", c.b, m, err)
		}
	}
}

// SER-18, MSG-18: the last of duplicate keys wins, also when it is null.
func TestDecodeDuplicates(t *testing.T) {
	t.Attr("checklist", "SER-18 MSG-18")
	m, err := decode(JSON,
		[]byte(`[48,1,{"disclose_me":false,"timeout":5,"disclose_me":true,"receive_progress":true,`+
			`"receive_progress":false,"timeout":7,"progress":true,"progress":null,"rkey":"a","rkey":"b"},"a"]`))
	if err != nil {
		t.Fatal(err)
	}
	o := &m.Options
	if !o.Bool(KeyDiscloseMe, false) || o.Bool(KeyReceiveProgress, true) || o.Timeout != 7 || o.Has(KeyProgress) ||
		!o.Bool(KeyProgress, true) || o.Text(KeyRkey) != "b" || string(o.raw(KeyRkey)) != `"b"` {
		t.Errorf("%+v", o)
	}
	m, err = decode(JSON, []byte(`[64,1,{"match":"prefix","match":null,"invoke":"last","invoke":null},"a"]`))
	if err != nil || m.Options.Match != Exact || m.Options.Invoke != Single {
		t.Errorf("%+v, %v", m.Options, err)
	}
	m, err = decode(JSON, []byte(`[49,1,{"mode":"kill","mode":null}]`))
	if err != nil || m.Options.Mode != KillNoWait {
		t.Errorf("%+v, %v", m.Options, err)
	}
	m, err = decode(JSON, []byte(`[48,1,{"timeout":7,"timeout":null},"a"]`))
	if err != nil || m.Options.Timeout != 0 {
		t.Errorf("%+v, %v", m.Options, err)
	}
}

// wampy leaves options undefined, which its MessagePack library writes as an extension: absent, like null. Any other
// extension is of the wrong type.
func TestDecodeUndefinedOption(t *testing.T) {
	m, err := decode(MessagePack, []byte("\x94\x20\x01\x82\xa5match\xd4\x00\x00\xacget_retained\xd4\x00\x00\xa3a.b"))
	if err != nil || m.Options.Has(KeyMatch) || m.Options.Match != Exact || m.Options.Has(KeyGetRetained) {
		t.Errorf("%+v, %v", m.Options, err)
	}
	if _, err = decode(MessagePack, []byte("\x94\x20\x01\x81\xa5match\xd4\x01\x00\xa3a.b")); err == nil {
		t.Error("an extension of another type was accepted as match")
	}
}

func TestOptions(t *testing.T) {
	for _, ser := range serializers {
		m, err := decode(ser.s, encode(t, ser.s, pub(dict{
			"acknowledge": true, "exclude_me": false, "exclude": list{5, 7.0}, "eligible_authid": list{"a", "é"},
			"ppt_scheme": "wamp",
		})...))
		if err != nil {
			t.Fatal(err)
		}
		o := &m.Options
		got := fmt.Sprintln(o.Bool(KeyAcknowledge, false), o.Bool(KeyExcludeMe, true), o.Bool(KeyRetain, true),
			o.Has(KeyExclude), o.Has(KeyEligible),
			o.IDs(nil, KeyExclude), o.IDs(nil, KeyEligible), o.Texts(nil, KeyEligibleAuthid), o.Text(KeyPptScheme),
			o.Text(KeyRkey), o.raw(KeyRkey) == nil)
		if want := "true false true true false [5 7] [] [a é] wamp  true\n"; got != want {
			t.Errorf("%s: got %s, want %s", ser.name, got, want)
		}
		if v := mustValue(t, ser.s, o.raw(KeyPptScheme)); v != "wamp" {
			t.Errorf("%s: Raw: %v", ser.name, v)
		}
	}
	for _, c := range []struct {
		message list
		check   func(o *Options) bool
	}{
		{list{32, 1, dict{"match": "exact"}, "a"}, func(o *Options) bool {
			return o.Match == Exact &&
				o.Has(KeyMatch)
		}},
		{list{32, 1, dict{"match": "prefix"}, "a"}, func(o *Options) bool { return o.Match == Prefix }},
		{list{64, 1, dict{"match": "wildcard"}, "a"}, func(o *Options) bool { return o.Match == Wildcard }},
		{list{64, 1, dict{"invoke": "single"}, "a"}, func(o *Options) bool { return o.Invoke == Single }},
		{list{64, 1, dict{"invoke": "roundrobin"}, "a"}, func(o *Options) bool { return o.Invoke == RoundRobin }},
		{list{64, 1, dict{"invoke": "random"}, "a"}, func(o *Options) bool { return o.Invoke == Random }},
		{list{64, 1, dict{"invoke": "first"}, "a"}, func(o *Options) bool { return o.Invoke == First }},
		{
			list{64, 1, dict{"invoke": "last", "concurrency": 4.0}, "a"},
			func(o *Options) bool { return o.Invoke == Last && o.Has(KeyConcurrency) },
		},
		{list{49, 1, dict{"mode": "skip"}}, func(o *Options) bool { return o.Mode == Skip }},
		{list{49, 1, dict{"mode": "kill"}}, func(o *Options) bool { return o.Mode == Kill }},
		{list{49, 1, dict{"mode": "killnowait"}}, func(o *Options) bool { return o.Mode == KillNoWait }},
		{list{48, 1, dict{"timeout": 250}, "a"}, func(o *Options) bool { return o.Timeout == 250 }},
		{list{48, 1, dict{"timeout": 1e3}, "a"}, func(o *Options) bool { return o.Timeout == 1000 }},
		{list{48, 1, dict{"timeout": 2.5}, "a"}, func(o *Options) bool {
			return o.Timeout == 2 && o.TimeoutFraction == 500
		}},
		{list{48, 1, dict{"timeout": 1e-9}, "a"}, func(o *Options) bool {
			return o.Timeout == 0 && o.TimeoutFraction == 1
		}},
		{list{48, 1, dict{"timeout": 6.99999}, "a"}, func(o *Options) bool {
			return o.Timeout == 6 && o.TimeoutFraction == 999
		}},
	} {
		for _, ser := range serializers {
			if m, err := decode(ser.s, encode(t, ser.s, c.message...)); err != nil || !c.check(&m.Options) {
				t.Errorf("%s %v: %+v, %v", ser.name, c.message, m.Options, err)
			}
		}
	}
}

// ID-05, MSG-36: floats that are integers, exactly.
func TestIntegralNumbers(t *testing.T) {
	t.Attr("checklist", "ID-05 MSG-36")
	for _, c := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"5.0", 5, true},
		{"5e0", 5, true},
		{"50e-1", 5, true},
		{"0.5e1", 5, true},
		{"5.5", 0, false},
		{"1e3", 1000, true},
		{"1E+3", 1000, true},
		{"9007199254740992.0", MaxID, true},
		{"9007199254740993.0", 0, false},
		{"9.007199254740992e15", MaxID, true},
		{"5.00000000000000000000000000001", 0, false},
		{"5.00000000000000000000000000000", 5, true},
		{"1e400", 0, false},
		{"1e-400", 0, false},
		{"0.0", 0, false},
		{"-0.0", 0, false},
		{"-5.0", 0, false},
		{"-5", 0, false},
		{"100000000000000000000000e-20", 1000, true},
		{"0.00000000000000000000000001e28", 100, true},
		{"99999999999999999999", 0, false},
		{"1e99999999999999999999", 0, false},
		{"1.0e1", 10, true},
		{"100e-2", 1, true},
		{"101e-2", 0, false},
	} {
		m, err := decode(JSON, []byte(`[48,`+c.text+`,{},"a"]`))
		if (err == nil) != c.ok || c.ok && m.Request != c.want {
			t.Errorf("%s: %d, %v", c.text, m.Request, err)
		}
		if m, err := decode(JSON, []byte(`[48, `+c.text+` ,{},"a"]`)); (err == nil) != c.ok ||
			c.ok && m.Request != c.want {
			t.Errorf("%s with space: %d, %v", c.text, m.Request, err)
		}
	}
	for _, c := range []struct {
		b    []byte
		want uint64
	}{
		{[]byte{0xd0, 5}, 5},
		{[]byte{0xd1, 1, 0}, 256},
		{[]byte{0xd3, 0, 0x20, 0, 0, 0, 0, 0, 0}, MaxID},
		{[]byte{0xcc, 5}, 5},
		{[]byte{0xcf, 0, 0, 0, 0, 0, 0, 0, 5}, 5},
		{msgp.AppendFloat32(nil, 5), 5},
		{msgp.AppendFloat64(nil, 1<<40), 1 << 40},
		{[]byte{0xd0, 0xff}, 0},
		{msgp.AppendFloat64(nil, math.NaN()), 0},
		{msgp.AppendFloat64(nil, math.Inf(1)), 0},
		{[]byte{0xc0}, 0},
	} {
		b := append(append([]byte{0x94, 48}, c.b...), 0x80, 0xa1, 'a')
		if m, err := decode(MessagePack, b); (err == nil) != (c.want > 0) || m.Request != c.want {
			t.Errorf("msgpack % x: %d, %v", c.b, m.Request, err)
		}
	}
	for _, c := range []struct {
		b    string
		want uint64
	}{
		{"\x18\x05", 5},
		{"\x1b\x00\x00\x00\x00\x00\x00\x00\x05", 5},
		{"\xf9\x45\x00", 5},
		{"\xfa\x40\xa0\x00\x00", 5},
		{"\x20", 0},
		{"\xf9\x7e\x00", 0},
		{"\xf9\x3e\x00", 0},
	} {
		if m, err := decode(CBOR, []byte("\x84\x18\x30"+c.b+"\xa0\x61a")); (err == nil) != (c.want > 0) ||
			m.Request != c.want {
			t.Errorf("cbor % x: %d, %v", c.b, m.Request, err)
		}
	}
}

// Decimals with a fraction are exact up to 2^64-1.
func TestIntegralDecimalBounds(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"18446744073709551615.0", 1<<64 - 1, true},
		{"1844674407370955161.5e1", 1<<64 - 1, true},
		{"1e19", 1e19, true},
		{"12345678901234567890.0", 12345678901234567890, true},
		{"18446744073709551616.0", 0, false},
		{"1e20", 0, false},
		{"123456789012345678901.0", 0, false},
	} {
		if u, ok := integralDecimal([]byte(c.text)); u != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v", c.text, u, ok)
		}
	}
}

// SER-20: keys of options are UTF-8, short ones and long ones.
func TestDecodeKeysAreUTF8(t *testing.T) {
	t.Attr("checklist", "SER-20")
	for _, n := range []int{1, 31, 63, 64, 65, 255, 256, 1000} {
		for _, last := range []string{"a", "\xff"} {
			key := strings.Repeat("k", n-1) + last
			b := msgp.AppendString([]byte{0x94, 48, 1, 0x81}, key)
			b = append(b, 0xc0, 0xa1, 'a')
			if _, err := decode(MessagePack, b); (err == nil) != (last == "a") {
				t.Errorf("msgpack, a key of %d octets that ends in %q: %v", n, last, err)
			}
			b = appendCBORHead([]byte{0x84, 0x18, 48, 1, 0xa1}, cborText, uint64(n))
			b = append(append(b, key...), 0xf6, 0x61, 'a')
			if _, err := decode(CBOR, b); (err == nil) != (last == "a") {
				t.Errorf("cbor, a key of %d octets that ends in %q: %v", n, last, err)
			}
		}
	}
}

// MSG-05: text whose length has octets of its own may be the last of a message, and empty.
func TestDecodeTextAtTheEnd(t *testing.T) {
	t.Attr("checklist", "MSG-05")
	for _, c := range []struct {
		s    Serializer
		head string
	}{
		{MessagePack, "\xa0"},
		{MessagePack, "\xd9\x00"},
		{MessagePack, "\xda\x00\x00"},
		{MessagePack, "\xdb\x00\x00\x00\x00"},
		{CBOR, "\x60"},
		{CBOR, "\x78\x00"},
		{CBOR, "\x79\x00\x00"},
		{CBOR, "\x7a\x00\x00\x00\x00"},
	} {
		list := "\x94\x30\x01\x80"
		if c.s == CBOR {
			list = "\x84\x18\x30\x01\xa0"
		}
		m, err := decode(c.s, []byte(list+c.head))
		if err != nil || m.URI == nil || len(m.URI) != 0 {
			t.Errorf("%v, % x: %q, %v", c.s, c.head, m.URI, err)
		}
		if _, err := decode(c.s, []byte(list+c.head[:len(c.head)-1])); err == nil {
			t.Errorf("%v, % x is complete without its last octet", c.s, c.head)
		}
	}
}

// SER-20: escapes in the header are undone, and survive until the next message.
func TestDecodeEscapes(t *testing.T) {
	t.Attr("checklist", "SER-20")
	m, err := decode(JSON,
		[]byte(" [ 48 ,\t1,\r\n{\"time\\u006fut\" : 5 , \"runmod\\u0065\":\"\\u00e9\\ud83d\\ude00\\ud83d\"} , "+
			"\"a\\u002eb\\/\\u00e9\" , [ \"\\u0041\" ] ] \n"))
	if err != nil {
		t.Fatal(err)
	}
	if string(m.URI) != "a.b/é" || m.Options.Timeout != 5 || m.Options.Text(KeyRunmode) != "é😀\uFFFD" ||
		string(m.Payload.Args) != `[ "\u0041" ]` {
		t.Errorf("%q %+v %q", m.URI, m.Options, m.Payload.Args)
	}
	m, err = decode(CBOR, []byte("\x84\x18\x30\x01\xbf\x7f\x63tim\x64eout\xff\x05\xff\x7f\x62a.\x61b\xff"))
	if err != nil || string(m.URI) != "a.b" || m.Options.Timeout != 5 {
		t.Errorf("%+v %v", m, err)
	}
	if m, err = decode(CBOR, []byte("\x83\x01\x7f\xff\xa0")); err != nil || m.URI == nil || len(m.URI) != 0 {
		t.Errorf("an empty realm is not a null realm: %+v %v", m, err)
	}
}

func TestDecodeAllocates(t *testing.T) {
	for _, ser := range serializers {
		for name, b := range benchMessages(t, ser.s) {
			var d Decoder
			var m Message
			if n := testing.AllocsPerRun(100, func() {
				if err := d.Decode(ser.s, b, &m); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s/%s: %v allocations", ser.name, name, n)
			}
		}
	}
	b := []byte(`[48,1,{"time\u006fut":5},"a\u002eb",[1]]`)
	var d Decoder
	var m Message
	if n := testing.AllocsPerRun(100, func() { _ = d.Decode(JSON, b, &m) }); n != 0 {
		t.Errorf("escapes: %v allocations", n)
	}
}
