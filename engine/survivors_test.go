//go:build linux

package engine

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/port"
)

// Small things that are easily left out, because nothing else notices it.

// A client whose answers pile up is not read, so it cannot be heard: that it takes octets is its sign of life.
func TestHeldClientThatReadsIsAlive(t *testing.T) {
	c, p := newSilent(t, Live{PingInterval: time.Second}, phaseWebSocket)
	c.heard = true
	c.keepAlive()
	c.hold = holdBacklog
	for range 3 {
		if !deaf(c, p) || c.missed != 1 {
			t.Fatalf("closed after one ping, or it is not counted: %d", c.missed)
		}
		if !pinged(c, p) || c.missed != 0 {
			t.Fatalf("it has read, and %d pings are missed", c.missed)
		}
	}
	if !deaf(c, p) || deaf(c, p) {
		t.Error("two pings in a row are missed")
	}
}

// What the socket took before a ping is no sign of life after it, also if nothing was left then.
func TestProgressIsOfOneInterval(t *testing.T) {
	c, p := newSilent(t, Live{PingInterval: time.Second}, phaseWebSocket)
	c.keepAlive()
	for range 2 {
		if c.heard = true; !pinged(c, p) || c.missed != 0 {
			t.Fatal("missed although it reads")
		}
		if c.heard = true; !deaf(c, p) || c.missed != 1 {
			t.Fatalf("%d pings missed by a client that takes nothing", c.missed)
		}
	}
}

// The buffer of a message goes to no pool if its session panics: somebody may still have it.
func TestPanicKeepsTheBuffer(t *testing.T) {
	c, _ := newSilent(t, Live{}, phaseRawSocket)
	var had []byte
	c.handler = &session{receive: func(_ port.Executor, _ *session, b []byte) {
		had = b
		panic("as told")
	}}
	const size = 300_000
	for range 8 { // a pool may lose a buffer
		p := newPartial()
		c.collect(p, make([]byte, size))
		func() {
			defer func() { _ = recover() }()
			c.deliver(p)
		}()
		for range 4 {
			if b := takeBuffer(size); &b[:1][0] == &had[0] {
				t.Fatal("the pool has it")
			}
		}
	}
	if n := c.loop.engine.Stats().PartialBytes; n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
}

// An excess that no connection holds is not looked into again before evictPause is over.
func TestEvictionPauses(t *testing.T) {
	c, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l, e := c.loop, c.loop.engine
	e.now = func() int64 { return int64(p.now) }
	p.now = time.Hour
	l.forget(c)
	e.budget.bytesMax = 1000
	l.book(1001)
	for range 2 {
		for range 100 {
			l.turn(nil)
		}
		if e.budget.evicting.Load() {
			t.Fatal("no end")
		}
		for range 2 {
			if l.checkBudget(); e.budget.evicting.Load() {
				t.Fatal("it begins again at once")
			}
			p.now += evictPause - 1
		}
		p.now -= evictPause - 2
		if l.checkBudget(); !e.budget.evicting.Load() {
			t.Fatal("it does not begin again")
		}
	}
}

// Connections that have not joined go first from evictIdleMin on.
func TestEvictStrangerMin(t *testing.T) {
	first, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l, e := first.loop, first.loop.engine
	l.forget(first)
	var conns []*conn
	for i, n := range []int{evictIdleMin - 1, evictIdleMin} {
		c := &conn{loop: l, fd: int32(i), phase: phaseRawSocket, transport: &scriptedTransport{}, in: make([]byte, n)}
		l.enter(c)
		conns = append(conns, c)
		l.book(n)
	}
	e.budget.bytesMax = evictIdleMin
	for range 100 {
		l.turn(nil)
	}
	if conns[0].phase == phaseClosed || conns[1].phase != phaseClosed {
		t.Errorf("closed: one byte less %v, %d bytes %v", conns[0].phase == phaseClosed, evictIdleMin,
			conns[1].phase == phaseClosed)
	}
}

// A reply is taken up to the end of the reserve, and none at it.
func TestReserveOfReplies(t *testing.T) {
	b := &port.Backlog{BytesMax: 64 << 10}
	for _, unsent := range []int{replyReserve(b) - 1, replyReserve(b)} {
		c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
		c.SetBacklog(b)
		c.append(make([]byte, unsent))
		c.loop.flush(c)
		c.Lock()
		buf, ok := c.Tail(port.Reply)
		if ok {
			c.Commit(c.loop, buf)
		}
		c.Unlock()
		if ok != (unsent < replyReserve(b)) || accepts(c) != ok {
			t.Errorf("with %d bytes unsent: taken %v", unsent, ok)
		}
	}
}

