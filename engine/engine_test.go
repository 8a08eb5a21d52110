//go:build linux

package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// What this package's tests think of framing and what the codec writes is the same.
func TestFramesAgreeWithCodec(t *testing.T) {
	for v := range codec.Variant(codec.NumVariants) {
		for _, n := range []int{1, 120, 121, 125, 126, 300, 65535, 65536, 70000} {
			msg := make([]byte, n)
			if got, ok := codec.AppendFrame(nil, v, msg); !ok || string(got) != string(frameFor(v, msg)) {
				t.Errorf("variant %d, %d bytes: header % x, want % x", v, n, got[:16], frameFor(v, msg)[:16])
			}
		}
	}
}

// REVIEW R10, ENGINE 9 trap 17: a panic costs the one session; its loop, its promises and its neighbours go on.
func TestR10PanicCostsOneSession(t *testing.T) {
	closed := make(chan bool, 10)
	var neighbour atomic.Pointer[session]
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		s := &session{c: c}
		s.receive = func(x port.Executor, s *session, b []byte) {
			switch string(b) {
			case "neighbour":
				neighbour.Store(s)
			case "panic":
				reply(x, neighbour.Load().c, []byte("promised"))
				reply(x, c, []byte("last"))
				panic("as told")
			case "timer":
				x.Start(&port.Timer{Fire: func(x port.Executor) { reply(x, c, []byte("fired")) }}, 0)
			}
			reply(x, c, b)
		}
		s.closed = func(port.Executor, *session) { closed <- true }
		return s
	})
	n := dialWS(t, e, "wamp.2.json")
	n.send(text("neighbour"))
	n.expect(serverText("neighbour"))
	for range 3 {
		p := dialWS(t, e, "wamp.2.json")
		p.send(text("before"), text("panic"), text("after"))
		p.expect(serverText("before"))
		p.expect(serverText("last"))
		p.expectClose(1011)
		<-closed
		n.expect(serverText("promised"))
	}
	n.send(text("timer"))
	n.expect(serverText("timer"))
	n.expect(serverText("fired"))
	if got := e.Stats().Panics; got != 3 {
		t.Fatalf("%d panics counted", got)
	}
}

// TRN-47: a peer that resets at any point of the conversation.
func TestTRN47ResetAnywhere(t *testing.T) {
	var opened, closed atomic.Int64
	e := start(t, Config{}, func(x port.Executor, c port.Conn) port.Handler {
		opened.Add(1)
		return &session{
			c:       c,
			receive: func(x port.Executor, s *session, b []byte) { reply(x, c, b) },
			closed:  func(port.Executor, *session) { closed.Add(1) },
		}
	})
	streams := [][]byte{
		append(upgradeRequest("wamp.2.json"), append(append(masked(0x01, []byte("ab")), ping("p")...),
			masked(0x80, []byte("cd"))...)...),
		append([]byte{0x7F, 0xF1, 0, 0}, append(rawFrameOf([]byte("abc")),
			wire.AppendRawFrame(nil, wire.RawPing, []byte("p"))...)...),
	}
	for _, stream := range streams {
		for n := 0; n <= len(stream); n += 1 + n/40 {
			p := dial(t, e)
			p.send(stream[:n])
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
			p.Close()
		}
	}
	eventually(t, "all disposed", func() bool { return e.Stats().Connections == 0 })
	if opened.Load() != closed.Load() {
		t.Fatalf("%d opened, %d closed", opened.Load(), closed.Load())
	}
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("alive")))
	p.expect(rawFrameOf([]byte("alive")))
}

// TRN-54: without configuration, many connections of one address, most of them silent.
func TestTRN54ManySilentConnections(t *testing.T) {
	e := start(t, Config{}, echoes)
	for i := range 1300 {
		p := dialRaw(t, e, codec.CBOR)
		if i >= 1000 {
			p.send(rawFrameOf([]byte("x")))
			p.expect(rawFrameOf([]byte("x")))
		}
	}
	if s := e.Stats(); s.Sessions != 1300 || s.Refused != 0 {
		t.Fatalf("%+v", s)
	}
}

