//go:build linux

package engine

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/poll"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// No further message of a connection is handled while a quarter of its backlog is unsent answers, also of those that
// were read already.

// An indebted one is a connection with a backlog of 64 KiB whose session answers each message with so many octets.
type indebted struct {
	*conn
	k       *limitedTransport
	octets  int
	pieces  bool
	events  bool   // that it has asked for
	handled []byte // the first octet of each message
}

func newIndebted(t *testing.T, v codec.Variant, octets int) *indebted {
	t.Helper()
	phase := phaseRawSocket
	if v.Framing() != codec.RawSocket {
		phase = phaseWebSocket
	}
	c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, PingInterval: -1}, phase)
	o := &indebted{conn: c, k: &limitedTransport{}, octets: octets}
	c.transport, c.variant, c.announced, c.messageMax = o.k, v, 15, unlimited
	c.binary, c.batched = phase == phaseWebSocket, v.Framing() == codec.WebSocketBatch
	c.handler = &session{c: c, receive: func(x port.Executor, _ *session, b []byte) {
		o.handled = append(o.handled, b[0])
		if !o.answer(x.(*loop)) {
			t.Error("refused")
		}
	}}
	return o
}

func (o *indebted) answer(l *loop) bool {
	if o.events {
		o.AppendAsked(l, make([]byte, wire.RawPrefixBytes+o.octets), 1, 0)
		return true
	}
	o.Lock()
	defer o.Unlock()
	frame := make([]byte, wire.RawPrefixBytes+o.octets)
	if o.pieces {
		return o.AppendPieces(l, port.Reply, [][]byte{frame})
	}
	buf, ok := o.Tail(port.Reply)
	if ok {
		o.Commit(l, append(buf, frame...))
	}
	return ok
}

// read has the connection read so many messages in one go: a, b and so on.
func (o *indebted) read(count int) {
	var batch []byte
	for i := range count {
		m := bytes.Repeat([]byte{byte('a' + i)}, 3)
		switch {
		case o.batched:
			batch = append(batch, batchEntry(o.variant, m)...)
		case o.binary:
			o.k.in = append(o.k.in, binaryMsg(m)...)
		default:
			o.k.in = append(o.k.in, rawFrameOf(m)...)
		}
	}
	if o.batched {
		o.k.in = binaryMsg(batch)
	}
	o.onEvent(unix.EPOLLIN)
}

// rest has turns until there is nothing to do, and returns how many.
func (o *indebted) rest(t *testing.T) (turns int) {
	for more := true; more; more = o.loop.again {
		o.loop.turn(nil)
		if turns++; turns > 100 {
			t.Fatal("the loop is busy")
		}
	}
	return turns
}

// TRN-48: handling stops behind the answer that is too much, and goes on in order when the client has read; nothing
// is done meanwhile.
func TestAnswersHoldBackWhatIsRead(t *testing.T) {
	t.Attr("checklist", "TRN-48")
	for _, v := range []codec.Variant{
		codec.MakeVariant(codec.CBOR, codec.RawSocket), codec.MakeVariant(codec.CBOR, codec.WebSocket),
		codec.MakeVariant(codec.CBOR, codec.WebSocketBatch),
	} {
		for _, octets := range []int{6000, 6001, pieceLinked + 1} {
			o := newIndebted(t, v, octets)
			o.pieces, o.events = octets > pieceLinked, octets == 6001
			each := highWater(o.bounds())/octets + 1
			o.read(8)
			for range 3 {
				if n := o.rest(t); len(o.handled) != each || n > 10 {
					t.Fatalf("%v: %q handled at first, %d turns", v, o.handled, n)
				}
			}
			if n := o.loop.engine.Stats().ReadPauses; n != 1 || o.hold != holdBacklog {
				t.Errorf("%v: %d pauses, held for %b", v, n, o.hold)
			}
			for n := 2 * each; n < 8+each; n += each {
				o.k.room = each * (octets + wire.RawPrefixBytes)
				o.onEvent(unix.EPOLLOUT)
				if o.rest(t); string(o.handled) != "abcdefgh"[:min(n, 8)] {
					t.Fatalf("%v: %q handled with room for %d", v, o.handled, n)
				}
			}
			o.k.room = 1 << 20
			o.onEvent(unix.EPOLLOUT)
			if o.rest(t); o.hold != 0 || o.polled != poll.Read {
				t.Errorf("%v: held for %b, watched for %b", v, o.hold, o.polled)
			}
			if n := o.loop.engine.Stats().ReadPauses; n != int64(8/each) {
				t.Errorf("%v: %d pauses", v, n)
			}
		}
	}
}

