//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// Requests may be in any pieces, and behind each other without waiting: each is answered, in its order.
func TestCarrierPiecesAndPipelines(t *testing.T) {
	cfg := pollConfig()
	cfg.Loops = 2
	e := start(t, cfg, echoes)
	open := dial(t, e)
	at := open.opened("wamp.2.json")
	var all []byte
	for _, m := range []string{"a", "bb", "ccc"} {
		all = append(all, pollRequestText(at+"/send", []byte(m), "Content-Type: application/json; charset=utf-8")...)
	}
	for range 3 {
		all = append(all, pollRequestText(at+"/receive", nil)...)
	}
	expect := func(p *peer) {
		t.Helper()
		for range 3 {
			p.answer().want(t, 204, "")
		}
		for _, m := range []string{"a", "bb", "ccc"} {
			p.answer().want(t, 200, m)
		}
	}
	kept := dial(t, e)
	for at := range len(all) + 1 { // in two pieces, on one connection
		kept.send(all[:at])
		kept.send(all[at:])
		expect(kept)
	}
	octets := dial(t, e)
	for i := range all {
		octets.send(all[i : i+1])
	}
	expect(octets)
	many := dial(t, e)
	const times = 300 // far more than one read
	go many.Write(bytes.Repeat(all, times))
	for range times {
		expect(many)
	}
	if s := e.Stats(); s.Violations != 0 || s.HandshakesRefused != 0 {
		t.Errorf("%+v", s)
	}
}

