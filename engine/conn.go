//go:build linux

package engine

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/port"
)

// A conn is one client connection: its reading side and its place in the loop. The writing side is the queue.
//
//	sniff ─▶ http ─▶ webSocket ─┐
//	  └────▶ rawHello ─▶ rawSocket ─┴─▶ closed       (any phase may go to closed)
type conn struct {
	q queue

	// Fixed at accept; any goroutine may read.
	loop *loop
	peer *port.Peer

	// Any goroutine.
	credit   atomic.Int64
	finished atomic.Bool // set with qFinishing or qBroken: no further message is handled

	// Owned by loop. variant, messageMax and closeFrame are fixed from the first Receive on, and then any goroutine may read them.
	handler    port.Handler // nil until the transport handshake is complete
	in         []byte       // received, not handled yet: an incomplete head or header, or what a pause left
	part       *partial     // a message under way, nil most of the time
	timer      port.Timer   // handshake, then pings, then the end
	messageMax int          // longest message the peer accepts
	phase      phase
	variant    codec.Variant
	hold       hold
	polled     hold // what the poller watches: holdRead, holdWrite bits
	missed     uint8
	heard      bool // something arrived since the last ping
	wantWrite  bool
	closeFrame bool // the transport ends with a WebSocket close frame
	batched    bool // a batched subprotocol
	batchSeen  bool // its terminator is known
	text       bool // the present message is text
	refused    bool // over the connection limit: tell and close
	closing    bool // on the loop's list
	wound      bool // windDown has been here
}

type phase uint8

const (
	phaseSniff phase = iota
	phaseHTTP
	phaseRawHello
	phaseWebSocket
	phaseRawSocket
	phaseClosed
)

// A hold is a set of reasons not to read.
type hold uint8

const (
	holdCredit  hold = 1 << iota // the credit is used up
	holdBacklog                  // too much unsent
	holdEnd                      // finishing
)

// Bits of conn.polled.
const (
	polledRead hold = 1 << iota
	polledWrite
)

const (
	// finishTimeout is how long a finishing connection may take to get rid of its last bytes.
	finishTimeout  = 5 * time.Second
	refusalTimeout = time.Second
	missedMax      = 2
	// discardReads bounds what is read and thrown away before a close, so that the kernel need not answer unread bytes with a
	// reset that could overtake our last words.
	discardReads = 16
)

// onEvent handles readiness of the socket.
func (c *conn) onEvent(events uint32) {
	if c.closing || c.phase == phaseClosed {
		return
	}
	if events&unix.EPOLLOUT != 0 && c.wantWrite {
		if c.q.writable() {
			c.q.mu.Lock()
			c.loop.touchLocked(c)
			c.q.mu.Unlock()
		} else {
			c.watchWrite(false)
		}
	}
	if c.hold == 0 {
		if events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.read()
		}
		return
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		// Nobody reads, so nobody would ever see the end.
		c.loop.closeSoon(c)
	}
}

// read takes one buffer from the socket and handles it. What a read of 0 says is taken as the end of the connection: WAMP
// needs no half-open peers, and what was not sent yet is dropped.
func (c *conn) read() {
	l := c.loop
	if c.finished.Load() {
		return
	}
	if c.q.holdRead(l.engine.cfg.highWater()) {
		c.hold |= holdBacklog
		c.watch()
		l.engine.rare.readPauses.Add(1)
		return
	}
	n, err := readInto(int(c.q.fd), l.buffer[headroom:])
	if err == errAgain {
		return
	}
	if err != nil || n == 0 {
		l.closeSoon(c)
		return
	}
	l.stats.bytesIn.Add(int64(n))
	c.heard, c.missed = true, 0
	data := l.buffer[headroom : headroom+n]
	if kept := len(c.in); kept > 0 {
		// What an earlier read left is short: everything long goes to c.part, and after a pause c.in is handled before reading.
		data = l.buffer[headroom-kept : headroom+n]
		copy(data, c.in)
		giveBuffer(c.in)
		c.in = nil
	}
	rest := data[c.handle(data):]
	if len(rest) > 0 && !c.finished.Load() {
		c.in = append(takeBuffer(len(rest)), rest...)
	}
}

