package codec

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// PROTOCOL 1.1, 1.5, 12.2: input that costs Autobahn and others their connection is the sender's violation.
func TestDecodeSparesReceivers(t *testing.T) {
	unclean := func(s string) raw { // the octets of s as text, which JSON cannot say: there any wrong type
		return raw{`5`, string(appendText(nil, MessagePack, s)), string(appendText(nil, CBOR, s))}
	}
	for _, c := range []struct {
		id      string
		message list
		want    string
	}{
		{"MSG-42 integer", pub(dict{}, list{}, raw{
			`{"a":1,1:"x"}`, "\x82\xa1a\x01\x01\xa1x",
			"\xa2\x61a\x01\x01\x61x",
		}), "PUBLISH.ArgumentsKw: expected"},
		{
			"MSG-42 binary", pub(dict{}, list{1}, raw{`{1:"x"}`, "\x81\xc4\x01a\xa1x", "\xa1\x41a\x61x"}),
			"PUBLISH.ArgumentsKw: expected",
		},
		{
			"MSG-42 null",
			list{48, 1, dict{}, "a.b", list{}, raw{`{null:1}`, "\x81\xc0\x01", "\xbf\xf6\x01\xff"}},
			"CALL.ArgumentsKw: expected",
		},
		{
			"MSG-42 UTF-8", pub(dict{}, list{}, raw{"{\"\xff\":1}", "\x81\xa1\xff\x01", "\xa1\x61\xff\x01"}),
			"PUBLISH.ArgumentsKw: ",
		},
		{"MSG-42 UTF-8 among others", pub(dict{}, list{}, raw{
			"{\"a\":1,\"b\xff\":2}", "\x83\xa1a\x01\xa2b\xff\x01\xa8abcdefgh\xa8abcdefgh",
			"\xa3\x61a\x01\x62b\xff\x01\x68abcdefgh\x68abcdefgh",
		}), "PUBLISH.ArgumentsKw: a key"},
		{"MSG-42 UTF-8 in a longer key", pub(dict{}, list{}, raw{
			"{\"abcdefgh\xff\":1}", "\x82\xa9abcdefgh\xff\x01\xa8abcdefgh\xa8abcdefgh",
			"\xa2\x69abcdefgh\xff\x01\x68abcdefgh\x68abcdefgh",
		}), "PUBLISH.ArgumentsKw: a key"},
		{"MSG-42 all kinds of values", pub(dict{}, list{}, raw{
			`{"":1,"abcdefgh":2}`,
			"\x8c\xa0\x01\xa8abcdefgh\xff\xa9abcdefghi\xc2\xa2\xc3\xa9\xc3\xa1a\xca\x00\x00\x00\x00\xa1b\xcb\x00" +
				"\x00\x00\x00\x00\x00\x00\x00\xa1c\xcd\x01\x00\xa1d\xd3\x00\x00\x00\x00\x00\x00\x00\x00\xa1e\xd9" +
				"\x02ab\xa1f\xc0\xa1g\x90\xa1h\xa2\xff\xff",
			"\xa2\x60\x01\x68abcdefgh\x20",
		}), ""},
		{"MSG-42 short values", pub(dict{}, list{}, raw{
			`{"a":1,`, "\x82\xa1a\x01\xa8abcdefgh\xa8abcdefg",
			"\xa1\x61a\x62b",
		}), "PUBLISH.ArgumentsKw"},
		{"MSG-42 short values", pub(dict{}, list{}, raw{
			`{"a":1,`, "\x82\xa1a\x01\xa8abcdefgh\xcb\x00\x00",
			"\xa1\x61a\x19\x00",
		}), "PUBLISH.ArgumentsKw"},
		{
			"MSG-42 yield",
			list{70, 1, dict{}, list{}, raw{`{1:1}`, "\x81\x01\x01", "\xa1\x01\x01"}},
			"YIELD.ArgumentsKw: expected",
		},
		{
			"MSG-42 error",
			list{8, 68, 1, dict{}, "a", list{}, raw{`{1:1}`, "\x81\x01\x01", "\xa1\x01\x01"}},
			"ERROR.ArgumentsKw: expected",
		},
		{"MSG-42 nested", pub(dict{}, list{raw{`{"1":2}`, "\x81\x01\x02", "\xa1\x01\x02"}},
			raw{`{"a":{"1":2}}`, "\x81\xa1a\x81\x01\x02", "\xbf\x61a\xa1\x01\x02\xff"}), ""},
		{"MSG-42 chunked text is text", pub(dict{}, list{}, raw{
			`{"ab":1}`, "\x81\xd9\x02ab\x01",
			"\xbf\x7f\x61a\x61b\xff\x01\xff",
		}), ""},
		{"MSG-42 short", pub(dict{}, list{}, raw{`{"a":1`, "\x82\xa1a\x01", "\xbf\x61a\x01"}), "PUBLISH"},

		{
			"PPT-14 unknown", pub(dict{"enc_algo": "cryptobox", "enc_serializer": "foo"}, []byte("x")),
			"PUBLISH.Options.enc_serializer: expected",
		},
		{"PPT-14 case", pub(dict{"enc_serializer": "JSON"}), "enc_serializer"},
		{"PPT-14 known", pub(dict{"enc_serializer": "json"}), ""},
		{"PPT-14 known", pub(dict{"enc_serializer": "msgpack"}), ""},
		{"PPT-14 known", pub(dict{"enc_serializer": "cbor"}), ""},
		{"PPT-14 known", pub(dict{"enc_serializer": "ubjson"}), ""},
		{"PPT-14 known", pub(dict{"enc_serializer": "flatbuffers"}), ""},
		{"PPT-14 absent", pub(dict{"enc_serializer": nil}), ""},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_a0_"}), ""},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_"}), ""},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_a"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_0a"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_Ab"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_aB"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x_ab-"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "y_ab"}), "enc_serializer"},
		{"PPT-14 extension", pub(dict{"enc_serializer": "x"}), "enc_serializer"},
		{"PPT-14 algorithm", pub(dict{"enc_algo": "x_zz"}, []byte("x")), ""},
		{"PPT-14 algorithm", pub(dict{"enc_algo": "x_é"}, []byte("x")), "enc_algo"},
		{"PPT-14 algorithm", pub(dict{"enc_algo": "x_Z"}, []byte("x")), "enc_algo"},
		{"PPT-14 yield", list{70, 1, dict{"enc_serializer": "foo"}}, "YIELD.Options.enc_serializer"},
		{"PPT-14 error", list{8, 68, 1, dict{"enc_serializer": "foo"}, "a"}, "ERROR.Details.enc_serializer"},

		{
			"MSG-43 binary in JSON", pub(dict{"enc_key": raw{`"\u0000QUJD"`, "\xa5\x00QUJD", "\x65\x00QUJD"}}),
			"PUBLISH.Options.enc_key: expected text",
		},
		{"MSG-43 bad base64", pub(dict{"ppt_keyid": "\x00!"}), "ppt_keyid"},
		{"MSG-43 later", pub(dict{"ppt_keyid": "a\x00QUJD"}), ""},
		{"MSG-43 empty", pub(dict{"enc_key": ""}), ""},
		{"MSG-43 UTF-8", pub(dict{"enc_key": unclean("a\xff")}), "enc_key: expected text"},
		{"MSG-43 binary", pub(dict{"enc_key": raw{`5`, "\xc4\x01a", "\x41a"}}), "enc_key: expected text"},
		{"MSG-43 list", pub(dict{"eligible_authid": list{"a", unclean("\xff")}}), "eligible_authid"},
		{"MSG-43 link", pub(dict{"forward_for": list{dict{"authid": unclean("\xff")}}}), "forward_for"},
		{
			"MSG-43 details",
			list{8, 68, 1, raw{"{\"\xff\":1}", "\x81\xa1\xff\x01", "\xa1\x61\xff\x01"}, "a"},
			"ERROR.Details: ",
		},
		{"ERROR.Details.callee", list{8, 68, 1, dict{"callee": "x"}, "a"}, "ERROR.Details.callee: expected an id"},
		{"ERROR.Details.callee_authid", list{8, 68, 1, dict{"callee_authid": 5}, "a"}, "callee_authid"},
	} {
		for _, ser := range serializers {
			_, err := decode(ser.s, encode(t, ser.s, c.message...))
			switch {
			case (err == nil) != (c.want == ""):
				t.Errorf("%s/%s: %v", c.id, ser.name, err)
			case err != nil && !strings.Contains(err.Error(), c.want) && ser.s != JSON: // some is malformed there
				t.Errorf("%s/%s: %v, want %q", c.id, ser.name, err, c.want)
			case err != nil && !utf8.ValidString(err.Error()):
				t.Errorf("%s/%s: %q is not UTF-8", c.id, ser.name, err)
			}
		}
	}
}

