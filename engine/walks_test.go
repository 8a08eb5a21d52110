//go:build linux

package engine

import (
	"slices"
	"testing"
	"time"

	"banyan/engine/port"
)

// Walks over all connections of a loop take as many turns as they need.

// newCrowd makes a loop with n connections that hold as many bytes each as held says, on a clock that each look at it
// moves on.
func newCrowd(t *testing.T, live Live, each time.Duration, n int,
	held func(i int) int,
) (*loop, *tickingPoller, []*conn) {
	t.Helper()
	first, _ := newSilent(t, live, phaseRawSocket)
	l := first.loop
	l.forget(first)
	p := &tickingPoller{each: each}
	l.poller = p
	var conns []*conn
	for i := range n {
		c := &conn{loop: l, fd: int32(i), phase: phaseRawSocket, joined: true, transport: &scriptedTransport{}}
		c.handler = &session{c: c}
		c.in = make([]byte, held(i))
		l.book(len(c.in))
		l.enter(c)
		conns = append(conns, c)
	}
	return l, p, conns
}

// One turn looks at connections until the time for it is over, at n and n + 1, and the next turns look at the rest:
// the largest is found wherever it is.
func TestEvictionTakesTurns(t *testing.T) {
	t.Parallel()
	const conns, size = 400, 100 << 10
	for _, c := range []struct {
		each  time.Duration
		looks int // in one turn
	}{{evictTime, 2 * costPerLook}, {evictTime + 1, costPerLook}} {
		for _, largest := range []int{0, 1, conns / 2, conns - 1} {
			l, _, all := newCrowd(t, Live{PingInterval: -1}, c.each, conns, func(i int) int {
				if i == largest {
					return 2 * size
				}
				return size
			})
			e := l.engine
			e.budget.bytesMax = e.budget.bytes() - 1
			e.budget.evicting.Store(true)
			e.askToEvict(2 * size)
			for before, turns := conns, 0; e.budget.evicting.Load(); turns++ {
				l.turn(nil)
				if v := &l.eviction; v.underWay {
					if before-v.unlooked != c.looks || !l.again {
						t.Fatalf("%d connections in one turn, want %d", before-v.unlooked, c.looks)
					}
					before = v.unlooked
				}
				if turns > conns {
					t.Fatal("no end")
				}
			}
			for i, c := range all {
				if c.released != (i == largest) {
					t.Errorf("connection %d, the largest is %d: closed %v", i, largest, c.released)
				}
			}
			if n := e.Stats().BudgetClosed; n != 1 {
				t.Errorf("%d counted", n)
			}
		}
	}
}

// The candidates are closed over several turns too, the largest first, and no more than needed. Connections that
// leave meanwhile, and those that come, disturb nothing.
func TestEvictionGoesOnMeanwhile(t *testing.T) {
	const conns = 400
	l, _, all := newCrowd(t, Live{PingInterval: -1}, evictTime, conns, func(i int) int {
		return 100<<10 + (i*7919%conns)<<4 // all different, in no order
	})
	e := l.engine
	wanted := slices.Clone(all)
	slices.SortFunc(wanted, func(a, b *conn) int { return len(b.in) - len(a.in) })
	excess := 0
	for _, c := range wanted[:100] {
		excess += len(c.in)
	}
	e.budget.bytesMax = e.budget.bytes() - int64(excess)
	e.budget.evicting.Store(true)
	e.askToEvict(100 << 10)
	small, gone := all[:0:0], false
	for turns := 0; e.budget.evicting.Load(); turns++ {
		if turns%3 == 0 && len(small) < 20 { // somebody leaves who holds nothing, and another comes
			c := &conn{loop: l, fd: int32(conns + turns), phase: phaseRawSocket, joined: true}
			c.transport, c.handler = &scriptedTransport{}, &session{c: c}
			l.enter(c)
			if small = append(small, c); len(small) > 1 {
				l.closeSoon(small[len(small)-2])
			}
		}
		if v := &l.eviction; v.underWay && v.unlooked < conns/2 && !gone {
			// A candidate leaves by itself.
			l.closeSoon(wanted[slices.IndexFunc(wanted, func(c *conn) bool { return c.seat >= conns/2 })])
			gone = true
		}
		if l.turn(nil); turns > 3*conns {
			t.Fatal("no end")
		}
	}
	if n := e.Stats().BudgetClosed; n != 99 || !gone {
		t.Errorf("%d counted", n)
	}
	for i, c := range wanted {
		if c.released != (i < 100) {
			t.Errorf("number %d by size: closed %v", i, c.released)
		}
	}
	for i, c := range l.roster {
		if int(c.seat) != i || l.conns[int(c.fd)] != c {
			t.Fatalf("seat %d has connection %d of seat %d", i, c.fd, c.seat)
		}
	}
	if len(l.roster) != len(l.conns) || len(l.roster) != conns-100+1 {
		t.Errorf("%d in the roster, %d in the table", len(l.roster), len(l.conns))
	}
}