// handle processes data as far as it can, and reports how much. It survives a panic of the handler.
func (c *conn) handle(data []byte) (used int) {
	l := c.loop
	defer l.caught(c)
	l.pongs, l.lastPong = 0, nil
	if c.phase == phaseSniff {
		c.sniff(data[0])
	}
	switch c.phase {
	case phaseHTTP:
		used = c.httpHead(data)
	case phaseRawHello:
		used = c.rawHello(data)
	}
	if c.refused {
		return used
	}
	switch c.phase {
	case phaseWebSocket:
		used += c.webSocket(data[used:])
	case phaseRawSocket:
		used += c.rawSocket(data[used:])
	}
	if l.lastPong != nil {
		c.pong(l.lastPong)
		l.lastPong = nil
	}
	return used
}

// sniff tells the transports of a shared port apart by the first octet. TLS (0x16) would be told here too.
func (c *conn) sniff(first byte) {
	switch {
	case first == rawMagic:
		c.phase = phaseRawHello
	case first >= 'A' && first <= 'Z':
		c.phase = phaseHTTP
	default:
		c.loop.closeSoon(c)
		c.finished.Store(true)
	}
}

// open makes the session once the transport is agreed on.
func (c *conn) open() {
	l := c.loop
	l.stats.opened.Add(1)
	if c.phase == phaseWebSocket && l.engine.cfg.PingInterval > 0 {
		l.Start(&c.timer, l.engine.cfg.PingInterval)
	} else {
		l.Stop(&c.timer)
	}
	c.credit.Store(l.engine.cfg.CreditBytes)
	if l.engine.cfg.Echo {
		c.handler = &echo{c: c}
		return
	}
	c.handler = l.engine.opener(l, c)
}

// receive gives one message to the session and looks whether another may follow.
func (c *conn) receive(b []byte) {
	c.loop.stats.messagesIn.Add(1)
	c.handler.Receive(c.loop, b)
	if c.credit.Load() <= 0 {
		c.hold |= holdCredit
		c.loop.engine.rare.readPauses.Add(1)
		c.watch()
	}
}

// halted reports that no further message of this connection may be handled now.
func (c *conn) halted() bool { return c.hold != 0 || c.finished.Load() }

// violate lets the session say why, then ends the connection.
func (c *conn) violate(v *codec.Violation) {
	l := c.loop
	l.engine.rare.violations.Add(1)
	c.handler.Violate(l, v)
	c.fail(port.CloseViolation, v.Reason)
}

// fail ends the connection: close frame, no further reading, and the end of TCP as soon as all is written.
func (c *conn) fail(code port.CloseCode, reason string) {
	c.q.mu.Lock()
	c.finishLocked(c.loop, code, reason)
	c.q.mu.Unlock()
}

// finishLocked is Finish for whichever loop l is.
func (c *conn) finishLocked(l *loop, code port.CloseCode, reason string) {
	if c.q.flags&(qFinishing|qBroken|qShut) != 0 {
		return
	}
	if c.closeFrame {
		c.q.commit(appendClose(c.q.lend(), code, reason))
	}
	c.q.flags |= qFinishing
	c.finished.Store(true)
	l.touchLocked(c)
	if c.loop == l {
		l.local = append(l.local, note{kind: noteFinish, c: c})
		return
	}
	c.loop.post(note{kind: noteFinish, c: c})
}

// breakLocked gives the connection up without a word. The queue's lock is held.
func (c *conn) breakLocked() {
	c.q.breakLocked()
	c.finished.Store(true)
}

// windDown stops reading, for good, and bounds how long the rest may take.
func (c *conn) windDown() {
	if c.phase == phaseClosed || c.wound {
		return
	}
	c.wound = true
	c.hold |= holdEnd
	c.dropInput()
	c.watch()
	c.loop.Start(&c.timer, finishTimeout)
}

