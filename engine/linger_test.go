//go:build linux

package engine

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/port"
)

// A client that writes a message over the limit to its end learns why it is closed, and meets no reset.
func TestClientThatStillWritesLearnsWhy(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Live: Live{MessageBytesMax: 1000}}, echoes)
	for range 5 {
		p := dialWS(t, e, "wamp.2.json")
		p.send(masked(0x81, make([]byte, 8<<20)))
		p.expectClose(1009)
		p.Close()
	}
	eventually(t, "descriptors are freed", func() bool { return e.Stats().Connections == 0 })
	if n := e.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// Lingering ends with the client, with the bytes it writes, with the time, and with the engine.
func TestLingeringIsBounded(t *testing.T) {
	conns := make(chan port.Conn, 1)
	e := start(t, Config{Live: Live{MessageBytesMax: 1000}, Loops: 1}, collect(conns))
	end := func() (*peer, *conn) {
		p := dialRaw(t, e, codec.CBOR)
		c := (<-conns).(*conn)
		p.send([]byte{0, 0xFF, 0xFF, 0xFF}) // announces too much, and the client does not react to the end
		p.expectEnd()
		return p, c
	}
	lingers := func(c *conn) (is bool) {
		done := make(chan bool)
		on(e, 0, func(port.Executor) {
			is = c.phase == phaseClosed && c.released == false && c.timer.Due != 0
			close(done)
		})
		<-done
		return is
	}
	gone := func() bool { return e.Stats().Connections == 0 }

	p, c := end()
	if !lingers(c) {
		t.Error("closed at once")
	}
	p.send(make([]byte, 100_000))
	if !lingers(c) {
		t.Error("closed while the client was writing")
	}
	p.Close()
	eventually(t, "the client's end", gone)

	p, _ = end()
	if _, err := io.CopyN(p, zeros{}, 4*lingerBytesMax); err == nil {
		t.Error("everything was taken")
	}
	eventually(t, "the end of patience", gone)

	_, c = end()
	on(e, 0, func(x port.Executor) { c.onTimer(x) }) // the wheel would, in lingerTimeout
	eventually(t, "the end of time", gone)

	end() // and the engine stops with it: see start
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// A client that never joined may write less after its end: to read that is work that a stranger decides on.
func TestStrangersLingerLess(t *testing.T) {
	e := startUnjoined(t, Config{Loops: 1})
	p := dialRaw(t, e, codec.CBOR)
	p.send([]byte{0, 0xFF, 0xFF, 0xFF})
	p.expectEnd()
	if _, err := io.CopyN(p, zeros{}, 64*lingerStrangerMax); err == nil {
		t.Error("everything was taken")
	}
	eventually(t, "the end of patience", func() bool {
		return e.Stats().Connections == 0 && e.Stats().LingersCut == 1
	})
	if n := e.Stats().BytesIn; n > lingerStrangerMax {
		t.Errorf("%d bytes were read as input", n)
	}
}

// What many lingering clients write is read within the time of a turn, and all of it in the end.
func TestLingeringReadsOfATurnAreBounded(t *testing.T) {
	const conns = 200
	first, p := newSilent(t, Live{PingInterval: -1}, phaseClosed)
	l := first.loop
	l.workPerLook = workPerLook
	l.forget(first)
	reads := 0
	var ready []unix.EpollEvent
	for i := range conns {
		l.enter(&conn{
			loop: l, fd: int32(i), joined: true, phase: phaseClosed, transport: &slowReader{p: p, reads: &reads},
		})
		ready = append(ready, unix.EpollEvent{Fd: int32(i), Events: unix.EPOLLIN})
	}
	turns := 0
	for ; len(ready) > 0; turns++ {
		began, had := p.now, reads
		l.turn(ready)
		if spent := p.now - began; spent > readTime+slowRead*(1+workPerLook>>(16-workShift-1)) || reads == had {
			t.Fatalf("turn %d took %v for %d reads", turns, spent, reads-had)
		}
		ready = ready[reads-had:] // the poller is level-triggered
	}
	if reads != conns || turns < 3 {
		t.Errorf("%d reads in %d turns", reads, turns)
	}
}

// A slowReader needs slowRead for a full read.
type slowReader struct {
	scriptedTransport
	p     *stillPoller
	reads *int
}

const slowRead = 100 * time.Microsecond

func (k *slowReader) read(_ int, b []byte) (int, error) {
	k.p.now += slowRead
	*k.reads++
	return readBytes, nil
}
