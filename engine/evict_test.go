//go:build linux

package engine

import (
	"testing"
	"time"
)

// holdingMessages makes n connections of l that have joined. Each holds part of a message.
func holdingMessages(l *loop, n, bytes int) (conns []*conn) {
	for range n {
		c := &conn{
			loop: l, fd: int32(len(l.conns) + 1), phase: phaseRawSocket, transport: &scriptedTransport{},
			joined: true,
		}
		c.part = newPartial()
		l.enter(c)
		c.beginMessage()
		c.collect(c.part, make([]byte, bytes))
		conns = append(conns, c)
	}
	return conns
}

func closed(conns []*conn) (n int) {
	for _, c := range conns {
		if c.phase == phaseClosed {
			n++
		}
	}
	return n
}

// turns runs the loop until it rests.
func turns(t *testing.T, l *loop) {
	t.Helper()
	for range 10_000 {
		if l.turn(nil); !l.again && l.mail.sleep() {
			return
		}
	}
	t.Fatal("no rest")
}

// LIM-06: an octet now and then is no progress. Whoever is slower than messagePace falls behind, and nobody gets
// ahead; a message that begins, or may go on after a hold, begins anew.
func TestMessagePace(t *testing.T) {
	t.Attr("checklist", "LIM-06")
	c, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l := c.loop
	at := func(d time.Duration) { p.now = d; l.turn(nil) }
	stuck := func(what string, want time.Duration) {
		t.Helper()
		if got := c.stuck(l.began); got != want {
			t.Errorf("%s: stuck for %v, want %v", what, got, want)
		}
		if got, want := c.idle(l.began), want >= stuckSteps[0]; got != want {
			t.Errorf("%s: idle %v", what, got)
		}
	}
	c.joined = true
	at(time.Hour)
	stuck("without a message", 0)
	for range 2 {
		start := l.began
		c.part = newPartial()
		c.beginMessage()
		c.collect(c.part, make([]byte, 10*messagePace)) // no time has passed
		stuck("a beginning", 0)
		at(start + time.Second - 1)
		stuck("before the first step", time.Second-1)
		at(start + time.Second)
		stuck("nothing for a second", time.Second)
		c.collect(c.part, make([]byte, messagePace/2))
		stuck("half of what is due", time.Second/2)
		for i := range 4 {
			at(start + time.Second + time.Duration(i+1)*time.Second/2)
			c.collect(c.part, make([]byte, messagePace/2))
		}
		stuck("no faster than messagePace", time.Second/2)
		for i := range 40 {
			at(start + 3*time.Second + time.Duration(i)*time.Second/4)
			c.collect(c.part, []byte("x"))
		}
		if got := c.stuck(l.began); got < 10*time.Second || l.began-c.progress != 0 {
			t.Errorf("octets now and then: stuck for %v, the last one %v ago", got, l.began-c.progress)
		}
		c.pause(holdCredit)
		stuck("held", 0)
		at(l.began + time.Minute)
		c.credit.Store(1)
		c.resume()
		l.deferred = l.deferred[:0]
		c.deferred = false
		stuck("after a hold", 0)
		c.releasePartial(c.part)
		c.part = nil
		stuck("without a message", 0)
	}
	c.joined = false
	if !c.idle(l.began) {
		t.Error("a stranger is not idle")
	}
	c.joined, c.wantWrite, c.blockedAt = true, true, l.began
	if at(c.blockedAt + stuckSteps[1] - 1); c.idle(l.began) {
		t.Error("a socket that takes nothing is idle too soon")
	}
	if at(c.blockedAt + stuckSteps[1]); !c.idle(l.began) {
		t.Error("a socket that takes nothing is not idle")
	}
}

// LIM-06: many clients who each hold a little of a message that never ends do not keep the budget from one who sends
// a large message. They keep the share of the idle, and below it the largest goes.
func TestIdleGoFirst(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "LIM-06")
	const (
		budget = 16 << 20
		little = 32 << 10 // below evictBurdenMin
		large  = 4 << 20
	)
	for _, c := range []struct {
		what                 string
		idle, pieces         int // connections; octets of each in a second
		leftLarge, leftFewer bool
	}{
		{"a quarter is idle, and more", budget/little + 10, 1, true, true},
		{"not one is idle", budget/little + 10, messagePace, false, false},
		{"less than a quarter is idle", large/little/(idleShare-1) - 1, 1, false, false},
	} {
		first, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
		l, e := first.loop, first.loop.engine
		e.now = func() int64 { return int64(p.now) }
		p.now = time.Hour
		l.turn(nil)
		l.forget(first)
		e.budget.bytesMax = budget + budget/2
		many := holdingMessages(l, c.idle, little)
		for range 20 {
			p.now += 100 * time.Millisecond
			l.turn(nil)
			for _, m := range many {
				m.progressed(c.pieces / 10)
				m.progress = p.now
			}
		}
		honest := holdingMessages(l, 1, large)
		e.budget.bytesMax = e.budget.bytes() - 1
		if c.leftFewer {
			e.budget.bytesMax = budget
		}
		turns(t, l)
		if left := closed(honest) == 0; left != c.leftLarge {
			t.Errorf("%s: who sends a large message is there still: %v", c.what, left)
		}
		if gone := closed(many) > 0; gone != c.leftFewer {
			t.Errorf("%s: %d of %d are closed", c.what, closed(many), len(many))
		}
		if n := e.budget.bytes(); n > e.budget.bytesMax {
			t.Errorf("%s: %d bytes of %d", c.what, n, e.budget.bytesMax)
		}
	}
}

// The idle keep their share of the budget: below it the largest of the others go.
func TestIdleKeepTheirShare(t *testing.T) {
	t.Parallel()
	const budget = 16 << 20
	first, p := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l, e := first.loop, first.loop.engine
	e.now = func() int64 { return int64(p.now) }
	p.now = time.Hour
	l.turn(nil)
	l.forget(first)
	e.budget.bytesMax = budget
	const idleMany, busyMany = 8, 20
	idle := holdingMessages(l, idleMany, 1<<20)
	for _, c := range idle {
		c.joined = false
	}
	busy := holdingMessages(l, busyMany, 1<<20)
	turns(t, l)
	// While they hold 4 MiB, a quarter of the budget, one of them goes.
	if gone := closed(idle); gone != 5 || closed(busy) != idleMany+busyMany-budget>>20-gone {
		t.Errorf("%d of the idle and %d of the others are closed", gone, closed(busy))
	}
}

// Part of a record of TLS is part of a message, and an octet of it now and then is no progress either.
func TestMessagePaceOfRecords(t *testing.T) {
	t.Attr("checklist", "LIM-06")
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l, r := c.loop, &tlsTransport{c: c}
	for range 2 {
		l.began += time.Hour
		start := l.began
		r.noteProgress(0, 100)
		if c.onPace != start || c.progress != start {
			t.Errorf("a record that begins: %v and %v, want %v", c.onPace, c.progress, start)
		}
		l.began += 10 * time.Second
		r.noteProgress(100, messagePace/2)
		if c.onPace != start+time.Second/2 || c.progress != l.began {
			t.Errorf("half a second's octets after 10 s: %v and %v behind", l.began-c.onPace, l.began-c.progress)
		}
		c.part = newPartial()
		r.noteProgress(0, messagePace)
		if c.onPace != start+time.Second/2 || c.progress != l.began {
			t.Errorf("within a message: %v and %v behind", l.began-c.onPace, l.began-c.progress)
		}
		c.releasePartial(c.part)
		c.part = nil
	}
}
