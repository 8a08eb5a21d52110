//go:build linux

package engine

import (
	"math"
	"slices"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// startUnjoined runs an engine whose sessions join when they say so.
func startUnjoined(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e := start(t, cfg, func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(false)
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			switch string(b) {
			case "join":
				c.SetJoined(true)
			case "leave":
				c.SetJoined(false)
			}
			reply(x, c, b)
		}}
	})
	return e
}

// neverStuck has no connection count as one without progress, however slow a busy machine is: for tests of what
// connections hold, which fill them one by one. It comes before the engine, which then ends first.
func neverStuck(t *testing.T) {
	was := stuckSteps
	t.Cleanup(func() { stuckSteps = was })
	for i := range stuckSteps {
		stuckSteps[i] = time.Hour
	}
}

// F4: until a session is joined, and after it has left, a message has 64 KiB at most; one octet more fails at its
// header, before its octets come.
func TestF4MessagesBeforeJoining(t *testing.T) {
	t.Attr("checklist", "LIM-07")
	e := startUnjoined(t, Config{})
	raw := func(length int) []byte { return rawFrameOf(make([]byte, length))[:4] }
	web := func(length int) []byte { return masked(0x82, make([]byte, length))[:14] }
	for _, steps := range [][]string{nil, {"join", "leave"}} {
		p := dialRaw(t, e, codec.CBOR)
		for _, s := range steps {
			p.send(rawFrameOf([]byte(s)))
			p.expect(rawFrameOf([]byte(s)))
		}
		exact := rawFrameOf(make([]byte, joinBytesMax))
		p.send(exact)
		p.expect(exact)
		p.send(raw(joinBytesMax + 1))
		p.expectEnd()

		p = dialWS(t, e, "wamp.2.cbor")
		for _, s := range steps {
			p.send(binaryMsg([]byte(s)))
			p.expect(serverBin([]byte(s)))
		}
		p.send(binaryMsg(exact[4:]))
		p.expect(serverBin(exact[4:]))
		p.send(masked(0x02, exact[4:]), masked(0x80, []byte("x"))[:2+4]) // in fragments
		p.expectClose(1009)
		p = dialWS(t, e, "wamp.2.cbor")
		p.send(web(joinBytesMax + 1))
		p.expectClose(1009)
	}
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("join")))
	p.expect(rawFrameOf([]byte("join")))
	long := rawFrameOf(make([]byte, 1<<20))
	p.send(long)
	p.expect(long)
	if n := e.Stats().TooBig; n != 6 {
		t.Errorf("%d counted", n)
	}
}

// F4: at the bound the largest holder of a message under way goes, the others stay, and it happens again when it is
// needed again.
func TestF4BudgetClosesTheLargestPartials(t *testing.T) {
	t.Attr("checklist", "LIM-06")
	neverStuck(t)
	e := start(t, Config{BudgetBytes: budgetBytesMin}, echoes)
	var peers []*peer
	hold := func(bytes int) *peer {
		p := dialRaw(t, e, codec.CBOR)
		before := e.Stats().BytesIn
		p.send(rawFrameOf(make([]byte, 16<<20))[:bytes])
		eventually(t, "arrived", func() bool { return e.Stats().BytesIn >= before+int64(bytes) })
		return p
	}
	for range 2 {
		for range 6 {
			peers = append(peers, hold(1<<20))
		}
		large := dialRaw(t, e, codec.CBOR)
		_, _ = large.Write(rawFrameOf(make([]byte, 16<<20))[:12<<20]) // fails when it is closed
		eventually(t, "closed", func() bool { return e.Stats().Connections == 6 })
		eventually(t, "within the budget", func() bool { return e.Stats().HeldBytes <= budgetBytesMin })
		large.expectEnd()
		for _, p := range peers {
			p.Close()
		}
		eventually(t, "all is given back", func() bool {
			return e.Stats().HeldBytes == 0 && e.Stats().Connections == 0
		})
		peers = nil
	}
	if n := e.Stats().BudgetClosed; n != 2 {
		t.Errorf("%d closed", n)
	}
	now, peak := e.Held()
	if now != 0 || peak < budgetBytesMin {
		t.Errorf("held %d, at most %d", now, peak)
	}
	if _, peak = e.Held(); peak != 0 {
		t.Errorf("the peak is not forgotten: %d", peak)
	}
}