// A piece of pieceLinked octets is linked, a shorter one copied.
func TestPieceLinked(t *testing.T) {
	for _, n := range []int{pieceLinked - 1, pieceLinked} {
		c, _ := newSilent(t, Live{}, phaseRawSocket)
		piece := make([]byte, n)
		c.Lock()
		c.AppendPieces(c.loop, port.Reply, [][]byte{piece})
		c.Unlock()
		piece[0] = 'x'
		var taken capture
		c.q.Flush(&taken, nil, 0, 0)
		if linked := taken[0] == 'x'; len(taken) != n || linked != (n == pieceLinked) {
			t.Errorf("%d octets: linked %v", n, linked)
		}
	}
}

// After a pause the places of earlier departures are forgotten for good.
func TestPlacesAreForgotten(t *testing.T) {
	var v departures
	for range 5 {
		v.leave(0, 0)
	}
	if v.fill(departureLife + 1) {
		t.Error("filled after the pause")
	}
	v.leave(departureLife+2, departureLife+2)
	if !v.fill(departureLife+2) || v.fill(departureLife+2) {
		t.Error("one place, not more")
	}
}

// An accepted socket has the options that find peers which are gone.
func TestSocketOptions(t *testing.T) {
	fds := make(chan int, 1)
	e := start(t, Config{}, func(x port.Executor, c port.Conn) port.Handler {
		fds <- int(c.(*conn).fd)
		return echoes(x, c)
	})
	dialRaw(t, e, codec.CBOR)
	fd := <-fds
	for name, o := range map[string]struct{ level, option, want int }{
		"TCP_USER_TIMEOUT": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds())},
		"TCP_NODELAY":      {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		"SO_KEEPALIVE":     {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":     {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
		"TCP_KEEPINTVL":    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
		"TCP_KEEPCNT":      {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.option); got != o.want || err != nil || o.want == 0 {
			t.Errorf("%s is %d, want %d (%v)", name, got, o.want, err)
		}
	}
}

// Jobs that are done are not kept alive by their lane, also where the others move to its front.
func TestLaneForgetsItsJobs(t *testing.T) {
	var ls lanes
	const jobs = 100
	for range jobs {
		ls.push(laneKey{}, &countJob{members: 1})
	}
	l := ls.last
	for n := range jobs - 1 {
		ls.runNext(nil, 1)
		for i, j := range l.jobs[:cap(l.jobs)] {
			if kept := j != nil; kept != (i >= l.at && i < len(l.jobs)) {
				t.Fatalf("after %d jobs: place %d of %d to %d has a job: %v", n+1, i, l.at, len(l.jobs), kept)
			}
		}
	}
}

// Notes that are done are not kept alive by the mailbox.
func TestMailboxForgetsItsNotes(t *testing.T) {
	var m mailbox
	for range 3 {
		for range 5 {
			m.post(note{kind: noteJob, job: &countJob{}})
		}
		m.recycle(m.drain())
		for i, n := range m.spare[:cap(m.spare)] {
			if n.job != nil {
				t.Fatalf("note %d is there", i)
			}
		}
	}
}

// The nudge wakes the loops that were handed something since the last one, and no others.
func TestNudgeForgetsWhomItWoke(t *testing.T) {
	e := &Engine{}
	var pollers []*wakingPoller
	for i := range 3 {
		p := &wakingPoller{}
		pollers = append(pollers, p)
		e.loops = append(e.loops, newLoop(&Engine{}, i, p))
	}
	l, ls := e.loops[0], &listener{engine: e}
	for _, l := range e.loops {
		l.arrivals.waiting.Store(true)
	}
	for round, home := range []int{1, 2, 1} {
		for _, p := range pollers {
			p.wakes = 0
		}
		ls.handed(l, e.loops[home])
		l.wheel.Advance(time.Duration(round+1)*2*nudgeAfter, l)
		for i, p := range pollers {
			if want := i == home; (p.wakes == 1) != want || p.wakes > 1 {
				t.Errorf("round %d: loop %d was woken %d times", round, i, p.wakes)
			}
		}
		pollers[0].now = time.Duration(round+1) * 2 * nudgeAfter
	}
}

// A wakingPoller counts.
type wakingPoller struct {
	stillPoller
	wakes int
}

func (p *wakingPoller) Wake() { p.wakes++ }
