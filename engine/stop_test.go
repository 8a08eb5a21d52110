//go:build linux

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// F8: a stop takes StopTimeout in all, whatever clients do, and that is no error: a client that does not read its
// goodbye, one that does not answer it, one that said nothing at all.
func TestF8StopTakesItsTimeAndIsNoError(t *testing.T) {
	t.Parallel()
	const limit = 400 * time.Millisecond
	const most = 7 * time.Second // on a busy machine; still less than what is set without a limit
	for name, shutdown := range map[string]func(x port.Executor, s *session){
		"does not read": func(x port.Executor, s *session) {
			for range 16 {
				reply(x, s.c, make([]byte, 1<<20))
			}
			s.c.Lock()
			s.c.Finish(x, port.CloseGoingAway, "")
			s.c.Unlock()
		},
		"does not answer": func(port.Executor, *session) {},
	} {
		e := start(t, Config{Loops: 2, StopTimeout: limit}, func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, shutdown: shutdown}
		})
		dialRaw(t, e, codec.CBOR)
		dialRaw(t, e, codec.CBOR)
		dial(t, e)
		began := time.Now()
		if err := e.Stop(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > most || took < limit/4 {
			t.Errorf("%s: took %v", name, took)
		}
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// While the engine stops a finishing connection gets half of the time, so that it is closed before the rest is: two
// deadlines never coincide.
func TestF8FinishingEndsBeforeTheStop(t *testing.T) {
	for _, c := range []struct {
		stop, want time.Duration
	}{{8 * time.Second, 4 * time.Second}, {time.Minute, finishTimeout}} {
		conn, p := newSilent(t, Live{}, phaseRawSocket)
		conn.loop.engine.cfg.StopTimeout = c.stop
		conn.loop.stopping = true
		conn.transport = &limitedTransport{}
		reply(conn.loop, conn, []byte("unread"))
		conn.fail(port.CloseGoingAway, "")
		conn.loop.turn(nil)
		for _, step := range []struct {
			to   time.Duration
			open bool
		}{{c.want - 20*time.Millisecond, true}, {c.want + 20*time.Millisecond, false}} {
			p.now = step.to
			conn.loop.wheel.Advance(p.now, conn.loop)
			conn.loop.turn(nil)
			if open := conn.phase != phaseClosed; open != step.open {
				t.Errorf("stop within %v: open %v after %v", c.stop, open, p.now)
			}
		}
	}
}

// The caller's context still ends a stop, and that is an error.
func TestStopHeedsItsContext(t *testing.T) {
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, shutdown: func(port.Executor, *session) {}}
	})
	dialRaw(t, e, codec.CBOR)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// Hold and Resume: what has arrived stays in its order, nothing is handled meanwhile, and handling goes on by itself;
// twice, and when the rest of one read, the rest of a batch and unread octets wait.
func TestHoldAndResume(t *testing.T) {
	for _, protocol := range []string{"", "wamp.2.cbor", "wamp.2.cbor.batched"} {
		conns := make(chan port.Conn, 1)
		heard := make(chan string, 10)
		e := start(t, Config{Loops: 2}, func(x port.Executor, c port.Conn) port.Handler {
			conns <- c
			return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
				heard <- string(b)
				if b[0] == 'h' {
					c.Hold(x)
					c.Hold(x) // changes nothing
				}
			}}
		})
		var p *peer
		v := codec.MakeVariant(codec.CBOR, codec.WebSocketBatch)
		send := func(messages ...string) {
			var all []byte
			for _, m := range messages {
				switch protocol {
				case "":
					all = append(all, rawFrameOf([]byte(m))...)
				case "wamp.2.cbor":
					all = append(all, binaryMsg([]byte(m))...)
				default:
					all = append(all, batchEntry(v, []byte(m))...)
				}
			}
			if protocol == "wamp.2.cbor.batched" {
				all = binaryMsg(all)
			}
			p.send(all)
		}
		if protocol == "" {
			p = dialRaw(t, e, codec.CBOR)
		} else {
			p = dialWS(t, e, protocol)
		}
		c := <-conns
		home := c.(*conn).loop.index
		silent := func() {
			t.Helper()
			done := make(chan bool)
			for range 3 { // turns go by
				e.Submit(home, func(port.Executor) { done <- true })
				<-done
			}
			if len(heard) > 0 {
				t.Fatalf("%q: %q was handled while held", protocol, <-heard)
			}
		}
		expect := func(messages ...string) {
			t.Helper()
			for _, want := range messages {
				if got := <-heard; got != want {
					t.Fatalf("%q: %q instead of %q", protocol, got, want)
				}
			}
		}
		send("a", "h1", "b", "h2", "c")
		expect("a", "h1")
		send("d")
		silent()
		e.Submit(home, func(x port.Executor) { c.Resume(x) })
		expect("b", "h2")
		silent()
		e.Submit(home, func(x port.Executor) { c.Resume(x); c.Resume(x) })
		expect("c", "d")
		send("e")
		expect("e")
	}
}

