//go:build linux

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// startPoll runs an engine whose long-poll sessions have these times.
func startPoll(t *testing.T, cfg Config, hold, idle time.Duration, open port.Opener) *Engine {
	t.Helper()
	return startPrepared(t, cfg, open, func(e *Engine) { e.longPollHold, e.longPollIdle = hold, idle })
}

// TRN-38: a send that nobody can decode, an empty one, or a broken batch is 400, and the session is aborted: the
// client still gets the ABORT. What stands before it in a batch takes effect.
func TestLongPollUndecodable(t *testing.T) {
	t.Attr("checklist", "TRN-38")
	opened := make(chan *pollSession, 1)
	got := make(chan string, 10)
	e := start(t, pollConfig(), func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{&session{c: c}, make(chan struct{})}
		s.closed = func(port.Executor, *session) { close(s.gone) }
		s.violate = func(x port.Executor, s *session, _ *codec.Violation) { reply(x, c, []byte("ABORT")) }
		s.receive = func(x port.Executor, s *session, b []byte) {
			got <- string(b)
			if string(b) == "bad" {
				reply(x, c, []byte("ABORT"))
				c.Lock()
				c.Finish(x, port.CloseViolation, "")
				c.Unlock()
			}
		}
		opened <- s
		return s
	})
	for _, c := range []struct{ protocol, body, got string }{
		{"wamp.2.json", "bad", "bad"},
		{"wamp.2.json", "", ""},
		{"wamp.2.cbor", "", ""},
		{"wamp.2.json.batched", "", ""},
		{"wamp.2.json.batched", "a\x1Eb", "a"},
		{"wamp.2.json.batched", "a\x1Ebad\x1Ec\x1E", "a bad"},
		{"wamp.2.cbor.batched", "\x00\x00\x00\x01a\x00\x00\x00\x09b", "a"},
	} {
		p := dial(t, e)
		at := p.opened(c.protocol)
		s := <-opened
		a := p.post(at+"/send", []byte(c.body))
		if a.status != 400 || !a.closes {
			t.Fatalf("%s %q: %+v", c.protocol, c.body, a)
		}
		for want := range strings.FieldsSeq(c.got) {
			if m := <-got; m != want {
				t.Errorf("%s %q: got %q, want %q", c.protocol, c.body, m, want)
			}
		}
		if len(got) > 0 {
			t.Errorf("%s %q: got %q, too", c.protocol, c.body, <-got)
		}
		p = dial(t, e)
		p.post(at+"/receive", nil).want(t, 200, string(entry(c.protocol, "ABORT")))
		<-s.gone
		if a := p.post(at+"/receive", nil); a.status != 404 {
			t.Errorf("%+v", a)
		}
	}
}

// TRN-40: close ends the transport. A held receive is released, messages that wait are dropped, and the id is
// nobody's.
func TestLongPollCloses(t *testing.T) {
	t.Attr("checklist", "TRN-40")
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	for _, pending := range []bool{false, true} {
		p, held := dial(t, e), dial(t, e)
		at := p.opened("wamp.2.json")
		s := <-opened
		if pending {
			p.post(at+"/send", []byte("lost")).want(t, 204, "")
		} else {
			held.send(pollRequestText(at+"/receive", nil))
			waiting(t, e, at)
		}
		p.post(at+"/close", nil).want(t, 204, "")
		<-s.gone
		if !pending {
			held.answer().want(t, 204, "")
		}
		for _, verb := range []string{"/receive", "/send", "/close"} {
			p := dial(t, e)
			if a := p.post(at+verb, []byte("x")); a.status != 404 || !a.closes {
				t.Errorf("%s: %+v", verb, a)
			}
		}
	}
	if s := e.Stats(); s.LongPolls != 0 || s.Sessions != 0 || s.Violations != 0 {
		t.Errorf("%+v", s)
	}
}

