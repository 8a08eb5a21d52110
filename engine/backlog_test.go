//go:build linux

package engine

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// A client that pipelines requests and never reads is not read from before its answers fill the queue; when it reads,
// all of it comes.
func TestTRN48PipeliningWithoutReadingIsHeldBack(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	var most atomic.Int64
	e := start(t, Config{Live: Live{BacklogBytesMax: limit}, Loops: 1},
		func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
				if !reply(x, c, bytes.Repeat(b, 16)) {
					t.Error("refused")
				}
				c.Lock()
				most.Store(max(most.Load(), int64(c.(*conn).q.Bytes())))
				c.Unlock()
			}}
		})
	other := dialRaw(t, e, codec.CBOR)
	p := dialRaw(t, e, codec.CBOR)
	const calls = 40_000
	sent := make(chan error)
	go func() {
		var err error
		for i := 0; i < calls && err == nil; i += 100 {
			var b []byte
			for k := range 100 {
				b = append(b, rawFrameOf(binary.BigEndian.AppendUint64(nil, uint64(i+k)))...)
			}
			_, err = p.Write(b)
		}
		sent <- err
	}()
	eventually(t, "held back", func() bool { return e.Stats().ReadPauses > 0 })
	other.send(rawFrameOf([]byte("o"))) // others are not affected
	other.expect(rawFrameOf(bytes.Repeat([]byte("o"), 16)))
	for i := range calls {
		p.expect(rawFrameOf(bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(i)), 16)))
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	// Of answers a segment counts until it is written whole, so the queue may be shorter than the limit by a segment.
	if n := most.Load(); n > limit/4+readBytes*16 || n < limit/4-64<<10 {
		t.Fatalf("the queue grew to %d", n)
	}
	if e.Stats().SlowConsumersClosed != 0 {
		t.Fatal("closed")
	}
}

// overload opens one connection that does not read and appends events on its loop until something happens.
func overload(t *testing.T, cfg Config, append func(x port.Executor, c port.Conn) bool) (*Engine, *peer) {
	t.Helper()
	cfg.Loops = 1
	cfg.BacklogBytesMax = 256 << 10
	e := start(t, cfg, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			if string(b) != "start" {
				reply(x, c, b)
				return
			}
			var step func(x port.Executor)
			step = func(x port.Executor) {
				if append(x, c) {
					x.Post(0, 1, &countJob{members: 1, end: step})
				}
			}
			step(x)
		}}
	})
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("start")))
	return e, p
}

func TestTRN48SlowConsumerIsDisconnected(t *testing.T) {
	event := rawFrameOf(make([]byte, 10_000))
	e, _ := overload(t, Config{}, func(x port.Executor, c port.Conn) bool {
		c.AppendRun(x, event, 1, 0)
		return !c.(*conn).finished.Load()
	})
	eventually(t, "closed", func() bool { return e.Stats().Connections == 0 })
	if s := e.Stats(); s.SlowConsumersClosed != 1 || s.EventsDropped != 0 || s.EventsLost == 0 {
		t.Fatalf("%+v", s)
	}
}

// Credit that is spent at the end of a batch, when no message is being handled, pauses all the same.
func TestR1CreditSpentAtBatchEnd(t *testing.T) {
	e := start(t, Config{Live: Live{CreditBytes: 10}, Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			reply(x, c, b)
			if string(b) == "spend" {
				x.AtBatchEnd(spendTask{c})
			}
		}}
	})
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("spend")))
	p.expect(rawFrameOf([]byte("spend")))
	p.send(rawFrameOf([]byte("waits")))
	eventually(t, "paused", func() bool { return e.Stats().ReadPauses == 1 })
	if n := e.Stats().MessagesIn; n != 1 {
		t.Fatalf("%d messages handled", n)
	}
	c := make(chan bool)
	e.loops[0].post(note{kind: noteJob, job: &countJob{members: 1, end: func(x port.Executor) {
		for _, other := range x.(*loop).conns {
			other.Refund(x, 100)
		}
		close(c)
	}}})
	<-c
	p.expect(rawFrameOf([]byte("waits")))
}

type spendTask struct{ c port.Conn }

func (s spendTask) EndOfBatch(port.Executor) { s.c.Spend(100) }

