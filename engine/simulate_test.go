//go:build linux

package engine

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

var (
	simSeed  = flag.Int64("seed", -1, "run the simulation of this number only")
	simSeeds = flag.Int("seeds", 100, "how many simulations to run")
)

// The engine's loops on scripted sockets and a scripted clock:
//
//	go test ./engine -run Simulate -seed=42      replays one run
//	go test ./engine -run Simulate -seeds=100000 runs many
//
// Checked all the while: bytes arrive whole, in the order they were appended, and none is lost before a close; nobody
// uses a descriptor that is not its own; every session is told exactly once that it is closed, and nothing after
// that; a held session hears nothing; timers fire in time. At the end: everything was handled without help, loops are
// at rest, and every count is zero.
func TestSimulate(t *testing.T) {
	t.Parallel()
	if *simSeed >= 0 {
		simulate(t, uint64(*simSeed))
		return
	}
	for seed := range uint64(*simSeeds) {
		simulate(t, seed)
		if t.Failed() {
			return
		}
	}
}

// A simRun is one simulation: its world, its clients and its sessions.
type simRun struct {
	*simWorld
	t        *testing.T
	seed     uint64
	rnd      *rand.Rand // what clients and sessions do; the world draws its own
	clients  []*simClient
	polls    []*simPoll    // simpoll_test.go
	sessions []*simSession // open, oldest first
	timers   int           // that have not fired
	opened   uint64        // sessions there ever were
	stopping bool          // nobody connects any more
	stops    []func()      // of TLS clients that are gone
}

// A simClient is the script of one client.
type simClient struct {
	socket  *simSocket
	session *simSession // nil until the handshake is complete
	tls     *memoryTLS  // nil without TLS
	web     bool        // a WebSocket with permessage-deflate, no RawSocket
	out     []byte      // still to be sent
	seen    int         // messages received, of session.log
	greeted bool
	lazy    bool // reads nothing until the end of the script
	stuck   bool // stops within a message
	silent  bool // never says anything
	gone    bool // reset or ended by itself
}

// A simSession is the handler of one connection.
type simSession struct {
	run    *simRun
	name   string // of its client
	key    uint64 // its own
	poll   *simPoll
	c      *conn
	next   uint32   // number of the next message
	log    []string // what was appended, in order
	held   bool
	over   bool // Finish was called
	overAt time.Duration
	closed bool
}

const (
	simEcho = iota
	simRelay
	simFanout
	simHold
	simFinish
	simAtEnd
	simKeep
	simSubmit
	simAsync
	simTimer
	simPanic
	simOps
)

// message is what a client sends: an operation, a parameter, a number, and padding.
func (r *simRun) message(op byte, number uint32) []byte {
	n := r.rnd.IntN(60)
	switch r.rnd.IntN(30) {
	case 0:
		n = r.rnd.IntN(150_000)
	case 1, 2:
		n = r.rnd.IntN(5000)
	}
	b := binary.BigEndian.AppendUint32([]byte{op, byte(r.rnd.IntN(256))}, number)
	return append(b, bytes.Repeat([]byte{byte(number)}, n)...)
}

// operation is one that a client asks for; the last ones of a session are rare.
func (r *simRun) operation() byte {
	op := byte(r.rnd.IntN(simOps))
	if (op == simFinish || op == simPanic) && r.rnd.IntN(10) > 0 {
		return simEcho
	}
	return op
}

func (r *simRun) newClient() {
	c := &simClient{lazy: r.rnd.IntN(4) == 0, stuck: r.rnd.IntN(12) == 0, silent: r.rnd.IntN(12) == 0}
	c.out = []byte{0x7F, 0xF3, 0, 0}
	if c.web = r.rnd.IntN(3) == 0; c.web {
		c.out = offering("wamp.2.cbor", "permessage-deflate; server_max_window_bits=12")
	}
	for n := range uint32(r.rnd.IntN(60)) {
		if m := r.message(r.operation(), n); c.web {
			c.out = r.appendWeb(c.out, m)
		} else {
			c.out = append(c.out, rawFrameOf(m)...)
		}
	}
	if c.stuck && c.web {
		c.out = append(c.out, masked(0x42, []byte("x"))...)
	} else if c.stuck {
		c.out = append(c.out, 0, 0, 100, 0, 'x')
	}
	if c.silent {
		c.out = nil
	} else if r.rnd.IntN(3) == 0 {
		version := tlsVersions[r.rnd.IntN(2)]
		c.tls = newMemoryTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		c.tls.step()
	}
	c.socket = r.connect(c)
	r.clients = append(r.clients, c)
}