// What is no request of long-poll is refused, with an answer that says why, and the connection ends.
func TestCarrierRefuses(t *testing.T) {
	t.Parallel()
	e := start(t, pollConfig(), echoes)
	off := start(t, Config{}, echoes)
	at := dial(t, e).opened("wamp.2.json")
	guess := "/lp/" + strings.Repeat("0", 32)
	for _, c := range []struct {
		e       *Engine
		request string
		status  int
		body    string
	}{
		{e, "GET /lp/open HTTP/1.1\r\nHost: h\r\n\r\n", 405, "only POST\n"},
		{e, "PUT " + at + "/send HTTP/1.1\r\nHost: h\r\n\r\n", 405, "only POST\n"},
		{e, "POST /lp HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST /lp/ HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST /lp/opens HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST " + at + " HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST " + at + "/sent HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST " + at + "0/send HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{e, "POST " + guess + "/send HTTP/1.1\r\nHost: h\r\n\r\n", 404, noSuchPoll + "\n"},
		{e, "POST " + guess + "/receive HTTP/1.1\r\nHost: h\r\n\r\n", 404, noSuchPoll + "\n"},
		{e, "POST " + guess + "/close HTTP/1.1\r\nHost: h\r\n\r\n", 404, noSuchPoll + "\n"},
		{e, "POST /lpx/open HTTP/1.1\r\nHost: h\r\n\r\n", 405, "only GET and HEAD\n"},
		{e, "GET /lpx HTTP/1.1\r\nHost: h\r\n\r\n", 404, "nothing here\n"},
		{off, "POST /lp/open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405, "only GET and HEAD\n"},
		{
			e, "POST " + at + "/send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411,
			"send the body with its Content-Length\n",
		},
		{e, "POST " + at + "/send HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\n", 400, ""},
		{e, "POST " + at + "/send HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 2\r\n\r\n", 400, ""},
		{e, "POST " + at + "/send HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400, ""},
		{e, "POST " + at + "/send HTTP/1.1\r\n\r\n", 400, ""},
		{
			e, "POST " + at + "/send HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 413,
			"message too big\n",
		},
	} {
		p := dial(t, c.e)
		p.send([]byte(c.request))
		a := p.answer()
		if a.status != c.status || c.body != "" && a.body != c.body || !a.closes {
			t.Errorf("%q: %+v", c.request, a)
		}
		if a.status == 405 && strings.Contains(a.body, "POST") && a.header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%q: %v", c.request, a.header)
		}
		p.expectEnd()
	}
	dial(t, e).post(at+"/send", []byte("[1]")).want(t, 204, "") // none of this was its business
}

// A connection stays open behind an answer if the client wants so, and no longer.
func TestCarrierPersists(t *testing.T) {
	t.Parallel()
	e := start(t, pollConfig(), echoes)
	at := dial(t, e).opened("wamp.2.json")
	for _, c := range []struct {
		version, line string
		closes        bool
	}{
		{"1.1", "", false},
		{"1.1", "\r\nConnection: keep-alive", false},
		{"1.1", "\r\nConnection: foo, Close", true},
		{"1.0", "", true},
		{"1.0", "\r\nConnection: keep-alive", true},
	} {
		p := dial(t, e)
		p.send(fmt.Appendf(nil, "POST %s/send HTTP/%s\r\nHost: h%s\r\n", at, c.version, c.line),
			[]byte("Content-Length: 1\r\n\r\nx"))
		a := p.answer()
		if a.status != 204 || a.closes != c.closes || a.header.Get("Content-Length") != "" {
			t.Errorf("%+v: %+v", c, a)
		}
		if c.closes {
			p.expectEnd()
		} else {
			p.post(at+"/receive", nil).want(t, 200, "x")
		}
	}
	if s := e.Stats(); s.Lingers != 0 {
		t.Errorf("%+v", s)
	}
}

// A client may wait to be told that its body is welcome.
func TestCarrierContinue(t *testing.T) {
	e := start(t, pollConfig(), echoes)
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	for range 2 {
		p.send([]byte("POST " + at +
			"/send HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"))
		p.expect([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		p.send([]byte("abc"))
		p.answer().want(t, 204, "")
		p.post(at+"/receive", nil, "Expect: 100-continue").want(t, 200, "abc") // there is no body to wait for
	}
}

// A body has a bound: that of a message, 64 KiB before the session is joined, and 4 KiB where there is no message.
// One octet more is refused at the head, before any of it comes. The session goes on.
func TestCarrierBodyBounds(t *testing.T) {
	cfg := pollConfig()
	cfg.MessageBytesMax = 3 << 20
	e := start(t, cfg, func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(false)
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			c.SetJoined(true)
			reply(x, c, fmt.Append(nil, len(b)))
		}}
	})
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	refused := func(path string, n int) {
		t.Helper()
		q := dial(t, e)
		q.send(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
			path, n))
		if a := q.answer(); a.status != 413 || !a.closes {
			t.Fatalf("%+v", a)
		}
		q.Close()
	}
	send := func(n int) {
		t.Helper()
		p.post(at+"/send", make([]byte, n)).want(t, 204, "")
		p.post(at+"/receive", nil).want(t, 200, fmt.Sprint(n))
	}
	refused(at+"/send", joinBytesMax+1)
	send(joinBytesMax)
	send(3 << 20) // in chunks, which the pool joins
	refused(at+"/send", 3<<20+1)
	refused("/lp/open", pollBodyBytesMax+1)
	refused(at+"/receive", pollBodyBytesMax+1)
	refused(at+"/close", pollBodyBytesMax+1)
	p.openedWith(append([]byte(`{"protocols":["wamp.2.json"]}`), bytes.Repeat([]byte(" "), pollBodyBytesMax-29)...))
	p.post(at+"/send", []byte("x")).want(t, 204, "")
	p.post(at+"/receive", make([]byte, pollBodyBytesMax)).want(t, 200, "1") // it has no meaning
	p.post(at+"/close", make([]byte, pollBodyBytesMax)).want(t, 204, "")
	eventually(t, "nothing is kept", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
	if n := e.Stats().TooBig; n != 2 {
		t.Errorf("%d too big", n)
	}
}

// Pages of an origin that may connect can use it, also the browser's question before; others cannot, and learn
// nothing.
func TestCarrierOrigins(t *testing.T) {
	t.Parallel()
	cfg := pollConfig()
	cfg.Origins = []string{"app.example"}
	e := start(t, cfg, echoes)
	at := dial(t, e).opened("wamp.2.json")
	for _, c := range []struct {
		origin  string
		allowed bool
	}{
		{"https://app.example", true},
		{"http://localhost:99", true},
		{"https://app.example.evil", false},
		{"null", false},
		{"https://evil.example", false},
	} {
		for _, path := range []string{at + "/send", "/lp/open", at + "/nothing"} {
			for _, method := range []string{"POST", "OPTIONS"} {
				p := dial(t, e)
				body := `{"protocols":["wamp.2.json"]}`
				if method == "OPTIONS" {
					body = ""
				}
				p.send(fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path),
					fmt.Appendf(nil, "Origin: %s\r\nContent-Length: %d\r\n\r\n%s", c.origin, len(body), body))
				a := p.answer()
				want := map[string]int{at + "/send": 204, "/lp/open": 200, at + "/nothing": 404}[path]
				if method == "OPTIONS" {
					want = 204
				}
				if !c.allowed {
					want = 403
				}
				from := a.header.Get("Access-Control-Allow-Origin")
				credentials := a.header.Get("Access-Control-Allow-Credentials")
				if a.status != want || c.allowed != (from == c.origin && credentials == "true") ||
					!c.allowed && (from != "" || strings.Contains(fmt.Sprint(a.header), "Access-Control")) ||
					c.allowed != (a.header.Get("Vary") == "Origin") {
					t.Errorf("%s %s %s: %+v", method, path, c.origin, a)
				}
				asks := a.header.Get("Access-Control-Allow-Methods") == "POST" &&
					a.header.Get("Access-Control-Allow-Headers") == "Content-Type"
				if asks != (c.allowed && method == "OPTIONS") {
					t.Errorf("%s %s %s: %+v", method, path, c.origin, a)
				}
				p.Close()
			}
		}
	}
	a := dial(t, e).post(at+"/send", []byte("x")) // no browser
	if a.want(t, 204, ""); strings.Contains(fmt.Sprint(a.header), "Access-Control") {
		t.Errorf("%+v", a)
	}
	for _, line := range []string{"X-Content-Type-Options", "Cache-Control", "Referrer-Policy"} {
		if a.header.Get(line) == "" {
			t.Errorf("%v lacks %s", a.header, line)
		}
	}
}

