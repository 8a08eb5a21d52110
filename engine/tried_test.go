//go:build linux

package engine

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// Bounds are judged by what the socket does not take: it is tried before an event is dropped or a client closed.

// TRN-48: each policy, by bytes and by number: a client whose socket takes all loses nothing, and of others the same
// bytes may wait as ever. A socket that is known to take nothing is asked once more before its client is closed, and
// not for each event that is dropped.
func TestSocketIsTriedAtTheBound(t *testing.T) {
	t.Attr("checklist", "TRN-48")
	const events = 12
	for _, bound := range []port.Backlog{{BytesMax: 64 << 10}, {BytesMax: 1 << 20, EventsMax: 4}} {
		for _, policy := range []SlowConsumer{Disconnect, DropNewest, DropOldest, KeepLatest} {
			for _, room := range []int{events, events - 4, events - 5} {
				bound.Policy = policy
				c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
				c.SetBacklog(&bound)
				c.transport = &limitedTransport{room: room * eventBytes}
				l := c.loop
				appendEvents(c, "1234")
				if n := l.stats.writes.Load(); n != 0 {
					t.Fatalf("%d writes below the bound", n)
				}
				appendEvents(c, "56789012")
				s := l.engine.Stats()
				lost := s.EventsDropped + s.SlowConsumersClosed
				if want := int64(max(events-4-room, 0)); lost != want {
					t.Errorf("policy %d, room for %d: %d lost, want %d", policy, room, lost, want)
				}
				if n := len(l.touched.items); n > 1 {
					t.Errorf("policy %d: to be flushed %d times", policy, n)
				}
				if room == events {
					continue
				}
				if l.flush(c); !c.wantWrite && accepts(c) {
					t.Errorf("policy %d: the poller is not asked", policy)
				}
				before := l.stats.writes.Load()
				appendEvents(c, "3")
				if n := l.stats.writes.Load() - before; n != 0 && (policy != Disconnect || n > 1) {
					t.Errorf("policy %d: %d writes to a socket that takes nothing", policy, n)
				}
			}
		}
	}
}

// A client that has begun to read is not closed, though nobody has reported it yet.
func TestSocketIsTriedBeforeTheClose(t *testing.T) {
	c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, PingInterval: -1}, phaseRawSocket)
	k := &limitedTransport{}
	c.transport = k
	appendEvents(c, "1234")
	c.loop.flush(c)
	k.room = eventBytes
	appendEvents(c, "5")
	if !accepts(c) {
		t.Fatal("closed")
	}
	if appendEvents(c, "6"); accepts(c) {
		t.Error("taken beyond the bound")
	}
}

// A client that is found to be gone at the bound is no slow one.
func TestGoneAtTheBound(t *testing.T) {
	c, _ := newSilent(t, Live{BacklogBytesMax: 64 << 10, PingInterval: -1}, phaseRawSocket)
	c.transport = &limitedTransport{gone: true}
	appendEvents(c, "123456")
	if s := c.loop.engine.Stats(); accepts(c) || s.SlowConsumersClosed != 0 || !c.closing || c.q.Bytes() != 0 {
		t.Errorf("%d closed as slow, closing %v, %d bytes wait", s.SlowConsumersClosed, c.closing, c.q.Bytes())
	}
}

// While another loop writes, its system call is waited for: it tells what the socket takes.
func TestAnotherLoopWritesAtTheBound(t *testing.T) {
	for room, lost := range map[int]int64{4 * eventBytes: 0, 0: 1} {
		live := Live{BacklogBytesMax: 64 << 10, SlowConsumer: DropNewest, PingInterval: -1}
		c, _ := newSilent(t, live, phaseRawSocket)
		k := &gatedTransport{in: make(chan bool), gate: make(chan bool)}
		k.room = room
		c.transport = k
		other := newLoop(c.loop.engine, 1, &stillPoller{})
		appendEvents(c, "1234")
		done := make(chan bool)
		go func() { other.flush(c); close(done) }()
		<-k.in
		var once sync.Once
		waits := 0
		c.loop.yield = func() { once.Do(func() { close(k.gate) }); waits++; runtime.Gosched() }
		appendEvents(c, "5")
		once.Do(func() { close(k.gate) })
		<-done
		if n := c.loop.engine.Stats().EventsDropped; n != lost || waits == 0 {
			t.Errorf("room for %d: %d dropped, %d waits", room, n, waits)
		}
	}
}

// A gatedTransport is in a system call until gate is closed.
type gatedTransport struct {
	limitedTransport
	in, gate chan bool
	entered  bool
}

func (k *gatedTransport) Send(fd int, v *outq.Vectors, first *outq.Segment) (int, error) {
	if !k.entered {
		k.entered = true
		close(k.in)
	}
	<-k.gate
	return k.limitedTransport.Send(fd, v, first)
}

// handing runs f on l as each kind of work that appends messages.
func handing(l *loop, f func()) map[string]func() {
	c := newConnOn(l)
	c.handler = &session{c: c, receive: func(port.Executor, *session, []byte) { f() }}
	c.credit.Store(1)
	job := funcJob(f)
	return map[string]func(){
		"message":   func() { c.receive([]byte("x")) },
		"job":       func() { l.Post(l.index, 1, job); l.members = turnMembers; l.runLanes() },
		"own note":  func() { l.local = append(l.local, note{kind: noteDone, job: job}); l.takeNotes() },
		"note":      func() { l.post(note{kind: noteDone, job: job}); l.takeNotes() },
		"at an end": func() { l.AtBatchEnd(job); l.runTasks() },
	}
}

type funcJob func()

func (f funcJob) Run(port.Executor, int) (more bool) { f(); return false }
func (f funcJob) EndOfBatch(port.Executor)           { f() }

