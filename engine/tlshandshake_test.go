//go:build linux

package engine

import (
	"bytes"
	clist "container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A fakeSocket takes octets and gives out in; then nothing is there.
type fakeSocket struct {
	scriptedTransport
	room   int // octets that it still takes; negative for any
	sends  int // calls of write
	closed bool
}

func (k *fakeSocket) read(_ int, b []byte) (int, error) {
	if len(k.in) == 0 {
		return 0, outq.ErrAgain
	}
	return k.scriptedTransport.read(0, b)
}

func (k *fakeSocket) write(_ int, b []byte) (int, error) {
	k.sends++
	n := len(b)
	if k.room >= 0 {
		n = min(n, k.room)
		k.room -= n
	}
	if n == 0 {
		return 0, outq.ErrAgain
	}
	k.capture = append(k.capture, b[:n]...)
	return n, nil
}

func (k *fakeSocket) close(int) { k.closed = true }

// A stillTLS is a loop that does not run, with connections that begin TLS. The pool does nothing by itself.
type stillTLS struct {
	t     testing.TB
	a     *authority
	e     *Engine
	l     *loop
	p     *stillPoller
	creds *Credentials
}

func newStillTLS(t testing.TB, live Live) *stillTLS {
	t.Helper()
	s := &stillTLS{t: t, a: newAuthority(t)}
	f, _ := s.a.issue("router", "ecdsa", "router.test")
	var err error
	if s.creds, err = NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}}); err != nil {
		t.Fatal(err)
	}
	live.PingInterval = -1
	cfg := Config{Live: live, Log: quiet(), BudgetBytes: budgetBytesMin}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	s.e = newEngine(cfg, echoes)
	s.l = newStillConn(s.e).loop
	s.p = s.l.poller.(*stillPoller)
	return s
}

// connect makes connection fd, whose client says octets.
func (s *stillTLS) connect(fd int, octets []byte) (*conn, *fakeSocket) {
	k := &fakeSocket{room: -1}
	k.in = octets
	c := &conn{loop: s.l, fd: int32(fd), transport: k, opening: &opening{tls: &ListenTLS{Credentials: s.creds}}}
	c.timer.Fire = c.onTimer
	c.q.Open(fd, &s.e.budget.backlogs)
	s.e.open.Add(1)
	s.l.homed.Add(1)
	s.l.enter(c)
	c.read()
	return c, k
}

// steps does what waits for the pool, up to n pieces, in turns of the loop, and returns for which connections.
func (s *stillTLS) steps(n int) (fds []int) {
	for range n {
		select {
		case w := <-s.e.pool.work:
			s.e.pool.do(w)
		default:
			return fds
		}
		before := map[int]bool{}
		for fd, c := range s.l.conns {
			before[fd] = c.tls != nil && c.tls.handshake != nil && c.tls.handshake.place != nil &&
				c.tls.handshake.state.Load() == stepNone && len(c.tls.handshake.out) > 0
		}
		for fd, stepped := range before {
			if stepped {
				fds = append(fds, fd)
			}
		}
		s.l.turn(nil)
	}
	return fds
}

