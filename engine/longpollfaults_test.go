//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A browser's question before a request is answered, and its connection ends: it opens one for that alone. With a
// body it is no such question.
func TestCarrierPreflightEnds(t *testing.T) {
	e := start(t, pollConfig(), echoes)
	for body, status := range map[string]int{"": 204, "abc": 405} {
		p := dial(t, e)
		p.send(fmt.Appendf(nil, "OPTIONS /lp/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body))
		if a := p.answer(); a.status != status || !a.closes {
			t.Errorf("with %q: %+v", body, a)
		}
		p.expectEnd()
	}
}

// A receive that is held when the session ends is answered 204 if the end is in order, though no message says
// goodbye, and else 404.
func TestLongPollHeldAtTheEnd(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	for _, c := range []struct {
		status int
		end    func(x port.Executor, c *conn)
	}{
		{204, func(x port.Executor, c *conn) {
			c.Lock()
			c.Finish(x, port.CloseNormal, "")
			c.Unlock()
		}},
		{404, func(_ port.Executor, c *conn) { c.loop.evict(c) }},
	} {
		p, held := dial(t, e), dial(t, e)
		at := p.opened("wamp.2.cbor")
		s := <-opened
		held.send(pollRequestText(at+"/receive", nil))
		waiting(t, e, at)
		s.do(e, func(x port.Executor) { c.end(x, s.c.(*conn)) })
		if a := held.answer(); a.status != c.status || !a.closes {
			t.Errorf("%+v, want %d", a, c.status)
		}
		<-s.gone
	}
}

// Of requests that wait when a message ends the session, each is answered; they count no more. A request that comes
// afterwards is answered at once, and the messages before the end can still be fetched.
func TestLongPollSendsBehindTheEnd(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{&session{c: c}, make(chan struct{})}
		s.closed = func(port.Executor, *session) { close(s.gone) }
		s.receive = func(x port.Executor, _ *session, _ []byte) {
			reply(x, c, []byte("GOODBYE"))
			c.Lock()
			c.Finish(x, port.CloseNormal, "")
			c.Unlock()
		}
		opened <- s
		return s
	})
	at := dial(t, e).opened("wamp.2.cbor")
	s := <-opened
	poll := pollOf(e, at)
	s.do(e, func(x port.Executor) { s.c.Hold(x) })
	var sends []*peer
	for i := range 4 {
		p := dial(t, e)
		p.send(pollRequestText(at+"/send", bytes.Repeat([]byte("x"), 5000)))
		eventually(t, "it waits", func() (waits bool) {
			s.do(e, func(port.Executor) { waits = poll.sending != nil && poll.sendCount == i })
			return waits
		})
		sends = append(sends, p)
	}
	s.do(e, func(x port.Executor) { s.c.Resume(x) })
	for i, p := range sends {
		if a := p.answer(); a.status != map[bool]int{true: 204, false: 404}[i == 0] {
			t.Errorf("send %d: %+v", i, a)
		}
	}
	late := dial(t, e)
	if a := late.post(at+"/send", []byte("y")); a.status != 404 || !a.closes {
		t.Errorf("%+v", a)
	}
	p := dial(t, e)
	p.post(at+"/receive", nil).want(t, 200, "GOODBYE")
	<-s.gone
	s.do(e, func(port.Executor) {
		if poll.sendCount != 0 || poll.sendBytes != 0 {
			t.Errorf("%d requests with %d bytes still count", poll.sendCount, poll.sendBytes)
		}
	})
}

// An address without a place for one more session leaves nothing counted for the one that was refused.
func TestLongPollRefusedCountsNothing(t *testing.T) {
	cfg := pollConfig()
	cfg.ConnectionsPerAddressMax, cfg.HandshakesMax = 1, 3
	e := start(t, cfg, echoes)
	dial(t, e).opened("wamp.2.cbor")
	for range 5 {
		p := dial(t, e)
		if a := p.post("/lp/open", []byte(`{"protocols":["wamp.2.cbor"]}`)); a.status != 503 {
			t.Fatalf("%+v", a)
		}
		p.Close()
	}
	eventually(t, "no opening handshake is counted", func() bool { return e.admission.unopened.Load() == 0 })
}

