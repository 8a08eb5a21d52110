//go:build linux

package engine

import (
	"testing"
	"time"

	"banyan/codec"
)

// newSilent makes an open connection on a loop that does not run, whose time moves only when told.
func newSilent(t *testing.T, live Live, phase phase) (*conn, *stillPoller) {
	t.Helper()
	cfg := Config{Live: live, Log: quiet()}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	c := newStillConn(newEngine(cfg, nil))
	c.phase, c.handler, c.transport = phase, &session{c: c}, &limitedTransport{}
	c.credit.Store(1)
	c.loop.enter(c)
	return c, c.loop.poller.(*stillPoller)
}

// pinged lets one interval pass and reports whether the connection is still good.
func pinged(c *conn, p *stillPoller) bool {
	var taken capture
	c.q.Flush(&taken, nil, 0, 0)
	return deaf(c, p)
}

// deaf is pinged for a client that takes nothing.
func deaf(c *conn, p *stillPoller) (alive bool) {
	p.now += c.loop.live.PingInterval
	c.loop.wheel.Advance(p.now, c.loop)
	return !c.finished.Load()
}

// Pings count as missed in a row: whatever the client says in between begins the count anew, however often.
func TestMissedPingsInARow(t *testing.T) {
	c, p := newSilent(t, Live{PingInterval: time.Second, PingTimeout: 3 * time.Second}, phaseWebSocket)
	c.heard = true
	c.keepAlive()
	for range 5 {
		for range 2 {
			if !pinged(c, p) {
				t.Fatal("closed although it said something in between")
			}
		}
		k := &scriptedTransport{in: []byte{0x8A}} // one octet is enough
		c.transport = k
		c.read()
		c.dropKept()
		if !pinged(c, p) {
			t.Fatal("closed although it has just said something")
		}
	}
	if c.missed != 0 {
		t.Fatalf("%d missed", c.missed)
	}
	for n := 1; n <= 3; n++ {
		if alive := pinged(c, p); alive != (n < 3) {
			t.Fatalf("missed %d of 3: alive %v", n, alive)
		}
	}
	if n := c.loop.engine.Stats().PingTimeouts; n != 1 {
		t.Fatalf("%d counted", n)
	}
}

// A scriptedTransport gives out in, and takes everything.
type scriptedTransport struct {
	capture
	in    []byte
	reads int
}

func (k *scriptedTransport) read(_ int, b []byte) (int, error) {
	k.reads++
	n := copy(b, k.in)
	k.in = k.in[n:]
	return n, nil
}
func (k *scriptedTransport) failure(int) error { return nil }
func (k *scriptedTransport) shutdown(int)      {}
func (k *scriptedTransport) close(int)         {}

// F10: a client for which there are octets has to take some, whatever it says and for whatever reason it is not read;
// while the router has a reason not to read, it need not say anything.
func TestF10BacklogMissesPings(t *testing.T) {
	for _, c := range []struct {
		name  string
		hold  hold
		takes bool
		says  bool
		alive bool
	}{
		{"backlog, takes nothing", holdBacklog, false, false, false},
		{"backlog, takes some", holdBacklog, true, false, true},
		{"backlog and credit, takes nothing", holdBacklog | holdCredit, false, false, false},
		{"credit", holdCredit, true, false, true},
		{"its session waits", holdSession, true, false, true},
		{"its session waits, takes nothing", holdSession, false, false, false},
		{"reads and says nothing", 0, true, false, false},
		{"says something", 0, true, true, true},
		{"says something, takes nothing", 0, false, true, false},
	} {
		conn, p := newSilent(t, Live{PingInterval: time.Second}, phaseWebSocket)
		conn.heard = true
		conn.keepAlive()
		conn.hold = c.hold
		alive := true
		for range 10 {
			conn.heard = conn.heard || c.says
			if c.takes {
				alive = alive && pinged(conn, p)
			} else {
				alive = alive && deaf(conn, p)
			}
		}
		if alive != c.alive {
			t.Errorf("%s: alive %v after 10 pings", c.name, alive)
		}
	}
}

// RawSocket clients are pinged by option only. Their PONG, or anything else, is a sign of life.
func TestRawSocketPings(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Live: Live{PingInterval: 60 * time.Millisecond, RawSocketPings: true}}, echoes)
	p := dialRaw(t, e, codec.CBOR)
	for range 6 {
		p.expect(rawPingFrame)
		p.send([]byte{2, 0, 0, 0})
	}
	p.expect(rawPingFrame)
	p.expect(rawPingFrame)
	p.expectEnd()
	if n := e.Stats().PingTimeouts; n != 1 {
		t.Errorf("%d counted", n)
	}
	off := start(t, Config{Live: Live{PingInterval: 20 * time.Millisecond}}, echoes)
	p = dialRaw(t, off, codec.CBOR)
	_ = p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if b, err := p.r.ReadByte(); err == nil {
		t.Fatalf("got %x", b)
	}
}

