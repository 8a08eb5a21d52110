//go:build linux

package engine

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// B8: the time for reading in one turn is bounded. What one client sends at once is handled over several turns, in
// order, and others get theirs in between; who had no time is first in the next turn.
func TestB8ReadsOfATurnAreBounded(t *testing.T) {
	t.Attr("checklist", "LIM-09")
	c, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l := c.loop
	l.workPerLook = workPerLook
	c.announced = 15
	var order []byte
	handler := func(who byte) *session {
		return &session{receive: func(_ port.Executor, _ *session, b []byte) {
			order = append(order, who, b[0])
			p.now += 100 * time.Microsecond // what a message costs
		}}
	}
	c.handler = handler('a')
	other := &conn{loop: l, fd: 1, joined: true, phase: phaseRawSocket, announced: 15, handler: handler('b')}
	other.credit.Store(1)
	l.enter(other)
	var flood []byte
	const messages = 250
	for i := range messages {
		flood = append(flood, rawFrameOf([]byte{byte(i)})...)
	}
	k, ko := &scriptedTransport{in: flood}, &scriptedTransport{in: rawFrameOf([]byte("b"))}
	c.transport, other.transport = k, ko
	// Both are ready, the flood first.
	ready := []unix.EpollEvent{{Fd: 0, Events: unix.EPOLLIN}, {Fd: 1, Events: unix.EPOLLIN}}
	turns := 0
	for ; turns == 0 || l.again; turns++ {
		if turns > messages {
			t.Fatal("no end")
		}
		began := p.now
		l.turn(ready)
		ready = nil
		if spent := p.now - began; spent > readTime+(workPerLook+1)*100*time.Microsecond {
			t.Fatalf("turn %d took %v", turns, spent)
		}
		if k.reads > 1 {
			t.Fatal("the next read came before what was read was handled")
		}
		if turns == 0 && ko.reads != 0 {
			t.Error("a connection was read that had no time to be handled")
		}
		if turns == 2 && !bytes.Contains(order, []byte("bb")) {
			t.Error("the other was not served after its neighbour had two turns")
		}
	}
	if turns < 3 {
		t.Fatalf("%d turns", turns)
	}
	at := 0
	for i := 0; i < len(order); i += 2 {
		if order[i] == 'a' {
			if order[i+1] != byte(at) {
				t.Fatalf("message %d came as %d", order[i+1], at)
			}
			at++
		}
	}
	if at != messages || ko.reads != 1 {
		t.Fatalf("%d messages handled, the other read %d times", at, ko.reads)
	}
}

// Connections that have no time keep their places: with more work than turns have time for, everybody advances alike.
func TestB8NobodyStarves(t *testing.T) {
	const conns, rounds = 20, 30
	first, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l := first.loop
	l.workPerLook = 1
	handled := make([]int, conns)
	l.forget(first)
	var ready []unix.EpollEvent
	for i := range conns {
		c := &conn{loop: l, fd: int32(i), joined: true, phase: phaseRawSocket, announced: 15, transport: endless{}}
		c.handler = &session{receive: func(port.Executor, *session, []byte) {
			handled[i]++
			p.now += readTime // so that only one or two messages fit in a turn
		}}
		c.credit.Store(1)
		l.enter(c)
		ready = append(ready, unix.EpollEvent{Fd: int32(i), Events: unix.EPOLLIN})
	}
	for range conns * rounds {
		l.turn(ready) // always all of them, always in the same order
	}
	if least, most := slices.Min(handled), slices.Max(handled); least < most/2 || least == 0 {
		t.Fatalf("unfair: %v", handled)
	}
}

// endless is a client that always has two messages.
type endless struct{}

func (endless) Send(int, *outq.Vectors, *outq.Segment) (int, error) { return 0, outq.ErrAgain }
func (endless) failure(int) error                                   { return nil }
func (endless) shutdown(int)                                        {}
func (endless) close(int)                                           {}
func (endless) read(_ int, b []byte) (int, error) {
	return copy(b, append(rawFrameOf([]byte("1")), rawFrameOf([]byte("2"))...)), nil
}

// An event for a connection that waits for its place is not read over what it has to handle first.
func TestDeferredConnectionIsNotReadFirst(t *testing.T) {
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	c.announced = 15
	k := &scriptedTransport{in: rawFrameOf([]byte("later"))}
	c.transport = k
	var got []string
	c.handler = &session{receive: func(_ port.Executor, _ *session, b []byte) { got = append(got, string(b)) }}
	c.in = append(takeBuffer(40_000), rawFrameOf(bytes.Repeat([]byte("x"), 40_000-4))...)
	c.loop.deferConn(c)
	c.onEvent(unix.EPOLLIN)
	if k.reads != 0 {
		t.Fatal("read")
	}
	c.loop.turn(nil)
	if len(got) != 2 || len(got[0]) != 39_996 || got[1] != "later" || k.reads != 1 {
		t.Fatalf("%d messages, %d reads", len(got), k.reads)
	}
}