// While there are places, handshakes begin in the order of their clients, tlsStepsAtOnce at a time. When there are
// none the newest is first; the oldest that lets others wait is cut after tlsCutAfter, not before; one that waits for
// the pool itself is not. What they hold is counted, and given back.
func TestTLSPlaces(t *testing.T) {
	s := newStillTLS(t, Live{TLSHandshakesMax: 3})
	hello := clientHello(t, s.a.client("router.test"))
	for fd := range 3 {
		s.connect(fd, bytes.Clone(hello))
	}
	if st := s.e.Stats(); st.TLSBegun != 3 || st.TLSWaiting != 0 {
		t.Fatalf("%d begun, %d waiting", st.TLSBegun, st.TLSWaiting)
	}
	if got := s.steps(3); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("first %v", got)
	}
	for fd := 3; fd < 10; fd++ {
		s.connect(fd, bytes.Clone(hello))
	}
	s.l.turn(nil)
	if st := s.e.Stats(); st.TLSBegun != 3 || st.TLSWaiting != 7 || st.TLSCut != 0 {
		t.Fatalf("%d begun, %d waiting, %d cut", st.TLSBegun, st.TLSWaiting, st.TLSCut)
	}
	if held := s.e.Stats().HeldBytes; held < 3*tlsPlaceBytes+7*int64(len(hello)) || held > 4*tlsPlaceBytes+10*4096 {
		t.Fatalf("%d bytes held", held)
	}
	advance := func(d time.Duration) {
		s.p.now += d
		s.l.wheel.Advance(s.p.now, s.l)
		s.l.turn(nil)
	}
	advance(tlsCutAfter - 20*time.Millisecond)
	if n := s.e.Stats().TLSCut; n != 0 {
		t.Fatal("cut too early")
	}
	advance(40 * time.Millisecond)
	if st := s.e.Stats(); st.TLSCut != 3 || st.TLSBegun != 3 || st.TLSWaiting != 4 || len(s.l.conns) != 7 {
		t.Fatalf("%d cut, %d begun, %d waiting, %d open", st.TLSCut, st.TLSBegun, st.TLSWaiting, len(s.l.conns))
	}
	// They are in the pool, for however long: not the fault of their clients.
	advance(2 * tlsCutAfter)
	if n := s.e.Stats().TLSCut; n != 3 {
		t.Fatalf("%d cut", n)
	}
	if got := s.steps(3); !slices.Equal(got, []int{9, 8, 7}) {
		t.Fatalf("then %v", got)
	}
	if n := s.e.Stats().TLSCut; n != 6 { // they began long ago
		t.Fatalf("%d cut", n)
	}
	s.connect(20, bytes.Clone(hello))
	s.steps(1)
	s.l.conns[20].lost(errHungUp)
	s.l.closeSoon(s.l.conns[20]) // a place is free again
	advance(50 * time.Millisecond)
	s.l.kill()
	s.l.turn(nil)
	s.steps(100)
	if st := s.e.Stats(); st.TLSBegun != 0 || st.TLSWaiting != 0 || st.HeldBytes != 0 || len(s.l.conns) != 0 ||
		st.Connections != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

// A handshake that has begun goes on before others begin; the pool has tlsStepsAtOnce at most; when it is full, it is
// tried again.
func TestTLSStepsAtOnce(t *testing.T) {
	s := newStillTLS(t, Live{TLSHandshakesMax: 100})
	hello := clientHello(t, s.a.client("router.test"))
	for range asyncMax {
		if !s.l.Async(func(context.Context) {}, func(port.Executor) {}) {
			t.Fatal("the pool is full")
		}
	}
	for fd := range 2 * tlsStepsAtOnce {
		s.connect(fd, bytes.Clone(hello))
	}
	if st := s.e.Stats(); st.TLSBegun != 0 || st.TLSWaiting != 2*tlsStepsAtOnce {
		t.Fatalf("%d begun, %d waiting", st.TLSBegun, st.TLSWaiting)
	}
	if busy, long := s.e.pool.busy.Load(), s.e.pool.long.Load(); busy != asyncMax || long != asyncMax {
		t.Fatalf("%d pieces of work in the pool, %d of them long", busy, long)
	}
	s.steps(asyncMax)
	s.p.now += poolFullPause + 10*time.Millisecond
	s.l.wheel.Advance(s.p.now, s.l)
	if n := s.e.pool.busy.Load(); n != tlsStepsAtOnce {
		t.Fatalf("%d in the pool", n)
	}
	// The last tlsStepsAtOnce have begun, the newest first. A second record of one of them goes first.
	newest := 2*tlsStepsAtOnce - 1
	if got := s.steps(1); !slices.Equal(got, []int{newest}) {
		t.Fatalf("first %v", got)
	}
	c := s.l.conns[newest]
	c.transport.(*tlsTransport).socket.(*fakeSocket).in = []byte("\x14\x03\x03\x00\x01\x01")
	c.read()
	s.steps(tlsStepsAtOnce - 1)
	if e := s.l.handshakes.ready.Front(); e != nil {
		t.Error("a handshake that has begun waits behind one that has not")
	}
	s.l.kill()
	s.l.turn(nil)
	s.steps(100)
	if st := s.e.Stats(); st.TLSBegun != 0 || st.TLSWaiting != 0 || st.HeldBytes != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

// The client's part of a handshake is bounded in octets.
func TestTLSHandshakeIsBounded(t *testing.T) {
	for _, over := range []bool{false, true} {
		s := newStillTLS(t, Live{})
		n := tlsHandshakeOctetsMax
		if over {
			n++
		}
		// One message in many records, which is never all there.
		var octets []byte
		first := append([]byte{1, 0, 0xFF, 0xFF}, make([]byte, 1000)...)
		for len(octets)+5+len(first) <= n {
			octets = append(octets, 22, 3, 1, byte(len(first)>>8), byte(len(first)))
			octets = append(octets, first...)
			first = make([]byte, 1000)
		}
		if left := n - len(octets) - 5; left > 0 {
			octets = append(octets, 22, 3, 1, byte(left>>8), byte(left))
			octets = append(octets, make([]byte, left)...)
		}
		c, k := s.connect(1, octets)
		for range 100 {
			s.steps(1)
			c.read()
		}
		if len(k.in) > 0 {
			t.Errorf("%d octets are not read", len(k.in))
		}
		if failed := s.e.Stats().TLSFailed[TLSFailedProtocol] == 1; failed != over {
			t.Errorf("%d octets: failed %v", len(octets), failed)
		}
		s.l.kill()
		s.l.turn(nil)
	}
}

// TLS handshakes end at the deadline of the opening, whatever part of them is there.
func TestTLSHandshakeTimeout(t *testing.T) {
	t.Parallel()
	e, a := startTLS(t, Config{Live: Live{HandshakeTimeout: 250 * time.Millisecond}}, CredentialsConfig{}, echoes)
	hello := clientHello(t, a.client("router.test"))
	var peers []*peer
	for _, n := range []int{0, 1, 5, 100, len(hello)} {
		p := dial(t, e)
		p.send(hello[:n])
		peers = append(peers, p)
	}
	for _, p := range peers {
		if _, err := io.Copy(io.Discard, p.r); err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Error(err)
		}
	}
	eventually(t, "all are counted", func() bool {
		s := e.Stats()
		return s.HandshakeTimeouts == 5 && s.TLSTimeouts == 4 && s.Connections == 0 && s.HeldBytes == 0
	})
	p := dialTLS(t, e, a.client("router.test")) // and a session has to begin in time, too
	if _, err := p.Read(make([]byte, 1)); err == nil {
		t.Error("a silent client stays")
	}
}

