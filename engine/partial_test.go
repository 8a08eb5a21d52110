//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"unsafe"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// refundTask gives a connection its credit back at the end of the batch, so that it pauses after each message.
type refundTask struct{ c port.Conn }

func (t refundTask) EndOfBatch(x port.Executor) { t.c.Refund(x, 1) }

// B6: input that pauses after each of its messages is copied once at most, and goes on by itself although the client
// sends nothing more. Each message lies right behind the one before it, in the same memory; only behind the first
// pause of what lay in the read buffer there may be a new place.
func TestB6PausedInputIsNotCopiedAgain(t *testing.T) {
	rawSocket := func(t testing.TB, e *Engine) *peer { return dialRaw(t, e, codec.CBOR) }
	webSocket := func(t testing.TB, e *Engine) *peer { return dialWS(t, e, "wamp.2.cbor") }
	batched := func(t testing.TB, e *Engine) *peer { return dialWS(t, e, "wamp.2.cbor.batched") }
	whole := func(all []byte) []byte { return all }
	entry := batchEntry(codec.MakeVariant(codec.CBOR, codec.WebSocketBatch), bytes.Repeat([]byte("m"), 96))
	for _, c := range []struct {
		name     string
		dial     func(testing.TB, *Engine) *peer
		one      []byte // message
		all      func([]byte) []byte
		messages int
		moves    int64
	}{
		{"RawSocket", rawSocket, rawFrameOf([]byte("m")), whole, 300, 1},
		{"WebSocket", webSocket, binaryMsg([]byte("m")), whole, 300, 1},
		{"batch in one read", batched, entry, binaryMsg, 10, 1}, // moved out of the read buffer at the first pause
		// collected in a partial before its first message is handled
		{"batch of 1 MB", batched, entry, binaryMsg, 10_000, 0},
		{"batch of 10 MB", batched, entry, binaryMsg, 100_000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var next uintptr
			var moves, handled atomic.Int64
			e := start(t, Config{Live: Live{CreditBytes: 1}, Loops: 1},
				func(_ port.Executor, pc port.Conn) port.Handler {
					return &session{c: pc, receive: func(x port.Executor, s *session, b []byte) {
						if s.c.(*conn).credit.Load() <= 0 {
							t.Error("a message was handled without credit")
						}
						at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
						if handled.Load() > 0 && at != next {
							moves.Add(1)
						}
						next = at + uintptr(len(c.one))
						s.c.Spend(1)
						x.AtBatchEnd(refundTask{s.c})
						handled.Add(1)
					}}
				})
			c.dial(t, e).send(c.all(bytes.Repeat(c.one, c.messages)))
			eventually(t, "all handled", func() bool { return handled.Load() == int64(c.messages) })
			if n := moves.Load(); n > c.moves {
				t.Errorf("the input moved %d times in memory", n)
			}
			if n := e.Stats().ReadPauses; n < int64(c.messages)-1 {
				t.Errorf("%d pauses", n)
			}
			eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 })
		})
	}
}

// A message that was collected can be kept without a copy, and nobody writes to it afterwards. Any other message has
// to be copied.
func TestWholeMessageCanBeTaken(t *testing.T) {
	type taken struct{ got, want []byte }
	all := make(chan taken, 100)
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			if c.(*conn).takeMessage(b[1:]) != nil || c.(*conn).takeMessage(b[:len(b)-1]) != nil {
				t.Error("a part of a message was taken")
			}
			all <- taken{c.(*conn).takeMessage(b), bytes.Clone(b)}
			if c.(*conn).takeMessage(b) != nil {
				t.Error("taken twice")
			}
		}}
	})
	ws, raw := dialWS(t, e, "wamp.2.cbor"), dialRaw(t, e, codec.CBOR)
	batch := dialWS(t, e, "wamp.2.cbor.batched")
	var kept []taken
	take := func(want bool) {
		t.Helper()
		m := <-all
		if (m.got != nil) != want {
			t.Errorf("a message of %d octets was taken: %v", len(m.want), m.got != nil)
		}
		if want {
			kept = append(kept, m)
		}
	}
	for i := range byte(10) { // what is reset between two messages is used again
		long := bytes.Repeat([]byte{'a' + i}, 100_000)
		ws.send(binaryMsg(long))
		take(true)
		ws.send(masked(0x02, long[:10]), masked(0x80, long[:10]))
		take(true)
		ws.send(binaryMsg(long[:100]))
		take(false)
		raw.send(rawFrameOf(long))
		take(true)
		raw.send(rawFrameOf(long[:100]))
		take(false)
		v := codec.MakeVariant(codec.CBOR, codec.WebSocketBatch)
		batch.send(binaryMsg(append(batchEntry(v, long), batchEntry(v, long)...)))
		take(false)
		take(false)
	}
	for _, m := range kept {
		if !bytes.Equal(m.got, m.want) {
			t.Error("a taken message has changed")
		}
	}
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 })
}

