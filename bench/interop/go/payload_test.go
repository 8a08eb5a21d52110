package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"banyan/bench/interop/peer"
)

// canonical renders a value so that equal text means equal value and equal kind: integers, floats (by bits), text,
// binary. With loose numbers, integers and floats of one value are the same, as for decoders that know only float64.
func canonical(value any, loose bool) string {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return "nil"
	case reflect.Bool:
		return fmt.Sprint(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if loose {
			return canonical(float64(v.Int()), loose)
		}
		return fmt.Sprintf("i%d", v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if loose {
			return canonical(float64(v.Uint()), loose)
		}
		return fmt.Sprintf("i%d", v.Uint())
	case reflect.Float32, reflect.Float64:
		return fmt.Sprintf("f%016x", math.Float64bits(v.Float()))
	case reflect.String:
		if v.Len() > 1000 {
			return fmt.Sprintf("text of %d: %x", v.Len(), sha256.Sum256([]byte(v.String())))
		}
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice:
		if data, ok := value.([]byte); ok {
			return fmt.Sprintf("binary of %d: %x", len(data), sha256.Sum256(data))
		}
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = canonical(v.Index(i).Interface(), loose)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case reflect.Map:
		parts := map[string]string{}
		for key, item := range v.Seq2() {
			parts[fmt.Sprint(key.Interface())] = canonical(item.Interface(), loose)
		}
		rendered := "{"
		for _, key := range slices.Sorted(maps.Keys(parts)) {
			rendered += fmt.Sprintf("%q:%s ", key, parts[key])
		}
		return rendered + "}"
	}
	return fmt.Sprintf("%T", value)
}

// travels sends value as an event and through a call and back, as an argument and as a keyword argument.
func travels(value any) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) {
		loose := !s.library.TypedNumber(s.link)
		a, b := s.join(), s.join()
		var events inbox[peer.Event]
		s.subscribe(a, s.uri("topic"), "", events.put)
		s.register(a, s.uri("echo"), nil, echo)
		args, kwargs := []any{"value", value}, map[string]any{"value": value}
		s.must(b.Publish(s.uri("topic"), args, kwargs, nil))
		reply, err := b.Call(s.ctx, s.uri("echo"), args, kwargs, nil, nil)
		s.must(err)
		event := take(s, &events, 1)[0]
		want := canonical(args, loose) + canonical(kwargs, loose)
		for way, got := range map[string]string{
			"event":  canonical(event.Args, loose) + canonical(event.Kwargs, loose),
			"result": canonical(reply.Args, loose) + canonical(reply.Kwargs, loose),
		} {
			if got != want {
				t.Fatalf("%s: got %.600s, want %.600s", way, got, want)
			}
		}
	}
}

func binary(_ *peer.Library, link peer.Link) bool { return link.Serializer != "json" }

func typed(library *peer.Library, link peer.Link) bool { return library.TypedNumber(link) }

// typedBinary leaves JSON out: both encoders write 1.0 as 1.
func typedBinary(library *peer.Library, link peer.Link) bool {
	return typed(library, link) && binary(library, link)
}

func large(library *peer.Library, link peer.Link) bool { return library.MessageMax(link) > 4<<20 }

func largeBinary(library *peer.Library, link peer.Link) bool {
	return large(library, link) && binary(library, link)
}

