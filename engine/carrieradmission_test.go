//go:build linux

package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"banyan/engine/port"
)

// A session counts as a connection of its address, its requests do not; and it counts among all connections.
func TestCarrierAdmission(t *testing.T) {
	cfg := pollConfig()
	cfg.ConnectionsPerAddressMax = 2
	e := start(t, cfg, echoes)
	for range 2 {
		p := dial(t, e)
		first, second := p.opened("wamp.2.json"), p.opened("wamp.2.json")
		for range 5 {
			for _, at := range []string{first, second} {
				q := dial(t, e)
				q.post(at+"/send", []byte("x")).want(t, 204, "")
				q.Close()
			}
		}
		refused := dial(t, e)
		a := refused.post("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`))
		if a.status != 503 || !a.closes || a.header.Get("Retry-After") == "" {
			t.Fatalf("%+v", a)
		}
		raw := dial(t, e)
		raw.send([]byte{0x7F, 0xF3, 0, 0})
		raw.expect([]byte{0x7F, 0x40, 0, 0})
		web := dial(t, e)
		web.send(upgradeRequest("wamp.2.json"))
		if status, _ := web.readHead(); status != 503 {
			t.Errorf("status %d", status)
		}
		if s := e.Stats(); s.LongPolls != 2 || s.Sessions != 2 {
			t.Errorf("%+v", s)
		}
		p.post(first+"/close", nil).want(t, 204, "")
		p.post(second+"/close", nil).want(t, 204, "")
		for _, c := range []interface{ Close() error }{p, refused, raw, web} {
			c.Close()
		}
		eventually(t, "no session", func() bool { return e.Stats().LongPolls == 0 && e.Stats().Connections == 0 })
	}
	if n := e.Stats().RefusedAddress; n != 6 {
		t.Errorf("%d refused", n)
	}

	e = start(t, pollConfig(), echoes)
	if err := e.Apply(Live{ConnectionsMax: 11}); err != nil {
		t.Fatal(err)
	}
	p := dial(t, e)
	for range 10 {
		p.opened("wamp.2.json")
	}
	a := p.post("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`))
	if a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Fatalf("%+v", a)
	}
	if s := e.Stats(); s.LongPolls != 10 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

// A connection counts for its address until it carries a request of a session, and again when it does something else:
// silent ones, half a head, half the body of an open, and what comes after a session has ended. So an address with a
// limit has so many connections and a few for each session, and others join.
func TestCarrierCountsForItsAddress(t *testing.T) {
	t.Parallel()
	const most = 4
	cfg := pollConfig()
	cfg.ConnectionsPerAddressMax = most
	open := pollRequestText("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`))
	count := func(e *Engine) int64 {
		e.admission.mu.Lock()
		defer e.admission.mu.Unlock()
		n := 0
		for _, p := range e.admission.places {
			n += p.connections + p.spares
		}
		return int64(n)
	}
	for _, what := range [][]byte{nil, []byte("POST /lp/o"), open[:len(open)-1]} {
		e := start(t, cfg, echoes)
		for i := range most {
			dial(t, e).send(what)
			eventually(t, "it counts", func() bool { return count(e) == int64(i+1) })
		}
		if a := dial(t, e).post("/lp/open", open); a.status != 503 || !strings.Contains(a.body, "this address") {
			t.Errorf("%+v", a)
		}
		dialFrom(t, e, "127.0.9.1").opened("wamp.2.json")
	}

	// Bodies that never end: the first of a session do not count, others do, and the last ones find no place.
	e := start(t, cfg, echoes)
	owner := dial(t, e)
	at := owner.opened("wamp.2.json")
	if n := count(e); n != 1 {
		t.Errorf("%d count", n)
	}
	slow := pollRequestText(at+"/send", []byte("slow"))
	var slows []*peer
	const places = longPollCarriersKept - 1 + most - 1 + longPollSpares
	for i := range places {
		p := dial(t, e)
		slows = append(slows, p)
		p.send(slow[:len(slow)-1])
		counts := int64(1 + max(0, i+1-(longPollCarriersKept-1)))
		eventually(t, "it is there", func() bool { return carriersOf(e, at) == i+2 && count(e) == counts })
	}
	if a := dial(t, e).post(at+"/send", []byte("x")); a.status != 503 || !strings.Contains(a.body, "this address") {
		t.Errorf("%+v", a)
	}
	owner.post(at+"/send", []byte("x")).want(t, 204, "") // what is kept goes on
	for i, p := range slows {
		p.send([]byte("w"))
		if a := p.answer(); a.status != 204 || a.closes != (i >= longPollCarriersKept-1) {
			t.Errorf("%d: %+v", i, a)
		}
	}
	eventually(t, "only the session counts", func() bool { return count(e) == 1 })

	// Its connections count for no address as long as they are its own, and it counts for them when it has ended.
	owner.post(at+"/close", nil).want(t, 204, "")
	eventually(t, "it has ended", func() bool { return e.Stats().LongPolls == 0 })
	if n := count(e); n != 1 {
		t.Errorf("%d count", n)
	}
	web := slows[0]
	web.send(upgradeRequest("wamp.2.json"))
	if status, _ := web.readHead(); status != 101 {
		t.Errorf("status %d", status)
	}
	if n := count(e); n != 2 {
		t.Errorf("%d count", n)
	}
	at = slows[1].opened("wamp.2.json")
	slows[2].opened("wamp.2.json")
	if n := count(e); n != most {
		t.Errorf("%d count", n)
	}
	page := []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	for _, request := range [][]byte{open, upgradeRequest("wamp.2.json"), page} {
		slows[3].send(request)
		if a := slows[3].answer(); a.status != 503 || !a.closes {
			t.Errorf("%.10q: %+v", request, a)
		}
		slows = slows[1:]
	}
	owner.Close()
	for _, p := range slows[3:] {
		p.Close()
	}
	eventually(t, "nothing is kept of the first session", func() bool { return count(e) == most-1 })
	dial(t, e).post(at+"/send", []byte("x")).want(t, 204, "")
}

// Where all connections are refused, those that carry a request of a session are let in for it: at most two at a time
// for a session that has no others, and no more sockets than ConnectionsMax. Others get no place by it.
func TestCarrierIsLetIn(t *testing.T) {
	t.Parallel()
	for _, live := range []Live{
		{ConnectionsMax: 2}, {ConnectionsMax: 3}, {Leaving: true}, {ConnectionsPerSecondMax: 1}, {HandshakesMax: 1},
	} {
		e := start(t, pollConfig(), echoes)
		p := dial(t, e)
		var bases []string
		for range 2 {
			bases = append(bases, p.opened("wamp.2.json"))
		}
		p.Close()
		eventually(t, "it is gone", func() bool { return e.Stats().Connections == 2 })
		if err := e.Apply(live); err != nil {
			t.Fatal(err)
		}
		if live.HandshakesMax > 0 {
			dial(t, e)
			eventually(t, "it is there", func() bool { return e.Stats().Connections == 3 })
		}
		if live.ConnectionsPerSecondMax > 0 {
			e.admission.rateTime.Store(e.now() + int64(time.Hour)) // that is used up
		}
		if live.ConnectionsMax == 3 {
			dial(t, e) // one more socket
			eventually(t, "it is there", func() bool { return e.Stats().Connections == 3 })
		}
		open := e.open.Load()
		settled := func(n int64) {
			eventually(t, "others are closed", func() bool { return e.open.Load() == open+n })
		}
		held := dial(t, e)
		held.send(pollRequestText(bases[0]+"/receive", nil))
		waiting(t, e, bases[0])
		for i := range 3 {
			settled(1)
			a := dial(t, e).post(bases[0]+"/send", fmt.Append(nil, i))
			if a.status != 204 || !a.closes {
				t.Fatalf("%+v: %+v", live, a)
			}
			a = held.answer()
			if a.want(t, 200, fmt.Sprint(i)); !a.closes {
				t.Errorf("%+v", a)
			}
			settled(0)
			held = dial(t, e)
			held.send(pollRequestText(bases[0]+"/receive", nil))
			waiting(t, e, bases[0])
		}
		settled(1)
		slow := dial(t, e)
		body := pollRequestText(bases[0]+"/send", []byte("y"))
		slow.send(body[:len(body)-1])
		eventually(t, "it is let in", func() bool { return carriersOf(e, bases[0]) == 2 })
		third := int64(0)
		if live.Leaving { // nobody else comes: up to eight
			third = 1
			q := dial(t, e)
			q.send(pollRequestText(bases[0]+"/receive", nil))
			held.answer().want(t, 204, "")
			held = q
		} else if a := dial(t, e).post(bases[0]+"/receive", nil); a.status != 503 || !a.closes ||
			a.header.Get("Retry-After") == "" {
			t.Errorf("%+v: a third: %+v", live, a)
		}
		for _, request := range [][]byte{
			pollRequestText("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`)), upgradeRequest("wamp.2.json"),
		} {
			q := dial(t, e)
			q.send(request)
			if a := q.answer(); a.status != 503 || live.Leaving != strings.Contains(a.body, "about to stop") {
				t.Errorf("%+v: %+v", live, a)
			}
		}
		if !dial(t, e).isRefused() {
			t.Error("let in")
		}
		slow.send([]byte("y"))
		slow.answer().want(t, 204, "")
		held.answer().want(t, 200, "y")
		if n := e.Stats().LongPollsLetIn; n != 8+third {
			t.Errorf("%+v: %d let in", live, n)
		}
	}
}

// No more sockets than ConnectionsMax: connections that are let in take the room that sessions leave, which count and
// have none.
func TestCarrierIsLetInWhereRoomIs(t *testing.T) {
	t.Parallel()
	e := start(t, pollConfig(), echoes)
	p := dial(t, e)
	at, other := p.opened("wamp.2.json"), p.opened("wamp.2.json")
	if err := e.Apply(Live{ConnectionsMax: 2}); err != nil {
		t.Fatal(err)
	}
	held := dial(t, e)
	held.send(pollRequestText(at+"/receive", nil))
	waiting(t, e, at)
	if a := dial(t, e).post(other+"/send", []byte("x")); a.status != 503 {
		t.Errorf("a third socket: %+v", a)
	}
	held.Close()
	eventually(t, "it is gone", func() bool { return e.open.Load() == 3 })
	dial(t, e).post(other+"/send", []byte("x")).want(t, 204, "")
}

// Behind a trusted proxy a request that opens a session counts for the address that the proxy tells, also while its
// body comes.
func TestCarrierCountsBehindProxies(t *testing.T) {
	cfg := pollConfig()
	cfg.ConnectionsPerAddressMax = 1
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	e := start(t, cfg, echoes)
	openFor := func(client string) []byte {
		return pollRequestText("/lp/open", []byte(`{"protocols":["wamp.2.json"]}`), "X-Forwarded-For: "+client)
	}
	half := dial(t, e)
	text := openFor("192.0.2.1")
	half.send(text[:len(text)-1])
	eventually(t, "it counts", func() bool {
		e.admission.mu.Lock()
		defer e.admission.mu.Unlock()
		return len(e.admission.places) == 1
	})
	for client, status := range map[string]int{"192.0.2.1": 503, "192.0.2.2": 200} {
		p := dial(t, e)
		if p.send(openFor(client)); p.answer().status != status {
			t.Errorf("%s", client)
		}
	}
	half.send(text[len(text)-1:])
	if a := half.answer(); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// One connection can open any number of sessions, and so a share of the places is all that those have together which
// have not joined: others join meanwhile. One that joins or ends makes room, once.
func TestLongPollUnjoinedHaveAShare(t *testing.T) {
	cfg := withLog(pollConfig())
	cfg.ConnectionsMax, cfg.Loops = 40, 2
	e, err := New(cfg, func(_ port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(_ port.Executor, _ *session, b []byte) {
			c.SetJoined(string(b) == "join")
		}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop(t.Context()) })
	p := dial(t, e)
	var at []string
	for range longPollUnjoinedMin {
		at = append(at, p.opened("wamp.2.cbor"))
	}
	refused := int64(0)
	full := func() {
		t.Helper()
		refused++
		a := dial(t, e).post("/lp/open", []byte(`{"protocols":["wamp.2.cbor"]}`))
		if a.status != 503 || !a.closes || a.header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
		if n := e.Stats().RefusedUnjoined; n != refused {
			t.Errorf("%d refused, want %d", n, refused)
		}
	}
	full()
	dialWS(t, e, "wamp.2.cbor")
	p.post(at[0]+"/send", []byte("join")).want(t, 204, "")
	p.opened("wamp.2.cbor")
	full()
	p.post(at[0]+"/send", []byte("leave")).want(t, 204, "")
	p.post(at[0]+"/close", nil).want(t, 204, "")
	eventually(t, "it has ended", func() bool { return pollOf(e, at[0]) == nil })
	full()
	p.post(at[1]+"/close", nil).want(t, 204, "")
	eventually(t, "it has ended", func() bool { return pollOf(e, at[1]) == nil })
	p.opened("wamp.2.cbor")
	full()

	// The share grows with the places.
	if err := e.Apply(Live{ConnectionsMax: longPollUnjoinedShare * (longPollUnjoinedMin + 1)}); err != nil {
		t.Fatal(err)
	}
	p.opened("wamp.2.cbor")
	full()
}