// TestUnknownList: a PUBLISH tells of the first option that looks like a black- or whitelist and is none; other
// messages, and what a Message held before, do not count. Finding out allocates nothing.
func TestUnknownList(t *testing.T) {
	for _, s := range []Serializer{JSON, MessagePack, CBOR} {
		var d Decoder
		var m Message
		for _, c := range []struct {
			message list
			want    string
		}{
			{list{16, 1, dict{"eligible_city": 1}, "a"}, "eligible_city"},
			{list{16, 1, dict{"eligible_authid": list{"a"}, "exclude_me": true, "xeligible_": 1}, "a"}, ""},
			{list{16, 1, dict{"exclude_x": nil}, "a"}, "exclude_x"},
			{list{32, 1, dict{"exclude_x": 1}, "a"}, ""},
			{list{16, 1, dict{"exclude_me": false, "eligible_": 1}, "a"}, "eligible_"},
		} {
			b := encode(t, s, c.message...)
			if err := d.Decode(s, b, &m); err != nil {
				t.Fatal(err)
			}
			if got := m.Options.UnknownList(); got != c.want || m.Options.HasUnknownList() != (c.want != "") {
				t.Errorf("%v %v: %q", s, c.message, got)
			}
			if n := testing.AllocsPerRun(10, func() {
				if d.Decode(s, b, &m) != nil || m.Options.HasUnknownList() != (c.want != "") {
					t.Fatal("another result")
				}
			}); n != 0 && !raceEnabled {
				t.Errorf("%v %v: %v allocations", s, c.message, n)
			}
		}
	}
}
