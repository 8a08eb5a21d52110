//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

func TestTRN18TRN19TRN20TRN22RawSocketHandshake(t *testing.T) {
	e := start(t, Config{}, echoes)
	small := start(t, Config{Live: Live{MessageBytesMax: 5000, PeerMessageBytesMin: 2000}}, echoes)
	for _, c := range []struct {
		id          string
		e           *Engine
		hello, want []byte
		open        bool
	}{
		{"TRN-18 json", e, []byte{0x7F, 0xF1, 0, 0}, []byte{0x7F, 0xF1, 0, 0}, true},
		{"TRN-18 msgpack, smallest limit", e, []byte{0x7F, 0x02, 0, 0}, []byte{0x7F, 0xF2, 0, 0}, true},
		{"TRN-18 own limit, rounded down", small, []byte{0x7F, 0xF3, 0, 0}, []byte{0x7F, 0x33, 0, 0}, true},
		{"TRN-19 serializer 0", e, []byte{0x7F, 0xF0, 0, 0}, []byte{0x7F, 0x10, 0, 0}, false},
		{"TRN-19 UBJSON", e, []byte{0x7F, 0xF4, 0, 0}, []byte{0x7F, 0x10, 0, 0}, false},
		{"TRN-19 serializer 15", e, []byte{0x7F, 0xFF, 0, 0}, []byte{0x7F, 0x10, 0, 0}, false},
		{"TRN-22 below the configured minimum", small, []byte{0x7F, 0x11, 0, 0}, []byte{0x7F, 0x20, 0, 0}, false},
		{"TRN-22 just above it", small, []byte{0x7F, 0x21, 0, 0}, []byte{0x7F, 0x31, 0, 0}, true},
		{"TRN-20 third octet", e, []byte{0x7F, 0xF1, 1, 0}, []byte{0x7F, 0x30, 0, 0}, false},
		{"TRN-20 fourth octet", e, []byte{0x7F, 0xF1, 0, 0x80}, []byte{0x7F, 0x30, 0, 0}, false},
	} {
		t.Run(c.id, func(t *testing.T) {
			p := dial(t, c.e)
			p.send(c.hello)
			p.expect(c.want)
			if !c.open {
				p.expectEnd()
				return
			}
			p.send(rawFrameOf([]byte("x")))
			p.expect(rawFrameOf([]byte("x")))
		})
	}
}

func TestTRN24RawSocketPing(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialRaw(t, e, codec.CBOR)
	long := bytes.Repeat([]byte("p"), 200_000)
	p.send(wire.AppendRawFrame(nil, wire.RawPing, []byte("payload")), wire.AppendRawFrame(nil, wire.RawPing, nil),
		rawFrameOf([]byte("m")),
		wire.AppendRawFrame(nil, wire.RawPong, []byte("unsolicited")), wire.AppendRawFrame(nil, wire.RawPing, long))
	p.expect(wire.AppendRawFrame(nil, wire.RawPong, []byte("payload")))
	p.expect(wire.AppendRawFrame(nil, wire.RawPong, nil))
	p.expect(rawFrameOf([]byte("m")))
	p.expect(wire.AppendRawFrame(nil, wire.RawPong, long))
}

func TestTRN25TRN26TRN29RawSocketBadPrefix(t *testing.T) {
	e := start(t, Config{Live: Live{MessageBytesMax: 1 << 20}}, echoes)
	for name, prefix := range map[string][]byte{
		"TRN-25 type 3":         {0x03},
		"TRN-25 type 7":         {0x07, 0, 0, 1, 'x'},
		"TRN-25 R bit":          {0x10},
		"TRN-25 all R bits":     {0xF0, 0, 0, 1, 'x'},
		"TRN-26 over the limit": {0x00, 0x10, 0x00, 0x01},
		"TRN-26 ping":           {0x01, 0xFF, 0xFF, 0xFF},
		"TRN-26 2^24":           {0x08, 0, 0, 0},
		"TRN-29 X and a length": {0x08, 0, 0, 1, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialRaw(t, e, codec.JSON)
			p.send(rawFrameOf([]byte("a")), prefix)
			p.expect(rawFrameOf([]byte("a")))
			p.expectEnd()
		})
	}
}

func TestTRN28LongestRawSocketMessage(t *testing.T) {
	t.Parallel()
	e := start(t, Config{}, echoes)
	p := dialRaw(t, e, codec.MessagePack)
	frame := rawFrameOf(bytes.Repeat([]byte("0123456789abcdef"), 1<<20))
	if !bytes.Equal(frame[:4], []byte{8, 0, 0, 0}) {
		t.Fatalf("% x", frame[:4])
	}
	go p.Write(frame)
	p.expect(frame)
}