func (c *conn) dropInput() {
	giveBuffer(c.in)
	c.in = nil
	if c.part != nil {
		c.part.release()
		c.part = nil
	}
}

// resume looks which reasons to pause are gone, handles what the pause left and goes on reading.
func (c *conn) resume() {
	if c.phase == phaseClosed || c.closing || c.hold == 0 {
		return
	}
	if c.credit.Load() > 0 {
		c.hold &^= holdCredit
	}
	if !c.q.readHeld() {
		c.hold &^= holdBacklog
	}
	if c.hold != 0 {
		return
	}
	if len(c.in) > 0 || c.part != nil {
		used := c.handle(c.in)
		c.in = c.in[:copy(c.in, c.in[min(used, len(c.in)):])]
		if len(c.in) == 0 {
			giveBuffer(c.in)
			c.in = nil
		}
	}
	c.watch()
}

// watchWrite says whether the poller is to tell when the socket takes bytes again.
func (c *conn) watchWrite(on bool) {
	if c.wantWrite == on || c.phase == phaseClosed {
		return
	}
	c.wantWrite = on
	c.watch()
}

// watch brings the poller in line with what the connection waits for. The poller knows no change to "write only": that is a delete and
// an add.
func (c *conn) watch() {
	var want hold
	if c.hold == 0 {
		want |= polledRead
	}
	if c.wantWrite {
		want |= polledWrite
	}
	if want == c.polled || c.phase == phaseClosed {
		return
	}
	l := c.loop
	p, a := l.poller, &l.attach
	a.FD = int(c.q.fd)
	was := c.polled
	c.polled = want
	var err error
	switch {
	case want == 0:
		err = p.Delete(a.FD)
	case was == 0 && want == polledRead:
		err = p.AddRead(a, false)
	case was == 0 && want == polledWrite:
		err = p.AddWrite(a, false)
	case was == 0:
		err = p.AddReadWrite(a, false)
	case want == polledRead:
		err = p.ModRead(a, false)
	case want == polledRead|polledWrite:
		err = p.ModReadWrite(a, false)
	default:
		if err = p.Delete(a.FD); err == nil {
			err = p.AddWrite(a, false)
		}
	}
	if err != nil {
		l.engine.cfg.Log.Error("poller refused a connection", "error", err)
		c.polled = 0
		l.closeSoon(c)
	}
}

// onTimer is the one timer of a connection: the opening handshake, then pings, then the end.
func (c *conn) onTimer(port.Executor) {
	l := c.loop
	switch {
	case c.phase == phaseClosed:
	case c.finished.Load():
		l.closeSoon(c)
	case c.handler == nil:
		l.engine.rare.handshakeTimeouts.Add(1)
		l.closeSoon(c)
	default:
		if !c.heard {
			c.missed++
		}
		if c.missed == missedMax {
			l.engine.rare.pingTimeouts.Add(1)
			c.fail(port.ClosePolicy, "no answer to pings")
			return
		}
		c.heard = false
		c.append(pingFrame)
		l.Start(&c.timer, l.engine.cfg.PingInterval)
	}
}

// shutdown says goodbye because the node stops.
func (c *conn) shutdown() {
	if c.handler == nil {
		c.loop.closeSoon(c)
		return
	}
	if c.finished.Load() {
		return
	}
	defer c.loop.caught(c)
	c.handler.Shutdown(c.loop)
}

// close ends the transport. In the batch task only; the descriptor is free afterwards, and nobody will use it: see queue.shut.
func (c *conn) close() {
	if c.phase == phaseClosed {
		return
	}
	l := c.loop
	fd := int(c.q.fd)
	c.q.mu.Lock()
	orderly := c.q.flags&qFinishing != 0 && c.q.head == nil && c.q.flags&(qWriting|qBroken) == 0
	c.q.mu.Unlock()
	c.q.shut()
	c.finished.Store(true)
	c.phase = phaseClosed
	c.dropInput()
	l.Stop(&c.timer)
	if c.polled != 0 {
		_ = l.poller.Delete(fd) // the close below would do it too
		c.polled = 0
	}
	if orderly {
		_ = unix.Shutdown(fd, unix.SHUT_WR) // fails when the peer is gone already
		for range discardReads {
			if n, err := readInto(fd, l.buffer); n == 0 || err != nil {
				break
			}
		}
	}
	_ = unix.Close(fd)
	delete(l.conns, fd)
	l.engine.open.Add(-1)
	if c.handler != nil {
		l.stats.closed.Add(1)
		c.closed()
	}
}

