package codec

import (
	"fmt"
	"strings"
	"testing"
)

// sample encodes m in s, with a payload given as Go values.
func sample(t testing.TB, s Serializer, m Message, dict map[string]any, args []any, kwargs map[string]any) []byte {
	t.Helper()
	enc := func(v any) []byte {
		b, err := AppendValue(nil, s, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m.Format, m.Payload.Format = s, s
	if dict != nil {
		m.Dict = enc(dict)
	}
	if args != nil {
		m.Payload.Args = enc(args)
	}
	if kwargs != nil {
		m.Payload.Kwargs = enc(kwargs)
	}
	b, err := Append(nil, s, &m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// payload256 is what a telemetry publisher sends: 319 octets as a MessagePack PUBLISH.
func payload256() ([]any, map[string]any) {
	args := []any{"sensor-0042", int64(1764080000123), 21.5, true, nil, []any{1, 2, 3, 4, 5, 6, 7, 8}}
	kwargs := map[string]any{
		"unit": "celsius", "site": "north-east-2", "level": 3, "note": strings.Repeat("lorem ipsum ", 13)[:155],
		"flags": map[string]any{"calibrated": true, "battery": 0.75},
	}
	return args, kwargs
}

func publish319(t testing.TB, s Serializer) []byte {
	args, kwargs := payload256()
	return sample(t, s, Message{Type: Publish, Request: 239714735, URI: []byte("com.example.site.sensor.reading")},
		nil, args, kwargs)
}

func benchMessages(t testing.TB, s Serializer) map[string][]byte {
	return map[string][]byte{
		"publish": publish319(t, s),
		"call": sample(t, s, Message{Type: Call, Request: 7814135, URI: []byte("com.example.add2")}, nil,
			[]any{23, 7}, nil),
		"yield": sample(t, s, Message{Type: Yield, Request: 6131533}, nil, []any{30}, nil),
		"options": sample(t, s, Message{Type: Publish, Request: 5, URI: []byte("com.example.topic")},
			map[string]any{"acknowledge": true, "exclude_me": false}, []any{"x"}, nil),
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, ser := range serializers {
		for _, name := range []string{"publish", "call", "yield", "options"} {
			msg := benchMessages(b, ser.s)[name]
			b.Run(fmt.Sprintf("ser=%s/msg=%s", ser.name, name), func(b *testing.B) {
				var d Decoder
				var m Message
				b.ReportAllocs()
				b.SetBytes(int64(len(msg)))
				for b.Loop() {
					if err := d.Decode(ser.s, msg, &m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	for _, from := range serializers {
		for _, to := range serializers {
			b.Run(fmt.Sprintf("from=%s/to=%s", from.name, to.name), func(b *testing.B) {
				var d Decoder
				var m Message
				if err := d.Decode(from.s, publish319(b, from.s), &m); err != nil {
					b.Fatal(err)
				}
				buf := make([]byte, 0, 1024)
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if buf, err = AppendEvent(buf[:0], to.s, 5512315355, 4429313566, nil, &m.Payload,
						MessageBytesMax); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, ser := range serializers {
		var d Decoder
		var m Message
		if err := d.Decode(ser.s, benchMessages(b, ser.s)["call"], &m); err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, 1024)
		details := Details{Publisher: &Identity{Session: 12345678901, AuthID: "alice", AuthRole: "user"}}
		b.Run("msg=invocation/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = AppendInvocation(buf[:0], ser.s, 17, 2103333224, nil, &m.Payload, MessageBytesMax)
			}
		})
		b.Run("msg=invocation_caller/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = AppendInvocation(buf[:0], ser.s, 17, 2103333224, &details, &m.Payload, MessageBytesMax)
			}
		})
		b.Run("msg=result/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = AppendResult(buf[:0], ser.s, 17, nil, &m.Payload, MessageBytesMax)
			}
		})
	}
}

func BenchmarkTranscode(b *testing.B) {
	for _, from := range serializers {
		for _, to := range serializers {
			if from == to {
				continue
			}
			b.Run(fmt.Sprintf("from=%s/to=%s", from.name, to.name), func(b *testing.B) {
				src := publish319(b, from.s)
				buf := make([]byte, 0, 1024)
				b.ReportAllocs()
				b.SetBytes(int64(len(src)))
				for b.Loop() {
					buf, _ = Transcode(buf[:0], src, from.s, to.s, MessageBytesMax)
				}
			})
		}
	}
}

func BenchmarkValidURI(b *testing.B) {
	u := []byte("com.example.site.sensor.reading")
	for b.Loop() {
		if !ValidURI(u, Exact, false) {
			b.Fatal("refused")
		}
	}
}

// The figures of the benchmarks are for a PUBLISH of the size that the design was calculated with.
func TestBenchmarkSize(t *testing.T) {
	if n := len(publish319(t, MessagePack)); n != 319 {
		t.Errorf("%d octets", n)
	}
}