// Answers and invocations at their bounds: the socket is tried after the message or job that appends them, on
// whichever loop that is. Before it is, twice as much may be there; afterwards as much as ever.
func TestSocketIsTriedForMessages(t *testing.T) {
	t.Attr("checklist", "TRN-48")
	const bytesMax = 64 << 10
	for _, class := range []port.Class{port.Reply, port.Invocation} {
		bound := bytesMax
		if class == port.Reply {
			bound += bytesMax / 4
		}
		for _, foreign := range []bool{false, true} {
			for _, pieces := range []bool{false, true} {
				for _, room := range []int{1 << 30, 0} {
					var c *conn
					var l *loop
					begin := func() {
						c, _ = newSilent(t, Live{BacklogBytesMax: bytesMax, PingInterval: -1}, phaseRawSocket)
						c.transport = &limitedTransport{room: room}
						if l = c.loop; foreign {
							l = newLoop(c.loop.engine, 1, &stillPoller{})
						}
					}
					add := func() bool {
						c.Lock()
						defer c.Unlock()
						message := make([]byte, eventBytes)
						if pieces {
							return c.AppendPieces(l, class, [][]byte{message})
						}
						buf, ok := c.Tail(class)
						if ok {
							c.Commit(l, append(buf, message...))
						}
						return ok
					}
					begin()
					for name := range handing(l, nil) {
						begin()
						n := 0
						work := handing(l, func() {
							if add() {
								n++
							}
						})[name]
						for range 20 {
							work()
						}
						if room > 0 && n != 20 || room == 0 && n != bytesMax/eventBytes+1 {
							t.Errorf("%s, class %d, foreign %v, room %d: %d taken", name, class, foreign, room, n)
						}
						if n := len(l.touched.items); n != 1 || !l.pressed.empty() {
							t.Errorf("%s: to be flushed %d times", name, n)
						}
						if room > 0 {
							l.flush(c)
							before := l.stats.writes.Load()
							if work(); l.stats.writes.Load() != before {
								t.Errorf("%s: written at once below the bound", name)
							}
						}
						if closed := !accepts(c); closed != (room == 0 && class == port.Reply) {
							t.Errorf("%s, class %d, foreign %v: closed %v", name, class, foreign, closed)
						}
					}
					begin()
					n := 0
					for ; n < 100 && add(); n++ {
						c.q.Link(nil, false)
					}
					if want := 2 * bound / eventBytes; n != want {
						t.Errorf("class %d, pieces %v: %d taken untried, want %d", class, pieces, n, want)
					}
				}
			}
		}
	}
}

// TRN-48: a client that reads at once gets all, over each transport, though its events or its answers of one turn are
// more than its bound.
func TestReadersAreNotSlow(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-48")
	const each, count = 20_000, 20
	conns := make(chan port.Conn, 1)
	open := func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(true)
		conns <- c
		return &session{c: c}
	}
	a := newAuthority(t)
	f, _ := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}})
	if err != nil {
		t.Fatal(err)
	}
	live := Live{BacklogBytesMax: 64 << 10, Deflate: DeflateAlways}
	e := startWith(t, Config{Live: live, Loops: 1}, ListenTLS{Credentials: creds, Plain: true}, open)
	for name, dial := range map[string]func() *peer{
		"rawsocket": func() *peer { return dialRaw(t, e, codec.CBOR) },
		"TLS":       func() *peer { return dialTLS(t, e, a.client("router.test")).rawHello() },
		"deflate": func() *peer {
			p := dial(t, e)
			p.send(offering("wamp.2.cbor", "permessage-deflate"))
			p.readHead()
			return p
		},
	} {
		p := dial()
		c := <-conns
		for _, class := range []string{"event", "answer", "pieces"} {
			var frames [][]byte
			for i := range count {
				msg := make([]byte, each+i) // every second one is compressed
				_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(msg)
				frames = append(frames, simFrame(c.Variant(), msg))
			}
			on(e, 0, func(x port.Executor) {
				for _, frame := range frames {
					switch class {
					case "event":
						c.AppendRun(x, frame, 1, 0)
					case "answer":
						x.Post(0, 1, funcJob(func() {
							c.Lock()
							if buf, ok := c.Tail(port.Reply); ok {
								c.Commit(x, append(buf, frame...))
							}
							c.Unlock()
						}))
					default:
						x.Post(0, 1, funcJob(func() {
							c.Lock()
							c.AppendPieces(x, port.Reply, [][]byte{frame[:100], frame[100:]})
							c.Unlock()
						}))
					}
				}
			})
			for _, frame := range frames {
				p.expect(frame)
			}
			if n := e.Stats().SlowConsumersClosed; n != 0 {
				t.Fatalf("%s, %s: %d closed", name, class, n)
			}
		}
	}
}

// A receive that waits is answered before the bound is judged.
func TestLongPollIsTriedAtTheBound(t *testing.T) {
	t.Parallel()
	for _, events := range []int{6, 7} { // one goes to the receive, five are not more than the bound
		cfg := pollConfig()
		cfg.BacklogBytesMax = 64 << 10
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		p := dial(t, e)
		at := p.opened("wamp.2.cbor")
		s := <-opened
		go p.send(pollRequestText(at+"/receive", nil))
		waiting(t, e, at)
		event := strings.Repeat("x", 13_000)
		s.do(e, func(x port.Executor) {
			for range events {
				s.c.AppendRun(x, rawFrameOf([]byte(event)), 1, 0)
			}
		})
		if n := e.Stats().SlowConsumersClosed; n != int64(events-6) {
			t.Fatalf("%d events: %d closed", events, n)
		}
		p.answer().want(t, 200, event)
		if events == 6 {
			for range 5 {
				p.post(at+"/receive", nil).want(t, 200, event)
			}
		}
	}
}