// At a quarter it is handled still, and with one octet more it is not.
func TestAnswersHoldFrom(t *testing.T) {
	v := codec.MakeVariant(codec.CBOR, codec.RawSocket)
	o := newIndebted(t, v, 0)
	o.answer(o.loop)
	overhead := o.q.Answers()
	for more, want := range []int{2, 1} {
		o := newIndebted(t, v, highWater(o.bounds())-overhead+more)
		if o.read(2); len(o.handled) != want {
			t.Errorf("%d more: %q handled", more, o.handled)
		}
	}
}

// Answers that another loop appends hold back what was read before, too, when it would be handled; what is no answer
// does not, nor do answers on a connection that has no session.
func TestForeignAnswersHoldBack(t *testing.T) {
	for _, foreign := range []bool{true, false} {
		o := newIndebted(t, codec.MakeVariant(codec.CBOR, codec.RawSocket), 20_000)
		o.Hold(o.loop)
		o.in = append(takeBuffer(100), rawFrameOf([]byte("a"))...)
		l := o.loop
		if foreign {
			l = newLoop(l.engine, 1, &stillPoller{})
		}
		for range 2 {
			o.answer(l)
		}
		if (o.hold == holdSession) != foreign {
			t.Errorf("foreign %v: held for %b", foreign, o.hold)
		}
		o.Resume(o.loop)
		if l.flush(o.conn); foreign {
			o.loop.takeNotes()
		}
		if o.rest(t); len(o.handled) > 0 || o.hold != holdBacklog {
			t.Errorf("foreign %v: %q handled, held for %b", foreign, o.handled, o.hold)
		}
		o.k.room = 1 << 20
		o.onEvent(unix.EPOLLOUT)
		if o.rest(t); string(o.handled) != "a" {
			t.Errorf("foreign %v: %q handled afterwards", foreign, o.handled)
		}
		if n := o.loop.engine.Stats().ReadPauses; n != 3 { // the session's, for the answers before, and for that to a
			t.Errorf("foreign %v: %d pauses", foreign, n)
		}
	}
	o := newIndebted(t, codec.MakeVariant(codec.CBOR, codec.RawSocket), 20_000)
	o.Lock()
	buf, _ := o.Tail(port.Invocation)
	o.Commit(o.loop, append(buf, make([]byte, 20_000)...))
	o.Unlock()
	if o.hold != 0 {
		t.Error("held for an invocation")
	}
	o.handler = nil
	if o.answer(o.loop); o.hold != 0 {
		t.Error("held without a session")
	}
}

// Events that were asked for have the bound of events.
func TestAskedEventsAreBounded(t *testing.T) {
	c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, SlowConsumer: DropOldest, PingInterval: -1}, phaseRawSocket)
	for _, first := range "12345" {
		event := make([]byte, eventBytes)
		event[0] = byte(first)
		c.AppendAsked(c.loop, event, 1, 0)
	}
	if n := c.q.Answers(); n != 4*eventBytes {
		t.Errorf("%d bytes of answers", n)
	}
	if left := unsent(c); left != "2345" {
		t.Errorf("%s is left", left)
	}
	c.fail(port.CloseNormal, "")
	if c.AppendAsked(c.loop, []byte("x"), 1, 0); c.q.Bytes() != 0 {
		t.Error("taken behind the end")
	}
}