// A session that ends while the router stops does not wait for its client's close.
func TestLongPollStopsAtOnce(t *testing.T) {
	t.Parallel()
	released := make(chan bool, 1)
	opened := make(chan *session, 1)
	stopping := make(chan bool)
	cfg := withLog(pollConfig())
	cfg.Loops = 1
	e, err := New(cfg, func(x port.Executor, c port.Conn) port.Handler {
		s := echoes(x, c).(*session)
		s.shutdown = func(port.Executor, *session) { close(stopping) } // it says goodbye later
		s.closed = func(port.Executor, *session) { released <- c.(*conn).released }
		opened <- s
		return s
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	p, held := dial(t, e), dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	held.send(pollRequestText(at+"/receive", nil))
	c := waiting(t, e, at).poll.c
	ended := make(chan error)
	go func() { ended <- e.Stop(t.Context()) }()
	<-stopping
	if a := p.post("/lp/open", []byte(`{"protocols":["wamp.2.cbor"]}`)); a.status != 503 || !a.closes {
		t.Errorf("opened while it stops: %+v", a)
	}
	c.loop.post(note{kind: noteDone, job: jobFunc(func(x port.Executor) {
		reply(x, s.c, []byte("GOODBYE"))
		c.Lock()
		c.Finish(x, port.CloseGoingAway, "")
		c.Unlock()
	})})
	held.answer().want(t, 200, "GOODBYE")
	if !<-released {
		t.Error("it lingers")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type jobFunc func(x port.Executor)

func (f jobFunc) Run(x port.Executor, _ int) bool {
	f(x)
	return false
}

// The log tells that the client has closed a session, and nothing of connections that carried its requests.
func TestLongPollCloseIsLogged(t *testing.T) {
	var lines lineLog
	cfg := pollConfig()
	cfg.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opened := make(chan *pollSession, 1)
	e := start(t, cfg, pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	q := dial(t, e)
	q.post(at+"/send", []byte("x")).want(t, 204, "")
	q.Close()
	eventually(t, "only the session and its first connection are there", func() bool {
		return e.Stats().Connections == 2
	})
	if lines.has("connection lost") {
		t.Error("the log calls a connection of the session lost")
	}
	p.post(at+"/close", nil).want(t, 204, "")
	<-s.gone
	if !lines.has("connection lost", "transport=longpoll", errHungUp.Error()) {
		t.Error("the log does not tell")
	}
}

// A session that is ending has its time, however often its client asks.
func TestLongPollEndIsBounded(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	s := <-opened
	c := s.c.(*conn)
	s.do(e, func(x port.Executor) {
		reply(x, c, []byte("one"))
		reply(x, c, []byte("GOODBYE"))
		c.Lock()
		c.Finish(x, port.CloseNormal, "")
		c.Unlock()
	})
	due := func() (at int64, ending bool) {
		s.do(e, func(port.Executor) { at, ending = c.timer.Due, c.ending })
		return at, ending
	}
	eventually(t, "it winds down", func() bool { _, ending := due(); return ending })
	before, _ := due()
	p.post(at+"/receive", nil).want(t, 200, "one")
	if after, _ := due(); after != before {
		t.Errorf("it had time until %d, and has until %d", before, after)
	}
	p.post(at+"/receive", nil).want(t, 200, "GOODBYE")
	<-s.gone
}

// A session from which nobody receives any more ends, also if its last receive had an answer.
func TestLongPollIdleBehindAnswer(t *testing.T) {
	t.Parallel()
	opened := make(chan *pollSession, 1)
	e := startPoll(t, pollConfig(), 100*time.Millisecond, 300*time.Millisecond, pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor")
	p.post(at+"/send", []byte("x")).want(t, 204, "")
	p.post(at+"/receive", nil).want(t, 200, "x")
	eventually(t, "it has ended", func() bool { return e.Stats().LongPollTimeouts == 1 })
	<-(<-opened).gone
}

// The time without a receive begins when the last one ends, be it answered or its connection gone.
func TestLongPollIdleBegins(t *testing.T) {
	e := newEngine(Config{}, echoes)
	now := int64(0)
	e.now = func() int64 { return now }
	p := &longPoll{c: newStillConn(e)}
	for what, end := range map[string]func(r *pollRequest){
		"answered": func(*pollRequest) { p.takeWaiting() },
		"gone":     func(r *pollRequest) { p.forget(r) },
	} {
		r := &pollRequest{}
		p.waiting, p.since = r, now
		now += 1000
		p.forget(&pollRequest{}) // of another one
		if p.waiting != r {
			t.Error("another receive ended it")
		}
		if end(r); p.waiting != nil || p.since != now {
			t.Errorf("%s: since %d, want %d", what, p.since, now)
		}
	}
}

// A receive waits as long as any other, however long ago the last one was answered.
func TestLongPollHoldBegins(t *testing.T) {
	c := newStillCarrier(t, Config{})
	e := c.loop.engine
	now := int64(0)
	e.now = func() int64 { return now }
	e.longPollHold, e.longPollIdle = time.Second, time.Minute
	p := &longPoll{c: c}
	c.transport = p
	now += int64(time.Second) / 2
	r := &pollRequest{carrier: c, poll: p, verb: wire.PollReceive, keeps: true}
	p.receive(r)
	for _, after := range []time.Duration{time.Second - 1, 1} {
		if p.waiting != r {
			t.Fatalf("answered before %v", time.Duration(now))
		}
		now += int64(after)
		p.timeout()
	}
	if p.waiting != nil {
		t.Error("it waits still")
	}
}

// Messages stay if the connection of the receive that they are for is broken meanwhile: the next receive gets them.
func TestLongPollCarrierBreaks(t *testing.T) {
	t.Parallel()
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	p, gone := dial(t, e), dial(t, e)
	at := p.opened("wamp.2.json")
	s := <-opened
	gone.send(pollRequestText(at+"/receive", nil))
	carrier := waiting(t, e, at).carrier
	s.do(e, func(x port.Executor) {
		carrier.q.Lock()
		carrier.breakLocked(errHungUp)
		carrier.q.Unlock()
		reply(x, s.c, []byte("message"))
	})
	eventually(t, "nobody receives", func() bool {
		poll := pollOf(e, at)
		poll.mu.Lock()
		defer poll.mu.Unlock()
		return poll.waiting == nil
	})
	p.post(at+"/receive", nil).want(t, 200, "message")
}

// newStillCarrier is newStillConn for one that carries requests.
func newStillCarrier(t *testing.T, cfg Config) *conn {
	t.Helper()
	e := newEngine(cfg, echoes)
	if err := e.cfg.check(); err != nil {
		t.Fatal(err)
	}
	e.live.Store(&e.cfg.Live)
	c := newStillConn(e)
	c.loop.live = &e.cfg.Live
	c.q.Open(-1, nil)
	c.phase, c.carrier = phaseHTTP, &carrier{}
	return c
}

// A receive that got nothing waits again, or is released if there is a newer one, or nobody waits for its answer.
func TestLongPollPutsBack(t *testing.T) {
	c := newStillCarrier(t, Config{})
	p := &longPoll{c: c}
	r, newer := &pollRequest{carrier: c, verb: wire.PollReceive, keeps: true}, &pollRequest{}
	p.putBack(c.loop, r)
	if p.waiting != r || c.q.Bytes() > 0 {
		t.Errorf("waits: %v, %d bytes", p.waiting == r, c.q.Bytes())
	}
	p.waiting = newer
	p.putBack(c.loop, r)
	var sent capture
	c.q.Flush(&sent, &c.loop.vectors, 0, 0)
	if p.waiting != newer || !bytes.HasPrefix(sent, []byte("HTTP/1.1 204 ")) {
		t.Errorf("the newer waits: %v, answered %q", p.waiting == newer, sent)
	}
	p.waiting = nil
	for name, wait := range map[string]func(*pollRequest){
		"put back": func(r *pollRequest) { p.putBack(c.loop, r) }, "new": p.receive,
	} {
		sent = nil
		wait(&pollRequest{carrier: c, verb: wire.PollReceive, keeps: true, forgotten: true})
		c.q.Flush(&sent, &c.loop.vectors, 0, 0)
		if p.waiting != nil || !bytes.HasPrefix(sent, []byte("HTTP/1.1 204 ")) {
			t.Errorf("%s: one that is forgotten waits: %v, answered %q", name, p.waiting != nil, sent)
		}
	}
}

// A connection that held messages for a session does not any more when the next request begins, if all was written.
func TestCarrierForgetsWhatIsWritten(t *testing.T) {
	c := newStillCarrier(t, Config{})
	p := &longPoll{}
	c.carrier.delivered = []*longPoll{p}
	c.append([]byte("unsent"))
	c.beginRequest(&pollRequest{}, 0)
	if !slices.Contains(c.carrier.delivered, p) {
		t.Error("forgotten, though messages are unsent")
	}
	var sent capture
	c.q.Flush(&sent, &c.loop.vectors, 0, 0)
	c.beginRequest(&pollRequest{}, 0)
	if c.carrier.delivered != nil {
		t.Error("still held, though all is written")
	}
}

// The body of a request of a stranger has to be there within the time of an opening handshake, even if it goes on.
// That of a joined client only has to go on; it may take its time if messages may.
func TestCarrierBodyTimes(t *testing.T) {
	const handshake, message = 2 * time.Second, 3 * time.Second
	for _, test := range []struct {
		name          string
		joined, goes  bool
		message, want time.Duration // want: 0 for never
	}{
		{"a stranger is silent", false, false, message, handshake},
		{"a stranger trickles", false, true, message, handshake},
		{"a stranger is silent, messages are short", false, false, time.Second, handshake},
		{"a stranger trickles, messages may take for ever", false, true, -1, handshake},
		{"a client is silent", true, false, message, message},
		{"a client is silent, messages are short", true, false, time.Second, time.Second},
		{"a client trickles", true, true, message, 0},
		{"a client is silent, messages may take for ever", true, false, -1, 0},
	} {
		c := newStillCarrier(t, Config{Live: Live{HandshakeTimeout: handshake, MessageTimeout: test.message}})
		l, p := c.loop, c.loop.poller.(*stillPoller)
		c.joined = test.joined
		c.beginRequest(&pollRequest{carrier: c, verb: wire.PollSend}, 1000)
		ended := time.Duration(0)
		for ended == 0 && p.now < 2*message {
			p.now += 100 * time.Millisecond
			l.began = p.now
			l.wheel.Advance(p.now, l)
			if c.closing {
				ended = p.now
			} else if test.goes {
				c.takeBody([]byte("x"))
			}
		}
		if ended != test.want {
			t.Errorf("%s: ended after %v, want %v", test.name, ended, test.want)
		}
		if n := l.engine.Stats().MessageTimeouts; n != int64(min(test.want, 1)) {
			t.Errorf("%s: %d message timeouts", test.name, n)
		}
	}
}

// A client that does not read its answers is not asked for more requests until it does.
func TestCarrierWaitsForReader(t *testing.T) {
	c := newStillCarrier(t, Config{Live: Live{BacklogBytesMax: 64 << 10}})
	for _, octets := range []int{1, highWater(c.bounds())} {
		c.carrier, c.hold = &carrier{request: &pollRequest{}, waits: true}, holdAnswer
		c.append(make([]byte, octets))
		c.answered()
		if held := c.hold&holdBacklog != 0; held != (octets > 1) || c.hold&holdAnswer != 0 {
			t.Errorf("hold %b with %d bytes unsent", c.hold, c.q.Bytes())
		}
	}
}

// While the engine stops, a connection between two requests has little time; one with a request under way has the
// same as before.
func TestCarrierKeptAtTheEnd(t *testing.T) {
	for _, busy := range []bool{false, true} {
		c := newStillCarrier(t, Config{})
		if busy {
			c.carrier.request = &pollRequest{}
		}
		c.loop.stopping = true
		c.loop.Start(&c.timer, time.Hour)
		before := c.timer.Due
		c.shutdown()
		if changed := c.timer.Due != before; changed == busy {
			t.Errorf("busy %v: time until %d, then %d", busy, before, c.timer.Due)
		}
	}
}

// What a joined session may do is nothing of another one's on the same connection.
func TestCarrierOfStrangers(t *testing.T) {
	t.Parallel()
	joined := make(chan bool, 2)
	e := start(t, pollConfig(), func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(<-joined)
		return echoes(x, c)
	})
	joined <- true
	joined <- false
	p := dial(t, e)
	first, stranger := p.opened("wamp.2.cbor"), p.opened("wamp.2.cbor")
	long := make([]byte, joinBytesMax+1)
	p.post(first+"/send", long).want(t, 204, "")
	p.send(fmt.Appendf(nil, "POST %s/send HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", stranger, len(long)))
	if a := p.answer(); a.status != 413 {
		t.Errorf("%+v", a)
	}
}

// A client that takes its time for an answer behind which its connection ends keeps its session, as long as it takes
// some. While the engine stops there is no time for that.
func TestCarrierFinishesSlowly(t *testing.T) {
	for _, stopping := range []bool{false, true} {
		c := newStillCarrier(t, Config{})
		l := c.loop
		l.stopping = stopping
		c.append([]byte("an answer"))
		c.fail(port.CloseNormal, "")
		var sent capture
		c.q.Flush(halfSender{&sent}, &l.vectors, 0, 0)
		c.onTimer(l)
		if c.closing != stopping {
			t.Errorf("stopping %v: closed %v", stopping, c.closing)
		}
		c.onTimer(l) // no progress
		if !c.closing {
			t.Errorf("stopping %v: still open", stopping)
		}
	}
}

// The time without a receive begins when the answer to the last one is written: no client can send the next one while
// it reads.
func TestLongPollIdleBehindLongAnswer(t *testing.T) {
	reader := newStillCarrier(t, Config{})
	l := reader.loop
	e := l.engine
	now := int64(0)
	e.now = func() int64 { return now }
	p := &longPoll{}
	p.c = &conn{loop: l, phase: phaseLongPoll, transport: p}
	r := &pollRequest{carrier: reader, verb: wire.PollReceive, poll: p, keeps: true}
	if !r.answer(l, 200, plainText, []byte("an answer")) {
		t.Fatal("its connection takes none")
	}
	for range 3 {
		now += int64(e.longPollIdle) - 1
		if p.timeout(); p.c.closing {
			t.Fatal("it ended while its client reads")
		}
	}
	var sent capture
	reader.q.Flush(&sent, &l.vectors, 0, 0)
	now += int64(e.longPollIdle) - 1
	if p.timeout(); p.c.closing || p.reader != nil {
		t.Fatal("it ended early, or holds a connection that it needs no more")
	}
	now++
	if p.timeout(); !p.c.closing || e.Stats().LongPollTimeouts != 1 {
		t.Error("still open")
	}
}