// Over TLS it works the same. What is bound to the connection that opened the session is nothing of the session's.
func TestCarrierTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	f, _ := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}})
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *pollSession, 1)
	e := startWith(t, pollConfig(), ListenTLS{Credentials: creds, Plain: true, HSTS: time.Hour}, pollSessions(opened))
	for _, version := range tlsVersions {
		tc := a.client("router.test")
		tc.MaxVersion = version
		p, held := dialTLS(t, e, tc), dialTLS(t, e, tc)
		at := p.opened("wamp.2.cbor")
		peer := (<-opened).c.Peer()
		if !peer.Encrypted || peer.TLS == nil || peer.TLS.Version != version || peer.TLS.Unique != nil ||
			peer.TLS.Exporter != nil || peer.TLS.EndPoint == nil {
			t.Errorf("%+v", peer.TLS)
		}
		for _, n := range []int{1, 100_000, 3 << 20} {
			held.send(pollRequestText(at+"/receive", nil))
			m := patterned(n, 5)
			go func() { _, _ = p.Write(pollRequestText(at+"/send", m)) }()
			p.answer().want(t, 204, "")
			h := held.answer()
			h.want(t, 200, string(m))
			if !strings.HasPrefix(h.header.Get("Strict-Transport-Security"), "max-age=3600") {
				t.Errorf("%v", h.header)
			}
		}
		plain := dial(t, e)
		if a := plain.post(at+"/send", []byte("x")); a.status != 404 {
			t.Errorf("without TLS: %+v", a)
		}
		p.post(at+"/close", nil).want(t, 204, "")
	}
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	dialTLS(t, e, a.client("router.test")).post(at+"/send", []byte("x")).want(t, 204, "")
}

// Connections of long-poll end when they are silent, or within a request; those of opening handshakes are told apart.
func TestCarrierTimes(t *testing.T) {
	t.Parallel()
	cfg := pollConfig()
	cfg.HandshakeTimeout, cfg.MessageTimeout = 300*time.Millisecond, 600*time.Millisecond
	cfg.HandshakesMax = 3
	joined := make(chan bool, 1)
	e := start(t, cfg, func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(<-joined)
		return echoes(x, c)
	})
	joined <- true
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	joined <- false
	stranger := p.opened("wamp.2.json")
	begun := func(request string) *peer {
		p := dial(t, e)
		p.send([]byte(request))
		return p
	}
	head := begun("POST " + at + "/send HTT")
	const part = "/send HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"
	body, strange := begun("POST "+at+part), begun("POST "+stranger+part)
	head.expectEnd() // as any opening handshake
	body.expectEnd()
	strange.expectEnd()
	// A body that goes on is waited for; one of a stranger only for the time of an opening handshake.
	body, strange = begun("POST "+at+part), begun("POST "+stranger+part)
	for i := range 9 {
		time.Sleep(80 * time.Millisecond)
		more := bytes.Repeat([]byte("x"), 11)
		if _, err := body.Write(more); err != nil {
			t.Fatal(i, err)
		}
		_, _ = strange.Write(more) // fails when it is closed
	}
	body.answer().want(t, 204, "")
	if _, err := strange.r.ReadByte(); err == nil {
		t.Error("a stranger may take its time")
	}
	if s := e.Stats(); s.HandshakeTimeouts != 1 || s.MessageTimeouts != 3 {
		t.Errorf("%+v", s)
	}
	// Connections that carried a request are no opening handshakes any more.
	for range 5 {
		dial(t, e).post(at+"/send", []byte("x")).want(t, 204, "")
	}
}