// F4: what is allocated for a message follows the octets that arrived, and ends with the message or its connection.
func TestF4PartialBytesAreCounted(t *testing.T) {
	var end atomic.Value // of func(): what Receive does
	end.Store(func(port.Conn) {})
	e := start(t, Config{Live: Live{CreditBytes: 1}, Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			end.Load().(func(port.Conn))(c)
		}}
	})
	held := func() int64 { return e.Stats().PartialBytes }
	within := func(from, to int64) func() bool {
		return func() bool { n := held(); return n >= from && n <= to }
	}
	none := within(0, 0)

	p := dialRaw(t, e, codec.CBOR)
	long := rawFrameOf(make([]byte, 1<<20))
	p.send(long[:4+300_000])
	eventually(t, "counted", within(300_000, 600_000))
	p.send(long[4+300_000:])
	eventually(t, "handled", func() bool { return e.Stats().MessagesIn == 1 && none() })

	p.send(long[:4+300_000])
	eventually(t, "counted again", within(300_000, 600_000))
	p.Close()
	eventually(t, "the client left", none)

	p = dialWS(t, e, "wamp.2.cbor")
	p.send(binaryMsg(make([]byte, 500_000))[:200_000], []byte{})
	eventually(t, "WebSocket counted", within(190_000, 400_000))
	p.Close()
	eventually(t, "the WebSocket client left", none)

	// A batch that waits for credit holds its octets until its connection ends.
	paused := make(chan port.Conn, 1)
	end.Store(func(c port.Conn) { c.Spend(1); paused <- c })
	p = dialWS(t, e, "wamp.2.cbor.batched")
	v := codec.MakeVariant(codec.CBOR, codec.WebSocketBatch)
	one := batchEntry(v, make([]byte, 1000))
	p.send(binaryMsg(bytes.Repeat(one, 200)))
	eventually(t, "the batch waits", func() bool { return e.Stats().ReadPauses > 0 && held() >= 200_000 })
	on(e, 0, func(x port.Executor) {
		c := (<-paused)
		c.Lock()
		c.Finish(x, port.CloseNormal, "")
		c.Unlock()
	})
	eventually(t, "the batch is gone", none)

	end.Store(func(port.Conn) { panic("as told") })
	p = dialRaw(t, e, codec.CBOR)
	p.send(long)
	eventually(t, "the panic", func() bool { return e.Stats().Panics == 1 && none() })
}

// F4: the capacity is at most twice what is there, and at most the limit.
func TestF4GrowthFollowsWhatArrived(t *testing.T) {
	for _, limit := range []int{512, 1000, 1024, 5000, 64 << 10, 1<<20 + 1, 16 << 20} {
		for _, step := range []int{1, 7, 1000, 1024, 1025, 65536} {
			var b []byte
			for len(b) < min(limit, 200_000*step) {
				n := min(step, limit-len(b))
				b = append(grow(b, n, limit), make([]byte, n)...)
				if cap(b) > max(2*len(b), 1<<bufferShiftMin) || cap(b) > max(limit, 1<<bufferShiftMin) ||
					cap(b) < len(b) {
					t.Fatalf("limit %d, steps of %d: %d allocated for %d", limit, step, cap(b), len(b))
				}
			}
			giveBuffer(b)
		}
	}
}

// Every bound of a message, at n and n + 1: over both transports, both ways to read a frame, and in pieces.
func TestTRN08TRN26MessageLimits(t *testing.T) {
	t.Parallel()
	const limit = 1000
	e := start(t, Config{Live: Live{MessageBytesMax: limit}}, echoes)
	big := bytes.Repeat([]byte("x"), limit+1)
	for _, protocol := range []string{"wamp.2.msgpack", "wamp.2.json"} {
		first, answer := byte(wire.OpBinary), serverBin
		if protocol == "wamp.2.json" {
			first, answer = wire.OpText, func(b []byte) []byte { return serverText(string(b)) }
		}
		for name, frames := range map[string]func(n int) []byte{
			"one frame": func(n int) []byte { return masked(wire.BitFin|first, big[:n]) },
			"two frames": func(n int) []byte {
				return append(masked(first, big[:600]), masked(0x80, big[:n-600])...)
			},
			"an empty last": func(n int) []byte { return append(masked(first, big[:n]), masked(0x80, nil)...) },
		} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				p := dialWS(t, e, protocol)
				p.send(frames(limit))
				p.expect(answer(big[:limit]))
				p.send(frames(limit + 1))
				p.expectClose(1009)
			})
		}
	}
	for _, c := range []struct{ limit, announced int }{
		{1000, 512}, {1024, 1024}, {1<<24 - 1, 1 << 23}, {1 << 24, 1 << 24},
	} {
		t.Run(fmt.Sprintf("RawSocket %d", c.limit), func(t *testing.T) {
			var lines lineLog
			cfg := Config{Live: Live{MessageBytesMax: c.limit}, Log: slog.New(slog.NewTextHandler(&lines, nil))}
			e := start(t, cfg, echoes)
			p := dialRaw(t, e, codec.CBOR)
			for _, n := range []int{c.announced - 1, c.announced} {
				frame := rawFrameOf(make([]byte, n))
				go p.Write(frame)
				p.expect(frame)
			}
			if c.announced == wire.RawBytesMax {
				return // no prefix can announce more
			}
			p.send(wire.AppendRawFrame(nil, wire.RawMessage, make([]byte, c.announced+1))[:4])
			p.expectEnd()
			if n := e.Stats().TooBig; n != 1 {
				t.Errorf("%d too big", n)
			}
			if want := fmt.Sprintf("limit=%d ", c.announced); !lines.has(want) {
				t.Errorf("no line of the log has %q", want)
			}
		})
	}
}

// A PONG obeys the client's limit.
func TestTRN24PingOfTheClientsLimit(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dial(t, e)
	p.send([]byte{0x7F, 0x03, 0, 0}) // 512 octets
	p.expect([]byte{0x7F, 0xF3, 0, 0})
	p.send(wire.AppendRawFrame(nil, wire.RawPing, make([]byte, 512)))
	p.expect(wire.AppendRawFrame(nil, wire.RawPong, make([]byte, 512)))
	p.send(wire.AppendRawFrame(nil, wire.RawPing, make([]byte, 513)))
	p.expectEnd()
}
