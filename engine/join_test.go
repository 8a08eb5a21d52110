//go:build linux

package engine

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"unsafe"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// patterned returns n bytes of which no two chunks are alike.
func patterned(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16) ^ seed
	}
	return b
}

// A message arrives whole and in its place however many chunks it takes: below, at and above the bounds of a chunk,
// over each transport, in one frame and in many.
func TestLongMessagesAreJoined(t *testing.T) {
	t.Parallel()
	e := start(t, Config{}, echoes)
	write := func(p *peer, b ...[]byte) {
		go func() { _, _ = p.Write(bytes.Join(b, nil)) }() // expect tells if it fails
	}
	raw, ws, text := dialRaw(t, e, codec.CBOR), dialWS(t, e, "wamp.2.cbor"), dialWS(t, e, "wamp.2.json")
	for i, n := range []int{chunkBytes - 1, chunkBytes, chunkBytes + 1, 2*chunkBytes + 1, 3*chunkBytes + 12_345} {
		m := patterned(n, byte(i))
		after := []byte("after")
		write(raw, rawFrameOf(m), rawFrameOf(after))
		raw.expect(rawFrameOf(m))
		raw.expect(rawFrameOf(after))

		write(ws, masked(0x02, m[:n/3]), masked(0x00, m[n/3:n/2]), masked(0x80, m[n/2:]), binaryMsg(after))
		ws.expect(frameFor(codec.MakeVariant(codec.CBOR, codec.WebSocket), m))
		ws.expect(frameFor(codec.MakeVariant(codec.CBOR, codec.WebSocket), after))

		letters := bytes.Repeat([]byte("ä"), n/2)
		write(text, masked(0x81, letters), masked(0x81, after))
		text.expect(frameFor(codec.MakeVariant(codec.JSON, codec.WebSocket), letters))
		text.expect(frameFor(codec.MakeVariant(codec.JSON, codec.WebSocket), after))
	}
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// A batch of several chunks is handled where it was joined, message by message, and a long one of its messages is
// kept without a copy.
func TestLongBatchIsJoined(t *testing.T) {
	const messages, each = 9, 400_000
	var got [][]byte
	done := make(chan struct{})
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			kept, pinned := c.Keep(b)
			if unsafe.SliceData(kept) != unsafe.SliceData(b) {
				t.Error("a message of a long batch was copied")
			}
			if n := c.(*conn).keptBytes; n != pinned || n < messages*each {
				t.Errorf("%d bytes are counted for it, %d pinned", n, pinned)
			}
			if n := x.(*loop).stats.partialBytes.Load(); n < messages*each {
				t.Errorf("%d bytes are counted for the batch", n)
			}
			got = append(got, kept)
			c.Hold(x)
			x.Async(func(context.Context) {}, c.Resume)
			if len(got) == messages {
				close(done)
			}
		}}
	})
	p := dialWS(t, e, "wamp.2.cbor.batched")
	var batch []byte
	for i := range messages {
		batch = append(batch, batchEntry(codec.MakeVariant(codec.CBOR, codec.WebSocketBatch),
			patterned(each, byte(i)))...)
	}
	p.send(binaryMsg(batch))
	<-done
	for i, b := range got {
		if !bytes.Equal(b, patterned(each, byte(i))) {
			t.Errorf("message %d has changed", i)
		}
	}
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// blockPool gives every worker of the pool something to do until release is closed.
func blockPool(t *testing.T, e *Engine) (release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	var busy sync.WaitGroup
	busy.Add(poolWorkers)
	on(e, 0, func(x port.Executor) {
		for range poolWorkers {
			x.Async(func(context.Context) { busy.Done(); <-release }, func(port.Executor) {})
		}
	})
	busy.Wait()
	return release
}

// While messages wait for the pool, of one loop it has joinsAtOnce at most; the other connections are served, a
// client that leaves costs nothing, and in the end every message is handled once.
func TestJoinsWaitForThePool(t *testing.T) {
	const long = 2*chunkBytes + 7
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) { reply(x, c, b[:3]) }}
	})
	for range 2 { // what is left of the first time is used again
		release := blockPool(t, e)
		before := e.Stats().ReadPauses
		var senders []*peer
		for i := range joinsAtOnce + 3 {
			p := dialRaw(t, e, codec.CBOR)
			senders = append(senders, p)
			p.send(rawFrameOf(patterned(long, byte(i))))
			eventually(t, "held", func() bool { return e.Stats().ReadPauses == before+int64(i)+1 })
		}
		if n := e.Stats().AsyncWork; n != int64(poolWorkers+joinsAtOnce) {
			t.Errorf("the pool has %d pieces of work, %d of them ours", n, poolWorkers)
		}
		if n := e.Stats().PartialBytes; n < int64(len(senders)+joinsAtOnce)*long {
			t.Errorf("%d bytes are counted", n)
		}
		on(e, 0, func(x port.Executor) {
			holders := int64(0)
			for _, c := range x.(*loop).conns {
				holders += c.held()
			}
			if n := e.Stats().PartialBytes; holders != n {
				t.Errorf("connections hold %d bytes of %d", holders, n)
			}
		})
		other := dialRaw(t, e, codec.CBOR)
		other.send(rawFrameOf([]byte("others go on")))
		other.expect(rawFrameOf([]byte("oth")))

		senders[0].reset() // the pool has its message
		senders[3].reset() // it waits for the pool
		eventually(t, "they are gone", func() bool { return e.Stats().Connections == int64(len(senders))-1 })
		close(release)
		for i, p := range senders {
			if i != 0 && i != 3 {
				p.expect(rawFrameOf(patterned(3, byte(i))))
				p.send(rawFrameOf([]byte("more")))
				p.expect(rawFrameOf([]byte("mor")))
				p.Close()
			}
		}
		other.Close()
		eventually(t, "nothing held", func() bool {
			s := e.Stats()
			return s.PartialBytes == 0 && s.HeldBytes == 0 && s.AsyncWork == 0 && s.Connections == 0
		})
	}
}

// The limit of a message holds across its frames and chunks, at n and n + 1.
func TestTRN08LimitOfChunks(t *testing.T) {
	t.Parallel()
	const limit = 3 * chunkBytes
	e := start(t, Config{Live: Live{MessageBytesMax: limit}}, echoes)
	for _, over := range []int{0, 1} {
		p := dialWS(t, e, "wamp.2.cbor")
		m := patterned(limit+over, 1)
		p.send(masked(0x02, m[:limit/2]), masked(0x00, m[limit/2:limit-10]))
		p.send(masked(0x80, m[limit-10:]))
		if over > 0 {
			p.expectClose(wire.CloseTooBig)
		} else {
			p.expect(frameFor(codec.MakeVariant(codec.CBOR, codec.WebSocket), m))
		}
	}
}