// A silent connection that carried requests ends after a while, in order; one whose client takes its time to read the
// last answer does not. While the engine stops it ends soon.
func TestCarrierIdle(t *testing.T) {
	for _, stopping := range []bool{false, true} {
		e := newEngine(Config{}, echoes)
		if err := e.cfg.check(); err != nil {
			t.Fatal(err)
		}
		e.live.Store(&e.cfg.Live)
		c := newStillConn(e)
		sent := capture{}
		l := c.loop
		c.carrier, c.phase, c.transport = &carrier{}, phaseHTTP, plain{}
		c.q.Open(-1, nil)
		idle := carrierIdle
		if l.stopping = stopping; stopping {
			idle = carrierIdleAtEnd
		}
		at := func(d time.Duration) {
			l.poller.(*stillPoller).now += d
			l.began = l.poller.Now()
			l.wheel.AdvanceSome(l.began, l, 10)
		}
		c.startIdle()
		at(idle - 20*time.Millisecond)
		if c.finished.Load() {
			t.Fatal("ended early")
		}
		c.append([]byte("ab"))
		c.q.Flush(halfSender{&sent}, &l.vectors, 0, 0) // one octet is taken, one is not
		at(40 * time.Millisecond)
		if c.finished.Load() {
			t.Fatal("ended while it is read from")
		}
		at(idle + 20*time.Millisecond)
		if !c.finished.Load() || c.lingers {
			t.Fatal("still open, or not in order")
		}
	}
}

// A halfSender takes one octet, and then no more.
type halfSender struct{ got *capture }

func (s halfSender) Send(_ int, _ *outq.Vectors, first *outq.Segment) (int, error) {
	if len(*s.got) > 0 {
		return 0, outq.ErrAgain
	}
	*s.got = first.Unsent(nil, 1)
	return 1, nil
}

// So many connections stay open behind requests of one session; the next is closed behind its answer, and there is
// room again when one ends.
func TestCarriersOfASession(t *testing.T) {
	t.Parallel()
	cfg := pollConfig()
	cfg.Loops = 2
	e := start(t, cfg, echoes)
	open := dial(t, e)
	at := open.opened("wamp.2.json")
	other := open.opened("wamp.2.json") // which the first connection belongs to now
	var peers []*peer
	for i := range longPollCarriersKept + 1 {
		p := dial(t, e)
		peers = append(peers, p)
		if a := p.post(at+"/send", []byte("x")); a.status != 204 || a.closes != (i == longPollCarriersKept) {
			t.Fatalf("%d: %+v", i, a)
		}
	}
	peers[longPollCarriersKept].expectEnd()
	peers[0].Close()
	eventually(t, "one has ended", func() bool { return keptOf(e, at) == longPollCarriersKept-1 })
	if a := peers[1].post(other+"/send", []byte("x")); a.closes { // one goes over to another session
		t.Errorf("%+v", a)
	}
	for range 2 {
		if a := dial(t, e).post(at+"/send", []byte("x")); a.closes {
			t.Errorf("%+v", a)
		}
	}
	if n := keptOf(e, at); n != longPollCarriersKept {
		t.Errorf("%d", n)
	}
}

// Behind a trusted proxy each request tells of its client; the session has the address of the one that opened it.
// Other proxies are not believed. Requests of several clients may share a connection.
func TestCarrierBehindProxies(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{true, false} {
		cfg := pollConfig()
		if trusted {
			cfg.TrustedProxies = loopback
		}
		cfg.ConnectionsPerAddressMax = 1
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		p := dial(t, e)
		body := []byte(`{"protocols":["wamp.2.json"]}`)
		for i := range 3 {
			if i > 0 && !trusted {
				break
			}
			from := fmt.Sprintf("192.0.2.%d", i+1)
			at := p.openedWith(body, "X-Forwarded-For: "+from)
			peer := (<-opened).c.Peer()
			address := from + ":0"
			if !trusted {
				address = p.LocalAddr().String()
			}
			if peer.Address != address || peer.Local || (peer.Proxy == p.LocalAddr().String()) != trusted {
				t.Errorf("%+v", peer)
			}
			p.post(at+"/send", []byte("x"), "X-Forwarded-For: 198.51.100.7").want(t, 204, "")
		}
		if a := p.post("/lp/open", body, "X-Forwarded-For: 192.0.2.1"); a.status != 503 {
			t.Errorf("%+v", a)
		}
	}
}

