//go:build linux

package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// unsent are the events that wait, by their first octet; afterwards there are none.
func unsent(c *conn) string {
	var taken capture
	c.q.Writable()
	c.q.Flush(&taken, nil, 0, 0)
	var b strings.Builder
	for i := 0; i < len(taken); i += eventBytes {
		b.WriteByte(taken[i])
	}
	return b.String()
}

const eventBytes = 16 << 10

// appendEvents appends a run of one event for each letter, of the topic that the letter's case tells: capitals are of
// topic 1, small letters of topic 2, digits of none.
func appendEvents(c *conn, letters string) {
	for _, r := range letters {
		topic := uint64(0)
		switch {
		case r >= 'A' && r <= 'Z':
			topic = 1
		case r >= 'a' && r <= 'z':
			topic = 2
		}
		event := make([]byte, eventBytes)
		event[0] = byte(r)
		c.AppendRun(c.loop, event, 1, topic)
	}
}

func accepts(c *conn) bool {
	c.q.Lock()
	defer c.q.Unlock()
	return c.q.Accepts()
}

// ORD-12, TRN-48: what each policy does with the event that is one too many, by bytes and by number.
func TestPolicies(t *testing.T) {
	t.Attr("checklist", "ORD-12 TRN-48")
	for _, bound := range []port.Backlog{{BytesMax: 64 << 10}, {BytesMax: 1 << 20, EventsMax: 4}} {
		for policy, want := range map[SlowConsumer]string{
			Disconnect: "", DropNewest: "1Abc", DropOldest: "cC2D", KeepLatest: "1c2D",
		} {
			for _, own := range []bool{false, true} {
				live := Live{
					BacklogBytesMax: bound.BytesMax, BacklogEventsMax: bound.EventsMax,
					SlowConsumer: policy, PingInterval: -1,
				}
				b := bound
				b.Policy = policy
				if own {
					live = Live{PingInterval: -1}
				}
				c, _ := newSilent(t, live, phaseRawSocket)
				if own {
					c.SetBacklog(&b)
				}
				appendEvents(c, "1Abc")
				if c.finished.Load() || c.q.Bytes() != 4*eventBytes {
					t.Fatalf("policy %d: %d bytes at the bound", policy, c.q.Bytes())
				}
				appendEvents(c, "C2D")
				s := c.loop.engine.Stats()
				switch {
				case policy == Disconnect:
					if accepts(c) || s.SlowConsumersClosed != 1 || s.EventsDropped != 0 {
						t.Errorf("it is there still: %v, %d closed, %d dropped", accepts(c), s.SlowConsumersClosed,
							s.EventsDropped)
					}
				case s.EventsDropped != 3 || s.SlowConsumersClosed != 0:
					t.Errorf("policy %d: %d dropped, %d closed", policy, s.EventsDropped, s.SlowConsumersClosed)
				default:
					if got := unsent(c); got != want {
						t.Errorf("policy %d, own bounds %v: %s is left, want %s", policy, own, got, want)
					}
				}
			}
		}
	}
}

// An event larger than the whole bound goes to a client that has read everything, and to no other.
func TestLargeEvents(t *testing.T) {
	for _, policy := range []SlowConsumer{DropNewest, DropOldest, KeepLatest} {
		c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, SlowConsumer: policy, PingInterval: -1}, phaseRawSocket)
		large := make([]byte, 100<<10)
		c.append([]byte("reply"))
		c.AppendRun(c.loop, large, 3, 1)
		if n := c.loop.engine.Stats().EventsDropped; n != 3 || c.q.Bytes() != 5 {
			t.Errorf("policy %d: %d dropped, %d bytes", policy, n, c.q.Bytes())
		}
		unsent(c)
		c.AppendRun(c.loop, large, 3, 1)
		if n := c.loop.engine.Stats().EventsDropped; n != 3 || c.q.Bytes() != len(large) {
			t.Errorf("policy %d: %d dropped, %d bytes", policy, n, c.q.Bytes())
		}
	}
}

