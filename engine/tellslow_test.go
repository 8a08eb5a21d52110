//go:build linux

package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"banyan/engine/port"
)

// watching is a handler that notes what it is told of a slow client.
type watching struct {
	session
	told   []port.Slowness
	closed bool
}

func (w *watching) Closed(port.Executor) { w.closed = true }

func (w *watching) Slow(_ port.Executor, s port.Slowness) {
	if !w.closed { // as in the realm, where nobody hears it any more
		w.told = append(w.told, s)
	}
}

// newWatched is newSilent with such a handler. next lets so much time pass and the loop have a turn, and returns what
// the handler is told in it.
func newWatched(t *testing.T, live Live) (c *conn, w *watching, next func(after time.Duration) []port.Slowness) {
	t.Helper()
	live.PingInterval = -1
	c, p := newSilent(t, live, phaseRawSocket)
	c.transport = &limitedTransport{}
	w = &watching{session: session{c: c}}
	c.handler = w
	return c, w, func(after time.Duration) []port.Slowness {
		c.loop.turn(nil)
		p.now += after
		c.loop.began = p.now
		told := w.told
		w.told = nil
		return told
	}
}

// TestSlowIsTold: the handler hears nothing of events up to the bound, and of the one too many what became of it.
func TestSlowIsTold(t *testing.T) {
	for policy, want := range map[SlowConsumer]port.Slowness{
		Disconnect: {Policy: Disconnect, Slow: true, UnsentEvents: 4, Closed: true},
		DropNewest: {Policy: DropNewest, Dropped: 1, UnsentBytes: 4 * eventBytes, UnsentEvents: 4},
		DropOldest: {Policy: DropOldest, Dropped: 1, UnsentBytes: 4 * eventBytes, UnsentEvents: 4},
		KeepLatest: {Policy: KeepLatest, Dropped: 2, UnsentBytes: 3 * eventBytes, UnsentEvents: 3},
	} {
		for _, own := range []bool{false, true} {
			live := Live{BacklogBytesMax: 64 << 10, BacklogEventsMax: 4, SlowConsumer: policy}
			if own {
				live = Live{SlowConsumer: (policy + 1) % (KeepLatest + 1)}
			}
			c, w, next := newWatched(t, live)
			if own {
				c.SetBacklog(&port.Backlog{BytesMax: 64 << 10, EventsMax: 4, Policy: policy})
			}
			appendEvents(c, "1Abc")
			if told := next(0); len(told) > 0 || w.closed {
				t.Errorf("%v: told %+v at the bound", policy, told)
			}
			appendEvents(c, "D")
			told := append(next(0), next(0)...)
			if len(told) != 1 || told[0] != want || w.closed != want.Closed {
				t.Errorf("%v: told %+v, want %+v; closed %v", policy, told, want, w.closed)
			}
		}
	}
}

// TestDropsAreTold: once a second at most, each time with all so far.
func TestDropsAreTold(t *testing.T) {
	c, _, next := newWatched(t, Live{BacklogBytesMax: 64 << 10, BacklogEventsMax: 4, SlowConsumer: DropNewest})
	appendEvents(c, "1Abc")
	var dropped []int64
	for _, after := range []time.Duration{slowToldPause - 1, 1, slowToldPause, slowToldPause - 1, 1, 0} {
		appendEvents(c, "DD")
		for _, s := range next(after) {
			dropped = append(dropped, s.Dropped)
		}
	}
	if want := []int64{2, 6, 8, 12}; !slices.Equal(dropped, want) {
		t.Errorf("told of %d, want %d", dropped, want)
	}
}