// A loop that is told to end during an eviction ends it first: the other loops wait for its answer.
func TestLoopEndsAfterItsEviction(t *testing.T) {
	l, _, all := newCrowd(t, Live{PingInterval: -1}, evictTime+1, 100, func(int) int { return 1 << 10 })
	e := l.engine
	e.budget.bytesMax = 1
	e.budget.evicting.Store(true)
	e.askToEvict(evictBurdenMin)
	l.turn(nil)
	if !l.eviction.underWay {
		t.Fatal("it took one turn")
	}
	l.post(note{kind: noteStop})
	l.post(note{kind: noteKill})
	for turns := 0; !l.turn(nil); turns++ {
		if turns > 100 {
			t.Fatal("no end")
		}
	}
	if e.budget.evicting.Load() || !all[0].released || len(l.roster) != 0 {
		t.Errorf("evicting %v, %d left", e.budget.evicting.Load(), len(l.roster))
	}

	l, _, _ = newCrowd(t, Live{}, 0, 0, nil) // its last connection went before its answer
	l.stopping, l.killed, l.eviction.underWay = true, true, true
	l.engine.budget.waiting.Store(1)
	if l.stopped() {
		t.Error("the others wait for ever")
	}
	if !l.turn(nil) || l.engine.budget.waiting.Load() != 0 {
		t.Error("it does not end")
	}
}

// If those that have not joined are not enough, the others go in the same round.
func TestEvictionOfStrangersAndOthers(t *testing.T) {
	l, _, all := newCrowd(t, Live{PingInterval: -1}, 0, 10, func(int) int { return evictBurdenMin })
	for _, c := range all[1:] {
		c.joined = false
	}
	e := l.engine
	e.budget.bytesMax = evictBurdenMin - 1
	e.budget.evicting.Store(true)
	e.askToEvict(evictBurdenMin)
	for range 10 {
		l.turn(nil)
	}
	if len(l.roster) != 0 || e.budget.pause.Load() != 0 {
		t.Errorf("%d are left", len(l.roster))
	}
}

// Unfinished messages are looked at until the time for it is over, at n and n + 1; all of them are looked at in the
// end, and those that make progress stay listed.
func TestUnfinishedMessagesAreLookedAtOverTurns(t *testing.T) {
	const conns, limit = 400, time.Second
	for _, c := range []struct {
		each  time.Duration
		looks int // in one turn
	}{{sweepTime, 3 * costPerLook}, {sweepTime + 1, 2 * costPerLook}} {
		l, p, all := newCrowd(t, Live{PingInterval: -1, MessageTimeout: limit}, c.each, conns,
			func(int) int { return 1 })
		began := p.now
		for _, c := range all {
			c.progress = began
			l.listUnfinished(c)
		}
		l.wheel.Advance(began+limit/unfinishedSweeps, l) // nothing is late
		for l.turn(nil); l.again; l.turn(nil) {
		}
		if len(l.unfinished) != conns || l.sweep.Due == 0 {
			t.Fatalf("%d of %d are listed", len(l.unfinished), conns)
		}
		for i, c := range all {
			if i >= conns*3/4 {
				c.progress += 10 * limit
			}
		}
		p.now, l.began = began+2*limit, began+2*limit
		l.wheel.Advance(p.now, l)
		closed := func() int { return int(l.engine.Stats().MessageTimeouts) }
		if n := conns - (len(l.sweeping.items) - l.sweeping.at); n != c.looks {
			t.Errorf("%d looked at in one go, want %d", n, c.looks)
		}
		for turns := 0; !l.sweeping.empty(); turns++ {
			had := closed()
			l.turn(nil)
			if n := closed() - had; n > c.looks || turns > conns || !l.again && !l.sweeping.empty() {
				t.Fatalf("%d closed in one turn", n)
			}
		}
		if closed() != conns*3/4 || len(l.unfinished) != conns/4 || l.sweep.Due == 0 {
			t.Errorf("%d closed, %d listed, the next sweep %v", closed(), len(l.unfinished), l.sweep.Due)
		}
		for i, c := range all {
			if c.listed != (i >= conns*3/4) || c.finished.Load() == c.listed {
				t.Errorf("connection %d: listed %v, closed %v", i, c.listed, c.finished.Load())
			}
		}
	}
}