// A session is reached over its own listener only.
func TestCarrierOfAnotherListener(t *testing.T) {
	name := "unix:" + t.TempDir() + "/s"
	e := start(t, Config{
		Listen: []string{anyPort, name}, LongPoll: map[string]string{anyPort: "/lp", name: "/lp"},
	}, echoes)
	at := dial(t, e).opened("wamp.2.json")
	other := dialAt(t, e, 1)
	if a := other.post(at+"/send", []byte("x")); a.status != 404 {
		t.Errorf("%+v", a)
	}
	dialAt(t, e, 1).opened("wamp.2.json")
}

// The cookie comes with the answer to open.
func TestCarrierCookie(t *testing.T) {
	cfg := pollConfig()
	cfg.Cookie = &CookieRules{
		Name: "who", MaxAge: time.Hour, Issue: func() string { return "good1" },
		Valid: func(v string) bool { return strings.HasPrefix(v, "good") }, Bound: func(string) bool { return true },
	}
	opened := make(chan *pollSession, 1)
	e := start(t, cfg, pollSessions(opened))
	body := []byte(`{"protocols":["wamp.2.json"]}`)
	for _, c := range []struct{ brings, is, set string }{{"", "good1", "who=good1"}, {"good7", "good7", ""}} {
		p := dial(t, e)
		a := p.post("/lp/open", body, "Cookie: who="+c.brings)
		peer := (<-opened).c.Peer()
		set := a.header.Get("Set-Cookie")
		if a.status != 200 || !strings.HasPrefix(set, c.set) || (set == "") != (c.set == "") ||
			peer.Cookie != c.is || peer.CookieNew != (c.set != "") {
			t.Errorf("%+v: %+v %+v", c, a, peer)
		}
	}
}

// Behind requests of long-poll a connection can ask for a page, or become a WebSocket.
func TestCarrierBecomesOrdinary(t *testing.T) {
	e := start(t, pollConfig(), echoes)
	p := dial(t, e)
	at := p.opened("wamp.2.json")
	p.send([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	if a := p.answer(); a.status != 200 || a.body != builtinPage || !a.closes {
		t.Errorf("%+v", a)
	}
	p = dial(t, e)
	p.post(at+"/send", []byte("x")).want(t, 204, "")
	p.send(upgradeRequest("wamp.2.json"))
	if status, head := p.readHead(); status != 101 {
		t.Fatalf("%q", head)
	}
	p.send(text("[1]"))
	p.expect(serverText("[1]"))
	if n := keptOf(e, at); n != 0 {
		t.Errorf("%d", n)
	}
	p.reset()
	dial(t, e).post(at+"/receive", nil).want(t, 200, "x") // it lives
}

// The path has to be one that nothing else has.
func TestPollPaths(t *testing.T) {
	for path, good := range map[string]bool{
		"/lp": true, "/a/b-c_1.~": true,
		"": false, "lp": false, "/": false, "/lp/": false, "/a//b": false, "/ws": false, "/healthz": false,
		"/l p": false, "/lp?x": false, "/%20": false, "/\xFF": false,
	} {
		cfg := pollConfig()
		cfg.LongPoll[anyPort] = path
		e, err := New(cfg, echoes)
		if err == nil {
			_ = e.Stop(t.Context())
		}
		if (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
	cfg := Config{Listen: []string{anyPort}, LongPoll: map[string]string{"127.0.0.1:1": "/lp"}}
	if _, err := New(cfg, echoes); err == nil || !strings.Contains(err.Error(), "no address to listen on") {
		t.Error(err)
	}
}

// net/http's client and server side agree with all of this.
func TestCarrierOfNetHTTP(t *testing.T) {
	e := start(t, pollConfig(), echoes)
	base := "http://" + e.Addrs()[0].String()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	at := base + dial(t, e).opened("wamp.2.json.batched")
	var got []string
	for i := range 20 {
		a, err := client.Post(at+"/send", "application/json", strings.NewReader(fmt.Sprint(i, "\x1E")))
		if err != nil || a.StatusCode != 204 {
			t.Fatal(a, err)
		}
		a.Body.Close()
		a, err = client.Post(at+"/receive", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(a.Body)
		a.Body.Close()
		got = append(got, string(b))
	}
	if n := e.Stats().Accepted; n != 2 || !slices.Contains(got, "19\x1E") || len(got) != 20 {
		t.Errorf("%d connections, %q", n, got)
	}
}