// What a message was kept as stays as it was, whether it lay in the loop's buffer or in one of its own.
func TestKeep(t *testing.T) {
	for _, size := range []int{10, 300_000} {
		kept := make(chan []byte, 2)
		e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
				k, _ := c.Keep(b)
				if size > readBytes && &k[0] != &b[0] {
					t.Error("a message with a buffer of its own was copied")
				}
				kept <- k
			}}
		})
		p := dialRaw(t, e, codec.CBOR)
		for _, fill := range []byte{'a', 'b'} {
			message := make([]byte, size)
			for i := range message {
				message[i] = fill
			}
			p.send(rawFrameOf(message))
		}
		for _, fill := range []byte{'a', 'b'} {
			b := <-kept
			for _, got := range b {
				if got != fill {
					t.Fatalf("%d bytes: %q in a message of %q", size, got, fill)
				}
			}
			if len(b) != size {
				t.Fatalf("%d bytes instead of %d", len(b), size)
			}
		}
		eventually(t, "nothing is held", func() bool { return e.Stats().HeldBytes == 0 })
	}
}

// A message of a batch that lies in a buffer of its own size is not copied, however long it is: no pool gets that
// buffer. One of a pool's buffer is.
func TestKeepOfABatch(t *testing.T) {
	for _, size := range []int{1 << bufferShiftMax, 1<<bufferShiftMax + 1} {
		c, _ := newSilent(t, Live{}, phaseWebSocket)
		c.delivering = &partial{buf: make([]byte, size)}
		b := c.delivering.buf[10 : size-10]
		kept, pinned := c.Keep(b)
		if copied := &kept[0] != &b[0]; copied != (size == 1<<bufferShiftMax) || len(kept) != len(b) ||
			pinned < len(b) || !copied && pinned != size {
			t.Errorf("of %d bytes: copied %v, %d bytes of %d, %d pinned", size, copied, len(kept), len(b), pinned)
		}
	}
}

// A loop that was told to end takes the notes that wait before it does, because functions of Submit are among them.
func TestLoopEndsWithoutWaitingNotes(t *testing.T) {
	c, _ := newSilent(t, Live{}, phaseRawSocket)
	l := c.loop
	l.forget(c)
	l.post(note{kind: noteStop})
	l.post(note{kind: noteKill})
	ran := false
	if !l.engine.Submit(0, func(port.Executor) {
		// Comes after this turn has taken its notes.
		l.engine.Submit(0, func(port.Executor) { ran = true })
	}) {
		t.Fatal("refused")
	}
	if l.turn(nil) || ran {
		t.Fatal("ended with a note waiting")
	}
	if !l.turn(nil) || !ran {
		t.Fatal("did not end")
	}
	if l.engine.Submit(0, func(port.Executor) {}) {
		t.Fatal("accepted after the end")
	}
}

// A connection that another loop accepted just before the stop is closed like those that say nothing.
func TestArrivalDuringAStopIsClosed(t *testing.T) {
	first, _ := newSilent(t, Live{}, phaseRawSocket)
	l := first.loop
	l.forget(first)
	l.stop()
	c := &conn{loop: l, fd: 7, transport: &scriptedTransport{}}
	if err := l.hand(c); err != nil {
		t.Fatal(err)
	}
	l.turn(nil)
	if !c.released || len(l.conns) != 0 {
		t.Fatal("it stays")
	}
}

// Sessions that take their time to say goodbye do not keep others from being told.
func TestEverybodyIsToldOfAStop(t *testing.T) {
	first, p := newSilent(t, Live{}, phaseRawSocket)
	l := first.loop
	l.forget(first)
	const conns = 1000
	told := 0
	for i := range conns {
		c := &conn{loop: l, fd: int32(i), phase: phaseRawSocket, transport: &scriptedTransport{}}
		c.handler = &session{c: c, shutdown: func(port.Executor, *session) { // and waits for the client
			told++
			p.now += 100 * time.Microsecond
		}}
		l.enter(c)
	}
	l.stop()
	l.turn(nil)
	if told == conns || told == 0 {
		t.Fatalf("%d told in the first turn", told)
	}
	for l.again {
		l.turn(nil)
	}
	if told != conns {
		t.Fatalf("%d told", told)
	}
}

// The end of one reason not to read is not the end of the others.
func TestEveryReasonNotToReadHasToGo(t *testing.T) {
	for _, c := range []struct {
		hold   hold
		credit int64
	}{{holdSession | holdCredit, 0}, {holdBacklog | holdCredit, -5}, {holdSession, 1}} {
		conn, _ := newSilent(t, Live{}, phaseRawSocket)
		conn.hold = c.hold
		conn.credit.Store(c.credit)
		conn.resume()
		if conn.hold == 0 || conn.deferred {
			t.Errorf("%+v: reading goes on", c)
		}
		conn.Resume(nil)
		if c.credit <= 0 && conn.hold != holdCredit {
			t.Errorf("%+v: held by %b", c, conn.hold)
		}
		conn.Refund(conn.loop, 10)
		conn.loop.takeNotes()
		if c.credit <= 0 && (conn.hold != 0 || !conn.deferred) {
			t.Errorf("%+v: not read after all reasons are gone", c)
		}
	}
}