// act lets c do something: send, read, or go away.
func (r *simRun) act(c *simClient, willing bool) {
	k := c.socket
	if c.gone {
		return
	}
	if k.closed || k.shut {
		r.take(c, len(k.got))
		k.reset = k.closed // the client sees the end and goes
		k.ended = true
		return
	}
	out := &c.out
	if c.tls != nil {
		if n := len(c.out); n > 0 && c.tls.complete && (willing || r.rnd.IntN(2) == 0) {
			if !willing {
				n = 1 + r.rnd.IntN(n)
			}
			c.tls.write(c.out[:n])
			c.out = c.out[n:]
		}
		out = &c.tls.out
	}
	if n := len(*out); n > 0 && (willing || r.rnd.IntN(2) == 0) {
		n = 1 + r.rnd.IntN(n)
		k.in = append(k.in, (*out)[:n]...)
		*out = (*out)[n:]
	}
	if willing || !c.lazy {
		n := len(k.got)
		if n > 0 && !willing {
			n = r.rnd.IntN(n + 1)
		}
		r.take(c, n)
		k.room += n
		if k.room < 3000 {
			k.room += r.rnd.IntN(3000)
		}
		if willing {
			k.room = 1 << 20
		}
	}
	if !willing {
		switch r.rnd.IntN(600) {
		case 0:
			k.reset, c.gone = true, true
		case 1:
			k.ended, c.gone = true, true
		}
	}
}

