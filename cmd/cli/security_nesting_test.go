package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A bomb is a value in one serializer that nests, or that promises more than comes.
type bomb struct {
	name  string
	value []byte
	fine  bool // not in itself: the session may stay
}

// nested is a value of that depth: a list in a list, or in a dictionary in a list, and so on.
func nested(s codec.Serializer, depth int, dicts bool) []byte {
	open := map[codec.Serializer][2]string{
		codec.JSON: {"[", `{"a":`}, codec.MessagePack: {"\x91", "\x81\xa1a"}, codec.CBOR: {"\x81", "\xa1\x61a"},
	}[s]
	var b, end bytes.Buffer
	for i := range depth {
		kind := 0
		if dicts && i%2 == 1 {
			kind = 1
		}
		b.WriteString(open[kind])
		if s == codec.JSON {
			end.WriteString([]string{"]", "}"}[kind])
		}
	}
	leaf := map[codec.Serializer]string{codec.JSON: "1", codec.MessagePack: "\x01", codec.CBOR: "\x01"}[s]
	b.WriteString(leaf)
	for i := end.Len() - 1; i >= 0; i-- {
		b.WriteByte(end.Bytes()[i])
	}
	return b.Bytes()
}

// bombs are what no message may contain.
func bombs(s codec.Serializer) []bomb {
	all := []bomb{
		{name: "65 lists", value: nested(s, 65, false)},
		{name: "65 lists and dictionaries", value: nested(s, 65, true)},
		{name: "10 000 lists", value: nested(s, 10_000, false)},
		{name: "1 000 000 lists", value: nested(s, 1_000_000, false)},
		{name: "400 000 lists and dictionaries", value: nested(s, 400_000, true)},
	}
	open := map[codec.Serializer]string{codec.JSON: "[", codec.MessagePack: "\x91", codec.CBOR: "\x81"}[s]
	all = append(all, bomb{name: "2 000 000 lists without an end", value: bytes.Repeat([]byte(open), 2_000_000)})
	few := func(name, text string) bomb { return bomb{name: name, value: []byte(text)} }
	many := func(name, text string, n int) bomb { return bomb{name: name, value: bytes.Repeat([]byte(text), n)} }
	switch s {
	case codec.MessagePack:
		all = append(
			all,
			few("a list of 2^32 items", "\xdd\xff\xff\xff\xff"),
			few("a dictionary of 2^32 keys", "\xdf\xff\xff\xff\xff"),
			few("a text of 4 GiB", "\xdb\xff\xff\xff\xff"),
			few("octets of 4 GiB", "\xc6\xff\xff\xff\xff"),
			few("an extension of 4 GiB", "\xc9\xff\xff\xff\xff\x01"),
			many("lists of 2^16 items in each other", "\xdc\xff\xff", 60),
		)
	case codec.CBOR:
		all = append(
			all,
			few("a list of 2^64 items", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
			few("a dictionary of 2^63 keys", "\xbb\x80\x00\x00\x00\x00\x00\x00\x00"),
			few("a text of 2^64 octets", "\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
			few("octets of 2^63", "\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
			many("lists without a length, in each other", "\x9f", 1_000_000),
			many("tags of tags", "\xc1", 1_000_000),
			many("a text in pieces without an end", "\x7f\x61a", 100_000),
		)
	case codec.JSON:
		all = append(
			all,
			bomb{name: "a number of 1 000 000 digits", value: bytes.Repeat([]byte("9"), 1_000_000), fine: true},
			bomb{name: "an exponent", value: []byte("1e999999999"), fine: true},
			many("texts without an end", `"\u0000`, 100_000),
			few("half a surrogate", `"\ud800`),
		)
	}
	return all
}

// messageOf is a message, a list, whose items are encoded already.
func messageOf(s codec.Serializer, items ...[]byte) []byte {
	switch s {
	case codec.JSON:
		return append(append([]byte("["), bytes.Join(items, []byte(","))...), ']')
	case codec.MessagePack:
		return append([]byte{0x90 | byte(len(items))}, bytes.Join(items, nil)...)
	default:
		return append([]byte{0x80 | byte(len(items))}, bytes.Join(items, nil)...)
	}
}

// attackNesting puts bombs into every place of a message, in every serializer, before and in a session. The session
// or the connection ends, or the request is refused; what is just allowed is served.
func attackNesting(t *testing.T, s *secured) {
	for _, serializer := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		value := func(v any) []byte {
			b, err := codec.AppendValue(nil, serializer, v)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		in := func(key string, b []byte) []byte { // a dictionary with one key
			switch serializer {
			case codec.JSON:
				return fmt.Appendf(nil, `{%q:%s}`, key, b)
			case codec.MessagePack:
				return append(append([]byte{0x81}, value(key)...), b...)
			default:
				return append(append([]byte{0xA1}, value(key)...), b...)
			}
		}
		dict, list := value(map[string]any{}), value([]any{})
		places := map[string]func(b []byte) []byte{
			"HELLO.Details": func(b []byte) []byte {
				return messageOf(serializer, value(1), value("other"), in("roles", in("caller", b)))
			},
			"authextra": func(b []byte) []byte {
				return messageOf(serializer, value(1), value("bank"), in("authextra", b))
			},
			"Options": func(b []byte) []byte {
				return messageOf(serializer, value(16), value(1), in("x", b), value("com.a"))
			},
			"Arguments": func(b []byte) []byte {
				return messageOf(serializer, value(48), value(1), dict, value("com.nobody"), b)
			},
			"ArgumentsKw": func(b []byte) []byte {
				return messageOf(serializer, value(16), value(1), dict, value("com.a"), list, in("x", b))
			},
			"the place of a number": func(b []byte) []byte { return messageOf(serializer, value(48), b) },
			"the place of a URI": func(b []byte) []byte {
				return messageOf(serializer, value(32), value(1), dict, b)
			},
			"the whole": func(b []byte) []byte { return b },
		}
		for place, message := range places {
			for _, b := range bombs(serializer) {
				if !everything() && len(b.value) > 1<<16 && place != "Arguments" {
					continue // a large one in each place: in the long part
				}
				t.Run(fmt.Sprintf("%s/%s/%s", client.SerializerName(serializer), place, b.name), func(t *testing.T) {
					t.Parallel()
					k := s.talk(t, "plain", client.Options{Serializer: serializer})
					if place != "HELLO.Details" && place != "authextra" {
						if _, _, err := k.JoinRaw(t.Context(), "other", ""); err != nil {
							t.Fatal(err)
						}
					}
					k.SetReadDeadline(time.Now().Add(patience))
					k.Queue(message(b.value))
					// Somebody who joined by it or stays in spite of it is told so by this.
					k.Queue(messageOf(serializer, value(48), value(2), dict, value("com.end")))
					for {
						answer, err := k.Receive()
						if errors.Is(err, os.ErrDeadlineExceeded) {
							t.Error("the session neither ends nor goes on")
						}
						if err != nil {
							return
						}
						var d codec.Decoder
						var m codec.Message
						if err := d.Decode(serializer, answer, &m); err != nil {
							t.Fatal(err)
						}
						if m.Type != codec.Abort && !b.fine {
							t.Errorf("message type %d", m.Type)
						}
						if m.Type == codec.Error && m.Request == 2 {
							return
						}
					}
				})
			}
		}
		// What is allowed: the message and its list of arguments are two of 64.
		k := s.talk(t, "plain", client.Options{Serializer: serializer})
		if _, _, err := k.JoinRaw(t.Context(), "other", ""); err != nil {
			t.Fatal(err)
		}
		k.SetReadDeadline(time.Now().Add(patience))
		k.Queue(places["Arguments"](nested(serializer, 63, true)))
		answer, err := k.Receive()
		var d codec.Decoder
		var m codec.Message
		if err != nil || d.Decode(serializer, answer, &m) != nil || m.Type != codec.Error {
			t.Errorf("%v: a call with arguments of depth 63: %v, message type %d", serializer, err, m.Type)
		}
	}
}