// Events of a few octets count with what it takes to queue them, at n and n + 1, under each policy; so do answers
// between them.
func TestSmallEventsAreBounded(t *testing.T) {
	const bytes = 64 << 10
	for _, policy := range []SlowConsumer{Disconnect, DropNewest, DropOldest, KeepLatest} {
		c, _ := newSilent(t, Live{BacklogBytesMax: bytes, SlowConsumer: policy, PingInterval: -1}, phaseRawSocket)
		c.transport = &limitedTransport{}
		c.q.Open(0, &c.loop.engine.budget.backlogs)
		event := make([]byte, 20)
		room := memoryMax(&c.loop.live.backlog) / outq.RunCost(len(event))
		for range room {
			c.AppendRun(c.loop, event, 1, 0)
		}
		s := c.loop.engine.Stats()
		if !accepts(c) || s.EventsDropped != 0 || c.q.Bytes() != room*len(event) || c.q.Occupied() > bytes*5/4 {
			t.Errorf("policy %d: %d bytes in %d at the bound, %d dropped", policy, c.q.Bytes(), c.q.Occupied(),
				s.EventsDropped)
		}
		c.loop.flush(c)
		if held := c.loop.engine.Stats().HeldBytes; held != int64(c.q.Occupied()) {
			t.Errorf("policy %d: the budget knows %d bytes of %d", policy, held, c.q.Occupied())
		}
		c.AppendRun(c.loop, event, 1, 0)
		s = c.loop.engine.Stats()
		if policy == Disconnect {
			if accepts(c) || s.SlowConsumersClosed != 1 {
				t.Error("more than the bound is taken")
			}
			continue
		}
		if s.EventsDropped != 1 || c.q.Occupied() > bytes*5/4 {
			t.Errorf("policy %d: %d dropped, %d bytes", policy, s.EventsDropped, c.q.Occupied())
		}
	}
	c, _ := newSilent(t, Live{BacklogBytesMax: bytes, SlowConsumer: DropNewest, PingInterval: -1}, phaseRawSocket)
	answer := func(class port.Class) bool {
		c.loop.flush(c)
		c.Lock()
		defer c.Unlock()
		c.q.Link(nil, false) // so that each has a segment of its own
		buf, ok := c.Tail(class)
		if ok {
			c.Commit(c.loop, append(buf, "answer"...))
		}
		return ok
	}
	invocations, replies := 0, 0
	for answer(port.Invocation) {
		invocations++
	}
	if n := c.q.Occupied(); n < bytes*5/4 || n > bytes*5/4+1000 {
		t.Errorf("invocations are refused at %d", n)
	}
	if !c.q.HoldRead(highWater(c.bounds())) && invocations > 0 {
		// Invocations are no answers.
		for answer(port.Reply) {
			replies++
		}
	}
	if accepts(c) || replies < invocations/5 || replies > invocations/3 {
		t.Errorf("%d invocations, %d replies", invocations, replies)
	}
	// A client that is owed many short answers is not read any more long before.
	c, _ = newSilent(t, Live{BacklogBytesMax: bytes, PingInterval: -1}, phaseRawSocket)
	n := 0
	for ; !c.q.HoldRead(highWater(c.bounds())); n++ {
		answer(port.Reply)
	}
	if n < 20 || n > 40 {
		t.Errorf("not read after %d answers", n)
	}
}

// What a client left unread is freed over several turns when it is closed; meanwhile nobody else is closed for it,
// and the loop does not end before.
func TestUnsentEventsAreFreedOverTurns(t *testing.T) {
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l := c.loop
	p := &tickingPoller{each: 100 * time.Microsecond}
	l.poller = p
	c.transport = &limitedTransport{}
	b := &l.engine.budget
	c.q.Open(0, &b.backlogs)
	for range 20_000 {
		c.AppendRun(l, make([]byte, 20), 1, 0)
	}
	l.flush(c)
	b.bytesMax = b.bytes() / 2
	if !b.exceeded() {
		t.Fatal("nothing is charged")
	}
	c.q.Lock()
	c.breakLocked(errSlow)
	c.q.Unlock()
	if b.exceeded() || b.bytes() < b.bytesMax {
		t.Errorf("%d of %d bytes, exceeded: %v", b.bytes(), b.bytesMax, b.exceeded())
	}
	l.closeSoon(c)
	turns := 0
	for ; turns == 0 || l.again; turns++ {
		began := p.now
		l.killed, l.stopping = true, true
		ended := l.turn(nil)
		if spent := p.now - began; spent > 3*time.Millisecond || turns > 1000 {
			t.Fatalf("turn %d took %v", turns, spent)
		}
		if ended == l.again {
			t.Fatalf("turn %d: ended %v, goes on %v", turns, ended, l.again)
		}
	}
	if s := l.engine.Stats(); turns < 10 || s.HeldBytes != 0 || s.EventsLost != 20_000 {
		t.Errorf("%d turns, %d bytes are left, %d events lost", turns, s.HeldBytes, s.EventsLost)
	}
}

