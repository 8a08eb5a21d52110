//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"banyan/codec"
	"banyan/engine/port"
)

// The masking kernel of the library beside the definition.
func TestCipherAgainstDefinition(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		b := make([]byte, rnd.IntN(200))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		mask := [4]byte{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())}
		offset := rnd.IntN(9)
		want := bytes.Clone(b)
		for i := range want {
			want[i] ^= mask[(offset+i)%4]
		}
		start := rnd.IntN(len(b) + 1)
		ws.Cipher(b[:start], mask, offset)
		ws.Cipher(b[start:], mask, offset+start)
		if !bytes.Equal(b, want) {
			t.Fatalf("%d bytes from %d with offset %d", len(b), start, offset)
		}
	}
}

func TestTRN04TRN05FrameTypeFollowsSerializer(t *testing.T) {
	got := make(chan string, 100)
	e := start(t, Config{}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{
			c:       c,
			receive: func(x port.Executor, s *session, b []byte) { got <- "message"; reply(x, s.c, b) },
			violate: func(x port.Executor, s *session, v *codec.Violation) {
				got <- "violation"
				reply(x, s.c, []byte("abort"))
				s.c.Lock()
				s.c.Finish(x, port.CloseViolation, v.Reason)
				s.c.Unlock()
			},
		}
	})
	p := dialWS(t, e, "wamp.2.json")
	p.send(text("a"), binaryMsg([]byte("b")), text("c"))
	p.expect(serverText("a"))
	p.expect(serverText("abort"))
	p.expectClose(1002)
	p = dialWS(t, e, "wamp.2.cbor")
	p.send(binaryMsg([]byte("a")), text("b"), binaryMsg([]byte("c")))
	p.expect(serverBin([]byte("a")))
	p.expect(serverBin([]byte("abort")))
	p.expectClose(1002)
	var all []string
	for len(got) > 0 || len(all) < 4 {
		all = append(all, <-got)
	}
	if want := "[message violation message violation]"; fmt.Sprint(all) != want {
		t.Fatalf("%v", all)
	}
}

func TestTRN06FragmentsWithInterleavedPing(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialWS(t, e, "wamp.2.json")
	p.send(masked(0x01, []byte("ab")), ping("1"), masked(0x00, nil), masked(0x00, []byte("cd")), ping("2"),
		masked(0x80, []byte("ef")))
	p.expect(serverPong("1"))
	p.expect(serverPong("2"))
	p.expect(serverText("abcdef"))
	p.send(masked(0x01, nil), masked(0x80, []byte("x")), masked(0x01, []byte("y")), masked(0x80, nil))
	p.expect(serverText("x"))
	p.expect(serverText("y"))
}

func TestTRN07InvalidUTF8(t *testing.T) {
	e := start(t, Config{}, echoes)
	for name, frames := range map[string][]byte{
		"whole frame":                 text("ok\xFF"),
		"end of message":              text("\xE2\x82"),
		"across fragments":            append(masked(0x01, []byte("\xED")), masked(0x80, []byte("\xA0\x80"))...),
		"fails before the end":        masked(0x01, []byte("\xF4\x90")),
		"fails within a frame":        masked(0x81, []byte("abc\xC0 and much more"))[:6+4],
		"unfinished at last fragment": append(masked(0x01, []byte("a\xF0\x9F")), masked(0x80, []byte("\x98"))...),
	} {
		t.Run(name, func(t *testing.T) {
			p := dialWS(t, e, "wamp.2.json")
			p.send(frames)
			p.expectClose(1007)
		})
	}
	p := dialWS(t, e, "wamp.2.json")
	p.send(masked(0x01, []byte("a\xF0\x9F")), masked(0x00, []byte("\x98")), masked(0x80, []byte("\x80z")))
	p.expect(serverText("a\U0001F600z"))
}

func TestTRN08MessageAboveLimit(t *testing.T) {
	e := start(t, Config{Live: Live{MessageBytesMax: 1000}}, echoes)
	fits := strings.Repeat("x", 1000)
	for name, frames := range map[string][]byte{
		"announced":  masked(0x81, make([]byte, 1001))[:8],
		"fragmented": append(masked(0x01, []byte(fits)), masked(0x80, []byte("x"))[:6]...),
		"huge":       {0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialWS(t, e, "wamp.2.json")
			p.send(text(fits))
			p.expect(serverText(fits))
			p.send(frames)
			p.expectClose(1009)
		})
	}
	if e.Stats().TooBig != 3 {
		t.Errorf("counted %d", e.Stats().TooBig)
	}
}