// 2 000 handshakes that are never finished take no more than the budget allows; a good client is served meanwhile,
// and
// those that have a session do not notice.
func TestTLSHalfOpenHandshakes(t *testing.T) {
	t.Parallel()
	const attackers, places = 2000, 64
	e, a := startTLS(
		t,
		Config{Live: Live{TLSHandshakesMax: places}, BudgetBytes: budgetBytesMin},
		CredentialsConfig{},
		echoes,
	)
	cfg := a.client("router.test")
	before := dialTLS(t, e, cfg).rawHello()
	hello := clientHello(t, cfg)
	for range attackers {
		p := dial(t, e)
		p.send(hello)
	}
	eventually(t, "the places are full", func() bool { return e.Stats().TLSBegun == places })
	if s := e.Stats(); s.HeldBytes > places*tlsPlaceBytes+attackers*4096 || s.HeldBytes < places*tlsPlaceBytes {
		t.Errorf("%d bytes held", s.HeldBytes)
	}
	before.send(rawFrameOf([]byte("as ever")))
	before.expect(rawFrameOf([]byte("as ever")))
	good := dialTLS(t, e, cfg).rawHello()
	good.send(rawFrameOf([]byte("served")))
	good.expect(rawFrameOf([]byte("served")))
	if s := e.Stats(); s.TLSCut == 0 || s.TLSCut > attackers/2 || s.BudgetClosed != 0 {
		t.Errorf("%d cut, %d closed by the budget", s.TLSCut, s.BudgetClosed)
	}
}

// Connections that end in the middle of a handshake, in each state, leave nothing behind.
func TestTLSEndsInEachState(t *testing.T) {
	e, a := startTLS(t, Config{Loops: 1, Live: Live{TLSHandshakesMax: 2}}, CredentialsConfig{}, echoes)
	hello := clientHello(t, a.client("router.test"))
	gone := func(what string) {
		t.Helper()
		eventually(t, what, func() bool {
			s := e.Stats()
			return s.Connections == 0 && s.TLSBegun == 0 && s.TLSWaiting == 0 && s.HeldBytes == 0 &&
				s.AsyncWork == 0
		})
	}
	for _, n := range []int{0, 3, 50, len(hello)} { // it waits for the client
		p := dial(t, e)
		p.send(hello[:n])
		eventually(t, "read", func() bool { return e.Stats().Connections == 1 && e.Stats().AsyncWork == 0 })
		p.reset()
		gone(fmt.Sprintf("after %d octets", n))
	}
	for range 2 {
		release := blockPool(t, e) // it waits for the pool, or for a place
		var peers []*peer
		for range 2 + tlsStepsAtOnce {
			p := dial(t, e)
			p.send(hello)
			peers = append(peers, p)
		}
		eventually(
			t,
			"waiting",
			func() bool { return e.Stats().TLSBegun == 2 && e.Stats().TLSWaiting == tlsStepsAtOnce },
		)
		for _, p := range peers {
			p.reset()
		}
		eventually(t, "closed", func() bool { return e.Stats().Connections == 0 && e.Stats().HeldBytes == 0 })
		close(release)
		gone("in the pool")
	}
	dialTLS(t, e, a.client("router.test")).rawHello()
}