// A tickingPoller's time goes on with each look at it.
type tickingPoller struct {
	stillPoller
	each time.Duration
}

func (p *tickingPoller) Now() time.Duration {
	p.now += p.each
	return p.now
}

// Many blocked connections, and many old events of one, are looked at over several turns; all of them are.
func TestAgesAreLookedAtOverTurns(t *testing.T) {
	const conns, each = 200, 1000
	first, _ := newSilent(t, Live{
		BacklogAgeMax: time.Second, SlowConsumer: DropOldest, PingInterval: -1,
	}, phaseRawSocket)
	l := first.loop
	l.forget(first)
	p := &tickingPoller{each: 50 * time.Microsecond}
	l.poller = p
	for i := range conns {
		c := &conn{loop: l, fd: int32(i), phase: phaseRawSocket, joined: true, handler: first.handler}
		c.transport = &limitedTransport{}
		c.q.Open(i, &l.engine.budget.backlogs)
		l.enter(c)
		for range each {
			c.AppendRun(l, make([]byte, 20), 1, 0)
		}
	}
	for turns := 0; l.engine.Stats().EventsDropped < conns*each; turns++ {
		had := l.engine.Stats().EventsDropped
		began := p.now
		if l.turn(nil); p.now-began > 4*time.Millisecond || turns > 10_000 {
			t.Fatalf("turn %d took %v; %d events dropped", turns, p.now-began, l.engine.Stats().EventsDropped)
		}
		if n := l.engine.Stats().EventsDropped - had; n > 50*segmentsPerLook {
			t.Fatalf("%d dropped in one turn", n)
		}
		if !l.again {
			p.now += 10 * time.Millisecond
			l.timersDue = true
		}
	}
	if n := len(l.blocked); n != conns || l.blockedSweep.Due == 0 {
		t.Errorf("%d of %d are looked at again", n, conns)
	}
}

// A drop looks at a bounded number of segments in a turn, all connections together.
func TestDropsOfATurnAreBounded(t *testing.T) {
	for policy, least := range map[SlowConsumer]int64{DropOldest: turnSegments / 4, KeepLatest: segmentsMin} {
		c, _ := newSilent(t, Live{BacklogBytesMax: 4 << 20, SlowConsumer: policy, PingInterval: -1}, phaseRawSocket)
		l := c.loop
		for n := 0; l.engine.Stats().EventsDropped == 0; n++ {
			l.segments = 0
			c.AppendRun(l, make([]byte, 20), 1, uint64(1+n%10_000)) // most have a newer one
		}
		had := l.engine.Stats().EventsDropped
		l.segments = turnSegments
		c.AppendRun(l, make([]byte, 1<<20), 1, 77) // needs room for thousands
		n := l.engine.Stats().EventsDropped - had
		if l.segments > 0 || l.segments < -2*segmentsMin || n < least || n > turnSegments+segmentsMin {
			t.Errorf("policy %d: %d dropped, %d may still be looked at", policy, n, l.segments)
		}
		had += n
		c.AppendRun(l, make([]byte, 1<<20), 1, 77)
		if n := l.engine.Stats().EventsDropped - had; n > 2*segmentsMin+1 {
			t.Errorf("policy %d: %d more dropped in that turn", policy, n)
		}
	}
}

// later lets time pass on a loop that does not run, step by step as its timers would.
func later(c *conn, p *stillPoller, d time.Duration) {
	for end := p.now + d; p.now < end; {
		p.now += 10 * time.Millisecond
		c.loop.began = p.now
		c.loop.wheel.Advance(p.now, c.loop)
		c.loop.slice(&c.loop.aging, ageTime, (*conn).lookAge)
	}
}

