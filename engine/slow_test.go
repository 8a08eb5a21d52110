//go:build linux

package engine

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"banyan/engine/port"
)

// unsent are the events that wait, by their first octet.
func unsent(c *conn) string {
	var taken capture
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

// later lets time pass on a loop that does not run, step by step as its timers would.
func later(c *conn, p *stillPoller, d time.Duration) {
	for end := p.now + d; p.now < end; {
		p.now += 10 * time.Millisecond
		c.loop.began = p.now
		c.loop.wheel.Advance(p.now, c.loop)
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
		} else if got := unsent2(c); got != "B" || n.EventsDropped != 1 {
			t.Errorf("policy %d: %q is left, %d dropped", policy, got, n.EventsDropped)
		}
		c.closeNow()
		later(c, p, time.Second)
		if slow() != 0 || len(l.blocked) != 0 {
			t.Errorf("%d are slow after the end", slow())
		}
	}
}

// unsent2 is unsent for a queue whose socket takes nothing.
func unsent2(c *conn) string {
	c.q.Writable()
	return unsent(c)
}

// A session's own bounds last as long as they are set, for replies and invocations too.
func TestSetBacklog(t *testing.T) {
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	tail := func(class port.Class) bool {
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