// TestSlowChangesAreTold: when events begin to wait too long, and when they do not any more; each once. A connection
// that is closed for another reason is not told of.
func TestSlowChangesAreTold(t *testing.T) {
	c, w, next := newWatched(t, Live{})
	appendEvents(c, "A") // waits
	for _, slow := range []bool{true, false, true} {
		for range 2 {
			c.setSlow(slow)
		}
		if told := next(0); len(told) != 1 || told[0].Slow != slow || told[0].Closed {
			t.Errorf("slow %v: told %+v", slow, told)
		}
		if told := next(0); len(told) > 0 {
			t.Errorf("told again: %+v", told)
		}
	}
	c.setSlow(false) // both at once
	c.drop(1)
	if told := append(next(0), next(0)...); len(told) != 1 || told[0].Slow || told[0].Dropped != 1 {
		t.Errorf("told %+v", told)
	}
	c.setSlow(true)
	c.loop.closeSoon(c)
	if told := append(next(0), next(0)...); len(told) > 0 || !w.closed {
		t.Errorf("told %+v, closed %v", told, w.closed)
	}
	if n := c.loop.engine.Stats().Slow; n != 0 {
		t.Errorf("%d are slow after the end", n)
	}
}

// TestCaughtUpIsTold: a report that comes after the client's last event is sent does not call it slow, whichever loop
// has sent it.
func TestCaughtUpIsTold(t *testing.T) {
	c, _, next := newWatched(t, Live{})
	appendEvents(c, "A")
	next(0)
	c.setSlow(true)
	if left := unsent(c); left != "A" { // another loop writes
		t.Fatalf("%q has waited", left)
	}
	if told := append(next(0), next(0)...); len(told) != 1 || told[0] != (port.Slowness{}) {
		t.Errorf("told %+v", told)
	}
	if n := c.loop.engine.Stats().Slow; n != 0 {
		t.Errorf("%d are slow", n)
	}
}

// TestEvictionIsTold: a connection that is closed because memory is short counts as slow; one that is broken while a
// report is under way is told of once.
func TestEvictionIsTold(t *testing.T) {
	c, w, next := newWatched(t, Live{SlowConsumer: DropOldest})
	c.setSlow(true)
	c.drop(3)
	if !c.slowNoted {
		t.Fatal("no report is under way")
	}
	c.q.Lock()
	c.breakLocked(errBudget)
	c.q.Unlock()
	if told := next(0); len(told) > 0 || w.closed {
		t.Errorf("told %+v of a connection that is broken; closed %v", told, w.closed)
	}
	c.loop.closeSoon(c)
	want := port.Slowness{Policy: DropOldest, Slow: true, Dropped: 3, Closed: true}
	if told := append(next(0), next(0)...); len(told) != 1 || told[0] != want || !w.closed {
		t.Errorf("told %+v, want %+v; closed %v", told, want, w.closed)
	}
}

// TestPanicWhenTold: a handler that panics when it is told takes only its own connection with it.
func TestPanicWhenTold(t *testing.T) {
	c, w, next := newWatched(t, Live{})
	c.handler = panicking{w}
	c.setSlow(true)
	next(0)
	next(0)
	if n := c.loop.engine.rare.panics.Load(); n != 1 || !w.closed {
		t.Errorf("%d panics, closed %v", n, w.closed)
	}
}

// panicking panics when it is told.
type panicking struct{ *watching }

func (panicking) Slow(port.Executor, port.Slowness) { panic("told") }

// lastDrops has a client lose one event, and more before it may be told again. Then the client reads, or does not.
// pass lets time go by and returns of how many the handler is told.
func lastDrops(t *testing.T, more string, reads bool) (
	c *conn, w *watching, pass func(time.Duration) []string, log *lineLog,
) {
	t.Helper()
	c, w, next := newWatched(t, Live{
		BacklogBytesMax: 64 << 10, BacklogEventsMax: 4, SlowConsumer: DropNewest, SlowAfter: time.Hour,
	})
	l, log := c.loop, new(lineLog)
	p := l.poller.(*stillPoller)
	l.engine.cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	l.engine.now = func() int64 { return int64(p.now) }
	appendEvents(c, "1234")
	l.turn(nil)
	appendEvents(c, "D")
	if told := append(next(0), next(slowToldPause-1)...); len(told) != 1 || !log.has("dropped=1") {
		t.Fatalf("told %+v", told)
	}
	appendEvents(c, more)
	if reads {
		c.transport.(*limitedTransport).room = 1 << 20
		c.q.Writable()
		l.flush(c)
	}
	return c, w, func(d time.Duration) (told []string) {
		for end := p.now + d; p.now < end; {
			p.now += 10 * time.Millisecond
			l.timersDue = true
			for l.turn(nil); l.again; {
				l.turn(nil)
			}
			for _, s := range w.told {
				told = append(told, fmt.Sprint(s.Dropped))
			}
			w.told = nil
		}
		return told
	}, log
}