// LIM: events that wait too long go, or their client; who has waited for SlowAfter is slow until its socket takes
// something, in the log and in the counters.
func TestSlowClients(t *testing.T) {
	for _, policy := range []SlowConsumer{Disconnect, DropNewest, DropOldest, KeepLatest} {
		var lines lineLog
		c, p := newSilent(t, Live{
			BacklogAgeMax: time.Second, SlowAfter: 400 * time.Millisecond, SlowConsumer: policy, PingInterval: -1,
		}, phaseRawSocket)
		l := c.loop
		l.engine.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
		l.engine.now = func() int64 { return int64(p.now) }
		k := &limitedTransport{}
		c.transport, c.peer.Address = k, "192.0.2.1:5"
		slow := func() int64 { return l.engine.Stats().Slow }
		flush := func() { l.flush(c) }
		for range 2 {
			appendEvents(c, "A")
			flush()
			later(c, p, 380*time.Millisecond)
			if slow() != 0 || lines.has("is slow") {
				t.Error("slow too early")
			}
			later(c, p, 150*time.Millisecond)
			if slow() != 1 || !lines.has("is slow", "events=1", "peer=192.0.2.1:5") {
				t.Errorf("%d are slow", slow())
			}
			k.room = eventBytes
			if !c.q.Writable() {
				t.Fatal("not writable")
			}
			flush()
			later(c, p, time.Second)
			if slow() != 0 || len(l.blocked) != 0 || l.blockedSweep.Due != 0 {
				t.Errorf("%d slow after it has read, %d are looked at", slow(), len(l.blocked))
			}
			later(c, p, logEvery)
			lines.clear()
		}
		appendEvents(c, "A")
		flush()
		later(c, p, 600*time.Millisecond)
		appendEvents(c, "B")
		later(c, p, 380*time.Millisecond)
		if n := l.engine.Stats(); n.EventsDropped+n.SlowConsumersClosed != 0 {
			t.Errorf("policy %d: dropped too early", policy)
		}
		later(c, p, 300*time.Millisecond)
		n := l.engine.Stats()
		if policy == Disconnect {
			if accepts(c) || n.SlowConsumersClosed != 1 {
				t.Errorf("%d closed", n.SlowConsumersClosed)
			}
		} else if got := unsent(c); got != "B" || n.EventsDropped != 1 {
			t.Errorf("policy %d: %q is left, %d dropped", policy, got, n.EventsDropped)
		}
		c.closeNow()
		later(c, p, time.Second)
		if slow() != 0 || len(l.blocked) != 0 {
			t.Errorf("%d are slow after the end", slow())
		}
	}
}

// A client is slow from SlowAfter on, and not before; at BacklogAgeMax its event goes. If only a reply is left in its
// queue, it is slow no more, though its socket takes nothing.
func TestSlowFrom(t *testing.T) {
	c, p := newSilent(t, Live{
		BacklogAgeMax: time.Second, SlowAfter: 400 * time.Millisecond, SlowConsumer: DropOldest, PingInterval: -1,
	}, phaseRawSocket)
	c.transport = &limitedTransport{}
	appendEvents(c, "A")
	reply(c.loop, c, []byte("reply"))
	c.loop.flush(c)
	for _, at := range []struct {
		age     time.Duration
		slow    bool
		dropped int64
	}{
		{400*time.Millisecond - 1, false, 0},
		{400 * time.Millisecond, true, 0},
		{time.Second - 1, true, 0},
		{time.Second, true, 1},
		{time.Second + 1, false, 1},
	} {
		_, still := c.stillBlocked(p.now + at.age)
		if s := c.loop.engine.Stats(); !still || c.isSlow != at.slow || s.EventsDropped != at.dropped {
			t.Errorf("after %v: slow %v, %d dropped, looked at again %v", at.age, c.isSlow, s.EventsDropped, still)
		}
	}
}

// A client that reads again, though nobody has reported it yet, is not called slow, and is neither closed nor loses
// its old events: its socket is asked before. If that takes only some of the events, the age of the others counts.
func TestReadsAgain(t *testing.T) {
	for _, policy := range []SlowConsumer{Disconnect, DropOldest} {
		for room, slow := range map[int]int64{0: 1, eventBytes: 1, 2 * eventBytes: 0} {
			for _, ageMax := range []time.Duration{0, time.Second, 400 * time.Millisecond, 200 * time.Millisecond} {
				var lines lineLog
				c, p := newSilent(t, Live{
					BacklogAgeMax: ageMax, SlowAfter: 400 * time.Millisecond, SlowConsumer: policy, PingInterval: -1,
				}, phaseRawSocket)
				l := c.loop
				l.engine.cfg.Log = slog.New(slog.NewTextHandler(&lines, nil))
				k := &limitedTransport{}
				c.transport = k
				appendEvents(c, "AB")
				l.flush(c)
				k.room = room
				later(c, p, 600*time.Millisecond)
				s := l.engine.Stats()
				lost := s.EventsDropped + s.SlowConsumersClosed
				aged := ageMax == 400*time.Millisecond || ageMax == 200*time.Millisecond
				if (lost > 0) != (slow > 0 && aged) || slow == 0 && lines.has("a client") {
					t.Errorf("policy %d, room for %d, for %v at most: %d dropped, %d closed", policy, room, ageMax,
						s.EventsDropped, s.SlowConsumersClosed)
				}
				if !aged && (s.Slow != slow || lines.has("is slow") != (slow > 0)) {
					t.Errorf("policy %d, room for %d: %d are slow", policy, room, s.Slow)
				}
				if slow == 0 && (len(l.blocked) != 0 || l.blockedSweep.Due != 0 || c.listedBlocked) {
					t.Error("it is looked at still")
				}
			}
		}
	}
}