func TestTRN09FramingErrors(t *testing.T) {
	e := start(t, Config{}, echoes)
	for name, frame := range map[string][]byte{
		"unmasked":                  serverText("x"),
		"RSV1":                      {0xC1},
		"RSV2":                      {0xA1},
		"RSV3":                      {0x91},
		"RSV1 on ping":              {0xC9},
		"opcode 3":                  {0x83},
		"opcode 7":                  {0x87},
		"opcode 11":                 {0x8B},
		"opcode 15":                 {0x8F},
		"fragmented ping":           {0x09},
		"ping of 126":               masked(0x89, make([]byte, 126)),
		"continuation of nothing":   {0x80},
		"message within a message":  append(masked(0x01, []byte("a")), 0x81),
		"length with the top bit":   {0x81, 0xFF, 0x80},
		"unmasked, only the header": {0x81, 0x05},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialWS(t, e, "wamp.2.json")
			p.send(text("before"), frame, text("after"))
			p.expect(serverText("before"))
			p.expectClose(1002)
		})
	}
}

func TestTRN10TRN53Close(t *testing.T) {
	e := start(t, Config{}, echoes)
	closing := func(code int, reason string) []byte {
		return masked(0x88, append([]byte{byte(code >> 8), byte(code)}, reason...))
	}
	check := func(name string, frame []byte, want port.CloseCode) {
		t.Helper()
		p := dialWS(t, e, "wamp.2.json")
		p.send(text("last"), frame, text("ignored"), ping("ignored"))
		p.expect(serverText("last"))
		t.Log(name)
		p.expectClose(want)
		p.Close()
	}
	for _, code := range []int{
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
	} {
		check(fmt.Sprint(code), closing(code, "bye"), port.CloseCode(code))
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		check(fmt.Sprint(code), closing(code, ""), 1002)
	}
	check("none", masked(0x88, nil), 1000)
	check("one octet", masked(0x88, []byte{3}), 1002)
	check("longest reason", closing(1000, strings.Repeat("r", 123)), 1000)
	check("reason too long", closing(1000, strings.Repeat("r", 124)), 1002)
	check("reason not UTF-8", closing(1000, "\xFF"), 1007)
	eventually(t, "sessions disposed", func() bool { return e.Stats().Sessions == 0 && e.Stats().Connections == 0 })
}

func TestTRN11FramesInTheSegmentOfTheUpgrade(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dial(t, e)
	p.send(upgradeRequest("wamp.2.json"), text("one"), text("two"), masked(0x81, []byte("three"))[:5])
	if status, _ := p.readHead(); status != 101 {
		t.Fatal(status)
	}
	p.expect(serverText("one"))
	p.expect(serverText("two"))
	p.send(masked(0x81, []byte("three"))[5:])
	p.expect(serverText("three"))
}

func TestTRN12OneByteAtATime(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dial(t, e)
	for _, b := range append(upgradeRequest("wamp.2.json"), append(append(text("hällo"), ping("p")...),
		masked(0x81, []byte(strings.Repeat("y", 300)))...)...) {
		p.send([]byte{b})
	}
	if status, _ := p.readHead(); status != 101 {
		t.Fatal(status)
	}
	p.expect(serverText("hällo"))
	p.expect(serverPong("p"))
	p.expect(serverText(strings.Repeat("y", 300)))
}

func TestTRN13TRN14TRN15Batches(t *testing.T) {
	e := start(t, Config{}, echoes)
	for _, c := range []struct {
		id, protocol string
		v            codec.Variant
	}{
		{"TRN-13", "wamp.2.json.batched", codec.MakeVariant(codec.JSON, codec.WebSocketBatch)},
		{"TRN-14", "wamp.2.json.batched", codec.MakeVariant(codec.JSON, codec.WebSocketBatchOld)},
		{"TRN-15", "wamp.2.msgpack.batched", codec.MakeVariant(codec.MessagePack, codec.WebSocketBatch)},
		{"TRN-15", "wamp.2.cbor.batched", codec.MakeVariant(codec.CBOR, codec.WebSocketBatch)},
	} {
		t.Run(c.id+" "+c.protocol, func(t *testing.T) {
			first := byte(0x82)
			if c.v.Serializer() == codec.JSON {
				first = 0x81
			}
			p := dialWS(t, e, c.protocol)
			var batch []byte
			for _, m := range []string{"[1]", "[22]", "[333]"} {
				batch = append(batch, batchEntry(c.v, []byte(m))...)
			}
			p.send(masked(first, batch), masked(first, batchEntry(c.v, []byte("[4]"))))
			for _, m := range []string{"[1]", "[22]", "[333]", "[4]"} {
				p.expect(frameFor(c.v, []byte(m)))
			}
		})
	}
}