// A connection ends once: Closed comes exactly once and last, whatever happens first.
func TestClosedComesOnceAndLast(t *testing.T) {
	for name, end := range map[string]func(x port.Executor, s *session, p *peer){
		"finish": func(x port.Executor, s *session, _ *peer) {
			s.c.Lock()
			s.c.Finish(x, 1000, "")
			s.c.Finish(x, 1008, "again")
			s.c.Unlock()
		},
		"reset": func(_ port.Executor, _ *session, p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); p.Close() },
		"finish + reset": func(x port.Executor, s *session, p *peer) {
			s.c.Lock()
			s.c.Finish(x, 1000, "")
			s.c.Unlock()
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
			p.Close()
		},
	} {
		t.Run("TRN-47 "+name, func(t *testing.T) {
			var closed, late atomic.Int64
			client := make(chan *peer, 1)
			e := start(t, Config{}, func(x port.Executor, c port.Conn) port.Handler {
				return &session{
					c: c,
					receive: func(x port.Executor, s *session, b []byte) {
						if closed.Load() > 0 || string(b) == "late" {
							late.Add(1)
							return
						}
						end(x, s, <-client)
						c.Lock()
						if _, ok := c.Tail(port.Reply); ok && name != "reset" {
							t.Error("an append after Finish was accepted")
						}
						c.Commit(x, nil)
						c.Unlock()
					},
					closed: func(port.Executor, *session) { closed.Add(1) },
				}
			})
			p := dialWS(t, e, "wamp.2.json")
			client <- p
			p.send(text("go"), text("late"))
			eventually(t, "closed", func() bool { return closed.Load() == 1 && e.Stats().Connections == 0 })
			if name != "reset" && late.Load() != 0 || closed.Load() != 1 {
				t.Fatalf("%d late messages, closed %d times", late.Load(), closed.Load())
			}
		})
	}
}

// REVIEW R14: after Finish nothing may follow, from whichever loop.
func TestR14FinishRefusesForeignAppends(t *testing.T) {
	var target atomic.Pointer[session]
	refused := make(chan bool, 1)
	e := start(t, Config{Loops: 2}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			switch string(b) {
			case "target":
				target.Store(s)
				reply(x, c, b)
			case "end":
				other := target.Load().c
				reply(x, other, []byte("goodbye"))
				other.Lock()
				other.Finish(x, port.CloseNormal, "bye")
				other.Unlock()
				refused <- !reply(x, other, []byte("too late"))
			}
		}}
	})
	p, q := dialWS(t, e, "wamp.2.json"), dialWS(t, e, "wamp.2.json")
	p.send(text("target"))
	p.expect(serverText("target"))
	q.send(text("end"))
	if !<-refused {
		t.Error("appended after Finish")
	}
	p.expect(serverText("goodbye"))
	p.expectClose(1000)
}

// pairs opens sessions that know each other by number and pass messages on to any other: the shape of RPC.
type pairs struct {
	mu  sync.Mutex
	all map[uint32]port.Conn
}

func (ps *pairs) open(x port.Executor, c port.Conn) port.Handler {
	var own uint32
	return &session{
		c: c,
		receive: func(x port.Executor, s *session, b []byte) {
			ps.mu.Lock()
			defer ps.mu.Unlock()
			to := binary.BigEndian.Uint32(b)
			if own == 0 {
				own = to
				ps.all[own] = c
				reply(x, c, b)
				return
			}
			if other := ps.all[to]; other != nil {
				reply(x, other, b)
			}
		},
		closed: func(port.Executor, *session) {
			ps.mu.Lock()
			defer ps.mu.Unlock()
			delete(ps.all, own)
		},
	}
}