// A slow client is slow no more with the flush that sends the last event, not only when it is looked at again; while
// one event waits it is.
func TestSlowUntilSent(t *testing.T) {
	c, p := newSilent(t, Live{SlowAfter: 400 * time.Millisecond, PingInterval: -1}, phaseRawSocket)
	k := &limitedTransport{}
	c.transport = k
	appendEvents(c, "AB")
	c.loop.flush(c)
	later(c, p, 600*time.Millisecond)
	if writes := c.loop.stats.writes.Load(); writes != 2 {
		t.Errorf("%d writes, want one to begin with and one before it is called slow", writes)
	}
	later(c, p, 600*time.Millisecond)
	if writes := c.loop.stats.writes.Load(); writes != 2 {
		t.Errorf("%d writes to a client that is known to be slow", writes)
	}
	for _, want := range []int64{1, 0} {
		k.room = eventBytes
		c.q.Writable()
		c.loop.flush(c)
		if n := c.loop.engine.Stats().Slow; n != want {
			t.Errorf("%d are slow, want %d", n, want)
		}
	}
}

// A client is slow no more when its socket takes something, though events still wait for their turn to be written.
func TestNotSlowWhileWritten(t *testing.T) {
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	appendEvents(c, "AB")
	c.setSlow(true)
	if c.lookAge(); c.isSlow || c.listedBlocked {
		t.Errorf("slow %v, looked at again %v", c.isSlow, c.listedBlocked)
	}
}

// If dropping older events of their topics does not make enough room, the oldest go too, and all are counted.
func TestKeepLatestDropsOldest(t *testing.T) {
	c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, SlowConsumer: KeepLatest, PingInterval: -1}, phaseRawSocket)
	appendEvents(c, "1Abc")
	c.AppendRun(c.loop, bytes.Repeat([]byte("D"), 3*eventBytes), 1, 1)
	if n := c.loop.engine.Stats().EventsDropped; n != 3 || c.dropped != 3 {
		t.Errorf("%d dropped", n)
	}
	if got := unsent(c); got != "cDDD" {
		t.Errorf("%s is left", got)
	}
}

// A session's own bounds last as long as they are set, for replies and invocations too.
func TestSetBacklog(t *testing.T) {
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	tail := func(class port.Class) bool {
		c.loop.flush(c)
		c.Lock()
		defer c.Unlock()
		buf, ok := c.Tail(class)
		if ok {
			c.Commit(c.loop, append(buf, make([]byte, 16<<10)...))
		}
		return ok
	}
	c.SetBacklog(&port.Backlog{BytesMax: 64 << 10})
	for i := range 5 {
		if got := tail(port.Invocation); got != (i < 4) {
			t.Errorf("invocation %d: %v", i, got)
		}
	}
	if !tail(port.Reply) {
		t.Error("no room for a reply in the reserve")
	}
	c.SetBacklog(nil)
	if !tail(port.Invocation) {
		t.Error("the bounds are still there")
	}
	c.SetBacklog(&port.Backlog{BytesMax: 64 << 10})
	if tail(port.Reply) || accepts(c) {
		t.Error("a reply beyond the reserve is taken")
	}
}

func TestCheckBacklog(t *testing.T) {
	for text, v := range map[string]Live{
		"at least 65536":     {BacklogBytesMax: 64<<10 - 1},
		"unknown slow":       {SlowConsumer: KeepLatest + 1},
		"events and of age":  {BacklogEventsMax: -1},
		"and of age of":      {BacklogAgeMax: -1},
		"a client is slow c": {SlowAfter: -1},
	} {
		if err := v.check(1); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	v := Live{BacklogBytesMax: 64 << 10, SlowConsumer: KeepLatest}
	if err := v.check(1); err != nil || v.SlowAfter != time.Second {
		t.Errorf("%v, slow after %v", err, v.SlowAfter)
	}
}