// The engine stops while handshakes are in each state: the harness looks for what is left.
func TestTLSStopsInTheMiddle(t *testing.T) {
	e, a := startTLS(t, Config{Loops: 1, Live: Live{TLSHandshakesMax: 3}}, CredentialsConfig{}, echoes)
	hello := clientHello(t, a.client("router.test"))
	dialTLS(t, e, a.client("router.test")).rawHello()
	dial(t, e).send(hello)
	eventually(t, "begun", func() bool { return e.Stats().TLSBegun == 1 && e.Stats().AsyncWork == 0 })
	release := blockPool(t, e)
	for range 5 {
		dial(t, e).send(hello)
	}
	eventually(t, "waiting", func() bool { return e.Stats().TLSBegun == 3 && e.Stats().TLSWaiting == 3 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() {
		time.Sleep(time.Millisecond)
		close(release)
	}()
	if err := e.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	eventually(t, "the pool ends", func() bool { return e.Stats().AsyncWork == 0 })
	if s := e.Stats(); s.TLSBegun != 0 || s.TLSWaiting != 0 || s.HeldBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// Connections over the limit are told so over TLS, too, and /healthz is answered.
func TestTLSOverTheLimit(t *testing.T) {
	var lines lineLog
	e, a := startTLS(t, Config{
		Live: Live{ConnectionsMax: 1}, Log: slog.New(slog.NewTextHandler(&lines, nil)),
		ListenNames: map[string]string{anyPort: "front"},
	}, CredentialsConfig{}, echoes)
	cfg := a.client("router.test")
	dialTLS(t, e, cfg).rawHello()
	for _, c := range []struct {
		path string
		want int
	}{{"/ws", 503}, {"/healthz", 200}} {
		p := dialTLS(t, e, cfg)
		p.send([]byte("GET " + c.path + " HTTP/1.1\r\nHost: router.test\r\n\r\n"))
		if status, _ := p.readHead(); status != c.want {
			t.Errorf("%s: %d", c.path, status)
		}
		p.Close()
	}
	p := dialTLS(t, e, cfg)
	p.send([]byte{0x7F, 0xF3, 0, 0})
	p.expect([]byte{0x7F, 0x40, 0, 0})
	if !lines.has("connections are refused", "listener=front") {
		t.Error("the line does not name the listener")
	}
}

// What fits none of the kinds is the protocol's.
func TestTLSFailureKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want TLSFailure
	}{
		{&tls.CertificateVerificationError{Err: io.EOF}, TLSFailedCertificate},
		{fmt.Errorf("x: %w", &net.OpError{Op: "remote error", Err: io.EOF}), TLSFailedByClient},
		{&net.OpError{Op: "local error", Err: io.EOF}, TLSFailedProtocol},
		{errTLSLong, TLSFailedProtocol},
		{errTLSPanic, TLSFailedProtocol},
	} {
		if got := judgeTLSFailure(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	for f := range TLSFailures {
		if f.String() == "" {
			t.Errorf("kind %d has no name", f)
		}
	}
}

// A panic in a step, as of a function of the embedder, costs the connection only.
func TestTLSPanicInAStep(t *testing.T) {
	e, a := startTLS(
		t,
		Config{},
		CredentialsConfig{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			panic("as told")
		}, Certificates: []CertificateFiles{}},
		echoes,
	)
	p := dial(t, e)
	err := tls.Client(p.Conn, a.client("router.test")).Handshake()
	if err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v", err)
	}
	p.Close()
	eventually(t, "all is given back", func() bool {
		s := e.Stats()
		return s.Panics == 1 && s.Connections == 0 && s.HeldBytes == 0 && s.TLSBegun == 0 &&
			s.TLSFailed[TLSFailedProtocol] == 1
	})
}

// The socket takes the router's part of a handshake, and then a record of data, a few octets at a time.
func TestTLSSocketTakesLittle(t *testing.T) {
	s := newStillTLS(t, Live{})
	client := newMemoryTLS(s.a.client("router.test"))
	defer client.stop()
	client.step()
	c, k := s.connect(1, nil)
	k.room = 0
	pump := func(done func() bool) {
		t.Helper()
		for n := 0; !done(); n++ {
			if n > 2000 {
				t.Fatalf("stuck: %d octets wait, the poller watches %b", len(c.tls.out), c.polled)
			}
			k.in, client.out = append(k.in, client.out...), nil
			if len(k.in) > 0 {
				c.read()
			}
			s.steps(1)
			if k.room == 0 && c.wantWrite {
				k.room = 1 + n%7
				c.onEvent(unix.EPOLLOUT)
			}
			s.l.turn(nil)
			client.in, k.capture = append(client.in, k.capture...), nil
			client.step()
		}
	}
	pump(func() bool { return client.complete && c.tls.complete })
	for range 2 {
		msg := rawFrameOf(patterned(3000, 1))
		client.got = nil
		if c.handler == nil {
			client.write([]byte{0x7F, 0xF3, 0, 0})
			pump(func() bool { return len(client.got) == 4 })
			client.got = nil
		}
		client.write(msg)
		pump(func() bool { return len(client.got) >= len(msg) })
		if !bytes.Equal(client.got, msg) {
			t.Fatal("another message")
		}
		c.q.Lock()
		if n := c.q.Bytes(); n != 0 || c.tls.outHeld.Load() != 0 {
			t.Errorf("%d octets unsent, %d bytes held", n, c.tls.outHeld.Load())
		}
		c.q.Unlock()
	}
	c.fail(port.CloseNormal, "")
	pump(func() bool { return client.err != nil })
	if client.err != io.EOF {
		t.Errorf("the end is %v", client.err)
	}
}

// When memory for messages is used up, unfinished TLS handshakes go first.
func TestF4BudgetClosesTLSHandshakes(t *testing.T) {
	s := newStillTLS(t, Live{TLSHandshakesMax: 10})
	s.e.budget.bytesMax = 3 * (tlsPlaceBytes + 4096)
	hello := clientHello(t, s.a.client("router.test"))
	for fd := range 5 {
		s.connect(fd, bytes.Clone(hello))
	}
	for range 100 {
		s.l.turn(nil)
	}
	st := s.e.Stats()
	if st.BudgetClosed != 2 || st.TLSBegun != 3 || len(s.l.conns) != 3 || st.HeldBytes > s.e.budget.bytesMax {
		t.Errorf("%d closed, %d begun, %d bytes held", st.BudgetClosed, st.TLSBegun, st.HeldBytes)
	}
	s.l.kill()
	s.l.turn(nil)
	s.steps(100)
	if n := s.e.Stats().HeldBytes; n != 0 {
		t.Errorf("%d bytes left", n)
	}
}

// Only the first step of TLS 1.3 is the pool's. If the second one takes more than a hash, it is the pool's as well:
// in TLS 1.2, and where the client is asked for a certificate. Loops go on to hide their waits.
func TestTLSLightSteps(t *testing.T) {
	for _, want := range []struct {
		name    string
		clients ClientCertificates
		version uint16
		show    bool
		pool    int
	}{
		{"TLS 1.3", ClientsNotAsked, tls.VersionTLS13, false, 1},
		{"TLS 1.2", ClientsNotAsked, tls.VersionTLS12, false, 2},
		{"a client without a certificate", ClientsMay, tls.VersionTLS13, false, 2},
		{"a client with a certificate", ClientsMay, tls.VersionTLS13, true, 2},
		{"a client with a certificate, TLS 1.2", ClientsMust, tls.VersionTLS12, true, 2},
	} {
		s := newStillTLS(t, Live{})
		if want.clients != ClientsNotAsked {
			f, _ := s.a.issue("router2", "ecdsa", "router.test")
			creds, err := NewCredentials(CredentialsConfig{
				Certificates: []CertificateFiles{f}, ClientCertificates: want.clients, ClientCA: s.a.path("ca.pem"),
			})
			if err != nil {
				t.Fatal(err)
			}
			s.creds = creds
		}
		cfg := s.a.client("router.test")
		cfg.MinVersion, cfg.MaxVersion = want.version, want.version
		if want.show {
			_, crt := s.a.issue("client", "ecdsa", "client.test")
			cfg.Certificates = []tls.Certificate{crt}
		}
		client := newMemoryTLS(cfg)
		client.step()
		c, k := s.connect(1, nil)
		steps := 0
		for i := 0; i < 10 && (!client.complete || !c.tls.complete); i++ {
			k.in, client.out = append(k.in, client.out...), nil
			c.read()
			steps += len(s.e.pool.work)
			if n := s.e.pool.long.Load(); n != 0 {
				t.Errorf("%s: %d steps count as long work", want.name, n)
			}
			s.steps(1)
			s.l.turn(nil)
			client.in, k.capture = append(client.in, k.capture...), nil
			client.step()
		}
		if steps != want.pool || !c.tls.complete || c.hold != 0 {
			t.Errorf("%s: %d steps in the pool, want %d; complete: %v, held for %b", want.name, steps, want.pool,
				c.tls.complete, c.hold)
		}
		if st := s.e.Stats(); st.TLSHandshakes != 1 || st.TLSBegun != 0 || st.AsyncWork != 0 {
			t.Errorf("%s: %+v", want.name, st)
		}
		client.stop()
		s.l.kill()
		s.l.turn(nil)
		if held := s.e.Stats().HeldBytes; held != 0 {
			t.Errorf("%s: %d bytes are held", want.name, held)
		}
	}
}

// The last record of the client and its first message may come together: both are handled.
func TestTLSFinishedWithData(t *testing.T) {
	s := newStillTLS(t, Live{})
	client := newMemoryTLS(s.a.client("router.test"))
	defer client.stop()
	client.step()
	c, k := s.connect(1, bytes.Clone(client.out))
	client.out = nil
	s.steps(1)
	client.in = append(client.in, k.capture...)
	client.step()
	client.write([]byte{wire.RawMagic, 0xF2, 0, 0}) // WAMP's RawSocket, with MessagePack
	k.in = client.out
	left := s.l.work
	c.read()
	if left -= s.l.work; left < tlsStepWork {
		t.Errorf("the step counts as %d units of work", left)
	}
	if !c.tls.complete || len(s.e.pool.work) > 0 || c.phase != phaseSniff {
		t.Fatalf("complete: %v, phase %d, %d steps in the pool", c.tls.complete, c.phase, len(s.e.pool.work))
	}
	s.l.turn(nil) // without anything from the poller
	if c.phase != phaseRawSocket {
		t.Errorf("phase %d: what came with the last record is not handled", c.phase)
	}
	s.l.kill()
	s.l.turn(nil)
}

// Whether a step is light, by the records that are there.
func TestTLSLight(t *testing.T) {
	const message, change, alert, data = "\x16\x03\x03\x00\x01x", "\x14\x03\x03\x00\x01x", "\x15\x03\x03\x00\x01x",
		"\x17\x03\x03\x00\x01x"
	for _, want := range []struct {
		in    string
		asked bool
		place bool
		light bool
	}{
		{data, false, true, true},
		{change + data, false, true, true},
		{alert, false, true, true},
		{data + message[:5], false, true, true}, // it is not whole: the step does not see it
		{data, false, false, false},
		{data, true, true, false},
		{message, false, true, false},
		{change + message, false, true, false},
		{data + "x", false, true, true},
		{data + "xxxxx", false, true, false}, // no record
	} {
		h := &handshake{in: []byte(want.in), asked: want.asked}
		if want.place {
			h.place = &clist.Element{}
		}
		if h.light() != want.light {
			t.Errorf("%q, asked %v, place %v: light is %v", want.in, want.asked, want.place, !want.light)
		}
	}
}

// A panic in a light step costs the connection only.
func TestTLSPanicInALightStep(t *testing.T) {
	s := newStillTLS(t, Live{})
	c, k := s.connect(1, clientHello(t, s.a.client("router.test")))
	s.steps(1)
	h := c.tls.handshake
	stop := h.stop
	h.stop = func() { stop(); h.stop = nil }
	h.next = func() (struct{}, bool) { panic("as told") }
	k.in = []byte("\x17\x03\x03\x00\x01x")
	c.read()
	for range 3 {
		s.l.turn(nil)
	}
	if st := s.e.Stats(); st.Panics != 1 || st.TLSFailed[TLSFailedProtocol] != 1 || st.TLSBegun != 0 ||
		st.HeldBytes != 0 {
		t.Errorf("%+v", st)
	}
}