func TestTRN30ZeroLengthMessage(t *testing.T) {
	e := start(t, Config{}, func(_ port.Executor, c port.Conn) port.Handler {
		return &session{
			c: c, violate: func(x port.Executor, s *session, v *codec.Violation) { reply(x, s.c, []byte("abort")) },
		}
	})
	p := dialRaw(t, e, codec.JSON)
	p.send([]byte{0, 0, 0, 0})
	p.expect(rawFrameOf([]byte("abort")))
	p.expectEnd()
}

func TestTRN31RawSocketCutAnywhere(t *testing.T) {
	e := start(t, Config{}, echoes)
	var in, want []byte
	in = append(in, 0x7F, 0xF1, 0, 0)
	want = append(want, 0x7F, 0xF1, 0, 0)
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 40 {
		frame := rawFrameOf(bytes.Repeat([]byte{byte('a' + i%26)}, 1+rnd.IntN(300)))
		in, want = append(in, frame...), append(want, frame...)
	}
	p := dial(t, e)
	p.send(in)
	p.expect(want)
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		p := dial(t, e)
		for rest := in; len(rest) > 0; {
			n := min(1+rnd.IntN(1+rnd.IntN(200)), len(rest))
			p.send(rest[:n])
			rest = rest[n:]
		}
		p.expect(want)
	}
	p = dial(t, e)
	for _, b := range in[:600] {
		p.send([]byte{b})
	}
	p.send(in[600:])
	p.expect(want)
}

func TestTRN32RawSocketSerializers(t *testing.T) {
	e := start(t, Config{}, func(_ port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, _ []byte) {
			reply(x, s.c, fmt.Appendf(nil, "%d %d %s %s", s.c.Variant().Serializer(), s.c.MessageBytesMax(),
				s.c.Peer().Transport, s.c.Peer().Network))
		}}
	})
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		p := dialRaw(t, e, s)
		p.send(rawFrameOf([]byte("?")))
		p.expect(rawFrameOf(fmt.Appendf(nil, "%d %d rawsocket tcp", s, 16<<20)))
	}
}

func TestTRN23TRN45SharedPort(t *testing.T) {
	e := start(t, Config{}, echoes)
	for first := range 256 {
		p := dial(t, e)
		switch {
		case first == 0x7F:
			p.send([]byte{0x7F, 0xF1, 0, 0})
			p.expect([]byte{0x7F, 0xF1, 0, 0})
		case first == '\r':
			p.send([]byte("\r\nX / HTTP/1.1\r\nHost: h\r\n\r\n"))
			if status, _ := p.readHead(); status != 405 {
				t.Errorf("an empty line first: %d", status)
			}
		case first >= 'A' && first <= 'Z', first >= 'a' && first <= 'z':
			p.send([]byte{byte(first)}, []byte("X / HTTP/1.1\r\nHost: h\r\n\r\n"))
			if status, _ := p.readHead(); status != 405 {
				t.Errorf("%#x: %d", first, status)
			}
		default:
			p.send([]byte{byte(first)})
			p.expectEnd()
		}
		p.Close()
	}
}

func TestTRN44UnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	seen := make(chan port.Peer, 2)
	e := start(t, Config{Listen: []string{"unix:" + path}}, func(x port.Executor, c port.Conn) port.Handler {
		seen <- *c.Peer()
		return echoes(x, c)
	})
	p := dialWS(t, e, "wamp.2.json")
	p.send(text("u"))
	p.expect(serverText("u"))
	q := dialRaw(t, e, codec.CBOR)
	q.send(rawFrameOf([]byte("u")))
	q.expect(rawFrameOf([]byte("u")))
	for range 2 {
		if s := <-seen; s.Network != "unix" || !s.Local || s.Address != "" || s.Transport == "" {
			t.Errorf("%+v", s)
		}
	}
	// A second engine must not take the place of one that lives.
	if _, err := New(Config{Listen: []string{"unix:" + path}}, echoes); err == nil {
		t.Fatal("took over a socket in use")
	}
	p.send(text("v"))
	p.expect(serverText("v"))
}

// A client that half-closes is a client that left: what was not sent yet is dropped.
func TestHalfCloseIsTheEnd(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialRaw(t, e, codec.JSON)
	p.send(rawFrameOf([]byte("a")))
	p.expect(rawFrameOf([]byte("a")))
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.ReadByte(); err != io.EOF {
		t.Fatal(err)
	}
	eventually(t, "disposed", func() bool { return e.Stats().Connections == 0 })
}