// ENGINE 9, trap 2: connections come and go, descriptors are reused at once, and messages are written by foreign
// loops all the while. No byte may reach a connection it was not meant for.
func TestReusedDescriptorsGetNobodysBytes(t *testing.T) {
	ps := &pairs{all: map[uint32]port.Conn{}}
	e := start(t, Config{Loops: 4}, ps.open)
	var number atomic.Uint32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 60 {
				me := number.Add(1)
				a := e.Addrs()[0]
				nc, err := net.Dial(a.Network(), a.String())
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.SetDeadline(time.Now().Add(patience))
				out := append([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf(binary.BigEndian.AppendUint32(nil, me))...)
				for i := range uint32(60) {
					out = append(out, rawFrameOf(binary.BigEndian.AppendUint32(nil, me+8-i%16))...)
				}
				if _, err := nc.Write(out); err != nil {
					t.Error(err)
					return
				}
				in := make([]byte, 4+8*40)
				n, _ := io.ReadAtLeast(nc, in, 12)
				if n < 4 || string(in[:4]) != "\x7F\xF3\x00\x00" {
					t.Errorf("connection %d: handshake % x", me, in[:n])
				}
				for at := 4; at+8 <= n; at += 8 {
					if to := binary.BigEndian.Uint32(in[at+4:]); binary.BigEndian.Uint32(in[at:]) != 4 || to != me {
						t.Errorf("connection %d got the bytes of %d", me, to)
					}
				}
				if me%3 == 0 {
					_ = nc.(*net.TCPConn).SetLinger(0)
				}
				nc.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all gone", func() bool { return e.Stats().Connections == 0 })
}

// LIM-04 in small: connections that come and go leave no goroutine, no descriptor and no table entry.
func TestLIM04ChurnLeavesNothing(t *testing.T) {
	e := start(t, Config{}, echoes)
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	beforeFiles, beforeGoroutines := files(), runtime.NumGoroutine()
	for i := range 300 {
		p := dialRaw(t, e, codec.CBOR)
		if i%2 == 0 {
			p.send(rawFrameOf([]byte("x")))
			p.expect(rawFrameOf([]byte("x")))
		}
		p.Close()
	}
	eventually(t, "descriptors closed", func() bool { return files() <= beforeFiles })
	eventually(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= beforeGoroutines })
	eventually(t, "tables empty", func() bool {
		s := e.Stats()
		return s.Connections == 0 && s.Sessions == 0 && s.Accepted == 300
	})
}

// LIM-05: a stop says goodbye to everybody, waits until it is delivered, and leaves nothing.
func TestLIM05StopSaysGoodbye(t *testing.T) {
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 2, Log: quiet()},
		func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, shutdown: func(x port.Executor, s *session) {
				reply(x, c, []byte("goodbye"))
				c.Lock()
				c.Finish(x, port.CloseGoingAway, "node stops")
				c.Unlock()
			}}
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); !errors.Is(err, ErrStarted) {
		t.Fatal(err)
	}
	var peers []*peer
	for range 50 {
		peers = append(peers, dialWS(t, e, "wamp.2.json"))
	}
	unfinished := dial(t, e)
	unfinished.send([]byte("GET /"))
	address := e.Addrs()[0].String()
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.expect(serverText("goodbye"))
		p.expectClose(1001)
	}
	unfinished.expectEnd()
	if nc, err := net.Dial("tcp", address); err == nil {
		nc.Close()
		t.Fatal("still listening")
	}
	if s := e.Stats(); s.Connections != 0 || s.Sessions != 0 {
		t.Fatalf("%+v", s)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal("second Stop:", err)
	}
}

// A session that does not finish is ended when the grace is over.
func TestStopIsBounded(t *testing.T) {
	closed := make(chan bool, 1)
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Log: quiet()},
		func(x port.Executor, c port.Conn) port.Handler {
			return &session{
				c: c, shutdown: func(port.Executor, *session) {}, closed: func(port.Executor, *session) {
					closed <- true
				},
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	p := dialRaw(t, e, codec.CBOR)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	<-closed
	p.expectEnd()
}

func TestStopWithoutStart(t *testing.T) {
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}}, echoes)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); !errors.Is(err, ErrStarted) {
		t.Fatal(err)
	}
}

// Work that waits for the end of the batch runs before the connections are written, in one write.
func TestBatchEndComesBeforeTheWrite(t *testing.T) {
	e := start(t, Config{Loops: 1}, func(x port.Executor, c port.Conn) port.Handler {
		task := &endTask{c: c}
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			reply(x, c, b)
			x.AtBatchEnd(task)
		}}
	})
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("a")), rawFrameOf([]byte("b")))
	for _, s := range []string{"a", "b", "end 1", "end 2"} {
		p.expect(rawFrameOf([]byte(s)))
	}
	p.Close()
	eventually(t, "counted", func() bool { return e.Stats().Connections == 0 })
	if n := e.Stats().Writes; n != 2 { // the handshake and this
		t.Fatalf("%d writes", n)
	}
}

type endTask struct {
	c port.Conn
	n int
}

func (t *endTask) EndOfBatch(x port.Executor) {
	t.n++
	reply(x, t.c, fmt.Appendf(nil, "end %d", t.n))
}

// The random numbers of two loops have nothing in common.
func TestRandIsSeeded(t *testing.T) {
	e := start(t, Config{Loops: 2}, echoes)
	if a, b := e.loops[0].random.Uint64(), e.loops[1].random.Uint64(); a == b {
		t.Fatal(a)
	}
}