// F4: what comes between the frames of a message is no progress of it: pongs, pings, and fragments without an octet.
func TestF4OnlyOctetsOfTheMessageAreProgress(t *testing.T) {
	t.Attr("checklist", "LIM-08")
	const limit = 8 * time.Second
	for name, between := range map[string]struct {
		frame []byte
		alive bool
	}{
		"pong":           {masked(0x8A, []byte("x")), false},
		"half a pong":    {masked(0x8A, []byte("xyz"))[:4], false},
		"empty fragment": {masked(0x00, nil), false},
		"an octet":       {masked(0x00, []byte("x")), true},
	} {
		c, p := newSilent(t, Live{MessageTimeout: limit, PingInterval: -1}, phaseWebSocket)
		c.binary, c.joined = true, true
		say := func(b []byte) {
			c.transport = &scriptedTransport{in: b}
			c.loop.began = p.now
			c.read()
		}
		say(masked(0x02, []byte("begun")))
		for range 2 * limit / time.Second {
			p.now += time.Second
			if say(between.frame); name == "half a pong" {
				c.dropKept() // as if the rest had come
			}
			c.loop.wheel.Advance(p.now, c.loop)
		}
		if alive := !c.finished.Load(); alive != between.alive {
			t.Errorf("%s: alive %v", name, alive)
		}
	}
}

// F4: a message that makes no progress is not waited for; one that does is, however slow. Time in which the router
// does not read does not count.
func TestF4UnfinishedMessageHasADeadline(t *testing.T) {
	t.Attr("checklist", "LIM-08")
	const limit = 8 * time.Second
	message := rawFrameOf(make([]byte, 100))
	open := func() (*conn, *stillPoller, func(n int), func(d time.Duration) bool) {
		c, p := newSilent(t, Live{MessageTimeout: limit, PingInterval: -1}, phaseRawSocket)
		c.announced = 15
		rest := message
		send := func(n int) {
			k := &scriptedTransport{in: rest[:n:n]}
			c.transport, rest = k, rest[n:]
			c.loop.began = p.now
			c.read()
		}
		pass := func(d time.Duration) bool {
			for range d / time.Second {
				p.now += time.Second
				c.loop.began = p.now
				c.loop.wheel.Advance(p.now, c.loop)
			}
			return !c.finished.Load()
		}
		return c, p, send, pass
	}
	for _, octets := range []int{1, 4, 50} { // in the prefix, before and within the message
		c, _, send, pass := open()
		send(octets)
		if !pass(limit - time.Second) {
			t.Errorf("%d octets: closed early", octets)
		}
		if pass(limit/unfinishedSweeps + 2*time.Second) {
			t.Errorf("%d octets: not closed", octets)
		}
		if n := c.loop.engine.Stats().MessageTimeouts; n != 1 {
			t.Errorf("%d octets: %d counted", octets, n)
		}
	}
	c, _, send, pass := open()
	for range 10 {
		send(10)
		if !pass(limit - time.Second) {
			t.Fatal("closed although it makes progress")
		}
	}
	send(4)
	if c.part != nil || len(c.in) != 0 || !pass(10*limit) || c.listed || c.loop.sweep.Due != 0 {
		t.Fatal("a finished message is still waited for")
	}
	c, _, send, pass = open()
	send(50)
	c.Hold(nil)
	if !pass(10 * limit) {
		t.Fatal("closed while the router did not read")
	}
	c.Resume(nil)
	c.loop.handleDeferred()
	if !pass(limit-time.Second) || pass(limit) {
		t.Fatal("the time does not begin anew after a hold")
	}
}

// A connection that another loop accepted and that says nothing gets its handshake timer, although nothing ever wakes
// its loop but the nudge.
func TestSilentArrivalHasAHandshakeTimer(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Loops: 2, Live: Live{HandshakeTimeout: 200 * time.Millisecond}}, echoes)
	dial(t, e).expectEnd() // dealt to loop 1; loop 0 accepts
	eventually(t, "all is counted out", func() bool {
		return e.loops[0].homed.Load()+e.loops[1].homed.Load() == 0 && e.Stats().Connections == 0
	})
	if n := e.Stats().HandshakeTimeouts; n != 1 {
		t.Fatalf("%d counted", n)
	}
}

// Settings change while the engine runs; a bad set changes nothing; connections that are there follow.
func TestApply(t *testing.T) {
	origins := []string{"*"}
	e := start(t, Config{Loops: 1, Live: Live{ConnectionsMax: 10, PingInterval: -1}}, echoes)
	old := dialRaw(t, e, codec.CBOR)
	oldWeb := dialWS(t, e, "wamp.2.cbor")
	if err := e.Apply(Live{MessageBytesMax: 1}); err == nil {
		t.Fatal("accepted")
	}
	if e.live.Load().ConnectionsMax != 10 {
		t.Fatal("a bad set changed something")
	}
	if err := e.Apply(Live{
		MessageBytesMax: 1024, ConnectionsMax: 3, Origins: origins,
		PingInterval: -1,
	}); err != nil {
		t.Fatal(err)
	}
	origins[0] = "changed by the caller"
	if got := e.live.Load().Origins[0]; got != "*" {
		t.Errorf("origins are shared with the caller: %q", got)
	}
	// RawSocket was told 16 MiB, and that is kept; WebSocket was told nothing.
	big := make([]byte, 2000)
	old.send(rawFrameOf(big))
	old.expect(rawFrameOf(big))
	oldWeb.send(binaryMsg(big[:1024]))
	oldWeb.expect(serverBin(big[:1024]))
	fresh := dialRaw(t, e, codec.CBOR) // is told 1024: see dialRaw
	fresh.send(rawFrameOf(big[:1024]))
	fresh.expect(rawFrameOf(big[:1024]))
	over := dial(t, e)
	over.send([]byte{0x7F, 0xF1, 0, 0})
	over.expect([]byte{0x7F, 0x40, 0, 0})
	fresh.send(rawFrameOf(big[:1025]))
	fresh.expectEnd()
	oldWeb.send(binaryMsg(big[:1025]))
	oldWeb.expectClose(1009)
}
