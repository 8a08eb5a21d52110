package codec

import (
	"slices"
	"testing"
)

// TestRawParts: a list is taken apart into its items and a dictionary by its keys, whatever ends them.
func TestRawParts(t *testing.T) {
	for _, c := range []struct {
		s        Serializer
		list     string
		items    []string
		dict     string
		key, two string // of the key "b", and of the last of two "a"
	}{
		{
			JSON, ` [ 1 ,[2,{}], "]" , null ] `,
			[]string{`1`, `[2,{}]`, `"]"`, `null`},
			` { "a" : 1, "b":{"a":3}, "\u0061" : [2] } `, `{"a":3}`, `[2]`,
		},
		{
			MessagePack, "\x94\x01\x92\x02\x80\xa1]\xc0",
			[]string{"\x01", "\x92\x02\x80", "\xa1]", "\xc0"},
			"\x84\xa1a\x01\x05\xa1b\xa1b\x81\xa1a\x03\xa1a\x91\x02", "\x81\xa1a\x03", "\x91\x02",
		},
		{
			CBOR, "\x9f\x01\x82\x02\xa0\x61]\xf6\xff",
			[]string{"\x01", "\x82\x02\xa0", "\x61]", "\xf6"},
			"\xbf\x61a\x01\x05\x61b\x61b\xa1\x61a\x03\x61a\x9f\x02\xff\xff", "\xa1\x61a\x03", "\x9f\x02\xff",
		},
		{CBOR, "\x80", nil, "\xa2\x61a\x01\x61b\xf6", "\xf6", "\x01"},
		{JSON, `[]`, nil, `{"a":1,"b":null}`, `null`, `1`},
	} {
		list, dict := Raw{c.s, []byte(c.list)}, Raw{c.s, []byte(c.dict)}
		var items []string
		for _, item := range list.Items() {
			if item.Format != c.s {
				t.Errorf("an item of %q is in %d", c.list, item.Format)
			}
			items = append(items, string(item.Octets))
		}
		if !slices.Equal(items, c.items) {
			t.Errorf("%q has the items %q, want %q", c.list, items, c.items)
		}
		for key, want := range map[string]string{"b": c.key, "a": c.two} {
			if v, ok := dict.Entry(key); !ok || v.Format != c.s || string(v.Octets) != want {
				t.Errorf("%q at %s: %q, %t, want %q", c.dict, key, v.Octets, ok, want)
			}
		}
		if v, ok := dict.Entry("c"); ok || v.Octets != nil {
			t.Errorf("%q at c: %q", c.dict, v.Octets)
		}
		if _, ok := list.Entry("a"); ok || dict.Items() != nil {
			t.Errorf("%q is a dictionary, or %q a list", c.list, c.dict)
		}
	}
}

// TestOptionsOnly: of a dictionary some keys are left, with their values as they were and all they were given.
func TestOptionsOnly(t *testing.T) {
	for s, c := range map[Serializer]struct{ dict, want string }{
		JSON: {
			`{ "retain" : true, "other":[1], "rkey":"\u0061", "acknowledge":true,"rkey":"b"}`,
			`{"retain":true,"rkey":"\u0061","rkey":"b"}`,
		},
		MessagePack: {
			"\x83\xa6retain\xc3\xa4rkey\xd9\x01a\xabacknowledge\xc3", "\x82\xa6retain\xc3\xa4rkey\xd9\x01a",
		},
		CBOR: {"\xbf\x66retain\xf5\x64rkey\x7f\x61a\xff\xff", "\xa2\x66retain\xf5\x64rkey\x7f\x61a\xff"},
	} {
		o, err := PublishOptions(s, []byte(c.dict))
		if err != nil {
			t.Fatalf("%q: %v", c.dict, err)
		}
		if got := o.Only(KeyRkey, KeyRetain, KeyExclude); string(got) != c.want {
			t.Errorf("of %q is left %q, want %q", c.dict, got, c.want)
		}
		if got := o.Only(KeyExclude); len(mustValue(t, s, got).(dict)) != 0 {
			t.Errorf("of %q is left %q, want nothing", c.dict, got)
		}
	}
	var none Options
	none.format = JSON
	if got := none.Only(KeyRkey); string(got) != "{}" {
		t.Errorf("of nothing is left %q", got)
	}
}