// A batch of 160 000 messages in one WebSocket message is handled over several turns, in its order; others are served
// in between.
func TestB8LargeBatchIsHandledOverTurns(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "LIM-09")
	const messages = 160_000
	v := codec.MakeVariant(codec.CBOR, codec.WebSocketBatch)
	var batch []byte
	for i := range uint32(messages) {
		batch = append(batch, batchEntry(v, binary.BigEndian.AppendUint32(nil, i))...)
	}
	next := uint32(0)
	done := make(chan bool)
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			if len(b) != 4 {
				reply(x, c, b)
				return
			}
			if n := binary.BigEndian.Uint32(b); n != next {
				t.Errorf("message %d instead of %d", n, next)
			}
			for until := time.Now().Add(2 * time.Microsecond); time.Now().Before(until); { // what a message costs
			}
			if next++; next == messages {
				close(done)
			}
		}}
	})
	p := dialWS(t, e, "wamp.2.cbor.batched")
	p.send(binaryMsg(batch))
	<-done
	if n := e.Stats().Batches; n < messages*2/3000 {
		t.Errorf("%d turns for %d messages", n, messages)
	}
}

// Writing, closing and saying goodbye are bounded in time too; the rest follows in the next turns without being asked
// for.
func TestB8FlushesAndClosesOfATurnAreBounded(t *testing.T) {
	t.Attr("checklist", "LIM-09")
	const conns = 2000
	first, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l := first.loop
	l.forget(first)
	written, told, closed := 0, 0, 0
	for i := range conns {
		c := &conn{loop: l, fd: int32(i), joined: true, phase: phaseRawSocket}
		c.transport = &slowTransport{p: p, written: &written}
		c.handler = &session{
			c: c,
			shutdown: func(x port.Executor, s *session) {
				told++
				p.now += 20 * time.Microsecond
				c.Lock()
				c.Finish(x, port.CloseGoingAway, "")
				c.Unlock()
			},
			closed: func(port.Executor, *session) {
				closed++
				p.now += 50 * time.Microsecond
			},
		}
		c.timer.Fire = c.onTimer
		l.enter(c)
	}
	for i := range conns {
		reply(l, l.conns[i], []byte("x"))
	}
	until := func(what string, done func() bool) {
		t.Helper()
		turns := 0
		for ; !done(); turns++ {
			began := p.now
			l.turn(nil)
			if spent := p.now - began; spent > turnTimeMax {
				t.Fatalf("%s: turn %d took %v", what, turns, spent)
			}
			if !l.again && !done() {
				t.Fatalf("%s: the loop waits with work left", what)
			}
		}
		if turns < 3 {
			t.Errorf("%s: all in %d turns", what, turns)
		}
	}
	until("flush", func() bool { return written == conns })
	l.stop()
	until("stop", func() bool { return told == conns && closed == conns })
	if len(l.conns) != 0 || l.engine.Stats().TurnsLong != 0 {
		t.Errorf("%d connections left, %d long turns", len(l.conns), l.engine.Stats().TurnsLong)
	}
}

// A slowJob takes 100 us for each part of itself, and counts them.
type slowJob struct {
	p    *stillPoller
	left int
}

func (j *slowJob) Run(port.Executor, int) (more bool) {
	j.p.now += 100 * time.Microsecond
	j.left--
	return j.left > 0
}

// Lanes are bounded in time, too: a turn ends a few looks at the clock after walkTime.
func TestB8WalksOfATurnAreBounded(t *testing.T) {
	t.Attr("checklist", "LIM-09")
	c, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	j := &slowJob{p, 1000}
	c.loop.post(note{kind: noteJob, job: j})
	turns := 0
	for ; j.left > 0; turns++ {
		began, had := p.now, j.left
		c.loop.turn(nil)
		if spent := p.now - began; spent > walkTime+2*100*time.Microsecond || j.left == had {
			t.Fatalf("turn %d took %v for %d parts", turns, spent, had-j.left)
		}
		if !c.loop.again && j.left > 0 {
			t.Fatal("the loop waits with work left")
		}
	}
}

// A slowTransport needs 100 us for a write.
type slowTransport struct {
	capture
	p       *stillPoller
	written *int
}

func (k *slowTransport) Send(fd int, v *outq.Vectors, first *outq.Segment) (int, error) {
	k.p.now += 100 * time.Microsecond
	*k.written++
	return k.capture.Send(fd, v, first)
}
func (k *slowTransport) read(int, []byte) (int, error) { return 0, outq.ErrAgain }
func (k *slowTransport) failure(int) error             { return nil }
func (k *slowTransport) shutdown(int)                  {}
func (k *slowTransport) close(int)                     {}