// TestLastDropsAreTold: the handler and the log hear of all drops, the last ones too, whether the client has caught
// up or takes nothing; each once.
func TestLastDropsAreTold(t *testing.T) {
	t.Attr("checklist", "TRN-48")
	const line = "no more events are dropped"
	for _, reads := range []bool{true, false} {
		c, _, pass, log := lastDrops(t, "DDDDD", reads)
		if told := pass(2 * slowToldPause); !slices.Equal(told, []string{"6"}) {
			t.Errorf("reads %v: told of %v", reads, told)
		}
		if log.has(line) != reads {
			t.Errorf("reads %v: %q", reads, log.b.String())
		}
		if reads && (c.listedBlocked || len(c.loop.blocked) > 0 || c.loop.blockedSweep.Due != 0) {
			t.Error("it is looked at still")
		}
		pass(dropsPause)
		if !log.has(line, "dropped=6", fmt.Sprint("blocked=", !reads)) {
			t.Errorf("reads %v: %q", reads, log.b.String())
		}
		log.clear()
		if told := pass(2 * dropsPause); len(told) > 0 || log.has("level") {
			t.Errorf("reads %v: told of %v afterwards; %q", reads, told, log.b.String())
		}
	}
}

// TestLastDropsAreToldInTime: not within a pause of the report before. While the client loses events, the log does
// not say that it loses no more.
func TestLastDropsAreToldInTime(t *testing.T) {
	c, _, pass, log := lastDrops(t, "DDDDD", false)
	c.slowTold = c.loop.began
	if told := pass(slowToldPause - 10*time.Millisecond); len(told) > 0 {
		t.Errorf("told of %v at once", told)
	}
	for range 30 {
		appendEvents(c, "D")
		pass(slowToldPause / 2)
	}
	if log.has("no more") {
		t.Errorf("%q", log.b.String())
	}
}

// TestLastDropsAreToldAtTheEnd: of a client that leaves, before it does; it is not called slow for that.
func TestLastDropsAreToldAtTheEnd(t *testing.T) {
	c, w, _, log := lastDrops(t, "DDDDD", true)
	c.loop.closeSoon(c)
	c.loop.turn(nil)
	if want := (port.Slowness{Policy: DropNewest, Dropped: 6}); !slices.Equal(w.told, []port.Slowness{want}) {
		t.Errorf("told %+v", w.told)
	}
	if !log.has("has ended", "events_dropped=6") || !w.closed {
		t.Errorf("%q", log.b.String())
	}
	for c.loop.blockedSweep.Due != 0 { // nobody is told afterwards
		c.loop.poller.(*stillPoller).now += time.Second
		c.loop.timersDue = true
		c.loop.turn(nil)
	}
	if len(w.told) > 1 || len(c.loop.blocked) > 0 || log.has("no more") {
		t.Errorf("told %+v; %q", w.told, log.b.String())
	}
}

// TestNobodyIsToldOfDrops: a handler that does not want to know is not looked for.
func TestNobodyIsToldOfDrops(t *testing.T) {
	c, w, pass, _ := lastDrops(t, "DDDDD", true)
	c.handler = &w.session
	if pass(3 * slowToldPause); c.listedBlocked || c.loop.blockedSweep.Due != 0 {
		t.Error("it is looked at still")
	}
}

// TestLastDropIsTold: if the first is the last, it is told once.
func TestLastDropIsTold(t *testing.T) {
	_, _, pass, log := lastDrops(t, "", true)
	if told := pass(2 * dropsPause); len(told) > 0 || log.has("no more") {
		t.Errorf("told of %v again; %q", told, log.b.String())
	}
}