func (c *conn) closed() {
	defer func() {
		if r := recover(); r != nil {
			c.loop.engine.rare.panics.Add(1)
			c.loop.engine.cfg.Log.Error("panic while a session was closed", "panic", r)
		}
	}()
	c.handler.Closed(c.loop)
}

// append queues bytes of the transport itself.
func (c *conn) append(b []byte) {
	c.q.mu.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, append(buf, b...))
	}
	c.q.mu.Unlock()
}

// lockSoon takes the queue's lock unless its holder is evidently gone.
func (c *conn) lockSoon() bool {
	for range 100_000 {
		if c.q.mu.TryLock() {
			return true
		}
		runtime.Gosched()
	}
	return false
}

// Lock implements port.Conn.
func (c *conn) Lock() { c.q.mu.Lock() }

// Unlock implements port.Conn.
func (c *conn) Unlock() { c.q.mu.Unlock() }

// Tail implements port.Conn.
func (c *conn) Tail(class port.Class) ([]byte, bool) {
	if c.q.flags&(qFinishing|qBroken|qShut) != 0 {
		return nil, false
	}
	if c.q.bytes >= c.loop.engine.cfg.BacklogBytesMax {
		if class == port.Invocation {
			return nil, false
		}
		if c.q.bytes >= c.loop.engine.cfg.backlogReserve() {
			c.slow()
			return nil, false
		}
	}
	return c.q.lend(), true
}

// slow gives up a connection that does not read. The queue's lock is held.
func (c *conn) slow() {
	c.breakLocked()
	c.loop.engine.rare.slowConsumersClosed.Add(1)
	c.loop.post(note{kind: noteClose, c: c})
}

// Commit implements port.Conn.
func (c *conn) Commit(x port.Executor, buf []byte) {
	if c.q.commit(buf) > 0 {
		x.(*loop).touchLocked(c)
	}
}

// Finish implements port.Conn.
func (c *conn) Finish(x port.Executor, code port.CloseCode, reason string) {
	c.finishLocked(x.(*loop), code, reason)
}

// AppendRun implements port.Conn.
func (c *conn) AppendRun(x port.Executor, frames []byte, events int) {
	l := x.(*loop)
	l.appended++
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	if c.q.flags&(qFinishing|qBroken|qShut) != 0 {
		return
	}
	if c.q.bytes > 0 && c.q.bytes+len(frames) > l.engine.cfg.BacklogBytesMax {
		if l.engine.cfg.SlowConsumer == DropNewest {
			l.stats.eventsDropped.Add(int64(events))
			return
		}
		c.slow()
		return
	}
	c.q.share(frames, events)
	l.touchLocked(c)
}

// Spend implements port.Conn.
func (c *conn) Spend(n int64) { c.credit.Add(-n) }

// Refund implements port.Conn.
func (c *conn) Refund(x port.Executor, n int64) {
	now := c.credit.Add(n)
	if now <= 0 || now-n > 0 {
		return
	}
	if l := x.(*loop); l == c.loop {
		l.local = append(l.local, note{kind: noteResume, c: c})
		return
	}
	c.loop.post(note{kind: noteResume, c: c})
}

// Variant implements port.Conn.
func (c *conn) Variant() codec.Variant { return c.variant }

// MessageBytesMax implements port.Conn.
func (c *conn) MessageBytesMax() int { return c.messageMax }

// Peer implements port.Conn.
func (c *conn) Peer() *port.Peer { return c.peer }

// Home implements port.Conn.
func (c *conn) Home() int { return c.loop.index }

// unlimited is the MessageBytesMax of peers that announce none.
const unlimited = math.MaxInt32