func TestTRN48SlowConsumerDropsNewest(t *testing.T) {
	sent := 0
	var taken []int // the others were dropped
	done := make(chan struct{})
	e, p := overload(t, Config{Live: Live{SlowConsumer: DropNewest}}, func(x port.Executor, c port.Conn) bool {
		frame := rawFrameOf(binary.BigEndian.AppendUint64(make([]byte, 10_000), uint64(sent)))
		dropped := &x.(*loop).stats.eventsDropped
		before := dropped.Load()
		c.AppendRun(x, frame, 1, 0)
		if dropped.Load() == before {
			taken = append(taken, sent)
		}
		c.Lock()
		defer c.Unlock()
		if n := c.(*conn).q.Bytes(); n > 256<<10 {
			t.Errorf("queue of %d bytes", n)
		}
		sent++
		if dropped.Load() < 10 {
			return true
		}
		close(done) // the loop writes nothing of the test's any more
		return false
	})
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("nothing was dropped")
	}
	if n := e.Stats().EventsDropped; n != 10 {
		t.Errorf("%d dropped", n)
	}
	// What was queued before the drops arrives, whole and in order, as soon as the client reads.
	if len(taken) != sent-10 {
		t.Errorf("%d taken of %d", len(taken), sent)
	}
	for _, i := range taken {
		p.expect(rawFrameOf(binary.BigEndian.AppendUint64(make([]byte, 10_000), uint64(i))))
	}
	p.send(rawFrameOf([]byte("still there")))
	p.expect(rawFrameOf([]byte("still there")))
}

// Drops have one line for each episode of each connection, and one when the connection ends.
func TestDropsAreLogged(t *testing.T) {
	var lines lineLog
	c, p := newSilent(t, Live{BacklogBytesMax: 64 << 10, SlowConsumer: DropNewest, PingInterval: -1}, phaseRawSocket)
	l := c.loop
	l.engine.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	l.engine.now = func() int64 { return int64(p.now) }
	c.transport = &limitedTransport{}
	c.peer.Address = "192.0.2.1:5"
	event := make([]byte, 40<<10)
	drop := func(after time.Duration, line ...string) {
		t.Helper()
		p.now += after
		l.began = p.now
		lines.clear()
		c.AppendRun(l, event, 3, 0)
		all := append(line, "level=WARN", "peer=192.0.2.1:5", "limit=65536", "backlog-bytes-max")
		if lines.has(all...) != (len(line) > 0) || lines.has("level") != (len(line) > 0) {
			t.Errorf("after %v: %q", after, lines.b.String())
		}
	}
	drop(0) // taken
	drop(time.Second, "dropped=3")
	for range 5 {
		drop(dropsPause - 1)
	}
	drop(dropsPause, "dropped=21")
	if n := l.engine.Stats().EventsDropped; n != 21 {
		t.Errorf("%d are counted", n)
	}
	p.now += time.Second
	c.closeNow()
	if !lines.has("level=WARN", "has ended", "events_dropped=21", "events_lost=3", "peer=192.0.2.1:5") {
		t.Errorf("%q", lines.b.String())
	}
	// Without drops there is no such line.
	c, _ = newSilent(t, Live{}, phaseRawSocket)
	lines.clear()
	c.loop.engine.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
	c.transport = &limitedTransport{}
	c.AppendRun(c.loop, event, 3, 0)
	c.closeNow()
	if lines.has("level") {
		t.Errorf("%q", lines.b.String())
	}
}

func TestInvocationsAreRefusedAndRepliesHaveAReserve(t *testing.T) {
	message := make([]byte, 10_000)
	var refusedAt, lastBytes int
	e, _ := overload(t, Config{}, func(x port.Executor, c port.Conn) bool {
		c.Lock()
		defer c.Unlock()
		class := port.Invocation
		if refusedAt > 0 {
			class = port.Reply
		}
		lastBytes = c.(*conn).q.Bytes()
		buf, ok := c.Tail(class)
		switch {
		case ok:
			c.Commit(x, append(buf, rawFrameOf(message)...))
		case class == port.Invocation:
			refusedAt = lastBytes
		default:
			return false
		}
		return true
	})
	eventually(t, "closed", func() bool { return e.Stats().Connections == 0 })
	const bound = 256 << 10
	if refusedAt < bound || refusedAt > bound+10_004 || lastBytes < bound*5/4 || lastBytes > bound*5/4+10_004 {
		t.Fatalf("invocations refused at %d, replies at %d", refusedAt, lastBytes)
	}
	if e.Stats().SlowConsumersClosed != 1 {
		t.Fatal("not counted")
	}
}