func TestTRN16TRN17BrokenBatches(t *testing.T) {
	e := start(t, Config{}, echoes)
	json := codec.MakeVariant(codec.JSON, codec.WebSocketBatch)
	pack := codec.MakeVariant(codec.MessagePack, codec.WebSocketBatch)
	for _, c := range []struct {
		id string
		v  codec.Variant
		b  string
	}{
		{"TRN-16 json", json, ""},
		{"TRN-16 msgpack", pack, ""},
		{"TRN-17 no terminator", json, "[1]"},
		{"TRN-17 garbage after", json, "[1]\x1e[2]"},
		{"TRN-17 truncated length", pack, "\x00\x00\x00"},
		{"TRN-17 truncated message", pack, "\x00\x00\x00\x02x"},
	} {
		t.Run(c.id, func(t *testing.T) {
			first, protocol := byte(0x82), "wamp.2.msgpack.batched"
			if c.v == json {
				first, protocol = 0x81, "wamp.2.json.batched"
			}
			p := dialWS(t, e, protocol)
			p.send(masked(first, []byte(c.b)))
			if strings.HasPrefix(c.b, "[1]\x1e") {
				p.expect(frameFor(c.v, []byte("[1]"))) // what came before the fault takes effect
			}
			p.expectClose(1002)
		})
	}
}

func TestEmptyMessageIsAViolation(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialWS(t, e, "wamp.2.json")
	p.send(text(""))
	p.expectClose(1002)
	p = dialWS(t, e, "wamp.2.json")
	p.send(masked(0x01, nil), masked(0x80, nil))
	p.expectClose(1002)
}

// The first pings of a read are answered each, of the rest only the last. The count begins again with the next read.
func TestPingFloodIsCoalesced(t *testing.T) {
	cfg := Config{}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	c := newStillConn(newEngine(cfg, nil))
	c.phase = phaseWebSocket
	for _, pings := range []int{
		1, pongsPerRead - 1, pongsPerRead, pongsPerRead + 1, pongsPerRead + 2, 500, pongsPerRead + 1, 1,
	} {
		var flood []byte
		for i := range pings {
			flood = append(flood, ping(fmt.Sprintf("%03d", i))...)
		}
		if used := c.handle(flood); used != len(flood) {
			t.Fatalf("used %d of %d", used, len(flood))
		}
		var got []byte
		c.q.Flush((*capture)(&got), nil, 0, 0)
		want := min(pings, pongsPerRead+1)
		if n := len(got) / 5; n != want || string(got[len(got)-3:]) != fmt.Sprintf("%03d", pings-1) {
			t.Errorf("%d pings: %d pongs, the last %q", pings, n, got[len(got)-3:])
		}
	}
}

// Control frames have 125 octets at most.
func TestTRN09LongestControlFrames(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialWS(t, e, "wamp.2.json")
	longest := strings.Repeat("p", 125)
	p.send(ping(longest))
	p.expect(serverPong(longest))
	p.send(ping(longest + "p"))
	p.expectClose(1002)
}

// B11: the reason that a session gives may hold anything; the client gets valid text of 123 octets at most.
func TestCloseReasonIsValidText(t *testing.T) {
	for _, reason := range []string{"roles: \xFF", strings.Repeat("x", 122) + "\u00E4", strings.Repeat("\xFE", 500)} {
		e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
				c.Lock()
				c.Finish(x, port.CloseViolation, reason)
				c.Unlock()
			}}
		})
		p := dialWS(t, e, "wamp.2.json")
		p.send(text("x"))
		got, err := io.ReadAll(p.r)
		if err != nil || len(got) < 4 || got[0] != 0x88 || int(got[1]) != len(got)-2 || got[1] > 125 ||
			!utf8.Valid(got[4:]) {
			t.Errorf("%q: %q %v", reason, got, err)
		}
	}
}

// The whole 16 MiB, in one frame, in many, and with each length form.
func TestTRN54LongestMessages(t *testing.T) {
	t.Parallel()
	e := start(t, Config{}, echoes)
	p := dialWS(t, e, "wamp.2.msgpack")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	for _, n := range []int{1, 125, 126, 127, 65535, 65536, 65537, 1 << 20, 16 << 20} {
		go p.Write(binaryMsg(big[:n]))
		p.expect(serverBin(big[:n]))
	}
	var frames []byte
	for at := 0; at < 4<<20; at += 4096 {
		first := byte(0x00)
		if at == 0 {
			first = 0x02
		}
		frames = append(frames, masked(first, big[at:at+4096])...)
	}
	go p.Write(append(frames, masked(0x80, nil)...))
	p.expect(serverBin(big[:4<<20]))
}