// tooLong sends more than 1 MiB, the limit of the session under test, from a nexus session, which accepts more.
func tooLong(t *testing.T, s *stage) {
	small := s.join()
	link := peer.Link{Transport: "ws", Serializer: s.link.Serializer}
	big, err := peer.Nexus.Join(s.ctx, link, s.at, "realm1", peer.Login{})
	s.must(err)
	t.Cleanup(func() { _ = big.Leave() })
	long := strings.Repeat("x", 1<<20)
	var events inbox[string]
	s.subscribe(small, s.uri("topic"), "", func(e peer.Event) { events.put(fmt.Sprint(len(e.Args[0].(string)))) })
	s.register(small, s.uri("small"), nil, echo)
	s.register(big, s.uri("big"), nil, func(context.Context, peer.Call) peer.Reply {
		return peer.Reply{Args: []any{long}}
	})

	s.publish(big, s.uri("topic"), long)
	s.publish(big, s.uri("topic"), "short")
	s.same(take(s, &events, 1), []string{"5"})
	_, err = big.Call(s.ctx, s.uri("small"), []any{long}, nil, nil, nil)
	s.fails(err, "wamp.error.payload_size_exceeded")
	s.fails(s.call(small, s.uri("big")), "wamp.error.payload_size_exceeded")
	_, err = big.Call(s.ctx, s.uri("small"), []any{"both alive"}, nil, nil, nil)
	s.must(err)
}

var everyOctet = func() []byte {
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	return data
}()

// payloadCases are about PROTOCOL 14.
var payloadCases = []testCase{
	{"SER-08 null, true, false", nil, travels([]any{nil, true, false, map[string]any{"nil": nil}})},
	{"SER-06 small integers", nil, travels([]any{
		0, 1, -1, 23, 24, 127, 128, -32, -33, 255, 256, -128, -129, 65535, 65536,
	})},
	{"SER-06 integers around 2^31 and 2^32", nil, travels([]any{
		1<<31 - 1, 1 << 31, -1 << 31, -1<<31 - 1, 1<<32 - 1, 1 << 32,
	})},
	{"SER-06 integers around 2^53", nil, travels([]any{1<<53 - 1, 1 << 53, -1 << 53})},
	{"SER-06 integers beyond 2^53", typed, travels([]any{
		1<<53 + 1, math.MaxInt64, math.MinInt64,
		uint64(math.MaxUint64), uint64(1 << 63),
	})},
	{"SER-07 floats", nil, travels([]any{
		0.1, -0.5, 1e300, -1e-300, 123456.789, math.Pi, math.SmallestNonzeroFloat64,
		math.MaxFloat64,
	})},
	{"SER-07 floats that look like integers", typedBinary, travels([]any{
		1.0, -1.0, math.Copysign(0, -1),
		float64(1 << 53),
	})},
	{"SER-10 infinities", binary, travels([]any{math.Inf(1), math.Inf(-1)})},
	{"SER-11 text", nil, travels([]any{
		"", "\"quoted\" \\ / \b\f\n\r\t", "\x01\x1f\x7f", "</script>\u2028", "😀🏳️‍🌈",
		"e\u0301", "\U0010ffff", "שלום 日本語",
	})},
	{
		"SER-08 nested lists and maps", nil,
		travels(map[string]any{
			"a": []any{map[string]any{"b": []any{[]any{[]any{}}}}}, "": "empty key",
			"a.b c": "odd key",
		}),
	},
	{
		"SER-26 a list of 10 000 items and a map of 1 000 keys", nil,
		travels([]any{manyItems(10_000), manyKeys(1_000)}),
	},
	{
		"SER-01 binary of every octet, empty and long", binary,
		travels([]any{everyOctet, []byte{}, bytes.Repeat([]byte{0xff, 0}, 35_000)}),
	},
	{"SER-25 490 000 octets of text, twice in a message", nil, travels(strings.Repeat("ŵ", 245_000))},
	{"SER-25 1 MiB of text", large, travels(strings.Repeat("0123456789abcdeŵ", 61_681))},
	{"SER-25 1 MiB of binary", largeBinary, travels(bytes.Repeat(everyOctet, 4096))},
	{
		"RPC-20 RPC-21 PUB-57 TRN-27 what is longer than a client announced is refused or dropped, never sent",
		func(library *peer.Library, link peer.Link) bool { return library.MessageMax(link) == 1<<20 }, tooLong,
	},
}

func manyItems(n int) []any {
	items := make([]any, n)
	for i := range items {
		items[i] = i
	}
	return items
}

func manyKeys(n int) map[string]any {
	keys := make(map[string]any, n)
	for i := range n {
		keys[fmt.Sprint("key", i)] = i
	}
	return keys
}