// A session that has said goodbye waits a moment for the client's close, which is answered 204; any other request is
// 404, and so is everything afterwards.
func TestLongPollAfterGoodbye(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	for _, code := range []port.CloseCode{port.CloseNormal, port.ClosePolicy} {
		p := dial(t, e)
		at := p.opened("wamp.2.json")
		s := <-opened
		e.Submit(pollOf(e, at).c.loop.index, func(x port.Executor) {
			reply(x, s.c, []byte("GOODBYE"))
			s.c.Lock()
			s.c.Finish(x, code, "")
			s.c.Unlock()
		})
		p.post(at+"/receive", nil).want(t, 200, "GOODBYE")
		<-s.gone
		if st := e.Stats(); st.Sessions != 0 || st.LongPolls != 1 {
			t.Errorf("%+v", st)
		}
		for _, verb := range []string{"/receive", "/send"} {
			if a := dial(t, e).post(at+verb, []byte("x")); a.status != 404 {
				t.Errorf("%+v", a)
			}
		}
		p.post(at+"/close", nil).want(t, 204, "")
		eventually(t, "it is forgotten", func() bool { return e.Stats().LongPolls == 0 })
		if a := dial(t, e).post(at+"/close", nil); a.status != 404 {
			t.Errorf("%+v", a)
		}
	}
	if s := e.Stats(); s.LingersCut != 0 {
		t.Errorf("%+v", s)
	}
}