// A second sweep is due while the first has not come to its end: it waits, and none is looked at twice.
func TestSweepsDoNotOverlap(t *testing.T) {
	l, p, all := newCrowd(t, Live{PingInterval: -1, MessageTimeout: time.Second}, sweepTime+1, 100,
		func(int) int { return 1 })
	for _, c := range all {
		c.progress = time.Hour
		l.listUnfinished(c)
	}
	for range 2 {
		p.now += time.Second
		l.wheel.Advance(p.now, l)
		if len(l.unfinished)+len(l.sweeping.items)-l.sweeping.at != len(all) || l.sweep.Due == 0 {
			t.Fatalf("%d are listed, %d to be looked at", len(l.unfinished), len(l.sweeping.items)-l.sweeping.at)
		}
	}
	for l.turn(nil); l.again; l.turn(nil) {
	}
	if len(l.unfinished) != len(all) {
		t.Errorf("%d of %d are listed", len(l.unfinished), len(all))
	}
	for _, c := range all {
		if !slices.Contains(l.unfinished, c) {
			t.Fatal("one is missing")
		}
	}
}

// Who holds a little for long goes before who holds much for a moment: of a socket that takes nothing, and of a
// message that does not go on. Time in which the client had nothing to do does not count.
func TestEvictionOfTheStuck(t *testing.T) {
	const little, much = 20 << 10, 1000 << 10 // those that hold little have less than idleShare together
	blocked := func(c *conn, since time.Duration) { c.wantWrite, c.blockedAt = true, since }
	unfinished := func(c *conn, since time.Duration) { c.onPace = since }
	for _, tc := range []struct {
		name  string
		set   func(c *conn, since time.Duration)
		stuck time.Duration
		goes  bool
	}{
		{"blocked", blocked, 16 * time.Second, true},
		{"blocked", blocked, 16*time.Second - 1, false},
		{"unfinished", unfinished, 16 * time.Second, true},
		{"unfinished", unfinished, 16*time.Second - 1, false},
		{"held", func(c *conn, at time.Duration) { unfinished(c, at); c.hold = holdSession }, time.Hour, false},
		{"deferred", func(c *conn, at time.Duration) { unfinished(c, at); c.deferred = true }, time.Hour, false},
		{"on pace", func(c *conn, since time.Duration) { c.progress = since }, time.Hour, false},
		{"writable again", func(c *conn, since time.Duration) { c.blockedAt = since }, time.Hour, false},
	} {
		l, p, all := newCrowd(t, Live{PingInterval: -1}, 0, 10, func(i int) int {
			if i == 5 {
				return much
			}
			return little
		})
		p.now = 2 * time.Hour
		for i, c := range all {
			if c.onPace = p.now; i != 5 {
				tc.set(c, p.now-tc.stuck)
			}
		}
		e := l.engine
		e.budget.bytesMax = e.budget.bytes() - 1
		for turns := 0; turns == 0 || e.budget.evicting.Load(); turns++ {
			if l.turn(nil); turns > 1000 {
				t.Fatal("no end")
			}
		}
		if n := e.Stats().BudgetClosed; n != 1 || all[5].released == tc.goes {
			t.Errorf("%s for %v: %d are closed, the one with much: %v", tc.name, tc.stuck, n, all[5].released)
		}
	}
}

// Work that jobs note counts for the time of lanes: a few of them may take as long as many.
func TestLanesCountWork(t *testing.T) {
	for _, c := range []struct{ units, want int }{
		{workPerLook - jobMembers, 2}, {workPerLook - jobMembers - 1, 4}, {0, 2 * workPerLook / jobMembers},
	} {
		l, _, _ := newCrowd(t, Live{PingInterval: -1}, walkTime+1, 0, nil)
		l.members = turnMembers
		ran := 0
		for range 100 {
			l.Post(0, 1, submitted(func(x port.Executor) {
				ran++
				x.Work(c.units)
			}))
		}
		if l.runLanes(); ran != c.want {
			t.Errorf("%d units each: %d jobs in a turn, want %d", c.units, ran, c.want)
		}
	}
}