// Turns are counted by how long they took, at n and n + 1.
func TestTurnsAreCounted(t *testing.T) {
	var c counters
	for _, d := range []time.Duration{
		0, turnUnit, turnUnit + 1, 2 * turnUnit, 2*turnUnit + 1, turnTimeMax, turnTimeMax + 1,
		TurnBound(TurnBuckets - 2),
		TurnBound(TurnBuckets-2) + 1, time.Hour,
	} {
		c.turn(d)
	}
	var got []int64
	for i := range c.turns {
		got = append(got, c.turns[i].Load())
	}
	if want := []int64{2, 2, 1, 0, 0, 0, 0, 2, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := c.turnsLong.Load(); n != 4 {
		t.Errorf("%d long", n)
	}
}

// A foreign loop that flushes a connection tells its home what only home can do.
func TestForeignFlushTellsHome(t *testing.T) {
	for _, c := range []struct {
		name     string
		segments int
		room     int // bytes the socket takes
		finish   bool
		gone     bool
		held     bool // not read because of its answers
		want     []noteKind
	}{
		{name: "all written", segments: 1, room: 100},
		{name: "blocked", segments: 1, room: 0, want: []noteKind{noteBlocked}},
		{
			name: "writes left", segments: outq.SendsPerFlush*outq.SegmentsPerSend + 1, room: 1 << 20,
			want: []noteKind{noteFlush},
		},
		{name: "drained", segments: 1, room: 100, finish: true, want: []noteKind{noteClose}},
		{name: "gone", segments: 1, gone: true, want: []noteKind{noteClose}},
		{name: "below low water", segments: 1, room: 100, held: true, want: []noteKind{noteResume}},
	} {
		conn, _ := newSilent(t, Live{}, phaseRawSocket)
		home := conn.loop
		foreign := newLoop(home.engine, 1, &stillPoller{})
		conn.transport = &limitedTransport{room: c.room, gone: c.gone}
		conn.q.Lock()
		for range c.segments {
			if c.held {
				conn.q.Commit(append(conn.q.Lend(true), 'x'))
			} else {
				conn.q.Share([]byte("x"), 1, 0, 0)
			}
		}
		if c.finish {
			conn.q.Finish()
		}
		conn.q.Unlock()
		if c.held && !conn.q.HoldRead(0) {
			t.Fatal("not held")
		}
		foreign.flush(conn)
		var got []noteKind
		for _, n := range home.mail.drain() {
			got = append(got, n.kind)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: home is told %v, want %v", c.name, got, c.want)
		}
		if len(foreign.local) != 0 {
			t.Errorf("%s: the foreign loop tells itself", c.name)
		}
	}
}

// A limitedTransport takes room bytes.
type limitedTransport struct {
	scriptedTransport
	room int
	gone bool
}

func (k *limitedTransport) Send(_ int, _ *outq.Vectors, first *outq.Segment) (int, error) {
	if k.gone {
		return 0, unix.EPIPE
	}
	n := len(first.Unsent(nil, k.room))
	k.room -= n
	if n == 0 {
		return 0, outq.ErrAgain
	}
	return n, nil
}

// A yieldingPoller counts.
type yieldingPoller struct {
	poller
	now           time.Duration
	yields, waits int
}

func (p *yieldingPoller) Now() time.Duration { return p.now }

func (p *yieldingPoller) Yield() { p.yields++ }

func (p *yieldingPoller) Wait(bool) []unix.EpollEvent {
	p.waits++
	return nil
}

// A loop that goes on without a wait lets others have its CPU and its P, but not more often than giveWayEvery.
func TestLoopGivesWay(t *testing.T) {
	e := &Engine{}
	e.pool = newPool(e)
	p := &yieldingPoller{}
	l := newLoop(e, 0, p)
	goroutines := 0
	l.yield = func() { goroutines++ }
	l.again = true
	const start = time.Second
	for _, step := range []struct {
		at     time.Duration
		yields int
	}{
		{start, 1},
		{start + giveWayEvery - 1, 1},
		{start + giveWayEvery, 2},
		{start + giveWayEvery + 1, 2},
		{start + 2*giveWayEvery, 3},
	} {
		l.began = step.at
		if l.wait(); p.yields != step.yields || goroutines != step.yields {
			t.Errorf("at %v: gave way %d times to threads, %d to goroutines, want %d", step.at, p.yields, goroutines,
				step.yields)
		}
	}
	l.again, l.began = false, 2*start
	if l.wait(); p.yields != 3 || goroutines != 3 || p.waits != 1 {
		t.Errorf("with nothing to do: gave way %d and %d times, waited %d times", p.yields, goroutines, p.waits)
	}
}

// After a rest, in which others could run, nobody has to be let.
func TestRestedLoopDoesNotGiveWay(t *testing.T) {
	e := &Engine{}
	e.pool = newPool(e)
	p := &yieldingPoller{}
	l := newLoop(e, 0, p)
	l.yield = func() {}
	l.again = true
	for _, step := range []struct {
		name         string
		ended, began time.Duration
		yields       int
	}{
		{"right after another turn", 1 * time.Second, 1*time.Second + rest - 1, 1},
		{"after a rest", 2 * time.Second, 2*time.Second + rest, 1},
		{"just before its time is over", 2*time.Second + giveWayEvery, 2*time.Second + rest + giveWayEvery - 1, 1},
		{"when its time is over", 2*time.Second + rest + giveWayEvery, 2*time.Second + rest + giveWayEvery, 2},
	} {
		l.ended, p.now = step.ended, step.began
		l.begin()
		if l.wait(); p.yields != step.yields {
			t.Errorf("%s: gave way %d times, want %d", step.name, p.yields, step.yields)
		}
	}
}