// F4: backlogs count too: private bytes of each, shared bytes once.
func TestF4BudgetCountsBacklogs(t *testing.T) {
	conns := make(chan port.Conn, 100)
	e := start(t, Config{Loops: 1, BudgetBytes: budgetBytesMin, Live: Live{SlowConsumer: DropNewest}}, collect(conns))
	const readers = 10
	var all []port.Conn
	for range readers {
		dialRaw(t, e, codec.CBOR)
		all = append(all, <-conns)
	}
	// An event of 12 MiB to each of ten is 12 MiB.
	event := rawFrameOf(make([]byte, 12<<20))
	on(e, 0, func(x port.Executor) {
		for _, c := range all {
			c.AppendRun(x, event, 1, 0)
		}
	})
	eventually(t, "blocked", func() bool { return e.Stats().HeldBytes >= 12<<20 })
	on(e, 0, func(x port.Executor) {}) // another turn, which looks at the budget
	if s := e.Stats(); s.HeldBytes > 13<<20 || s.BudgetClosed != 0 {
		t.Fatalf("%d bytes held, %d closed", s.HeldBytes, s.BudgetClosed)
	}
	// An answer of 12 MiB to one of them is too much: it holds most.
	on(e, 0, func(x port.Executor) { reply(x, all[3], make([]byte, 12<<20)) })
	eventually(t, "one is closed", func() bool { return e.Stats().BudgetClosed == 1 })
	eventually(t, "within the budget",
		func() bool { return e.Stats().HeldBytes <= 13<<20 && e.Stats().Connections == readers-1 })
	if n := e.Stats().BudgetClosed; n != 1 || !all[3].(*conn).finished.Load() {
		t.Errorf("%d closed, the largest among them: %v", n, all[3].(*conn).finished.Load())
	}
}

// The largest holders go first within a factor of two, on whichever loop they live.
func TestBudgetOrder(t *testing.T) {
	cfg := Config{Log: quiet(), Loops: 2, Listen: []string{"unix:none"}}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	e := newEngine(cfg, echoes)
	e.budget.bytesMax = 4 << 20
	var conns []*conn
	for i := range 2 {
		e.loops = append(e.loops, newLoop(e, i, &stillPoller{}))
	}
	for i, kib := range []int{64, 1900, 63, 2000, 300, 900, 70, 500} {
		l := e.loops[i%2]
		c := &conn{
			loop: l, fd: int32(i), phase: phaseRawSocket, transport: &scriptedTransport{},
			in: make([]byte, kib<<10),
		}
		l.book(kib << 10)
		l.enter(c)
		conns = append(conns, c)
	}
	for turns := range 100 {
		again := false
		for _, l := range e.loops {
			l.turn(nil)
			again = again || l.again || !l.mail.sleep()
		}
		if !again {
			break
		}
		if turns == 99 {
			t.Fatal("no rest")
		}
	}
	var gone []int
	for i, c := range conns {
		if c.phase == phaseClosed {
			gone = append(gone, i)
		}
	}
	if !slices.Equal(gone, []int{3}) || e.budget.evicting.Load() {
		t.Fatalf("closed %v", gone)
	}
}

// The default follows GOMEMLIMIT, and is at least 256 MiB.
func TestBudgetDefault(t *testing.T) {
	for limit, want := range map[int64]int64{8 << 30: 2 << 30, 1 << 20: 256 << 20} {
		if got := defaultBudget(limit); got != want {
			t.Errorf("limit %d: %d, want %d", limit, got, want)
		}
	}
	if got := defaultBudget(math.MaxInt64); got < 256<<20 {
		t.Errorf("%d", got)
	}
	if _, err := New(Config{BudgetBytes: budgetBytesMin - 1}, echoes); err == nil {
		t.Error("accepted too little")
	}
}

// A message that a session keeps counts against the budget until the session resumes, or is gone: sessions that wait
// with large messages are closed, the largest first, before they take more than there is.
func TestF4BudgetCountsKeptMessages(t *testing.T) {
	const message = 2 << 20 // in a buffer of up to twice that
	held := make(chan port.Conn, 16)
	e := start(t, Config{Loops: 1, BudgetBytes: budgetBytesMin}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, _ *session, b []byte) {
			if len(b) == message {
				c.Keep(b)
				c.Hold(x)
				held <- c
				return
			}
			reply(x, c, b)
		}}
	})
	var kept []port.Conn
	for range 3 {
		p := dialRaw(t, e, codec.CBOR)
		p.send(rawFrameOf(make([]byte, message)))
		kept = append(kept, <-held)
	}
	eventually(t, "counted", func() bool { return e.Stats().HeldBytes >= 3*message })
	if n := e.Stats().BudgetClosed; n != 0 {
		t.Fatalf("%d closed below the budget", n)
	}
	before := e.Stats().HeldBytes
	on(e, 0, func(x port.Executor) { kept[0].Resume(x) })
	eventually(t, "given back", func() bool { return e.Stats().HeldBytes <= before-message })
	for range 8 { // more than there is; the one that is closed may be the one that sends
		p := dialRaw(t, e, codec.CBOR)
		p.send(rawFrameOf(make([]byte, message)))
		eventually(t, "held or closed", func() bool { return len(held) > 0 || e.Stats().BudgetClosed > 0 })
		for len(held) > 0 {
			<-held
		}
	}
	eventually(t, "one is closed",
		func() bool { return e.Stats().BudgetClosed > 0 && e.Stats().HeldBytes <= budgetBytesMin })
	other := dialRaw(t, e, codec.CBOR)
	other.send(rawFrameOf([]byte("still there")))
	other.expect(rawFrameOf([]byte("still there")))
}