// TRN-41: a session that nobody receives from ends; one with receives lives on. A receive that gets nothing is
// answered 204, and the client asks again.
func TestLongPollIdle(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-41")
	opened := make(chan *pollSession, 2)
	const idle = 600 * time.Millisecond
	e := startPoll(t, pollConfig(), idle/30, idle, pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	s := <-opened
	began := time.Now()
	last := began
	for time.Since(began) < 2*idle {
		last = time.Now()
		p.post(at+"/receive", nil).want(t, 204, "")
		select {
		case <-s.gone:
			t.Fatal("ended though there were receives")
		default:
		}
	}
	other := dial(t, e).opened("wamp.2.json") // which never receives
	<-s.gone
	if d := time.Since(last); d < idle*(longPollLooks-1)/longPollLooks {
		t.Errorf("ended after %v", d)
	}
	<-(<-opened).gone
	for _, at := range []string{at, other} {
		if a := dial(t, e).post(at+"/receive", nil); a.status != 404 {
			t.Errorf("%+v", a)
		}
	}
	if n := e.Stats().LongPollTimeouts; n != 2 {
		t.Errorf("%d timeouts", n)
	}
}

// TRN-42: the parameter x, and any other, is ignored.
func TestLongPollQuery(t *testing.T) {
	t.Attr("checklist", "TRN-42")
	e := start(t, pollConfig(), echoes)
	p := dial(t, e)
	if a := p.post("/lp/open?x=1", []byte(`{"protocols":["wamp.2.json"]}`)); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	at := p.opened("wamp.2.json")
	p.post(at+"/send?x=2&y", []byte("[1]")).want(t, 204, "")
	p.post(at+"/receive?x=3", nil).want(t, 200, "[1]")
	p.post(at+"/close?x", nil).want(t, 204, "")
}

// TRN-43: a second receive releases the first one empty, and gets what comes; nothing is lost and nothing comes
// twice, however many there are on however many loops.
func TestLongPollSecondReceive(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-43")
	for loops := 1; loops <= 3; loops++ {
		cfg := pollConfig()
		cfg.Loops = loops
		e := start(t, cfg, echoes)
		sends := dial(t, e)
		at := sends.opened("wamp.2.json")
		older, newer := dial(t, e), dial(t, e)
		older.send(pollRequestText(at+"/receive", nil))
		waiting(t, e, at)
		for i := range 50 {
			newer.send(pollRequestText(at+"/receive", nil))
			older.answer().want(t, 204, "")
			msg := fmt.Sprint(i)
			sends.post(at+"/send", []byte(msg)).want(t, 204, "")
			newer.answer().want(t, 200, msg)
			newer.send(pollRequestText(at+"/receive", nil))
			waiting(t, e, at)
			older, newer = newer, older
		}
		// Many at once, while messages come.
		const receivers, messages = 4, 500
		got := make(chan string, messages)
		var running sync.WaitGroup
		for range receivers {
			p := dial(t, e)
			running.Go(func() {
				for {
					_, err := p.Write(pollRequestText(at+"/receive", nil))
					a, answered := p.tryAnswer()
					switch {
					case errors.Join(err, answered) != nil:
						t.Error(err, answered)
						return
					case a.status == 404, a.closes:
						return
					case a.status == 200:
						got <- a.body
					}
				}
			})
		}
		older.answer().want(t, 204, "")
		for i := range messages {
			sends.post(at+"/send", fmt.Append(nil, i)).want(t, 204, "")
		}
		seen := map[string]bool{}
		for range messages {
			m := <-got
			if seen[m] {
				t.Fatalf("%s came twice", m)
			}
			seen[m] = true
		}
		sends.post(at+"/close", nil).want(t, 204, "")
		running.Wait()
	}
}

// A client that hangs up while its receive is held loses nothing: the next receive gets the message.
func TestLongPollReceiveHangsUp(t *testing.T) {
	t.Parallel()
	for loops := 1; loops <= 2; loops++ {
		cfg := pollConfig()
		cfg.Loops = loops
		e := start(t, cfg, echoes)
		sends := dial(t, e)
		at := sends.opened("wamp.2.json")
		for i := range 20 {
			held := dial(t, e)
			held.send(pollRequestText(at+"/receive", nil))
			waiting(t, e, at)
			if i%2 == 0 {
				held.reset()
			} else {
				held.Close()
			}
			p := pollOf(e, at)
			eventually(t, "nothing is held", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.waiting == nil
			})
			msg := fmt.Sprint(i)
			sends.post(at+"/send", []byte(msg)).want(t, 204, "")
			dial(t, e).post(at+"/receive", nil).want(t, 200, msg)
		}
		if s := e.Stats(); s.LongPollsBroken != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// The same if octets behind the receive keep the router from reading that the client has closed: the receive is
// released, and requests behind it take effect. The poller is not asked again and again.
func TestLongPollReceiveClosesPipelined(t *testing.T) {
	for loops := 1; loops <= 2; loops++ {
		cfg := pollConfig()
		cfg.Loops = loops
		e := start(t, cfg, echoes)
		sends := dial(t, e)
		at := sends.opened("wamp.2.json")
		receive := string(pollRequestText(at+"/receive", nil))
		for _, c := range []struct{ behind, comes string }{
			{"\r\n", ""},
			{"P", ""},
			{receive, ""},
			{receive + receive + "\r\n", ""},
			{string(pollRequestText(at+"/send", []byte("sent"))), "sent"},
		} {
			for _, later := range []bool{false, true} {
				accepted := e.Stats().Accepted
				held := dial(t, e)
				held.send([]byte(receive + c.behind))
				if later {
					waiting(t, e, at)
				}
				if c.behind == receive || strings.Contains(c.behind, "sent") {
					_ = held.Conn.(*net.TCPConn).CloseWrite() // a reset would be noticed anyway
				} else {
					held.Close()
				}
				eventually(t, "it ends", func() bool {
					s := e.Stats()
					return s.Accepted == accepted+1 && s.Connections == 2
				})
				if c.comes != "" {
					sends.post(at+"/receive", nil).want(t, 200, c.comes)
				}
				sends.post(at+"/send", []byte("x")).want(t, 204, "")
				sends.post(at+"/receive", nil).want(t, 200, "x")
			}
		}
		if s := e.Stats(); s.LongPollsBroken != 0 || s.LongPollTimeouts != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Messages that were on their way to a connection which ends are lost, so the session ends, and its client learns.
func TestLongPollAnswerLost(t *testing.T) {
	t.Parallel()
	for loops := 1; loops <= 2; loops++ {
		cfg := pollConfig()
		cfg.Loops = loops
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		sends := dial(t, e)
		at := sends.opened("wamp.2.cbor")
		s := <-opened
		long := bytes.Repeat([]byte("x"), 15<<20)
		sends.post(at+"/send", long).want(t, 204, "")
		lazy := dial(t, e)
		lazy.send(pollRequestText(at+"/receive", nil))
		if _, err := lazy.r.ReadByte(); err != nil {
			t.Fatal(err)
		}
		lazy.reset()
		<-s.gone
		if a := dial(t, e).post(at+"/receive", nil); a.status != 404 {
			t.Errorf("%+v", a)
		}
		if st := e.Stats(); st.LongPollsBroken != 1 {
			t.Errorf("%+v", st)
		}
	}
}

// A connection may hold messages of several sessions. All of them end with it if their messages were not written; one
// whose messages were does not. With messages of so many sessions it takes no further request.
func TestLongPollAnswersLost(t *testing.T) {
	t.Parallel()
	for _, sessions := range []int{2, deliveredMax} {
		opened := make(chan *pollSession, deliveredMax+2)
		e := start(t, pollConfig(), pollSessions(opened))
		sends := dial(t, e)
		written := sends.opened("wamp.2.cbor")
		<-opened
		lazy := dial(t, e)
		sends.post(written+"/send", []byte("x")).want(t, 204, "")
		lazy.post(written+"/receive", nil).want(t, 200, "x")
		var requests []byte
		var bases []string
		var all []*pollSession
		long := bytes.Repeat([]byte("x"), 15<<20) // more than sockets take
		for range sessions + 1 {
			at := sends.opened("wamp.2.cbor")
			bases, all = append(bases, at), append(all, <-opened)
			sends.post(at+"/send", long).want(t, 204, "")
			long = []byte("y")
			requests = append(requests, pollRequestText(at+"/receive", nil)...)
		}
		lazy.send(requests)
		taken := sessions + 1
		if sessions == deliveredMax {
			taken = deliveredMax // the last of them is answered with the end
		}
		for _, at := range bases[:taken] {
			eventually(t, "its message is on the way", func() (empty bool) {
				c := pollOf(e, at).c
				c.q.Lock()
				defer c.q.Unlock()
				return c.q.Bytes() == 0
			})
		}
		lazy.reset()
		for _, s := range all[:taken] {
			<-s.gone
		}
		for _, at := range bases[taken:] {
			dial(t, e).post(at+"/receive", nil).want(t, 200, "y")
		}
		sends.post(written+"/send", []byte("z")).want(t, 204, "")
		dial(t, e).post(written+"/receive", nil).want(t, 200, "z")
		if st := e.Stats(); st.LongPollsBroken != int64(taken) {
			t.Errorf("%+v", st)
		}
	}
}

// However many messages of one session a connection holds unwritten, they are of one session: it stays.
func TestLongPollAnswersOfOne(t *testing.T) {
	t.Parallel()
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	sends, lazy := dial(t, e), dial(t, e)
	at := sends.opened("wamp.2.cbor")
	<-opened
	long := bytes.Repeat([]byte("x"), 15<<20) // more than sockets take
	sends.post(at+"/send", long).want(t, 204, "")
	for range deliveredMax + 1 {
		sends.post(at+"/send", []byte("y")).want(t, 204, "")
	}
	lazy.send(bytes.Repeat(pollRequestText(at+"/receive", nil), deliveredMax+2))
	eventually(t, "all is on the way", func() (empty bool) {
		c := pollOf(e, at).c
		c.q.Lock()
		defer c.q.Unlock()
		return c.q.Bytes() == 0
	})
	lazy.answer().want(t, 200, string(long))
	for range deliveredMax + 1 {
		lazy.answer().want(t, 200, "y")
	}
	sends.post(at+"/send", []byte("z")).want(t, 204, "")
	lazy.post(at+"/receive", nil).want(t, 200, "z")
}

// While the engine stops, sessions say goodbye over the connections that are there, and then these end.
func TestLongPollStop(t *testing.T) {
	t.Parallel()
	cfg := pollConfig()
	opened := make(chan *pollSession, 1)
	e, err := New(withLog(cfg), goodbyeSessions(opened))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	p, held := dial(t, e), dial(t, e)
	at := p.opened("wamp.2.json")
	s := <-opened
	held.send(pollRequestText(at+"/receive", nil))
	waiting(t, e, at)
	ended := make(chan error)
	go func() { ended <- e.Stop(t.Context()) }()
	held.answer().want(t, 200, "GOODBYE")
	p.post(at+"/send", []byte("GOODBYE")).want(t, 204, "")
	<-s.gone
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.expectEnd()
	held.expectEnd()
	if st := e.Stats(); st.Connections != 0 || st.LongPolls != 0 {
		t.Errorf("%+v", st)
	}
}

// Clients with a connection for each request get the goodbye, and can answer it, too. Others are refused, and the
// listener is open no longer than it is needed for that.
func TestLongPollStopFreshConnections(t *testing.T) {
	t.Parallel()
	opened := make(chan *pollSession, 1)
	e, err := New(withLog(pollConfig()), goodbyeSessions(opened))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	s := <-opened
	ended := make(chan error)
	go func() { ended <- e.Stop(t.Context()) }()
	p.expectEnd()
	dial(t, e).post(at+"/receive", nil).want(t, 200, "GOODBYE")
	if !dial(t, e).isRefused() {
		t.Error("let in")
	}
	for _, request := range [][]byte{
		pollRequestText("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`)), upgradeRequest("wamp.2.json"),
		[]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
	} {
		q := dial(t, e)
		q.send(request)
		if a := q.answer(); a.status != 503 || a.body != "the router is about to stop\n" {
			t.Errorf("%+v", a)
		}
	}
	dial(t, e).post(at+"/send", []byte("GOODBYE")).want(t, 204, "")
	<-s.gone
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if st := e.Stats(); st.Connections != 0 || st.LongPolls != 0 || st.LongPollsLetIn != 2 {
		t.Errorf("%+v", st)
	}
}

func withLog(cfg Config) Config {
	cfg.Log, cfg.Loops = quiet(), 2
	return cfg
}

// A message in every form that the queue of a session can hold comes out as it went in, alone and in batches with
// others, and JSON batches end as the client ends its own.
func TestLongPollForms(t *testing.T) {
	for _, name := range pollProtocols {
		for _, oldEnd := range []bool{false, true} {
			opened := make(chan *pollSession, 1)
			e := start(t, pollConfig(), pollSessions(opened))
			p := dial(t, e)
			at := p.opened(name)
			s := <-opened
			if oldEnd {
				if name != "wamp.2.json.batched" {
					continue
				}
				p.post(at+"/send", []byte("first\x18")).want(t, 204, "")
				p.post(at+"/receive", nil).want(t, 200, "first\x18")
			}
			home := pollOf(e, at).c.loop.index
			long := strings.Repeat("y", 3*pieceLinked)
			frame := func(m string) []byte { return rawFrameOf([]byte(m)) }
			e.Submit(home, func(x port.Executor) {
				reply(x, s.c, []byte("reply"))
				s.c.AppendRun(x, append(frame("event 1"), frame("event 2")...), 2, 0)
				s.c.AppendRun(x, frame(long), 1, 0)
				whole := frame(long)
				s.c.Lock()
				const cut = 10 + 2*pieceLinked
				s.c.AppendPieces(x, port.Reply, [][]byte{whole[:10], whole[10:cut], whole[cut:]})
				s.c.Unlock()
				reply(x, s.c, []byte(long+long))
				s.c.AppendRun(x, frame("last"), 1, 0)
			})
			want := []string{"reply", "event 1", "event 2", long, long, long + long, "last"}
			if !strings.HasSuffix(name, ".batched") {
				for _, m := range want {
					p.post(at+"/receive", nil).want(t, 200, m)
				}
				continue
			}
			var all string
			for _, m := range want {
				b := string(entry(name, m))
				if oldEnd {
					b = m + "\x18"
				}
				all += b
			}
			p.post(at+"/receive", nil).want(t, 200, all)
		}
	}
}

// A batch takes no further message once it is long; the next receive gets the rest.
func TestLongPollBatchIsBounded(t *testing.T) {
	opened := make(chan *pollSession, 1)
	e := start(t, pollConfig(), pollSessions(opened))
	p := dial(t, e)
	at := p.opened("wamp.2.cbor.batched")
	s := <-opened
	m := bytes.Repeat([]byte("z"), longPollBatchBytes/4-wire.RawPrefixBytes) // four make it long
	e.Submit(pollOf(e, at).c.loop.index, func(x port.Executor) {
		for range 9 {
			s.c.AppendRun(x, rawFrameOf(m), 1, 0)
		}
	})
	b := string(rawFrameOf(m))
	for _, n := range []int{4, 4, 1} {
		p.post(at+"/receive", nil).want(t, 200, strings.Repeat(b, n))
	}
	// It becomes long within a message: that one is in it, whole.
	long := rawFrameOf(bytes.Repeat([]byte("y"), 2*longPollBatchBytes))
	s.do(e, func(x port.Executor) {
		reply(x, s.c, []byte("short"))
		s.c.Lock()
		s.c.AppendPieces(x, port.Reply, [][]byte{long[:4+longPollBatchBytes], long[4+longPollBatchBytes:]})
		s.c.Unlock()
		reply(x, s.c, []byte("last"))
	})
	p.post(at+"/receive", nil).want(t, 200, string(rawFrameOf([]byte("short")))+string(long))
	p.post(at+"/receive", nil).want(t, 200, string(rawFrameOf([]byte("last"))))
}

// goodbyeSessions say goodbye when the engine stops, and end when it is answered.
func goodbyeSessions(opened chan<- *pollSession) func(x port.Executor, c port.Conn) port.Handler {
	return func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{echoes(x, c).(*session), make(chan struct{})}
		s.shutdown = func(x port.Executor, s *session) { reply(x, c, []byte("GOODBYE")) }
		s.receive = func(x port.Executor, s *session, b []byte) {
			c.Lock()
			c.Finish(x, port.CloseGoingAway, "")
			c.Unlock()
		}
		s.closed = func(port.Executor, *session) { close(s.gone) }
		opened <- s
		return s
	}
}