// take looks at the next n bytes that the client received: whole messages have to be the next of the log.
func (r *simRun) take(c *simClient, n int) {
	k := c.socket
	got := &k.got // what stays in it is looked at as soon as it is whole
	if c.tls != nil {
		c.tls.in = append(c.tls.in, k.got[:n]...)
		k.got = k.got[n:]
		if c.tls.step(); c.tls.err != nil && c.tls.err != io.EOF {
			r.fail("client %d: %v", k.id, c.tls.err)
			return
		}
		got = &c.tls.got
	}
	if c.web && !c.greeted {
		end := bytes.Index(*got, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		if head := (*got)[:end]; !bytes.Contains(head, []byte(acceptedDeflate+"; server_max_window_bits=12")) {
			r.fail("client %d: handshake answered %q", k.id, head)
			return
		}
		c.greeted, *got = true, (*got)[end+4:]
	}
	if !c.greeted {
		if len(*got) < 4 {
			return
		}
		if !bytes.Equal((*got)[:4], []byte{0x7F, 0xF3, 0, 0}) {
			r.fail("client %d: handshake answered % x", k.id, (*got)[:4])
			return
		}
		c.greeted, *got = true, (*got)[4:]
	}
	for len(*got) > 0 {
		msg, rest, whole := c.unframe(*got)
		if !whole {
			return
		}
		if *got = rest; msg == nil {
			continue // a close frame
		}
		s := c.session
		if c.seen >= len(s.log) {
			r.fail("client %d: message %d was never sent", k.id, c.seen)
			return
		}
		if string(msg) != s.log[c.seen] {
			r.fail("client %d: message %d is %.30q, not %.30q", k.id, c.seen, msg, s.log[c.seen])
			return
		}
		c.seen++
	}
}

// unframe cuts the first frame off b, if it is whole, and returns the message in it; nil for a close frame.
func (c *simClient) unframe(b []byte) (msg, rest []byte, whole bool) {
	if !c.web {
		if len(b) < 4 {
			return nil, b, false
		}
		end := 4 + int(binary.BigEndian.Uint32(b))
		if len(b) < end {
			return nil, b, false
		}
		return b[4:end], b[end:], true
	}
	if len(b) < 10 && (len(b) < 2 || len(b) < 2+[]int{0, 2, 8}[max(int(b[1])-125, 0)]) {
		return nil, b, false
	}
	head, length := 2, int(b[1])
	switch length {
	case 126:
		head, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		head, length = 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	if len(b) < head+length {
		return nil, b, false
	}
	msg, rest = b[head:head+length], b[head+length:]
	switch b[0] {
	case 0x88:
		return nil, rest, true
	case rsv1Binary:
		room := func(b []byte) []byte { return append(make([]byte, 0, 2*cap(b)+100), b...) }
		msg, _ = codec.Inflate(nil, [][]byte{msg}, 1<<20, room, nil)
	}
	return msg, rest, true
}

// appendWeb appends a message of a WebSocket client: compressed or not, in one frame or in some, with a pong between.
func (r *simRun) appendWeb(dst, m []byte) []byte {
	first := byte(0x02)
	if r.rnd.IntN(2) == 0 {
		m, first = deflated(m), rsv1Binary&0x7F
	}
	for r.rnd.IntN(3) == 0 && len(m) > 0 {
		n := r.rnd.IntN(len(m))
		dst = append(append(dst, masked(first, m[:n])...), masked(0x8A, nil)...)
		m, first = m[n:], 0
	}
	return append(dst, masked(first|0x80, m)...)
}

// simFrame is the frame of a message for v; every second one is compressed if v allows it.
func simFrame(v codec.Variant, msg []byte) []byte {
	if v.Deflates() && len(msg)%2 == 0 {
		return codec.AppendDeflatedFrame(nil, v, codec.AppendDeflated(nil, msg), len(msg))
	}
	return frameFor(v, msg)
}

func (r *simRun) open(_ port.Executor, pc port.Conn) port.Handler {
	c := pc.(*conn)
	r.opened++
	s := &simSession{run: r, c: c, key: r.opened, name: fmt.Sprint("session ", r.opened)}
	if c.phase != phaseLongPoll {
		k := c.socketOfSim()
		if c.tls != nil {
			c.transport = &simTLS{c.tls, r.simWorld}
		}
		s.name = fmt.Sprint("client ", k.id)
		k.client.session = s
	}
	c.SetJoined(true)
	r.sessions = append(r.sessions, s)
	return s
}

// send appends one message to s, from whatever loop x is.
func (s *simSession) send(x port.Executor, class port.Class, msg []byte) {
	s.c.Lock()
	defer s.c.Unlock()
	if buf, ok := s.c.Tail(class); ok {
		s.c.Commit(x, append(buf, simFrame(s.c.variant, msg)...))
		s.log = append(s.log, string(msg))
	}
}

func (s *simSession) other() *simSession { return s.run.sessions[s.run.rnd.IntN(len(s.run.sessions))] }

// Receive implements port.Handler.
func (s *simSession) Receive(x port.Executor, b []byte) {
	r := s.run
	number := binary.BigEndian.Uint32(b[2:])
	switch {
	case s.closed || s.over:
		r.fail("%s: message after the end", s.name)
		return
	case s.held:
		r.fail("%s: message while held", s.name)
		return
	case number != s.next:
		r.fail("%s: message %d instead of %d", s.name, number, s.next)
		return
	case len(b) > 6 && (b[6] != byte(number) || b[len(b)-1] != byte(number)):
		r.fail("%s: message %d is damaged", s.name, number)
		return
	}
	s.next++
	switch b[0] {
	case simEcho:
		s.send(x, port.Reply, b)
	case simRelay:
		s.other().send(x, port.Class(b[1]%2), b)
	case simFanout:
		s.fanout(x, b)
	case simHold:
		s.hold(x, b[1])
	case simFinish:
		s.finish(x, []port.CloseCode{port.CloseNormal, port.ClosePolicy}[b[1]%2])
	case simAtEnd:
		x.AtBatchEnd(simTask{s, bytes.Clone(b)})
	case simKeep:
		want := bytes.Clone(b)
		kept, _ := s.c.Keep(b)
		r.timer(x, time.Duration(b[1])*time.Millisecond, func(x port.Executor) {
			if !bytes.Equal(kept, want) {
				r.fail("%s: a kept message changed", s.name)
			}
		})
	case simSubmit:
		b := bytes.Clone(b)
		if !r.e.Submit(int(b[1])%x.Loops(), func(x port.Executor) { s.send(x, port.Reply, b) }) {
			r.fail("a running loop takes no work")
		}
	case simAsync:
		b, home := bytes.Clone(b), x.Loop()
		if !x.Async(func(context.Context) {}, func(x port.Executor) {
			if x.Loop() != home {
				r.fail("done on loop %d instead of %d", x.Loop(), home)
			}
			s.send(x, port.Reply, b)
		}) {
			r.fail("the pool is full")
		}
	case simTimer:
		for range 3 {
			r.timer(x, time.Duration(r.rnd.IntN(1+16*int(b[1])))*time.Millisecond, func(port.Executor) {})
		}
	case simPanic:
		s.over, s.overAt = true, r.now
		panic("as told")
	}
}

type simTask struct {
	s *simSession
	b []byte
}

func (t simTask) EndOfBatch(x port.Executor) { t.s.send(x, port.Reply, t.b) }

// timer checks that f runs at its time.
func (r *simRun) timer(x port.Executor, d time.Duration, f func(port.Executor)) {
	due, home := r.now+d, x.Loop()
	r.timers++
	x.Start(&port.Timer{Fire: func(x port.Executor) {
		r.timers--
		if r.now < due || r.now > due+time.Second || x.Loop() != home {
			r.fail("a timer of loop %d for %v fired on loop %d at %v", home, due, x.Loop(), r.now)
		}
		f(x)
	}}, d)
}

func (s *simSession) hold(x port.Executor, how byte) {
	r := s.run
	s.c.Hold(x)
	s.held = true
	resume := func(x port.Executor) {
		s.held = false
		s.c.Resume(x)
	}
	switch how % 4 {
	case 0:
		r.timer(x, time.Duration(how)*time.Millisecond, resume)
	case 1:
		x.Async(func(context.Context) {}, resume)
	case 2:
		r.e.Submit(x.Loop(), resume)
	case 3:
		resume(x) // within the same Receive
	}
}

func (s *simSession) finish(x port.Executor, code port.CloseCode) {
	s.c.Lock()
	s.c.Finish(x, code, "")
	s.over, s.overAt = true, s.run.now
	s.c.Unlock()
}

// fanout sends b as an event to every session, loop by loop, on credit.
func (s *simSession) fanout(x port.Executor, b []byte) {
	r := s.run
	frames := map[codec.Variant][]byte{}
	byLoop := make([][]*simSession, x.Loops())
	for _, to := range r.sessions {
		if v := to.c.variant; frames[v] == nil {
			frames[v] = simFrame(v, b)
		}
		byLoop[to.c.loop.index] = append(byLoop[to.c.loop.index], to)
	}
	for i, members := range byLoop {
		cost := int64(len(b) * len(members))
		s.c.Spend(cost)
		x.Post(i, s.key, &simWalk{
			s: s, members: members, frames: frames, msg: string(b),
			cost: cost,
		})
	}
}

// A simWalk is the part of a fan-out that one loop does.
type simWalk struct {
	s       *simSession
	members []*simSession
	frames  map[codec.Variant][]byte
	msg     string
	cost    int64
}

func (w *simWalk) Run(x port.Executor, budget int) bool {
	for ; budget > 0 && len(w.members) > 0; budget-- {
		to := w.members[0]
		w.members = w.members[1:]
		to.c.q.Lock()
		takes := to.c.q.Accepts()
		to.c.q.Unlock()
		to.c.AppendRun(x, w.frames[to.c.variant], 1, 0)
		to.c.q.Lock()
		takes = takes && to.c.q.Accepts() // a slow consumer is given up
		to.c.q.Unlock()
		if takes {
			to.log = append(to.log, w.msg)
		}
	}
	if len(w.members) > 0 {
		return true
	}
	w.s.c.Refund(x, w.cost)
	return false
}

// Violate implements port.Handler.
func (s *simSession) Violate(port.Executor, *codec.Violation) { s.run.fail("violation") }

// Shutdown implements port.Handler.
func (s *simSession) Shutdown(x port.Executor) {
	if s.closed {
		s.run.fail("shutdown after the end")
	}
	s.send(x, port.Reply, []byte("goodbye"))
	s.finish(x, port.CloseGoingAway)
}

// Closed implements port.Handler.
func (s *simSession) Closed(port.Executor) {
	if s.closed {
		s.run.fail("%s: closed twice", s.name)
	}
	s.closed = true
	for i, other := range s.run.sessions {
		if other == s {
			s.run.sessions = append(s.run.sessions[:i:i], s.run.sessions[i+1:]...)
			break
		}
	}
}

func simulate(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := &simRun{t: t, seed: seed, rnd: rnd}
	live := Live{
		PingInterval: -1, HandshakeTimeout: 3 * time.Second, MessageTimeout: 5 * time.Second,
		BacklogBytesMax: 64 << 10,
		CreditBytes:     1 + rnd.Int64N(2000),
	}
	if rnd.IntN(3) > 0 {
		live.BacklogBytesMax = 16 << 20
	}
	live.TLSHandshakesMax = rnd.IntN(6)
	live.Deflate = DeflateAlways
	r.simWorld = newSimWorld(seed, 1+rnd.IntN(3), Config{Live: live}, r.open)
	r.ls.opening = &opening{tls: &ListenTLS{Credentials: simCredentials(), Plain: true}, poll: "/lp"}
	r.e.longPollHold, r.e.longPollIdle = 3*time.Second, 8*time.Second
	if rnd.IntN(4) == 0 {
		r.e.budget.bytesMax = 100_000 // so that it is exceeded
	}
	for range 1500 {
		switch {
		case len(r.clients) < 12 && rnd.IntN(60) == 0:
			r.newClient()
		case len(r.polls) < 4 && rnd.IntN(150) == 0:
			r.newPoll()
		case len(r.polls) > 0 && rnd.IntN(6) == 0:
			r.polls[rnd.IntN(len(r.polls))].act(false)
		case len(r.clients) > 0 && rnd.IntN(3) == 0:
			r.act(r.clients[rnd.IntN(len(r.clients))], false)
		case !r.step():
			r.sleep(r.now + time.Duration(rnd.IntN(20))*time.Millisecond)
		}
		if r.failed != "" {
			break
		}
	}
	defer func() {
		for _, c := range r.clients {
			if c.tls != nil {
				c.tls.stop()
			}
		}
		for _, stop := range r.stops {
			stop()
		}
		for _, p := range r.polls {
			for _, k := range p.carriers {
				if k.tls != nil {
					k.tls.stop()
				}
			}
		}
	}()
	ended := r.now
	r.settle(20*time.Second, "the script is over") // a held message has its time once nothing holds it
	r.settle(20*time.Second, "all is sent")        // and so has one whose client sent the last of it late
	for _, c := range r.clients {
		s := c.session
		switch {
		case c.silent && !c.socket.closed:
			r.fail("client %d: a silent connection is waited for for ever", c.socket.id)
		case r.failed != "" || c.gone || s == nil:
		case c.stuck && !s.closed:
			r.fail("client %d: an unfinished message is waited for for ever", c.socket.id)
		case s.closed || s.over:
		case len(c.socket.in) > 0 || s.held || c.seen != len(s.log):
			r.fail("client %d is left waiting: %d bytes unread, held %v, %d messages of %d arrived; "+
				"hold %b, deferred %v, watched %d", c.socket.id, len(c.socket.in), s.held, c.seen, len(s.log),
				s.c.hold, s.c.deferred, s.c.polled)
		}
	}
	for _, p := range r.polls {
		p.check()
	}
	if n, most := r.e.rare.longPollsBroken.Load(), r.cuts(); n > most {
		r.fail("%d long-poll sessions have ended for the answers of %d", n, most)
	}
	if r.timers != 0 {
		r.fail("%d timers never fired", r.timers)
	}
	r.stopping = true
	for _, s := range r.loops {
		s.l.post(note{kind: noteStop})
	}
	r.settle(8*time.Second, "the engine stops")
	if n := r.e.open.Load(); n != 0 {
		r.fail("%d connections outlive a stop", n)
	}
	for _, c := range r.clients {
		// A client that read nothing for finishTimeout may have lost something.
		if s := c.session; s != nil && s.over && s.overAt > ended-finishTimeout/2 && !c.gone && !c.stuck &&
			c.seen != len(s.log) && live.BacklogBytesMax > 1<<20 && r.e.rare.budgetClosed.Load() == 0 {
			r.fail("client %d was sent %d messages before its end and got %d", c.socket.id, len(s.log), c.seen)
		}
	}
	for _, p := range r.polls {
		if live.BacklogBytesMax > 1<<20 && r.e.rare.budgetClosed.Load() == 0 {
			p.checkEnd(ended - finishTimeout/2)
		}
	}
	for _, s := range r.loops {
		s.l.post(note{kind: noteKill})
	}
	r.settle(time.Second, "the engine ends")
	for _, s := range r.loops {
		if r.failed == "" && (!s.ended || s.l.homed.Load() != 0 || s.l.submits.Load() != 0 || len(s.l.conns) != 0) {
			r.fail("loop %d is not at rest: %d connections", s.l.index, s.l.homed.Load())
		}
	}
	if st := r.e.Stats(); st.HeldBytes != 0 || st.PartialBytes != 0 || st.AsyncWork != 0 || len(r.sockets) != 0 ||
		r.e.budget.evicting.Load() || len(r.sessions) != 0 {
		r.fail(
			"left behind: %d bytes held, %d of partials, %d pieces of work, %d sockets, %d sessions",
			st.HeldBytes,
			st.PartialBytes,
			st.AsyncWork,
			len(r.sockets),
			len(r.sessions),
		)
	}
	if r.failed != "" {
		t.Errorf("seed %d, step %d, %v: %s", seed, r.steps, r.now, r.failed)
	}
}

// left changes when c does anything.
func (c *simClient) left() int {
	n := len(c.socket.in) + len(c.out) + c.seen
	if c.tls != nil {
		n += len(c.tls.out)
	}
	return n
}

// simCredentials are those of all simulations. The signatures of this kind of key have one length, and all else that
// is random in TLS has, too: so a run is the same again in all that its number decides.
var simCredentials = sync.OnceValue(func() *Credentials {
	key := newKey("ed25519")
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"sim.test"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(crand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	crt := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	creds, err := NewCredentials(CredentialsConfig{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return crt, nil },
	})
	if err != nil {
		panic(err)
	}
	return creds
})

// settle lets clients do all they can and loops run until nothing happens for so long. Nothing helps a connection
// along.
func (r *simRun) settle(most time.Duration, when string) {
	until := r.now + most
	for steps := 0; r.failed == ""; steps++ {
		if steps > 300_000 {
			r.fail("no rest after %d steps when %s", steps, when)
			return
		}
		if steps%7 == 0 {
			r.actAll()
		}
		if r.step() || r.actAll() || r.step() {
			continue
		}
		if !r.sleep(until) && !r.actAll() && !r.step() {
			return
		}
	}
}

// actAll lets all clients do what they can, and reports whether that was anything.
func (r *simRun) actAll() (acted bool) {
	for _, c := range r.clients {
		before := c.left()
		r.act(c, true)
		acted = acted || before != c.left()
	}
	for _, p := range r.polls {
		before := p.acts
		p.act(true)
		acted = acted || before != p.acts
	}
	return acted
}

// cuts is how many connections were cut on which messages for long-poll sessions may have been.
func (r *simRun) cuts() (n int64) {
	for _, p := range r.polls {
		n += int64(p.cuts)
	}
	return n
}