// F4: many connections that have not joined do not use up what joined clients need, though each of them holds less
// than is usually worth closing.
func TestF4StrangersGoFirst(t *testing.T) {
	t.Attr("checklist", "LIM-06")
	neverStuck(t)
	e := startUnjoined(t, Config{
		Loops: 1, BudgetBytes: budgetBytesMin, Live: Live{HandshakeTimeout: time.Hour, MessageTimeout: -1},
	})
	const each = 40_000
	joined := dialRaw(t, e, codec.CBOR)
	joined.send(rawFrameOf([]byte("join")))
	joined.expect(rawFrameOf([]byte("join")))
	message := rawFrameOf(make([]byte, 300_000))
	joined.send(message[:250_000])
	eventually(t, "counted", func() bool { return e.Stats().PartialBytes >= 250_000 })
	for range budgetBytesMin/each + 50 {
		p := dialRaw(t, e, codec.CBOR)
		_, _ = p.Write(rawFrameOf(make([]byte, joinBytesMax))[:each])
	}
	eventually(t, "some are closed", func() bool {
		return e.Stats().BudgetClosed > 0 && e.Stats().HeldBytes <= budgetBytesMin
	})
	joined.send(message[250_000:])
	joined.expect(message)
}

// F4: when a connection is closed whose message was waiting to be joined, its bytes are gone at once, so nobody else
// is closed for them; and messages that fit the budget one after the other are all handled.
func TestF4JoinsKeepTheBudget(t *testing.T) {
	const long, budget = 5 << 20, 20 << 20 // room for two and for one of them joined
	e := start(t, Config{Loops: 1, BudgetBytes: budget}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) { reply(x, c, b[:3]) }}
	})
	beside := dialRaw(t, e, codec.CBOR)
	small := rawFrameOf(make([]byte, 300_000))
	beside.send(small[:200_000])
	release := blockPool(t, e)
	send := func(n int64) *peer {
		p := dialRaw(t, e, codec.CBOR)
		p.send(rawFrameOf(patterned(long, byte(n))))
		eventually(t, "held", func() bool { return e.Stats().ReadPauses == n })
		return p
	}
	one, two := send(1), send(2)
	if s := e.Stats(); s.BudgetClosed != 0 || s.AsyncWork != int64(poolWorkers)+1 {
		t.Fatalf("%d closed, %d pieces of work", s.BudgetClosed, s.AsyncWork)
	}
	before := e.Stats().HeldBytes
	two.reset()
	eventually(t, "its bytes are gone", func() bool { return e.Stats().HeldBytes <= before-long })
	on(e, 0, func(x port.Executor) {
		if n := len(x.(*loop).joins.waiting); n != 0 {
			t.Errorf("%d joins still wait", n)
		}
	})
	three := send(3)
	close(release)
	one.expect(rawFrameOf(patterned(3, 1)))
	three.expect(rawFrameOf(patterned(3, 3)))
	beside.send(small[200_000:])
	beside.expect(rawFrameOf([]byte{0, 0, 0}))
	if n := e.Stats().BudgetClosed; n != 0 {
		t.Errorf("%d closed", n)
	}
}

// What sessions keep has half of the budget: one byte more is refused, and what is given back can be taken again. It
// counts among what is held.
func TestCharge(t *testing.T) {
	e := start(t, Config{BudgetBytes: budgetBytesMin}, echoes)
	const most = budgetBytesMin / keptShare
	done := make(chan bool)
	charge := func(n int, want bool) {
		t.Helper()
		e.Submit(0, func(x port.Executor) { done <- x.Charge(n) })
		if got := <-done; got != want {
			t.Errorf("%d more: %v", n, got)
		}
	}
	for range 2 {
		charge(most+1, false)
		charge(most-10, true)
		charge(11, false)
		charge(10, true)
		charge(1, false)
		if now, _ := e.Held(); now != most {
			t.Errorf("%d bytes are held, want %d", now, most)
		}
		charge(-most, true)
	}
	if now, _ := e.Held(); now != 0 {
		t.Errorf("%d bytes are held in the end", now)
	}
}
