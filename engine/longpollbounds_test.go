//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// do runs f on the loop of a session and waits for it.
func (s *pollSession) do(e *Engine, f func(x port.Executor)) {
	done := make(chan bool)
	e.Submit(s.c.(*conn).loop.index, func(x port.Executor) {
		f(x)
		close(done)
	})
	<-done
}

// TRN-48: a client that does not receive has bounds, and the policies of any other: it is closed, or misses events,
// visibly. Replies and order stay.
func TestLongPollPolicies(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-48")
	const each = 1000
	event := func(i int) []byte { return rawFrameOf(fmt.Appendf(nil, "%0*d", each-wire.RawPrefixBytes, i)) }
	for _, policy := range []SlowConsumer{Disconnect, DropNewest, DropOldest} {
		cfg := pollConfig()
		cfg.BacklogBytesMax, cfg.SlowConsumer = 64<<10, policy
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		p := dial(t, e)
		at := p.opened("wamp.2.cbor")
		s := <-opened
		s.do(e, func(x port.Executor) { reply(x, s.c, []byte("first")) })
		const events = 200
		for i := range events {
			s.do(e, func(x port.Executor) { s.c.AppendRun(x, event(i), 1, 0) }) // each is flushed before the next
		}
		if policy == Disconnect {
			<-s.gone
			if a := p.post(at+"/receive", nil); a.status != 404 {
				t.Errorf("%+v", a)
			}
			st := e.Stats()
			if st.SlowConsumersClosed != 1 || st.EventsLost == 0 || st.LongPolls != 0 || st.HeldBytes != 0 {
				t.Errorf("%+v", st)
			}
			continue
		}
		p.post(at+"/receive", nil).want(t, 200, "first")
		dropped := int(e.Stats().EventsDropped)
		kept := events - dropped
		if kept > 64<<10/each || kept < 50 {
			t.Fatalf("policy %d: %d dropped", policy, dropped)
		}
		from := 0
		if policy == DropOldest {
			from = dropped
		}
		for i := range kept {
			p.post(at+"/receive", nil).want(t, 200, string(event(from + i)[wire.RawPrefixBytes:]))
		}
		s.do(e, func(x port.Executor) { reply(x, s.c, []byte("last")) })
		p.post(at+"/receive", nil).want(t, 200, "last")
		if st := e.Stats(); st.HeldBytes != 0 || st.EventsLost != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// A client whose events wait is called slow; it is not any more when they are gone.
func TestLongPollIsSlow(t *testing.T) {
	t.Parallel()
	cfg := pollConfig()
	cfg.SlowAfter = 20 * time.Millisecond
	opened := make(chan *pollSession, 1)
	e := start(t, cfg, pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	for range 2 {
		s.do(e, func(x port.Executor) { s.c.AppendRun(x, rawFrameOf([]byte("x")), 1, 0) })
		eventually(t, "it is slow", func() bool { return e.Stats().Slow == 1 })
		p.post(at+"/receive", nil).want(t, 200, "x")
		eventually(t, "it is not slow", func() bool { return e.Stats().Slow == 0 })
	}
}

// Octets and system calls count where an answer is written, and only there.
func TestLongPollCountsOnce(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	const octets = 100_000
	s.do(e, func(x port.Executor) { s.c.AppendRun(x, rawFrameOf(make([]byte, octets)), 1, 0) })
	if a := p.post(at+"/receive", nil); len(a.body) != octets {
		t.Fatalf("%d octets", len(a.body))
	}
	s.do(e, func(port.Executor) {}) // the turn that wrote the answer has counted it
	if st := e.Stats(); st.BytesOut < octets || st.BytesOut > octets+1000 || st.Writes != 2 {
		t.Errorf("%d bytes out in %d writes", st.BytesOut, st.Writes)
	}
}

// Where the budget is exceeded a session goes as any connection: the one that holds most, in messages that it did not
// fetch or in bodies that wait.
func TestLongPollEviction(t *testing.T) {
	cfg := pollConfig()
	cfg.BudgetBytes = budgetBytesMin
	opened := make(chan *pollSession, 2)
	e := start(t, cfg, pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	other := p.opened("wamp.2.cbor")
	<-opened
	long := bytes.Repeat([]byte("x"), 5<<20)
	for range 5 {
		q := dial(t, e)
		go q.Write(pollRequestText(at+"/send", long)) // is echoed
		if q.answer().status != 204 {
			break
		}
	}
	<-s.gone
	if a := dial(t, e).post(at+"/receive", nil); a.status != 404 {
		t.Errorf("%+v", a)
	}
	dial(t, e).post(other+"/send", []byte("y")).want(t, 204, "")
	dial(t, e).post(other+"/receive", nil).want(t, 200, "y")
	if st := e.Stats(); st.BudgetClosed == 0 {
		t.Errorf("%+v", st)
	}
	eventually(t, "all is free", func() bool { return e.Stats().HeldBytes == 0 && e.Stats().PartialBytes == 0 })
}

// While a session waits, bodies wait, in their order, and count; so many and no more. If it ends, they are refused.
func TestLongPollHold(t *testing.T) {
	for _, ends := range []bool{false, true} {
		cfg := pollConfig()
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		p := dial(t, e)
		at := p.opened("wamp.2.json.batched")
		s := <-opened
		s.do(e, func(x port.Executor) { s.c.Hold(x) })
		poll := pollOf(e, at)
		state := func() (count, size int) {
			s.do(e, func(port.Executor) { count, size = poll.sendCount, poll.sendBytes })
			return count, size
		}
		const sends = 5
		var peers []*peer
		for i := range sends {
			q := dial(t, e)
			q.send(pollRequestText(at+"/send", fmt.Appendf(nil, "a%d\x1Eb%d\x1E", i, i)))
			eventually(t, "it waits, or is under way", func() bool {
				n, _ := state()
				var held int64
				s.do(e, func(port.Executor) { held = poll.c.held() })
				return n == i && held > 0
			})
			peers = append(peers, q)
		}
		if _, size := state(); size < (sends-1)*1<<bufferShiftMin {
			t.Errorf("%d bytes wait", size)
		}
		var held int64
		s.do(e, func(port.Executor) { held = poll.c.held() })
		if held < sends*1<<bufferShiftMin {
			t.Errorf("%d bytes held", held)
		}
		if ends {
			p.post(at+"/close", nil).want(t, 204, "")
			<-s.gone
			for _, q := range peers {
				if a := q.answer(); a.status != 404 {
					t.Errorf("%+v", a)
				}
			}
		} else {
			s.do(e, func(x port.Executor) { s.c.Resume(x) })
			for _, q := range peers {
				q.answer().want(t, 204, "")
			}
			if n, size := state(); n != 0 || size != 0 {
				t.Errorf("%d with %d bytes wait", n, size)
			}
			var want strings.Builder
			for i := range sends {
				fmt.Fprintf(&want, "a%d\x1Eb%d\x1E", i, i)
			}
			p.post(at+"/receive", nil).want(t, 200, want.String())
		}
		eventually(t, "nothing is kept", func() bool {
			s := e.Stats()
			return s.PartialBytes == 0 && s.HeldBytes == 0
		})
	}
}

// More requests than that do not wait.
func TestLongPollSendsAreBounded(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	at := dial(t, e).opened("wamp.2.json")
	s := <-opened
	poll := pollOf(e, at)
	s.do(e, func(x port.Executor) { s.c.Hold(x) })
	// The first connection is one of the session's, too; one of the sends is under way, and does not wait.
	for range longPollCarriersMax - 1 {
		p := dial(t, e)
		p.send(pollRequestText(at+"/send", []byte("x")))
	}
	eventually(t, "all wait", func() (all bool) {
		s.do(e, func(port.Executor) { all = poll.sendCount == longPollCarriersMax-2 })
		return all
	})
	for _, verb := range []string{"/send", "/receive", "/close"} {
		p := dial(t, e) // is answered at the head
		p.send([]byte("POST " + at + verb + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"))
		if a := p.answer(); a.status != 429 || !a.closes {
			t.Errorf("%+v", a)
		}
	}
	if n := e.Stats().LongPollsCrowded; n != 3 {
		t.Errorf("%d counted", n)
	}
	s.do(e, func(x port.Executor) { s.c.Resume(x) })
	eventually(t, "most are closed", func() bool {
		poll.mu.Lock()
		defer poll.mu.Unlock()
		return poll.carriers == longPollCarriersKept
	})
	for range longPollCarriersMax - 1 {
		dial(t, e).post(at+"/receive", nil).want(t, 200, "x")
	}
}

// A session in the middle of a batch that has no credit any more waits; messages behind keep their order. One that
// has much unsent in answers is not handled further either.
func TestLongPollCredit(t *testing.T) {
	cfg := pollConfig()
	cfg.CreditBytes, cfg.BacklogBytesMax = 10, 64<<10
	opened := make(chan *pollSession, 1)
	got := make(chan string, 100)
	e := start(t, cfg, func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{&session{c: c}, make(chan struct{})}
		s.receive = func(x port.Executor, s *session, b []byte) {
			if got <- string(b); string(b) == "spend" {
				c.Spend(10)
			} else if string(b) == "large" {
				reply(x, c, make([]byte, 20<<10))
			}
		}
		opened <- s
		return s
	})
	p := dial(t, e)
	at := p.opened("wamp.2.json.batched")
	s := <-opened
	expect := func(all ...string) {
		t.Helper()
		for _, want := range all {
			if m := <-got; m != want {
				t.Fatalf("got %q, want %q", m, want)
			}
		}
		if len(got) > 0 {
			t.Fatalf("got %q, too", <-got)
		}
	}
	for range 2 {
		p.send(pollRequestText(at+"/send", []byte("a\x1Espend\x1Eb\x1E")))
		expect("a", "spend")
		q := dial(t, e)
		q.send(pollRequestText(at+"/send", []byte("c\x1E")))
		eventually(t, "it waits", func() (waits bool) {
			s.do(e, func(port.Executor) { waits = pollOf(e, at).sendCount == 1 })
			return waits
		})
		s.do(e, func(x port.Executor) { s.c.Refund(x, 10) })
		p.answer().want(t, 204, "")
		q.answer().want(t, 204, "")
		expect("b", "c")

		p.post(at+"/send", []byte("large\x1E")).want(t, 204, "")
		p.send(pollRequestText(at+"/send", []byte("d\x1E"))) // more than a quarter of the bound is unsent
		expect("large")
		eventually(t, "it is held", func() (held bool) {
			s.do(e, func(port.Executor) { held = s.c.(*conn).hold&holdBacklog != 0 })
			return held
		})
		if a := dial(t, e).post(at+"/receive", nil); a.status != 200 || len(a.body) != 20<<10+1 {
			t.Errorf("%d, %d octets", a.status, len(a.body))
		}
		p.answer().want(t, 204, "")
		expect("d")
	}
}

// A receive that takes the place of another counts as a message. When the second is used up the newest waits all the
// same and gets what comes; those that it released learn so when the second is over, or when the session ends.
func TestLongPollReceivesAreRated(t *testing.T) {
	const most = 3
	cfg := pollConfig()
	cfg.MessagesPerSecondMax = most
	opened := make(chan *pollSession, 1)
	e := start(t, cfg, pollSessions(opened))
	for _, ends := range []bool{false, true} {
		p := dial(t, e)
		at := p.opened("wamp.2.json")
		s := <-opened
		push := func(msg string) {
			s.do(e, func(x port.Executor) { reply(x, s.c, []byte(msg)) })
		}
		for range 4 * most { // these bring messages
			push("m")
			p.post(at+"/receive", nil).want(t, 200, "m")
		}
		c := s.c.(*conn)
		s.do(e, func(x port.Executor) { // a second that is long
			c.countRate(0)
			c.rate.messages, c.rate.began = 0, x.(*loop).began+time.Hour
		})
		state := func() (late int, held bool) {
			s.do(e, func(port.Executor) {
				late, held = pollOf(e, at).lateCount, c.hold&holdRate != 0
			})
			return late, held
		}
		var held []*peer
		for i := range most + 3 {
			q := dial(t, e)
			q.send(pollRequestText(at+"/receive", nil))
			eventually(t, "it waits", func() bool {
				return waiting(t, e, at).carrier.peer.Address == q.LocalAddr().String()
			})
			held = append(held, q)
			late, rated := state()
			if i <= most && (late != 0 || rated != (i == most)) || i > most && late != i-most {
				t.Fatalf("%d: %d late, rated %v", i, late, rated)
			}
			if i > 0 && i <= most {
				held[i-1].answer().want(t, 204, "")
			}
		}
		push("new")
		held[most+2].answer().want(t, 200, "new")
		if ends {
			p.post(at+"/close", nil).want(t, 204, "")
		} else {
			s.do(e, func(x port.Executor) {
				c.rate.began = x.(*loop).began - time.Minute
				c.endRatePause()
			})
		}
		for _, q := range held[most : most+2] {
			q.answer().want(t, 204, "")
		}
		s.do(e, func(port.Executor) {
			if n := c.longPoll().lateCount; n != 0 {
				t.Errorf("%d answers still wait", n)
			}
		})
	}
	if n := e.Stats().RatePauses; n != 2 {
		t.Errorf("%d pauses", n)
	}
}

// A handler that panics costs its session, not the connection's loop, nor others on the same connection.
func TestLongPollPanic(t *testing.T) {
	opened := make(chan *pollSession, 3)
	bad := true
	e := start(t, pollConfig(), func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{echoes(x, c).(*session), make(chan struct{})}
		if bad {
			bad = false
			s.receive = func(port.Executor, *session, []byte) { panic("receive") }
		}
		s.closed = func(port.Executor, *session) { close(s.gone) }
		opened <- s
		return s
	})
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	other := p.opened("wamp.2.cbor")
	if a := p.post(at+"/send", []byte("x")); a.status != 400 || !a.closes {
		t.Errorf("%+v", a)
	}
	<-s.gone
	p = dial(t, e)
	p.post(other+"/send", []byte("x")).want(t, 204, "")
	p.post(other+"/receive", nil).want(t, 200, "x")
	if st := e.Stats(); st.Panics != 1 || st.PartialBytes != 0 {
		t.Errorf("%+v", st)
	}
}

// Numbers of connections without a descriptor are nobody else's, also after the last one.
func TestVirtualDescriptors(t *testing.T) {
	l := newStillConn(newEngine(Config{}, echoes)).loop
	if fd := l.virtualDescriptor(); fd != -1 {
		t.Errorf("%d", fd)
	}
	l.conns[-2], l.conns[-1] = &conn{}, &conn{}
	if fd := l.virtualDescriptor(); fd != -3 {
		t.Errorf("%d", fd)
	}
	l.virtual = -1<<31 + 1
	if fd := l.virtualDescriptor(); fd != -1<<31 {
		t.Errorf("%d", fd)
	}
	if fd := l.virtualDescriptor(); fd != -3 {
		t.Errorf("%d", fd)
	}
}

// TestPollMessagesAreCutAnywhere: the messages of an answer do not depend on how they lie in the queue.
func TestPollMessagesAreCutAnywhere(t *testing.T) {
	var stream []byte
	lengths := []int{1, 300, 2, 70_000, 5}
	for i, n := range lengths {
		stream = append(stream, rawFrameOf(bytes.Repeat([]byte{byte('a' + i)}, n))...)
	}
	for _, v := range []codec.Framing{codec.WebSocket, codec.WebSocketBatch} {
		c := &conn{}
		c.batched = v == codec.WebSocketBatch
		c.variant = codec.MakeVariant(codec.CBOR, codec.RawSocket)
		for cut := range 400 {
			m := pollMessages{batched: c.batched}
			c.q.Lock()
			for _, b := range [][]byte{stream[:cut], stream[cut : cut+3], stream[cut+3:]} {
				if len(b) > 0 {
					c.q.Link(b, false)
				}
			}
			c.q.Unlock()
			c.q.Flush(&cutter{m: &m}, nil, 0, 0)
			all := bytes.Join(m.pieces, nil)
			want := stream
			if !c.batched {
				want = stream[wire.RawPrefixBytes:][:1]
			}
			if !bytes.Equal(all, want) || m.bytes != len(want) {
				t.Fatalf("cut at %d: %d octets, %d counted, want %d", cut, len(all), m.bytes, len(want))
			}
			var rest capture
			c.q.Writable()
			c.q.Flush(&rest, nil, 0, 0)
			if c.batched != (len(rest) == 0) || !c.batched && !bytes.Equal(rest, stream[wire.RawPrefixBytes+1:]) {
				t.Fatalf("cut at %d: %d octets left", cut, len(rest))
			}
		}
	}
}

// A cutter is a Sender that takes one answer's messages.
type cutter struct {
	m     *pollMessages
	taken bool
}

func (s *cutter) Send(_ int, _ *outq.Vectors, first *outq.Segment) (int, error) {
	if s.taken {
		return 0, outq.ErrAgain
	}
	s.taken = true
	s.m.cut(first)
	return s.m.used, nil
}