// TRN-48: writability after a block is seen at home and everything arrives.
func TestBlockedConnectionResumes(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-48")
	for _, foreign := range []bool{false, true} {
		const runs = 5000
		e := start(t, Config{Loops: 2}, func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
				write := func(x port.Executor) {
					for i := range runs {
						reply(x, c, binary.BigEndian.AppendUint64(make([]byte, 3000), uint64(i)))
					}
				}
				if foreign {
					x.Post(1-x.Loop(), 1, &countJob{members: 1, end: write})
				} else {
					write(x)
				}
			}}
		})
		p := dialRaw(t, e, codec.CBOR)
		p.send(rawFrameOf([]byte("start")))
		eventually(t, "writing", func() bool { return e.Stats().BytesOut > 100_000 })
		for i := range runs {
			p.expect(rawFrameOf(binary.BigEndian.AppendUint64(make([]byte, 3000), uint64(i))))
		}
	}
}

// Paused and blocked at once: the poller is asked for writability only. What was queued is delivered, a client that
// goes away is noticed, and reading goes on when the credit is back.
func TestPausedAndBlocked(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	conns := make(chan port.Conn, 2)
	e := start(t, Config{Live: Live{CreditBytes: 1}, Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		conns <- c
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			if string(b) != "go" {
				reply(x, c, b)
				return
			}
			c.Spend(1)
			for i := range 16 {
				reply(x, c, bytes.Repeat([]byte{byte(i)}, size))
			}
		}}
	})
	polled := func(c port.Conn) (is poll.Interest) {
		done := make(chan bool)
		on(e, 0, func(port.Executor) {
			is = c.(*conn).polled
			close(done)
		})
		<-done
		return is
	}
	p := dialRaw(t, e, codec.CBOR)
	c := <-conns
	p.send(rawFrameOf([]byte("go")), rawFrameOf([]byte("after")))
	eventually(t, "only writability is watched", func() bool { return polled(c) == poll.Write })
	for i := range 16 {
		p.expect(rawFrameOf(bytes.Repeat([]byte{byte(i)}, size)))
	}
	eventually(t, "only its end is watched", func() bool { return polled(c) == poll.Ends })
	on(e, 0, func(x port.Executor) { c.Refund(x, 1) })
	p.expect(rawFrameOf([]byte("after")))
	eventually(t, "reading is watched", func() bool { return polled(c) == poll.Read })

	q := dialRaw(t, e, codec.CBOR)
	d := <-conns
	q.send(rawFrameOf([]byte("go")))
	eventually(t, "only writability is watched", func() bool { return polled(d) == poll.Write })
	_ = q.Conn.(*net.TCPConn).SetLinger(0)
	q.Close()
	eventually(t, "the reset is noticed", func() bool { return e.Stats().Connections == 1 })
}

// A callee that does not read its invocations is still read from: it may be waiting for that before it reads on.
func TestInvocationsDoNotHoldBackReading(t *testing.T) {
	const limit = 1 << 20
	conns := make(chan port.Conn, 1)
	e := start(t, Config{Live: Live{BacklogBytesMax: limit}, Loops: 1},
		func(x port.Executor, c port.Conn) port.Handler {
			conns <- c
			return &session{c: c}
		})
	p := dialRaw(t, e, codec.CBOR)
	c := <-conns
	full := make(chan int)
	var fill func(x port.Executor)
	fill = func(x port.Executor) {
		c.Lock()
		buf, ok := c.Tail(port.Invocation)
		if ok {
			c.Commit(x, append(buf, rawFrameOf(make([]byte, 10_000))...))
		}
		bytes := c.(*conn).q.Bytes()
		c.Unlock()
		if ok {
			x.Post(0, 1, &countJob{members: 1, end: fill})
			return
		}
		full <- bytes
	}
	on(e, 0, fill)
	if n := <-full; n < limit {
		t.Fatalf("refused at %d", n)
	}
	p.send(rawFrameOf([]byte("result")))
	eventually(t, "the result is taken", func() bool { return e.Stats().MessagesIn == 1 })
	if n := e.Stats().ReadPauses; n != 0 {
		t.Fatalf("%d pauses", n)
	}
}
