//go:build linux

package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// collect opens sessions that hand their Conn to the test and send every message back.
func collect(conns chan<- port.Conn) port.Opener {
	return func(x port.Executor, c port.Conn) port.Handler {
		conns <- c
		return echoes(x, c)
	}
}

// on runs f on a loop of e, as a job of another loop would.
func on(e *Engine, loop int, f func(x port.Executor)) {
	e.loops[loop].post(note{kind: noteJob, job: &countJob{members: 1, end: f}})
}

// A flipJob goes back and forth between two loops until it is told to stop.
type flipJob struct {
	stop  *atomic.Bool
	flips *atomic.Int64
	done  chan<- bool
}

func (j *flipJob) Run(x port.Executor, _ int) bool {
	j.flips.Add(1)
	if j.stop.Load() {
		j.done <- true
		return false
	}
	x.Post(1-x.Loop(), 7, j)
	return false
}

// Two loops that wake each other without end still read their sockets: the poller runs tasks until none is left, and
// the loop has to step out of that by itself.
func TestForeignJobsDoNotStarveReads(t *testing.T) {
	conns := make(chan port.Conn, 2)
	e := start(t, Config{Loops: 2}, collect(conns))
	peers := []*peer{dialRaw(t, e, codec.CBOR), dialRaw(t, e, codec.CBOR)}
	var stop atomic.Bool
	var flips atomic.Int64
	done := make(chan bool, 8)
	for i := range 8 {
		j := &flipJob{&stop, &flips, done}
		on(e, i%2, func(x port.Executor) { x.Post(1-x.Loop(), 7, j) })
	}
	for range 20 {
		for _, p := range peers {
			p.send(rawFrameOf([]byte("x")))
			p.expect(rawFrameOf([]byte("x")))
		}
	}
	eventually(t, "jobs go back and forth", func() bool { return flips.Load() > 10_000 })
	stop.Store(true)
	for range 8 {
		<-done
	}
}

// The same rule without threads: a loop with mail looks at its descriptors first, and does not wait for them.
func TestMailHidesNoDescriptor(t *testing.T) {
	cfg := Config{}
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	p, err := poll.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l := newLoop(newEngine(cfg, echoes), 0, p)
	ran := 0
	post := func() {
		l.post(note{kind: noteJob, job: &countJob{members: 1, end: func(port.Executor) { ran++ }}})
	}
	for turn := range 50 {
		post() // the loop sleeps, so this rings the bell
		post() // and this does not
		if ready := l.wait(); ready != nil {
			t.Fatalf("turn %d: waited for %d descriptors", turn, len(ready))
		}
		ready := p.Look()
		if len(ready) != 1 {
			t.Fatalf("turn %d: %d descriptors", turn, len(ready))
		}
		if bell, timer := p.Own(int(ready[0].Fd)); !bell || timer {
			t.Fatalf("turn %d: not the bell", turn)
		}
		post() // to a loop that is awake
		if l.turn(ready) || ran != 3*(turn+1) {
			t.Fatalf("turn %d: ran %d", turn, ran)
		}
		post()
		if ready := p.Look(); len(ready) != 0 {
			t.Fatalf("turn %d: a loop that was awake was woken", turn)
		}
		ran--
		l.turn(nil)
		if l.again || !l.mail.sleep() {
			t.Fatalf("turn %d: something is left", turn)
		}
	}
}

// A loop that promised to write and is busy does not hold up what another loop has for the same connection.
func TestBusyLoopDelaysNobodysReply(t *testing.T) {
	conns := make(chan port.Conn, 2)
	e := start(t, Config{Loops: 2}, collect(conns))
	p := dialRaw(t, e, codec.CBOR)
	c := <-conns
	busy, release := make(chan bool), make(chan bool)
	on(e, 1-c.(*conn).loop.index, func(x port.Executor) {
		reply(x, c, []byte("promised"))
		busy <- true
		<-release
	})
	<-busy
	p.send(rawFrameOf([]byte("mine")))
	p.expect(rawFrameOf([]byte("promised")))
	p.expect(rawFrameOf([]byte("mine")))
	close(release)
}

// Several loops write to connections whose readers are slow: nothing stalls, nothing is lost, each writer's order is
// kept.
func TestR2ManyWritersSlowReaders(t *testing.T) {
	t.Parallel()
	const (
		loops    = 4
		readers  = 4
		perRound = 25
		rounds   = 40
		size     = 2000
	)
	conns := make(chan port.Conn, readers)
	e := start(t, Config{Loops: loops}, collect(conns))
	var all []port.Conn
	var peers []*peer
	for range readers {
		p := dialRaw(t, e, codec.CBOR)
		_ = p.Conn.(*net.TCPConn).SetReadBuffer(64 << 10) // less than what is sent, so that writers do block
		peers = append(peers, p)
		all = append(all, <-conns)
	}
	for w := range loops {
		var round func(x port.Executor)
		n := uint32(0)
		round = func(x port.Executor) {
			for range perRound {
				n++
				for _, c := range all {
					msg := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(w))
					msg = binary.BigEndian.AppendUint32(msg, n)
					if n%2 == 0 && c.(*conn).loop.index == x.Loop() {
						c.AppendRun(x, rawFrameOf(msg[:size]), 1, 0)
					} else if !reply(x, c, msg[:size]) {
						t.Error("refused")
					}
				}
			}
			if n < perRound*rounds {
				x.Post((x.Loop()+1)%loops, 1,
					&countJob{members: 1, end: func(x port.Executor) {
						x.Post(w, 1, &countJob{members: 1, end: round})
					}})
			}
		}
		on(e, w, round)
	}
	eventually(t, "blocked", func() bool {
		for _, c := range all {
			c.Lock()
			blocked := c.(*conn).q.Bytes() > 0 && c.(*conn).q.Charged() > 0
			c.Unlock()
			if !blocked {
				return false
			}
		}
		return true
	})
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			var last [loops]uint32
			frame := make([]byte, 4+size)
			for k := range loops * perRound * rounds {
				if _, err := io.ReadFull(p.r, frame); err != nil {
					t.Errorf("reader %d after %d messages: %v", i, k, err)
					return
				}
				w, n := binary.BigEndian.Uint32(frame[4:]), binary.BigEndian.Uint32(frame[8:])
				if w >= loops || n != last[w]+1 {
					t.Errorf("reader %d: message %d of writer %d after %v", i, n, w, last)
					return
				}
				last[w] = n
			}
		})
	}
	wg.Wait()
}

// LIM-05 under load: clients that send without end are told and closed, in bounded time.
func TestLIM05StopUnderLoad(t *testing.T) {
	conns := make(chan port.Conn, 100)
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 2, Log: quiet()}, collect(conns))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	message := bytes.Repeat(binaryMsg(make([]byte, 100)), 50)
	for range 20 {
		p := dialWS(t, e, "wamp.2.cbor")
		wg.Go(func() { // ends when the server is gone
			for {
				if _, err := p.Write(message); err != nil {
					return
				}
			}
		})
		wg.Go(func() { _, _ = io.Copy(io.Discard, p.r) })
	}
	eventually(t, "load", func() bool { return e.Stats().MessagesIn > 5000 })
	began := time.Now()
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > finishTimeout+30*time.Second { // on a busy machine
		t.Fatalf("took %v", took)
	}
	wg.Wait()
}
